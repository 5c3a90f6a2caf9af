package store

import (
	"context"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/litemaas/litemaas/models"
)

// SubscriptionEdit changes a subscription; nil leaves a field as it is.
type SubscriptionEdit struct {
	QuotaRequests, QuotaTokens *int64      // zero, for an admin: unlimited
	ExpiresAt                  **time.Time // to nil: never
	Admin                      bool        // may raise beyond the bounds of an owner, and lift a quota hold by it
}

// EditSubscription changes a subscription of that user; an admin, anybody's. Its quotas hold at
// once: it is suspended when more is used already, and active again when an admin raises what
// it was suspended for. It returns the cascade that keys have to follow, zero if there is none.
// It is NotFound if it is not his, Conflict when it has ended or was denied, Invalid for what is
// out of bounds, and Forbidden for an owner who would raise the quota that he has used up.
func (s *Store) EditSubscription(ctx context.Context, userID, id uuid.UUID, e SubscriptionEdit, by models.Actor) (models.Subscription, models.Cascade, error) {
	var sub models.Subscription
	var c models.Cascade
	err := s.InTx(ctx, func(tx *Store) error {
		was, err := tx.lockedSubscription(ctx, "s.id = ? AND (s.user_id = ? OR ?)", id, userID, e.Admin)
		if sub = was; err != nil {
			return err
		}
		if err := e.apply(&sub); err != nil || !changed(was, sub) {
			return err
		}
		if err := tx.writeEdit(ctx, was, sub, by); err != nil {
			return err
		}
		var over, under []uuid.UUID
		if sub.Exceeded() {
			over = append(over, id)
		} else if slices.Contains(sub.Holds, models.HoldQuota) {
			under = append(under, id)
		}
		if c, err = largest(tx.judgeQuotas(ctx, over, under, reasonRaised, by)); err != nil {
			return err
		}
		sub, err = tx.Subscription(ctx, id)
		return err
	})
	return sub, c, err
}

// apply changes a subscription as far as it may be.
func (e SubscriptionEdit) apply(sub *models.Subscription) error {
	switch sub.Status {
	case models.SubscriptionPending, models.SubscriptionActive, models.SubscriptionSuspended:
	default:
		return models.Errorf(models.Conflict, "the subscription cannot be changed: it is %s", sub.Status)
	}
	held := slices.Contains(sub.Holds, models.HoldQuota)
	for _, q := range []struct {
		field string
		to    *int64
		quota **int64
		most  int64
	}{
		{"quotaRequests", e.QuotaRequests, &sub.QuotaRequests, models.MaxQuotaRequests},
		{"quotaTokens", e.QuotaTokens, &sub.QuotaTokens, models.MaxQuotaTokens},
	} {
		if q.to == nil {
			continue
		}
		if e.Admin && *q.to == 0 {
			*q.quota = nil
			continue
		}
		if err := checkQuota(q.field, q.to, q.most, e.Admin); err != nil {
			return err
		}
		if !e.Admin && held && *q.quota != nil && *q.to > **q.quota {
			return models.Errorf(models.Forbidden, "the quota is used up: only an admin raises it before it counts from zero again").On(q.field)
		}
		*q.quota = q.to
	}
	if e.ExpiresAt != nil {
		if err := checkExpiry(*e.ExpiresAt); err != nil {
			return err
		}
		sub.ExpiresAt = *e.ExpiresAt
	}
	return nil
}

// changed reports whether an edit changes anything.
func changed(was, now models.Subscription) bool {
	return !same(was.QuotaRequests, now.QuotaRequests) || !same(was.QuotaTokens, now.QuotaTokens) || expiry(was) != expiry(now)
}

func same(a, b *int64) bool { return a == b || a != nil && b != nil && *a == *b }

// expiry is when a subscription ends, to compare it.
func expiry(sub models.Subscription) int64 {
	if sub.ExpiresAt == nil {
		return 0
	}
	return sub.ExpiresAt.UnixMicro()
}

// writeEdit stores an edit. With another time of expiry, its notices are sent anew.
func (s *Store) writeEdit(ctx context.Context, was, now models.Subscription, by models.Actor) error {
	err := s.exec(ctx, "subscription", `
		UPDATE subscriptions SET quota_requests = ?, quota_tokens = ?, expires_at = ?, updated_at = now(),
		       noticed_days = CASE WHEN expires_at IS NOT DISTINCT FROM ? THEN noticed_days END
		WHERE id = ?`, now.QuotaRequests, now.QuotaTokens, now.ExpiresAt, now.ExpiresAt, now.ID)
	if err != nil {
		return err
	}
	fields := func(sub models.Subscription) map[string]any {
		return map[string]any{"quotaRequests": sub.QuotaRequests, "quotaTokens": sub.QuotaTokens, "expiresAt": sub.ExpiresAt}
	}
	return s.Audit(ctx, by, models.Event{
		Action: models.AuditSubscriptionUpdate, ResourceType: models.AuditOfSubscription, ResourceID: now.ID.String(),
		Detail: map[string]any{"userId": now.UserID, "modelId": now.ModelID}, Before: fields(was), After: fields(now),
	})
}
