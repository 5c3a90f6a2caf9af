package store_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
	"github.com/litemaas/litemaas/models/store/storetest"
)

// A page says how many models there are on all pages, whatever changes them and whatever is
// filtered, also past the end.
func TestLLMs(t *testing.T) {
	url := storetest.URL(t)
	s, err := store.Open(t.Context(), store.Config{URL: models.SecretOf(url), MaxConns: 4})
	require.NoError(t, err)
	t.Cleanup(s.Close)
	db := storetest.SQL(t, url)
	read := func(q store.LLMQuery) ([]string, int) {
		if q.Availability == "" {
			q.Availability = models.ModelAvailable
		}
		page, total, err := s.LLMs(t.Context(), q)
		require.NoError(t, err)
		ids := []string{}
		for _, l := range page {
			ids = append(ids, l.ID)
		}
		return ids, total
	}
	sync(t, s, list(0, 25), models.SyncOptions{})
	for _, tc := range []struct {
		q     store.LLMQuery
		ids   []string
		total int
	}{
		{store.LLMQuery{Page: 1, Limit: 2}, []string{"m-000", "m-001"}, 25},
		{store.LLMQuery{Page: 13, Limit: 2}, []string{"m-024"}, 25},
		{store.LLMQuery{Page: 14, Limit: 2}, []string{}, 25},
		{store.LLMQuery{Page: 1, Limit: 2, Search: "M-01"}, []string{"m-010", "m-011"}, 10},
		{store.LLMQuery{Page: 9, Limit: 2, Search: "M-01"}, []string{}, 10},
		{store.LLMQuery{Page: 1, Limit: 1, Provider: "OPENAI", Capability: models.FeatureChat}, []string{"m-000"}, 25},
		{store.LLMQuery{Page: 1, Limit: 9, Availability: models.ModelUnavailable}, []string{}, 0},
	} {
		ids, total := read(tc.q)
		require.Equal(t, tc.ids, ids)
		require.Equal(t, tc.total, total)
	}
	one := store.LLMQuery{Page: 1, Limit: 1}
	for change, want := range map[string]int{
		"DELETE FROM models WHERE id = 'm-001'":                                         24,
		"UPDATE models SET deleted_at = now() WHERE id = 'm-002'":                       24,
		"UPDATE models SET availability = 'unavailable' WHERE id IN ('m-003', 'm-004')": 23,
		"UPDATE models SET description = 'text'":                                        25,
	} {
		tx, err := db.BeginTx(t.Context(), nil)
		require.NoError(t, err)
		_, err = tx.ExecContext(t.Context(), change)
		require.NoError(t, err)
		_, total := read(one)
		require.Equal(t, 25, total, "not before the change is committed")
		var counted int
		require.NoError(t, tx.QueryRowContext(t.Context(), "SELECT available FROM catalogue_total").Scan(&counted))
		require.Equal(t, want, counted, change)
		require.NoError(t, tx.Rollback())
	}
	sync(t, s, list(2, 25), models.SyncOptions{})
	_, total := read(one)
	require.Equal(t, 25, total)
	ids, total := read(store.LLMQuery{Page: 1, Limit: 9, Availability: models.ModelUnavailable})
	require.Equal(t, []string{"m-000", "m-001"}, ids)
	require.Equal(t, 2, total)
}

// What LiteLLM decides is read as it was written: prices to the last place, nothing for what is
// not known.
func TestLLM(t *testing.T) {
	s := storetest.New(t)
	sync(t, s, []models.Deployment{
		deployment("a/b.c", "max_tokens", "128000", "output_cost_per_token", "0", "supports_vision", "true"),
		deployment("plain"),
		deployment("odd", "id", `"a\", \"b"`), deployment("odd", "id", `"c\\d, e"`), deployment("odd", "id", `""`),
	}, models.SyncOptions{})
	l, err := s.LLM(t.Context(), "a/b.c")
	require.NoError(t, err)
	require.Equal(t, "openai", l.Provider)
	require.EqualValues(t, 128000, *l.ContextLength)
	require.Equal(t, "0.00000015", l.InputCost.String())
	require.Equal(t, "0", l.OutputCost.String())
	require.Equal(t, []string{"chat", "vision"}, l.Features)
	require.Equal(t, []string{"a/b.c-0"}, l.DeploymentIDs)
	require.Equal(t, models.ModelAvailable, l.Availability)
	require.False(t, l.CreatedAt.IsZero())
	l, err = s.LLM(t.Context(), "plain")
	require.NoError(t, err)
	require.Nil(t, l.ContextLength)
	require.Nil(t, l.OutputCost)
	require.Nil(t, l.TPM)
	l, err = s.LLM(t.Context(), "odd")
	require.NoError(t, err)
	require.Equal(t, []string{"", `a", "b`, `c\d, e`}, l.DeploymentIDs)
	_, err = s.LLM(t.Context(), "none")
	require.Equal(t, models.NotFound, models.KindOf(err))
	_, err = s.LLM(t.Context(), "a\x00b")
	require.Equal(t, models.Invalid, models.KindOf(err))
}
