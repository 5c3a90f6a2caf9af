package api_test

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/api"
)

// Where a request comes from is what the nearest proxy says that we do not trust: never what
// the caller says himself.
func TestOrigin(t *testing.T) {
	trusted := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}
	for name, tc := range map[string]struct {
		peer   string
		header []string
		ip     string
		secure bool
	}{
		"no proxy":                          {"203.0.113.7:9000", nil, "203.0.113.7", false},
		"no proxy, and a lie":               {"203.0.113.7:9000", []string{"X-Forwarded-For", "1.2.3.4", "X-Forwarded-Proto", "https"}, "203.0.113.7", false},
		"a proxy":                           {"10.0.0.1:9000", []string{"X-Forwarded-For", "203.0.113.7"}, "203.0.113.7", false},
		"a proxy that speaks TLS":           {"10.0.0.1:9000", []string{"X-Forwarded-For", "203.0.113.7", "X-Forwarded-Proto", "HTTPS"}, "203.0.113.7", true},
		"a proxy that does not":             {"10.0.0.1:9000", []string{"X-Forwarded-Proto", "https, http"}, "10.0.0.1", false},
		"a proxy, and a lie":                {"10.0.0.1:9000", []string{"X-Forwarded-For", "1.2.3.4, 203.0.113.7"}, "203.0.113.7", false},
		"a proxy, and a lie about proxies":  {"10.0.0.1:9000", []string{"X-Forwarded-For", "1.2.3.4, 10.9.9.9, 203.0.113.7"}, "203.0.113.7", false},
		"a lie in a line of its own":        {"10.0.0.1:9000", []string{"X-Forwarded-For", "1.2.3.4", "X-Forwarded-For", "203.0.113.7"}, "203.0.113.7", false},
		"two proxies":                       {"10.0.0.1:9000", []string{"X-Forwarded-For", "1.2.3.4, 203.0.113.7,10.0.0.2"}, "203.0.113.7", false},
		"a caller who is a proxy":           {"10.0.0.1:9000", []string{"X-Forwarded-For", "10.0.0.3, 10.0.0.2"}, "10.0.0.3", false},
		"a proxy that says nothing":         {"10.0.0.1:9000", nil, "10.0.0.1", false},
		"a proxy that says nonsense":        {"10.0.0.1:9000", []string{"X-Forwarded-For", "1.2.3.4, unknown"}, "10.0.0.1", false},
		"nonsense before a proxy":           {"10.0.0.1:9000", []string{"X-Forwarded-For", "unknown, 10.0.0.2"}, "10.0.0.2", false},
		"a proxy that tells ports":          {"10.0.0.1:9000", []string{"X-Forwarded-For", "203.0.113.7:5000"}, "203.0.113.7", false},
		"IPv6":                              {"[fd00::1]:9000", []string{"X-Forwarded-For", "2001:db8::7"}, "2001:db8::7", false},
		"IPv6 with a port":                  {"[fd00::1]:9000", []string{"X-Forwarded-For", "[2001:db8::7]:5000"}, "2001:db8::7", false},
		"IPv6 in brackets":                  {"[fd00::1]:9000", []string{"X-Forwarded-For", "[2001:db8::7]"}, "2001:db8::7", false},
		"IPv4 as IPv6":                      {"[::ffff:10.0.0.1]:9000", []string{"X-Forwarded-For", "::ffff:203.0.113.7"}, "203.0.113.7", false},
		"Forwarded, which is not heeded":    {"10.0.0.1:9000", []string{"Forwarded", "for=1.2.3.4;proto=https"}, "10.0.0.1", false},
		"X-Real-IP, which is not either":    {"10.0.0.1:9000", []string{"X-Real-IP", "1.2.3.4"}, "10.0.0.1", false},
		"a socket of Unix, without address": {"@", []string{"X-Forwarded-For", "1.2.3.4"}, "invalid IP", false},
	} {
		t.Run(name, func(t *testing.T) {
			req := httptest.NewRequest(http.MethodGet, "/", nil)
			req.RemoteAddr = tc.peer
			for i := 0; i < len(tc.header); i += 2 {
				req.Header.Add(tc.header[i], tc.header[i+1])
			}
			ip, secure := api.Origin(req, trusted...)
			require.Equal(t, tc.ip, ip.String())
			require.Equal(t, tc.secure, secure)
		})
	}
}

// The log tells where a request came from; and who came by TLS is to come by nothing else.
func TestOriginIsUsed(t *testing.T) {
	var log bytes.Buffer
	before := slog.Default()
	slog.SetDefault(slog.New(slog.NewJSONHandler(&log, nil)))
	defer slog.SetDefault(before)
	s, _ := limited(t, "")
	rep := s.call(t, http.MethodGet, "/api/v1", "", "X-Forwarded-For", "203.0.113.7", "X-Forwarded-Proto", "https")
	require.Contains(t, log.String(), `"ip":"203.0.113.7"`)
	require.Equal(t, "max-age=31536000", rep.Header().Get("Strict-Transport-Security"))
	require.Empty(t, s.get(t, "/api/v1").Header().Get("Strict-Transport-Security"))
}
