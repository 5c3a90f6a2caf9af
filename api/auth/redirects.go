package auth

import (
	"net/url"
	"strings"

	"github.com/litemaas/litemaas/models"
)

// redirects is the list of the web UIs that sign-ins may end at, the first by default.
type redirects []url.URL

// newRedirects takes the address of the web UI, and the origins of further ones.
func newRedirects(c Config) (redirects, error) {
	u, ok := webURL(c.FrontendURL)
	if !ok {
		return nil, models.Errorf(models.Invalid, "the address of the web UI must be one such as https://litemaas.example.com").On("frontend_url")
	}
	out := redirects{{Scheme: u.Scheme, Host: u.Host, Path: strings.TrimRight(u.Path, "/")}}
	for _, origin := range c.CORSOrigins {
		if u, ok := webURL(origin); ok { // not *
			out = append(out, url.URL{Scheme: u.Scheme, Host: u.Host})
		}
	}
	return out, nil
}

// to is the page of a web UI, at the origin of page: that is what a browser says of itself in
// Origin or Referer. Nothing but the origin is taken from it, so that no page that sends
// people elsewhere can get hold of a token. It is Forbidden when the origin is not in the list.
func (r redirects) to(page, path string) (string, error) {
	if page == "" {
		return r[0].JoinPath(path).String(), nil
	}
	from, ok := webURL(page)
	if ok {
		for _, u := range r {
			if origin(u) == origin(*from) {
				return u.JoinPath(path).String(), nil
			}
		}
	}
	return "", models.Errorf(models.Forbidden, "a sign-in may not lead to another site: see FRONTEND_URL and CORS_ORIGIN")
}

// origin is what a browser calls the origin of an address.
func origin(u url.URL) string {
	port := u.Port()
	if port == "80" && u.Scheme == "http" || port == "443" && u.Scheme == "https" {
		port = ""
	}
	return strings.ToLower(u.Scheme + "://" + u.Hostname() + ":" + port)
}
