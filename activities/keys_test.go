package activities_test

import (
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/testsuite"

	"github.com/litemaas/litemaas/activities"
	"github.com/litemaas/litemaas/activities/litellm"
	"github.com/litemaas/litemaas/activities/litellm/litellmtest"
	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
	"github.com/litemaas/litemaas/models/store/storetest"
	"github.com/litemaas/litemaas/workflows"
)

// ring is what the activities of keys are tried on.
type ring struct {
	*activities.Keys
	url   string // of the database
	owner models.User
	proxy *litellmtest.Proxy
	env   *testsuite.TestActivityEnvironment
}

func newRing(t *testing.T, o litellmtest.Options) ring {
	t.Helper()
	var suite testsuite.WorkflowTestSuite
	proxy, err := litellmtest.NewProxy(o)
	require.NoError(t, err)
	r := ring{url: storetest.URL(t), proxy: proxy, env: suite.NewTestActivityEnvironment()}
	st, err := store.Open(t.Context(), store.Config{URL: models.SecretOf(r.url), MaxConns: 8})
	require.NoError(t, err)
	t.Cleanup(st.Close)
	r.Keys = &activities.Keys{Store: st, Proxy: litellmtest.Serve(t, proxy), Sealer: storetest.Sealer{}}
	r.env.RegisterActivity(r.Keys)
	r.owner, err = st.SignIn(t.Context(), person("ada"), models.Initials{}, models.Origin{})
	require.NoError(t, err)
	storetest.LLMs(t, st, "a", "b", "c")
	return r
}

// key is a new key for a and b, with everything that there is.
func (r ring) key(t *testing.T) models.Key {
	t.Helper()
	return storetest.Key(t, r.Store, r.owner.ID, func(k *models.Key) {
		k.Limits, k.MaxParallel, k.ExpiresAt = limits(), new(int64(3)), new(time.Now().Add(time.Hour))
		k.ModelTPM, k.ModelRPM = map[string]int64{"a": 5}, map[string]int64{"b": 1}
		k.Metadata, k.Spend = json.RawMessage(`{"project": "x"}`), 2*models.Dollar
	}, "a", "b")
}

// wish changes what the key's row wishes for.
func (r ring) wish(t *testing.T, k models.Key, set string, args ...any) models.Key {
	t.Helper()
	_, err := storetest.SQL(t, r.url).Exec("UPDATE api_keys SET "+set+", generation = generation + 1 WHERE id = $1", append([]any{k.ID}, args...)...)
	require.NoError(t, err)
	return r.row(t, k)
}

// allow makes these models the ones that the key may call.
func (r ring) allow(t *testing.T, k models.Key, llms ...string) models.Key {
	t.Helper()
	db := storetest.SQL(t, r.url)
	_, err := db.Exec("DELETE FROM api_key_models WHERE api_key_id = $1", k.ID)
	require.NoError(t, err)
	_, err = db.Exec("INSERT INTO api_key_models SELECT $1, unnest($2::text[])", k.ID, llms)
	require.NoError(t, err)
	return r.wish(t, k, "updated_at = now()")
}

func (r ring) row(t *testing.T, k models.Key) models.Key {
	t.Helper()
	k, err := r.Store.Key(t.Context(), k.ID)
	require.NoError(t, err)
	return k
}

// apply runs ApplyKey as Temporal does.
func (r ring) apply(t *testing.T, in activities.ApplyKeyInput) (res activities.ApplyKeyResult, err error) {
	t.Helper()
	val, err := r.env.ExecuteActivity(r.ApplyKey, in)
	if err == nil {
		err = val.Get(&res)
	}
	return res, err
}

// requireHeld requires LiteLLM to hold the key as its row says, which may be not at all.
func (r ring) requireHeld(t *testing.T, k models.Key) {
	t.Helper()
	seen, err := r.Proxy.Key(t.Context(), k.Hash)
	if models.KindOf(err) == models.NotFound {
		require.Equal(t, models.KeySettled, k.Next(nil))
		return
	}
	require.NoError(t, err)
	require.Equal(t, models.KeySettled, k.Next(&seen), "%v", k.Differences(seen))
	require.Equal(t, k.UserID.String(), seen.UserID)
	require.NotEmpty(t, seen.Models)
}

// tamper changes LiteLLM's key behind our back.
func (r ring) tamper(t *testing.T, k models.Key, edit func(*litellm.KeyLimits)) {
	t.Helper()
	limits := litellm.KeyLimits{Models: k.Models, Alias: k.Alias}
	edit(&limits)
	require.NoError(t, r.Proxy.UpdateKey(t.Context(), k.Hash, limits))
}

// A new key, a changed one, one that is held, loses its last model and gets it back, and one
// that is revoked: whatever is wrong is put right, and the second time there is nothing to do.
func TestApplyKey(t *testing.T) {
	r := newRing(t, litellmtest.Options{})
	k := r.key(t)
	steps := func(s ...models.KeyStep) []models.KeyStep { return s }
	for _, tc := range []struct {
		name   string
		before func() models.Key
		want   []models.KeyStep
	}{
		{"new", func() models.Key { return k }, steps(models.KeyGenerate)},
		{"a model more", func() models.Key { return r.allow(t, k, "a", "b", "c") }, steps(models.KeyUpdate)},
		{"held, with other models", func() models.Key { r.allow(t, k, "b"); return r.wish(t, k, `holds = '["admin"]'`) }, steps(models.KeyBlock, models.KeyUpdate)},
		{"released, with others again", func() models.Key { r.allow(t, k, "a"); return r.wish(t, k, `holds = '[]'`) }, steps(models.KeyUpdate, models.KeyUnblock)},
		{"without limits", func() models.Key {
			return r.wish(t, k, "max_budget = NULL, budget_duration = '', tpm_limit = NULL, rpm_limit = NULL, max_parallel = NULL, model_tpm = '{}', model_rpm = '{}', metadata = '{}', expires_at = NULL")
		}, steps(models.KeyUpdate)},
		{"raised at LiteLLM", func() models.Key {
			r.tamper(t, k, func(l *litellm.KeyLimits) { l.Models, l.TPM = []string{"a", "c"}, new(int64(5)) })
			return k
		}, steps(models.KeyUpdate)},
		{"blocked at LiteLLM", func() models.Key { require.NoError(t, r.Proxy.BlockKey(t.Context(), k.Hash)); return k }, steps(models.KeyUnblock)},
		{"deleted at LiteLLM", func() models.Key { require.NoError(t, r.Proxy.DeleteKey(t.Context(), k.Hash)); return k }, steps(models.KeyGenerate)},
		{"its last model taken", func() models.Key { return r.allow(t, k) }, steps(models.KeyDelete)},
		{"given back, but held", func() models.Key { r.allow(t, k, "b"); return r.wish(t, k, `holds = '["offboarded"]'`) }, steps(models.KeyGenerate)},
		{"over", func() models.Key { return r.wish(t, k, "expires_at = now()") }, steps(models.KeyDelete)},
		{"prolonged", func() models.Key { return r.wish(t, k, "expires_at = now() + interval '1 day', holds = '[]'") }, steps(models.KeyGenerate)},
		{"revoked", func() models.Key { return r.wish(t, k, "revoked_at = now()") }, steps(models.KeyDelete)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.before()
			row := r.row(t, k)
			first, err := r.apply(t, activities.ApplyKeyInput{ID: k.ID})
			require.NoError(t, err)
			require.Equal(t, activities.ApplyKeyResult{Generation: row.Generation, Did: tc.want}, first)
			again, err := r.apply(t, activities.ApplyKeyInput{ID: k.ID})
			require.NoError(t, err)
			require.Empty(t, again.Did, "twice does it once")
			r.requireHeld(t, row)
		})
	}
	require.Equal(t, "litemaas", r.proxy.Requests()[1].ChangedBy, "LiteLLM's audit log names us")
}

// The first word to LiteLLM about a key is one call; when its answer is lost, the next attempt
// looks.
func TestApplyKeyOfANewKey(t *testing.T) {
	r := newRing(t, litellmtest.Options{})
	k := r.key(t)
	res, err := r.apply(t, activities.ApplyKeyInput{ID: k.ID, New: true})
	require.NoError(t, err)
	require.Equal(t, []models.KeyStep{models.KeyGenerate}, res.Did)
	require.Len(t, r.proxy.Requests(), 1)
	r.requireHeld(t, k)

	res, err = r.apply(t, activities.ApplyKeyInput{ID: k.ID, New: true}) // as after a reset of the run
	require.NoError(t, err)
	require.Empty(t, res.Did)
	gone := storetest.Key(t, r.Store, r.owner.ID, nil)
	res, err = r.apply(t, activities.ApplyKeyInput{ID: gone.ID, New: true})
	require.NoError(t, err)
	require.Empty(t, res.Did, "it may call nothing")

	lost := r.key(t)
	r.proxy.LoseNext("/key/generate", 1)
	_, err = r.apply(t, activities.ApplyKeyInput{ID: lost.ID, New: true})
	require.ErrorContains(t, err, "after the work was done")
	res, err = r.apply(t, activities.ApplyKeyInput{ID: lost.ID})
	require.NoError(t, err)
	require.Empty(t, res.Did)
	r.requireHeld(t, lost)
	require.Len(t, r.proxy.Keys(), 2)
}

// Each write may be lost on the way there, or on the way back, and is tried again: the key is
// there once, with what it had spent, and settled is said only of what is true.
func TestApplyKeySurvivesLostAnswers(t *testing.T) {
	r := newRing(t, litellmtest.Options{})
	k := r.key(t)
	spent := 2 * models.Dollar
	for _, tc := range []struct {
		path   string
		before func() models.Key
	}{
		{"/key/generate", func() models.Key { return k }},
		{"/key/update", func() models.Key { return r.allow(t, k, "c") }},
		{"/key/block", func() models.Key { return r.wish(t, k, `holds = '["admin"]'`) }},
		{"/key/unblock", func() models.Key { return r.wish(t, k, `holds = '[]'`) }},
		{"/key/delete", func() models.Key { return r.allow(t, k) }},
		{"/key/generate", func() models.Key { return r.allow(t, k, "b") }},
	} {
		row := tc.before()
		r.proxy.Inject(litellmtest.Fault{Path: tc.path, Times: 1, Kind: litellmtest.FaultCut})
		_, err := r.apply(t, activities.ApplyKeyInput{ID: k.ID})
		require.ErrorContains(t, err, "does not answer", tc.path)
		r.proxy.LoseNext(tc.path, 1)
		_, err = r.apply(t, activities.ApplyKeyInput{ID: k.ID})
		require.ErrorContains(t, err, "after the work was done", tc.path)
		res, err := r.apply(t, activities.ApplyKeyInput{ID: k.ID})
		require.NoError(t, err)
		require.Empty(t, res.Did, "the second look finds it done")
		r.requireHeld(t, row)
		if len(row.Models) > 0 {
			require.Equal(t, spent, r.spent(t, k.ID), tc.path)
		}
	}
	require.Len(t, r.proxy.Keys(), 1)
}

// What a key had spent when it was deleted counts when it is made again, though nobody saw it
// before.
func TestApplyKeyCarriesTheSpend(t *testing.T) {
	r := newRing(t, litellmtest.Options{})
	k := r.key(t)
	secret := storetest.Secret(t, k)
	require.NoError(t, r.Proxy.GenerateKey(t.Context(), litellm.NewKey{
		KeyLimits: litellm.KeyLimits{Models: []string{"a"}}, Secret: secret, UserID: k.UserID.String(), Spend: 7 * models.Dollar,
	}))
	require.NoError(t, r.Proxy.DeleteKey(t.Context(), k.Hash))
	res, err := r.apply(t, activities.ApplyKeyInput{ID: k.ID})
	require.NoError(t, err)
	require.Equal(t, []models.KeyStep{models.KeyGenerate}, res.Did)
	require.Equal(t, 7*models.Dollar, r.spent(t, k.ID))
}

// A reset is done once, though its answer is lost; a key that is made again begins at zero by it.
func TestApplyKeyResetsTheSpend(t *testing.T) {
	r := newRing(t, litellmtest.Options{})
	k := r.key(t)
	_, err := r.apply(t, activities.ApplyKeyInput{ID: k.ID, New: true})
	require.NoError(t, err)
	_, err = r.ObserveKey(t.Context(), models.KeyProof{ID: k.ID, Generation: 1})
	require.NoError(t, err)
	k, err = r.Store.ResetKeySpend(t.Context(), k.UserID, k.ID, true, models.System("test"))
	require.NoError(t, err)
	r.proxy.LoseNext("/key/update", 1)
	_, err = r.apply(t, activities.ApplyKeyInput{ID: k.ID})
	require.Error(t, err)
	res, err := r.apply(t, activities.ApplyKeyInput{ID: k.ID})
	require.NoError(t, err)
	require.Empty(t, res.Did, "the answer was lost, the reset was not")
	require.Zero(t, r.spent(t, k.ID))

	k, err = r.Store.ResetKeySpend(t.Context(), k.UserID, k.ID, true, models.System("test"))
	require.NoError(t, err)
	require.NoError(t, r.Proxy.DeleteKey(t.Context(), k.Hash))
	res, err = r.apply(t, activities.ApplyKeyInput{ID: k.ID})
	require.NoError(t, err)
	require.Equal(t, []models.KeyStep{models.KeyGenerate}, res.Did)
	require.Zero(t, r.spent(t, k.ID), "what the deleted one had spent is forgotten")
}

// An alias that another of LiteLLM's keys has is a refusal, in LiteLLM's words. A key that
// cannot be narrowed for it is blocked, and released when it can.
func TestApplyKeyIsRefused(t *testing.T) {
	r := newRing(t, litellmtest.Options{})
	stranger := models.SecretOf("sk-somebody-elses-key")
	k := r.key(t)
	require.NoError(t, r.Proxy.GenerateKey(t.Context(), litellm.NewKey{KeyLimits: litellm.KeyLimits{Models: []string{"a"}, Alias: k.Alias}, Secret: stranger}))
	for _, fresh := range []bool{true, false} {
		res, err := r.apply(t, activities.ApplyKeyInput{ID: k.ID, New: fresh})
		require.NoError(t, err)
		require.Contains(t, res.Refused, "LiteLLM refuses it: Key with alias")
		require.Empty(t, res.Did)
	}
	require.Len(t, r.proxy.Keys(), 1)

	require.NoError(t, r.Proxy.DeleteKey(t.Context(), stranger.Hash()))
	_, err := r.apply(t, activities.ApplyKeyInput{ID: k.ID})
	require.NoError(t, err)
	r.tamper(t, k, func(l *litellm.KeyLimits) { l.Alias = "" })
	require.NoError(t, r.Proxy.GenerateKey(t.Context(), litellm.NewKey{KeyLimits: litellm.KeyLimits{Models: []string{"a"}, Alias: k.Alias}, Secret: stranger}))
	k = r.allow(t, k, "a", "b", "c")
	res, err := r.apply(t, activities.ApplyKeyInput{ID: k.ID})
	require.NoError(t, err)
	require.NotEmpty(t, res.Refused)
	require.Empty(t, res.Did, "what LiteLLM lets it call is not too much")
	k = r.allow(t, k, "a")
	for _, did := range [][]models.KeyStep{{models.KeyBlock}, nil} {
		res, err := r.apply(t, activities.ApplyKeyInput{ID: k.ID})
		require.NoError(t, err)
		require.NotEmpty(t, res.Refused)
		require.Equal(t, did, res.Did)
	}
	seen, err := r.Proxy.Key(t.Context(), k.Hash)
	require.NoError(t, err)
	require.True(t, seen.Blocked)

	require.NoError(t, r.Proxy.DeleteKey(t.Context(), stranger.Hash()))
	res, err = r.apply(t, activities.ApplyKeyInput{ID: k.ID})
	require.NoError(t, err)
	require.Equal(t, []models.KeyStep{models.KeyUpdate, models.KeyUnblock}, res.Did)
	r.requireHeld(t, k)
}

// A key that is there after all, or that went since the look, is no refusal.
func TestApplyKeyLooksAgain(t *testing.T) {
	r := newRing(t, litellmtest.Options{})
	k := r.key(t)
	_, err := r.apply(t, activities.ApplyKeyInput{ID: k.ID})
	require.NoError(t, err)
	unseen := litellmtest.Fault{Path: "/key/info", Times: 1, Kind: litellmtest.FaultStatus, Status: http.StatusNotFound, Message: "Key not found in database"}
	r.proxy.Inject(unseen)
	res, err := r.apply(t, activities.ApplyKeyInput{ID: k.ID})
	require.NoError(t, err)
	require.Empty(t, res.Refused+string(append(res.Did, "")[0]))

	k = r.allow(t, k, "c")
	r.proxy.Inject(litellmtest.Fault{Path: "/key/update", Times: 1, Kind: litellmtest.FaultStatus, Status: http.StatusNotFound, Message: "Key not found."})
	res, err = r.apply(t, activities.ApplyKeyInput{ID: k.ID})
	require.NoError(t, err)
	require.Equal(t, []models.KeyStep{models.KeyUpdate}, res.Did)
	r.requireHeld(t, k)
}

// A secret that does not open, or is another key's, makes no key, and is no word of LiteLLM's.
func TestApplyKeyOfABrokenSecret(t *testing.T) {
	r := newRing(t, litellmtest.Options{})
	k, other := r.key(t), r.key(t)
	_, err := storetest.SQL(t, r.url).Exec("UPDATE api_keys SET sealed = $2 WHERE id = $1", k.ID, other.Sealed)
	require.NoError(t, err)
	_, err = r.apply(t, activities.ApplyKeyInput{ID: k.ID, New: true})
	require.ErrorContains(t, err, "cannot be opened")
	sealed, err := storetest.Sealer{}.Seal([]byte("sk-the-secret-of-another"), k.SealContext())
	require.NoError(t, err)
	_, err = storetest.SQL(t, r.url).Exec("UPDATE api_keys SET sealed = $2 WHERE id = $1", k.ID, sealed)
	require.NoError(t, err)
	_, err = r.apply(t, activities.ApplyKeyInput{ID: k.ID})
	require.ErrorContains(t, err, "is not the one of its hash")
	require.NotContains(t, err.Error(), "sk-the-secret")
	require.Empty(t, r.proxy.Keys())
}

// A LiteLLM of before 1.100 ignores that a limit is taken away; it is told of none instead. What
// it does not keep at all is a refusal after some attempts.
func TestApplyKeyOfAnOldLiteLLM(t *testing.T) {
	r := newRing(t, litellmtest.Options{OldVersion: true})
	k := r.key(t)
	_, err := r.apply(t, activities.ApplyKeyInput{ID: k.ID})
	require.NoError(t, err)
	k = r.wish(t, k, "max_budget = NULL, tpm_limit = NULL, rpm_limit = NULL, max_parallel = NULL")
	res, err := r.apply(t, activities.ApplyKeyInput{ID: k.ID})
	require.NoError(t, err)
	require.Equal(t, []models.KeyStep{models.KeyUpdate, models.KeyUpdate}, res.Did)
	r.requireHeld(t, k)

	k = r.wish(t, k, "budget_duration = ''")
	_, err = r.apply(t, activities.ApplyKeyInput{ID: k.ID})
	require.ErrorContains(t, err, "does not keep what it is told of the key: budget_duration")
	var suite testsuite.WorkflowTestSuite // which skips the time between the attempts
	env := suite.NewTestWorkflowEnvironment()
	env.RegisterActivity(r.Keys)
	env.ExecuteWorkflow(workflows.ReconcileKey, workflows.ReconcileKeyInput{KeyID: k.ID})
	require.ErrorContains(t, env.GetWorkflowError(), "does not keep")
	k = r.row(t, k)
	require.Equal(t, k.Generation, k.FailedGeneration)
	require.Contains(t, k.Failure, "budget_duration")
}

// What was seen and what is refused is recorded once, and tells whether the row has gone on.
func TestObserveAndFailKey(t *testing.T) {
	r := newRing(t, litellmtest.Options{})
	k := r.key(t)
	for range 2 {
		verdict, err := r.FailKey(t.Context(), activities.FailKeyInput{ID: k.ID, Generation: 1, Why: "no"})
		require.NoError(t, err)
		require.Equal(t, activities.KeyVerdict{Status: models.KeyFailed, Current: true}, verdict)
	}
	for range 2 {
		verdict, err := r.ObserveKey(t.Context(), models.KeyProof{ID: k.ID, Generation: 1})
		require.NoError(t, err)
		require.Equal(t, activities.KeyVerdict{Status: models.KeyActive, Current: true}, verdict)
	}
	r.wish(t, k, "revoked_at = now()")
	verdict, err := r.ObserveKey(t.Context(), models.KeyProof{ID: k.ID, Generation: 1})
	require.NoError(t, err)
	require.Equal(t, activities.KeyVerdict{Status: models.KeyRevoking}, verdict)
	_, err = r.ObserveKey(t.Context(), models.KeyProof{ID: uuid.New(), Generation: 1})
	require.Equal(t, models.NotFound, models.KindOf(err))
}
