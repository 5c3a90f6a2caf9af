package api

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	ginCORS "github.com/gin-contrib/cors"
	"github.com/gin-gonic/gin"

	"github.com/litemaas/litemaas/models"
)

// request is what we know of a request beside what its handler is given.
type request struct {
	id      string
	at      time.Time  // when it came
	ip      netip.Addr // of the caller; not valid where there is none, as on a socket of Unix
	secure  bool       // the caller sent it by TLS, if only as far as a trusted proxy
	caller  caller
	unknown error // why the caller is nobody we know; nil: he is known

	deed      *models.Deed // what it does; nil: it is no mutation of somebody we know
	operation *operation   // nil: it is none, or becomes one when it is answered 202

	method, path, agent string // as it was sent
}

// address is the caller's as text; empty, if there is none.
func (r *request) address() string {
	if !r.ip.IsValid() {
		return ""
	}
	return r.ip.String()
}

type requestKey struct{}

// requestOf is the request that ctx belongs to.
func requestOf(ctx context.Context) *request {
	if r, ok := ctx.Value(requestKey{}).(*request); ok {
		return r
	}
	return &request{}
}

// saneID is what we take over as the ID of a request.
var saneID = regexp.MustCompile(`^[A-Za-z0-9._:-]{1,64}$`)

// headers are sent with every answer; docs.go and ui.go loosen some for their pages. All answers
// share the values, spelled as net/http keeps them: set another, never change one.
var headers = http.Header{
	"Cache-Control":              {"no-store"},
	"Content-Security-Policy":    {"default-src 'none'; frame-ancestors 'none'"},
	"Cross-Origin-Opener-Policy": {"same-origin"},
	"Referrer-Policy":            {"no-referrer"},
	"X-Content-Type-Options":     {"nosniff"},
	"X-Frame-Options":            {"DENY"},
}

// onlyTLS is sent to who came by TLS: his browser comes by nothing else for a year.
var onlyTLS = []string{"max-age=31536000"}

// idHeader names a request, both ways.
const idHeader = "X-Request-Id"

// frame is around every request: it names it, answers for it should it panic, measures it,
// and writes its line into the log.
func frame(m *meter, trusted proxies) gin.HandlerFunc {
	return func(c *gin.Context) {
		start := time.Now()
		req := &request{id: c.GetHeader(idHeader), at: start}
		if !saneID.MatchString(req.id) {
			req.id = rand.Text()
		}
		req.ip, req.secure = trusted.origin(c.Request)
		req.method, req.path, req.agent = c.Request.Method, c.Request.URL.Path, c.Request.UserAgent()
		c.Request = c.Request.WithContext(context.WithValue(c.Request.Context(), requestKey{}, req))
		h := c.Writer.Header()
		maps.Copy(h, headers) // Set would allocate for each
		h[idHeader] = []string{req.id}
		if req.secure {
			h["Strict-Transport-Security"] = onlyTLS
		}
		defer func() {
			failure := recover()
			err, _ := failure.(error)
			hungUp := errors.Is(err, http.ErrAbortHandler)
			if failure != nil && !hungUp {
				rescue(c, failure)
			}
			took := time.Since(start)
			m.observe(c.Request.Method, c.FullPath(), c.Writer.Status(), took)
			logRequest(c, req, took)
			if hungUp {
				panic(failure)
			}
		}()
		c.Next()
	}
}

// rescue answers a request whose handler panicked.
func rescue(c *gin.Context, failure any) {
	p := fail(c.Request.Context(), models.Errorf(models.Internal, "panic: %v\n%s", failure, debug.Stack()))
	if !c.Writer.Written() {
		answer(c, p)
	}
}

// logRequest writes the line of a request. A query may hold what is nobody's business.
func logRequest(c *gin.Context, req *request, took time.Duration) {
	attrs := []slog.Attr{
		slog.String("method", c.Request.Method), slog.String("route", c.FullPath()), slog.Int("status", c.Writer.Status()),
		slog.Float64("duration_ms", float64(took.Microseconds())/1000), slog.String("request_id", req.id),
	}
	if req.ip.IsValid() {
		attrs = append(attrs, slog.String("ip", req.ip.String()))
	}
	if req.caller.id != "" {
		attrs = append(attrs, slog.String("actor", req.caller.id))
	}
	slog.LogAttrs(c.Request.Context(), slog.LevelInfo, "request", attrs...)
}

// maxBody is how large a body may be, in bytes, where nothing else is said.
const maxBody = 1 << 20

// maxBodyOf is how large a body may be at a route.
func maxBodyOf(route string) int64 {
	if route == usageEventsPath {
		return maxUsageBody
	}
	return maxBody
}

// tooLarge is the answer to a body that is larger.
func tooLarge(ctx context.Context, most int64) *problem {
	r := refusals[http.StatusRequestEntityTooLarge]
	return newProblem(ctx, r.meaning, fmt.Sprintf("the body is larger than %d MB", most>>20))
}

// limit answers what no handler should have to think about: a body that is too large, before
// it is read, and characters that no database holds.
func limit(c *gin.Context) {
	ctx := c.Request.Context()
	if most := maxBodyOf(c.FullPath()); c.Request.ContentLength > most {
		answer(c, tooLarge(ctx, most))
		return
	}
	if err := checkText(c.Request.URL); err != nil {
		answer(c, fail(ctx, err))
	}
}

// checkText makes sure that the path and the query hold text.
func checkText(u *url.URL) error {
	if !isText(u.Path) {
		return models.Errorf(models.Invalid, "the path holds characters that no name has").On("path")
	}
	if !strings.Contains(u.RawQuery, "%") && isText(u.RawQuery) {
		return nil
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return models.Errorf(models.Invalid, "the query cannot be read: %s", err).On("query")
	}
	for name, values := range query {
		if !isText(name) || slices.ContainsFunc(values, func(v string) bool { return !isText(v) }) {
			return models.Errorf(models.Invalid, "must be text").On(strings.ToValidUTF8(name, "�"))
		}
	}
	return nil
}

// isText reports whether Postgres can hold s.
func isText(s string) bool { return utf8.ValidString(s) && !strings.Contains(s, "\x00") }

// cors lets web pages of the given origins call us. Others get no permission and no error: a
// proxy before us may have changed the host, and browsers judge by themselves.
func cors(origins []string) gin.HandlerFunc {
	if len(origins) == 0 {
		return func(*gin.Context) {}
	}
	permit := ginCORS.New(ginCORS.Config{
		AllowOrigins: origins, AllowCredentials: true, MaxAge: time.Hour,
		AllowMethods:  []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"},
		AllowHeaders:  []string{"Authorization", "Content-Type", "Idempotency-Key", "Prefer", "X-Request-ID"},
		ExposeHeaders: append([]string{"Location", "Retry-After", "X-Request-ID", "Preference-Applied", replayedHeader}, limitHeaders...),
	})
	return func(c *gin.Context) {
		if slices.Contains(origins, c.GetHeader("Origin")) {
			permit(c)
		}
	}
}
