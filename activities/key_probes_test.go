package activities_test

import (
	"net/http"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/activities"
	"github.com/litemaas/litemaas/activities/litellm/litellmtest"
	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store/storetest"
)

// held is a key that LiteLLM holds.
func (r ring) held(t *testing.T) models.Key {
	t.Helper()
	k := r.key(t)
	_, err := r.apply(t, activities.ApplyKeyInput{ID: k.ID, New: true})
	require.NoError(t, err)
	return k
}

// A key is gone when each address of LiteLLM refuses it: not while one still believes its cache,
// does not answer, or lost the answer of the deletion.
func TestRevokedKeyIsProbedEverywhere(t *testing.T) {
	for name, set := range map[string]string{
		"revoked": "revoked_at = now()", "expired": "expires_at = now()", "ended by the clock": "revoked_at = now(), revoked_why = 'expired'",
	} {
		t.Run(name, func(t *testing.T) {
			r := newRing(t, litellmtest.Options{})
			k := r.held(t)
			near, far := r.proxy.Replicate(t), r.proxy.Replicate(t)
			r.Addresses = []string{near.URL, far.URL}
			near.Look()
			k = r.wish(t, k, set)

			r.proxy.LoseNext("/key/delete", 1)
			_, err := r.apply(t, activities.ApplyKeyInput{ID: k.ID})
			require.ErrorContains(t, err, "after the work was done")
			require.Zero(t, near.Calls(), "nothing is proved yet")
			for range 2 {
				_, err = r.apply(t, activities.ApplyKeyInput{ID: k.ID})
				require.ErrorContains(t, err, "one of its addresses still takes it")
			}
			require.Empty(t, r.proxy.Keys(), "its database has let go of it")
			batch := r.batch(t, []uuid.UUID{k.ID})
			require.Equal(t, []uuid.UUID{k.ID}, batch.Left)
			require.False(t, batch.Silent, "LiteLLM is there")

			far.Look()
			down := r.proxy.Inject(litellmtest.Fault{Path: "/v1/models", Kind: litellmtest.FaultStatus, Status: http.StatusServiceUnavailable})
			_, err = r.apply(t, activities.ApplyKeyInput{ID: k.ID})
			require.ErrorContains(t, err, "it cannot be seen whether the LiteLLM at "+near.URL+" refuses the key")
			require.NotContains(t, err.Error(), storetest.Secret(t, k).Reveal())
			down()
			res, err := r.apply(t, activities.ApplyKeyInput{ID: k.ID})
			require.NoError(t, err)
			require.Equal(t, k.Generation, res.Generation)
			require.Empty(t, res.Did)
			require.Len(t, r.batch(t, []uuid.UUID{k.ID}).Seen, 1)
		})
	}
}

// Whose secret is lost can be tried by nobody: its end is proved when all caches must have
// forgotten it.
func TestRevokedKeyOfALostSecret(t *testing.T) {
	r := newRing(t, litellmtest.Options{})
	k := r.held(t)
	k = r.wish(t, k, "revoked_at = now(), sealed = 'lost'")
	_, err := r.apply(t, activities.ApplyKeyInput{ID: k.ID})
	require.ErrorContains(t, err, "cannot be opened")
	require.Empty(t, r.proxy.Keys())
	k = r.wish(t, k, "revoked_at = now() - interval '2 minutes'")
	res, err := r.apply(t, activities.ApplyKeyInput{ID: k.ID})
	require.NoError(t, err)
	require.Equal(t, k.Generation, res.Generation)
}

// A successor begins with what the key before it has spent by then.
func TestSuccessorInheritsTheSpend(t *testing.T) {
	r := newRing(t, litellmtest.Options{})
	old := r.held(t)
	require.Equal(t, 2*models.Dollar, old.Spend)
	r.proxy.Spend(old.Hash, 5)
	heir := r.key(t)
	_, err := storetest.SQL(t, r.url).Exec("UPDATE api_keys SET predecessor = $2 WHERE id = $1", heir.ID, old.ID)
	require.NoError(t, err)
	r.proxy.LoseNext("/key/generate", 1)
	_, err = r.apply(t, activities.ApplyKeyInput{ID: heir.ID, New: true})
	require.ErrorContains(t, err, "after the work was done")
	_, err = r.apply(t, activities.ApplyKeyInput{ID: heir.ID, New: true})
	require.NoError(t, err)
	require.Equal(t, 7*models.Dollar, r.spent(t, heir.ID))
}

// spent is what LiteLLM says that a key of its spent.
func (r ring) spent(t *testing.T, id uuid.UUID) models.USD {
	t.Helper()
	seen, err := r.Proxy.Key(t.Context(), r.row(t, models.Key{ID: id}).Hash)
	require.NoError(t, err)
	return seen.Spend
}
