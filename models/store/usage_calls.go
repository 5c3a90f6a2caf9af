package store

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/litemaas/litemaas/models"
)

// usageEntry is an entry of the ledger.
type usageEntry struct {
	ID       uuid.UUID
	Corrects *uuid.UUID
	models.RecentCall
	RecordedAt time.Time
}

// call is the id of the call that the entry is of.
func (e usageEntry) call() uuid.UUID {
	if e.Corrects != nil {
		return *e.Corrects
	}
	return e.ID
}

const usageEntrySQL = `SELECT id, at, corrects, api_key_id, model_id, provider, requests, failed, prompt_tokens, completion_tokens, cost, latency_ms, recorded_at
	FROM usage_events WHERE user_id = @user`

// correctedWithin is how far the time of a correction may be from that of the call.
const correctedWithin = 24 * time.Hour

// RecentCalls returns the last calls of a user that a query selects, the newest first, as they
// stand: what was found to be another's is not there, and what else was corrected counts. Of
// everybody there are none.
func (s *Store) RecentCalls(ctx context.Context, q UsageQuery, limit int) ([]models.RecentCall, error) {
	out := []models.RecentCall{}
	if q.UserID == nil {
		return out, nil
	}
	where, args := q.where("at")
	args["limit"] = 2 * limit // some may be another's by now
	var calls, corrections []usageEntry
	err := s.scan(ctx, "usage", &calls, usageEntrySQL+" AND "+where+" AND requests > 0 AND source IN ('push', 'pull') ORDER BY at DESC LIMIT @limit", args)
	if err != nil || len(calls) == 0 {
		return out, err
	}
	ids := make([]uuid.UUID, len(calls))
	for i, c := range calls {
		ids[i] = c.call()
	}
	err = s.scan(ctx, "usage", &corrections, usageEntrySQL+" AND corrects IN @ids AND requests <= 0 AND at BETWEEN @first AND @last", map[string]any{
		"user": q.UserID, "ids": ids, "first": calls[len(calls)-1].At.Add(-correctedWithin), "last": calls[0].At.Add(correctedWithin),
	})
	for _, c := range calls {
		if len(out) < limit && c.stands(corrections) {
			out = append(out, c.RecentCall)
		}
	}
	return out, err
}

// stands reports whether a call still is its user's, and counts what was corrected of it.
func (e *usageEntry) stands(corrections []usageEntry) bool {
	for _, c := range corrections {
		if c.call() != e.call() || c.APIKeyID != e.APIKeyID || c.ModelID != e.ModelID || c.RecordedAt.Before(e.RecordedAt) {
			continue
		}
		if c.Requests < 0 {
			return false
		}
		e.Add(c.UsageSums)
	}
	return true
}
