package store_test

import (
	"database/sql"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
	"github.com/litemaas/litemaas/models/store/storetest"
)

// subscribed gives a user subscriptions of that status.
func subscribed(t *testing.T, db *sql.DB, u models.User, status models.SubscriptionStatus, llms ...string) {
	t.Helper()
	holds := "[]"
	if status == models.SubscriptionSuspended {
		holds = `["quota"]`
	}
	for _, id := range llms {
		_, err := db.Exec(`
			INSERT INTO subscriptions (id, user_id, model_id, status, status_changed_by, holds, reset_at)
			VALUES (gen_random_uuid(), $1, $2, $3, 'test', $4, now() + interval '1 month')
			ON CONFLICT (user_id, model_id) DO UPDATE SET status = excluded.status, holds = excluded.holds`, u.ID, id, status, holds)
		require.NoError(t, err)
	}
}

// settled is a key that LiteLLM was seen to hold before the next run began.
func settled(t *testing.T, s *store.Store, db *sql.DB, k models.Key) models.Key {
	t.Helper()
	_, err := db.Exec("UPDATE api_keys SET observed_generation = generation, updated_at = now() - interval '1 second' WHERE id = $1", k.ID)
	require.NoError(t, err)
	k, err = s.Key(t.Context(), k.ID)
	require.NoError(t, err)
	return k
}

// compareKeys runs the comparison of a sync, each step twice.
func compareKeys(t *testing.T, s *store.Store, list []models.ProxyKey, o models.SyncOptions) models.SyncRun {
	t.Helper()
	return compareKeysBy(t, s, models.KeySync{Guard: keyGuard}, list, o)
}

// keyGuard lets a few go.
var keyGuard = models.Guard{MaxRemovedPercent: 20, MinRemoved: 4}

// compareKeysBy is compareKeys by other rules.
func compareKeysBy(t *testing.T, s *store.Store, rules models.KeySync, list []models.ProxyKey, o models.SyncOptions) models.SyncRun {
	t.Helper()
	run := models.SyncRun{ID: uuid.New(), WorkflowID: "full-sync", Kind: models.SyncFull, Trigger: models.SyncByPerson, Actor: "ada", Options: o}
	require.NoError(t, s.BeginSyncRun(t.Context(), run, time.Hour))
	require.NoError(t, s.ReportKeys(t.Context(), run.ID, 1))
	require.NoError(t, s.StageKeys(t.Context(), run.ID, list))
	require.NoError(t, s.StageKeys(t.Context(), run.ID, list), "staging twice stages once")
	first, err := s.CompareKeys(t.Context(), run.ID, rules)
	require.NoError(t, err)
	again, err := s.CompareKeys(t.Context(), run.ID, rules)
	require.NoError(t, err)
	require.Equal(t, first, again)
	refused(t, models.Conflict, s.StageKeys(t.Context(), run.ID, list))
	return first
}

// found is what a run found, by hash: the kind, and each field as old → new.
func found(t *testing.T, s *store.Store, runID uuid.UUID) map[string]string {
	t.Helper()
	page, n, err := s.KeyDifferences(t.Context(), runID, store.KeyDifferenceQuery{Page: 1, Limit: 100})
	require.NoError(t, err)
	require.Len(t, page, n)
	got := map[string]string{}
	for _, d := range page {
		text := string(d.Kind)
		for _, f := range d.Fields {
			text += fmt.Sprintf(" %s %s→%s", f.Field, f.Old, f.New)
			if f.Wins != "" {
				text += " (" + string(f.Wins) + ")"
			}
		}
		got[d.Hash] = text
		require.Equal(t, d.Kind == models.KeyUnknown, d.KeyID == nil)
	}
	return got
}

// What LiteLLM lacks, or lets do too much or too little, is found by the rule of models.Key.Next;
// ours are wished anew, and lose what their owners are not subscribed to.
func TestCompareKeys(t *testing.T) {
	s, db := opened(t)
	storetest.LLMs(t, s, "A", "b", "c", "d")
	u := signedIn(t, s, "ada")
	subscribed(t, db, u, models.SubscriptionActive, "A", "b")
	subscribed(t, db, u, models.SubscriptionSuspended, "c")
	subscribed(t, db, signedIn(t, s, "bob"), models.SubscriptionActive, "d")
	future, past := time.Now().Add(time.Hour), time.Now().Add(-time.Hour)
	var list []models.ProxyKey
	want := map[string]string{}
	row := func(name string, edit func(*models.Key), llms ...string) models.Key {
		t.Helper()
		return settled(t, s, db, storetest.Key(t, s, u.ID, func(k *models.Key) {
			k.Name, k.Limits = name, models.Limits{TPM: new(int64(5))}
			if edit != nil {
				edit(k)
			}
		}, llms...))
	}
	at := func(k models.Key, finding string, edit func(*models.ProxyKey)) {
		seen := k.Proxy()
		if edit != nil {
			edit(&seen)
		}
		list = append(list, seen, seen)
		if finding != "" {
			want[k.Hash] = finding
		}
		if k.Models = subscribedOnly(k); !k.Expired() { // the rule in Go
			require.Equal(t, strings.Contains(finding, " models ") || strings.Contains(finding, " blocked "), k.Next(&seen) != models.KeySettled, k.Name)
		}
	}
	held := func(k *models.Key) { k.Holds = []models.Hold{models.HoldOffboarded} }
	calls := func(llms ...string) func(*models.ProxyKey) { return func(p *models.ProxyKey) { p.Models = llms } }
	blocked := func(p *models.ProxyKey) { p.Blocked = true }

	at(row("same", nil, "b", "A"), "", func(p *models.ProxyKey) { p.Spend = models.Dollar })
	at(row("with a time", func(k *models.Key) { k.ExpiresAt = &future }, "A"), "", nil)
	at(row("raised", nil, "A"), `different models ["A", "d"]→["A"]`, calls("A", "d"))
	at(row("for all", nil, "A"), `different models []→["A"]`, calls())
	at(row("for less", nil, "A", "b"), `different models ["b"]→["A", "b"]`, calls("b"))
	at(row("released", held, "A"), "different blocked false→true", func(p *models.ProxyKey) { p.Blocked = false })
	at(row("blocked", nil, "A"), "different blocked true→false", blocked)
	at(row("held", held, "A", "c"), "", blocked)
	at(row("revived without models", nil), "different models []→[]", nil)
	at(row("over", func(k *models.Key) { k.ExpiresAt = &past }, "A", "c"), "", nil)
	at(row("too much here", nil, "A", "c"), `different models ["A", "c"]→["A"] subscriptions ["A", "c"]→["A"]`, nil)
	at(row("too much here alone", nil, "b", "d"), `different subscriptions ["b", "d"]→["b"]`, calls("b"))
	at(row("nothing left", nil, "c"), `different models ["c"]→[] subscriptions ["c"]→[]`, nil)
	revived := row("revived", nil, "A")
	_, err := db.Exec("UPDATE api_keys SET revoked_at = now() WHERE id = $1", revived.ID)
	require.NoError(t, err)
	revived.RevokedAt = new(time.Now())
	at(revived, `different models ["A"]→[]`, nil)
	want[row("gone", nil, "b").Hash] = "missing"
	want[row("gone, with too much here", nil, "A", "d").Hash] = `missing subscriptions ["A", "d"]→["A"]`
	want[row("gone, with nothing left", nil, "d").Hash] = `different subscriptions ["d"]→[]`
	row("gone and without models", nil)
	refusedOnce := row("refused", nil, "A")
	_, err = db.Exec("UPDATE api_keys SET observed_generation = 0, failed_generation = generation WHERE id = $1", refusedOnce.ID)
	require.NoError(t, err)
	want[refusedOnce.Hash] = "missing"
	unsettled := storetest.Key(t, s, u.ID, nil, "c")
	list = append(list, models.ProxyKey{Hash: "stranger", UserID: "default_user_id", Alias: "ui"})
	want["stranger"] = "unknown"

	counts := models.KeyCounts{Listed: 15, Missing: 3, Different: 11, Unknown: 1}
	dry := compareKeys(t, s, list, models.SyncOptions{DryRun: true})
	require.Equal(t, want, found(t, s, dry.ID))
	require.Equal(t, counts, dry.Keys)
	require.Zero(t, counted(t, db, "SELECT count(*) FROM audit WHERE action = 'API_KEY_DRIFT'"), "a dry run only reports")

	run := compareKeys(t, s, list, models.SyncOptions{})
	require.Equal(t, counts, run.Keys)
	require.Equal(t, want, found(t, s, run.ID))
	require.Equal(t, 14, counted(t, db, "SELECT count(*) FROM audit WHERE action = 'API_KEY_DRIFT' AND resource_type = 'API_KEY'"))
	due, err := s.UnsettledKeys(t.Context(), 0, 100)
	require.NoError(t, err)
	require.Len(t, due, 15, "and the one that was unsettled before")
	require.Zero(t, counted(t, db, "SELECT count(*) FROM sync_staged_keys"))
	mine, err := s.UserKeys(t.Context(), u.ID)
	require.NoError(t, err)
	for _, k := range mine {
		switch {
		case k.ID == unsettled.ID:
			require.Equal(t, []string{"c"}, k.Models, "it is being written")
		case len(k.Holds) == 0 && k.RevokedAt == nil && !k.Expired():
			require.Equal(t, subscribedOnly(k), k.Models, k.Name)
		}
		require.EqualValues(t, map[bool]int{true: 2, false: 1}[want[k.Hash] != ""], k.Generation, k.Name)
	}
	only, n, err := s.KeyDifferences(t.Context(), run.ID, store.KeyDifferenceQuery{Page: 1, Limit: 1, Kind: models.KeyMissing})
	require.NoError(t, err)
	require.Equal(t, 3, n)
	require.Len(t, only, 1)

	quiet := compareKeys(t, s, list, models.SyncOptions{})
	require.Equal(t, models.KeyCounts{Listed: 15, Unknown: 1}, quiet.Keys, "they are being written")
}

// subscribedOnly are those models of a key that ada is subscribed to; of a held key all.
func subscribedOnly(k models.Key) []string {
	llms := []string{}
	for _, id := range k.Models {
		if id == "A" || id == "b" || len(k.Holds) > 0 {
			llms = append(llms, id)
		}
	}
	return llms
}

// A failed run leaves nothing staged.
func TestFailSyncRunForgetsKeys(t *testing.T) {
	s, db := opened(t)
	run := models.SyncRun{ID: uuid.New(), WorkflowID: "full-sync", Kind: models.SyncFull, Trigger: models.SyncByPerson, Actor: "ada"}
	require.NoError(t, s.BeginSyncRun(t.Context(), run, time.Hour))
	require.NoError(t, s.StageKeys(t.Context(), run.ID, []models.ProxyKey{{Hash: "stranger"}}))
	require.NoError(t, s.FailSyncRun(t.Context(), run.ID, "no"))
	require.Zero(t, counted(t, db, "SELECT count(*) FROM sync_staged_keys"))
}

// What a key and a user have by their budgets is no difference at LiteLLM, and to lack it is one.
func TestCompareWithBudgets(t *testing.T) {
	s, db := opened(t)
	storetest.LLMs(t, s, "a", "b")
	u := signedIn(t, s, "ada")
	subscribed(t, db, u, models.SubscriptionActive, "a", "b")
	plain := storetest.Key(t, s, u.ID, func(k *models.Key) { k.Limits = models.Limits{MaxBudget: new(5 * models.Dollar), RPM: new(int64(9))} }, "a", "b")
	_, err := db.Exec(`UPDATE api_keys SET raised = 7, throttle_rpm = 2, throttle_tpm = 3, blocked_models = '["b"]'`)
	require.NoError(t, err)
	_, err = db.Exec(`UPDATE users SET raised = 7, max_budget = 5, observed_generation = generation, updated_at = now() - interval '1 second'`)
	require.NoError(t, err)
	bent := settled(t, s, db, plain)
	run := compareKeys(t, s, []models.ProxyKey{bent.Proxy()}, models.SyncOptions{DryRun: true})
	require.Zero(t, run.Keys.Different)
	run = compareKeys(t, s, []models.ProxyKey{plain.Proxy()}, models.SyncOptions{DryRun: true})
	require.Equal(t, 1, run.Keys.Different)
	page, _, err := s.KeyDifferences(t.Context(), run.ID, store.KeyDifferenceQuery{Page: 1, Limit: 10})
	require.NoError(t, err)
	fields := []string{}
	for _, f := range page[0].Fields {
		fields = append(fields, f.Field)
	}
	require.ElementsMatch(t, []string{"models", "max_budget", "rpm_limit", "tpm_limit"}, fields)
	_, err = db.Exec(`UPDATE api_keys SET blocked_models = '["a", "b"]'`)
	require.NoError(t, err)
	require.Zero(t, compareKeys(t, s, nil, models.SyncOptions{DryRun: true}).Keys.Missing, "it may call none, and LiteLLM must not have it")

	u, err = s.User(t.Context(), u.ID)
	require.NoError(t, err)
	for _, raised := range []models.USD{7, 0} {
		seen := u
		seen.Raised = raised
		run := models.SyncRun{ID: uuid.New(), WorkflowID: "full-sync", Kind: models.SyncFull, Trigger: models.SyncByPerson, Actor: "ada", Options: models.SyncOptions{DryRun: true}}
		require.NoError(t, s.BeginSyncRun(t.Context(), run, time.Hour))
		require.NoError(t, s.StageUsers(t.Context(), run.ID, []models.ProxyUser{seen.Proxy()}))
		run, err = s.CompareUsers(t.Context(), run.ID)
		require.NoError(t, err)
		require.Equal(t, raised == 0, run.Users.Different == 1)
	}
}
