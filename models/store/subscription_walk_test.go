package store_test

import (
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
)

// walk is somebody who does things at random.
type walk struct {
	world
	rand  *rand.Rand
	users []uuid.UUID
	llms  []string
	keys  []uuid.UUID // two of each user, in their order
	by    models.Actor
}

// Many who do everything at once and at random, some hundreds of steps: nothing is refused save
// by a rule, nothing waits for itself in a circle, and at the end what must always hold does.
func TestSubscriptionsAtRandom(t *testing.T) {
	w := newWorld(t)
	all := walk{world: w, llms: []string{"open", "closed", "third"}}
	w.model("third")
	for i := range 6 {
		u := w.user(fmt.Sprintf("user %d", i))
		all.users = append(all.users, u)
		all.keys = append(all.keys, w.key(u), w.key(u))
	}
	until := time.Now().Add(4 * time.Second)
	for _, err := range atOnce(8, func(i int) error {
		me := all
		me.rand, me.by = rand.New(rand.NewPCG(7, uint64(i))), models.Actor{ID: fmt.Sprintf("admin %d", i), Via: "test"}
		for n := range 100 {
			err := me.step()
			var e *models.Error
			switch {
			case time.Now().After(until):
				return nil
			case err != nil && (!errors.As(err, &e) || e.Kind == models.Unavailable || e.Kind == models.Internal):
				return fmt.Errorf("step %d of %d: %w", n, i, err)
			}
		}
		return nil
	}) {
		require.NoError(t, err)
	}
	w.sound()
	_, err := w.s.CascadeVanished(t.Context(), 10)
	require.NoError(t, err)
	_, err = w.s.RestoreReturned(t.Context(), 10)
	require.NoError(t, err)
	w.sound()
	for what, query := range map[string]string{
		"active, though LiteLLM does not offer the model": "SELECT count(*) FROM subscriptions s JOIN models m ON m.id = s.model_id WHERE s.status IN ('active', 'suspended') AND m.availability <> 'available'",
		"active, though its owner is not":                 "SELECT count(*) FROM subscriptions s JOIN users u ON u.id = s.user_id WHERE s.status = 'active' AND NOT u.is_active",
		"held for an owner who is active":                 "SELECT count(*) FROM subscriptions s JOIN users u ON u.id = s.user_id WHERE jsonb_exists(s.holds, 'offboarded') AND u.is_active",
		"a key that is held for an owner who is active":   "SELECT count(*) FROM api_keys k JOIN users u ON u.id = k.user_id WHERE jsonb_exists(k.holds, 'offboarded') = u.is_active",
		"active beyond its quota":                         "SELECT count(*) FROM subscriptions WHERE status = 'active' AND (used_requests >= quota_requests OR used_tokens >= quota_tokens)",
		"active in spite of a denial":                     "SELECT count(*) FROM subscriptions WHERE status = 'active' AND denied_at IS NOT NULL",
		"a cascade without a trace":                       "SELECT count(*) FROM cascades c WHERE NOT EXISTS (SELECT FROM cascade_subscriptions WHERE cascade_id = c.id) AND NOT EXISTS (SELECT FROM cascade_keys WHERE cascade_id = c.id)",
	} {
		require.Zero(t, counted(t, w.db, query), what)
	}
	require.Greater(t, counted(t, w.db, "SELECT count(*) FROM subscription_status_history"), 100)
	report, err := w.s.VerifyAudit(t.Context(), models.AuditMark{})
	require.NoError(t, err)
	require.Empty(t, report.Breaks)
}

// step does one thing.
func (w walk) step() error {
	ctx := w.t.Context()
	n := w.rand.IntN(len(w.users))
	u, llm := w.users[n], w.llms[w.rand.IntN(len(w.llms))]
	page, _, err := w.s.Subscriptions(ctx, store.SubscriptionQuery{UserID: u, ModelID: llm, Page: 1, Limit: 1})
	if err != nil {
		return err
	}
	id, d, op := uuid.Nil, models.Ruling{Reason: "because", SeenAt: time.Now()}, w.rand.IntN(22)
	if len(page) > 0 {
		id = page[0].ID
	} else if op < 9 || op > 15 {
		_, err := w.s.RequestSubscription(ctx, store.NewSubscription{UserID: u, ModelID: llm, QuotaRequests: new(int64(20))}, self(u))
		return err
	}
	switch op {
	case 0, 1, 2, 3:
		_, err = w.s.ProvisionSubscription(ctx, id, fresh, machine)
	case 4:
		_, _, err = w.s.CancelSubscription(ctx, u, id, self(u))
	case 5, 6:
		if _, err = w.s.ApproveSubscription(ctx, id, d, w.by); err == nil {
			_, err = w.s.ProvisionSubscription(ctx, id, fresh, machine)
		}
	case 7:
		_, _, err = w.s.DenySubscription(ctx, id, d, w.by)
	case 8:
		to := []models.SubscriptionStatus{"active", "pending", "denied"}[w.rand.IntN(3)]
		_, _, err = w.s.RevertSubscription(ctx, id, to, d, w.by)
	case 9:
		_, err = w.s.EditLLM(ctx, llm, store.LLMEdit{RestrictedAccess: new(w.rand.IntN(3) == 0)}, w.by)
	case 10:
		if _, err = w.db.ExecContext(ctx, "UPDATE models SET availability = $1 WHERE id = $2", []string{"available", "available", "unavailable"}[w.rand.IntN(3)], llm); err == nil {
			_, err = w.s.CascadeVanished(ctx, 5)
		}
	case 11:
		_, err = w.s.RestoreReturned(ctx, 5)
	case 12:
		if w.rand.IntN(2) == 0 {
			return nil
		}
		_, err = w.s.DeactivateUser(ctx, u, models.HoldAdmin, "left", w.by)
	case 13, 18:
		_, err = w.s.ReinstateUser(ctx, u, models.HoldAdmin, "back", w.by)
	case 14:
		_, err = w.s.RecordUsage(ctx, w.usage(), machine)
	case 15:
		_, _, err = w.s.ResetUserQuotas(ctx, nil, w.by)
	case 16:
		_, _, err = w.s.EditSubscription(ctx, u, id, store.SubscriptionEdit{QuotaRequests: new(1 + w.rand.Int64N(20)), Admin: true}, w.by)
	case 17:
		if w.rand.IntN(4) == 0 {
			_, err = w.s.DeleteSubscription(ctx, id, "because", w.by)
		} else {
			_, err = w.s.ReviewSubscription(ctx, u, id, self(u))
		}
	case 19, 20:
		_, err = w.db.ExecContext(ctx, "UPDATE users SET observed_generation = generation WHERE id = $1", u)
	default:
		err = w.put(u, llm, w.keys[2*n+w.rand.IntN(2)])
	}
	return err
}

// usage is a batch of everybody's.
func (w walk) usage() []models.Usage {
	var batch []models.Usage
	for _, i := range w.rand.Perm(len(w.users)) {
		batch = append(batch, models.Usage{UserID: w.users[i], ModelID: w.llms[w.rand.IntN(len(w.llms))], Requests: w.rand.Int64N(5), At: time.Now()})
	}
	return batch
}

// put puts a model on a key, as its owner may: while he has an active subscription to it.
func (w walk) put(u uuid.UUID, llm string, key uuid.UUID) error {
	tx, err := w.db.BeginTx(w.t.Context(), nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	var one int
	err = tx.QueryRow("SELECT 1 FROM subscriptions WHERE user_id = $1 AND model_id = $2 AND status = 'active' FOR SHARE", u, llm).Scan(&one)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	if _, err := tx.Exec("UPDATE api_keys SET generation = generation + 1 WHERE id = $1", key); err != nil {
		return err
	}
	if _, err := tx.Exec("INSERT INTO api_key_models VALUES ($1, $2) ON CONFLICT DO NOTHING", key, llm); err != nil {
		return err
	}
	return tx.Commit()
}
