package api_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/activities/litellm/litellmtest"
	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store/storetest"
)

const keysPath = "/api/v1/api-keys"

// make asks for a key.
func (s shop) make(t *testing.T, who, body string) reply {
	t.Helper()
	return s.by(t, who, http.MethodPost, keysPath, body)
}

// made is a new key of ada's that may call the models.
func (s shop) made(t *testing.T, llms ...string) reply {
	t.Helper()
	return s.make(t, s.ada, fmt.Sprintf(`{"name": "CI", "modelIds": %s}`, list(llms))).is(http.StatusCreated)
}

// row is the key of an answer, as it is stored.
func (s shop) row(t *testing.T, r reply) models.Key {
	t.Helper()
	k, err := s.Store.Key(t.Context(), uuid.MustParse(id(r)))
	require.NoError(t, err)
	return k
}

// A key is good at LiteLLM when it is answered; its secret is shown once, and all else of it in
// lists.
func TestCreateKey(t *testing.T) {
	s := open(t)
	s.has(t, s.ada, "gpt-4o")
	s.has(t, s.ada, "gpt-4.1")
	made := s.make(t, s.ada, `{"name": "My CI!", "modelIds": ["gpt-4o", "gpt-4.1", "gpt-4o"], "expiresAt": "2099-01-01T00:00:00Z",
		"maxBudget": 25, "budgetDuration": "monthly", "tpmLimit": 5000, "rpmLimit": 60, "softBudget": 20, "maxParallelRequests": 4,
		"modelRpmLimit": {"gpt-4o": 10}, "modelTpmLimit": {"gpt-4o": 1000}, "modelMaxBudget": {"gpt-4o": {"budgetLimit": 5, "timePeriod": "30d"}},
		"tags": ["x"], "metadata": {"env": "test", "permissions": ["a"]}}`).is(http.StatusCreated)
	secret := made.at("key").(string)
	require.Regexp(t, `^sk-[A-Za-z0-9_-]{43}$`, secret)
	require.Equal(t, secret[:7], made.at("keyPrefix"))
	require.Regexp(t, `^My-CI_[0-9a-f]{8}$`, made.at("keyAlias"))
	require.Equal(t, true, made.at("isActive"))
	require.NotContains(t, made.body(), "warnings")

	k := s.row(t, made)
	require.Equal(t, models.SecretOf(secret).Hash(), k.Hash)
	seen, err := s.llm.Key(t.Context(), k.Hash)
	require.NoError(t, err)
	require.Empty(t, k.Differences(seen))
	require.Equal(t, []string{"gpt-4.1", "gpt-4o"}, seen.Models)
	require.Equal(t, 1, s.proxy.Calls("/key/generate"))

	list := s.by(t, s.ada, http.MethodGet, keysPath, "").is(http.StatusOK)
	require.NotContains(t, list.Body.String(), secret)
	require.EqualValues(t, 1, list.at("total"))
	want := made.body()
	delete(want, "key")
	require.Equal(t, want, list.at("data.0"))
	require.Equal(t, want, s.by(t, s.ada, http.MethodGet, keysPath+"/"+id(made), "").is(http.StatusOK).body())
	require.Equal(t, "openai", made.at("modelDetails.0.provider"))
	require.EqualValues(t, 0, s.by(t, s.ada, http.MethodGet, keysPath+"?isActive=false&modelIds=gpt-4o", "").is(http.StatusOK).at("total"))
	require.EqualValues(t, 1, s.by(t, s.ada, http.MethodGet, keysPath+"?isActive=true&modelIds=gpt-4o,none", "").is(http.StatusOK).at("total"))

	nameless := s.make(t, s.ada, `{"modelIds": ["gpt-4o"]}`).is(http.StatusCreated)
	require.Regexp(t, `^api-key_[0-9a-f]{8}$`, nameless.at("keyAlias"))
	require.NotContains(t, nameless.body(), "maxBudget")
	require.NotContains(t, nameless.body(), "warnings")
	stats := s.by(t, s.ada, http.MethodGet, keysPath+"/stats", "").is(http.StatusOK).body()
	require.Equal(t, map[string]any{
		"total": 2., "active": 2., "expired": 0., "revoked": 0., "bySubscription": map[string]any{}, "byModel": map[string]any{"gpt-4o": 2., "gpt-4.1": 1.},
	}, stats)
}

// What cannot be is answered 400, with the field to blame, and makes nothing.
func TestCreateKeyRefusals(t *testing.T) {
	s := open(t)
	s.has(t, s.ada, "gpt-4o")
	good := id(s.made(t, "gpt-4o"))
	with := func(rest string) string { return `{"modelIds": ["gpt-4o"], ` + rest + `}` }
	bad := map[string]string{
		with(`"maxBudget": -1`): "maxBudget", with(`"maxBudget": "x"`): "maxBudget", with(`"maxBudget": 1e300`): "maxBudget",
		with(`"tpmLimit": -1`): "tpmLimit", with(`"tpmLimit": 1.5`): "tpmLimit", with(`"rpmLimit": -1`): "rpmLimit", with(`"rpmLimit": 1e40`): "rpmLimit",
		with(`"softBudget": -1`): "softBudget", with(`"maxParallelRequests": 0`): "maxParallelRequests", with(`"budgetDuration": "fortnight"`): "budgetDuration",
		with(`"budgetDuration": ""`): "budgetDuration", with(`"budgetDuration": 3`): "budgetDuration",
		with(`"expiresAt": "2020-01-01T00:00:00Z"`): "expiresAt", with(`"expiresAt": "soon"`): "expiresAt", with(`"expiresAt": 5`): "expiresAt", with(`"expiresAt": "2999-01-01T00:00:00Z"`): "expiresAt",
		with(`"metadata": "x"`): "metadata", with(`"metadata": []`): "metadata", with(`"metadata": {"a": "\u0000"}`): "metadata",
		with(`"metadata": {"created_by": "me"}`): "metadata.created_by", with(`"metadata": {"temp_budget_increase": 1000}`): "metadata.temp_budget_increase",
		with(`"metadata": {"a": "` + strings.Repeat("x", 20_000) + `"}`): "metadata",
		with(`"modelRpmLimit": {"gpt-4o": -1}`):                          "modelRpmLimit.gpt-4o", with(`"modelTpmLimit": {"gpt-4o": "x"}`): "modelTpmLimit.gpt-4o",
		with(`"modelRpmLimit": {"\u0000": 1}`): "modelRpmLimit", with(`"modelMaxBudget": {"gpt-4o": 5}`): "modelMaxBudget.gpt-4o",
		with(`"modelMaxBudget": {"gpt-4o": {"budgetLimit": -1, "timePeriod": "1d"}}`): "modelMaxBudget.gpt-4o.budgetLimit",
		with(`"modelMaxBudget": {"gpt-4o": {"budgetLimit": 1, "timePeriod": "x"}}`):   "modelMaxBudget.gpt-4o.timePeriod",
		with(`"tags": [1]`): "tags[0]", with(`"tags": ["\u0000"]`): "tags", with(`"permissions": {"a": "x"}`): "permissions.a", with(`"nonsense": 1`): "nonsense",
		`{"modelIds": ["gpt-4o", "gpt-4.1"]}`: "modelIds", `{"modelIds": []}`: "modelIds", `{"modelIds": [""]}`: "modelIds[0]", `{"modelIds": "x"}`: "modelIds",
		`{"modelIds": ["\u0000"]}`: "modelIds[0]", `{}`: "modelIds",
	}
	for body, field := range bad {
		require.Equal(t, field, s.make(t, s.ada, body).problem(http.StatusBadRequest, "VALIDATION_ERROR"), body)
		if strings.Contains(body, `["gpt-4o"], `) {
			rest := "{" + strings.TrimPrefix(body, `{"modelIds": ["gpt-4o"], `)
			require.Equal(t, field, s.by(t, s.ada, http.MethodPatch, keysPath+"/"+good, rest).problem(http.StatusBadRequest, "VALIDATION_ERROR"), rest)
		}
	}
	for body, field := range map[string]string{
		with(`"name": ""`): "name", with(`"name": "  "`): "name", with(`"name": 1`): "name", with(`"name": "` + strings.Repeat("x", 256) + `"`): "name",
		with(`"teamId": "x"`): "teamId", with(`"teamId": "` + uuid.NewString() + `"`): "teamId", `{"subscriptionId": "x"}`: "subscriptionId",
	} {
		require.Equal(t, field, s.make(t, s.ada, body).problem(http.StatusBadRequest, "VALIDATION_ERROR"), body)
	}
	require.Equal(t, "subscriptionId", s.make(t, s.ada, `{"subscriptionId": "`+uuid.NewString()+`"}`).problem(http.StatusNotFound, "NOT_FOUND"))
	require.Equal(t, "modelIds", s.by(t, s.ada, http.MethodPatch, keysPath+"/"+good, `{"modelIds": ["gpt-4.1"]}`).problem(http.StatusBadRequest, "VALIDATION_ERROR"))
	require.Equal(t, "modelIds", s.by(t, s.ada, http.MethodPatch, keysPath+"/"+good, `{"modelIds": []}`).problem(http.StatusBadRequest, "VALIDATION_ERROR"))
	for query, field := range map[string]string{"page=0": "page", "limit=101": "limit", "isActive=x": "isActive", "subscriptionId=x": "subscriptionId"} {
		require.Equal(t, field, s.by(t, s.ada, http.MethodGet, keysPath+"?"+query, "").problem(http.StatusBadRequest, "VALIDATION_ERROR"), query)
	}
	require.EqualValues(t, 1, s.by(t, s.ada, http.MethodGet, keysPath, "").at("total"))
	require.Equal(t, 1, s.proxy.Calls("/key/generate"))
}

// Nobody escapes a maximum by asking for nothing, or for null; admins are not bound.
func TestKeysKeepToTheMaximums(t *testing.T) {
	s := open(t)
	s.has(t, s.ada, "gpt-4o")
	s.by(t, s.root, http.MethodPut, "/api/v1/admin/settings/api-key-defaults", `{
		"defaults": {"maxBudget": 10, "budgetDuration": "monthly", "expirationDays": 30}, "maximums": {"maxBudget": 100, "tpmLimit": 10000, "expirationDays": 90}}`).is(http.StatusOK)
	k := s.made(t, "gpt-4o")
	require.EqualValues(t, 10, k.at("maxBudget"))
	require.EqualValues(t, 10000, k.at("tpmLimit"))
	require.Equal(t, "monthly", k.at("budgetDuration"))
	at, err := time.Parse(time.RFC3339, k.at("expiresAt").(string))
	require.NoError(t, err)
	require.WithinDuration(t, time.Now().Add(30*24*time.Hour), at, time.Minute)
	path := keysPath + "/" + id(k)
	require.EqualValues(t, 100, s.by(t, s.ada, http.MethodPatch, path, `{"maxBudget": null}`).is(http.StatusOK).at("maxBudget"))
	over := s.make(t, s.ada, `{"modelIds": ["gpt-4o"], "maxBudget": 500}`)
	require.Equal(t, "maxBudget", over.problem(http.StatusBadRequest, "VALIDATION_ERROR"))
	require.Equal(t, "Quota limits exceeded: maxBudget: 500 exceeds maximum 100", over.at("message"))
	require.Equal(t, "expiresAt", s.by(t, s.ada, http.MethodPatch, path, `{"expiresAt": null}`).problem(http.StatusBadRequest, "VALIDATION_ERROR"))

	admins := "/api/v1/admin/users/" + s.user(t, "ada@example.com").ID.String() + "/api-keys/" + id(k)
	now := s.by(t, s.root, http.MethodPatch, admins, `{"maxBudget": null, "expiresAt": null, "tpmLimit": 99999999}`).is(http.StatusOK)
	require.NotContains(t, now.body(), "maxBudget")
	require.NotContains(t, now.body(), "expiresAt")
	require.EqualValues(t, 99999999, now.at("tpmLimit"))
}

// Of twenty requests at once, ten make a key.
func TestCreateKeyLimit(t *testing.T) {
	s := open(t)
	s.has(t, s.ada, "gpt-4o")
	answers := make([]reply, 20)
	var wg sync.WaitGroup
	for i := range answers {
		wg.Go(func() { answers[i] = s.make(t, s.ada, `{"modelIds": ["gpt-4o"]}`) })
	}
	wg.Wait()
	made := map[string]bool{}
	for _, a := range answers {
		if a.Code == http.StatusCreated {
			made[a.at("key").(string)] = true
			continue
		}
		a.problem(http.StatusBadRequest, "VALIDATION_ERROR")
		require.Equal(t, "Maximum number of active API keys (10) reached", a.at("message"))
	}
	require.Len(t, made, models.MaxLiveKeys)
	require.Len(t, s.proxy.Keys(), models.MaxLiveKeys)
	require.Equal(t, models.MaxLiveKeys, s.proxy.Calls("/key/generate"), "one call for each")
}

// A change holds at LiteLLM when it is answered.
func TestUpdateKey(t *testing.T) {
	s := open(t)
	s.has(t, s.ada, "gpt-4o")
	s.has(t, s.ada, "gpt-4.1")
	made := s.made(t, "gpt-4o")
	path := keysPath + "/" + id(made)
	now := s.by(t, s.ada, http.MethodPatch, path, `{"name": "renamed", "modelIds": ["gpt-4.1", "gpt-4o"], "maxBudget": 5, "modelRpmLimit": {"gpt-4o": 3}, "metadata": {"description": "d"}}`).is(http.StatusOK)
	require.Equal(t, "renamed", now.at("name"))
	require.Equal(t, made.at("keyAlias"), now.at("keyAlias"), "what it used is known by it")
	require.Equal(t, []string{"gpt-4.1", "gpt-4o"}, s.held(t, s.row(t, made)))
	require.Equal(t, true, now.at("settled"))
	calls := s.proxy.Calls("/key/update")
	s.by(t, s.ada, http.MethodPatch, path, `{"name": "again"}`).is(http.StatusOK)
	require.Equal(t, calls, s.proxy.Calls("/key/update"), "LiteLLM is not concerned")
	require.NotContains(t, s.by(t, s.ada, http.MethodPatch, path, `{"maxBudget": null}`).is(http.StatusOK).body(), "maxBudget")
	s.by(t, s.ada, http.MethodPatch, keysPath+"/"+uuid.NewString(), `{"name": "x"}`).problem(http.StatusNotFound, "NOT_FOUND")
}

// What is deleted is gone at LiteLLM when it is answered 200, and from the list.
func TestDeleteKey(t *testing.T) {
	s := open(t)
	s.has(t, s.ada, "gpt-4o")
	made := s.made(t, "gpt-4o")
	path := keysPath + "/" + id(made)
	require.Equal(t, "revoked", s.by(t, s.ada, http.MethodDelete, path, "").is(http.StatusOK).at("status"))
	require.Empty(t, s.proxy.Keys())
	s.by(t, s.ada, http.MethodDelete, path, "").problem(http.StatusNotFound, "NOT_FOUND")
	s.by(t, s.ada, http.MethodGet, path, "").problem(http.StatusNotFound, "NOT_FOUND")
	require.EqualValues(t, 0, s.by(t, s.ada, http.MethodGet, keysPath, "").at("total"))
	require.Equal(t, models.KeyRevoked, s.row(t, made).Status())
}

// While LiteLLM is away the answers say what is under way, and it follows when it is back.
func TestKeysWhileLiteLLMIsAway(t *testing.T) {
	s := open(t)
	s.has(t, s.ada, "gpt-4o")
	there := s.made(t, "gpt-4o")
	back := s.cut(t)
	late := s.make(t, s.ada, `{"modelIds": ["gpt-4o"]}`).is(http.StatusAccepted)
	require.Equal(t, "provisioning", late.at("status"))
	require.Equal(t, false, late.at("isActive"))
	require.Regexp(t, `^sk-`, late.at("key"))
	changed := s.by(t, s.ada, http.MethodPatch, keysPath+"/"+id(there), `{"rpmLimit": 5}`).is(http.StatusAccepted)
	require.Equal(t, false, changed.at("settled"))
	require.Equal(t, "revoking", s.by(t, s.ada, http.MethodDelete, keysPath+"/"+id(there), "").is(http.StatusAccepted).at("status"))
	back()
	require.Equal(t, "active", s.settles(t, s.ada, keysPath+"/"+id(late)).at("status"))
	require.Eventually(t, func() bool { return s.row(t, there).Status() == models.KeyRevoked }, time.Minute, 50*time.Millisecond)
	require.Len(t, s.proxy.Keys(), 1)
}

// A key that LiteLLM refuses is not kept: its caller was told so.
func TestCreateKeyThatLiteLLMRefuses(t *testing.T) {
	s := open(t)
	s.has(t, s.ada, "gpt-4o")
	s.proxy.Inject(litellmtest.Fault{Path: "/key/generate", Kind: litellmtest.FaultStatus, Status: http.StatusBadRequest})
	s.make(t, s.ada, `{"modelIds": ["gpt-4o"]}`).problem(http.StatusConflict, "CONFLICT")
	require.EqualValues(t, 0, s.by(t, s.ada, http.MethodGet, keysPath, "").at("total"))
	require.Empty(t, s.proxy.Keys())
}

// Owners reset what a key spent only where that is allowed.
func TestResetKeySpend(t *testing.T) {
	s := open(t)
	s.has(t, s.ada, "gpt-4o")
	k := storetest.Key(t, s.Store, s.user(t, "ada@example.com").ID, func(k *models.Key) { k.Spend = 3 * models.Dollar }, "gpt-4o")
	s.by(t, s.ada, http.MethodPatch, keysPath+"/"+k.ID.String(), `{"rpmLimit": 5}`).is(http.StatusOK)
	seen, err := s.llm.Key(t.Context(), k.Hash)
	require.NoError(t, err)
	require.Equal(t, 3*models.Dollar, seen.Spend)
	path := keysPath + "/" + k.ID.String() + "/reset-spend"
	s.by(t, s.ada, http.MethodPost, path, "").problem(http.StatusForbidden, "FORBIDDEN")
	admins := "/api/v1/admin/users/" + s.user(t, "ada@example.com").ID.String() + "/api-keys/" + k.ID.String() + "/reset-spend"
	reset := s.by(t, s.root, http.MethodPost, admins, "").is(http.StatusOK)
	require.EqualValues(t, 0, reset.at("currentSpend"))
	require.NotEmpty(t, reset.at("resetAt"))
	seen, err = s.llm.Key(t.Context(), k.Hash)
	require.NoError(t, err)
	require.Zero(t, seen.Spend)
	s.by(t, s.root, http.MethodPost, strings.Replace(admins, k.ID.String(), uuid.NewString(), 1), "").problem(http.StatusNotFound, "NOT_FOUND")
	s.Config.OwnersResetSpend = true
	s.by(t, s.ada, http.MethodPost, path, "").is(http.StatusOK)
}

// A key that is to live for seconds ends in its second, though the clock's next look is a minute
// away: one made so, for oneself or by an admin, and one changed so.
func TestShortLivedKeys(t *testing.T) {
	s := open(t)
	s.has(t, s.ada, "gpt-4o")
	in := func(d time.Duration) (end time.Time, body string) {
		end = time.Now().Add(d).Truncate(time.Microsecond).UTC()
		return end, fmt.Sprintf(`{"name": "short", "modelIds": ["gpt-4o"], "expiresAt": %q}`, end.Format(time.RFC3339Nano))
	}
	admins := "/api/v1/admin/users/" + s.user(t, "ada@example.com").ID.String() + "/api-keys"
	long := s.made(t, "gpt-4o")
	var made [4]reply
	var ends [4]time.Time
	var body string
	ends[0], body = in(40 * time.Second) // is slept for first, and comes last
	made[0] = s.make(t, s.ada, body).is(http.StatusCreated)
	ends[1], body = in(6 * time.Second)
	made[1] = s.make(t, s.ada, body).is(http.StatusCreated)
	ends[2], body = in(5 * time.Second)
	made[2] = s.by(t, s.root, http.MethodPost, admins, body).is(http.StatusCreated)
	ends[3], body = in(4 * time.Second)
	made[3] = s.by(t, s.ada, http.MethodPatch, keysPath+"/"+id(long), body).is(http.StatusOK)
	for i := 1; i < len(made); i++ {
		require.Eventually(t, func() bool { k := s.row(t, made[i]); return k.RevokedAt != nil && k.Settled() }, 20*time.Second, 20*time.Millisecond)
		require.WithinRange(t, *s.row(t, made[i]).RevokedAt, ends[i], ends[i].Add(2*time.Second), "of which a busy machine needs one")
		require.Nil(t, s.held(t, s.row(t, made[i])))
	}
	require.Equal(t, models.KeyActive, s.row(t, made[0]).Status())
}
