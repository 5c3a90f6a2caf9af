package store_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
)

// keyHash is the hash of a key of the world.
func keyHash(id uuid.UUID) [32]byte { return sha256.Sum256(id[:]) }

// keyWorld is a world that has these models, too.
func keyWorld(t *testing.T, llms ...string) world {
	t.Helper()
	w := newWorld(t)
	for _, id := range llms {
		w.model(id)
	}
	return w
}

// check is what a key of the world is judged by.
func (w world) check(key uuid.UUID) models.KeyCheck {
	w.t.Helper()
	k, err := w.s.KeyCheck(w.t.Context(), keyHash(key))
	require.NoError(w.t, err)
	return k
}

// One statement reads all that a key is judged by.
func TestKeyCheck(t *testing.T) {
	w := keyWorld(t, "a", "B", "c", "d")
	ada, bob := w.user("ada"), w.user("bob")
	w.exec("INSERT INTO user_roles (user_id, role_id, source, granted_by) VALUES ($1, 'user', 'idp', ''), ($1, 'admin-readonly', 'manual', '')", ada)
	for model, status := range map[string]models.SubscriptionStatus{
		"a": models.SubscriptionActive, "B": models.SubscriptionSuspended, "c": models.SubscriptionInactive,
	} {
		w.sub(ada, model, status)
	}
	w.sub(bob, "d", models.SubscriptionActive)
	end, retires := time.Now().UTC().Add(time.Hour).Truncate(time.Microsecond), time.Now().UTC().Add(time.Minute).Truncate(time.Microsecond)
	key, plain := w.key(ada, "a", "B"), w.key(bob)
	w.exec("INSERT INTO team_members (team_id, user_id) VALUES ($1, $2)", models.DefaultTeamID, ada)
	w.exec(`UPDATE teams SET allowed_models = '["a"]' WHERE id = $1`, models.DefaultTeamID)
	w.exec(`UPDATE api_keys SET team_id = $2, max_budget = 2000000000, budget_duration = '1d', tpm_limit = 5, rpm_limit = 0, max_parallel = 3,
		model_tpm = '{"a": 7}', expires_at = $3 WHERE id = $1`, key, models.DefaultTeamID, end)
	reset := models.QuotaReset(time.Now())
	want := models.KeyCheck{
		ID: key, Name: "key", Prefix: "sk-abcd", Models: []string{"B", "a"},
		Owner: &models.KeyOwner{
			ID: ada, Username: "ada", Roles: []string{"admin-readonly", "user"}, Active: true, Permitted: true,
			Subscriptions: []models.KeyPlan{
				{ModelID: "B", Status: models.SubscriptionSuspended, Requests: new(int64(10)), Tokens: new(int64(1000)), OverQuota: true, ResetAt: reset},
				{ModelID: "a", Status: models.SubscriptionActive, Requests: new(int64(10)), Tokens: new(int64(1000)), ResetAt: reset},
			},
		},
		Team: &models.KeyTeam{
			ID: models.DefaultTeamID, Name: "Default Team", Member: true, Models: []string{"a"},
			Limits: models.Limits{MaxBudget: new(10_000 * models.Dollar), BudgetDuration: "monthly", TPM: new(int64(50_000)), RPM: new(int64(1000))},
		},
		Limits:      models.Limits{MaxBudget: new(2 * models.Dollar), BudgetDuration: "1d", TPM: new(int64(5)), RPM: new(int64(0))},
		MaxParallel: new(int64(3)), ModelTPM: map[string]int64{"a": 7}, ExpiresAt: end,
	}
	require.Equal(t, want, w.check(key))
	require.Equal(t, models.KeyCheck{
		ID: plain, Name: "key", Prefix: "sk-abcd", Models: []string{},
		Owner: &models.KeyOwner{
			ID: bob, Username: "bob", Roles: []string{}, Active: true,
			Subscriptions: []models.KeyPlan{{ModelID: "d", Status: models.SubscriptionActive, Requests: new(int64(10)), Tokens: new(int64(1000)), ResetAt: reset}},
		},
	}, w.check(plain))

	for _, tc := range []struct {
		change string // of the key k, its owner u, or his subscription to a
		model  string
		want   models.KeyReason
	}{
		{"", "a", models.KeyIsValid},
		{"UPDATE budgets SET spent = 2, hold_at = 2, ends_at = now() + interval '1 hour' WHERE subject_id = $1", "a", models.KeyOverBudget},
		{"UPDATE budgets SET ends_at = now() WHERE subject_id = $1", "a", models.KeyIsValid},
		{"UPDATE budgets SET spent = 0, hold_at = 0 WHERE subject_id = $1", "a", models.KeyOverBudget}, // of nothing, in any period
		{`UPDATE budgets SET hold_at = 1 WHERE subject_id = $1`, "a", models.KeyIsValid},
		{`UPDATE api_keys SET holds = '["budget"]' WHERE id = $1`, "a", models.KeyIsValid}, // which only follows
		{"UPDATE budgets SET hold_at = 0 WHERE subject_id = (SELECT user_id FROM api_keys WHERE id = $1)", "a", models.KeyOverBudget},
		{"UPDATE budgets SET hold_at = NULL WHERE subject_id = (SELECT user_id FROM api_keys WHERE id = $1)", "a", models.KeyIsValid},
		{"UPDATE budgets SET spent = hold_at, ends_at = NULL WHERE subject_id = (SELECT team_id FROM api_keys WHERE id = $1)", "a", models.KeyOverBudget},
		{"UPDATE budgets SET spent = 0 WHERE subject_id = (SELECT team_id FROM api_keys WHERE id = $1)", "a", models.KeyIsValid},
		{"UPDATE budgets SET hold_at = 0 WHERE subject_type = 'subscription' AND $1::uuid IS NOT NULL", "a", models.KeyOverBudget},
		{"UPDATE budgets SET hold_at = NULL WHERE subject_type = 'subscription' AND $1::uuid IS NOT NULL", "a", models.KeyIsValid},
		{`UPDATE api_keys SET model_max_budget = '{"a": {"budgetLimit": 0, "timePeriod": "1d"}}' WHERE id = $1`, "a", models.KeyOverBudget},
		{"UPDATE budgets SET hold_at = NULL WHERE subject_type = 'key_model' AND $1::uuid IS NOT NULL", "a", models.KeyIsValid},
		{`UPDATE api_keys SET holds = '["budget", "admin"]' WHERE id = $1`, "a", models.KeyIsHeld},
		{`UPDATE api_keys SET holds = '[]', observed_generation = 0, failed_generation = 1 WHERE id = $1`, "a", models.KeyIsRefused},
		{`UPDATE api_keys SET failed_generation = 0 WHERE id = $1`, "a", models.KeyIsValid},
		{`UPDATE subscriptions SET used_tokens = quota_tokens WHERE model_id = 'a' AND $1::uuid IS NOT NULL`, "a", models.KeyOverQuota},
		{`UPDATE subscriptions SET used_tokens = 0 WHERE model_id = 'a' AND $1::uuid IS NOT NULL`, "a", models.KeyIsValid},
		{`UPDATE users SET holds = '["admin"]' WHERE id = (SELECT user_id FROM api_keys WHERE id = $1)`, "a", models.KeyOwnerInactive},
		{`UPDATE users SET holds = '[]' WHERE id = (SELECT user_id FROM api_keys WHERE id = $1)`, "B", models.KeyOverQuota},
		{`DELETE FROM team_members WHERE user_id = (SELECT user_id FROM api_keys WHERE id = $1)`, "a", models.KeyNotInTeam},
		{`UPDATE api_keys SET team_id = NULL, deleted_at = now() WHERE id = $1`, "a", models.KeyIsRevoked},
		{`UPDATE api_keys SET deleted_at = NULL, expires_at = NULL WHERE id = $1`, "a", models.KeyIsValid},
		{`UPDATE api_keys SET retires_at = now() WHERE id = $1`, "a", models.KeyIsExpired},
		{`UPDATE api_keys SET retires_at = NULL, revoked_at = now() WHERE id = $1`, "a", models.KeyIsRevoked},
		{`UPDATE api_keys SET revoked_why = 'expired' WHERE id = $1`, "a", models.KeyIsExpired},
	} {
		if tc.change != "" {
			w.exec(tc.change, key)
		}
		require.Equal(t, tc.want, w.check(key).Judge(tc.model, time.Now()).Reason, tc.change)
	}
	w.exec("UPDATE api_keys SET revoked_at = NULL, revoked_why = '', expires_at = $2, retires_at = $3 WHERE id = $1", key, end, retires)
	require.WithinDuration(t, retires, w.check(key).ExpiresAt, 0, "whichever is sooner")
	_, err := w.s.KeyCheck(t.Context(), keyHash(uuid.New()))
	refused(t, models.NotFound, err)
}

// Whatever changes how a key is judged is told, and nothing else is.
func TestKeyNotices(t *testing.T) {
	w := keyWorld(t, "a", "b", "c")
	ada := w.user("ada")
	w.exec("INSERT INTO team_members (team_id, user_id) VALUES ($1, $2)", models.DefaultTeamID, ada)
	sub, key := w.sub(ada, "a", models.SubscriptionActive), w.key(ada, "a")
	sum := keyHash(key)
	ofKey, ofOwner := store.Notice{Kind: store.NoticeAPIKey, Hash: hex.EncodeToString(sum[:])}, store.Notice{Kind: store.NoticeOwner, ID: ada}
	ofAda, all := store.Notice{Kind: store.NoticeUser, ID: ada}, store.Notice{Kind: store.NoticeAPIKeys}
	heard := listening(t, w.s)
	await(t, heard, store.NoticeAlive)
	for _, tc := range []struct {
		sql  string
		of   any
		want []store.Notice
	}{
		{"UPDATE api_keys SET revoked_at = now(), generation = generation + 1 WHERE id = $1", key, []store.Notice{ofKey}},
		{"UPDATE api_keys SET observed_generation = generation, updated_at = now() WHERE id = $1", key, nil},
		{"UPDATE api_keys SET last_used_at = now(), spend = 5 WHERE id = $1", key, nil},
		{"UPDATE api_keys SET max_budget = 10 WHERE id = $1", key, []store.Notice{ofKey}},
		{"UPDATE budgets SET hold_at = 10, spent = 9, due = true WHERE subject_id = $1", key, nil},
		{"UPDATE budgets SET spent = 10 WHERE subject_id = $1", key, []store.Notice{ofKey}},
		{"UPDATE budgets SET spent = 11, held = true WHERE subject_id = $1", key, nil},
		{"UPDATE budgets SET ends_at = now() + interval '1 day' WHERE subject_id = $1", key, []store.Notice{ofKey}},
		{"UPDATE budgets SET hold_at = 12 WHERE subject_id = $1", key, []store.Notice{ofKey}},
		{"UPDATE budgets SET ends_at = NULL WHERE subject_id = $1", key, nil},
		{"UPDATE budgets SET spent = 0, hold_at = 0 WHERE subject_id = $1", ada, []store.Notice{ofOwner}},
		{"UPDATE budgets SET hold_at = NULL WHERE subject_id = $1", ada, []store.Notice{ofOwner}},
		{"UPDATE budgets SET hold_at = 0 WHERE subject_id = $1", sub, []store.Notice{ofOwner}},
		{"UPDATE budgets SET hold_at = 0 WHERE subject_id = $1", models.DefaultTeamID, []store.Notice{all}},
		{`UPDATE api_keys SET model_max_budget = '{"a": {"budgetLimit": 0, "timePeriod": "1d"}}' WHERE id = $1`, key, []store.Notice{ofKey}},
		{`UPDATE api_keys SET holds = '["admin"]' WHERE id = $1`, key, []store.Notice{ofKey}},
		{"INSERT INTO api_key_models (api_key_id, model_id) VALUES ($1, 'b')", key, []store.Notice{ofKey}},
		{"DELETE FROM api_key_models WHERE api_key_id = $1", key, []store.Notice{ofKey}},
		{"UPDATE subscriptions SET used_requests = 9, updated_at = now() WHERE id = $1", sub, nil},
		{"UPDATE subscriptions SET used_requests = 10 WHERE id = $1", sub, []store.Notice{ofOwner}},
		{"UPDATE subscriptions SET used_requests = 0 WHERE id = $1", sub, []store.Notice{ofOwner}},
		{`UPDATE subscriptions SET status = 'suspended', holds = '["quota"]' WHERE id = $1`, sub, []store.Notice{ofOwner}},
		{`UPDATE subscriptions SET status = 'inactive', holds = '[]' WHERE id = $1`, sub, []store.Notice{ofOwner}},
		{"UPDATE subscriptions SET quota_tokens = 7 WHERE id = $1", sub, nil},
		{"INSERT INTO subscriptions (id, user_id, model_id, status, status_changed_by, reset_at) VALUES (gen_random_uuid(), $1, 'b', 'pending', '', now())", ada, nil},
		{"INSERT INTO subscriptions (id, user_id, model_id, status, status_changed_by, reset_at) VALUES (gen_random_uuid(), $1, 'c', 'active', '', now())", ada, []store.Notice{ofOwner}},
		{"DELETE FROM subscriptions WHERE user_id = $1", ada, []store.Notice{ofOwner}},
		{"UPDATE users SET updated_at = now(), generation = 2 WHERE id = $1", ada, nil},
		{`UPDATE users SET holds = '["admin"]' WHERE id = $1`, ada, []store.Notice{ofAda}},
		{"DELETE FROM team_members WHERE user_id = $1", ada, []store.Notice{ofAda}},
		{"INSERT INTO team_members (team_id, user_id) SELECT id, $1 FROM teams", ada, []store.Notice{ofAda}},
		{"UPDATE teams SET rpm_limit = 1 WHERE id = $1", models.DefaultTeamID, []store.Notice{all}},
		{"DELETE FROM api_keys WHERE id = $1", key, []store.Notice{ofKey}},
	} {
		w.exec(tc.sql, tc.of)
		require.Equal(t, tc.want, toldBy(t, heard), tc.sql)
	}
}

// toldBy is what was told until now.
func toldBy(t *testing.T, heard <-chan store.Notice) []store.Notice {
	t.Helper()
	at := time.Now()
	var told []store.Notice
	for alive := (store.Notice{}); !alive.At.After(at); {
		var some []store.Notice
		alive, some = await(t, heard, store.NoticeAlive)
		told = append(told, some...)
	}
	return told
}

// A new key is told of to nobody; a change of very many is told in one notice.
func TestKeyNoticesOfMany(t *testing.T) {
	w := keyWorld(t, "a")
	ada := w.user("ada")
	heard := listening(t, w.s)
	await(t, heard, store.NoticeAlive)
	w.exec(`WITH k AS (
			INSERT INTO api_keys (id, user_id, name, alias, hash, prefix, sealed)
			SELECT gen_random_uuid(), $1, 'key', n, encode(sha256(n::text::bytea), 'hex'), 'sk-', '' FROM generate_series(1, 1001) n RETURNING id)
		SELECT count(*) FROM k`, ada)
	tx, err := w.db.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	id := uuid.New()
	_, err = tx.ExecContext(t.Context(), "INSERT INTO api_keys (id, user_id, name, alias, hash, prefix, sealed) VALUES ($1, $2, 'key', 'mine', $3, 'sk-', '')",
		id, ada, fmt.Sprintf("%064x", 1))
	require.NoError(t, err)
	_, err = tx.ExecContext(t.Context(), "INSERT INTO api_key_models (api_key_id, model_id) VALUES ($1, 'a')", id)
	require.NoError(t, err)
	require.NoError(t, tx.Commit())
	require.Empty(t, toldBy(t, heard))
	w.exec("UPDATE api_keys SET revoked_at = now() WHERE alias <> 'mine'")
	require.Equal(t, []store.Notice{{Kind: store.NoticeAPIKeys}}, toldBy(t, heard))
}

// Keys are recorded as used, the last time of each, at most once a minute, and nothing goes back.
func TestTouchKeys(t *testing.T) {
	w := keyWorld(t, "a")
	ada := w.user("ada")
	one, two := w.key(ada, "a"), w.key(ada, "a")
	at := time.Now().UTC().Truncate(time.Microsecond)
	require.NoError(t, w.s.TouchKeys(t.Context(), []models.KeyUse{{ID: one, At: at.Add(-time.Hour)}, {ID: one, At: at}, {ID: uuid.New(), At: at}}))
	require.NoError(t, w.s.TouchKeys(t.Context(), []models.KeyUse{{ID: one, At: at.Add(-time.Minute)}, {ID: two, At: at}}))
	require.NoError(t, w.s.TouchKeys(t.Context(), []models.KeyUse{{ID: one, At: at.Add(59 * time.Second)}}))
	require.NoError(t, w.s.TouchKeys(t.Context(), nil))
	var used int
	require.NoError(t, w.db.QueryRowContext(t.Context(), "SELECT count(*) FROM api_keys WHERE last_used_at = $1", at).Scan(&used))
	require.Equal(t, 2, used)

	tx, err := w.db.BeginTx(t.Context(), nil) // whoever writes a key is not waited for
	require.NoError(t, err)
	defer func() { _ = tx.Rollback() }()
	_, err = tx.ExecContext(t.Context(), "UPDATE api_keys SET name = 'other' WHERE id = $1", one)
	require.NoError(t, err)
	require.NoError(t, w.s.TouchKeys(t.Context(), []models.KeyUse{{ID: one, At: at.Add(time.Hour)}, {ID: two, At: at.Add(time.Hour)}}))
	require.NoError(t, w.db.QueryRowContext(t.Context(), "SELECT count(*) FROM api_keys WHERE last_used_at = $1", at.Add(time.Hour)).Scan(&used))
	require.Equal(t, 1, used)
}
