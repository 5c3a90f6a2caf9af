package api_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

// What is wrong with a request is answered with 4xx, and the field is named.
func TestBadInput(t *testing.T) {
	s := idle(t)
	run := "/api/v1/sync/runs/" + uuid.NewString()
	for _, tc := range []struct {
		name, method, path, body string
		status                   int
		code, field, message     string
	}{
		{"a word for a page", "GET", "/api/v1/models?page=abc", "", 400, "VALIDATION_ERROR", "page", "must be integer"},
		{"half a page", "GET", "/api/v1/models?page=1.5", "", 400, "VALIDATION_ERROR", "page", "must be integer"},
		{"page zero", "GET", "/api/v1/models?page=0", "", 400, "VALIDATION_ERROR", "page", "must be >= 1"},
		{"a page beyond all", "GET", "/api/v1/models?page=9223372036854775807", "", 400, "VALIDATION_ERROR", "page", "must be <= 999999"},
		{"a page beyond numbers", "GET", "/api/v1/models?page=99999999999999999999", "", 400, "VALIDATION_ERROR", "page", "must be integer"},
		{"limit zero", "GET", "/api/v1/models?limit=0", "", 400, "VALIDATION_ERROR", "limit", "must be >= 1"},
		{"a negative limit", "GET", "/api/v1/models?limit=-1", "", 400, "VALIDATION_ERROR", "limit", "must be >= 1"},
		{"too large a limit", "GET", "/api/v1/models?limit=100000", "", 400, "VALIDATION_ERROR", "limit", "must be <= 1000"},
		{"neither true nor false", "GET", "/api/v1/models?isActive=maybe", "", 400, "VALIDATION_ERROR", "isActive", "must be boolean"},
		{"a NUL to search for", "GET", "/api/v1/models?search=a%00b", "", 400, "VALIDATION_ERROR", "search", "must be text"},
		{"bytes to search for", "GET", "/api/v1/models?search=%ff%fe", "", 400, "VALIDATION_ERROR", "search", "must be text"},
		{"a bad escape", "GET", "/api/v1/models?search=%zz", "", 400, "VALIDATION_ERROR", "query", "the query cannot be read"},
		{"endless text to search for", "GET", "/api/v1/models?search=" + strings.Repeat("a", 501), "", 400, "VALIDATION_ERROR", "search", "must NOT have more than 500 characters"},
		{"a NUL in a name", "GET", "/api/v1/models/a%00b", "", 400, "VALIDATION_ERROR", "path", ""},
		{"bytes in a name", "GET", "/api/v1/models/%ff", "", 400, "VALIDATION_ERROR", "path", ""},
		{"an unknown model", "GET", "/api/v1/models/no-such-model", "", 404, "NOT_FOUND", "", "model no-such-model not found"},
		{"an endless name", "POST", "/api/v1/models/" + strings.Repeat("ä", 400) + "/refresh", "", 404, "NOT_FOUND", "", ""},
		{"an unknown route", "GET", "/api/v1/nothing", "", 404, "NOT_FOUND", "", "Route GET /api/v1/nothing not found"},
		{"a method that is not there", "DELETE", "/api/v1/models", "", 404, "NOT_FOUND", "", "Route DELETE /api/v1/models not found"},
		{"a NUL in a route", "GET", "/api/v1/any%00thing", "", 400, "VALIDATION_ERROR", "path", ""},
		{"no UUID", "GET", "/api/v1/sync/runs/abc", "", 400, "VALIDATION_ERROR", "id", "must be a UUID"},
		{"an unknown run", "GET", run, "", 404, "NOT_FOUND", "", "not found"},
		{"an unknown kind", "GET", run + "?kind=odd", "", 400, "VALIDATION_ERROR", "kind", "must be one of"},
		{"an unknown status", "GET", "/api/v1/sync/runs?status=odd", "", 400, "VALIDATION_ERROR", "status", "must be one of"},
		{"no JSON", "POST", "/api/v1/models/sync", `{"dryRun": `, 400, "VALIDATION_ERROR", "body", "must be JSON"},
		{"a list for an object", "POST", "/api/v1/models/sync", `[]`, 400, "VALIDATION_ERROR", "body", "must be object"},
		{"an unknown field", "POST", "/api/v1/models/sync", `{"dryrun": true}`, 400, "VALIDATION_ERROR", "dryrun", "must NOT have additional properties"},
		{"a word for a flag", "POST", "/api/v1/models/sync", `{"dryRun": "yes"}`, 400, "VALIDATION_ERROR", "dryRun", "must be boolean"},
		{"no decision", "POST", run + "/decision", `{}`, 400, "VALIDATION_ERROR", "decision", "must have required property 'decision'"},
		{"another decision", "POST", run + "/decision", `{"decision": "maybe"}`, 400, "VALIDATION_ERROR", "decision", "must be one of"},
		{"a NUL in a reason", "POST", run + "/decision", `{"decision": "reject", "reason": "a\u0000"}`, 400, "VALIDATION_ERROR", "reason", "must be text"},
		{"a decision without a body", "POST", run + "/decision", ``, 400, "VALIDATION_ERROR", "", "request body is required"},
		{"a decision about nothing", "POST", run + "/decision", `{"decision": "reject"}`, 404, "NOT_FOUND", "", "not found"},
		{"too short an interval", "PUT", "/api/v1/sync/schedule", `{"intervalMinutes": 0.5}`, 400, "VALIDATION_ERROR", "intervalMinutes", "must be >= 1"},
		{"a jitter beyond the interval", "PUT", "/api/v1/sync/schedule", `{"intervalMinutes": 1, "jitterSeconds": 60}`, 400, "VALIDATION_ERROR", "jitterSeconds", "the jitter must be"},
		{"a schedule out of nothing", "PUT", "/api/v1/sync/schedule", `{"paused": true}`, 400, "VALIDATION_ERROR", "intervalMinutes", "the interval must be"},
		{"a NUL in a note", "PUT", "/api/v1/sync/schedule", `{"note": "a\u0000"}`, 400, "VALIDATION_ERROR", "note", "must be text"},
		{"no schedule yet", "GET", "/api/v1/sync/schedule", ``, 404, "NOT_FOUND", "", "there is no schedule yet"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			rep := s.call(t, tc.method, tc.path, tc.body)
			require.Equal(t, tc.field, rep.problem(tc.status, tc.code))
			require.Contains(t, rep.at("detail"), tc.message)
		})
	}
}

// A field error says what LiteMaaS says, where its web UI looks for it.
func TestValidationErrorIsLiteMaaSs(t *testing.T) {
	rep := idle(t).get(t, "/api/v1/models?limit=0").is(http.StatusBadRequest)
	require.Equal(t, "Request validation failed", rep.at("error.message"))
	require.Equal(t, []any{map[string]any{"field": "limit", "message": "must be >= 1", "code": "minimum"}}, rep.at("error.details.validation"))
	require.Equal(t, "Please check your input and try again", rep.at("error.details.suggestion"))
	require.Equal(t, "limit: must be >= 1", rep.at("detail"))
	require.NotEmpty(t, rep.at("error.timestamp"))
}

// unread is a body that must not be read.
type unread struct{ t *testing.T }

func (u unread) Read([]byte) (int, error) {
	u.t.Error("the body was read")
	return 0, io.EOF
}

// A body of more than 1 MB is refused: before it is read, if its length is told.
func TestLargeBody(t *testing.T) {
	s := idle(t)
	for _, path := range []string{"/api/v1/models/sync", "/api/v1/nothing"} {
		req, rec := httptest.NewRequest(http.MethodPost, path, unread{t}), httptest.NewRecorder()
		req.ContentLength = 10 << 20
		s.handler.ServeHTTP(rec, req)
		reply{rec, t}.problem(http.StatusRequestEntityTooLarge, "PAYLOAD_TOO_LARGE")
	}
	long := func(n int) string { return `{"dryRun": "` + strings.Repeat("x", n-len(`{"dryRun": ""}`)) + `"}` }
	chunked := func(body string) reply {
		req, rec := httptest.NewRequest(http.MethodPost, "/api/v1/models/sync", strings.NewReader(body)), httptest.NewRecorder()
		req.ContentLength = -1
		req.Header.Set("Authorization", "Bearer "+adminKey)
		s.handler.ServeHTTP(rec, req)
		return reply{rec, t}
	}
	chunked(long(1<<20+1)).problem(http.StatusRequestEntityTooLarge, "PAYLOAD_TOO_LARGE")
	require.Equal(t, "dryRun", chunked(long(1<<20)).problem(http.StatusBadRequest, "VALIDATION_ERROR"), "1 MB itself is read")
}

// A body that breaks off is the caller's failure, not ours.
func TestBrokenBody(t *testing.T) {
	srv := httptest.NewServer(idle(t).handler)
	defer srv.Close()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", srv.Listener.Addr().String())
	require.NoError(t, err)
	defer conn.Close()
	_, err = io.WriteString(conn, "POST /api/v1/models/sync HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer "+adminKey+"\r\nTransfer-Encoding: chunked\r\n\r\nno number\r\n")
	require.NoError(t, err)
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err)
	defer res.Body.Close()
	require.Equal(t, http.StatusBadRequest, res.StatusCode)
}

// JSON is what we read; a POST that needs no body may have none, whatever it says of its type.
func TestContentTypes(t *testing.T) {
	s := idle(t)
	s.call(t, http.MethodPost, "/api/v1/models/sync", "dryRun=true", "Content-Type", "application/x-www-form-urlencoded").
		problem(http.StatusUnsupportedMediaType, "UNSUPPORTED_MEDIA_TYPE")
	for _, kind := range []string{"application/json", "application/json; charset=utf-8", "text/plain", ""} {
		s.call(t, http.MethodPost, "/api/v1/models/sync", "", "Content-Type", kind).problem(http.StatusServiceUnavailable, "SERVICE_UNAVAILABLE")
		s.call(t, http.MethodPost, "/api/v1/models/refresh", "", "Content-Type", kind).problem(http.StatusServiceUnavailable, "SERVICE_UNAVAILABLE")
	}
	require.Equal(t, "application/json", s.call(t, http.MethodGet, "/api/v1", "", "Accept", "application/xml").is(http.StatusOK).Header().Get("Content-Type"))
}

// A request has the caller's ID if that is sane, else one of ours, in the answer and in the log.
func TestRequestID(t *testing.T) {
	var log bytes.Buffer
	before := slog.Default()
	slog.SetDefault(slog.New(slog.NewJSONHandler(&log, nil)))
	defer slog.SetDefault(before)
	s := idle(t)
	require.Equal(t, "abc-1", s.call(t, http.MethodGet, "/api/v1/models/x?key=sk-secret", "", "X-Request-ID", "abc-1").Header().Get("X-Request-ID"))
	var line map[string]any
	require.NoError(t, json.Unmarshal(log.Bytes(), &line), log.String())
	require.Equal(t, "abc-1", line["request_id"])
	require.Equal(t, "GET", line["method"])
	require.Equal(t, "/api/v1/models/:id", line["route"])
	require.EqualValues(t, http.StatusNotFound, line["status"])
	require.Contains(t, line, "duration_ms")
	require.NotContains(t, log.String(), "sk-secret")

	log.Reset()
	s.call(t, http.MethodPost, "/api/v1/models/sync", "", "X-Request-ID", "abc-2").is(http.StatusServiceUnavailable)
	require.Contains(t, log.String(), `"actor":"admin-key-`)
	require.Contains(t, log.String(), "connection refused", "the cause is in the log")
	require.NotContains(t, log.String(), adminKey)
	for _, insane := range []string{"a b", "a\"b", strings.Repeat("a", 65), "<script>"} {
		got := s.call(t, http.MethodGet, "/api/v1", "", "X-Request-ID", insane).Header().Get("X-Request-ID")
		require.NotEmpty(t, got)
		require.NotEqual(t, insane, got)
	}
}

// A handler that panics is answered like any other failure, and the cause is only logged.
func TestPanic(t *testing.T) {
	var log bytes.Buffer
	before := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&log, nil)))
	defer slog.SetDefault(before)
	rep := serve(nil, &away{}, &away{}).get(t, "/api/v1/models") // there is no store
	rep.problem(http.StatusInternalServerError, "INTERNAL_ERROR")
	require.Equal(t, "An unexpected error occurred", rep.at("message"))
	require.Contains(t, log.String(), "panic")
	require.Contains(t, log.String(), rep.Header().Get("X-Request-ID"))
	require.NotContains(t, rep.Body.String(), "nil pointer")
}

// Pages of the configured origins may call us; others are not told that they may.
func TestCORS(t *testing.T) {
	s := idle(t)
	preflight := s.call(t, http.MethodOptions, "/api/v1/models", "", "Origin", "http://localhost:3000", "Access-Control-Request-Method", "GET").is(http.StatusNoContent)
	require.Equal(t, "http://localhost:3000", preflight.Header().Get("Access-Control-Allow-Origin"))
	require.Equal(t, "true", preflight.Header().Get("Access-Control-Allow-Credentials"))
	require.Contains(t, preflight.Header().Get("Access-Control-Allow-Headers"), "Authorization")
	same := s.call(t, http.MethodGet, "/api/v1/models", "", "Origin", "http://localhost:3000").is(http.StatusOK)
	require.Equal(t, "http://localhost:3000", same.Header().Get("Access-Control-Allow-Origin"))
	other := s.call(t, http.MethodGet, "/api/v1/models", "", "Origin", "http://evil.example.com").is(http.StatusOK)
	require.Empty(t, other.Header().Get("Access-Control-Allow-Origin"))
	for _, origin := range []string{"http://evil.example.com", "http://localhost:3001", "http://localhost:3000.evil.com", "null"} {
		asked := s.call(t, http.MethodOptions, "/api/v1/models", "", "Origin", origin, "Access-Control-Request-Method", "POST")
		require.Empty(t, asked.Header().Get("Access-Control-Allow-Origin"), origin)
		require.Empty(t, asked.Header().Get("Access-Control-Allow-Credentials"), origin)
	}
}

// HEAD answers as GET does, and slashes at the end of a path do not matter.
func TestHeadAndSlashes(t *testing.T) {
	s := idle(t)
	srv := httptest.NewServer(s.handler)
	defer srv.Close()
	for _, path := range []string{"/api/v1", "/api/v1/", "/api/v1/models", "/api/v1/models/", "/api/v1/models?limit=5", "/health/live", "/api/v1/health/metrics", "/docs/", "/openapi.json"} {
		s.get(t, path).is(http.StatusOK)
		req, err := http.NewRequestWithContext(context.WithoutCancel(t.Context()), http.MethodHead, srv.URL+path, nil)
		require.NoError(t, err)
		res, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		body, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		require.Equal(t, http.StatusOK, res.StatusCode, path)
		require.Empty(t, body)
	}
	s.call(t, http.MethodHead, "/api/v1/models/none", "").is(http.StatusNotFound)
}

// Answers are nobody's to keep, frame or guess the type of, whatever a page before them was let.
func TestSecurityHeaders(t *testing.T) {
	s := idle(t)
	s.Config.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
	s = system{s.Server, s.Handler()}
	loose := s.get(t, "/docs/static/swagger-ui.css").is(http.StatusOK).Header()
	require.NotEqual(t, "no-store", loose.Get("Cache-Control"))
	loose.Add("X-Frame-Options", "changed by one answer")
	for _, path := range []string{"/api/v1/models", "/api/v1/nothing", "/api/v1/models?limit=0", "/api/v1/auth/me"} {
		for scheme, hsts := range map[string][]string{"http": nil, "https": {"max-age=31536000"}} {
			h := s.call(t, http.MethodGet, path, "", "X-Forwarded-For", "198.51.100.1", "X-Forwarded-Proto", scheme).Header()
			require.Equal(t, hsts, h.Values("Strict-Transport-Security"))
			for name, want := range map[string]string{
				"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store",
				"Cross-Origin-Opener-Policy": "same-origin", "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
			} {
				require.Equal(t, []string{want}, h.Values(name), "%s of %s", name, path)
			}
		}
	}
}
