package store

import (
	"context"
	"database/sql"
	"time"

	"github.com/google/uuid"

	"github.com/litemaas/litemaas/models"
)

// CloseUsageWindow records that a window was read at LiteLLM, and counts what the ledger has in it
// that LiteLLM has not. Reading one again adds to what was missing and corrected, and takes the place of
// the windows in it. A day's sums are no calls: of a window of models.UsageDaily nothing is counted.
func (s *Store) CloseUsageWindow(ctx context.Context, w models.UsageWindow, seen []uuid.UUID) (models.UsageWindow, error) {
	var rows []models.UsageWindow
	err := s.scan(ctx, "usage window", &rows, `
		WITH inner_ones AS (
			DELETE FROM usage_windows WHERE from_at >= @from AND until_at <= @until AND until_at - from_at < CAST(@until AS timestamptz) - @from
			RETURNING missing, corrected
		)
		INSERT INTO usage_windows (from_at, until_at, source, read, missing, corrected, extra)
		VALUES (@from, @until, @source, @read, @missing + coalesce((SELECT sum(missing) FROM inner_ones), 0),
		        @corrected + coalesce((SELECT sum(corrected) FROM inner_ones), 0), CASE WHEN @source = 'pull' THEN (
			SELECT count(*) FROM usage_events e
			WHERE e.at >= @from AND e.at < @until AND e.corrects IS NULL AND e.source IN ('push', 'pull')
			  AND NOT EXISTS (SELECT FROM unnest(CAST(@seen AS uuid[])) AS v (id) WHERE v.id = e.id)) ELSE 0 END)
		ON CONFLICT (from_at, until_at) DO UPDATE
		SET source = EXCLUDED.source, read = EXCLUDED.read, missing = usage_windows.missing + EXCLUDED.missing, corrected = usage_windows.corrected + EXCLUDED.corrected,
		    extra = EXCLUDED.extra, collected_at = now()
		RETURNING `+windowColumns, map[string]any{
		"from": w.From, "until": w.Until, "source": string(w.Source), "read": w.Read, "missing": w.Missing, "corrected": w.Corrected, "seen": uuidArray(seen),
	})
	if err != nil {
		return models.UsageWindow{}, err
	}
	return rows[0], nil
}

// windowColumns are a models.UsageWindow.
const windowColumns = `from_at AS "from", until_at AS until, source, read, missing, corrected, extra, collected_at`

// UsageWindows returns the windows that were read, the last first.
func (s *Store) UsageWindows(ctx context.Context, limit int) ([]models.UsageWindow, error) {
	var rows []models.UsageWindow
	return rows, s.scan(ctx, "usage windows", &rows, "SELECT "+windowColumns+" FROM usage_windows ORDER BY until_at DESC, from_at DESC LIMIT ?", limit)
}

// UsageReadUntil returns up to when LiteLLM's log was read without a gap; zero: never. It looks for
// gaps in the last week of what was read: what lies before is for those who ask for it.
func (s *Store) UsageReadUntil(ctx context.Context) (time.Time, error) {
	var until sql.NullTime
	err := s.scan(ctx, "usage windows", &until, `
		WITH w AS (
			SELECT lead(from_at) OVER o AS next, max(until_at) OVER (ORDER BY from_at, until_at ROWS UNBOUNDED PRECEDING) AS until
			FROM usage_windows WHERE until_at > (SELECT max(until_at) FROM usage_windows) - interval '7 days'
			WINDOW o AS (ORDER BY from_at, until_at)
		)
		SELECT min(until) FROM w WHERE next IS NULL OR next > until`)
	return until.Time, err
}
