package litellm

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"time"

	"github.com/litemaas/litemaas/models"
)

// Error is what LiteLLM answered instead of doing what it was asked. It is found with
// errors.As behind the *models.Error that a call returns.
type Error struct {
	Method, Path string // without the query
	Status       int
	Param        string        // the field that LiteLLM blames, where it names one
	Message      string        // LiteLLM's own words, without secrets
	RetryAfter   time.Duration // how long LiteLLM asks us to wait; 0: it does not say

	reason error
}

func (e *Error) Error() string { return fmt.Sprintf("%s %s answered %d", e.Method, e.Path, e.Status) }
func (e *Error) Unwrap() error { return e.reason }

// Why some refusals are what they are; see the functions that look for them.
var (
	errListNotLoaded = errors.New("the model list is not loaded")
	errNoRoute       = errors.New("there is no such path")
	errSavedNotLive  = errors.New("saved, but not served yet")
	errNotAdded      = errors.New("not added, for a reason that LiteLLM does not tell")
)

// ListNotLoaded reports whether LiteLLM said that its model list is not loaded, as it may
// while it starts or cannot reach its database. Nothing is known of its models then: it is
// not the same as having none.
func ListNotLoaded(err error) bool { return errors.Is(err, errListNotLoaded) }

// NoRoute reports whether nobody serves the path that was called: LiteLLM is older than the
// call, or litellm.url is not its address. It says nothing of the thing that was asked for.
func NoRoute(err error) bool { return errors.Is(err, errNoRoute) }

// SavedNotLive reports whether LiteLLM stored a deployment but does not serve it yet. A look
// finds it once LiteLLM has read its database again (30 s).
func SavedNotLive(err error) bool { return errors.Is(err, errSavedNotLive) }

// refusal turns an answer that is not 2xx into an error.
func (c *Client) refusal(k call, res *http.Response) error {
	raw, _ := io.ReadAll(io.LimitReader(res.Body, maxRefusal)) // what is missing is missing
	w := wordsOf(raw)
	e := &Error{
		Method: k.method, Path: k.path, Status: res.StatusCode,
		Param:      c.redact(w.param, k.hide),
		Message:    c.redact(cmp.Or(w.message, http.StatusText(res.StatusCode), res.Status), k.hide),
		RetryAfter: retryAfter(res.Header.Get("Retry-After"), time.Now()),
	}
	kind, message := e.judge(w.fromLiteLLM)
	err := models.Wrap(kind, e, "%s", message)
	err.RetryAfter = e.RetryAfter
	return err
}

// judge gives the refusal its kind, its reason, and words for a person. It goes by status,
// param and message: error.type is "auth_error" for what is not found, and
// "internal_server_error" for a conflict. Several statuses are not what they should be.
func (e *Error) judge(fromLiteLLM bool) (models.Kind, string) {
	status := e.Status
	if m := wrappedStatus.FindStringSubmatch(e.Message); status == http.StatusInternalServerError && m != nil {
		status, _ = strconv.Atoi(m[1]) // "400: Tag x already exists", raised inside a try
	}
	switch {
	case status == http.StatusNotFound && (!fromLiteLLM || e.Message == "Not Found"), status == http.StatusMethodNotAllowed:
		e.reason = errNoRoute
		return models.Unavailable, fmt.Sprintf("LiteLLM does not know %s: check that litellm.url (LITELLM_API_URL) is its address, and its version", e.Path)
	case status >= 300 && status < 400:
		return models.Unavailable, "LiteLLM's address answers with a redirect: check litellm.url (LITELLM_API_URL), and what stands before LiteLLM"
	}
	for _, r := range rules {
		if r.matches(status, e.Message) {
			e.reason = r.reason
			return r.kind, r.say + e.Message
		}
	}
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden:
		return models.Unavailable, "LiteLLM does not accept our admin key: check litellm.api_key (LITELLM_API_KEY). LiteLLM says: " + e.Message
	case http.StatusNotFound:
		return models.NotFound, absent + e.Message
	case http.StatusConflict:
		return models.Conflict, refused + e.Message
	case http.StatusTooManyRequests:
		return models.Unavailable, "LiteLLM asks us to slow down: " + e.Message
	case http.StatusRequestTimeout, http.StatusTooEarly:
		return models.Unavailable, troubled + e.Message
	}
	if status < 500 {
		return models.Invalid, refused + e.Message
	}
	return models.Unavailable, troubled + e.Message
}

const (
	absent   = "LiteLLM does not have it: "
	refused  = "LiteLLM refuses it: "
	troubled = "LiteLLM is in trouble: "
)

// wrappedStatus finds the status that LiteLLM meant in the text of a 500.
var wrappedStatus = regexp.MustCompile(`^(4\d\d): `)

// rule is a refusal whose status does not say what it is.
type rule struct {
	status int // 0: any
	text   *regexp.Regexp
	kind   models.Kind
	reason error
	say    string
}

func (r rule) matches(status int, message string) bool {
	return (r.status == 0 || r.status == status) && r.text.MatchString(message)
}

func says(text string) *regexp.Regexp { return regexp.MustCompile("(?i)" + text) }

// noDatabase is what LiteLLM says, under several statuses, when its database is away.
var noDatabase = says(`\b(no connected db|no db connected|db not connected)\b`)

// rules are tried in order. Each was seen on LiteLLM 1.108.11 or read in its source.
var rules = []rule{
	{500, says(`model list not loaded|router is not loaded`), models.Unavailable, errListNotLoaded, "LiteLLM's model list cannot be read: "},
	{500, says(`was saved to the database, but`), models.Unavailable, errSavedNotLive, ""},
	{500, says(`failed to add model to db`), models.Conflict, errNotAdded, refused},
	{500, says(`store_model_in_db`), models.Conflict, nil, "LiteLLM keeps no models in its database; start it with STORE_MODEL_IN_DB=True: "},
	{500, says(`^(authentication error, )?invalid duration format`), models.Invalid, nil, refused},
	{0, noDatabase, models.Unavailable, nil, "LiteLLM has no database: "},
	{0, says(`litellm enterprise|enterprise[- ](feature|licen[sc]e|only)|licen[sc]e is over limit`), models.Invalid, nil, "LiteLLM wants a licence for it: "},
	{400, says(`already exists`), models.Conflict, nil, refused}, // an alias, a team
	{400, says(`cannot edit config-based model`), models.Conflict, nil, refused},
	{400, says(`not found (in db|on litellm proxy)$`), models.NotFound, nil, absent},
}

// retryAfter reads the header in both its forms; 0 when it says nothing of use.
func retryAfter(header string, now time.Time) time.Duration {
	if s, err := strconv.ParseFloat(header, 64); err == nil && s > 0 && s < 86400 {
		return time.Duration(s * float64(time.Second))
	}
	if at, err := http.ParseTime(header); err == nil && at.After(now) {
		return at.Sub(now)
	}
	return 0
}

// refusedKey reports whether LiteLLM did not take our key.
func refusedKey(err error) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && (e.Status == http.StatusUnauthorized || e.Status == http.StatusForbidden)
}
