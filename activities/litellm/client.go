// Package litellm speaks the management API of a LiteLLM proxy, and is the only one that
// does.
//
// Every error is a *models.Error of one of these kinds: Invalid (LiteLLM refuses what was
// asked, for good), NotFound, Conflict, and Unavailable (LiteLLM is down, busy, broken,
// not where we look, or does not take our admin key; the same call may succeed later). The
// words and the status of LiteLLM are in an *Error behind it. Neither holds a secret. An
// error of a context that ended is Unavailable and still matches context.Canceled or
// context.DeadlineExceeded.
//
// Nothing is tried again here: that is for the workflow to decide. What a repeated call does
// is said at each call. (A read whose idle connection LiteLLM closed in that very moment is
// sent again on another one, by net/http.)
package litellm

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/litemaas/litemaas/models"
)

// Config says where the proxy is and how to be its admin.
type Config struct {
	URL      string        // http://host:4000, with a path if LiteLLM is served below one
	APIKey   models.Secret // the master key, or the key of a proxy_admin
	Timeout  time.Duration // of one call, its answer included; model lists get listPatience times as long. 0: 30 s
	MaxConns int           // connections at most; a call waits for a free one. 0: 32
}

const (
	defaultTimeout  = 30 * time.Second
	defaultMaxConns = 32

	// listPatience is how many time-outs reading a model list may take: with 5,000
	// deployments LiteLLM 1.108 needs 2 s for a page of 1,000, and answers nobody else
	// meanwhile.
	listPatience = 4

	// maxAnswer bounds an answer that is read as a whole, maxList one that is read entry by
	// entry (LiteLLM writes 8 kB for each deployment), maxRefusal one that is an error.
	maxAnswer  = 16 << 20
	maxList    = 2 << 30
	maxRefusal = 64 << 10
)

// Client calls one proxy. It is safe for use by many goroutines.
type Client struct {
	base    *url.URL // nil: cfg.URL is no address
	key     models.Secret
	timeout time.Duration
	http    *http.Client
}

// New returns a client of the proxy at cfg.URL. It does not connect; with a URL that is no
// http address every call fails and says so.
func New(cfg Config) *Client {
	conns := cmp.Or(cfg.MaxConns, defaultMaxConns)
	return &Client{
		base: addressOf(cfg.URL), key: cfg.APIKey, timeout: cmp.Or(cfg.Timeout, defaultTimeout),
		http: &http.Client{
			Transport: transport(conns),
			// A redirect is a login page or a wrong scheme; following it would send our key there.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

// addressOf reads the address of a proxy; nil: it is none.
func addressOf(text string) *url.URL {
	u, err := url.Parse(strings.TrimRight(strings.TrimSpace(text), "/"))
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil
	}
	return &url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path} // without a login, which would reach logs
}

// String says where the proxy is. It keeps fmt away from the key.
func (c *Client) String() string {
	if c.base == nil {
		return "LiteLLM without an address"
	}
	return "LiteLLM at " + c.base.String()
}

// GoString is what %#v prints.
func (c *Client) GoString() string { return c.String() }

// transport returns the connection pool.
func transport(conns int) *http.Transport {
	return &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: 5 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		TLSHandshakeTimeout:   10 * time.Second,
		ExpectContinueTimeout: time.Second,
		// A burst must queue here, not at LiteLLM: it is one Python process whose own pool of
		// database connections is what runs out.
		MaxConnsPerHost: conns,
		// The default keeps two idle, so that a burst would dial and close all the others.
		MaxIdleConns:        conns,
		MaxIdleConnsPerHost: conns,
		// LiteLLM's server (uvicorn) closes a connection that was idle for 5 s. Reusing one in
		// that moment loses a POST in a way that nobody can tell from a POST that was done.
		IdleConnTimeout:        4 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
		ForceAttemptHTTP2:      true,
	}
}

type changedByKey struct{}

// WithChangedBy names, for LiteLLM's audit log, who asked for the calls made with the context.
// LiteLLM would name the admin key otherwise.
func WithChangedBy(ctx context.Context, actor string) context.Context {
	return context.WithValue(ctx, changedByKey{}, actor)
}

// changedBy returns the actor of the context as a header may hold it.
func changedBy(ctx context.Context) string {
	actor, _ := ctx.Value(changedByKey{}).(string)
	clean := strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, actor)
	return clean[:min(len(clean), 200)]
}

// call is one request.
type call struct {
	method, path string // path is unescaped
	query        url.Values
	body         any             // nil: none
	hide         []models.Secret // secrets of this call, to be kept out of its errors
	patience     time.Duration   // 0: the client's time-out
	at           *url.URL        // nil: where the client's proxy is
	as           models.Secret   // none: as its admin
}

// do sends the call and decodes the answer into out (nil: dropped).
func (c *Client) do(ctx context.Context, k call, out any) error {
	return c.send(ctx, k, func(body io.Reader) error {
		if out == nil {
			return nil
		}
		raw, err := io.ReadAll(atMost(body, maxAnswer))
		if err != nil {
			return err
		}
		if err := json.Unmarshal(raw, out); err != nil {
			return &strangeAnswerError{err}
		}
		return nil
	})
}

// send sends the call and gives the body of a good answer to read.
func (c *Client) send(ctx context.Context, k call, read func(io.Reader) error) error {
	if k.at == nil && c.base == nil {
		return models.Errorf(models.Unavailable, "LiteLLM has no address: set litellm.url (LITELLM_API_URL) to something like http://localhost:4000")
	}
	calling, cancel := context.WithTimeout(ctx, cmp.Or(k.patience, c.timeout))
	defer cancel()
	req, err := c.request(calling, k)
	if err != nil {
		return models.Wrap(models.Internal, err, "the request %s %s to LiteLLM could not be written", k.method, k.path)
	}
	res, err := c.http.Do(req)
	if err != nil {
		return c.silence(ctx, k, err)
	}
	defer res.Body.Close()
	if res.StatusCode < 200 || res.StatusCode > 299 {
		return c.refusal(k, res)
	}
	if err := read(res.Body); err != nil {
		return c.silence(ctx, k, err)
	}
	_, _ = io.CopyN(io.Discard, res.Body, 4<<10) // a body read to its end leaves the connection usable
	return nil
}

func (c *Client) request(ctx context.Context, k call) (*http.Request, error) {
	var body io.Reader
	if k.body != nil {
		raw, err := json.Marshal(k.body)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(raw)
	}
	base, key := cmp.Or(k.at, c.base), c.key
	if !k.as.IsZero() {
		key = k.as
	}
	address := base.JoinPath(k.path)
	address.RawQuery = k.query.Encode()
	req, err := http.NewRequestWithContext(ctx, k.method, address.String(), body)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+key.Reveal())
	req.Header.Set("Accept", "application/json")
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if actor := changedBy(ctx); actor != "" {
		req.Header.Set("litellm-changed-by", actor)
	}
	return req, nil
}

// strangeAnswerError is a good answer that is not what it should be.
type strangeAnswerError struct{ err error }

func (e *strangeAnswerError) Error() string { return e.err.Error() }
func (e *strangeAnswerError) Unwrap() error { return e.err }

// silence turns the lack of an answer, or of a whole one, into an error.
func (c *Client) silence(ctx context.Context, k call, err error) error {
	if e, ok := errors.AsType[*models.Error](err); ok {
		return e // what read made of it
	}
	if e, ok := errors.AsType[*url.Error](err); ok {
		err = e.Err // without the address, whose query may tell too much
	}
	cause := &cause{fmt.Sprintf("%s %s: %s", k.method, k.path, c.redact(err.Error(), k.hide)), err}
	if _, ok := errors.AsType[*strangeAnswerError](err); ok {
		return models.Wrap(models.Unavailable, cause, "LiteLLM's answer is not what it should be: check that litellm.url (LITELLM_API_URL) is LiteLLM's address")
	}
	switch {
	case ctx.Err() != nil:
		return models.Wrap(models.Unavailable, cause, "LiteLLM had not answered when the caller stopped waiting")
	case errors.Is(err, context.DeadlineExceeded):
		return models.Wrap(models.Unavailable, cause, "LiteLLM did not answer within %s", cmp.Or(k.patience, c.timeout))
	}
	return models.Wrap(models.Unavailable, cause, "LiteLLM does not answer: check that it runs and that litellm.url (LITELLM_API_URL) is its address")
}

// cause is an error whose text was cleaned of secrets; errors.Is still finds what it was.
type cause struct {
	text string
	err  error
}

func (e *cause) Error() string        { return e.text }
func (e *cause) Is(target error) bool { return errors.Is(e.err, target) }

// atMost reads n bytes of r and fails on the next, so that a broken LiteLLM cannot fill our
// memory.
func atMost(r io.Reader, n int64) io.Reader { return &bounded{r, n} }

type bounded struct {
	r    io.Reader
	left int64
}

func (b *bounded) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return 0, &strangeAnswerError{errors.New("the answer is larger than it can be")}
	}
	return n, err
}
