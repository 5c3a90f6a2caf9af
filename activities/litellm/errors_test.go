package litellm_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/activities/litellm"
	"github.com/litemaas/litemaas/models"
)

// refusal is what a client makes of an answer to a call of a key.
func refusal(t *testing.T, status int, body string) (*models.Error, *litellm.Error) {
	t.Helper()
	err := answering(t, status, body).BlockKey(t.Context(), anyHash)
	outer, ok := errors.AsType[*models.Error](err)
	require.True(t, ok, err)
	inner, ok := errors.AsType[*litellm.Error](err)
	require.True(t, ok, err)
	require.Equal(t, status, inner.Status)
	require.Equal(t, "POST", inner.Method)
	require.Equal(t, "/key/block", inner.Path)
	return outer, inner
}

// Each shape of error body that LiteLLM has is read.
func TestErrorShapes(t *testing.T) {
	for name, test := range map[string]struct{ body, message, param string }{
		"its own":                   {`{"error": {"message": "No.", "type": "auth_error", "param": "key", "code": "400"}}`, "No.", "key"},
		"its own, with no param":    {`{"error": {"message": "No.", "param": "None", "code": 400}}`, "No.", ""},
		"its own, with null":        {`{"error": {"message": "No.", "param": null}}`, "No.", ""},
		"a dict of Python's":        {`{"error": {"message": "{'error': 'No keys found'}"}}`, "No keys found", ""},
		"a dict with an apostrophe": {`{"error": {"message": "{'error': \"don't\"}"}}`, "don't", ""},
		"a dict with escapes":       {`{"error": {"message": "{'error': 'it\\'s\\na \\\\'}"}}`, `it's a \`, ""},
		"an error of text":          {`{"error": "No."}`, "No.", ""},
		"a detail with an error":    {`{"detail": {"error": "No."}}`, "No.", ""},
		"a detail with a message":   {`{"detail": {"message": "No."}}`, "No.", ""},
		"a detail in a detail":      {`{"detail": {"error": {"message": "No.", "param": "team_id"}}}`, "No.", "team_id"},
		"a detail of text":          {`{"detail": "No."}`, "No.", ""},
		"a validation": {
			`{"detail": [{"type": "x", "loc": ["body", "max_budget"], "msg": "too odd"}, {"loc": ["query", "page", 0], "msg": "small"}]}`,
			"max_budget: too odd; page.0: small", "max_budget",
		},
		"a validation of the whole": {`{"detail": [{"loc": ["body"], "msg": "Field required"}]}`, "Field required", ""},
		"a message alone":           {`{"message": "No."}`, "No.", ""},
		"text":                      {"  No.\n", "No.", ""},
		"a page of HTML":            {"<html><title>nginx</title></html>", "Bad Request", ""},
		"nothing":                   {"", "Bad Request", ""},
		"other JSON":                {`{"status": 7}`, "Bad Request", ""},
		"JSON that is no object":    {`[1]`, "[1]", ""},
		"an empty validation":       {`{"detail": []}`, "Bad Request", ""},
		"numbers where words go":    {`{"error": {"message": 5}, "detail": 7}`, "Bad Request", ""},
	} {
		t.Run(name, func(t *testing.T) {
			outer, inner := refusal(t, http.StatusBadRequest, test.body)
			require.Equal(t, test.message, inner.Message)
			require.Equal(t, test.param, inner.Param)
			require.Equal(t, models.Invalid, outer.Kind)
			require.Equal(t, "LiteLLM refuses it: "+test.message, outer.Message)
			require.Equal(t, outer.Message+": POST /key/block answered 400", outer.Error())
		})
	}
}

// The kind of a refusal goes by status, param and words; what LiteLLM reports badly is put
// right, so that nothing is tried for ever and nothing given up too early.
func TestErrorKinds(t *testing.T) {
	own := func(message string) string { return `{"error": {"message": "` + message + `", "type": "auth_error"}}` }
	for _, test := range []struct {
		status int
		body   string
		kind   models.Kind
		says   string
	}{
		{400, own("No."), models.Invalid, "refuses it"},
		{422, `{"detail": [{"loc": ["body", "a"], "msg": "b"}]}`, models.Invalid, "refuses it"},
		{413, "", models.Invalid, "refuses it"},
		{404, own("{'error': 'No keys found'}"), models.NotFound, "does not have it"},
		{404, `{"detail": {"error": "User not found, passed user_id=x"}}`, models.NotFound, "does not have it"},
		{409, own("{'error': 'User with id x already exists'}"), models.Conflict, "refuses it"},
		{400, own("Key with alias 'x' already exists. Unique key aliases across all keys are required."), models.Conflict, "refuses it"},
		{400, own("Cannot edit config-based model. Store model in DB via /model/new first."), models.Conflict, "refuses it"},
		{400, own("{'error': 'Model with id=x not found in db'}"), models.NotFound, "does not have it"},
		{400, `{"detail": {"error": "Model id = x not found on litellm proxy"}}`, models.NotFound, "does not have it"},

		{401, own("Authentication Error, Invalid API key provided."), models.Unavailable, "LITELLM_API_KEY"},
		{403, own("user not allowed to access this route"), models.Unavailable, "LITELLM_API_KEY"},
		{429, own("Rate limit exceeded"), models.Unavailable, "slow down"},
		{408, "", models.Unavailable, "in trouble"},
		{425, "", models.Unavailable, "in trouble"},
		{500, own("Internal Server Error."), models.Unavailable, "in trouble"},
		{502, "<html>", models.Unavailable, "in trouble"},
		{503, `{"status": "healthy", "db": "disconnected"}`, models.Unavailable, "its database is disconnected"},
		{504, "", models.Unavailable, "in trouble"},
		{400, own("No connected db."), models.Unavailable, "no database"},
		{500, own("DB not connected. See https://docs"), models.Unavailable, "no database"},

		{500, own("Invalid duration format"), models.Invalid, "refuses it"},
		{500, own("Authentication Error, Invalid duration format"), models.Invalid, "refuses it"},
		{500, own("Regenerating Virtual Keys is an Enterprise feature, You must be a LiteLLM Enterprise user"), models.Invalid, "licence"},
		{500, own("Invalid model_max_budget: You must have an enterprise license to set model_max_budget."), models.Invalid, "licence"},
		{403, own("{'error': 'This feature is only available for LiteLLM Enterprise users: tags.'}"), models.Invalid, "licence"},
		{500, own("Set 'STORE_MODEL_IN_DB=True' in your env"), models.Conflict, "STORE_MODEL_IN_DB=True"},
		{500, `{"detail": "400: Tag x already exists"}`, models.Conflict, "refuses it"},
		{500, `{"detail": "404: Tag x not found"}`, models.NotFound, "does not have it"},
		{500, own("999: not a status"), models.Unavailable, "in trouble"},
	} {
		outer, _ := refusal(t, test.status, test.body)
		require.Equal(t, test.kind, outer.Kind, test.body)
		require.Contains(t, outer.Message, test.says, test.body)
		require.Equal(t, models.Invalid == test.kind || models.Conflict == test.kind || models.NotFound == test.kind, !outer.Kind.Retryable())
	}
}

// A path that nobody serves is told from a thing that is not there.
func TestNoRoute(t *testing.T) {
	for body, want := range map[string]bool{
		`{"detail": "Not Found"}`: true,
		"404 page not found":      true,
		"<html>":                  true,
		"":                        true,
		`{"error": {"message": "Key not found."}}`:         false,
		`{"detail": {"error": "User not found"}}`:          false,
		`{"error": {"message": "{'error': 'No keys'}"}}`:   false,
		`{"error": {"message": "Not Found", "param": ""}}`: true,
	} {
		outer, _ := refusal(t, http.StatusNotFound, body)
		require.Equal(t, want, litellm.NoRoute(outer), body)
		require.Equal(t, want, outer.Kind == models.Unavailable, body)
	}
	outer, _ := refusal(t, http.StatusMethodNotAllowed, `{"detail": "Method Not Allowed"}`)
	require.True(t, litellm.NoRoute(outer))
	require.False(t, litellm.NoRoute(nil))
}

// Why the model list or a deployment is not to be had can be asked.
func TestReasons(t *testing.T) {
	const saved = `{"error": {"message": "Model create was saved to the database, but the model id(s) ['x'] are not live in this pod's router"}}`
	err := answering(t, 500, saved).AddDeployment(t.Context(), "x", litellm.DeploymentSpec{Name: "x", Model: "openai/x"})
	require.True(t, litellm.SavedNotLive(err))
	require.Equal(t, models.Unavailable, models.KindOf(err))
	require.False(t, litellm.ListNotLoaded(err))

	for _, words := range []string{"LLM Model List not loaded in. Make sure you passed models", "LLM Router is not loaded in."} {
		_, err = answering(t, 500, `{"detail": {"error": "`+words+`"}}`).AllDeployments(t.Context())
		require.True(t, litellm.ListNotLoaded(err))
		require.Equal(t, models.Unavailable, models.KindOf(err))
		require.False(t, litellm.SavedNotLive(err))
	}
}

// LiteLLM may say how long to wait, in seconds or by the clock; nonsense is no answer.
func TestRetryAfter(t *testing.T) {
	for header, want := range map[string]time.Duration{
		"60": time.Minute, "1.5": 1500 * time.Millisecond, "": 0, "0": 0, "-5": 0, "soon": 0, "NaN": 0, "1e9": 0,
		time.Now().Add(-time.Hour).UTC().Format(http.TimeFormat): 0,
	} {
		c := serving(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", header)
			w.WriteHeader(http.StatusTooManyRequests)
		})
		err := c.BlockKey(t.Context(), anyHash)
		e, ok := errors.AsType[*litellm.Error](err)
		require.True(t, ok)
		require.Equal(t, want, e.RetryAfter, header)
		outer, ok := errors.AsType[*models.Error](err)
		require.True(t, ok)
		require.Equal(t, want, outer.RetryAfter, header)
	}
	c := serving(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", time.Now().Add(time.Hour).UTC().Format(http.TimeFormat))
		w.WriteHeader(http.StatusServiceUnavailable)
	})
	e, ok := errors.AsType[*litellm.Error](c.BlockKey(t.Context(), anyHash))
	require.True(t, ok)
	require.InDelta(t, time.Hour, e.RetryAfter, float64(2*time.Second))
}

// Long words are cut, and are text even then.
func TestLongErrors(t *testing.T) {
	_, inner := refusal(t, http.StatusInternalServerError, `{"error": {"message": "`+strings.Repeat("Traceback ö ", 20_000)+`"}}`)
	require.Less(t, len(inner.Message), 700)
	_, inner = refusal(t, http.StatusInternalServerError, `{"error": {"message": "`+strings.Repeat("ö", 1000)+`"}}`)
	require.Equal(t, strings.Repeat("ö", 300)+"…", inner.Message)
}
