package store

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/litemaas/litemaas/models"
)

// rerateStep is how much of the ledger one transaction prices anew: as long as it runs, nothing
// else is recorded.
const rerateStep = time.Hour

// rerateSQL puts an entry into usage_new for each call that costs another amount by the prices that
// are known now, and answers what that comes to.
const rerateSQL = `
	WITH now AS (` + standing + `
		FROM (SELECT coalesce(corrects, id) AS call, e.* FROM usage_events e WHERE at >= @from AND at < @until) e GROUP BY call
	), m AS (
		SELECT now.*, true AS sought, f.request_id, f.call_id, f.key_hash, f.user_id, f.team_id, f.api_key_id, f.subscription_id, f.model_id, f.provider
		FROM now JOIN usage_events f ON f.id = now.face AND f.at >= @from AND f.at < @until
		WHERE (@model = '' OR f.model_id = @model) AND (@reported OR now.priced <> 'reported')
	), judged AS (
		SELECT m.*, ` + computed + ` AS costs FROM m CROSS JOIN LATERAL ` + priceAt + ` WHERE ` + priced + `
	), put AS (
		INSERT INTO usage_new
		SELECT gen_random_uuid(), at, call, 'rerate', request_id, call_id, key_hash, user_id, team_id, api_key_id, subscription_id, model_id, provider,
		       0, 0, 0, 0, costs - cost, 'computed', 0, now()
		FROM judged WHERE costs <> cost
	)
	SELECT model_id AS model, count(*) AS calls, sum(cost)::bigint AS old, sum(costs)::bigint AS new
	FROM judged WHERE costs <> cost GROUP BY model_id ORDER BY model_id`

// RerateUsage prices calls anew with the prices that were in force when they began, as they are
// known now, and writes entries of the differences, with their sums and what they count towards
// budgets, hour by hour. What was done stays when it fails, and doing it again finds what is left.
// With DryRun it answers the same and writes nothing. What a price is not known for stays as it is.
func (s *Store) RerateUsage(ctx context.Context, r models.Rerate, by models.Actor) (models.RerateReport, error) {
	var report models.RerateReport
	if err := r.Check(); err != nil {
		return report, err
	}
	days, err := s.usageDays(ctx, r.From, r.Until)
	if err != nil {
		return report, err
	}
	sums := map[string]models.Rerated{}
	for _, day := range days {
		for from := day; from.Before(day.Add(24 * time.Hour)); from = from.Add(rerateStep) {
			step := r
			step.From, step.Until = later(from, r.From), earlier(from.Add(rerateStep), r.Until)
			if !step.Until.After(step.From) {
				continue
			}
			changed, due, err := s.rerateStep(ctx, step, by)
			if err != nil {
				return report, err
			}
			report.Due = report.Due || due
			for _, c := range changed {
				sum := sums[c.Model]
				sums[c.Model] = models.Rerated{Model: c.Model, Calls: sum.Calls + c.Calls, Old: sum.Old + c.Old, New: sum.New + c.New}
			}
		}
	}
	for _, sum := range sums {
		report.Models = append(report.Models, sum)
	}
	slices.SortFunc(report.Models, func(a, b models.Rerated) int { return strings.Compare(a.Model, b.Model) })
	return report, nil
}

// rerateStep is one transaction of it.
func (s *Store) rerateStep(ctx context.Context, r models.Rerate, by models.Actor) (changed []models.Rerated, due bool, err error) {
	err = s.inLoadingTx(ctx, func(tx *Store, _ loader) error {
		if err := tx.exec(ctx, "usage", usagePlans); err != nil {
			return err
		}
		if !r.DryRun {
			if err := tx.lock(ctx, usageLock); err != nil {
				return err
			}
		}
		err := tx.scan(ctx, "usage", &changed, rerateSQL, map[string]any{
			"from": r.From, "until": r.Until, "model": r.Model, "reported": r.Reported,
		})
		if err != nil || len(changed) == 0 || r.DryRun {
			return err
		}
		if due, _, err = tx.enterUsage(ctx, by); err != nil { // no request, and no token: no quota is touched
			return err
		}
		return tx.Audit(ctx, by, models.Event{
			Action: models.AuditUsageRerate, ResourceType: models.AuditOfUsage, ResourceID: r.From.UTC().Format(time.RFC3339),
			Detail: map[string]any{"from": r.From.UTC(), "until": r.Until.UTC(), "reported": r.Reported, "models": changed},
		})
	})
	return changed, due, err
}

// usageDays are the days (UTC) between two times of which the ledger has a partition.
func (s *Store) usageDays(ctx context.Context, from, until time.Time) ([]time.Time, error) {
	var days []time.Time
	return days, s.scan(ctx, "usage partitions", &days, `
		SELECT to_date(right(c.relname, 8), 'YYYYMMDD') AS day FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
		WHERE i.inhparent = 'usage_events'::regclass AND c.relname >= ? AND c.relname <= ? ORDER BY day`,
		"usage_events_"+from.UTC().Format("20060102"), "usage_events_"+until.UTC().Format("20060102"))
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
