package store

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/litemaas/litemaas/models"
)

// QuotaTotals is what may be used in a month, and what was. What is unlimited adds nothing.
type QuotaTotals struct{ UsedRequests, LimitRequests, UsedTokens, LimitTokens int64 }

// SubscriptionStats counts a user's subscriptions, those that have ended too. Quota is that of
// the active and the suspended ones.
type SubscriptionStats struct {
	Total                int
	ByStatus, ByProvider map[string]int
	Quota                QuotaTotals
}

// SubscriptionStats counts the subscriptions of a user.
func (s *Store) SubscriptionStats(ctx context.Context, userID uuid.UUID) (SubscriptionStats, error) {
	out := SubscriptionStats{ByStatus: map[string]int{}, ByProvider: map[string]int{}}
	var rows []struct {
		Status, Provider string
		N                int
		QuotaTotals      `gorm:"embedded"`
	}
	err := s.scan(ctx, "subscriptions", &rows, `
		SELECT s.status, m.provider, count(*) AS n, sum(s.used_requests) AS used_requests, sum(s.used_tokens) AS used_tokens,
		       coalesce(sum(s.quota_requests), 0) AS limit_requests, coalesce(sum(s.quota_tokens), 0) AS limit_tokens
		FROM subscriptions s JOIN models m ON m.id = s.model_id WHERE s.user_id = ? GROUP BY s.status, m.provider`, userID)
	for _, r := range rows {
		out.Total += r.N
		out.ByStatus[r.Status] += r.N
		out.ByProvider[r.Provider] += r.N
		if r.Status == string(models.SubscriptionActive) || r.Status == string(models.SubscriptionSuspended) {
			out.Quota.UsedRequests += r.UsedRequests
			out.Quota.LimitRequests += r.LimitRequests
			out.Quota.UsedTokens += r.UsedTokens
			out.Quota.LimitTokens += r.LimitTokens
		}
	}
	return out, err
}

// ApprovalStats counts what admins decide about: pending are those that wait for one, and total
// are the pending, active and denied ones. A day is one of UTC.
type ApprovalStats struct{ Pending, ApprovedToday, DeniedToday, Total int }

// ApprovalStats counts what admins decide about. What became active without an admin was not
// approved.
func (s *Store) ApprovalStats(ctx context.Context) (ApprovalStats, error) {
	var out ApprovalStats
	err := s.scan(ctx, "subscriptions", &out, `
		SELECT (SELECT count(*) FROM subscriptions WHERE status = 'pending' AND wanted = '') AS pending,
		       (SELECT count(*) FROM subscriptions WHERE status = 'active' AND status_changed_at >= @today
		        AND status_changed_by NOT IN (user_id::text, @system)) AS approved_today,
		       (SELECT count(*) FROM subscriptions WHERE status = 'denied' AND status_changed_at >= @today) AS denied_today,
		       (SELECT count(*) FROM subscriptions WHERE status IN ('pending', 'active', 'denied')) AS total`,
		map[string]any{"today": time.Now().UTC().Truncate(24 * time.Hour), "system": models.System("").ID})
	return out, err
}

// SubscriptionHistory returns what became of a subscription, the oldest first.
func (s *Store) SubscriptionHistory(ctx context.Context, id uuid.UUID) ([]models.SubscriptionChange, error) {
	rows := []models.SubscriptionChange{}
	err := s.scan(ctx, "history", &rows, "SELECT * FROM subscription_status_history WHERE subscription_id = ? ORDER BY id", id)
	return rows, err
}
