package store

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/litemaas/litemaas/models"
)

// ApproveSubscription records an admin's approval of a subscription that waits for one: it is
// wanted active, for ProvisionSubscription to make it so. It is Forbidden for the owner himself,
// and Conflict when it does not wait, when another admin decided since d.SeenAt, or when LiteLLM
// does not offer the model.
func (s *Store) ApproveSubscription(ctx context.Context, id uuid.UUID, d models.Ruling, by models.Actor) (models.Subscription, error) {
	var sub models.Subscription
	err := s.InTx(ctx, func(tx *Store) error {
		var err error
		if sub, err = tx.ruledOn(ctx, id, d, by); err != nil {
			return err
		}
		if !sub.Waiting() {
			return tx.decided(ctx, sub, "only a pending subscription is approved")
		}
		if err := tx.want(ctx, sub, d, by); err != nil {
			return err
		}
		sub, err = tx.Subscription(ctx, id)
		return err
	})
	return sub, err
}

// want records that an admin wants a pending subscription active.
func (s *Store) want(ctx context.Context, sub models.Subscription, d models.Ruling, by models.Actor) error {
	d.Reason = text(d.Reason, maxReason)
	if err := s.offered(ctx, sub.ModelID); err != nil {
		return err
	}
	err := s.exec(ctx, "subscription", `
		UPDATE subscriptions SET wanted = 'active', wanted_at = clock_timestamp(), wanted_by = ?, wanted_reason = ?, updated_at = now()
		WHERE id = ?`, by.ID, d.Reason, sub.ID)
	if err != nil {
		return err
	}
	return s.Audit(ctx, by, models.Event{
		Action: models.StepApprove.Action(), ResourceType: models.AuditOfSubscription, ResourceID: sub.ID.String(),
		Detail: map[string]any{"userId": sub.UserID, "modelId": sub.ModelID, "reason": d.Reason},
		Before: map[string]any{"status": sub.Status}, After: map[string]any{"status": sub.Status, "wanted": models.SubscriptionActive},
	})
}

// offered is Conflict for a model that LiteLLM does not offer.
func (s *Store) offered(ctx context.Context, modelID string) error {
	var n int
	err := s.scan(ctx, "model", &n, "SELECT count(*) FROM models WHERE id = ? AND availability = 'available' AND deleted_at IS NULL", modelID)
	if err == nil && n == 0 {
		return models.Errorf(models.Conflict, "model %s is not available now", modelID)
	}
	return err
}

// DenySubscription denies a subscription that is pending or active, for a reason: it ends, and
// the denial stands until an admin approves. The kinds are those of ApproveSubscription, and
// Invalid without a reason.
func (s *Store) DenySubscription(ctx context.Context, id uuid.UUID, d models.Ruling, by models.Actor) (models.Subscription, models.Cascade, error) {
	var sub models.Subscription
	var c models.Cascade
	if d.Reason == "" {
		return sub, c, models.Errorf(models.Invalid, "a denial needs a reason").On("reason")
	}
	err := s.InTx(ctx, func(tx *Store) error {
		var err error
		if sub, err = tx.ruledOn(ctx, id, d, by); err != nil {
			return err
		}
		if !models.StepDeny.Leads(sub.Status, models.SubscriptionDenied) {
			return tx.decided(ctx, sub, "only a pending or active subscription is denied")
		}
		if c, err = tx.end(ctx, models.CauseDenied, denial(models.StepDeny, d, by), sub); err != nil {
			return err
		}
		sub, err = tx.Subscription(ctx, id)
		return err
	})
	return sub, c, err
}

// denial is the move into a denial that stands.
func denial(step models.SubscriptionStep, d models.Ruling, by models.Actor) move {
	return move{
		step: step, to: models.SubscriptionDenied, reason: d.Reason, by: by,
		set: "denied_at = clock_timestamp(), denied_by = @doer, denied_reason = @reason",
	}
}

// RevertSubscription takes a decision back: a subscription that is active, denied or pending
// becomes another of the three. What becomes active again is wanted so, for
// ProvisionSubscription; and with a denial that is taken back, the denial ends. The kinds are
// those of ApproveSubscription, and Invalid when it is there already, or for another status.
func (s *Store) RevertSubscription(ctx context.Context, id uuid.UUID, to models.SubscriptionStatus, d models.Ruling, by models.Actor) (models.Subscription, models.Cascade, error) {
	var sub models.Subscription
	var c models.Cascade
	if !slices.Contains(models.StepRevert.Sources(), to) {
		return sub, c, models.Errorf(models.Invalid, "a decision is taken back to active, denied or pending").On("newStatus")
	}
	err := s.InTx(ctx, func(tx *Store) error {
		var err error
		if sub, err = tx.ruledOn(ctx, id, d, by); err != nil {
			return err
		}
		switch {
		case sub.Status == to:
			return models.Errorf(models.Invalid, "the subscription is %s already", to).On("newStatus")
		case !models.StepRevert.Leads(sub.Status, to):
			return tx.decided(ctx, sub, "a decision is taken back for an active, denied or pending subscription only")
		}
		if c, err = tx.revert(ctx, sub, to, d, by); err != nil {
			return err
		}
		sub, err = tx.Subscription(ctx, id)
		return err
	})
	return sub, c, err
}

// revert does what was judged.
func (s *Store) revert(ctx context.Context, sub models.Subscription, to models.SubscriptionStatus, d models.Ruling, by models.Actor) (models.Cascade, error) {
	again := move{
		step: models.StepRevert, to: models.SubscriptionPending, reason: d.Reason, by: by,
		set: "denied_at = NULL, denied_by = '', denied_reason = '', requested_at = now(), reminded_at = NULL",
	}
	switch {
	case to == models.SubscriptionDenied:
		return s.end(ctx, models.CauseReverted, denial(models.StepRevert, d, by), sub)
	case to == models.SubscriptionPending && sub.Status == models.SubscriptionActive:
		return s.end(ctx, models.CauseReverted, again, sub)
	case to == models.SubscriptionPending:
		return models.Cascade{}, s.moveOne(ctx, again, sub.ID)
	case sub.Status == models.SubscriptionPending && sub.Wanted != "":
		return models.Cascade{}, s.decided(ctx, sub, "the subscription is becoming active already")
	case sub.Status == models.SubscriptionPending:
		return models.Cascade{}, s.want(ctx, sub, d, by)
	default: // a denial becomes an approval
		if err := s.offered(ctx, sub.ModelID); err != nil {
			return models.Cascade{}, err
		}
		again.wish, again.set = models.SubscriptionActive, "requested_at = now(), reminded_at = NULL"
		return models.Cascade{}, s.moveOne(ctx, again, sub.ID)
	}
}

// DeleteSubscription takes a subscription away, with its history; the audit log keeps what it
// was. Its owner may ask for the model anew. It is Forbidden for the owner himself.
func (s *Store) DeleteSubscription(ctx context.Context, id uuid.UUID, reason string, by models.Actor) (models.Cascade, error) {
	var c models.Cascade
	reason = text(reason, maxReason)
	err := s.InTx(ctx, func(tx *Store) error {
		sub, err := tx.ruledOn(ctx, id, models.Ruling{}, by)
		if err != nil {
			return err
		}
		if err := tx.exec(ctx, "subscription", "DELETE FROM subscriptions WHERE id = ?", id); err != nil {
			return err
		}
		gone := moved{ID: id, UserID: sub.UserID, ModelID: sub.ModelID, Old: sub.Status, New: "deleted", At: time.Now()}
		m := move{reason: reason, by: by, action: models.AuditSubscriptionDelete, cascade: uuid.New()}
		if c, err = tx.take(ctx, cascadeOf(models.CauseDeleted, m, gone), []moved{gone}); err != nil {
			return err
		}
		err = tx.announce(ctx, announcement(models.SubscriptionEnded, id, sub.UserID, map[string]any{
			"modelId": sub.ModelID, "status": gone.New, "oldStatus": gone.Old, "reason": reason,
		}))
		if err != nil {
			return err
		}
		return tx.Audit(ctx, by, models.Event{
			Action: m.action, ResourceType: models.AuditOfSubscription, ResourceID: id.String(),
			Detail: map[string]any{"userId": sub.UserID, "modelId": sub.ModelID, "reason": reason, "cascadeId": c.ID},
			Before: map[string]any{
				"status": sub.Status, "statusReason": sub.StatusReason, "deniedAt": sub.DeniedAt, "quotaRequests": sub.QuotaRequests,
				"quotaTokens": sub.QuotaTokens, "usedRequests": sub.UsedRequests, "usedTokens": sub.UsedTokens, "expiresAt": sub.ExpiresAt,
			},
		})
	})
	return c, err
}

// ruledOn returns a subscription, locked, that an admin is about to decide about. It is Conflict
// when another admin decided after d.SeenAt, or while this one waited for his turn.
func (s *Store) ruledOn(ctx context.Context, id uuid.UUID, d models.Ruling, by models.Actor) (models.Subscription, error) {
	seen, err := s.Subscription(ctx, id)
	if err != nil {
		return seen, err
	}
	sub, err := s.lockedSubscription(ctx, "s.id = ?", id)
	if err != nil {
		return sub, err
	}
	if sub.UserID.String() == by.ID {
		return sub, models.Errorf(models.Forbidden, "nobody decides about a subscription of his own")
	}
	last, before := lastRuling(sub), lastRuling(seen)
	late := !last.at.Equal(before.at) || !d.SeenAt.IsZero() && last.at.After(d.SeenAt)
	if last.by != "" && last.by != by.ID && late {
		return sub, s.decided(ctx, sub, "the subscription was decided about meanwhile")
	}
	return sub, nil
}

// ruling is what was last decided about a subscription.
type ruling struct {
	by   string // an admin
	what string
	at   time.Time
}

// lastRuling is the last decision that an admin took; none has no by.
func lastRuling(sub models.Subscription) ruling {
	r := ruling{by: sub.StatusChangedBy, what: "made it " + string(sub.Status), at: sub.StatusChangedAt}
	if sub.Wanted != "" && sub.WantedAt != nil {
		r = ruling{by: sub.WantedBy, what: "approved it", at: *sub.WantedAt}
	}
	if r.by == sub.UserID.String() || r.by == models.System("").ID {
		r.by = ""
	}
	return r
}

// decided is the Conflict of a decision that comes too late or is none: it says who decided
// what, and when.
func (s *Store) decided(ctx context.Context, sub models.Subscription, why string) error {
	last := lastRuling(sub)
	if last.by == "" && sub.Wanted != "" {
		return models.Errorf(models.Conflict, "%s: it is about to be active, without a decision", why)
	}
	if last.by == "" {
		return models.Errorf(models.Conflict, "%s: it is %s since %s", why, sub.Status, clock(sub.StatusChangedAt))
	}
	var name string
	err := s.scan(ctx, "user", &name, "SELECT username FROM users WHERE id::text = ?", last.by)
	if err != nil {
		return err
	}
	return models.Errorf(models.Conflict, "%s: %s %s at %s", why, cmp.Or(name, last.by), last.what, clock(last.at))
}

// clock is a time in words.
func clock(at time.Time) string { return at.UTC().Format("2006-01-02 15:04:05 MST") }
