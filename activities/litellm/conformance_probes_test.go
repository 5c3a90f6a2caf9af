package litellm_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/activities/litellm"
	"github.com/litemaas/litemaas/models"
)

// probeCases say how it is seen that a key is refused.
var probeCases = []conformanceCase{
	{"a probe tells a key that is taken from one that is refused", func(t *testing.T, l target) {
		taken := l.newKey(t, nil)
		l.requireRefused(t, taken, false)
		l.requireRefused(t, l.newKey(t, func(k *litellm.NewKey) { k.Blocked = true }), true)
		l.requireRefused(t, models.SecretOf("sk-"+unique("key")), true)
		require.NoError(t, l.DeleteKey(t.Context(), taken.Hash()))
		l.requireRefused(t, taken, true)
	}},
	{"a probe sees a key refused once its time is over", func(t *testing.T, l target) {
		secret := l.newKey(t, func(k *litellm.NewKey) { k.ExpiresAt = new(time.Now().Add(2 * time.Second)) })
		l.requireRefused(t, secret, false)
		require.Eventually(t, func() bool {
			refused, err := l.ProbeKey(t.Context(), "", secret)
			return err == nil && refused
		}, 10*time.Second, 200*time.Millisecond)
	}},
	{"a key that may call nothing more is not refused", func(t *testing.T, l target) {
		l.requireRefused(t, l.newKey(t, func(k *litellm.NewKey) { k.MaxBudget, k.Spend = new(models.Dollar), 2*models.Dollar }), false)
	}},
}

// requireRefused requires what a probe says, at the client's address and at one that is named.
func (l target) requireRefused(t *testing.T, secret models.Secret, want bool) {
	t.Helper()
	for _, address := range []string{"", l.url + "/"} {
		refused, err := l.ProbeKey(t.Context(), address, secret)
		require.NoError(t, err)
		require.Equal(t, want, refused, address)
	}
}

// What is no answer of a LiteLLM to the key proves nothing, and tells no secret.
func TestProbeKeyProvesNothing(t *testing.T) {
	const secret = "sk-the-key-that-is-probed"
	for name, answer := range map[string]http.HandlerFunc{
		"5xx": func(w http.ResponseWriter, r *http.Request) {
			http.Error(w, r.Header.Get("Authorization"), http.StatusBadGateway)
		},
		"no such path": func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "<html>", http.StatusNotFound) },
		"a redirect":   func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/login", http.StatusFound) },
		"hung up":      func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"database away": func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, `{"error":{"message":"No connected db."}}`, http.StatusUnauthorized)
		},
	} {
		t.Run(name, func(t *testing.T) {
			refused, err := serving(t, answer).ProbeKey(t.Context(), "", models.SecretOf(secret))
			require.False(t, refused)
			require.Equal(t, models.Unavailable, models.KindOf(err), err)
			require.NotContains(t, err.Error(), secret)
		})
	}
	for _, address := range []string{"ftp://localhost", "localhost:4000", "http://127.0.0.1:1"} {
		refused, err := serving(t, nil).ProbeKey(t.Context(), address, models.SecretOf(secret))
		require.False(t, refused)
		require.Equal(t, models.Unavailable, models.KindOf(err), address)
	}
}
