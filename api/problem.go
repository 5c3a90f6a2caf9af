package api

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gin-gonic/gin"

	"github.com/litemaas/litemaas/models"
)

// meaning is what a kind of failure is in HTTP, and what to tell the caller beside it.
type meaning struct {
	status     int
	code       string // LiteMaaS's word
	suggestion string
}

// meanings is the one place where a kind becomes a status. Pending is none: it is no failure.
var meanings = map[models.Kind]meaning{
	models.Invalid:         {http.StatusBadRequest, "VALIDATION_ERROR", "Please check your input and try again"},
	models.Unauthenticated: {http.StatusUnauthorized, "UNAUTHORIZED", "Sign in, or send a valid key in the header Authorization"},
	models.Forbidden:       {http.StatusForbidden, "FORBIDDEN", "You do not have permission to access this resource"},
	models.NotFound:        {http.StatusNotFound, "NOT_FOUND", "Please check the URL and try again"},
	models.Conflict:        {http.StatusConflict, "CONFLICT", ""},
	models.Limited:         {http.StatusTooManyRequests, "RATE_LIMITED", "Please wait a moment and try again"},
	models.Unavailable:     {http.StatusServiceUnavailable, "SERVICE_UNAVAILABLE", "Please try again in a moment"},
	models.Internal:        {http.StatusInternalServerError, "INTERNAL_ERROR", "Please try again or contact support if the problem persists"},
}

// refusals are the failures that only HTTP has.
var refusals = map[int]struct {
	meaning
	message string
}{
	http.StatusRequestTimeout: {
		meaning{http.StatusRequestTimeout, "TIMEOUT", "Please send the body without pauses"}, "the body took too long to arrive",
	},
	http.StatusRequestEntityTooLarge: {
		meaning{http.StatusRequestEntityTooLarge, "PAYLOAD_TOO_LARGE", "Please send less at once"}, "the body is larger than 1 MB",
	},
	http.StatusUnsupportedMediaType: {
		meaning{http.StatusUnsupportedMediaType, "UNSUPPORTED_MEDIA_TYPE", "Please send Content-Type: application/json"}, "the body is not said to be JSON",
	},
}

// retryAfter is when to try again, by kind, if the failure does not say.
var retryAfter = map[models.Kind]time.Duration{models.Limited: time.Minute, models.Unavailable: 5 * time.Second}

// problem is the body of every failure: an RFC 9457 problem, LiteMaaS's envelope, and the
// members that parts of its web UI look for at the top.
type problem struct {
	Type       string   `json:"type" example:"about:blank"`
	Title      string   `json:"title" example:"Bad Request"`
	Status     int      `json:"status" example:"400"`
	Detail     string   `json:"detail" example:"limit: must be <= 1000"`
	Envelope   envelope `json:"error"`
	Message    string   `json:"message" example:"Request validation failed"`
	Code       string   `json:"code" example:"VALIDATION_ERROR"`
	Details    details  `json:"details"`
	StatusCode int      `json:"statusCode" example:"400"`
	RequestID  string   `json:"requestId" doc:"Also in the header X-Request-ID, and in our log."`
	Valid      *bool    `json:"valid,omitempty" doc:"False, where a token was to be judged."`
}

type envelope struct {
	Code       string    `json:"code"`
	Message    string    `json:"message"`
	StatusCode int       `json:"statusCode"`
	Details    details   `json:"details"`
	RequestID  string    `json:"requestId"`
	Timestamp  time.Time `json:"timestamp"`
	Retry      *retry    `json:"retry,omitempty"`
}

type details struct {
	Field      string       `json:"field,omitempty" doc:"The part of the request to blame."`
	Validation []fieldError `json:"validation,omitempty"`
	Suggestion string       `json:"suggestion,omitempty"`
	RetryAfter int          `json:"retryAfter,omitempty" doc:"In seconds."`
	Limit      int          `json:"limit,omitempty" doc:"Of requests, where there were too many …"`
	TimeWindow string       `json:"timeWindow,omitempty" example:"1m" doc:"… in this time."`
	Remaining  int64        `json:"remaining,omitempty" doc:"When the next one is free, in milliseconds."`
}

type fieldError struct {
	Field   string `json:"field" example:"limit"`
	Message string `json:"message" example:"must be <= 1000"`
	Code    string `json:"code" example:"maximum"`
}

type retry struct {
	Retryable  bool `json:"retryable"`
	RetryAfter int  `json:"retryAfter" doc:"In seconds."`
}

func (p *problem) Error() string { return p.Detail }

// GetStatus tells huma the status.
func (p *problem) GetStatus() int { return p.Status }

// ContentType tells huma the type of the body.
func (*problem) ContentType(string) string { return "application/problem+json" }

// GetHeaders tells huma what to send beside the body.
func (p *problem) GetHeaders() http.Header {
	h := http.Header{}
	if p.Details.RetryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(p.Details.RetryAfter))
	}
	return h
}

func newProblem(ctx context.Context, m meaning, message string, fields ...fieldError) *problem {
	d := details{Suggestion: m.suggestion, Validation: fields}
	detail := message
	if len(fields) > 0 {
		d.Field = fields[0].Field
		detail = fields[0].Field + ": " + fields[0].Message
	}
	id := requestOf(ctx).id
	return &problem{
		Type: "about:blank", Title: http.StatusText(m.status), Status: m.status, Detail: detail,
		Envelope: envelope{Code: m.code, Message: message, StatusCode: m.status, Details: d, RequestID: id, Timestamp: time.Now().UTC()},
		Message:  message, Code: m.code, Details: d, StatusCode: m.status, RequestID: id,
	}
}

// fail turns an error into its answer. Its message is sent; its cause is only logged.
func fail(ctx context.Context, err error) *problem {
	if p, ok := errors.AsType[*problem](err); ok {
		return p
	}
	kind, message, fields := models.KindOf(err), "An unexpected error occurred", []fieldError{}
	m, known := meanings[kind]
	if !known {
		kind, m = models.Internal, meanings[models.Internal]
	}
	e, ok := errors.AsType[*models.Error](err)
	if ok && kind != models.Internal {
		message = e.Message
		if e.Field != "" {
			fields = append(fields, fieldError{e.Field, e.Message, "invalid"})
		}
	}
	p := newProblem(ctx, m, message, fields...)
	if after := retryAfter[kind]; after > 0 {
		if ok {
			after = cmp.Or(e.RetryAfter, after)
		}
		p.after(after)
	}
	if p.Status >= http.StatusInternalServerError {
		slog.ErrorContext(ctx, "request failed", "request_id", p.RequestID, "status", p.Status, "error", err)
	}
	return p
}

// after says when to try again.
func (p *problem) after(d time.Duration) {
	p.Details.RetryAfter, p.Envelope.Details.RetryAfter = seconds(d), seconds(d)
	p.Envelope.Retry = &retry{Retryable: true, RetryAfter: seconds(d)}
}

// answer ends a request with its failure, outside of huma.
func answer(c *gin.Context, p *problem) {
	body, err := json.Marshal(p)
	if err != nil {
		body = nil // cannot be: it is texts and numbers
	}
	for name := range p.GetHeaders() {
		c.Header(name, p.GetHeaders().Get(name))
	}
	c.Data(p.Status, p.ContentType(""), body)
	c.Abort()
}

// invalid is the answer to what huma itself finds wrong with a request: a field, a type, a
// range, a body that is no JSON. LiteMaaS answers 400 where huma says 422.
func invalid(ctx context.Context, status int, msg string, errs []error) *problem {
	if r, ok := refusals[status]; ok {
		return newProblem(ctx, r.meaning, r.message)
	}
	var fields []fieldError
	for _, err := range errs {
		if d, ok := err.(huma.ErrorDetailer); ok {
			fields = append(fields, newFieldError(d.ErrorDetail()))
		}
	}
	if status >= http.StatusInternalServerError && !strings.Contains(msg, "request body") { // ours, not the caller's
		return fail(ctx, models.Wrap(models.Internal, errors.Join(errs...), "%s", msg))
	}
	if len(fields) > 0 {
		msg = "Request validation failed"
	}
	return newProblem(ctx, meanings[models.Invalid], msg, fields...)
}

func init() { // huma keeps these as globals
	huma.NewErrorWithContext = func(ctx huma.Context, status int, msg string, errs ...error) huma.StatusError {
		return invalid(ctx.Context(), status, msg, errs)
	}
	huma.NewError = func(status int, msg string, errs ...error) huma.StatusError { // for the document
		return invalid(context.Background(), status, msg, errs)
	}
}
