package store_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
	"github.com/litemaas/litemaas/models/store/storetest"
)

var guard = models.Guard{MaxRemovedPercent: 20, MinRemoved: 3}

// deployment is one entry of LiteLLM's list; info are further fields of its model_info.
func deployment(name string, info ...string) models.Deployment {
	d := models.Deployment{
		Name:   name,
		Params: map[string]json.RawMessage{"model": json.RawMessage(`"openai/` + name + `"`)},
		Info:   map[string]json.RawMessage{"id": json.RawMessage(`"` + name + `-0"`), "input_cost_per_token": json.RawMessage("1.5e-07")},
	}
	for i := 0; i < len(info); i += 2 {
		d.Info[info[i]] = json.RawMessage(info[i+1])
	}
	return d
}

// list is a list of n models, named m-000 and so on, from the given one on.
func list(from, n int) []models.Deployment {
	out := make([]models.Deployment, 0, n)
	for i := range n {
		out = append(out, deployment(fmt.Sprintf("m-%03d", from+i)))
	}
	return out
}

// sync runs one whole full sync of the list.
func sync(t *testing.T, s *store.Store, deployments []models.Deployment, o models.SyncOptions) models.SyncRun {
	t.Helper()
	return merge(t, s, models.NewCatalogue(deployments), models.SyncRun{Kind: models.SyncFull, Options: o}, nil)
}

func merge(t *testing.T, s *store.Store, c models.Catalogue, run models.SyncRun, only []string) models.SyncRun {
	t.Helper()
	run.ID, run.WorkflowID, run.Trigger, run.Actor = uuid.New(), "full-sync", models.SyncByPerson, "ada"
	require.NoError(t, s.BeginSyncRun(t.Context(), run, time.Hour))
	require.NoError(t, s.StageCatalogue(t.Context(), run.ID, c))
	m := store.Merge{RunID: run.ID, Guard: guard, ProposalTTL: time.Hour, Only: only}
	merged, err := s.MergeStaged(t.Context(), m)
	require.NoError(t, err)
	again, err := s.MergeStaged(t.Context(), m)
	require.NoError(t, err)
	require.Equal(t, merged.Counts, again.Counts, "merging twice merges once")
	done, err := s.CompleteSyncRun(t.Context(), run.ID)
	require.NoError(t, err)
	require.Equal(t, merged.Counts, done.Counts)
	return done
}

func available(t *testing.T, s *store.Store) int {
	t.Helper()
	stats, err := s.CatalogueStats(t.Context())
	require.NoError(t, err)
	return stats.Available
}

// A sync writes what differs and nothing else, and reports both values of every field.
func TestMergeReportsAndWritesDifferences(t *testing.T) {
	url := storetest.URL(t)
	s, err := store.Open(t.Context(), store.Config{URL: models.SecretOf(url), MaxConns: 4})
	require.NoError(t, err)
	t.Cleanup(s.Close)
	db := storetest.SQL(t, url)

	first := sync(t, s, list(0, 20), models.SyncOptions{})
	require.Equal(t, models.SyncCounts{Listed: 20, Added: 20}, first.Counts)

	var before, after string
	require.NoError(t, db.QueryRow("SELECT md5(string_agg(ctid::text || xmin::text, ',' ORDER BY id)) FROM models").Scan(&before))
	second := sync(t, s, list(0, 20), models.SyncOptions{})
	require.Equal(t, models.SyncCounts{Listed: 20, Unchanged: 20}, second.Counts)
	require.NoError(t, db.QueryRow("SELECT md5(string_agg(ctid::text || xmin::text, ',' ORDER BY id)) FROM models").Scan(&after))
	require.Equal(t, before, after, "no row was written")

	changed := list(0, 21)
	changed[3] = deployment("m-003", "input_cost_per_token", "0", "max_tokens", "4096", "supports_vision", "true")
	third := sync(t, s, changed, models.SyncOptions{})
	require.Equal(t, models.SyncCounts{Listed: 21, Added: 1, Changed: 1, Unchanged: 19}, third.Counts)
	diffs, n, err := s.SyncDifferences(t.Context(), third.ID, store.DifferenceQuery{Page: 1, Limit: 10, Kind: models.DifferenceChanged})
	require.NoError(t, err)
	require.Equal(t, 1, n)
	fields := map[string]string{}
	for _, f := range diffs[0].Fields {
		fields[f.Field] = string(f.Old) + " -> " + string(f.New)
	}
	require.Equal(t, map[string]string{
		"input_cost_per_token": "0.00000015 -> 0", "model_info.input_cost_per_token": "0.00000015 -> 0",
		"context_length": "null -> 4096", "max_tokens": "null -> 4096", "model_info.max_tokens": "null -> 4096",
		"features": `["chat"] -> ["chat", "vision"]`, "model_info.supports_vision": "null -> true",
	}, fields)

	llm, err := s.LLM(t.Context(), "m-003")
	require.NoError(t, err)
	require.Equal(t, "0", llm.InputCost.String(), "zero is a price")

	forced := sync(t, s, changed, models.SyncOptions{Force: true})
	require.Equal(t, models.SyncCounts{Listed: 21, Changed: 21}, forced.Counts)
}

// What is local to us survives every sync, and what an admin deleted stays deleted.
func TestMergeKeepsLocalFields(t *testing.T) {
	url := storetest.URL(t)
	s, err := store.Open(t.Context(), store.Config{URL: models.SecretOf(url), MaxConns: 4})
	require.NoError(t, err)
	t.Cleanup(s.Close)
	db := storetest.SQL(t, url)
	sync(t, s, list(0, 4), models.SyncOptions{})
	_, err = db.Exec("UPDATE models SET description = 'ours', restricted_access = true WHERE id = 'm-001'")
	require.NoError(t, err)
	_, err = db.Exec("UPDATE models SET deleted_at = now() WHERE id = 'm-002'")
	require.NoError(t, err)

	changed := list(0, 4)
	changed[1] = deployment("m-001", "max_tokens", "1")
	run := sync(t, s, changed, models.SyncOptions{Force: true})
	require.Equal(t, models.SyncCounts{Listed: 4, Changed: 3, Deleted: 1}, run.Counts)
	llm, err := s.LLM(t.Context(), "m-001")
	require.NoError(t, err)
	require.Equal(t, "ours", llm.Description)
	require.True(t, llm.RestrictedAccess)
	require.EqualValues(t, 1, *llm.MaxTokens)
	_, err = s.LLM(t.Context(), "m-002")
	require.Equal(t, models.NotFound, models.KindOf(err))
}

// A few missing models go at once, and come back as they were.
func TestMergeMarksUnavailableAndBringsBack(t *testing.T) {
	s := storetest.New(t)
	sync(t, s, list(0, 20), models.SyncOptions{})
	gone := sync(t, s, list(2, 18), models.SyncOptions{})
	require.Equal(t, models.SyncCounts{Listed: 18, Gone: 2, Unchanged: 18}, gone.Counts)
	require.Nil(t, gone.ProposalID)
	back := sync(t, s, list(0, 20), models.SyncOptions{})
	require.Equal(t, models.SyncCounts{Listed: 20, Returned: 2, Unchanged: 18}, back.Counts)
	require.Equal(t, 20, available(t, s))
	kept := sync(t, s, list(2, 18), models.SyncOptions{KeepMissing: true})
	require.Equal(t, models.SyncCounts{Listed: 18, Kept: 2, Unchanged: 18}, kept.Counts)
	require.Equal(t, 20, available(t, s))
}

// The guard holds back what no sync should decide alone, and applies the rest.
func TestMergeHoldsBack(t *testing.T) {
	half := models.NewCatalogue(append(list(10, 10), deployment("new")))
	for _, tc := range []struct {
		name string
		c    models.Catalogue
		want models.SyncCounts
	}{
		{"an empty list", models.NewCatalogue(nil), models.SyncCounts{Held: 20}},
		{"a list that is not loaded", models.Catalogue{ListState: models.ListState{NotLoaded: true}}, models.SyncCounts{Held: 20}},
		{"half the list gone", half, models.SyncCounts{Listed: 11, Added: 1, Held: 10, Unchanged: 10}},
		{"one missing, and an entry without a name", models.NewCatalogue(append(list(1, 19), deployment(""))), models.SyncCounts{Listed: 19, Held: 1, Unchanged: 19}},
		{"an entry that cannot be read", models.NewCatalogue(append(list(1, 19), deployment("m-000", "max_tokens", `"many"`))), models.SyncCounts{Listed: 20, Unchanged: 19}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := storetest.New(t)
			sync(t, s, list(0, 20), models.SyncOptions{})
			run := merge(t, s, tc.c, models.SyncRun{Kind: models.SyncFull}, nil)
			require.Equal(t, tc.want, run.Counts)
			require.Equal(t, 20+tc.want.Added, available(t, s), "nothing ended")
			require.Equal(t, tc.want.Held > 0, run.ProposalID != nil)
			dry := merge(t, s, models.NewCatalogue(nil), models.SyncRun{Kind: models.SyncFull, Options: models.SyncOptions{DryRun: true}}, nil)
			require.Nil(t, dry.ProposalID)
		})
	}
}

// A dry run finds everything and changes nothing.
func TestMergeDryRun(t *testing.T) {
	s := storetest.New(t)
	dry := sync(t, s, list(0, 5), models.SyncOptions{DryRun: true})
	require.Equal(t, models.SyncCounts{Listed: 5, Added: 5}, dry.Counts)
	require.Equal(t, 0, available(t, s))
	last, err := s.LastSync(t.Context())
	require.NoError(t, err)
	require.Nil(t, last)
}

// A run that was cut off is not mistaken for one that goes on.
func TestBeginSyncRunClosesLostRuns(t *testing.T) {
	s := storetest.New(t)
	lost := models.SyncRun{ID: uuid.New(), WorkflowID: "full-sync", Kind: models.SyncFull, Trigger: models.SyncBySchedule, Actor: "system"}
	require.NoError(t, s.BeginSyncRun(t.Context(), lost, time.Hour))
	require.NoError(t, s.BeginSyncRun(t.Context(), lost, time.Hour), "beginning twice begins once")
	sync(t, s, list(0, 1), models.SyncOptions{})
	got, err := s.SyncRun(t.Context(), lost.ID)
	require.NoError(t, err)
	require.Equal(t, models.SyncFailed, got.Status)
	require.Equal(t, models.Conflict, models.KindOf(s.StageCatalogue(t.Context(), lost.ID, models.Catalogue{})))
}
