package litellmtest

import (
	"cmp"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// maxBody is the largest body that is read.
const maxBody = 8 << 20

// identity is who calls.
type identity struct {
	key  *key // nil: the master key
	role string
}

func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if allowBrowsers(w, r) {
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody)) // first, or it is not noticed that the caller leaves
	rt, part, a := p.route(r.Method, r.URL.Path)
	done := p.faults.note(r, rt.path)
	f := p.faults.next(r.URL.Path, rt.path)
	if !f.before(w, r, done) {
		return
	}
	switch {
	case a != nil:
	case err != nil:
		a = detail(http.StatusRequestEntityTooLarge, "Request body too large")
	default:
		a = p.run(rt, part, body, r)
	}
	f.after(w, r, a, done)
}

// run does what a call asks.
func (p *Proxy) run(rt route, part string, body []byte, r *http.Request) answer {
	p.mu.Lock()
	req := &request{Request: r, part: part, body: body, now: time.Now().UTC().Truncate(time.Millisecond)}
	a := p.admit(rt, req)
	if a == nil {
		a = rt.do(req)
	}
	p.refused(rt, req, a)
	p.mu.Unlock()
	if r.Method != http.MethodGet && p.file != nil {
		p.file.soon(p.snapshot)
	}
	return a
}

// allowBrowsers sets the CORS headers and reports whether the call was only to ask for them.
func allowBrowsers(w http.ResponseWriter, r *http.Request) bool {
	h := w.Header()
	h.Set("Vary", "Origin")
	if r.Header.Get("Origin") == "" {
		return false
	}
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("Access-Control-Expose-Headers", "x-litellm-cache-key")
	if r.Method != http.MethodOptions || r.Header.Get("Access-Control-Request-Method") == "" {
		return false
	}
	h.Set("Access-Control-Allow-Methods", "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT")
	h.Set("Access-Control-Allow-Headers", r.Header.Get("Access-Control-Request-Headers"))
	h.Set("Access-Control-Max-Age", "600")
	h.Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = io.WriteString(w, "OK") // who hung up misses it
	return true
}

// admit finds out who calls and whether he may; nil means that he may.
func (p *Proxy) admit(rt route, r *request) answer {
	if rt.access == public {
		return nil
	}
	presented, given := presentedKey(r.Header)
	refuse := func(message, typ, param string) answer {
		return proxyError(http.StatusUnauthorized, message, typ, param)
	}
	switch {
	case presented == p.master:
		r.who = identity{role: roleAdmin}
		return nil
	case !given:
		return refuse("Authentication Error, No api key passed in.", typeAuth, "None")
	case presented == "":
		return refuse("Authentication Error, Malformed API Key passed in. Ensure Key has `Bearer ` prefix.", typeAuth, "None")
	case !strings.HasPrefix(presented, "sk-"):
		return refuse("LiteLLM Virtual Key expected. Received=****, expected to start with 'sk-'.", typeAuth, "None")
	}
	k := p.keys[hash(presented)]
	switch {
	case k == nil:
		return refuse("Authentication Error, Invalid API key provided.", "token_not_found_in_db", "key")
	case k.Blocked != nil && *k.Blocked:
		return refuse("Authentication Error, Key is blocked. Update via `/key/unblock` if you're an admin.", typeAuth, "None")
	case k.Expires != nil && !r.now.Before(*k.Expires):
		return refuse(fmt.Sprintf("Authentication Error - Expired Key. Key Expiry time %s and current time %s",
			pythonTime(*k.Expires), pythonTime(r.now)), "expired_key", "sk-..."+k.Token[60:])
	}
	r.who = identity{key: k, role: p.roleOf(k)}
	return p.authorise(rt, r)
}

// presentedKey finds the key in one of the headers that LiteLLM looks at. It is empty when the
// Authorization header is not what it should be.
func presentedKey(h http.Header) (key string, given bool) {
	for _, name := range []string{"x-litellm-api-key", "api-key", "x-api-key"} {
		if key := h.Get(name); key != "" {
			return strings.TrimPrefix(key, "Bearer "), true
		}
	}
	scheme, key, ok := strings.Cut(h.Get("Authorization"), " ")
	if !ok {
		return "", scheme != ""
	}
	return strings.TrimSpace(key), true
}

// authorise says what a key that is not the master key may do.
func (p *Proxy) authorise(rt route, r *request) answer {
	switch role := r.who.role; {
	case rt.access == caller, role == roleAdmin, rt.access == viewer && role == roleViewer:
		return nil
	case role == roleViewer:
		return proxyError(http.StatusForbidden, "user not allowed to access this route, role= proxy_admin_viewer. Trying to access: "+r.URL.Path, typeAuth, "None")
	case r.URL.Path == "/user/list":
		return detail(http.StatusForbidden, object{"error": "Only proxy admins and organization admins can list users."})
	case r.URL.Path == "/key/list" && r.who.key.UserID == nil:
		return proxyError(http.StatusForbidden, "You are not authorized to access this endpoint. No 'user_id' is associated with your API key.", typeBad, "user_id")
	default:
		return proxyError(http.StatusUnauthorized, "Authentication Error, Only proxy admin can be used to generate, delete, update info for new keys/users/teams. Route="+
			r.URL.Path+". Your role="+cmp.Or(role, "unknown")+". Your user_id=*******", typeAuth, "None")
	}
}

// roleOf is the role of the key's user.
func (p *Proxy) roleOf(k *key) string {
	if k.UserID == nil {
		return ""
	}
	if u := p.users[*k.UserID]; u != nil && u.Role != nil {
		return *u.Role
	}
	return ""
}

const (
	roleAdmin  = "proxy_admin"
	roleViewer = "proxy_admin_viewer"
)

// pythonTime is a time as Python prints it.
func pythonTime(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05.000000+00:00") }
