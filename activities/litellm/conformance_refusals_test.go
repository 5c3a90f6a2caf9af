package litellm_test

import (
	"errors"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/activities/litellm"
	"github.com/litemaas/litemaas/models"
)

// requireRefusal checks what the client makes of an answer that is an error.
func requireRefusal(t *testing.T, err error, status int, kind models.Kind, param, says string) {
	t.Helper()
	e, ok := errors.AsType[*litellm.Error](err)
	require.True(t, ok, "%v", err)
	require.Equal(t, status, e.Status, err)
	require.Equal(t, kind, models.KindOf(err), err)
	require.Equal(t, param, e.Param, err)
	require.Regexp(t, says, e.Message)
}

// object is JSON.
type object = map[string]any

// raw is a call as it goes over the wire, and how it is refused.
type raw struct {
	name, method, path string
	body               any
	status             int
	kind               models.Kind
	param, says        string
}

const nobodysHash = "00000000000000000000000000000000000000000000000000000000000000ff"

var raws = []raw{
	{"a key that is too short", post, "/key/generate", object{"key": "sk-short"}, 400, models.Invalid, "", "at least 16 characters"},
	{"a key without sk-", post, "/key/generate", object{"key": "abcdefghijklmnopqrstuv"}, 400, models.Invalid, "", `must start with 'sk-'. Received: abcd\*\*\*\*stuv`},
	{"a budget below zero", post, "/key/generate", object{"max_budget": -1}, 400, models.Invalid, "", "max_budget must be a non-negative finite number. Received: -1.0"},
	{"a budget of words", post, "/key/generate", object{"max_budget": "lots"}, 422, models.Invalid, "max_budget", "^max_budget: Input should be a valid number"},
	{"two wrong types", post, "/key/generate", object{"models": "a", "tpm_limit": 1.5}, 422, models.Invalid, "models", "valid list; tpm_limit: Input should be a valid integer"},
	{"an unknown budget period", post, "/key/generate", object{"budget_duration": "fortnight"}, 400, models.Invalid, "", "^Invalid budget_duration 'fortnight'"},
	{"a budget for two months", post, "/key/generate", object{"budget_duration": "2mo"}, 400, models.Invalid, "", "^Invalid budget_duration '2mo'"},
	{"an unknown duration, a 500 that is final", post, "/key/generate", object{"duration": "soon"}, 500, models.Invalid, "", "^Invalid duration format$"},
	{"budgets of models, a 500 that is final", post, "/key/generate", object{"model_max_budget": object{"a": object{"budget_limit": 5, "time_period": "30d"}}}, 500, models.Invalid, "", "enterprise license"},
	{"tags", post, "/key/generate", object{"tags": []string{"a"}}, 403, models.Invalid, "", "Enterprise"},
	{"a body that is a list", post, "/key/generate", []string{}, 500, models.Unavailable, "", "^Internal server error$"},
	{"no body", post, "/key/generate", nil, 422, models.Invalid, "", "^Field required$"},

	{"an update of no key", post, "/key/update", object{"models": []string{"a"}}, 422, models.Invalid, "", "either key or key_alias"},
	{"an update of an unknown key", post, "/key/update", object{"key": nobodysHash, "models": []string{"a"}}, 404, models.NotFound, "key", "^Key not found.$"},
	{"a block of an unknown key", post, "/key/block", object{"key": nobodysHash}, 404, models.NotFound, "key", "^Key not found.$"},
	{"a block of no key", post, "/key/block", object{}, 422, models.Invalid, "key", "Field required"},
	{"an unblock of an unknown key", post, "/key/unblock", object{"key": nobodysHash}, 404, models.NotFound, "key", "^Key not found.$"},
	{"a deletion of an unknown key", post, "/key/delete", object{"keys": []string{nobodysHash}}, 404, models.NotFound, "", "^No keys found$"},
	{"a deletion of no key", post, "/key/delete", object{}, 422, models.Invalid, "", "At least one of"},
	{"a look at an unknown key", get, "/key/info?key=" + nobodysHash, nil, 404, models.NotFound, "key", "^Key not found in database$"},
	{"a list of too many keys", get, "/key/list?size=101", nil, 422, models.Invalid, "size", "less than or equal to 100"},
	{"a list of keys by an unknown column", get, "/key/list?sort_by=colour", nil, 400, models.Invalid, "", "Invalid sort column"},

	{"an update of no user", post, "/user/update", object{"max_budget": 1}, 422, models.Invalid, "", "user id or user email"},
	{"an unknown role", post, "/user/new", object{"user_role": "king"}, 422, models.Invalid, "user_role", "PROXY_ADMIN"},
	{"a deletion of an unknown user", post, "/user/delete", object{"user_ids": []string{"nobody-at-all"}}, 404, models.NotFound, "", "^User not found, passed user_id=nobody-at-all$"},
	{"a deletion of no user", post, "/user/delete", object{}, 422, models.Invalid, "user_ids", "Field required"},
	{"a look at an unknown user", get, "/v2/user/info?user_id=nobody-at-all", nil, 404, models.NotFound, "", "^User not found: nobody-at-all$"},
	{"the older look at an unknown user", get, "/user/info?user_id=nobody-at-all", nil, 404, models.NotFound, "", "not found$"},
	{"a list of too many users", get, "/user/list?page_size=101", nil, 422, models.Invalid, "page_size", "less than or equal to 100"},
	{"a list of users by an unknown column", get, "/user/list?sort_by=colour", nil, 400, models.Invalid, "", "Invalid sort column"},

	{"a deployment of no model", post, "/model/new", object{"model_name": "a", "litellm_params": object{}}, 422, models.Invalid, "litellm_params.model", "Field required"},
	{"a deployment without a name", post, "/model/new", object{"litellm_params": object{"model": "openai/x"}}, 500, models.Unavailable, "", "^Internal server error$"},
	{"a patch of an unknown deployment", patch, "/model/nobody/update", object{"litellm_params": object{"tpm": 1}}, 404, models.NotFound, "", "^Model nobody not found on proxy.$"},
	{"a deletion of an unknown deployment", post, "/model/delete", object{"id": "nobody"}, 400, models.NotFound, "", "^Model with id=nobody not found in db$"},
	{"a deletion of no deployment", post, "/model/delete", object{}, 422, models.Invalid, "id", "Field required"},
	{"a look at an unknown deployment", get, "/model/info?litellm_model_id=nobody", nil, 400, models.NotFound, "", "^Model id = nobody not found on litellm proxy$"},
	{"page zero of the models", get, "/v2/model/info?page=0", nil, 422, models.Invalid, "page", "greater than or equal to 1"},
	{"a page of the models in words", get, "/v2/model/info?page=one", nil, 422, models.Invalid, "page", "valid integer"},
	{"models in no order", get, "/v2/model/info?sortBy=model_name&sortOrder=up", nil, 400, models.Invalid, "", "Invalid sortOrder: up"},

	{"a path that nobody serves", get, "/v3/model/info", nil, 404, models.Unavailable, "", "^Not Found$"},
	{"another method than the path's", http.MethodDelete, "/v1/models", nil, 405, models.Unavailable, "", "^Method Not Allowed$"},
}

const (
	get   = http.MethodGet
	post  = http.MethodPost
	patch = http.MethodPatch
)

var refusalCases = refusals()

func refusals() []conformanceCase {
	out := make([]conformanceCase, 0, len(raws)+1)
	for _, r := range raws {
		out = append(out, conformanceCase{r.name, func(t *testing.T, l target) {
			c := l.as(l.key) // with connections of its own: LiteLLM closes one after an error that it did not think of
			requireRefusal(t, c.Call(t.Context(), r.method, r.path, r.body, nil), r.status, r.kind, r.param, r.says)
		}})
	}
	return append(out, conformanceCase{"a key that is no admin's", func(t *testing.T, l target) {
		plain := l.newKey(t, nil).Reveal()
		for _, test := range []struct{ name, key, says string }{
			{"none", "", "No api key passed in|Malformed API Key"},
			{"no key of LiteLLM's", "nope", "LiteLLM Virtual Key expected"},
			{"an unknown one", "sk-" + unique("key"), "Invalid API key"},
			{"a person's", plain, "Only proxy admin"},
		} {
			err := l.as(test.key).Call(t.Context(), post, "/key/generate", object{}, nil)
			e, ok := errors.AsType[*litellm.Error](err)
			require.True(t, ok, test.name)
			require.Equal(t, http.StatusUnauthorized, e.Status, test.name)
			require.Equal(t, models.Unavailable, models.KindOf(err), test.name)
			require.Regexp(t, test.says, e.Message, test.name)
			require.NotContains(t, err.Error(), plain)
		}
	}})
}

var healthCases = []conformanceCase{
	{"a LiteLLM with a database says so, and its version to an admin", func(t *testing.T, l target) {
		h, err := l.Health(t.Context())
		require.NoError(t, err)
		require.True(t, h.DBConnected)
		require.Regexp(t, `^\d+\.\d+\.\d+`, h.Version)
		require.Positive(t, h.Latency)
	}},
	{"it says how it is to anyone", func(t *testing.T, l target) {
		h, err := l.as("sk-" + unique("key")).Health(t.Context())
		require.NoError(t, err)
		require.True(t, h.DBConnected)
		require.Empty(t, h.Version)
	}},
	{"the master key and that of an admin prove themselves, no other does", func(t *testing.T, l target) {
		role := func(role string) string {
			user := l.newUser(t, func(u *litellm.UserSpec) { u.Role = role })
			return l.newKey(t, func(k *litellm.NewKey) { k.UserID = user }).Reveal()
		}
		for name, test := range map[string]struct {
			key string
			ok  bool
		}{
			"the master key": {l.key, true}, "an admin's": {role(models.ProxyRoleAdmin), true},
			"that of one who may look": {role(models.ProxyRoleAdminViewer), false}, "a user's": {role(models.ProxyRoleUser), false},
			"a looking user's": {role(models.ProxyRoleUserViewer), false}, "nobody's": {l.newKey(t, nil).Reveal(), false},
			"an unknown one": {"sk-" + unique("key"), false}, "none": {"", false},
		} {
			err := l.as(test.key).CheckAdminKey(t.Context())
			require.Equal(t, test.ok, err == nil, "%s: %v", name, err)
			if !test.ok {
				require.Equal(t, models.Unavailable, models.KindOf(err), name)
				require.ErrorContains(t, err, "LITELLM_API_KEY")
			}
		}
	}},
}
