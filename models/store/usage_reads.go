package store

import (
	"context"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/litemaas/litemaas/models"
)

// UsageQuery selects usage from the sums of the ledger. Empty fields do not narrow.
type UsageQuery struct {
	models.UsageRange
	UserID         *uuid.UUID // nil: everybody's
	ModelID        string
	SubscriptionID uuid.UUID
	APIKeyID       uuid.UUID
}

// where is the condition, of rows that have their time in that column, with its named arguments.
func (q UsageQuery) where(column string) (string, map[string]any) {
	conds := []string{column + " >= @from", column + " < @until"}
	args := map[string]any{"from": q.From, "until": q.Until}
	add := func(use bool, cond, name string, value any) {
		if use {
			conds, args[name] = append(conds, cond), value
		}
	}
	add(q.UserID != nil, "user_id = @user", "user", q.UserID)
	add(q.ModelID != "", "model_id = @model", "model", q.ModelID)
	add(q.SubscriptionID != uuid.Nil, "subscription_id = @subscription", "subscription", q.SubscriptionID)
	add(q.APIKeyID != uuid.Nil, "api_key_id = @key", "key", q.APIKeyID)
	return strings.Join(conds, " AND "), args
}

// table is where the sums are that answer the query.
func (q UsageQuery) table(by models.UsageUnit) string {
	switch {
	case q.UserID == nil && q.SubscriptionID == uuid.Nil && q.APIKeyID == uuid.Nil:
		return "usage_totals"
	case by == models.UsageHour || !q.OfDays():
		return "usage_hours"
	}
	return "usage_days"
}

// usageSumsSQL adds up rows of sums: models.UsageSums.
const usageSumsSQL = `sum(requests)::bigint AS requests, sum(failed)::bigint AS failed, sum(prompt_tokens)::bigint AS prompt_tokens,
	sum(completion_tokens)::bigint AS completion_tokens, sum(cost)::bigint AS cost, sum(latency_ms)::bigint AS latency_ms`

// UsageByModel returns how much of each model was used, what was called most first.
func (s *Store) UsageByModel(ctx context.Context, q UsageQuery) ([]models.ModelUsage, error) {
	where, args := q.where("bucket")
	rows := []models.ModelUsage{}
	err := s.scan(ctx, "usage", &rows, "SELECT model_id, max(provider) AS provider, "+usageSumsSQL+" FROM "+q.table(models.UsageDay)+
		" WHERE "+where+` GROUP BY model_id ORDER BY requests DESC, model_id COLLATE "C"`, args)
	return rows, err
}

// UsageCompared is UsageByModel, with how much was used in the range of the same length before.
func (s *Store) UsageCompared(ctx context.Context, q UsageQuery) (now []models.ModelUsage, before models.UsageSums, err error) {
	both := q
	both.From = q.Before().From
	where, args := both.where("bucket")
	args["since"] = q.From
	var rows []struct {
		Earlier bool
		models.ModelUsage
	}
	err = s.scan(ctx, "usage", &rows, "SELECT bucket < @since AS earlier, model_id, max(provider) AS provider, "+usageSumsSQL+
		" FROM "+q.table(models.UsageDay)+" WHERE "+where+` GROUP BY earlier, model_id ORDER BY requests DESC, model_id COLLATE "C"`, args)
	now = []models.ModelUsage{}
	for _, r := range rows {
		if r.Earlier {
			before.Add(r.UsageSums)
		} else {
			now = append(now, r.ModelUsage)
		}
	}
	return now, before, err
}

// UsageByPeriod returns how much was used in each unit of the range, in order and without gaps.
func (s *Store) UsageByPeriod(ctx context.Context, q UsageQuery, by models.UsageUnit) ([]models.PeriodUsage, error) {
	where, args := q.where("bucket")
	args["unit"] = by
	var rows []models.PeriodUsage
	err := s.scan(ctx, "usage", &rows, "SELECT date_trunc(@unit, bucket, 'UTC') AS starts_at, "+usageSumsSQL+" FROM "+q.table(by)+
		" WHERE "+where+" GROUP BY starts_at ORDER BY starts_at", args)
	if err != nil {
		return nil, err
	}
	return q.Fill(rows, by), nil
}

// UsageByHour returns how many requests were made in each hour of the day, in UTC.
func (s *Store) UsageByHour(ctx context.Context, q UsageQuery) ([24]int64, error) {
	where, args := q.where("bucket")
	var out [24]int64
	var rows []struct {
		Hour     int
		Requests int64
	}
	err := s.scan(ctx, "usage", &rows, "SELECT date_part('hour', bucket AT TIME ZONE 'UTC')::int AS hour, sum(requests)::bigint AS requests FROM "+
		q.table(models.UsageHour)+" WHERE "+where+" GROUP BY hour", args)
	for _, r := range rows {
		out[r.Hour] = r.Requests
	}
	return out, err
}

// QuotaUse adds up the quotas of a user's active and suspended subscriptions.
func (s *Store) QuotaUse(ctx context.Context, userID uuid.UUID) (models.QuotaUse, error) {
	var out models.QuotaUse
	err := s.scan(ctx, "subscriptions", &out, `
		SELECT coalesce(sum(used_requests) FILTER (WHERE quota_requests > 0 AND reset_at > @now), 0)::bigint AS used_requests,
		       coalesce(sum(quota_requests), 0)::bigint AS limit_requests,
		       coalesce(sum(used_tokens) FILTER (WHERE quota_tokens > 0 AND reset_at > @now), 0)::bigint AS used_tokens,
		       coalesce(sum(quota_tokens), 0)::bigint AS limit_tokens
		FROM subscriptions WHERE user_id = @user AND status IN ('active', 'suspended')`,
		map[string]any{"user": userID, "now": time.Now()})
	return out, err
}
