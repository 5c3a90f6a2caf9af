package api_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/api"
	"github.com/litemaas/litemaas/models"
)

const (
	theme     = "\n  if (localStorage.getItem('theme') === 'dark') { document.documentElement.classList.add('dark'); }\n"
	indexPage = "<!DOCTYPE html>\n<html><head><title>LiteMaaS</title>\n<script>" + theme + "</script>\n" +
		`<script type="module" crossorigin src="/assets/index-DiwrgTda.js"></script></head><body><div id="root"></div></body></html>`
	page = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8" // as browsers ask for one
)

// built is a UI as Vite builds it.
func built(t *testing.T) string {
	t.Helper()
	return write(t, map[string]string{
		"index.html": indexPage, "favicon.ico": "icon", "logo.svg": "<svg/>", "locales/de/translation.json": `{"a":"ä"}`,
		"assets/index-DiwrgTda.js": "export default 1", "assets/index-DiwrgTda.js.gz": gzipped(t, "export default 1"),
		"assets/index-C4-k_z9x.css": "body{}", "assets/RedHatText-BkcTXx3G.woff2": "font",
		"assets/logo-vertical.svg": "<svg/>", "assets/logo-Vertical.svg": "<svg/>", "main.0a1b2c3d4e.js": "1", "main.bundle.js": "1",
		".env": "SECRET=hush", ".git/config": "hush",
	})
}

func write(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, body := range files {
		path := filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(body), 0o600))
	}
	return dir
}

func gzipped(t *testing.T, text string) string {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err := io.WriteString(w, text)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return b.String()
}

// withUI is an API beside the UI of a directory.
func withUI(t *testing.T, dir string) system {
	t.Helper()
	ui, err := api.OpenUI(dir)
	require.NoError(t, err)
	srv := &api.Server{Temporal: &away{}, Schedules: &away{}, Config: config(), UI: ui}
	return system{srv, srv.Handler()}
}

// Files are served as what they are; pages of the UI are its index.html; what is the API's
// stays the API's.
func TestUI(t *testing.T) {
	s := withUI(t, built(t))
	const immutable, revalidated = "public, max-age=31536000, immutable", "no-cache"
	for _, tc := range []struct {
		path, accept      string
		status            int
		body, mime, cache string
	}{
		{"/", page, 200, indexPage, "text/html; charset=utf-8", revalidated},
		{"/", "", 200, indexPage, "text/html; charset=utf-8", revalidated},
		{"/", "application/json", 200, indexPage, "text/html; charset=utf-8", revalidated},
		{"/index.html", page, 200, indexPage, "text/html; charset=utf-8", revalidated},
		{"/models", page, 200, indexPage, "text/html; charset=utf-8", revalidated},
		{"/auth/callback", page, 200, indexPage, "text/html; charset=utf-8", revalidated},
		{"/admin/users/7/", page, 200, indexPage, "text/html; charset=utf-8", revalidated},
		{"/models/gpt-4.1", page, 200, indexPage, "text/html; charset=utf-8", revalidated},
		{"/apis", page, 200, indexPage, "text/html; charset=utf-8", revalidated},
		{"/login?error=auth_failed", "*/*", 200, indexPage, "text/html; charset=utf-8", revalidated},
		{"/assets/index-DiwrgTda.js", "*/*", 200, "export default 1", "text/javascript; charset=utf-8", immutable},
		{"/assets/index-C4-k_z9x.css", "text/css,*/*;q=0.1", 200, "body{}", "text/css; charset=utf-8", immutable},
		{"/assets/RedHatText-BkcTXx3G.woff2", "*/*", 200, "font", "font/woff2", immutable},
		{"/main.0a1b2c3d4e.js", "*/*", 200, "1", "text/javascript; charset=utf-8", immutable},
		{"/main.bundle.js", "*/*", 200, "1", "text/javascript; charset=utf-8", revalidated},
		{"/assets/logo-vertical.svg", "image/*", 200, "<svg/>", "image/svg+xml", revalidated},
		{"/assets/logo-Vertical.svg", "image/*", 200, "<svg/>", "image/svg+xml", revalidated},
		{"/favicon.ico", "image/*", 200, "icon", "image/x-icon", revalidated},
		{"/locales/de/translation.json", "*/*", 200, `{"a":"ä"}`, "application/json", revalidated},

		{"/assets/index-Gone1234.js", "*/*", 404, "", "", ""},
		{"/models", "application/json", 404, "", "", ""},
		{"/api", page, 404, "", "", ""},
		{"/api/v1/nothing", page, 404, "", "", ""},
		{"/api/auth/nothing", page, 404, "", "", ""},
		{"/docs/nothing", page, 404, "", "", ""},
		{"/health/nothing", page, 404, "", "", ""},
		{"/openapi.json/", page, 200, "", "", ""},
		{"/.well-known/nothing", page, 404, "", "", ""},
		{"/.env", "*/*", 404, "", "", ""},
		{"/.git/config", "*/*", 200, indexPage, "text/html; charset=utf-8", revalidated},
		{"/assets", "*/*", 200, indexPage, "text/html; charset=utf-8", revalidated},
		{"/assets/", page, 200, indexPage, "text/html; charset=utf-8", revalidated},
		{"/../ui_test.go", "*/*", 404, "", "", ""},
		{"/assets/../../ui_test.go", "*/*", 404, "", "", ""},
		{"/assets/..%2f..%2fui_test.go", "*/*", 404, "", "", ""},
		{"//etc/passwd.txt", "*/*", 404, "", "", ""},
	} {
		t.Run(tc.path+" as "+tc.accept, func(t *testing.T) {
			rep := s.call(t, http.MethodGet, tc.path, "", "Accept", tc.accept, "Authorization", "").is(tc.status)
			head := s.call(t, http.MethodHead, tc.path, "", "Accept", tc.accept, "Authorization", "").is(tc.status)
			require.NotContains(t, rep.Body.String(), "hush")
			if tc.cache == "" {
				require.Equal(t, "no-store", rep.Header().Get("Cache-Control"))
				return
			}
			require.Equal(t, tc.body, rep.Body.String())
			for _, h := range []http.Header{rep.Header(), head.Header()} {
				require.Equal(t, tc.mime, h.Get("Content-Type"))
				require.Equal(t, tc.cache, h.Get("Cache-Control"))
				require.Equal(t, "nosniff", h.Get("X-Content-Type-Options"))
			}
			require.Empty(t, head.Body.String())
		})
	}
	s.call(t, http.MethodPost, "/models", "", "Accept", page).problem(http.StatusNotFound, "NOT_FOUND")
	s.call(t, http.MethodDelete, "/index.html", "").problem(http.StatusNotFound, "NOT_FOUND")
}

// Without a UI there is none.
func TestNoUI(t *testing.T) {
	serve(nil, nil, nil).call(t, http.MethodGet, "/", "", "Accept", page).problem(http.StatusNotFound, "NOT_FOUND")
}

// The pages may do what the UI does, and no more: the script in its page is named by its hash.
func TestUIPolicy(t *testing.T) {
	sum := sha256.Sum256([]byte(theme))
	for _, path := range []string{"/", "/models", "/logo.svg"} {
		policy := withUI(t, built(t)).call(t, http.MethodGet, path, "", "Accept", page).Header().Get("Content-Security-Policy")
		for _, want := range []string{
			"default-src 'self'", "script-src 'self' 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'", "style-src 'self' 'unsafe-inline'",
			"img-src 'self' data: blob:", "connect-src 'self' https://llm.example.com", "object-src 'none'", "base-uri 'self'", "frame-ancestors 'none'",
		} {
			require.Contains(t, strings.Split(policy, "; "), want)
		}
	}
	windows := write(t, map[string]string{"index.html": "<script>\r\nlet a\r\n</script><script src=x></script><script></script>"})
	sum = sha256.Sum256([]byte("\nlet a\n")) // browsers read ends of lines so
	require.Contains(t, withUI(t, windows).get(t, "/").Header().Get("Content-Security-Policy"),
		"script-src 'self' 'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+"';")
}

// Who has a file already is told so, by what it holds.
func TestUIIsCached(t *testing.T) {
	s := withUI(t, built(t))
	etag := s.get(t, "/").is(http.StatusOK).Header().Get("ETag")
	require.NotEmpty(t, etag)
	for _, path := range []string{"/", "/models"} {
		rep := s.call(t, http.MethodGet, path, "", "If-None-Match", etag, "Accept", page).is(http.StatusNotModified)
		require.Empty(t, rep.Body.String())
		require.Equal(t, "no-cache", rep.Header().Get("Cache-Control"))
		require.Equal(t, etag, rep.Header().Get("ETag"))
	}
	s.call(t, http.MethodGet, "/", "", "If-None-Match", `"another"`).is(http.StatusOK)
	next := withUI(t, write(t, map[string]string{"index.html": strings.Replace(indexPage, "DiwrgTda", "Dnext123", 1)}))
	next.call(t, http.MethodGet, "/", "", "If-None-Match", etag).is(http.StatusOK)
}

// What the build has compressed is sent so to who takes it.
func TestUICompressed(t *testing.T) {
	s := withUI(t, built(t))
	const path = "/assets/index-DiwrgTda.js"
	var etags []string
	for accept, encoding := range map[string]string{
		"gzip, deflate, br": "gzip", "br;q=1, GZIP ; q=0.5": "gzip", "": "", "br": "", "gzip;q=0": "", "gzip; q=0.0, br": "", "x-gzip-like": "",
	} {
		rep := s.call(t, http.MethodGet, path, "", "Accept-Encoding", accept).is(http.StatusOK)
		require.Equal(t, encoding, rep.Header().Get("Content-Encoding"), accept)
		require.Equal(t, "Accept-Encoding", rep.Header().Get("Vary"))
		require.Equal(t, "text/javascript; charset=utf-8", rep.Header().Get("Content-Type"))
		body := io.Reader(rep.Body)
		if encoding != "" {
			require.NotEmpty(t, rep.Header().Get("Content-Length"))
			var err error
			body, err = gzip.NewReader(body)
			require.NoError(t, err)
		}
		text, err := io.ReadAll(body)
		require.NoError(t, err)
		require.Equal(t, "export default 1", string(text))
		etags = append(etags, encoding+rep.Header().Get("ETag"))
		s.call(t, http.MethodGet, path, "", "Accept-Encoding", accept, "If-None-Match", rep.Header().Get("ETag")).is(http.StatusNotModified)
	}
	require.NotEqual(t, s.call(t, http.MethodGet, path, "", "Accept-Encoding", "gzip").Header().Get("ETag"), s.get(t, path).Header().Get("ETag"), etags)
	require.Empty(t, s.call(t, http.MethodGet, "/", "", "Accept-Encoding", "gzip").Header().Get("Content-Encoding"))
	s.call(t, http.MethodGet, path+".gz", "", "Accept", "*/*").is(http.StatusNotFound)
}

// A client gets all of it over a connection: whole, in part, and by HEAD.
func TestUIOverHTTP(t *testing.T) {
	srv := httptest.NewServer(withUI(t, built(t)).handler)
	defer srv.Close()
	for _, tc := range []struct {
		method, bytes, want string
		status              int
	}{{"GET", "", "export default 1", 200}, {"GET", "bytes=0-5", "export", 206}, {"HEAD", "", "", 200}} {
		req, err := http.NewRequestWithContext(context.WithoutCancel(t.Context()), tc.method, srv.URL+"/assets/index-DiwrgTda.js", nil)
		require.NoError(t, err)
		if tc.bytes != "" {
			req.Header.Set("Range", tc.bytes)
		}
		res, err := srv.Client().Do(req) // it takes gzip by itself, and unpacks it
		require.NoError(t, err)
		body, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		require.Equal(t, tc.status, res.StatusCode)
		require.Equal(t, tc.want, string(body))
	}
}

// A UI is not counted, however many files a page has.
func TestUIIsNotCounted(t *testing.T) {
	ui, err := api.OpenUI(built(t))
	require.NoError(t, err)
	s, _ := limited(t, "")
	s.UI = ui
	s.handler = s.Handler()
	for range 50 {
		s.call(t, http.MethodGet, "/assets/index-DiwrgTda.js", "", "Authorization", "").is(http.StatusOK)
	}
	s.lets(t, 3, "/assets/none.js", "Authorization", "", "Accept", "*/*")
}

// What is no UI is refused at the start, with the name of the setting; links that lead out of
// the directory are, too.
func TestOpenUIRefuses(t *testing.T) {
	outside := write(t, map[string]string{"secret.txt": "hush", "dir/a.txt": "hush"})
	link := func(to, name string) string {
		dir := built(t)
		require.NoError(t, os.Symlink(to, filepath.Join(dir, name)))
		return dir
	}
	large := built(t)
	require.NoError(t, os.Truncate(filepath.Join(large, "logo.svg"), 257<<20)) // of nothing
	for name, tc := range map[string]struct{ dir, want string }{
		"a large one":              {large, "it holds more than 256 MB, so it is no web UI"},
		"no directory":             {filepath.Join(outside, "none"), "no such file or directory"},
		"a file":                   {filepath.Join(outside, "secret.txt"), "not a directory"},
		"no index.html":            {outside, "no index.html is: build the web UI, and name the directory that the build wrote"},
		"index.html deeper down":   {write(t, map[string]string{"dist/index.html": indexPage}), "no index.html is"},
		"a link to a file outside": {link(filepath.Join(outside, "secret.txt"), "a.txt"), "a.txt"},
		"a relative one":           {link("../../../../../../../../etc/passwd", "a.txt"), "a.txt"},
		"a directory outside":      {link(filepath.Join(outside, "dir"), "more"), "more"},
		"a link to itself":         {link(".", "again"), "again is a link to a directory"},
		"a link to nothing":        {link("none", "a.txt"), "a.txt"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := api.OpenUI(tc.dir)
			require.ErrorContains(t, err, tc.want)
			require.ErrorContains(t, err, "api.ui_dir")
			require.Equal(t, models.Invalid, models.KindOf(err))
		})
	}
}

// Links within the directory are followed: a volume of Kubernetes is made of them.
func TestUIOfAVolume(t *testing.T) {
	dir := write(t, map[string]string{"..2026_01/index.html": indexPage})
	require.NoError(t, os.Symlink("..2026_01", filepath.Join(dir, "..data")))
	require.NoError(t, os.Symlink("..data/index.html", filepath.Join(dir, "index.html")))
	require.Equal(t, indexPage, withUI(t, dir).get(t, "/").is(http.StatusOK).Body.String())
}

// A UI stays what it was when it was read, so that its files belong together.
func TestUIIsOfOneBuild(t *testing.T) {
	dir := built(t)
	s := withUI(t, dir)
	require.NoError(t, os.RemoveAll(dir))
	require.Equal(t, indexPage, s.get(t, "/").is(http.StatusOK).Body.String())
}
