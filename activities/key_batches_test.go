package activities_test

import (
	"net/http"
	"slices"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/activities"
	"github.com/litemaas/litemaas/activities/litellm"
	"github.com/litemaas/litemaas/activities/litellm/litellmtest"
	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store/storetest"
)

func (r ring) batch(t *testing.T, ids []uuid.UUID) (res activities.ApplyKeysResult) {
	t.Helper()
	val, err := r.env.ExecuteActivity(r.ApplyKeys, activities.ApplyKeysInput{IDs: ids})
	require.NoError(t, err)
	require.NoError(t, val.Get(&res))
	return res
}

// In a batch one that is refused, one that changes meanwhile and a lost answer hold up no other.
func TestApplyKeys(t *testing.T) {
	r := newRing(t, litellmtest.Options{})
	var ids []uuid.UUID
	for range 40 {
		ids = append(ids, r.key(t).ID)
	}
	require.NoError(t, r.Proxy.GenerateKey(t.Context(), litellm.NewKey{
		KeyLimits: litellm.KeyLimits{Models: []string{"a"}, Alias: r.row(t, models.Key{ID: ids[7]}).Alias}, Secret: models.SecretOf("sk-somebody-elses-key"),
	}))
	r.proxy.LoseNext("/key/generate", 1)
	first := r.batch(t, slices.Concat(ids[:7], ids[8:]))
	require.Len(t, first.Seen, 38)
	require.Len(t, first.Left, 1)
	require.False(t, first.Silent)
	second := r.batch(t, ids)
	require.Equal(t, []uuid.UUID{ids[7]}, second.Left)
	require.Len(t, second.Seen, 39)
	for _, proof := range second.Seen {
		r.requireHeld(t, r.row(t, models.Key{ID: proof.ID}))
		require.Equal(t, 2*models.Dollar, r.spent(t, proof.ID))
	}
	require.Len(t, r.proxy.Keys(), 40)

	r.wish(t, models.Key{ID: ids[3]}, "revoked_at = now()")
	for range 2 {
		observed, err := r.ObserveKeys(t.Context(), activities.ObserveKeysInput{Seen: second.Seen})
		require.NoError(t, err)
		require.Equal(t, []uuid.UUID{ids[3]}, observed.Behind)
	}
	var all []uuid.UUID
	for page := (activities.UnsettledKeysResult{}); ; {
		var err error
		page, err = r.UnsettledKeys(t.Context(), activities.UnsettledKeysInput{Fresh: true, After: page.Last, Limit: 1})
		require.NoError(t, err)
		if len(page.IDs) == 0 {
			break
		}
		all = append(all, page.IDs...)
	}
	require.ElementsMatch(t, []uuid.UUID{ids[3], ids[7]}, all)
	old, err := r.UnsettledKeys(t.Context(), activities.UnsettledKeysInput{Limit: 10})
	require.NoError(t, err)
	require.Empty(t, old.IDs, "somebody is at it")
}

// That LiteLLM is away is not taken for a fault of each key.
func TestApplyKeysOfASilentLiteLLM(t *testing.T) {
	r := newRing(t, litellmtest.Options{})
	ids := []uuid.UUID{r.key(t).ID, r.key(t).ID, storetest.Key(t, r.Store, r.owner.ID, nil).ID}
	back := r.proxy.Inject(litellmtest.Fault{Kind: litellmtest.FaultStatus, Status: http.StatusServiceUnavailable})
	require.True(t, r.batch(t, ids).Silent)
	back()
	require.Len(t, r.batch(t, ids).Seen, 3)
	require.False(t, r.batch(t, nil).Silent)
}
