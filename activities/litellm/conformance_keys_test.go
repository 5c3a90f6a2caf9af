package litellm_test

import (
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/activities/litellm"
	"github.com/litemaas/litemaas/models"
)

// limited is a key with every limit that there is.
func limited(t *testing.T) litellm.KeyLimits {
	t.Helper()
	return litellm.KeyLimits{
		Models: []string{"b", "a"}, MaxBudget: new(12 * models.Dollar), BudgetDuration: "30d", TPM: new(int64(1000)), RPM: new(int64(10)),
		MaxParallelRequests: new(int64(3)), ModelTPM: map[string]int64{"a": 500}, ModelRPM: map[string]int64{"a": 5, "b": 6},
		ExpiresAt: new(time.Now().Add(time.Hour)), Alias: unique("alias"), Metadata: map[string]any{"op_id": "x", "deep": map[string]any{"n": 1}},
	}
}

var keyCases = []conformanceCase{
	{"a new key is held as it was asked for", func(t *testing.T, l target) {
		limits, user := limited(t), unique("user")
		secret := l.newKey(t, func(k *litellm.NewKey) {
			k.KeyLimits, k.UserID, k.TeamID, k.Blocked, k.Spend = limits, user, unique("team"), true, 3*models.Dollar
		})
		k, err := l.Key(t.Context(), secret.Hash())
		require.NoError(t, err)
		require.Equal(t, secret.Hash(), k.Hash)
		require.Equal(t, "sk-..."+secret.Reveal()[len(secret.Reveal())-4:], k.Hint)
		require.Equal(t, user, k.UserID)
		require.NotEmpty(t, k.TeamID)
		require.True(t, k.Blocked)
		require.Equal(t, 3*models.Dollar, k.Spend)
		require.NotNil(t, k.CreatedAt)
		requireLimits(t, limits, k)
	}},
	{"a new key without limits has none", func(t *testing.T, l target) {
		k, err := l.Key(t.Context(), l.newKey(t, func(k *litellm.NewKey) { k.Models = []string{"a"} }).Hash())
		require.NoError(t, err)
		requireLimits(t, litellm.KeyLimits{Models: []string{"a"}}, k)
		require.Empty(t, k.UserID)
		require.Empty(t, k.TeamID)
		require.False(t, k.Blocked)
		require.Zero(t, k.Spend)
	}},
	{"what a key spent is counted from zero again, and nothing else of it changes", func(t *testing.T, l target) {
		limits := limited(t)
		secret := l.newKey(t, func(k *litellm.NewKey) { k.KeyLimits, k.Spend = limits, 3*models.Dollar })
		for range 2 {
			require.NoError(t, l.ResetKeySpend(t.Context(), secret.Hash()))
			k, err := l.Key(t.Context(), secret.Hash())
			require.NoError(t, err)
			require.Zero(t, k.Spend)
			requireLimits(t, limits, k)
		}
		require.Equal(t, models.NotFound, models.KindOf(l.ResetKeySpend(t.Context(), models.SecretOf(unique("sk-none")).Hash())))
	}},
	{"an update sets every limit and takes every limit away", func(t *testing.T, l target) {
		secret := l.newKey(t, func(k *litellm.NewKey) { k.UserID, k.Spend = "ada", models.Dollar })
		limits, none := limited(t), litellm.KeyLimits{Models: []string{"c"}}
		for _, want := range []litellm.KeyLimits{limits, limits, none, none} { // it may be repeated
			require.NoError(t, l.UpdateKey(t.Context(), secret.Hash(), want))
			k, err := l.Key(t.Context(), secret.Hash())
			require.NoError(t, err)
			requireLimits(t, want, k)
			require.Equal(t, "ada", k.UserID)
			require.Equal(t, models.Dollar, k.Spend)
		}
	}},
	{"the end of a budget period is on LiteLLM's calendar", func(t *testing.T, l target) {
		now := time.Now().UTC()
		midnight := now.Truncate(24 * time.Hour)
		month := time.Date(now.Year(), now.Month()+1, 1, 0, 0, 0, 0, time.UTC)
		for period, want := range map[string]time.Time{
			"1d": midnight.AddDate(0, 0, 1), "24h": midnight.AddDate(0, 0, 1), "30d": month, "1mo": month, "60d": midnight.AddDate(0, 0, 60),
			"7d": midnight.AddDate(0, 0, 7-(int(now.Weekday())+6)%7), "2w": midnight.AddDate(0, 0, 14), "1h": now.Truncate(time.Hour).Add(time.Hour),
		} {
			k, err := l.Key(t.Context(), l.newKey(t, func(k *litellm.NewKey) { k.BudgetDuration = period }).Hash())
			require.NoError(t, err)
			require.NotNil(t, k.BudgetResetAt, period)
			require.Equal(t, want, *k.BudgetResetAt, period)
		}
	}},
	{"what LiteLLM does not have cannot be written, read or deleted", func(t *testing.T, l target) {
		hash := models.SecretOf("sk-" + unique("key")).Hash()
		_, err := l.Key(t.Context(), hash)
		require.Equal(t, models.NotFound, models.KindOf(err))
		for _, err := range []error{
			l.UpdateKey(t.Context(), hash, litellm.KeyLimits{Models: []string{"a"}}), l.BlockKey(t.Context(), hash),
			l.UnblockKey(t.Context(), hash), l.DeleteKey(t.Context(), hash),
		} {
			require.Equal(t, models.NotFound, models.KindOf(err))
		}
	}},
	{"blocking and unblocking may be repeated, and leave the limits", func(t *testing.T, l target) {
		limits := limited(t)
		secret := l.newKey(t, func(k *litellm.NewKey) { k.KeyLimits = limits })
		for _, blocked := range []bool{true, true, false, false} {
			do := l.UnblockKey
			if blocked {
				do = l.BlockKey
			}
			require.NoError(t, do(t.Context(), secret.Hash()))
			k, err := l.Key(t.Context(), secret.Hash())
			require.NoError(t, err)
			require.Equal(t, blocked, k.Blocked)
			requireLimits(t, limits, k)
		}
	}},
	{"an update leaves a key blocked", func(t *testing.T, l target) {
		secret := l.newKey(t, func(k *litellm.NewKey) { k.Blocked = true })
		require.NoError(t, l.UpdateKey(t.Context(), secret.Hash(), litellm.KeyLimits{Models: []string{"a"}}))
		k, err := l.Key(t.Context(), secret.Hash())
		require.NoError(t, err)
		require.True(t, k.Blocked)
	}},
	{"an alias is one key's, until that key is deleted", func(t *testing.T, l target) {
		alias := unique("alias")
		first := l.newKey(t, func(k *litellm.NewKey) { k.Alias = alias })
		second := l.newKey(t, nil)
		taken := litellm.KeyLimits{Models: []string{"a"}, Alias: alias}
		err := l.UpdateKey(t.Context(), second.Hash(), taken)
		require.Equal(t, models.Conflict, models.KindOf(err))
		require.NoError(t, l.UpdateKey(t.Context(), first.Hash(), taken)) // its own
		require.NoError(t, l.DeleteKey(t.Context(), first.Hash()))
		require.NoError(t, l.UpdateKey(t.Context(), second.Hash(), taken))
	}},
	{"keys are listed by owner and alias, the oldest first", func(t *testing.T, l target) {
		user, team, alias := unique("user"), unique("team"), unique("alias")
		var hashes []string
		for i := range 5 {
			hashes = append(hashes, l.newKey(t, func(k *litellm.NewKey) {
				k.UserID, k.TPM = user, new(int64(i))
				if i == 3 {
					k.TeamID, k.Alias = team, alias
				}
			}).Hash())
		}
		var listed []string
		for page := 1; page <= 3; page++ {
			p, err := l.Keys(t.Context(), litellm.KeyFilter{UserID: user}, page, 2)
			require.NoError(t, err)
			require.Equal(t, 5, p.TotalCount)
			require.Equal(t, 3, p.TotalPages)
			for _, k := range p.Keys {
				require.EqualValues(t, len(listed), *k.TPM)
				listed = append(listed, k.Hash)
			}
		}
		require.Equal(t, hashes, listed)
		past, err := l.Keys(t.Context(), litellm.KeyFilter{UserID: user}, 4, 2)
		require.NoError(t, err)
		require.Empty(t, past.Keys)
		require.Equal(t, 5, past.TotalCount)
		for _, f := range []litellm.KeyFilter{{TeamID: team}, {Alias: alias}, {UserID: user, TeamID: team}} {
			p, err := l.Keys(t.Context(), f, 1, 100)
			require.NoError(t, err)
			require.Len(t, p.Keys, 1)
			require.Equal(t, hashes[3], p.Keys[0].Hash)
			require.Equal(t, alias, p.Keys[0].Alias)
		}
		_, err = l.Keys(t.Context(), litellm.KeyFilter{}, 1, 101)
		require.Equal(t, models.Invalid, models.KindOf(err))
	}},
}

// requireLimits compares what a key may do with what it was to be allowed.
func requireLimits(t *testing.T, want litellm.KeyLimits, k models.ProxyKey) {
	t.Helper()
	require.ElementsMatch(t, want.Models, k.Models)
	require.Equal(t, want.MaxBudget, k.MaxBudget)
	require.Equal(t, want.BudgetDuration, k.BudgetDuration)
	require.Equal(t, want.BudgetDuration == "", k.BudgetResetAt == nil)
	require.Equal(t, want.TPM, k.TPM)
	require.Equal(t, want.RPM, k.RPM)
	require.Equal(t, want.MaxParallelRequests, k.MaxParallelRequests)
	require.Equal(t, want.ModelTPM, k.ModelTPM)
	require.Equal(t, want.ModelRPM, k.ModelRPM)
	require.Equal(t, want.Alias, k.Alias)
	require.Equal(t, want.ExpiresAt == nil, k.ExpiresAt == nil)
	if want.ExpiresAt != nil {
		require.WithinDuration(t, *want.ExpiresAt, *k.ExpiresAt, 10*time.Second)
	}
	require.Len(t, k.Metadata, len(want.Metadata))
	if want.Metadata != nil {
		require.JSONEq(t, `"x"`, string(k.Metadata["op_id"]))
		require.JSONEq(t, `{"n": 1}`, string(k.Metadata["deep"]))
	}
}

// goldenCases are those of the facts about LiteLLM that trap who repeats a call.
var goldenCases = []conformanceCase{
	{"a key made again with other limits is answered as if they held, and they do not", func(t *testing.T, l target) {
		secret := l.newKey(t, func(k *litellm.NewKey) { k.MaxBudget = new(5 * models.Dollar) })
		var echo struct {
			MaxBudget models.USD `json:"max_budget"`
		}
		body := map[string]any{"key": secret.Reveal(), "models": []string{"a"}, "max_budget": 50}
		require.NoError(t, l.Call(t.Context(), http.MethodPost, "/key/generate", body, &echo))
		require.Equal(t, 50*models.Dollar, echo.MaxBudget)
		k, err := l.Key(t.Context(), secret.Hash())
		require.NoError(t, err)
		require.Equal(t, 5*models.Dollar, *k.MaxBudget)
		require.Equal(t, []string{"all-proxy-models"}, k.Models)
	}},
	{"a key made again with its alias is a conflict, which names the alias", func(t *testing.T, l target) {
		alias := unique("alias")
		secret := l.newKey(t, func(k *litellm.NewKey) { k.Alias = alias })
		for _, again := range []models.Secret{secret, models.SecretOf("sk-" + unique("key"))} {
			err := l.GenerateKey(t.Context(), litellm.NewKey{Secret: again, KeyLimits: litellm.KeyLimits{Models: []string{"a"}, Alias: alias}})
			requireRefusal(t, err, http.StatusBadRequest, models.Conflict, "key_alias", "already exists")
		}
	}},
	{"two keys made at once with one alias: one at least succeeds", func(t *testing.T, l target) {
		alias := unique("alias")
		var wg sync.WaitGroup
		var errs [4]error
		for i := range errs {
			secret := models.SecretOf("sk-" + unique("key"))
			l.removeKey(t, secret)
			wg.Go(func() {
				errs[i] = l.GenerateKey(t.Context(), litellm.NewKey{Secret: secret, KeyLimits: litellm.KeyLimits{Models: []string{"a"}, Alias: alias}})
			})
		}
		wg.Wait()
		made := 0
		for _, err := range errs {
			if err == nil {
				made++
				continue
			}
			require.Equal(t, models.Conflict, models.KindOf(err))
		}
		require.Positive(t, made)
	}},
	{"new metadata replaces the old, and limits of models go with it", func(t *testing.T, l target) {
		secret := l.newKey(t, func(k *litellm.NewKey) {
			k.Metadata, k.ModelRPM = map[string]any{"a": 1}, map[string]int64{"m": 5}
		})
		body := map[string]any{"key": secret.Hash(), "metadata": map[string]any{"b": 1}}
		require.NoError(t, l.Call(t.Context(), http.MethodPost, "/key/update", body, nil))
		k, err := l.Key(t.Context(), secret.Hash())
		require.NoError(t, err)
		require.Len(t, k.Metadata, 1)
		require.Contains(t, k.Metadata, "b")
		require.Empty(t, k.ModelRPM)
	}},
	{"a duration set again moves the end", func(t *testing.T, l target) {
		secret := l.newKey(t, nil)
		end := func() time.Time {
			body := map[string]any{"key": secret.Hash(), "duration": "30d"}
			require.NoError(t, l.Call(t.Context(), http.MethodPost, "/key/update", body, nil))
			k, err := l.Key(t.Context(), secret.Hash())
			require.NoError(t, err)
			return *k.ExpiresAt
		}
		first := end()
		require.WithinDuration(t, time.Now().AddDate(0, 0, 30), first, time.Minute)
		require.Eventually(t, func() bool { return end().After(first) }, settle, time.Millisecond)
	}},
	{"a key deleted again is not found, though LiteLLM still describes it", func(t *testing.T, l target) {
		secret := l.newKey(t, func(k *litellm.NewKey) { k.Spend = 2 * models.Dollar })
		require.NoError(t, l.DeleteKey(t.Context(), secret.Hash()))
		requireRefusal(t, l.DeleteKey(t.Context(), secret.Hash()), http.StatusNotFound, models.NotFound, "", "^No keys found$")
		k, err := l.Key(t.Context(), secret.Hash())
		require.Equal(t, models.NotFound, models.KindOf(err))
		require.Equal(t, 2*models.Dollar, k.Spend)
		var out struct{ Info struct{ Status string } }
		require.NoError(t, l.Call(t.Context(), http.MethodGet, "/key/info?key="+secret.Hash(), nil, &out))
		require.Equal(t, "deleted", out.Info.Status)
	}},
	{"of a list of which only some exist, all are answered as deleted", func(t *testing.T, l target) {
		present, absent := l.newKey(t, nil).Hash(), models.SecretOf("sk-"+unique("key")).Hash()
		var out struct {
			Deleted []string `json:"deleted_keys"`
		}
		body := map[string]any{"keys": []string{present, absent}}
		require.NoError(t, l.Call(t.Context(), http.MethodPost, "/key/delete", body, &out))
		require.ElementsMatch(t, []string{present, absent}, out.Deleted)
	}},
	{"an alias does not address a key: it is the caller's own that is looked at", func(t *testing.T, l target) {
		alias := unique("alias")
		l.newKey(t, func(k *litellm.NewKey) { k.Alias = alias })
		for _, path := range []string{"/key/info", "/key/info?key_alias=" + alias} {
			requireRefusal(t, l.Call(t.Context(), http.MethodGet, path, nil, nil), http.StatusNotFound, models.NotFound, "key", "not found in database")
		}
		own := l.newKey(t, nil)
		var out struct{ Key string }
		require.NoError(t, l.as(own.Reveal()).Call(t.Context(), http.MethodGet, "/key/info?key_alias="+alias, nil, &out))
		require.Equal(t, own.Hash(), out.Key)
	}},
	{"regenerating a key wants a licence, by a 500 that is final", func(t *testing.T, l target) {
		hash := l.newKey(t, nil).Hash()
		err := l.Call(t.Context(), http.MethodPost, "/key/"+hash+"/regenerate", map[string]any{}, nil)
		requireRefusal(t, err, http.StatusInternalServerError, models.Invalid, "", "Enterprise")
	}},
}
