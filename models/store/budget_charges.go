package store

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/litemaas/litemaas/models"
)

// touchedSQL names the budgets against which the entries of usage_new count, with what they cost
// and between which times they were.
const touchedSQL = `
	SELECT 'user' AS kind, user_id AS subject, '' AS llm, sum(cost)::bigint AS cost, min(at) AS first, max(at) AS last FROM usage_new GROUP BY user_id
	UNION ALL SELECT 'team', team_id, '', sum(cost)::bigint, min(at), max(at) FROM usage_new GROUP BY team_id
	UNION ALL SELECT 'key', api_key_id, '', sum(cost)::bigint, min(at), max(at) FROM usage_new GROUP BY api_key_id
	UNION ALL SELECT 'subscription', subscription_id, '', sum(cost)::bigint, min(at), max(at) FROM usage_new GROUP BY subscription_id
	UNION ALL SELECT 'key_model', api_key_id, model_id, sum(cost)::bigint, min(at), max(at) FROM usage_new GROUP BY api_key_id, model_id`

// lockTouchedSQL keeps these budgets as they are, in the order of ids, and answers those whose
// period is over.
const lockTouchedSQL = `
	WITH touched AS MATERIALIZED (` + touchedSQL + `), locked AS MATERIALIZED (
		SELECT b.id, b.ends_at FROM touched t JOIN budgets b ON b.subject_id = t.subject AND b.subject_type = t.kind AND b.model_id = t.llm
		ORDER BY b.id FOR NO KEY UPDATE OF b
	)
	SELECT id FROM locked WHERE ends_at <= clock_timestamp()`

// chargeSQL counts, and answers whether some budget has to be judged. What was before a budget counts does not; only where some of it was
// before and some after is it added up one by one. What is said to be in the future is now.
const chargeSQL = `
	WITH touched AS MATERIALIZED (` + touchedSQL + `), counting AS MATERIALIZED (
		SELECT b.id, b.spent, CASE
		       WHEN least(t.first, clock_timestamp()) >= b.counts_from THEN t.cost
		       WHEN least(t.last, clock_timestamp()) < b.counts_from THEN 0
		       ELSE coalesce((SELECT sum(n.cost) FROM usage_new n WHERE least(n.at, clock_timestamp()) >= b.counts_from AND b.subject_id = CASE t.kind
		            WHEN 'user' THEN n.user_id WHEN 'team' THEN n.team_id WHEN 'subscription' THEN n.subscription_id ELSE n.api_key_id END
		            AND (t.llm = '' OR n.model_id = t.llm)), 0) END AS cost
		FROM touched t JOIN budgets b ON b.subject_id = t.subject AND b.subject_type = t.kind AND b.model_id = t.llm
	), charged AS (
		UPDATE budgets b SET spent = b.spent + c.cost,
		       due = b.due OR coalesce(b.spent + c.cost >= b.next_at, false) OR c.cost < 0 AND (b.held OR b.throttled OR b.hold_due_at IS NOT NULL)
		FROM counting c WHERE b.id = c.id AND (c.cost <> 0 OR b.spent >= b.next_at AND NOT b.due)
		RETURNING b.due
	)
	SELECT EXISTS (SELECT FROM charged WHERE due)`

// chargeBudgets counts the entries of a transaction against the budgets of their users, teams, keys,
// models of keys and subscriptions: those in the temporary table usage_new, whose columns are
// (id, at, user_id, team_id, api_key_id, subscription_id, model_id, cost). It rolls periods that are
// over first, and reports whether some budget has to be judged. Listeners are told of subjects that
// are refused from now on by a trigger.
func (s *Store) chargeBudgets(ctx context.Context) (due bool, err error) {
	var over []uuid.UUID
	if err := s.scan(ctx, "budgets", &over, lockTouchedSQL); err != nil {
		return false, err
	}
	if err := s.rollBudgets(ctx, over); err != nil {
		return false, err
	}
	return due, s.scan(ctx, "budgets", &due, chargeSQL)
}

// rollBudgets begins the period that holds now for locked budgets whose last one is over, and keeps
// what was spent in that. What was held or slowed, or has to be judged anew, is due.
func (s *Store) rollBudgets(ctx context.Context, ids []uuid.UUID) error {
	if len(ids) == 0 {
		return nil
	}
	rows, err := s.budgetRows(ctx, "b.id = ANY (CAST(? AS uuid[])) ORDER BY b.id", uuidArray(ids))
	if err != nil {
		return err
	}
	now := time.Now()
	turns := []budgetTurn{}
	for _, r := range rows {
		if now = latest(now, *r.EndsAt); r.Over(now) { // this clock may be a little behind the database's
			turns = append(turns, turnOf(r.Budget, r.On(now), true))
		}
	}
	return s.turnBudgets(ctx, turns)
}

func latest(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

// budgetTurn is a budget whose period becomes another.
type budgetTurn struct {
	ID         uuid.UUID  `json:"id"`
	StartsAt   time.Time  `json:"starts_at"`
	CountsFrom time.Time  `json:"counts_from"`
	EndsAt     *time.Time `json:"ends_at"`
	Spent      int64      `json:"spent"` // in billionths
	Anew       bool       `json:"anew"`  // what was done about the last one is over with it
}

// turnOf is how a budget comes from the period of its row, which is over or not, to another.
func turnOf(was, is models.Budget, over bool) budgetTurn {
	return budgetTurn{
		ID: was.ID, StartsAt: is.StartsAt, CountsFrom: is.CountsFrom, EndsAt: is.EndsAt, Spent: int64(is.Spent),
		Anew: over && was.EndsAt.After(was.StartsAt),
	}
}

// turnSQL keeps the periods that are over of which something was spent, and begins the next ones.
// A budget that held, or may have been meant to, is judged; another one at its first use.
const turnSQL = `
	WITH turn AS (
		SELECT * FROM jsonb_to_recordset(CAST(@turns AS jsonb)) AS t (id uuid, starts_at timestamptz, counts_from timestamptz, ends_at timestamptz, spent bigint, anew boolean)
	), kept AS (
		INSERT INTO budget_periods (budget_id, starts_at, ends_at, amount, raised, spent, reached, held)
		SELECT b.id, b.starts_at, b.ends_at, b.amount, b.raised, b.spent, b.reached, b.held
		FROM turn t JOIN budgets b ON b.id = t.id WHERE t.anew AND b.spent <> 0 ON CONFLICT DO NOTHING
	)
	UPDATE budgets b SET starts_at = t.starts_at, counts_from = t.counts_from, ends_at = t.ends_at, spent = t.spent,
	       reached = CASE WHEN t.anew THEN 0 ELSE b.reached END, soft_told = b.soft_told AND NOT t.anew, pardoned = b.pardoned AND NOT t.anew,
	       hold_due_at = CASE WHEN t.anew THEN NULL ELSE b.hold_due_at END, next_at = 0,
	       reset_generation = CASE WHEN t.anew AND b.held AND b.amount > 0 THEN b.generation + 1 ELSE b.reset_generation END,
	       due = b.due OR b.held OR b.throttled OR b.pardoned
	FROM turn t WHERE b.id = t.id`

func (s *Store) turnBudgets(ctx context.Context, turns []budgetTurn) error {
	if len(turns) == 0 {
		return nil
	}
	return s.named(ctx, "budgets", turnSQL, map[string]any{"turns": rowsOf(turns)})
}
