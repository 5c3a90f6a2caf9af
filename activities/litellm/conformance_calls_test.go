package litellm_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/activities/litellm"
	"github.com/litemaas/litemaas/models"
)

// callCases say what a caller of a model gets, with a key in each state.
var callCases = []conformanceCase{
	{"a good key gets an answer, and its use is counted", func(t *testing.T, l target) {
		id, name := l.newDeployment(t, nil)
		status, header, s := l.chat(t, l.newKey(t, func(k *litellm.NewKey) { k.Models = []string{name} }), name)
		require.Equal(t, http.StatusOK, status)
		require.Equal(t, id, header.Get("x-litellm-model-id"))
		require.Equal(t, "chat.completion", s.Object)
		require.Len(t, s.Choices, 1)
		require.Equal(t, "assistant", s.Choices[0].Message.Role)
		require.Equal(t, "Good day to you.", s.Choices[0].Message.Content)
		require.Equal(t, "stop", s.Choices[0].FinishReason)
		require.Positive(t, s.Usage.Prompt)
		require.Positive(t, s.Usage.Completion)
		require.Equal(t, s.Usage.Prompt+s.Usage.Completion, s.Usage.Total)
	}},
	{"an answer can be streamed, with its use at the end for who wants it", func(t *testing.T, l target) {
		_, name := l.newDeployment(t, nil)
		for options, wantUsage := range map[string]bool{``: false, `, "stream_options": {"include_usage": true}`: true} {
			body := `{"model": "` + name + `", "stream": true` + options + `, "messages": [{"role": "user", "content": "Good day!"}]}`
			status, header, raw := l.call(t, l.newKey(t, nil).Reveal(), http.MethodPost, "/v1/chat/completions", body)
			require.Equal(t, http.StatusOK, status)
			require.Contains(t, header.Get("Content-Type"), "text/event-stream")
			events := strings.Split(string(raw), "\n\n")
			require.Equal(t, "data: [DONE]", events[len(events)-1])
			var content, finished string
			var used bool
			for _, event := range events[:len(events)-1] {
				var s said
				require.NoError(t, json.Unmarshal([]byte(strings.TrimPrefix(event, "data: ")), &s), event)
				require.Equal(t, "chat.completion.chunk", s.Object)
				content += s.Choices[0].Delta.Content
				finished += s.Choices[0].FinishReason
				used = used || s.Usage != nil && s.Usage.Total == s.Usage.Prompt+s.Usage.Completion && s.Usage.Completion > 0
			}
			require.Equal(t, "Good day to you.", content)
			require.Equal(t, "stop", finished)
			require.Equal(t, wantUsage, used)
		}
	}},
	{"what is spent is booked on the key and its user", func(t *testing.T, l target) {
		_, name := l.newDeployment(t, nil)
		user := l.newUser(t, nil)
		secret := l.newKey(t, func(k *litellm.NewKey) { k.UserID = user })
		_, _, s := l.chat(t, secret, name)
		cost := models.Dollar / 100 * models.USD(s.Usage.Prompt+2*s.Usage.Completion)
		require.Eventually(t, func() bool {
			k, err := l.Key(t.Context(), secret.Hash())
			require.NoError(t, err)
			return k.Spend == cost && k.LastActiveAt != nil
		}, settle, 100*time.Millisecond)
		require.Eventually(t, func() bool {
			u, err := l.User(t.Context(), user)
			require.NoError(t, err)
			return u.Spend == cost
		}, settle, 100*time.Millisecond)
	}},
	{"an unknown key is nobody's", func(t *testing.T, l target) {
		requireDenied(t, l, models.SecretOf("sk-"+unique("key")), l.priced(t), 401, "token_not_found_in_db", "key", "Invalid API key")
	}},
	{"a blocked key is refused until it is unblocked", func(t *testing.T, l target) {
		name, secret := l.priced(t), l.newKey(t, nil)
		require.NoError(t, l.BlockKey(t.Context(), secret.Hash()))
		requireDenied(t, l, secret, name, 401, "auth_error", "None", "Key is blocked")
		require.NoError(t, l.UnblockKey(t.Context(), secret.Hash()))
		requireAllowed(t, l, secret, name)
	}},
	{"a deleted key is refused", func(t *testing.T, l target) {
		name, secret := l.priced(t), l.newKey(t, nil)
		requireAllowed(t, l, secret, name)
		require.NoError(t, l.DeleteKey(t.Context(), secret.Hash()))
		requireDenied(t, l, secret, name, 401, "token_not_found_in_db", "key", "Invalid API key")
	}},
	{"an expired key is refused", func(t *testing.T, l target) {
		name, secret := l.priced(t), l.newKey(t, nil)
		requireAllowed(t, l, secret, name)
		require.NoError(t, l.Call(t.Context(), http.MethodPost, "/key/update", map[string]any{"key": secret.Hash(), "duration": "0s"}, nil))
		hash := secret.Hash()
		requireDenied(t, l, secret, name, 401, "expired_key", "sk-..."+hash[len(hash)-4:], "Expired Key. Key Expiry time 2")
	}},
	{"a model that is not on the key is refused, an unknown one too", func(t *testing.T, l target) {
		name, other := l.priced(t), l.priced(t)
		secret := l.newKey(t, func(k *litellm.NewKey) { k.Models = []string{name} })
		for _, model := range []string{other, unique("unknown")} {
			requireDenied(t, l, secret, model, 403, "key_model_access_denied", "model", "'"+model+"' is not available for this API key")
		}
		require.NoError(t, l.UpdateKey(t.Context(), secret.Hash(), litellm.KeyLimits{Models: []string{other}}))
		requireAllowed(t, l, secret, other)
		requireDenied(t, l, secret, name, 403, "key_model_access_denied", "model", "is not available")
	}},
	{"a model that is not the user's is refused", func(t *testing.T, l target) {
		name, other := l.priced(t), l.priced(t)
		user := l.newUser(t, func(u *litellm.UserSpec) { u.Models = []string{name} })
		secret := l.newKey(t, func(k *litellm.NewKey) { k.UserID = user })
		requireAllowed(t, l, secret, name)
		requireDenied(t, l, secret, other, 403, "user_model_access_denied", "model", "is not available")
	}},
	{"an unknown model is a mistake of a key that may call all, as of the admin", func(t *testing.T, l target) {
		for _, secret := range []models.Secret{l.newKey(t, nil), models.SecretOf(l.key)} {
			model := unique("unknown")
			requireDenied(t, l, secret, model, 400, "invalid_request_error", "", "/chat/completions: Invalid model name passed in model="+model)
		}
	}},
	{"a spent budget ends what costs, not what is free", func(t *testing.T, l target) {
		name := l.priced(t)
		_, free := l.newDeployment(t, func(s *litellm.DeploymentSpec) { s.InputCost, s.OutputCost = price(t, "0"), price(t, "0") })
		secret := l.newKey(t, func(k *litellm.NewKey) { k.MaxBudget = new(models.Dollar / 1000) })
		requireAllowed(t, l, secret, name)
		requireEventuallyDenied(t, l, secret, name, 422, "budget_exceeded", "Budget has been exceeded! Key=")
		requireAllowed(t, l, secret, free)
		require.NoError(t, l.UpdateKey(t.Context(), secret.Hash(), litellm.KeyLimits{Models: []string{"all-proxy-models"}}))
		requireAllowed(t, l, secret, name)
	}},
	{"a budget of nothing is spent from the start, and says whose it is", func(t *testing.T, l target) {
		alias := unique("alias")
		secret := l.newKey(t, func(k *litellm.NewKey) { k.MaxBudget, k.Alias = new(models.USD(0)), alias })
		requireDenied(t, l, secret, l.priced(t), 422, "budget_exceeded", "", "Budget has been exceeded! Key="+alias+" (sk-...")
	}},
	{"a user's spent budget ends all his keys", func(t *testing.T, l target) {
		name := l.priced(t)
		user := l.newUser(t, func(u *litellm.UserSpec) { u.MaxBudget = new(models.Dollar / 1000) })
		one := l.newKey(t, func(k *litellm.NewKey) { k.UserID = user })
		other := l.newKey(t, func(k *litellm.NewKey) { k.UserID = user })
		requireAllowed(t, l, one, name)
		requireEventuallyDenied(t, l, other, name, 422, "budget_exceeded", "User="+user+" ")
	}},
	{"a call that says too little is refused", func(t *testing.T, l target) {
		name := l.priced(t)
		for _, test := range []struct{ path, body, param, says string }{
			{"/chat/completions", `{"model": "` + name + `"}`, "messages", "/chat/completions: Missing required parameter: 'messages'."},
			{"/embeddings", `{"model": "` + name + `"}`, "input", "/embeddings: Missing required parameter: 'input'."},
			{"/chat/completions", `{"messages": []}`, "", "Invalid model name passed in model=None"},
			{"/chat/completions", `nope`, "request_body", "Invalid JSON payload"},
		} {
			status, _, raw := l.call(t, l.key, http.MethodPost, test.path, test.body)
			var s said
			require.NoError(t, json.Unmarshal(raw, &s))
			require.Equal(t, http.StatusBadRequest, status)
			require.Equal(t, test.param, s.Error.Param)
			require.Contains(t, s.Error.Message, test.says)
		}
	}},
	{"texts can be embedded", func(t *testing.T, l target) {
		_, name := l.newDeployment(t, func(s *litellm.DeploymentSpec) { s.Mode, s.ExtraParams["mock_response"] = "embedding", "[0.1, 0.2]" })
		status, _, raw := l.call(t, l.newKey(t, nil).Reveal(), http.MethodPost, "/v1/embeddings", `{"model": "`+name+`", "input": "Good day!"}`)
		var s said
		require.NoError(t, json.Unmarshal(raw, &s))
		require.Equal(t, http.StatusOK, status)
		require.Equal(t, "list", s.Object)
		require.Len(t, s.Data, 1)
		require.Equal(t, "embedding", s.Data[0].Object)
		require.NotEmpty(t, s.Data[0].Embedding)
		require.Positive(t, s.Usage.Prompt)
	}},
	{"a key is told what it may call", func(t *testing.T, l target) {
		name, unknown := l.priced(t), unique("unknown")
		secret := l.newKey(t, func(k *litellm.NewKey) { k.Models = []string{name, unknown} })
		var out struct{ Data []struct{ ID string } }
		require.NoError(t, l.as(secret.Reveal()).Call(t.Context(), http.MethodGet, "/v1/models", nil, &out))
		require.Len(t, out.Data, 2)
		require.ElementsMatch(t, []string{name, unknown}, []string{out.Data[0].ID, out.Data[1].ID})
	}},
}

// limitCases say what a caller gets who is over a limit. They come first: each key, user and model
// of a key that is used stays for ten minutes in a memory of LiteLLM's that, without Redis, holds
// 200 things and gives up these counters first when it is full.
var limitCases = []conformanceCase{
	{"too many requests a minute are refused, and say how long to wait", func(t *testing.T, l target) {
		name := l.priced(t)
		user := l.newUser(t, func(u *litellm.UserSpec) { u.RPM = new(int64(1)) })
		for whose, secret := range map[string]models.Secret{
			"api_key: ":       l.newKey(t, func(k *litellm.NewKey) { k.RPM = new(int64(1)) }),
			"user: " + user:   l.newKey(t, func(k *litellm.NewKey) { k.UserID = user }),
			"model_per_key: ": l.newKey(t, func(k *litellm.NewKey) { k.ModelRPM = map[string]int64{name: 1} }),
		} {
			requireAllowed(t, l, secret, name)
			header := requireDenied(t, l, secret, name, 429, "throttling_error", "", "Rate limit exceeded for "+whose)
			require.Equal(t, "60", header.Get("Retry-After"))
			require.Equal(t, "requests", header.Get("rate_limit_type"))
		}
	}},
	{"a limit of one model leaves the others", func(t *testing.T, l target) {
		name, other := l.priced(t), l.priced(t)
		secret := l.newKey(t, func(k *litellm.NewKey) { k.ModelRPM = map[string]int64{name: 0} })
		requireDenied(t, l, secret, name, 429, "throttling_error", "", "Rate limit exceeded for model_per_key: "+secret.Hash()+":"+name)
		requireAllowed(t, l, secret, other)
	}},
	{"too many tokens a minute are refused", func(t *testing.T, l target) {
		name := l.priced(t)
		for _, secret := range []models.Secret{
			l.newKey(t, func(k *litellm.NewKey) { k.TPM = new(int64(8)) }),
			l.newKey(t, func(k *litellm.NewKey) { k.ModelTPM = map[string]int64{name: 8} }),
		} {
			requireAllowed(t, l, secret, name)
			requireEventuallyDenied(t, l, secret, name, 429, "throttling_error", "Limit type: tokens. Current limit: 8")
		}
		none := l.newKey(t, func(k *litellm.NewKey) { k.TPM = new(int64(0)) })
		requireDenied(t, l, none, name, 429, "throttling_error", "", "Limit type: tokens. Current limit: 0, Remaining: 0")
	}},
	{"no parallel requests are no requests", func(t *testing.T, l target) {
		secret := l.newKey(t, func(k *litellm.NewKey) { k.MaxParallelRequests = new(int64(0)) })
		requireDenied(t, l, secret, l.priced(t), 429, "throttling_error", "", "Limit type: max_parallel_requests. Current limit: 0")
	}},
}

// priced is a model that costs something.
func (l target) priced(t *testing.T) string {
	t.Helper()
	_, name := l.newDeployment(t, nil)
	return name
}

func requireAllowed(t *testing.T, l target, key models.Secret, model string) {
	t.Helper()
	status, _, s := l.chat(t, key, model)
	require.Equal(t, http.StatusOK, status, s.Error.Message)
}

func requireDenied(t *testing.T, l target, key models.Secret, model string, status int, typ, param, says string) http.Header {
	t.Helper()
	got, header, s := l.chat(t, key, model)
	if status == http.StatusTooManyRequests {
		require.NotEqual(t, http.StatusOK, got, forgets)
	}
	require.Equal(t, status, got, s.Error.Message)
	require.Equal(t, typ, s.Error.Type)
	require.Equal(t, param, s.Error.Param)
	require.Contains(t, s.Error.Message, says)
	return header
}

// forgets is why a real LiteLLM may let pass what is over a limit.
const forgets = "LiteLLM without Redis counts only 200 things in ten minutes and forgets the rest: use one that was started anew"

// requireEventuallyDenied calls until LiteLLM has counted what was used before.
func requireEventuallyDenied(t *testing.T, l target, key models.Secret, model string, status int, typ, says string) {
	t.Helper()
	require.Eventually(t, func() bool {
		got, _, _ := l.chat(t, key, model)
		return got != http.StatusOK
	}, settle/4, 100*time.Millisecond, forgets)
	requireDenied(t, l, key, model, status, typ, "", says)
}
