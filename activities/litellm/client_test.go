package litellm_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/activities/litellm"
	"github.com/litemaas/litemaas/models"
)

const masterKey = "sk-master-of-the-tests"

// anyHash names a key.
var anyHash = models.SecretOf("sk-of-a-person-0001").Hash()

// serving returns a client of a server that answers with h.
func serving(t *testing.T, h http.HandlerFunc) *litellm.Client {
	t.Helper()
	return litellm.New(litellm.Config{URL: listening(t, h), APIKey: models.SecretOf(masterKey)})
}

// listening returns the address of a server that answers with h.
func listening(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(func() {
		srv.CloseClientConnections()
		srv.Close()
	})
	return srv.URL
}

// answering returns a client of a server that always answers the same.
func answering(t *testing.T, status int, body string) *litellm.Client {
	t.Helper()
	return serving(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body) // who hung up misses it
	})
}

// A call carries our key, says who asked for it, and goes below the path of the address.
func TestCallsSayWhoAsks(t *testing.T) {
	var got *http.Request
	address := listening(t, func(w http.ResponseWriter, r *http.Request) {
		got = r
		_, _ = io.WriteString(w, `{}`)
	})
	c := litellm.New(litellm.Config{URL: " " + strings.Replace(address, "http://", "http://some:login@", 1) + "/llm/ ", APIKey: models.SecretOf(masterKey)})
	ctx := litellm.WithChangedBy(t.Context(), "ada\r\nX-Evil: ö")
	require.NoError(t, c.BlockKey(ctx, anyHash))
	require.Equal(t, "/llm/key/block", got.URL.Path)
	require.Equal(t, "Bearer "+masterKey, got.Header.Get("Authorization"))
	require.Equal(t, "ada??X-Evil: ?", got.Header.Get("litellm-changed-by"))
	require.Empty(t, got.Header.Get("X-Evil"))
	require.Equal(t, "application/json", got.Header.Get("Content-Type"))
}

// What is no address is said by every call, and nothing is called.
func TestNoAddress(t *testing.T) {
	for _, url := range []string{"", "localhost:4000", "ftp://localhost", "http://", "http://[::1", "://"} {
		c := litellm.New(litellm.Config{URL: url})
		_, err := c.Health(t.Context())
		require.Equal(t, models.Unavailable, models.KindOf(err), url)
		require.ErrorContains(t, err, "LITELLM_API_URL")
	}
}

// A LiteLLM that does not answer is Unavailable, however it does that, and the error tells no
// secret.
func TestNoWholeAnswer(t *testing.T) {
	cut := func(part string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			_, _ = io.WriteString(w, part)
			panic(http.ErrAbortHandler)
		}
	}
	big := func(start string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			_, err := io.WriteString(w, start)
			for range 17 << 10 {
				if err != nil {
					return
				}
				_, err = w.Write(make1k)
			}
		}
	}
	for name, test := range map[string]struct {
		h    http.HandlerFunc
		says string
	}{
		"closes the connection":   {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "does not answer"},
		"cuts the answer off":     {cut(`{"user_id": "ad`), "does not answer"},
		"sends no JSON":           {func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>") }, "not what it should be"},
		"sends half a document":   {func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"a":`) }, "not what it should be"},
		"sends nothing":           {func(http.ResponseWriter, *http.Request) {}, "not what it should be"},
		"sends other JSON":        {func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `["a"]`) }, "not what it should be"},
		"sends more than it can":  {big(`{"user_id": "`), "not what it should be"},
		"does not describe a key": {func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{}`) }, "does not describe"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := serving(t, test.h).Key(t.Context(), anyHash)
			require.Equal(t, models.Unavailable, models.KindOf(err))
			require.ErrorContains(t, err, test.says)
			require.NotContains(t, err.Error(), masterKey)
		})
	}
}

var make1k = []byte(strings.Repeat("x", 1<<10))

// A list that breaks off or holds something else is an error, never a shorter list.
func TestNoWholeList(t *testing.T) {
	for name, body := range map[string]string{
		"cut off":                `{"data": [{"model_name": "a"}, {"model_name"`,
		"cut off after an entry": `{"data": [{"model_name": "a"}`,
		"no end":                 `{"data": [{"model_name": "a"}]`,
		"no list":                `{"models": []}`,
		"a list of its own":      `[{"model_name": "a"}]`,
		"data of another type":   `{"data": {"model_name": "a"}}`,
		"no data":                `{"data": null}`,
		"no JSON":                `nope`,
		"a page of HTML":         `<!doctype html>`,
		"nothing":                ``,
	} {
		t.Run(name, func(t *testing.T) {
			c := answering(t, http.StatusOK, body)
			_, err := c.AllDeployments(t.Context())
			require.Equal(t, models.Unavailable, models.KindOf(err))
			_, err = c.Deployments(t.Context(), 1, 10)
			require.Equal(t, models.Unavailable, models.KindOf(err))
			_, err = c.DeploymentsNamed(t.Context(), "a")
			require.Equal(t, models.Unavailable, models.KindOf(err))
		})
	}
}

// Entries that are not what they should be are kept without a name, and null is left out.
func TestOddEntries(t *testing.T) {
	c := answering(t, http.StatusOK, `{"x": {"data": []}, "data": [
		{"model_name": "a", "litellm_params": {"model": "b", "tpm": null}, "model_info": {"id": 7, "mode": null}},
		{"model_name": 5}, "text", null, {"litellm_params": []}], "total_count": 5, "total_pages": 1, "size": 2.5}`)
	p, err := c.Deployments(t.Context(), 1, 10)
	require.NoError(t, err)
	require.Equal(t, 5, p.TotalCount)
	require.Equal(t, 1, p.TotalPages)
	require.Len(t, p.Deployments, 5)
	require.Equal(t, "a", p.Deployments[0].Name)
	require.Len(t, p.Deployments[0].Params, 1)
	require.Equal(t, "7", p.Deployments[0].ID())
	for _, d := range p.Deployments[1:] {
		require.Empty(t, d.Name)
	}
	found, err := c.Deployment(t.Context(), "7")
	require.NoError(t, err)
	require.Equal(t, "a", found.Name)
}

// A list that says that it is shorter than it is cannot be believed.
func TestListThatDoesNotAddUp(t *testing.T) {
	_, err := answering(t, http.StatusOK, `{"data": [{"model_name": "a"}], "total_count": 0}`).Deployments(t.Context(), 1, 10)
	require.Equal(t, models.Unavailable, models.KindOf(err))
}

// hanging returns the address of a server that never answers, and what counts its callers.
func hanging(t *testing.T) (address string, callers *atomic.Int64) {
	t.Helper()
	callers = new(atomic.Int64)
	return listening(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // a server notices that the caller left only once it has the body
		callers.Add(1)
		<-r.Context().Done()
	}), callers
}

// A call ends with its time-out, a list with four of them.
func TestTimeout(t *testing.T) {
	address, _ := hanging(t)
	c := litellm.New(litellm.Config{URL: address, Timeout: 20 * time.Millisecond})
	_, err := c.User(t.Context(), "ada")
	require.Equal(t, models.Unavailable, models.KindOf(err))
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.ErrorContains(t, err, "within 20ms")
	_, err = c.AllDeployments(t.Context())
	require.ErrorContains(t, err, "within 80ms")
}

// The caller's context ends a call, and the error says that it did.
func TestCallerGivesUp(t *testing.T) {
	address, callers := hanging(t)
	c := litellm.New(litellm.Config{URL: address})
	ctx, cancel := context.WithCancel(t.Context())
	failed := make(chan error)
	go func() { failed <- c.BlockKey(ctx, anyHash) }()
	require.Eventually(t, func() bool { return callers.Load() == 1 }, 5*time.Second, time.Millisecond)
	cancel()
	err := <-failed
	require.Equal(t, models.Unavailable, models.KindOf(err))
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorContains(t, err, "the caller stopped waiting")

	done, cancel := context.WithTimeout(t.Context(), time.Nanosecond)
	defer cancel()
	require.ErrorIs(t, c.BlockKey(done, anyHash), context.DeadlineExceeded)
}

// A redirect is not followed: our key would go with it.
func TestRedirect(t *testing.T) {
	var followed atomic.Bool
	elsewhere := listening(t, func(http.ResponseWriter, *http.Request) { followed.Store(true) })
	for _, status := range []int{http.StatusMovedPermanently, http.StatusFound, http.StatusTemporaryRedirect} {
		c := serving(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, elsewhere, status) })
		_, err := c.User(t.Context(), "ada")
		require.Equal(t, models.Unavailable, models.KindOf(err))
		require.ErrorContains(t, err, "redirect")
	}
	require.False(t, followed.Load())
}

// No more calls than connections are under way; the others wait, and may give up waiting.
func TestCallsQueue(t *testing.T) {
	address, callers := hanging(t)
	c := litellm.New(litellm.Config{URL: address, MaxConns: 2})
	ctx, cancel := context.WithCancel(t.Context())
	failed := make(chan error)
	for range 5 {
		go func() { failed <- c.BlockKey(ctx, anyHash) }()
	}
	require.Eventually(t, func() bool { return callers.Load() == 2 }, 5*time.Second, time.Millisecond)
	cancel()
	for range 5 {
		require.ErrorIs(t, <-failed, context.Canceled)
	}
	require.EqualValues(t, 2, callers.Load())
}

// A client can be printed without its key.
func TestClientDoesNotLeak(t *testing.T) {
	c := litellm.New(litellm.Config{URL: "http://admin:hunter2@localhost:4000", APIKey: models.SecretOf(masterKey)})
	text := fmt.Sprintf("%v %+v %#v %s", c, c, c, c)
	require.Contains(t, text, "http://localhost:4000")
	require.NotContains(t, text, masterKey)
	require.NotContains(t, text, "hunter2")
}

// What would be wrong anyhow is refused before LiteLLM is called.
func TestRefusedAtOnce(t *testing.T) {
	c := serving(t, func(_ http.ResponseWriter, r *http.Request) { t.Errorf("%s was called", r.URL.Path) })
	ctx := t.Context()
	past, less := time.Now().Add(-time.Minute), models.USD(-1)
	_, noKey := c.Key(ctx, masterKey)
	_, noUser := c.User(ctx, "")
	some := litellm.KeyLimits{Models: []string{"a"}}
	for name, err := range map[string]error{
		"a secret for a hash":      noKey,
		"a hash in capitals":       c.BlockKey(ctx, strings.ToUpper(anyHash)),
		"no hash":                  c.DeleteKey(ctx, ""),
		"half a hash":              c.UpdateKey(ctx, anyHash[:32], some),
		"no models":                c.UpdateKey(ctx, anyHash, litellm.KeyLimits{}),
		"a model without a name":   c.GenerateKey(ctx, litellm.NewKey{KeyLimits: litellm.KeyLimits{Models: []string{"a", ""}}}),
		"a budget below zero":      c.UpdateKey(ctx, anyHash, litellm.KeyLimits{Models: []string{"a"}, MaxBudget: &less}),
		"an end in the past":       c.UpdateKey(ctx, anyHash, litellm.KeyLimits{Models: []string{"a"}, ExpiresAt: &past}),
		"a user without an id":     noUser,
		"a new user without an id": c.CreateUser(ctx, litellm.UserSpec{}),
		"a user below zero":        c.UpsertUser(ctx, litellm.UserSpec{ID: "ada", MaxBudget: &less}),
		"nobody to delete":         c.DeleteUser(ctx, ""),
		"no id":                    c.AddDeployment(ctx, "", litellm.DeploymentSpec{Name: "a", Model: "b"}),
		"an id with a slash":       c.PatchDeployment(ctx, "a/b", litellm.DeploymentSpec{}),
		"an id of dots":            c.PatchDeployment(ctx, "..", litellm.DeploymentSpec{}),
		"a deployment of nothing":  c.AddDeployment(ctx, "a", litellm.DeploymentSpec{Name: "a"}),
	} {
		require.Equal(t, models.Invalid, models.KindOf(err), name)
		require.NotContains(t, err.Error(), masterKey)
		_, answered := errors.AsType[*litellm.Error](err)
		require.False(t, answered, name)
	}
}
