package store

import (
	"context"
	"time"

	"github.com/litemaas/litemaas/models"
)

// UsageSum is what the ledger has of a day, by key and model.
type UsageSum struct {
	KeyHash, Model     string
	Daily              bool // from LiteLLM's sums of the day, else from calls
	Requests, Failed   int64
	Prompt, Completion int64
	Cost               models.USD
	LatencyMS          int64 `gorm:"column:latency_ms"`
}

// UsageOfDay returns what the ledger has of the day of UTC that begins then, corrections included.
func (s *Store) UsageOfDay(ctx context.Context, day time.Time) ([]UsageSum, error) {
	var sums []UsageSum
	return sums, s.scan(ctx, "usage of a day", &sums, `
		SELECT key_hash, model_id AS model, request_id LIKE 'daily/%' AS daily, sum(requests) AS requests, sum(failed) AS failed,
		       sum(prompt_tokens) AS prompt, sum(completion_tokens) AS completion, sum(cost) AS cost, sum(latency_ms) AS latency_ms
		FROM usage_events WHERE at >= @day AND at < @next GROUP BY 1, 2, 3`, map[string]any{"day": day, "next": day.Add(24 * time.Hour)})
}
