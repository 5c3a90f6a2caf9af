package store_test

import (
	"crypto/rand"
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
	"github.com/litemaas/litemaas/models/store/storetest"
)

// newHeir is a successor of a key.
func newHeir(t *testing.T, k models.Key) models.Heir {
	t.Helper()
	secret, err := models.NewSecret(rand.Reader)
	require.NoError(t, err)
	heir, err := models.NewHeir(k, secret, storetest.Sealer{})
	require.NoError(t, err)
	return heir
}

// rotate rotates a key.
func rotate(t *testing.T, s *store.Store, k models.Key, how models.HowToRotate) (old, made models.Key) {
	t.Helper()
	old, made, err := s.RotateKey(t.Context(), k.ID, newHeir(t, k), how, ada)
	require.NoError(t, err)
	return old, made
}

var day = models.HowToRotate{Grace: 24 * time.Hour}

// What a successor has of its own; all other columns are the key's. A new column must be put
// into one of the two.
var ofTheHeir = []string{
	"id", "alias", "hash", "prefix", "sealed", "predecessor", "created_by", "created_at", "updated_at", "generation", "observed_generation",
	"failed_generation", "failure", "reset_generation", "revoked_at", "revoked_by", "revoked_why", "alarmed_at", "deleted_at", "last_used_at", "noticed_days",
	"retires_at", "retire_silent",
}

// A successor has every attribute of the key, its models, and what cascades owe it.
func TestRotateKeyCarriesEverything(t *testing.T) {
	s, db := opened(t)
	u := signedIn(t, s, "ada")
	storetest.LLMs(t, s, "a", "b", "c")
	k := storetest.Key(t, s, u.ID, func(k *models.Key) {
		k.TeamID, k.Holds, k.MaxParallel = new(models.DefaultTeamID), []models.Hold{models.HoldAdmin}, new(int64(3))
		k.Limits = models.Limits{MaxBudget: new(3 * models.Dollar), BudgetDuration: "monthly", TPM: new(int64(5)), RPM: new(int64(6))}
		k.ModelTPM, k.ModelRPM, k.Metadata = map[string]int64{"a": 7}, map[string]int64{"b": 1}, json.RawMessage(`{"project": "x"}`)
		k.Spend, k.ExpiresAt, k.Alias = 2*models.Dollar, new(time.Now().Add(240*time.Hour)), "CI-key_0123abcd"
	}, "a", "b")
	for _, sql := range []string{
		`UPDATE api_keys SET soft_budget = 9, model_max_budget = '{"a": {"budgetLimit": 1}}', tags = '["t"]', permissions = '{"p": true}', guardrails = '["g"]',
			raised = 5, throttle_rpm = 3, throttle_tpm = 4, blocked_models = '["a"]', subscription_id = gen_random_uuid(), rotate_every = interval '90 days', last_used_at = now(), noticed_days = 30, observed_generation = 1`,
		`UPDATE budgets SET raised = 5, throttled = true, throttle_rpm = 3, throttle_tpm = 4, spent = 2, reached = 50 WHERE subject_type = 'key'`,
		`UPDATE budgets SET held = true, spent = 7 WHERE subject_type = 'key_model'`,
		`INSERT INTO cascades (id, cause, reason, by, subscriptions, keys) VALUES ('11111111-1111-4111-8111-111111111111', 'model_unavailable', '', 'test', 1, 1)`,
		`INSERT INTO cascade_keys SELECT '11111111-1111-4111-8111-111111111111', id, 'c' FROM api_keys`,
	} {
		_, err := db.Exec(sql)
		require.NoError(t, err)
	}
	before := time.Now()
	old, made := rotate(t, s, k, day)
	require.WithinRange(t, *old.RetiresAt, before.Add(24*time.Hour-time.Second), time.Now().Add(24*time.Hour))
	require.Equal(t, models.KeyProvisioning, made.Status())
	require.Equal(t, k.ID, *made.Predecessor)
	require.Equal(t, []string{"a", "b"}, made.Models)
	require.Regexp(t, `^CI-key_[0-9a-f]{8}$`, made.Alias)
	require.NotEqual(t, k.Alias, made.Alias)
	require.NotEqual(t, k.Hash, made.Hash)
	secret, err := made.Secret(storetest.Sealer{})
	require.NoError(t, err)
	require.Equal(t, secret.Reveal()[:7], made.Prefix)

	row := func(id uuid.UUID) map[string]any {
		var raw []byte
		require.NoError(t, db.QueryRow("SELECT to_jsonb(k) FROM api_keys k WHERE id = $1", id).Scan(&raw))
		var out map[string]any
		require.NoError(t, json.Unmarshal(raw, &out))
		for _, column := range ofTheHeir {
			delete(out, column)
		}
		return out
	}
	require.Equal(t, row(k.ID), row(made.ID))
	require.Len(t, row(k.ID), 25, "a new column is the successor's own, or is carried by rotateSQL and set above")
	counts := "SELECT string_agg(subject_type || ' ' || spent || ' ' || reached || CASE WHEN held THEN ' held' ELSE '' END || CASE WHEN due THEN ' due' ELSE '' END, ', ' ORDER BY subject_type) FROM budgets WHERE subject_id = $1"
	var inherited string
	require.NoError(t, db.QueryRow(counts, made.ID).Scan(&inherited))
	require.Equal(t, "key 2 50 due, key_model 7 0 held due", inherited, "its budgets go on where those of the key are, and are looked after")
	require.Equal(t, 1, counted(t, db, "SELECT count(*) FROM cascades WHERE keys = 2"))
	require.Equal(t, 1, counted(t, db, "SELECT count(*) FROM cascade_keys WHERE api_key_id = $1 AND model_id = 'c' AND NOT restored", made.ID))
	require.Equal(t, models.AuditUserKeyRotate, audited(t, s, k.ID.String())[0])
	require.Equal(t, 1, counted(t, db, "SELECT count(*) FROM outbox WHERE type = $1 AND user_id = $2", models.KeyRotated, u.ID))
}

// A key never outlives its own end by a rotation; what nobody may rotate is refused with the reason.
func TestRotateKeyIsBounded(t *testing.T) {
	s, db := opened(t)
	storetest.LLMs(t, s, "a")
	u := signedIn(t, s, "ada")
	fresh := func() models.Key { return storetest.Key(t, s, u.ID, nil, "a") }
	end := time.Now().Add(time.Hour).Truncate(time.Microsecond)
	old, made := rotate(t, s, storetest.Key(t, s, u.ID, func(k *models.Key) { k.ExpiresAt = &end }, "a"), day)
	require.True(t, end.Equal(*old.RetiresAt))
	require.True(t, end.Equal(*made.ExpiresAt))

	for name, tc := range map[string]struct {
		set  string
		says string
	}{
		"revoked":  {"revoked_at = now()", "is revoked"},
		"ended":    {"revoked_at = now(), revoked_why = 'expired'", "has expired"},
		"expired":  {"expires_at = now()", "has expired"},
		"rotating": {"retires_at = now() + interval '1 hour'", "is being rotated already"},
	} {
		t.Run(name, func(t *testing.T) {
			k := fresh()
			_, err := db.Exec("UPDATE api_keys SET "+tc.set+" WHERE id = $1", k.ID)
			require.NoError(t, err)
			_, _, err = s.RotateKey(t.Context(), k.ID, newHeir(t, k), day, ada)
			refused(t, models.Conflict, err)
			require.ErrorContains(t, err, tc.says)
		})
	}
	_, made = rotate(t, s, fresh(), day)
	_, _, err := s.RotateKey(t.Context(), made.ID, newHeir(t, made), day, ada)
	refused(t, models.Conflict, err)
	require.ErrorContains(t, err, "has just taken the place of another")
	_, err = db.Exec("UPDATE api_keys SET revoked_at = now() WHERE id = $1", *made.Predecessor)
	require.NoError(t, err)
	rotate(t, s, made, day)

	for _, how := range []models.HowToRotate{{Grace: -1}, {Grace: models.MaxGrace + 1}, {Silent: new(time.Minute)}} {
		_, _, err := s.RotateKey(t.Context(), fresh().ID, models.Heir{}, how, ada)
		refused(t, models.Invalid, err)
	}
	_, _, err = s.RotateKey(t.Context(), uuid.New(), models.Heir{}, day, ada)
	refused(t, models.NotFound, err)
}

// Of many who rotate one key at once one wins, and there is one successor.
func TestRotateKeyAtOnce(t *testing.T) {
	s, db := opened(t)
	storetest.LLMs(t, s, "a")
	k := storetest.Key(t, s, signedIn(t, s, "ada").ID, nil, "a")
	heirs := make([]models.Heir, 8)
	for i := range heirs {
		heirs[i] = newHeir(t, k)
	}
	won := 0
	for _, err := range atOnce(len(heirs), func(i int) error {
		_, _, err := s.RotateKey(t.Context(), k.ID, heirs[i], day, ada)
		return err
	}) {
		if err == nil {
			won++
			continue
		}
		refused(t, models.Conflict, err)
		require.ErrorContains(t, err, "is being rotated already")
	}
	require.Equal(t, 1, won)
	require.Equal(t, 2, counted(t, db, "SELECT count(*) FROM api_keys"))
}

// A subscription that ends while its owner's keys are rotated is taken off the successors too.
func TestRotateKeyRacesACascade(t *testing.T) {
	w := newWorld(t)
	for range 5 {
		u := w.user("user " + uuid.NewString())
		sub := w.ask(u, "open")
		id := w.key(u, "open")
		k := models.Key{ID: id, Alias: "alias"}
		heir := newHeir(t, k)
		errs := atOnce(2, func(i int) error {
			if i == 0 {
				_, _, err := w.s.RotateKey(t.Context(), id, heir, day, ada)
				return err
			}
			_, _, err := w.s.CancelSubscription(t.Context(), u, sub.ID, self(u))
			return err
		})
		require.Equal(t, []error{nil, nil}, errs)
		for _, k := range []uuid.UUID{id, heir.ID} {
			llms, _ := w.holding(k)
			require.Empty(t, llms)
		}
	}
	w.sound()
}

// The old key goes when its time is over, or when it was silent, and not before LiteLLM holds the
// successor. It goes once.
func TestRetireKey(t *testing.T) {
	s, db := opened(t)
	storetest.LLMs(t, s, "a")
	u := signedIn(t, s, "ada")
	set := func(id uuid.UUID, sql string) {
		_, err := db.Exec("UPDATE api_keys SET "+sql+" WHERE id = $1", id)
		require.NoError(t, err)
	}
	retire := func(id uuid.UUID) bool {
		gone, err := s.RetireKey(t.Context(), id, machine)
		require.NoError(t, err)
		return gone
	}
	how := models.HowToRotate{Grace: 24 * time.Hour, Silent: new(time.Hour)}
	old, made := rotate(t, s, storetest.Key(t, s, u.ID, nil, "a"), how)
	require.False(t, retire(old.ID))
	r, err := s.KeyRotation(t.Context(), old.ID)
	require.NoError(t, err)
	require.Equal(t, models.KeyRotation{Heir: made.ID, RetireIn: r.RetireIn, SilentIn: r.SilentIn}, r)
	require.InDelta(t, 24*time.Hour, r.RetireIn, float64(time.Minute))
	require.InDelta(t, time.Hour, *r.SilentIn, float64(time.Minute))
	require.InDelta(t, time.Hour, r.Wait(), float64(time.Minute))

	set(made.ID, "created_at = now() - interval '2 hours'")
	require.False(t, retire(old.ID), "LiteLLM does not hold the successor")
	set(made.ID, "observed_generation = 1")
	require.NoError(t, s.NoteKeyUse(t.Context(), old.ID, time.Now()))
	require.NoError(t, s.NoteKeyUse(t.Context(), old.ID, time.Now().Add(-time.Hour)))
	require.False(t, retire(old.ID), "it was used")
	set(old.ID, "last_used_at = now() - interval '61 minutes'")
	require.True(t, retire(old.ID))
	require.True(t, retire(old.ID))
	k, err := s.Key(t.Context(), old.ID)
	require.NoError(t, err)
	require.Equal(t, []any{models.KeyRevoking, models.KeyEndRotated, "system"}, []any{k.Status(), k.RevokedWhy, k.RevokedBy})
	require.EqualValues(t, 2, k.Generation)
	require.Equal(t, 1, counted(t, db, "SELECT count(*) FROM outbox WHERE type = $1", models.KeyRetired))
	r, err = s.KeyRotation(t.Context(), old.ID)
	require.NoError(t, err)
	require.True(t, r.Over)
	require.Equal(t, models.KeyEndRotated, r.End)

	old, made = rotate(t, s, storetest.Key(t, s, u.ID, nil, "a"), models.HowToRotate{})
	set(made.ID, "observed_generation = 1")
	require.True(t, retire(old.ID))
	set(old.ID, "revoked_why = ''")
	r, err = s.KeyRotation(t.Context(), old.ID)
	require.NoError(t, err)
	require.Equal(t, "revoked", r.End, "somebody revoked it and did not say why")
	_, err = s.KeyRotation(t.Context(), uuid.New())
	refused(t, models.NotFound, err)
}

// Somebody has the old key go at once, or live on; who is too late is told so.
func TestHastenAndUndoRotation(t *testing.T) {
	s, db := opened(t)
	storetest.LLMs(t, s, "a")
	k := storetest.Key(t, s, signedIn(t, s, "ada").ID, nil, "a")
	_, err := s.HastenRetirement(t.Context(), k.ID, ada)
	refused(t, models.Conflict, err)
	_, _, err = s.UndoRotation(t.Context(), k.ID, "", ada)
	refused(t, models.Conflict, err)

	_, made := rotate(t, s, k, day)
	old, heir, err := s.UndoRotation(t.Context(), k.ID, "", ada)
	require.NoError(t, err)
	require.Nil(t, old.RetiresAt)
	require.Nil(t, old.RevokedAt)
	require.EqualValues(t, 1, old.Generation, "LiteLLM is told nothing of it")
	require.Equal(t, []any{made.ID, models.KeyRevoking, models.KeyEndUndone}, []any{heir.ID, heir.Status(), heir.RevokedWhy})
	require.Nil(t, heir.Predecessor)
	r, err := s.KeyRotation(t.Context(), k.ID)
	require.NoError(t, err)
	require.Equal(t, models.KeyRotation{Over: true}, r)
	require.Equal(t, []models.AuditAction{models.AuditUserKeyUndo, models.AuditUserKeyRotate, models.AuditUserKeyCreate}, audited(t, s, k.ID.String()))

	_, made = rotate(t, s, k, day)
	k, err = s.HastenRetirement(t.Context(), k.ID, ada)
	require.NoError(t, err)
	require.False(t, k.RetiresAt.After(time.Now()))
	_, err = db.Exec("UPDATE api_keys SET observed_generation = 1 WHERE id = $1", made.ID)
	require.NoError(t, err)
	gone, err := s.RetireKey(t.Context(), k.ID, machine)
	require.NoError(t, err)
	require.True(t, gone)
	_, err = s.HastenRetirement(t.Context(), k.ID, ada)
	require.NoError(t, err, "it has gone, as was asked for")
	_, _, err = s.UndoRotation(t.Context(), k.ID, "", ada)
	refused(t, models.Conflict, err)
}

// By policy a key is due when it is old enough, unless it is held, being rotated, or at its end;
// its successor has the policy too.
func TestRotationPolicy(t *testing.T) {
	s, db := opened(t)
	storetest.LLMs(t, s, "a")
	u := signedIn(t, s, "ada")
	k := storetest.Key(t, s, u.ID, nil, "a")
	require.NoError(t, s.SetRotationPolicy(t.Context(), k.ID, new(30*24*time.Hour), ada))
	for _, every := range []time.Duration{0, time.Hour, models.MaxRotateEvery + 1} {
		refused(t, models.Invalid, s.SetRotationPolicy(t.Context(), k.ID, &every, ada))
	}
	due := func() []uuid.UUID {
		rows, err := s.KeysToRotate(t.Context(), 10)
		require.NoError(t, err)
		ids := []uuid.UUID{}
		for _, k := range rows {
			ids = append(ids, k.ID)
		}
		return ids
	}
	set := func(sql string) {
		_, err := db.Exec("UPDATE api_keys SET " + sql)
		require.NoError(t, err)
	}
	set("observed_generation = 1")
	require.Empty(t, due())
	set("created_at = now() - interval '30 days'")
	require.Equal(t, []uuid.UUID{k.ID}, due())
	for is, was := range map[string]string{
		`holds = '["admin"]'`: "holds = '[]'", "retires_at = now()": "retires_at = NULL", "revoked_at = now()": "revoked_at = NULL",
		"expires_at = now() + interval '30 minutes'": "expires_at = NULL", "observed_generation = 0": "observed_generation = 1", "rotate_every = NULL": "rotate_every = interval '30 days'",
	} {
		set(is)
		require.Empty(t, due(), is)
		set(was)
	}
	rotate(t, s, k, day)
	require.Empty(t, due())
	found, err := s.NewRotations(t.Context(), time.Minute, 10)
	require.NoError(t, err)
	require.Equal(t, []uuid.UUID{k.ID}, found)
	require.Equal(t, 2, counted(t, db, "SELECT count(*) FROM api_keys WHERE rotate_every = interval '30 days'"))
	set("revoked_at = now()")
	refused(t, models.Conflict, s.SetRotationPolicy(t.Context(), k.ID, nil, ada))
	require.True(t, slices.Contains(audited(t, s, k.ID.String()), models.AuditUserKeyPolicy))
}
