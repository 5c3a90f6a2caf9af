package api

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"net/url"
	"os"
	"path"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"golang.org/x/net/html"

	"github.com/litemaas/litemaas/models"
)

// UI is a built single-page web UI, as its directory was when it was read: all of one build,
// whatever becomes of the directory.
type UI struct {
	files   map[string]*uiFile // by path, without a slash before it
	scripts []string           // hashes of the scripts within index.html
	size    int64
}

// uiFile is a file, and what is said of it.
type uiFile struct {
	body, gzipped  []byte // gzipped is nil where the build made none
	etag, mimeType string
	cache          string
}

const (
	indexFile = "index.html"
	maxUI     = 256 << 20 // bytes; a UI has a few million
	setUIDir  = "api.ui_dir"
)

// OpenUI reads the UI in dir. What begins with a dot is left out. It is Invalid, on api.ui_dir,
// when there is no index.html, a link leads out of dir, or dir is no UI by its size.
func OpenUI(dir string) (*UI, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, badUI(err)
	}
	defer root.Close()
	u := &UI{files: map[string]*uiFile{}}
	if err := u.read(root, "."); err != nil {
		return nil, badUI(err)
	}
	index, ok := u.files[indexFile]
	if !ok {
		return nil, models.Errorf(models.Invalid, "%s is %s, where no %s is: build the web UI, and name the directory that the build wrote", setUIDir, dir, indexFile).On(setUIDir)
	}
	u.scripts = inlineScripts(index.body)
	for name, f := range u.files {
		if base, ok := u.files[strings.TrimSuffix(name, ".gz")]; ok && base != f {
			base.gzipped = f.body
			delete(u.files, name)
		}
	}
	return u, nil
}

func badUI(err error) error {
	return models.Wrap(models.Invalid, err, "%s cannot be read", setUIDir).On(setUIDir)
}

// read reads a directory of root, which refuses links that lead out of it.
func (u *UI) read(root *os.Root, dir string) error {
	entries, err := fs.ReadDir(root.FS(), dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		name := path.Join(dir, e.Name())
		if strings.HasPrefix(e.Name(), ".") {
			continue
		}
		info, err := root.Stat(name)
		switch {
		case err != nil:
		case info.IsDir() && !e.IsDir():
			err = fmt.Errorf("%s is a link to a directory", name) // perhaps to one that it is in
		case info.IsDir():
			err = u.read(root, name)
		case info.Mode().IsRegular():
			err = u.add(root, name, info.Size())
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (u *UI) add(root *os.Root, name string, size int64) error {
	if u.size += size; u.size > maxUI {
		return fmt.Errorf("it holds more than %d MB, so it is no web UI", maxUI>>20)
	}
	body, err := root.ReadFile(name)
	u.files[name] = newUIFile(name, body)
	return err
}

// hashedName is the name of a file that its build named after what it holds: by Vite in assets,
// as in index-DiwrgTda.js, or by webpack, as in main.0a1b2c3d.js. Another build has another name.
var hashedName = regexp.MustCompile(`^assets/(?:.*/)?[^/]+-[\w-]{8}(?:\.\w+)+$|[.-][0-9a-f]{8,}(?:\.\w+)+$`)

// wordName is what looks like the first of them and is none: logo-vertical.svg.
var wordName = regexp.MustCompile(`-[A-Z]?[a-z]{7,8}(?:\.\w+)+$`)

func newUIFile(name string, body []byte) *uiFile {
	sum := sha256.Sum256(body)
	f := &uiFile{body: body, etag: base64.RawURLEncoding.EncodeToString(sum[:12]), cache: "no-cache"}
	if hashedName.MatchString(name) && !wordName.MatchString(name) {
		f.cache = "public, max-age=31536000, immutable"
	}
	extension := path.Ext(name)
	f.mimeType = cmp.Or(mimeTypes[extension], mime.TypeByExtension(extension), http.DetectContentType(body))
	return f
}

// mimeTypes are those that not every machine knows.
var mimeTypes = map[string]string{
	".ico": "image/x-icon", ".map": "application/json", ".txt": "text/plain; charset=utf-8", ".webmanifest": "application/manifest+json",
	".woff": "font/woff", ".woff2": "font/woff2", ".ttf": "font/ttf",
}

// inlineScripts returns the hashes by which a policy allows the scripts within a page: LiteMaaS's
// sets its theme in one, before anything is drawn.
func inlineScripts(page []byte) (hashes []string) {
	z := html.NewTokenizer(bytes.NewReader(page))
	for z.Next() != html.ErrorToken {
		t := z.Token()
		if t.Type != html.StartTagToken || t.Data != "script" || z.Next() != html.TextToken {
			continue
		}
		sum := sha256.Sum256(z.Text())
		hashes = append(hashes, "'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+"'")
	}
	return hashes
}

// policy is what the UI's pages may do: run their own scripts, have inline styles and images
// (PatternFly does), and call us, and LiteLLM, for the chat.
func (u *UI) policy(litellm string) string {
	connect := "'self'"
	if at, err := url.Parse(litellm); err == nil && at.Host != "" {
		connect += " " + at.Scheme + "://" + at.Host
	}
	return "default-src 'self'; script-src " + strings.Join(append([]string{"'self'"}, u.scripts...), " ") +
		"; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; connect-src " + connect +
		"; object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
}

// serve answers what is the UI's, for chats with the LiteLLM at that address; the rest goes on.
func (u *UI) serve(litellm string) gin.HandlerFunc {
	if u == nil {
		return func(*gin.Context) {}
	}
	policy := u.policy(litellm)
	return func(c *gin.Context) {
		f := u.file(c.Request)
		if f == nil {
			return
		}
		body, etag := f.body, f.etag
		if f.gzipped != nil {
			c.Header("Vary", "Accept-Encoding")
			if acceptsGzip(c.Request) {
				body, etag = f.gzipped, etag+"-gzip"
				c.Header("Content-Encoding", "gzip")
				c.Header("Content-Length", strconv.Itoa(len(body))) // ServeContent leaves that to us
			}
		}
		c.Header("ETag", `"`+etag+`"`)
		c.Header("Content-Type", f.mimeType)
		c.Header("Content-Security-Policy", policy)
		c.Header("Cache-Control", f.cache)
		http.ServeContent(c.Writer, c.Request, "", time.Time{}, bytes.NewReader(body))
		c.Abort()
	}
}

// ours are the paths below which nothing is the UI's.
var ours = []string{"/api", "/docs", "/health", "/openapi.json", "/.well-known"}

// file is what the UI answers a request with: the file of that path, or index.html where a
// page of the UI is meant, which it draws by itself; nil if neither.
func (u *UI) file(r *http.Request) *uiFile {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return nil
	}
	for _, prefix := range ours {
		if rest, ok := strings.CutPrefix(r.URL.Path, prefix); ok && (rest == "" || rest[0] == '/') {
			return nil
		}
	}
	name := strings.TrimPrefix(r.URL.Path, "/")
	if f, ok := u.files[name]; ok {
		return f
	}
	if name == "" || wantsPage(r) {
		return u.files[indexFile]
	}
	return nil
}

// wantsPage reports whether a page is asked for. Who takes anything, as scripts and images do,
// means a file if the path has an extension: a page in the place of a lost script would only
// confuse.
func wantsPage(r *http.Request) bool {
	accept := strings.Join(r.Header.Values("Accept"), ",")
	if strings.Contains(accept, "text/html") {
		return true
	}
	return (accept == "" || strings.Contains(accept, "*/*")) && path.Ext(r.URL.Path) == ""
}

func acceptsGzip(r *http.Request) bool {
	for _, coding := range listed(r, "Accept-Encoding") {
		name, weight, _ := strings.Cut(coding, ";")
		if strings.EqualFold(strings.TrimSpace(name), "gzip") {
			return !refusedWeight.MatchString(strings.TrimSpace(weight))
		}
	}
	return false
}

// refusedWeight is that of what must not be sent.
var refusedWeight = regexp.MustCompile(`^q=0(\.0*)?$`)
