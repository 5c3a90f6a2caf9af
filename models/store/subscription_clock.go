package store

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/litemaas/litemaas/models"
)

// ExpireSubscriptions ends up to limit subscriptions whose time is over. It returns how many,
// and the cascades on which LiteLLM has to follow.
func (s *Store) ExpireSubscriptions(ctx context.Context, limit int, by models.Actor) (n int, follow []models.Cascade, err error) {
	m := move{step: models.StepExpire, to: models.SubscriptionExpired, reason: "The time of the subscription is over", by: by}
	return s.endDue(ctx, models.CauseExpired, m, `s.status IN ('active', 'suspended', 'pending') AND s.expires_at <= now() AND s.id IN (
		SELECT id FROM subscriptions WHERE status IN ('active', 'suspended', 'pending') AND expires_at <= now() ORDER BY expires_at LIMIT ?)`, limit)
}

// LapseRequests ends up to limit requests for which an admin has not decided for that long. It
// returns how many.
func (s *Store) LapseRequests(ctx context.Context, after time.Duration, limit int, by models.Actor) (int, error) {
	since := time.Now().Add(-after)
	m := move{
		step: models.StepLapse, to: models.SubscriptionInactive, by: by,
		reason: fmt.Sprintf("No decision was made in %d days", int(after.Hours()/24)),
	}
	n, _, err := s.endDue(ctx, models.CauseLapsed, m, `s.status = 'pending' AND s.wanted = '' AND s.requested_at <= ? AND s.id IN (
		SELECT id FROM subscriptions WHERE status = 'pending' AND wanted = '' AND requested_at <= ? ORDER BY requested_at LIMIT ?)`, since, since, limit)
	return n, err
}

// endDue ends the subscriptions s that a condition selects, as one cascade.
func (s *Store) endDue(ctx context.Context, cause models.CascadeCause, m move, where string, args ...any) (n int, follow []models.Cascade, err error) {
	err = s.InTx(ctx, func(tx *Store) error {
		ids, err := tx.lockedIDs(ctx, where, args...)
		if n = len(ids); err != nil || n == 0 {
			return err
		}
		c, err := tx.cascade(ctx, cause, m, ids...)
		if err == nil && !c.Settled() {
			follow = append(follow, c)
		}
		return err
	})
	return n, follow, err
}

// RemindApprovers reminds approvers, once, of up to limit requests that have waited for that
// long. It returns of how many.
func (s *Store) RemindApprovers(ctx context.Context, after time.Duration, limit int) (int, error) {
	return s.notify(ctx, models.SubscriptionReminder, `
		UPDATE subscriptions s SET reminded_at = now() WHERE s.id IN (
			SELECT id FROM subscriptions WHERE status = 'pending' AND wanted = '' AND requested_at <= ? AND reminded_at IS NULL
			ORDER BY requested_at LIMIT ? FOR NO KEY UPDATE SKIP LOCKED)`, time.Now().Add(-after), limit)
}

// noticeDays are how long before a subscription expires its owner is told.
var noticeDays = []int{1, 7, 30}

// NoticeExpiry tells the owners of up to limit subscriptions that these will expire: once each
// when it is 30, 7 and 1 days ahead. Who is told of the nearer is not told of the farther any
// more. It returns of how many.
func (s *Store) NoticeExpiry(ctx context.Context, limit int) (n int, err error) {
	for _, days := range noticeDays {
		for _, last := range []*int{nil, new(7), new(30)} {
			if last != nil && *last <= days || n >= limit {
				continue
			}
			told, err := s.notify(ctx, models.SubscriptionExpires, `
				UPDATE subscriptions s SET noticed_days = ? WHERE s.id IN (
					SELECT id FROM subscriptions
					WHERE status IN ('active', 'suspended') AND expires_at > now() AND expires_at <= now() + make_interval(days => ?) AND noticed_days IS NOT DISTINCT FROM ?
					ORDER BY expires_at LIMIT ? FOR NO KEY UPDATE SKIP LOCKED)`, days, days, last, limit-n)
			if n += told; err != nil {
				return n, err
			}
		}
	}
	return n, nil
}

// notify runs an update of subscriptions s, and announces it for each. It returns for how many.
func (s *Store) notify(ctx context.Context, kind, update string, args ...any) (int, error) {
	n := 0
	err := s.InTx(ctx, func(tx *Store) error {
		var rows []struct {
			ID, UserID  uuid.UUID
			ModelID     string
			RequestedAt time.Time
			ExpiresAt   *time.Time
			NoticedDays *int
		}
		err := tx.scan(ctx, "subscriptions", &rows, update+" RETURNING s.id, s.user_id, s.model_id, s.requested_at, s.expires_at, s.noticed_days", args...)
		if n = len(rows); err != nil || n == 0 {
			return err
		}
		news := make([]models.Announcement, n)
		for i, r := range rows {
			data := map[string]any{"modelId": r.ModelID, "requestedAt": r.RequestedAt}
			if kind == models.SubscriptionExpires {
				data = map[string]any{"modelId": r.ModelID, "expiresAt": r.ExpiresAt, "days": r.NoticedDays}
			}
			news[i] = announcement(kind, r.ID, r.UserID, data)
		}
		return tx.announce(ctx, news...)
	})
	return n, err
}
