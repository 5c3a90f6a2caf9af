package litellm_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/activities/litellm"
	"github.com/litemaas/litemaas/models"
)

// A LiteLLM that repeats in its error all that it was sent gives nothing away through us.
func TestErrorsHoldNoSecrets(t *testing.T) {
	const newKey, providerKey = "sk-new-key-of-ada-0001", "a provider's key/+="
	spec := litellm.DeploymentSpec{Name: "a", Model: "openai/a", APIKey: models.SecretOf(providerKey)}
	calls := map[string]func(*litellm.Client) error{
		"a new key": func(c *litellm.Client) error {
			return c.GenerateKey(t.Context(), litellm.NewKey{KeyLimits: litellm.KeyLimits{Models: []string{"a"}}, Secret: models.SecretOf(newKey)})
		},
		"a new deployment":     func(c *litellm.Client) error { return c.AddDeployment(t.Context(), "a", spec) },
		"a changed deployment": func(c *litellm.Client) error { return c.PatchDeployment(t.Context(), "a", spec) },
		"a look":               func(c *litellm.Client) error { _, err := c.User(t.Context(), "ada"); return err },
	}
	bodies := map[string]func(w http.ResponseWriter, sent string){
		"as text":    func(w http.ResponseWriter, sent string) { _, _ = io.WriteString(w, sent) },
		"as its own": func(w http.ResponseWriter, sent string) { fmt.Fprintf(w, `{"error": {"message": %q}}`, sent) },
		"as the param": func(w http.ResponseWriter, sent string) {
			fmt.Fprintf(w, `{"error": {"message": "no", "param": %q}}`, sent)
		},
		"as a detail": func(w http.ResponseWriter, sent string) { fmt.Fprintf(w, `{"detail": {"error": %q}}`, sent) },
		"as a validation": func(w http.ResponseWriter, sent string) {
			fmt.Fprintf(w, `{"detail": [{"loc": ["body", %q], "msg": "m"}]}`, sent)
		},
		"in a long traceback": func(w http.ResponseWriter, sent string) {
			_, _ = io.WriteString(w, strings.Repeat("x ", 290-len(masterKey)/2)+sent) // would be cut in the middle of the key
		},
	}
	for called, call := range calls {
		for how, answer := range bodies {
			t.Run(called+", repeated "+how, func(t *testing.T) {
				c := serving(t, func(w http.ResponseWriter, r *http.Request) {
					body, _ := io.ReadAll(r.Body)
					w.WriteHeader(http.StatusInternalServerError)
					answer(w, r.Header.Get("Authorization")+" "+masterKey+" "+string(body))
				})
				err := call(c)
				require.Error(t, err)
				e, _ := errors.AsType[*litellm.Error](err)
				text := fmt.Sprintf("%v %+v %#v %v %+v %#v", err, err, err, e, e, e) + e.Message + e.Param
				for _, secret := range []string{masterKey, masterKey[:10], newKey, newKey[:10], providerKey} {
					require.NotContains(t, text, secret)
				}
			})
		}
	}
}

// Credentials of others, which LiteLLM may have in its words, are taken out by their looks, and
// what only resembles one stays.
func TestErrorsHoldNothingSecretLooking(t *testing.T) {
	for said, want := range map[string]string{
		"Bearer abcdef123456 is bad":              "Bearer [secret] is bad",
		"key sk-proj-Abc123_def456 refused":       "key sk-[secret] refused",
		"AIzaSyA1234567890abcdefghijklmnop":       "[secret]",
		"hf_abcdefghijklmnopqrst":                 "[secret]",
		"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.sg": "[secret]",
		"postgres://litellm:hunter2@db/x":         "postgres://[secret]@db/x",
		"api_key=abcd1234&x=1":                    "api_key=[secret]&x=1",
		"'client_secret': 'abcd1234'":             "'client_secret': '[secret]'",
		`password: hunter22`:                      `password: [secret]`,
		"Key=key (sk-...0000) is over budget":     "Key=key (sk-...0000) is over budget",
		"Received: sk-s****hort":                  "Received: sk-s****hort",
		"expected to start with 'sk-'.":           "expected to start with 'sk-'.",
		"the task-list of risk-averse people":     "the task-list of risk-averse people",
	} {
		_, inner := refusal(t, http.StatusBadRequest, said)
		require.Equal(t, want, inner.Message)
	}
}
