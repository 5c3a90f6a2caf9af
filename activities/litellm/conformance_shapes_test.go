package litellm_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/activities/litellm"
	"github.com/litemaas/litemaas/models"
)

var update = flag.Bool("update", false, "record the shapes of the real LiteLLM's answers anew")

// shapesFile holds the type of each field of the real LiteLLM's answers.
const shapesFile = "testdata/shapes.json"

var shapeCases = []conformanceCase{
	{"answers have the fields and types that were recorded", func(t *testing.T, l target) {
		got := l.shapes(t)
		if l.fake == nil && *update {
			record(t, got)
		}
		text, err := os.ReadFile(shapesFile)
		require.NoError(t, err)
		var recorded map[string]map[string]string
		require.NoError(t, json.Unmarshal(text, &recorded))
		require.Len(t, got, len(recorded))
		for call, fields := range recorded {
			less, more := got[call], fields // the fake leaves out most of what nobody reads
			if l.fake == nil {
				less, more = fields, got[call] // a newer LiteLLM may tell more
			}
			require.NotEmpty(t, less, call)
			for field, typ := range less {
				require.Equal(t, more[field], typ, "%s: %s", call, field)
			}
		}
	}},
}

// record writes the shapes, a line for each call.
func record(t *testing.T, got map[string]map[string]string) {
	t.Helper()
	var lines []string
	for _, call := range slices.Sorted(maps.Keys(got)) {
		fields, err := json.Marshal(got[call])
		require.NoError(t, err)
		lines = append(lines, fmt.Sprintf("%q: %s", call, fields))
	}
	require.NoError(t, os.WriteFile(shapesFile, []byte("{\n"+strings.Join(lines, ",\n")+"\n}\n"), 0o644))
}

// shapes makes each call once and returns the shapes of the answers.
func (l target) shapes(t *testing.T) map[string]map[string]string {
	t.Helper()
	user := l.newUser(t, func(u *litellm.UserSpec) { u.MaxBudget, u.BudgetDuration = new(models.Dollar), "30d" })
	other := unique("user")
	l.removeUser(t, other)
	id, name := l.newDeployment(t, func(s *litellm.DeploymentSpec) { s.MaxTokens = new(int64(5)) })
	added := unique("deployment")
	l.removeDeployment(t, added)
	limits := limited(t)
	limits.Models = []string{name}
	secret := l.newKey(t, func(k *litellm.NewKey) { k.KeyLimits, k.UserID = limits, user })
	plain, hash := l.newKey(t, nil).Hash(), secret.Hash()
	made := models.SecretOf("sk-" + unique("key"))
	l.removeKey(t, made)

	out := map[string]map[string]string{}
	for _, call := range []struct{ name, method, path, body string }{
		{"readiness", get, "/health/readiness", ""},
		{"readiness in detail", get, "/health/readiness/details", ""},
		{"new key", post, "/key/generate", `{"key": "` + made.Reveal() + `", "models": ["a"], "max_budget": 5, "duration": "1h"}`},
		{"key", get, "/key/info?key=" + hash, ""},
		{"plain key", get, "/key/info?key=" + plain, ""},
		{"changed key", post, "/key/update", `{"key": "` + hash + `", "tpm_limit": 7}`},
		{"blocked key", post, "/key/block", `{"key": "` + hash + `"}`},
		{"unblocked key", post, "/key/unblock", `{"key": "` + hash + `"}`},
		{"keys", get, "/key/list?return_full_object=true&key_alias=" + limits.Alias, ""},
		{"hashes of keys", get, "/key/list?key_alias=" + limits.Alias, ""},
		{"deleted keys", post, "/key/delete", `{"keys": ["` + plain + `"]}`},
		{"deleted key", get, "/key/info?key=" + plain, ""},
		{"new user", post, "/user/new", `{"user_id": "` + other + `", "auto_create_key": false, "max_budget": 5}`},
		{"changed user", post, "/user/update", `{"user_id": "` + other + `", "tpm_limit": 5}`},
		{"user", get, "/v2/user/info?user_id=" + user, ""},
		{"user, the older way", get, "/user/info?user_id=" + user, ""},
		{"users", get, "/user/list?user_ids=" + user, ""},
		{"deleted user", post, "/user/delete", `{"user_ids": ["` + other + `"]}`},
		{"new deployment", post, "/model/new", `{"model_name": "` + added + `", "litellm_params": {"model": "openai/x", "tpm": 5}, "model_info": {"id": "` + added + `"}}`},
		{"changed deployment", patch, "/model/" + added + "/update", `{"litellm_params": {"tpm": 6}, "model_info": {"id": "` + added + `"}}`},
		{"deleted deployment", post, "/model/delete", `{"id": "` + added + `"}`},
		{"deployment", get, "/model/info?litellm_model_id=" + id, ""},
		{"deployments", get, "/v2/model/info?model=" + name, ""},
		{"no deployments", get, "/v2/model/info?page=1000000", ""},
		{"models", get, "/model_group/info?model_group=" + name, ""},
	} {
		status, _, raw := l.call(t, l.key, call.method, call.path, call.body)
		require.Equal(t, 200, status, "%s: %s", call.name, raw)
		out[call.name] = shapeOf(t, raw)
	}
	_, _, raw := l.call(t, secret.Reveal(), post, "/chat/completions", `{"model": "`+name+`", "messages": []}`)
	out["chat"] = shapeOf(t, raw)
	_, _, raw = l.call(t, secret.Reveal(), get, "/v1/models", "")
	out["names of models"] = shapeOf(t, raw)
	return out
}

// shapeOf is the type of every value in a document, by its place.
func shapeOf(t *testing.T, raw []byte) map[string]string {
	t.Helper()
	var document any
	require.NoError(t, json.Unmarshal(raw, &document), "%s", raw)
	out := map[string]string{}
	var walk func(place string, v any)
	walk = func(place string, v any) {
		switch v := v.(type) {
		case map[string]any:
			out[place] = "object"
			for name, value := range v {
				walk(place+"."+name, value)
			}
		case []any:
			out[place] = "list"
			for _, value := range v[:min(1, len(v))] {
				walk(place+"[]", value)
			}
		case nil:
			out[place] = "null"
		default:
			out[place] = fmt.Sprintf("%T", v)
		}
	}
	walk("", document)
	return out
}
