package store

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/litemaas/litemaas/models"
)

// JudgedBudget is what a judgement made of a budget.
type JudgedBudget struct {
	models.Budget

	Held, Released bool       // by this judgement
	Rolled         bool       // its period was over
	WakeAt         *time.Time // when to judge again, whatever is spent; nil: never
	JudgedAt       time.Time  // by the database's clock
}

// Waits reports whether a run has to look after the budget: something has to follow, or is to be
// undone or done later.
func (j JudgedBudget) Waits() bool {
	return j.WakeAt != nil || j.Budget.Held || j.Throttled || j.ObservedGeneration < j.Generation
}

// dueBudgetsSQL finds budgets that have to be judged: each part reads an index that is empty when
// there is nothing.
const dueBudgetsSQL = `
	SELECT id FROM (
		(SELECT id FROM budgets WHERE due ORDER BY id LIMIT @limit)
		UNION (SELECT id FROM budgets WHERE resets AND ends_at <= clock_timestamp() ORDER BY ends_at LIMIT @limit)
		UNION (SELECT id FROM budgets WHERE hold_due_at <= clock_timestamp() ORDER BY hold_due_at LIMIT @limit)) found
	LIMIT @limit`

// JudgeBudgets judges up to limit budgets that are due, whose period is over, or whose hold begins;
// house are the thresholds of those that have none of their own. Each threshold is told of once in
// a period, whoever judges, and however often.
func (s *Store) JudgeBudgets(ctx context.Context, limit int, house []models.BudgetThreshold, by models.Actor) ([]JudgedBudget, error) {
	var ids []uuid.UUID
	if err := s.scan(ctx, "budgets", &ids, dueBudgetsSQL, map[string]any{"limit": limit}); err != nil || len(ids) == 0 {
		return nil, err
	}
	return s.judgeBudgets(ctx, ids, house, by)
}

// JudgeBudget judges one budget. It is NotFound when its subject is gone.
func (s *Store) JudgeBudget(ctx context.Context, id uuid.UUID, house []models.BudgetThreshold, by models.Actor) (JudgedBudget, error) {
	judged, err := s.judgeBudgets(ctx, []uuid.UUID{id}, house, by)
	if err == nil && len(judged) == 0 {
		err = models.Errorf(models.NotFound, "budget %s not found", id)
	}
	if err != nil {
		return JudgedBudget{}, err
	}
	return judged[0], nil
}

// judgeBudgets judges budgets in one transaction: it locks them in the order of ids, judges, writes
// all at once, and tells of what is new.
func (s *Store) judgeBudgets(ctx context.Context, ids []uuid.UUID, house []models.BudgetThreshold, by models.Actor) (judged []JudgedBudget, err error) {
	if house == nil {
		house = models.DefaultThresholds()
	}
	err = s.InTx(ctx, func(tx *Store) error {
		rows, err := tx.budgetRows(ctx, "b.id = ANY (CAST(? AS uuid[])) ORDER BY b.id FOR NO KEY UPDATE OF b", uuidArray(ids))
		if err != nil {
			return err
		}
		var now time.Time
		if err := tx.scan(ctx, "clock", &now, "SELECT clock_timestamp()"); err != nil {
			return err
		}
		p := judging{tx: tx, now: now, house: house, by: by}
		for _, r := range rows {
			if err := p.judge(ctx, r); err != nil {
				return err
			}
		}
		judged = p.judged
		return p.write(ctx)
	})
	return judged, err
}

// judging is one judgement of some budgets.
type judging struct {
	tx    *Store
	now   time.Time
	house []models.BudgetThreshold
	by    models.Actor

	judged []JudgedBudget
	turns  []budgetTurn
	rows   []judgedRow
	news   []models.Announcement
	events []models.Event
}

// judgedRow is what is written of a judged budget.
type judgedRow struct {
	ID         uuid.UUID  `json:"id"`
	Reached    int        `json:"reached"`
	SoftTold   bool       `json:"soft_told"`
	HoldDueAt  *time.Time `json:"hold_due_at"`
	Held       bool       `json:"held"`
	Throttled  bool       `json:"throttled"`
	NextAt     *int64     `json:"next_at"`
	HoldAt     *int64     `json:"hold_at"`
	Generation int64      `json:"generation"`
}

// judge judges one budget.
func (p *judging) judge(ctx context.Context, r budgetRow) error {
	b, err := p.place(ctx, r.Budget)
	if err != nil {
		return err
	}
	v := b.Judge(p.now, p.house)
	j := JudgedBudget{Budget: b, WakeAt: v.WakeAt, JudgedAt: p.now, Rolled: r.Over(p.now) && r.EndsAt.After(r.StartsAt), Held: v.Held && !b.Held, Released: b.Held && !v.Held}
	if b.Held != v.Held || b.Throttled != v.Throttled || b.ResetGeneration > b.Generation {
		j.Generation++
	}
	for _, t := range v.Told {
		p.tell(r, b, models.BudgetThresholdNews, map[string]any{"percent": t.Percent})
		j.Reached = t.Percent
	}
	if v.Soft {
		p.tell(r, b, models.BudgetSoftLimitNews, map[string]any{"softLimit": b.SoftAmount})
	}
	if j.Budget.Held, j.Throttled, j.HoldDueAt = v.Held, v.Throttled, v.HoldDueAt; j.Held {
		p.tell(r, b, models.BudgetHeldNews, nil)
		p.audit(models.AuditBudgetHold, b)
	} else if j.Released {
		p.tell(r, b, models.BudgetReleasedNews, nil)
		p.audit(models.AuditBudgetRelease, b)
	}
	j.SoftTold, j.NextAt, j.HoldAt, j.Due = b.SoftTold || v.Soft, v.NextAt, v.HoldAt, false
	p.judged = append(p.judged, j)
	p.rows = append(p.rows, judgedRow{
		ID: b.ID, Reached: j.Reached, SoftTold: j.SoftTold, HoldDueAt: v.HoldDueAt, Held: v.Held, Throttled: v.Throttled,
		NextAt: (*int64)(v.NextAt), HoldAt: (*int64)(v.HoldAt), Generation: j.Generation,
	})
	return nil
}

// place is the budget in the period that holds now. Where the period was changed in its middle,
// what counts in the new one is added up from the ledger.
func (p *judging) place(ctx context.Context, was models.Budget) (models.Budget, error) {
	b := was.On(p.now)
	switch {
	case was.Over(p.now):
		if b.Held && b.EndsAt != nil && b.Amount != nil && *b.Amount > 0 && b.Spent == 0 && was.EndsAt.After(was.StartsAt) {
			b.ResetGeneration = b.Generation + 1
		}
	case was.Misplaced(p.now):
		start, end := was.Window(p.now)
		from := start
		if was.CountsFrom.After(was.StartsAt) { // it was reset meanwhile, or is that new
			from = latest(start, was.CountsFrom)
		}
		if b.StartsAt, b.EndsAt = start, end; end != nil {
			spent, err := p.tx.SpentSince(ctx, was, from)
			if err != nil {
				return b, err
			}
			b.CountsFrom, b.Spent = from, spent
		}
	default:
		return b, nil
	}
	p.turns = append(p.turns, turnOf(was, b, was.Over(p.now)))
	return b, nil
}

// tell has people told of a budget as it was judged.
func (p *judging) tell(r budgetRow, b models.Budget, what string, more map[string]any) {
	data := budgetData(b)
	for name, value := range more {
		data[name] = value
	}
	p.news = append(p.news, models.Announcement{Type: what, SubjectType: "budget", SubjectID: b.ID.String(), UserID: r.OwnerID, Data: data})
}

// budgetData is what is told of a budget, whatever became of it.
func budgetData(b models.Budget) map[string]any {
	data := map[string]any{
		"budgetId": b.ID, "subjectType": b.SubjectType, "subjectId": b.SubjectID, "spent": b.Spent, "limit": b.Limit(),
		"startsAt": b.StartsAt, "endsAt": b.EndsAt,
	}
	if b.ModelID != "" {
		data["modelId"] = b.ModelID
	}
	return data
}

func (p *judging) audit(action models.AuditAction, b models.Budget) {
	p.events = append(p.events, models.Event{Action: action, ResourceType: models.AuditOfBudget, ResourceID: b.ID.String(), Detail: budgetData(b)})
}

func sameAmount(a, b *models.USD) bool {
	if a == nil || b == nil {
		return a == b
	}
	return *a == *b
}

// write writes what was judged.
func (p *judging) write(ctx context.Context) error {
	if err := p.tx.turnBudgets(ctx, p.turns); err != nil {
		return err
	}
	err := p.tx.named(ctx, "budgets", `
		UPDATE budgets b SET reached = j.reached, soft_told = j.soft_told, hold_due_at = j.hold_due_at, held = j.held, throttled = j.throttled,
		       next_at = j.next_at, hold_at = j.hold_at, generation = j.generation, due = false, updated_at = now()
		FROM jsonb_to_recordset(CAST(@rows AS jsonb)) AS j (id uuid, reached int, soft_told boolean, hold_due_at timestamptz, held boolean,
		       throttled boolean, next_at bigint, hold_at bigint, generation bigint)
		WHERE b.id = j.id`, map[string]any{"rows": rowsOf(p.rows)})
	if err != nil {
		return err
	}
	if err := p.tx.announce(ctx, p.news...); err != nil {
		return err
	}
	for _, e := range p.events {
		if err := p.tx.Audit(ctx, p.by, e); err != nil {
			return err
		}
	}
	return nil
}
