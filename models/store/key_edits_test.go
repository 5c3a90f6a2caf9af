package store_test

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
)

// keyQuery is the first page of a user's keys.
func keyQuery(u uuid.UUID) store.KeyQuery { return store.KeyQuery{UserID: u, Page: 1, Limit: 100} }

// lastAudit is what was last done to a key.
func (w world) lastAudit(id string) models.AuditEntry {
	w.t.Helper()
	log, _, err := w.s.AuditLog(w.t.Context(), store.AuditQuery{Page: 1, Limit: 1, ResourceID: id})
	require.NoError(w.t, err)
	require.Len(w.t, log, 1)
	return log[0]
}

// change is an edit by the owner.
func (w world) change(k models.Key, ask models.AskedKey) (models.Key, error) {
	w.t.Helper()
	return w.s.ChangeKey(w.t.Context(), store.KeyEdit{UserID: k.UserID, ID: k.ID, Ask: ask}, self(k.UserID))
}

// What LiteLLM holds too is a new wish; what is ours alone is none.
func TestChangeKey(t *testing.T) {
	w := newWorld(t)
	w.model("other")
	u := w.user("ada")
	w.sub(u, "open", models.SubscriptionActive)
	w.sub(u, "other", models.SubscriptionActive)
	k := w.issued(u, "open")
	for _, tc := range []struct {
		name string
		ask  models.AskedKey
		wish bool
	}{
		{"nothing", models.AskedKey{}, false},
		{"a name", models.AskedKey{Name: new(" new ")}, false},
		{"a soft budget", models.AskedKey{AskedLimits: models.AskedLimits{SoftBudget: models.Asked[models.USD]{Named: true, Value: new(models.Dollar)}}}, false},
		{"budgets of models", models.AskedKey{ModelMaxBudget: models.Asked[map[string]models.ModelBudget]{Named: true, Value: &map[string]models.ModelBudget{"open": {Limit: 5, Period: "1d"}}}}, false},
		{"the same models", models.AskedKey{Models: []string{"open", "open"}}, false},
		{"another model", models.AskedKey{Models: []string{"other", "open"}}, true},
		{"a budget", models.AskedKey{AskedLimits: models.AskedLimits{MaxBudget: models.Asked[models.USD]{Named: true, Value: new(models.Dollar)}}}, true},
		{"no budget", models.AskedKey{AskedLimits: models.AskedLimits{MaxBudget: models.Asked[models.USD]{Named: true}}}, true},
		{"requests at once", models.AskedKey{MaxParallel: models.Asked[int64]{Named: true, Value: new(int64(3))}}, true},
		{"limits of models", models.AskedKey{ModelRPM: models.Asked[map[string]int64]{Named: true, Value: &map[string]int64{"open": 5}}}, true},
		{"metadata", models.AskedKey{Metadata: models.Asked[json.RawMessage]{Named: true, Value: new(json.RawMessage(`{"a":1}`))}}, true},
		{"the same metadata", models.AskedKey{Metadata: models.Asked[json.RawMessage]{Named: true, Value: new(json.RawMessage(`{ "a": 1.0 }`))}}, false},
		{"an end", models.AskedKey{AskedLimits: models.AskedLimits{ExpiresAt: models.Asked[time.Time]{Named: true, Value: new(time.Now().Add(time.Hour))}}}, true},
		{"no end", models.AskedKey{AskedLimits: models.AskedLimits{ExpiresAt: models.Asked[time.Time]{Named: true}}}, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			now, err := w.change(k, tc.ask)
			require.NoError(t, err)
			want := k.Generation
			if tc.wish {
				want++
			}
			require.Equal(t, want, now.Generation)
			require.Equal(t, k.Alias, now.Alias)
			k = now
		})
	}
	require.Equal(t, "new", k.Name)
	require.Equal(t, []string{"open", "other"}, k.Models)
	require.Equal(t, models.AuditUserKeyUpdate, w.lastAudit(k.ID.String()).Action)

	_, err := w.change(k, models.AskedKey{Models: []string{"closed", "open"}})
	refused(t, models.Invalid, err)
	require.ErrorContains(t, err, "Cannot add models without active subscriptions: closed")
	_, err = w.change(models.Key{UserID: w.user("bob"), ID: k.ID}, models.AskedKey{})
	refused(t, models.NotFound, err)
	_, err = w.s.EndKey(t.Context(), store.KeyEnd{UserID: u, ID: k.ID}, self(u))
	require.NoError(t, err)
	_, err = w.change(k, models.AskedKey{Name: new("x")})
	refused(t, models.Conflict, err)
}

// Whoever says which models there are to be gets none of those back that were taken before; who
// only says the same again does.
func TestChangeKeyMakesCascadesForget(t *testing.T) {
	w := newWorld(t)
	w.model("other")
	u := w.user("ada")
	open := w.sub(u, "open", models.SubscriptionActive)
	w.sub(u, "other", models.SubscriptionActive)
	said, same := w.issued(u, "open", "other"), w.issued(u, "open", "other")
	_, err := w.s.RecordUsage(t.Context(), []models.Usage{{UserID: u, ModelID: "open", Requests: 10, At: time.Now()}}, machine)
	require.NoError(t, err)
	require.Equal(t, models.SubscriptionSuspended, w.read(open).Status)
	_, err = w.change(said, models.AskedKey{Models: []string{"open", "other"}})
	refused(t, models.Invalid, err)
	w.model("third")
	w.sub(u, "third", models.SubscriptionActive)
	said, err = w.change(said, models.AskedKey{Models: []string{"third"}})
	require.NoError(t, err)
	require.Equal(t, []string{"third"}, said.Models)
	_, err = w.change(same, models.AskedKey{Models: []string{"other"}, Name: new("renamed")})
	require.NoError(t, err)
	_, _, err = w.s.EditSubscription(t.Context(), u, open, store.SubscriptionEdit{QuotaRequests: new(int64(100)), Admin: true}, machine)
	require.NoError(t, err)
	w.holds(said.ID, false, "third")
	w.holds(same.ID, false, "open", "other")
}

// I1 holds for an edit too, whatever comes first.
func TestChangeKeyWhileTheSubscriptionEnds(t *testing.T) {
	w := newWorld(t)
	w.model("other")
	for i := range 20 {
		u := w.user(fmt.Sprint("user", i))
		id := w.sub(u, "open", models.SubscriptionActive)
		w.sub(u, "other", models.SubscriptionActive)
		k := w.issued(u, "other")
		errs := atOnce(2, func(i int) error {
			ctx := context.WithoutCancel(t.Context())
			if i == 1 {
				_, _, err := w.s.CancelSubscription(ctx, u, id, self(u))
				return err
			}
			_, err := w.s.ChangeKey(ctx, store.KeyEdit{UserID: u, ID: k.ID, Ask: models.AskedKey{Models: []string{"open", "other"}}}, self(u))
			return err
		})
		require.NoError(t, errs[1])
		if errs[0] != nil {
			refused(t, models.Invalid, errs[0])
		}
		now, err := w.s.Key(t.Context(), k.ID)
		require.NoError(t, err)
		require.Equal(t, []string{"other"}, now.Models)
	}
}

// A key ends once; what is deleted is no more seen, but what it used is still its own.
func TestEndKey(t *testing.T) {
	w := newWorld(t)
	u := w.user("ada")
	w.sub(u, "open", models.SubscriptionActive)
	revoked, deleted := w.issued(u, "open"), w.issued(u, "open")
	end := func(k models.Key, del bool) (models.Key, error) {
		return w.s.EndKey(t.Context(), store.KeyEnd{UserID: u, ID: k.ID, Why: "leaked", Delete: del, Admin: !del}, self(u))
	}
	k, err := end(revoked, false)
	require.NoError(t, err)
	require.EqualValues(t, 2, k.Generation)
	require.Equal(t, models.KeyRevoking, k.Status())
	require.Equal(t, []string{u.String(), "leaked"}, []string{k.RevokedBy, k.RevokedWhy})
	require.Equal(t, models.AuditAdminKeyRevoke, w.lastAudit(k.ID.String()).Action)
	_, err = end(revoked, false)
	refused(t, models.Conflict, err)
	_, err = w.s.UserKey(t.Context(), u, k.ID)
	require.NoError(t, err)
	again, err := end(revoked, true)
	require.NoError(t, err)
	require.Equal(t, k.RevokedAt, again.RevokedAt)
	require.EqualValues(t, 2, again.Generation, "LiteLLM was told")

	k, err = end(deleted, true)
	require.NoError(t, err)
	require.EqualValues(t, 2, k.Generation)
	require.Equal(t, models.AuditUserKeyDelete, w.lastAudit(k.ID.String()).Action)
	for range 2 {
		_, err = end(deleted, true)
		refused(t, models.NotFound, err)
		_, err = w.s.UserKey(t.Context(), u, k.ID)
		refused(t, models.NotFound, err)
	}
	_, err = w.s.Key(t.Context(), k.ID)
	require.NoError(t, err)
	names, total, err := w.s.KeyNames(t.Context(), []uuid.UUID{u}, 1, 10)
	require.NoError(t, err)
	require.Equal(t, 2, total)
	require.True(t, names[0].Deleted)
}

// A reset is a wish of its own, until LiteLLM was seen to follow; here it counts at once.
func TestResetKeySpend(t *testing.T) {
	w := newWorld(t)
	u := w.user("ada")
	w.sub(u, "open", models.SubscriptionActive)
	k := w.issued(u, "open")
	_, err := w.s.ObserveKey(t.Context(), models.KeyProof{ID: k.ID, Generation: 1})
	require.NoError(t, err)
	w.exec("UPDATE budgets SET spent = 5, reached = 100, held = true WHERE subject_id = $1", k.ID)
	was, err := w.s.Key(t.Context(), k.ID)
	require.NoError(t, err)
	require.EqualValues(t, 5, was.Spend)
	k, err = w.s.ResetKeySpend(t.Context(), u, k.ID, false, self(u))
	require.NoError(t, err)
	require.True(t, k.Resets())
	require.Zero(t, k.Spend)
	k, err = w.s.ObserveKey(t.Context(), models.KeyProof{ID: k.ID, Generation: 2})
	require.NoError(t, err)
	require.False(t, k.Resets())
	b, err := w.s.BudgetOf(t.Context(), models.BudgetOfKey, k.ID, "")
	require.NoError(t, err)
	require.Equal(t, []any{0, true}, []any{b.Reached, b.Due})
	require.WithinDuration(t, time.Now(), b.CountsFrom, time.Minute)
	_, err = w.s.ResetKeySpend(t.Context(), w.user("bob"), k.ID, true, machine)
	refused(t, models.NotFound, err)
}
