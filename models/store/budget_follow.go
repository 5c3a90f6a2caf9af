package store

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/litemaas/litemaas/models"
)

// What a key has by the budgets that concern it, its own, its owner's and its team's, is derived
// from all of them, so that the end of one cannot undo another. Judging a budget is one transaction,
// and having keys follow the next: it locks keys, and reads budgets, never the other way round.

// derivedSQL is what a key k has by its budgets, with the key's id; it needs an alias.
const derivedSQL = `
	SELECT k.id, d.* FROM api_keys k CROSS JOIN LATERAL (
		SELECT coalesce(bool_or(b.held AND b.subject_type <> 'key_model'), false) AS held,
		       min(b.throttle_rpm) FILTER (WHERE b.throttled AND b.subject_type <> 'key_model') AS rpm,
		       min(b.throttle_tpm) FILTER (WHERE b.throttled AND b.subject_type <> 'key_model') AS tpm,
		       coalesce(jsonb_agg(b.model_id ORDER BY b.model_id COLLATE "C") FILTER (WHERE b.held AND b.subject_type = 'key_model'), '[]') AS blocked,
		       coalesce(max(b.raised) FILTER (WHERE b.subject_type = 'key'), 0) AS raised
		FROM budgets b WHERE b.subject_id = ANY (ARRAY[k.id, k.user_id, k.team_id]) AND b.subject_type <> 'subscription') d`

// derivedSet is what an update of a key k sets, from a row d of derivedSQL.
const derivedSet = `holds = CASE WHEN d.held = jsonb_exists(k.holds, 'budget') THEN k.holds
	                             WHEN d.held THEN k.holds || '["budget"]' ELSE k.holds - 'budget' END,
	throttle_rpm = d.rpm, throttle_tpm = d.tpm, blocked_models = d.blocked, raised = d.raised`

// followSQL has locked keys follow, and tells listeners of those that change. @reset is the key that
// LiteLLM counts from zero.
const followSQL = `
	WITH changed AS (
		UPDATE api_keys k SET ` + derivedSet + `, generation = k.generation + 1,
		       reset_generation = CASE WHEN k.id = @reset THEN k.generation + 1 ELSE k.reset_generation END, updated_at = now()
		FROM (` + derivedSQL + ` WHERE k.id = ANY (CAST(@ids AS uuid[]))) d
		WHERE k.id = d.id AND (k.id = @reset OR (jsonb_exists(k.holds, 'budget'), k.throttle_rpm, k.throttle_tpm, k.blocked_models, k.raised)
			IS DISTINCT FROM (d.held, d.rpm, d.tpm, d.blocked, d.raised))
		RETURNING k.id, k.hash
	), told AS (
		SELECT tell_keys('key', ARRAY(SELECT hash FROM changed))
	)
	SELECT count(*) FROM changed, told`

// FollowedBudget says what followed a budget.
type FollowedBudget struct {
	Generation int64 // of the budget, that was followed
	Keys       int   // that changed
	Cascades   []models.Cascade
}

// FollowBudget has the keys that a budget concerns, or its subscription, be as it is now. Following
// twice changes nothing. LiteLLM has to follow then: see BudgetLeft.
func (s *Store) FollowBudget(ctx context.Context, id uuid.UUID, by models.Actor) (out FollowedBudget, err error) {
	err = s.InTx(ctx, func(tx *Store) error {
		b, err := tx.Budget(ctx, id)
		out.Generation = b.Generation
		if err != nil || b.FollowedGeneration >= b.Generation {
			return err
		}
		if b.SubjectType == models.BudgetOfSubscription {
			out.Cascades, err = tx.followSubscription(ctx, b, by)
		} else {
			out.Keys, err = tx.followKeys(ctx, b)
		}
		if err != nil {
			return err
		}
		return tx.exec(ctx, "budget", "UPDATE budgets SET followed_generation = greatest(followed_generation, ?) WHERE id = ?", b.Generation, id)
	})
	return out, err
}

// concerned is SQL for the keys k that a budget concerns, of which ? is the subject.
func concerned(b models.Budget) string {
	return map[models.BudgetSubject]string{models.BudgetOfUser: "k.user_id = ?", models.BudgetOfTeam: "k.team_id = ?"}[b.SubjectType] +
		map[bool]string{true: "k.id = ?"}[b.SubjectType == models.BudgetOfKey || b.SubjectType == models.BudgetOfKeyModel]
}

// followKeys has the keys of a budget follow, and its user.
func (s *Store) followKeys(ctx context.Context, b models.Budget) (int, error) {
	resets := b.ResetGeneration > b.FollowedGeneration
	if b.SubjectType == models.BudgetOfUser {
		err := s.named(ctx, "user", `
			UPDATE users SET raised = @raised, generation = generation + 1, updated_at = now(),
			       reset_generation = CASE WHEN @resets THEN generation + 1 ELSE reset_generation END
			WHERE id = @id AND (@resets OR raised <> @raised)`, map[string]any{"id": b.SubjectID, "raised": b.Raised, "resets": resets})
		if err != nil {
			return 0, err
		}
	}
	var ids []uuid.UUID
	err := s.scan(ctx, "API keys", &ids,
		"SELECT k.id FROM api_keys k WHERE "+concerned(b)+" AND k.revoked_at IS NULL ORDER BY k.id FOR NO KEY UPDATE", b.SubjectID)
	if err != nil || len(ids) == 0 {
		return 0, err
	}
	reset := uuid.Nil
	if resets && b.SubjectType == models.BudgetOfKey {
		reset = b.SubjectID
	}
	var changed int
	err = s.scan(ctx, "API keys", &changed, followSQL, map[string]any{"ids": uuidArray(ids), "reset": reset})
	return changed, err
}

// The reasons that subscriptions are given for budgets.
const (
	reasonSpent   = "The budget is used up"
	reasonUnspent = "The budget may be spent again"
)

// followSubscription suspends the subscription of a budget that is held, and resumes that of one
// which is not.
func (s *Store) followSubscription(ctx context.Context, b models.Budget, by models.Actor) ([]models.Cascade, error) {
	ids, err := s.lockedIDs(ctx, "s.id = ?", b.SubjectID)
	if err != nil || len(ids) == 0 {
		return nil, err
	}
	if b, err = s.Budget(ctx, b.ID); err != nil { // as it is now that the subscription cannot change
		return nil, err
	}
	if !b.Held {
		return s.resume(ctx, models.HoldBudget, reasonUnspent, by, ids)
	}
	err = s.exec(ctx, "subscriptions", `
		UPDATE subscriptions SET holds = holds || '["budget"]', updated_at = now()
		WHERE id = ? AND status = 'suspended' AND NOT jsonb_exists(holds, 'budget')`, b.SubjectID)
	if err != nil {
		return nil, err
	}
	c, err := s.cascade(ctx, models.CauseBudget, suspension(models.HoldBudget, reasonSpent, by), ids...)
	if err != nil || c.Settled() {
		return nil, err
	}
	return []models.Cascade{c}, nil
}

// bindKey gives a new key what it has by the budgets that concern it, and counts what it spent
// before it was here. Whoever changes one of them waits until the key is there, and finds it; or has
// changed it, and is seen here.
func (s *Store) bindKey(ctx context.Context, id uuid.UUID, spent models.USD) error {
	if spent != 0 {
		err := s.exec(ctx, "budget", "UPDATE budgets SET spent = ?, due = true WHERE subject_id = ? AND subject_type = 'key'", spent, id)
		if err != nil {
			return err
		}
	}
	err := s.exec(ctx, "budgets", `
		SELECT b.id FROM api_keys k JOIN budgets b ON b.subject_id = ANY (ARRAY[k.id, k.user_id, k.team_id]) AND b.subject_type <> 'subscription'
		WHERE k.id = ? ORDER BY b.id FOR SHARE OF b`, id)
	if err != nil {
		return err
	}
	return s.exec(ctx, "API key", "UPDATE api_keys k SET "+derivedSet+" FROM ("+derivedSQL+" WHERE k.id = ?) d WHERE k.id = d.id", id)
}

// BudgetLeft is on what LiteLLM has yet to follow of a budget.
type BudgetLeft struct {
	Keys     []uuid.UUID // the first
	Left     int         // of them
	User     bool        // its user
	Cascades []models.Cascade
}

// None reports whether nothing is left.
func (l BudgetLeft) None() bool { return l.Left == 0 && !l.User && len(l.Cascades) == 0 }

// BudgetLeft returns up to limit of the keys that a budget concerns and LiteLLM has neither followed
// nor refused yet, and what else it has not.
func (s *Store) BudgetLeft(ctx context.Context, id uuid.UUID, limit int) (BudgetLeft, error) {
	var left BudgetLeft
	b, err := s.Budget(ctx, id)
	if err != nil {
		return left, err
	}
	if b.SubjectType == models.BudgetOfSubscription {
		left.Cascades, err = s.cascades(ctx, `observed_generation < generation AND id IN (
			SELECT cascade_id FROM cascade_subscriptions WHERE subscription_id = ?) ORDER BY created_at, id`, b.SubjectID)
		return left, err
	}
	if b.SubjectType == models.BudgetOfUser {
		err := s.scan(ctx, "user", &left.User,
			"SELECT observed_generation < generation AND failed_generation < generation FROM users WHERE id = ?", b.SubjectID)
		if err != nil {
			return left, err
		}
	}
	var rows []struct {
		ID   uuid.UUID
		Left int
	}
	err = s.scan(ctx, "keys", &rows, "SELECT k.id, count(*) OVER () AS left FROM api_keys k WHERE "+unsettledKey+" AND "+concerned(b)+
		" ORDER BY k.id LIMIT ?", b.SubjectID, limit)
	for _, r := range rows {
		left.Keys, left.Left = append(left.Keys, r.ID), r.Left
	}
	return left, err
}

// ObserveBudget records that LiteLLM was seen to follow a budget as of its generation. An older
// observation never replaces a newer.
func (s *Store) ObserveBudget(ctx context.Context, id uuid.UUID, generation int64) error {
	return s.exec(ctx, "budget", `
		UPDATE budgets SET observed_generation = ? WHERE id = ? AND observed_generation < ? AND followed_generation >= ?`,
		generation, id, generation, generation)
}

// UnsettledBudgets returns up to limit budgets that LiteLLM was not seen to follow for at least age,
// the longest waiting first.
func (s *Store) UnsettledBudgets(ctx context.Context, age time.Duration, limit int) ([]models.Budget, error) {
	rows, err := s.budgetRows(ctx, "b.observed_generation < b.generation AND b.updated_at <= ? ORDER BY b.updated_at, b.id LIMIT ?", time.Now().Add(-age), limit)
	out := make([]models.Budget, len(rows))
	for i, r := range rows {
		out[i] = r.Budget
	}
	return out, err
}

// BudgetsWait reports whether there is anything for EnforceBudgets: a budget that is due, whose
// period is over, whose hold begins, or that LiteLLM has not followed for age; or a raise that is
// over. It reads nothing but indexes that are empty then.
func (s *Store) BudgetsWait(ctx context.Context, age time.Duration) (bool, error) {
	var wait bool
	err := s.scan(ctx, "budgets", &wait, `
		SELECT EXISTS (SELECT FROM budgets WHERE due)
		    OR EXISTS (SELECT FROM budgets WHERE resets AND ends_at <= now())
		    OR EXISTS (SELECT FROM budgets WHERE hold_due_at <= now())
		    OR EXISTS (SELECT FROM budgets WHERE observed_generation < generation AND updated_at <= now() - make_interval(secs => @age))
		    OR EXISTS (SELECT FROM budget_raises WHERE status IN ('active', 'pending') AND until_at <= now())`, map[string]any{"age": age.Seconds()})
	return wait, err
}
