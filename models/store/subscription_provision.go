package store

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/litemaas/litemaas/models"
)

// provisioned is a subscription that is being provisioned, with what its way depends on.
type provisioned struct {
	models.Subscription
	IsActive, UserSettled bool // the user
	Available, Restricted bool // the model
	Seen                  bool // LiteLLM was asked about the model lately
	Cascaded              bool // something was taken once that may have to be given back
}

// provisionedSQL reads it, and keeps model, user and subscription as they are until the
// transaction ends, locked in that order.
const provisionedSQL = `
	SELECT s.*, u.is_active, u.observed_generation >= u.generation AS user_settled,
	       m.availability = 'available' AND m.deleted_at IS NULL AS available, m.restricted_access AS restricted,
	       EXISTS (SELECT FROM cascade_subscriptions cs WHERE cs.subscription_id = s.id) AS cascaded,
	       m.deleted_at IS NOT NULL
	       OR EXISTS (SELECT FROM sync_runs WHERE status = 'completed' AND kind = 'full' AND NOT dry_run AND finished_at >= @since)
	       OR EXISTS (SELECT FROM sync_runs WHERE status = 'completed' AND kind = 'model' AND subject = m.id AND finished_at >= @since) AS seen
	FROM subscriptions s JOIN models m ON m.id = s.model_id JOIN users u ON u.id = s.user_id
	WHERE s.id = @id FOR SHARE OF m FOR SHARE OF u FOR NO KEY UPDATE OF s`

// ProvisionSubscription makes a subscription that is wanted active so, if all that it needs is
// there, and gives back to its owner's keys what was taken from them. What is missing is said by
// the answer: LiteLLM has to be asked about the model, of which nothing is known that is younger
// than fresh, or it has to be seen to hold the user. What cannot be is refused: it becomes
// inactive when LiteLLM does not offer the model, and waits for an admin when the model was
// restricted meanwhile. While the user is not active it stays as it is. It may be repeated.
func (s *Store) ProvisionSubscription(ctx context.Context, id uuid.UUID, fresh time.Duration, by models.Actor) (models.Provision, error) {
	var p models.Provision
	err := s.InTx(ctx, func(tx *Store) error {
		var rows []provisioned
		if err := tx.scan(ctx, "subscription", &rows, provisionedSQL, map[string]any{"id": id, "since": time.Now().Add(-fresh)}); err != nil {
			return err
		}
		if len(rows) == 0 {
			return models.Errorf(models.NotFound, "subscription not found")
		}
		now := rows[0]
		p = models.Provision{Status: now.Status, Reason: now.StatusReason, UserID: now.UserID, ModelID: now.ModelID}
		if now.Wanted == "" || !now.IsActive {
			return nil
		}
		p.StaleModel = !now.Seen
		p.UnsettledUser = !now.UserSettled
		switch {
		case p.StaleModel:
			return nil
		case !now.Available:
			p.UnsettledUser = false
			return tx.dropWish(ctx, &p, now.Subscription, models.SubscriptionInactive, "The model is not available", by)
		case now.Restricted && !now.Approved():
			p.UnsettledUser = false
			return tx.dropWish(ctx, &p, now.Subscription, models.SubscriptionPending, models.ReasonRestricted, by)
		case p.UnsettledUser:
			return nil
		default:
			return tx.activate(ctx, &p, now, by)
		}
	})
	return p, err
}

// activate makes it active, in the name of who wanted it so.
func (s *Store) activate(ctx context.Context, p *models.Provision, now provisioned, by models.Actor) error {
	m := move{step: models.StepProvision, to: models.SubscriptionActive, reason: now.WantedReason, by: by, doer: now.WantedBy}
	if now.Approved() {
		m.set = "denied_at = NULL, denied_by = '', denied_reason = ''"
	}
	rows, err := s.move(ctx, m, now.ID)
	if err != nil {
		return err
	}
	p.Status, p.Reason = models.SubscriptionActive, now.WantedReason
	if !now.Cascaded && !now.Exceeded() {
		return nil
	}
	cascades, err := s.settleActive(ctx, rows, by)
	if err != nil {
		return err
	}
	for _, c := range cascades {
		p.Cascades = append(p.Cascades, c.ID)
	}
	sub, err := s.Subscription(ctx, now.ID)
	p.Status, p.Reason = sub.Status, sub.StatusReason
	return err
}

// dropWish is the end of what was wanted. A subscription that stays pending waits for an admin from now on.
func (s *Store) dropWish(ctx context.Context, p *models.Provision, sub models.Subscription, to models.SubscriptionStatus, why string, by models.Actor) error {
	m := move{step: models.StepRefuse, to: to, reason: why, by: by}
	if to == models.SubscriptionPending {
		m.set, m.quiet = "requested_at = now(), reminded_at = NULL", true
		news := announcement(models.SubscriptionRequested, sub.ID, sub.UserID, map[string]any{"modelId": sub.ModelID})
		if err := s.announce(ctx, news); err != nil {
			return err
		}
	}
	p.Status, p.Reason = to, why
	return s.moveOne(ctx, m, sub.ID)
}

// RefuseSubscription drops the wish for a subscription that cannot become active, and says why,
// in words: it is inactive then. For one that is not wanted active it does nothing.
func (s *Store) RefuseSubscription(ctx context.Context, id uuid.UUID, why string, by models.Actor) (models.Subscription, error) {
	var sub models.Subscription
	err := s.InTx(ctx, func(tx *Store) error {
		var err error
		if sub, err = tx.lockedSubscription(ctx, "s.id = ?", id); err != nil || sub.Wanted == "" {
			return err
		}
		if err := tx.dropWish(ctx, &models.Provision{}, sub, models.SubscriptionInactive, why, by); err != nil {
			return err
		}
		sub, err = tx.Subscription(ctx, id)
		return err
	})
	return sub, err
}

// UnprovisionedSubscriptions returns up to limit subscriptions that have been wanted active for
// at least age, the longest waiting first. Those of users who are not active wait for them.
func (s *Store) UnprovisionedSubscriptions(ctx context.Context, age time.Duration, limit int) ([]uuid.UUID, error) {
	ids := []uuid.UUID{}
	err := s.scan(ctx, "subscriptions", &ids, `
		SELECT s.id FROM subscriptions s JOIN users u ON u.id = s.user_id AND u.is_active
		WHERE s.wanted <> '' AND s.wanted_at <= ? ORDER BY s.wanted_at, s.id LIMIT ?`, time.Now().Add(-age), limit)
	return ids, err
}
