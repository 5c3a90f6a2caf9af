package store

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/litemaas/litemaas/models"
)

// sumSQL adds the entries in usage_new to the sums of hours and days, and to those of everybody.
var sumSQL = `
	WITH hours AS MATERIALIZED (
		SELECT date_trunc('hour', at, 'UTC') AS bucket, user_id, team_id, api_key_id, (array_agg(subscription_id))[1] AS subscription_id, model_id, provider,
		       sum(requests) AS requests, sum(failed) AS failed, sum(prompt_tokens) AS prompt_tokens, sum(completion_tokens) AS completion_tokens,
		       sum(cost) AS cost, sum(latency_ms) AS latency_ms
		FROM usage_new GROUP BY date_trunc('hour', at, 'UTC'), user_id, team_id, api_key_id, model_id, provider
		ORDER BY user_id
	), summed AS (` + addSQL("usage_hours") + `
		SELECT * FROM hours ` + countedSQL + `
	), totalled AS (
		INSERT INTO usage_totals AS u (bucket, model_id, provider, requests, failed, prompt_tokens, completion_tokens, cost, latency_ms)
		SELECT bucket, model_id, provider, sum(requests), sum(failed), sum(prompt_tokens), sum(completion_tokens), sum(cost), sum(latency_ms)
		FROM hours GROUP BY bucket, model_id, provider
		ON CONFLICT (bucket, model_id, provider) DO UPDATE SET ` + addedSQL + `
	)` + addSQL("usage_days") + `
		SELECT date_trunc('day', bucket, 'UTC') AS day, user_id, team_id, api_key_id, (array_agg(subscription_id))[1], model_id, provider,
		       sum(requests), sum(failed), sum(prompt_tokens), sum(completion_tokens), sum(cost), sum(latency_ms)
		FROM hours GROUP BY day, user_id, team_id, api_key_id, model_id, provider
		ORDER BY user_id ` + countedSQL

// addedSQL is how a row of sums grows.
const addedSQL = `requests = u.requests + EXCLUDED.requests, failed = u.failed + EXCLUDED.failed,
		    prompt_tokens = u.prompt_tokens + EXCLUDED.prompt_tokens, completion_tokens = u.completion_tokens + EXCLUDED.completion_tokens,
		    cost = u.cost + EXCLUDED.cost, latency_ms = u.latency_ms + EXCLUDED.latency_ms`

// addSQL begins what adds to a table of sums, and countedSQL ends it.
func addSQL(table string) string {
	return `
		INSERT INTO ` + table + ` AS u (bucket, user_id, team_id, api_key_id, subscription_id, model_id, provider,
		       requests, failed, prompt_tokens, completion_tokens, cost, latency_ms)`
}

const countedSQL = `
		ON CONFLICT (user_id, bucket, api_key_id, model_id, team_id, provider) DO UPDATE
		SET ` + addedSQL + `,
		    subscription_id = CASE EXCLUDED.subscription_id WHEN ` + nobody + ` THEN u.subscription_id ELSE EXCLUDED.subscription_id END`

// countQuotas counts the entries in usage_new towards the quotas of subscriptions: calls that
// succeeded, and what was corrected of them.
func (s *Store) countQuotas(ctx context.Context, by models.Actor) ([]models.Cascade, error) {
	var rows []struct {
		UserID           uuid.UUID
		ModelID          string
		Requests, Tokens int64
		At               time.Time
	}
	err := s.scan(ctx, "usage", &rows, `
		SELECT user_id, model_id, sum(requests - failed) AS requests, sum(prompt_tokens + completion_tokens) AS tokens, max(at) AS at
		FROM usage_new WHERE subscription_id <> `+nobody+` AND (requests = 0 OR requests <> failed)
		GROUP BY user_id, model_id, date_trunc('month', at, 'UTC')
		HAVING sum(requests - failed) <> 0 OR sum(prompt_tokens + completion_tokens) <> 0`)
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	used := make([]models.Usage, len(rows))
	for i, r := range rows {
		used[i] = models.Usage(r)
	}
	return s.RecordUsage(ctx, used, by)
}
