package store_test

import (
	"database/sql"
	"encoding/json"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
	"github.com/litemaas/litemaas/models/store/storetest"
)

// A key comes back as it was stored; lists leave its secret out, and so does the audit log.
func TestCreateKey(t *testing.T) {
	s := storetest.New(t)
	u := signedIn(t, s, "ada")
	storetest.LLMs(t, s, "a", "B", "a-b", "ä")
	plain := storetest.Key(t, s, u.ID, nil, "a")
	require.Equal(t, models.KeyProvisioning, plain.Status())
	require.Equal(t, []string{"a"}, plain.Models)
	require.Empty(t, plain.Holds)

	end := time.Now().Add(time.Hour).Truncate(time.Microsecond)
	want := models.Key{
		UserID: u.ID, TeamID: new(models.DefaultTeamID), Name: "CI", Holds: []models.Hold{models.HoldAdmin},
		Limits:      models.Limits{MaxBudget: new(3 * models.Dollar), BudgetDuration: "monthly", TPM: new(int64(5)), RPM: new(int64(0))},
		MaxParallel: new(int64(2)), ModelTPM: map[string]int64{"a": 7}, ModelRPM: map[string]int64{"B": 1},
		Metadata: json.RawMessage(`{"project": "x"}`), Spend: models.Dollar, ExpiresAt: &end,
		Terms: models.KeyTerms{
			SoftBudget: new(2 * models.Dollar), ModelMaxBudget: map[string]models.ModelBudget{"a": {Limit: models.Dollar, Period: "30d"}},
			Tags: []string{"x"}, Permissions: map[string]bool{"allowEmbeddings": true}, Guardrails: []string{"g"}, SubscriptionID: new(uuid.New()),
		},
		CreatedBy: "system",
	}
	var given models.Key
	k := storetest.Key(t, s, u.ID, func(k *models.Key) {
		want.ID, want.Alias, want.Hash, want.Prefix, want.Sealed, want.Models = k.ID, k.Alias, k.Hash, k.Prefix, k.Sealed, k.Models
		*k, given = want, want
	}, "ä", "a-b", "a", "B", "a")
	want.Models = []string{"B", "a", "a-b", "ä"} // as Go sorts, and once
	require.True(t, end.Equal(*k.ExpiresAt))
	require.NotZero(t, k.CreatedAt)
	want.Generation, want.ExpiresAt, want.CreatedAt, want.UpdatedAt = 1, k.ExpiresAt, k.CreatedAt, k.UpdatedAt
	require.Equal(t, want, k)
	read, err := s.Key(t.Context(), k.ID)
	require.NoError(t, err)
	require.Equal(t, want, read)
	require.Equal(t, storetest.Secret(t, read).Hash(), read.Hash)

	list, err := s.UserKeys(t.Context(), u.ID)
	require.NoError(t, err)
	want.Sealed, plain.Sealed = nil, nil
	require.Equal(t, []models.Key{want, plain}, list)
	log, _, err := s.AuditLog(t.Context(), store.AuditQuery{Page: 1, Limit: 10, ResourceID: k.ID.String()})
	require.NoError(t, err)
	require.Len(t, log, 1)
	require.Equal(t, models.AuditUserKeyCreate, log[0].Action)
	require.NotContains(t, string(log[0].After), k.Hash)
	require.Contains(t, string(log[0].After), `"name": "CI"`)

	for name, tc := range map[string]struct {
		kind models.Kind
		edit func(*models.Key)
	}{
		"an alias that is taken":   {models.Conflict, func(k *models.Key) { k.Alias = given.Alias }},
		"a hash that is taken":     {models.Conflict, func(k *models.Key) { k.Hash = given.Hash }},
		"an unknown owner":         {models.Invalid, func(k *models.Key) { k.UserID = uuid.New() }},
		"an unknown model":         {models.Invalid, func(k *models.Key) { k.Models = []string{"none"} }},
		"metadata that is no JSON": {models.Invalid, func(k *models.Key) { k.Metadata = json.RawMessage(`{`) }},
	} {
		t.Run(name, func(t *testing.T) {
			bad := models.Key{
				ID: uuid.New(), UserID: u.ID, Name: "bad", Alias: "bad", Hash: models.SecretOf(name).Hash(), Sealed: []byte("sealed"), Models: []string{"a"},
			}
			tc.edit(&bad)
			refused(t, tc.kind, s.CreateKey(t.Context(), &bad, ada))
			_, err := s.Key(t.Context(), bad.ID)
			refused(t, models.NotFound, err)
		})
	}
}

// wish changes what a key's row wishes for.
func wish(t *testing.T, db *sql.DB, id uuid.UUID) {
	t.Helper()
	_, err := db.Exec("UPDATE api_keys SET generation = generation + 1, updated_at = now() WHERE id = $1", id)
	require.NoError(t, err)
}

// A wish is proved once, by a look at the generation that it has; an older look proves nothing,
// and an older proof than the last changes nothing.
func TestKeyWishAndProof(t *testing.T) {
	s, db := opened(t)
	storetest.LLMs(t, s, "a")
	k := storetest.Key(t, s, signedIn(t, s, "ada").ID, nil, "a")
	due, err := s.UnsettledKeys(t.Context(), 0, 10)
	require.NoError(t, err)
	require.Equal(t, []uuid.UUID{k.ID}, due)
	due, err = s.UnsettledKeys(t.Context(), time.Hour, 10)
	require.NoError(t, err)
	require.Empty(t, due, "somebody is at it")

	for range 2 {
		require.NoError(t, s.FailKey(t.Context(), k.ID, 1, "alias taken", models.System("ReconcileKey")))
	}
	k, err = s.Key(t.Context(), k.ID)
	require.NoError(t, err)
	require.Equal(t, models.KeyFailed, k.Status())
	require.Equal(t, "alias taken", k.Failure)
	due, err = s.UnsettledKeys(t.Context(), 0, 10)
	require.NoError(t, err)
	require.Empty(t, due)
	require.Equal(t, []models.AuditAction{models.AuditUserKeyRefused, models.AuditUserKeyCreate}, audited(t, s, k.ID.String()))

	wish(t, db, k.ID)
	require.NoError(t, s.FailKey(t.Context(), k.ID, 1, "again", models.System("ReconcileKey")))
	for _, step := range []struct {
		seen   int64
		status models.KeyStatus
	}{
		{1, models.KeyActive},
		{3, models.KeyActive},
		{2, models.KeyActive},
		{1, models.KeyActive},
	} {
		k, err = s.ObserveKey(t.Context(), models.KeyProof{ID: k.ID, Generation: step.seen})
		require.NoError(t, err)
		require.Equal(t, step.status, k.Status(), "generation %d", step.seen)
		require.Equal(t, k.ObservedGeneration == 2, k.Settled())
	}
	require.Empty(t, k.Failure)
	_, err = s.ObserveKey(t.Context(), models.KeyProof{ID: uuid.New(), Generation: 1})
	refused(t, models.NotFound, err)
}
