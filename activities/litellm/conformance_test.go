package litellm_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/activities/litellm"
	"github.com/litemaas/litemaas/activities/litellm/litellmtest"
	"github.com/litemaas/litemaas/models"
)

// TestConformance holds the client against the LiteLLM in memory and, when LITELLM_BASE_URL and
// LITELLM_MASTER_KEY are set, against that real one too. The real one's database is shared: every
// case has ids of its own and cleans up.
func TestConformance(t *testing.T) {
	t.Run("fake", func(t *testing.T) {
		p, err := litellmtest.NewProxy(litellmtest.Options{})
		require.NoError(t, err)
		srv := httptest.NewServer(p)
		t.Cleanup(srv.Close)
		conform(t, target{url: srv.URL, key: litellmtest.MasterKey, fake: p})
	})
	if url := os.Getenv("LITELLM_BASE_URL"); url != "" {
		t.Run("real", func(t *testing.T) {
			key := os.Getenv("LITELLM_MASTER_KEY")
			require.NotEmpty(t, key, "set LITELLM_MASTER_KEY to the master key of LITELLM_BASE_URL")
			conform(t, target{url: url, key: key})
		})
	}
}

func conform(t *testing.T, l target) {
	t.Helper()
	l.Client = l.as(l.key)
	for _, group := range []struct {
		name  string
		cases []conformanceCase
	}{
		{"limits", limitCases},
		{"calls", callCases},
		{"models", modelCases},
		{"keys", keyCases},
		{"probes", probeCases},
		{"golden", goldenCases},
		{"users", userCases},
		{"usage", usageCases},
		{"refusals", refusalCases},
		{"health", healthCases},
		{"shapes", shapeCases},
		{"unprovoked", unprovokedCases},
	} {
		if group.name == "unprovoked" && l.fake == nil {
			continue
		}
		t.Run(group.name, func(t *testing.T) {
			for _, c := range group.cases {
				t.Run(c.name, func(t *testing.T) { c.run(t, l) })
			}
		})
	}
}

// conformanceCase is one sentence about LiteLLM.
type conformanceCase struct {
	name string
	run  func(t *testing.T, l target)
}

// target is a LiteLLM that the suite runs against, and a client that is its admin.
type target struct {
	*litellm.Client
	url, key string
	fake     *litellmtest.Proxy // nil: a real one
}

// as returns a client that calls with another key.
func (l target) as(key string) *litellm.Client {
	return litellm.New(litellm.Config{URL: l.url, APIKey: models.SecretOf(key)})
}

// unique returns an id that nobody else has.
func unique(what string) string { return "conformance-" + what + "-" + uuid.NewString() }

// settle is how long a real LiteLLM may take to write what was spent to its database.
const settle = time.Minute

// cleaning returns a context for what has to be done when the test is over.
func cleaning(t *testing.T) context.Context {
	t.Helper()
	return context.WithoutCancel(t.Context())
}

// newKey makes a key, and removes it when the test is over. What change does not set is as
// unlimited as can be.
func (l target) newKey(t *testing.T, change func(*litellm.NewKey)) models.Secret {
	t.Helper()
	k := litellm.NewKey{Secret: models.SecretOf("sk-" + unique("key")), KeyLimits: litellm.KeyLimits{Models: []string{"all-proxy-models"}}}
	if change != nil {
		change(&k)
	}
	require.NoError(t, l.GenerateKey(t.Context(), k))
	l.removeKey(t, k.Secret)
	return k.Secret
}

// removeKey removes a key when the test is over, if it is there then.
func (l target) removeKey(t *testing.T, secret models.Secret) {
	t.Helper()
	t.Cleanup(func() {
		if err := l.DeleteKey(cleaning(t), secret.Hash()); err != nil {
			require.Equal(t, models.NotFound, models.KindOf(err), err)
		}
	})
}

// newUser makes a user, and removes him when the test is over.
func (l target) newUser(t *testing.T, change func(*litellm.UserSpec)) string {
	t.Helper()
	u := litellm.UserSpec{ID: unique("user")}
	if change != nil {
		change(&u)
	}
	require.NoError(t, l.CreateUser(t.Context(), u))
	l.removeUser(t, u.ID)
	return u.ID
}

// removeUser removes a user when the test is over, if he is there then.
func (l target) removeUser(t *testing.T, id string) {
	t.Helper()
	t.Cleanup(func() {
		if err := l.DeleteUser(cleaning(t), id); err != nil {
			require.Equal(t, models.NotFound, models.KindOf(err), err)
		}
	})
}

// newDeployment adds a deployment that answers by itself, at prices of a cent and of two cents a
// token, and removes it when the test is over.
func (l target) newDeployment(t *testing.T, change func(*litellm.DeploymentSpec)) (id, name string) {
	t.Helper()
	id = unique("deployment")
	s := litellm.DeploymentSpec{
		Name: unique("model"), Model: "openai/" + id, APIKey: models.SecretOf("no-key-at-all"), Mode: "chat",
		InputCost: price(t, "0.01"), OutputCost: price(t, "0.02"), ExtraParams: map[string]any{"mock_response": "Good day to you."},
	}
	if change != nil {
		change(&s)
	}
	require.NoError(t, l.AddDeployment(t.Context(), id, s))
	l.removeDeployment(t, id)
	return id, s.Name
}

// removeDeployment removes a deployment when the test is over, if it is there then.
func (l target) removeDeployment(t *testing.T, id string) {
	t.Helper()
	t.Cleanup(func() {
		if err := l.DeleteDeployment(cleaning(t), id); err != nil {
			require.Equal(t, models.NotFound, models.KindOf(err), err)
		}
	})
}

func price(t *testing.T, text string) *models.Price {
	t.Helper()
	p, err := models.ParsePrice(text)
	require.NoError(t, err)
	return &p
}

// configured is a deployment of LiteLLM's config.yaml.
func (l target) configured(t *testing.T) models.Deployment {
	t.Helper()
	list, err := l.AllDeployments(t.Context())
	require.NoError(t, err)
	for _, d := range list {
		if string(d.Info["db_model"]) == "false" {
			return d
		}
	}
	require.Fail(t, "the suite needs a LiteLLM with a model in its config.yaml")
	return models.Deployment{}
}

// call makes a call as it is, and returns the status and the body.
func (l target) call(t *testing.T, key, method, path, body string) (int, http.Header, []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, l.url+path, strings.NewReader(body))
	require.NoError(t, err)
	req.Header.Set("Content-Type", "application/json")
	if key != "" {
		req.Header.Set("Authorization", "Bearer "+key)
	}
	res, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	return res.StatusCode, res.Header, bytes.TrimSpace(raw)
}

// chat says something to a model.
func (l target) chat(t *testing.T, key models.Secret, model string) (int, http.Header, said) {
	t.Helper()
	body := `{"model": "` + model + `", "messages": [{"role": "user", "content": "Good day!"}]}`
	status, header, raw := l.call(t, key.Reveal(), http.MethodPost, "/chat/completions", body)
	var s said
	require.NoError(t, json.Unmarshal(raw, &s), "%s", raw)
	return status, header, s
}

// said is what a model answers, or why it does not.
type said struct {
	Object, Model string
	Choices       []struct {
		FinishReason   string `json:"finish_reason"`
		Message, Delta struct{ Role, Content string }
	}
	Data []struct {
		Object    string
		Index     int
		Embedding json.RawMessage
	}
	Usage *struct {
		Prompt     int `json:"prompt_tokens"`
		Completion int `json:"completion_tokens"`
		Total      int `json:"total_tokens"`
	}
	Error struct{ Message, Type, Param, Code string }
}
