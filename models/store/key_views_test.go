package store_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
)

// A list says the same of a key as the key itself, with its models; it can be narrowed, and counts
// what is on all pages.
func TestKeys(t *testing.T) {
	w := newWorld(t)
	w.model("other")
	u := w.user("ada")
	sub := w.sub(u, "open", models.SubscriptionActive)
	w.sub(u, "other", models.SubscriptionActive)
	full := w.asked(u, "open", "other")
	full.Limits = models.Limits{MaxBudget: new(models.Dollar), BudgetDuration: "monthly", TPM: new(int64(1)), RPM: new(int64(0))}
	full.MaxParallel, full.ModelTPM, full.ModelRPM = new(int64(2)), map[string]int64{"open": 1}, map[string]int64{"open": 2}
	full.ExpiresAt = new(time.Now().Add(time.Hour))
	full.Terms = models.KeyTerms{
		SoftBudget: new(models.USD(3)), ModelMaxBudget: map[string]models.ModelBudget{"open": {Limit: models.Dollar / 3, Period: "1d"}},
		Tags: []string{"a", `"b"`}, Permissions: map[string]bool{"x": true}, Guardrails: []string{"g"}, SubscriptionID: &sub,
	}
	require.NoError(t, w.s.IssueKey(t.Context(), &full, false, self(u)))
	plain := w.issued(u, "other")
	_, err := w.s.ObserveKey(t.Context(), models.KeyProof{ID: plain.ID, Generation: 1})
	require.NoError(t, err)
	w.exec("UPDATE budgets SET spent = 7 WHERE subject_id = $1", plain.ID)
	bare := w.issued(u, "other")
	w.exec("DELETE FROM api_key_models WHERE api_key_id = $1", bare.ID)
	w.exec("UPDATE api_keys SET last_used_at = now(), revoked_at = now(), observed_generation = 1 WHERE id = $1", bare.ID)

	page, total, err := w.s.Keys(t.Context(), keyQuery(u))
	require.NoError(t, err)
	require.Equal(t, 3, total)
	for i, id := range []uuid.UUID{bare.ID, plain.ID, full.ID} {
		want, err := w.s.Key(t.Context(), id)
		require.NoError(t, err)
		want.Sealed = nil
		require.JSONEq(t, string(want.Metadata), string(page[i].Metadata))
		page[i].Metadata, want.Metadata = nil, nil
		require.Equal(t, want.Terms, page[i].Terms)
		page[i].Terms, want.Terms = models.KeyTerms{}, models.KeyTerms{}
		require.Empty(t, want.Holds)
		want.Holds = page[i].Holds
		require.Equal(t, want, page[i].Key)
	}
	require.Equal(t, []models.LLM{
		{ID: "open", Provider: "openai", ContextLength: new(int64(128000)), Features: []string{"chat"}},
		{ID: "other", Provider: "openai", ContextLength: new(int64(128000)), Features: []string{"chat"}},
	}, page[2].LLMs)
	require.Empty(t, page[0].LLMs)
	for name, tc := range map[string]struct {
		narrow func(*store.KeyQuery)
		want   []uuid.UUID
	}{
		"what can be used":    {func(q *store.KeyQuery) { q.Active = new(true) }, []uuid.UUID{plain.ID}},
		"what cannot":         {func(q *store.KeyQuery) { q.Active = new(false) }, []uuid.UUID{bare.ID, full.ID}},
		"by a subscription":   {func(q *store.KeyQuery) { q.SubscriptionID = sub }, []uuid.UUID{full.ID}},
		"by models":           {func(q *store.KeyQuery) { q.ModelIDs = []string{"open", "none"} }, []uuid.UUID{full.ID}},
		"by models that none": {func(q *store.KeyQuery) { q.ModelIDs = []string{"none"} }, nil},
		"of another":          {func(q *store.KeyQuery) { q.UserID = uuid.New() }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			q := keyQuery(u)
			tc.narrow(&q)
			page, total, err := w.s.Keys(t.Context(), q)
			require.NoError(t, err)
			require.Equal(t, len(tc.want), total)
			var got []uuid.UUID
			for _, v := range page {
				got = append(got, v.ID)
			}
			require.Equal(t, tc.want, got)
		})
	}
	q := keyQuery(u)
	q.Limit, q.Page = 2, 2
	page, total, err = w.s.Keys(t.Context(), q)
	require.NoError(t, err)
	require.Equal(t, []int{1, 3}, []int{len(page), total})
	require.Len(t, page[0].Models, 2, "all of its models, though the page is narrowed")
	q.Page = 3
	page, total, err = w.s.Keys(t.Context(), q)
	require.NoError(t, err)
	require.Equal(t, []int{0, 3}, []int{len(page), total})

	st, err := w.s.KeyStats(t.Context(), u)
	require.NoError(t, err)
	require.Equal(t, store.KeyStats{
		Total: 3, Active: 1, Revoked: 1, BySubscription: map[string]int{sub.String(): 1}, ByModel: map[string]int{"open": 1, "other": 2},
	}, st)
	st, err = w.s.KeyStats(t.Context(), uuid.New())
	require.NoError(t, err)
	require.Equal(t, store.KeyStats{BySubscription: map[string]int{}, ByModel: map[string]int{}}, st)

	names, total, err := w.s.KeyNames(t.Context(), nil, 1, 2)
	require.NoError(t, err)
	require.Equal(t, 3, total)
	require.Equal(t, []string{"CI", "ada", "ada@example.com"}, []string{names[0].Name, names[0].Username, names[0].Email})
	names, total, err = w.s.KeyNames(t.Context(), []uuid.UUID{uuid.New()}, 1, 2)
	require.NoError(t, err)
	require.Empty(t, names)
	require.Zero(t, total)
}
