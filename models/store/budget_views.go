package store

import (
	"context"
	"strings"

	"github.com/google/uuid"

	"github.com/litemaas/litemaas/models"
)

// BudgetView is a budget with what people call its subject, and whose it is.
type BudgetView struct {
	models.Budget `gorm:"embedded"`

	HoldAfterSecs float64
	OwnerID       *uuid.UUID // whose it is; nil: a team's
	Owner         string     // his username
	SubjectName   string     // of a subscription its model; of a model of a key the key's
}

// BudgetQuery selects a page of the budgets.
type BudgetQuery struct {
	Page, Limit int                  // both from 1
	SubjectType models.BudgetSubject // empty: any
	SubjectID   uuid.UUID            // zero: any
	OwnerID     uuid.UUID            // whose they are, or whose keys' or subscriptions'; zero: anybody's
	OnlyLimited bool                 // those that bound something
	Held        *bool
}

// where is the condition on a budget b, and its arguments.
func (q BudgetQuery) where() (string, map[string]any) {
	where := []string{"true"}
	args := map[string]any{
		"limit": q.Limit, "offset": (q.Page - 1) * q.Limit, "type": q.SubjectType, "subject": q.SubjectID, "owner": q.OwnerID, "held": q.Held,
	}
	if q.SubjectType != "" {
		where = append(where, "b.subject_type = @type")
	}
	if q.SubjectID != uuid.Nil {
		where = append(where, "b.subject_id = @subject")
	}
	if q.OwnerID != uuid.Nil {
		where = append(where, `b.subject_id = ANY (ARRAY(SELECT CAST(@owner AS uuid)
			UNION ALL SELECT id FROM api_keys WHERE user_id = @owner AND deleted_at IS NULL
			UNION ALL SELECT id FROM subscriptions WHERE user_id = @owner))`)
	}
	if q.OnlyLimited {
		where = append(where, "b.amount IS NOT NULL")
	}
	if q.Held != nil {
		where = append(where, "b.held = @held")
	}
	return strings.Join(where, " AND "), args
}

// Budgets returns a page of the budgets, the newest first, and how many there are on all pages.
func (s *Store) Budgets(ctx context.Context, q BudgetQuery) (page []BudgetView, total int, err error) {
	where, args := q.where()
	if err := s.scan(ctx, "budgets", &total, "SELECT count(*) FROM budgets b WHERE "+where, args); err != nil {
		return nil, 0, err
	}
	page, err = s.budgetViews(ctx, where+" ORDER BY b.created_at DESC, b.id LIMIT @limit OFFSET @offset", args)
	return page, total, err
}

// BudgetView returns one budget.
func (s *Store) BudgetView(ctx context.Context, id uuid.UUID) (BudgetView, error) {
	views, err := s.budgetViews(ctx, "b.id = @id", map[string]any{"id": id})
	if err == nil && len(views) == 0 {
		err = models.Errorf(models.NotFound, "budget not found")
	}
	if err != nil {
		return BudgetView{}, err
	}
	return views[0], nil
}

// budgetViews returns the budgets b that a condition selects, the newest first.
func (s *Store) budgetViews(ctx context.Context, where string, args map[string]any) ([]BudgetView, error) {
	views := []BudgetView{}
	err := s.scan(ctx, "budgets", &views, `
		SELECT v.*, coalesce(o.username, '') AS owner, CASE v.subject_type WHEN 'user' THEN o.username
		       WHEN 'team' THEN (SELECT name FROM teams WHERE id = v.subject_id)
		       WHEN 'subscription' THEN (SELECT model_id FROM subscriptions WHERE id = v.subject_id)
		       ELSE (SELECT name FROM api_keys WHERE id = v.subject_id) END AS subject_name
		FROM (SELECT `+budgetColumns+` FROM budgets b WHERE `+where+`) v LEFT JOIN users o ON o.id = v.owner_id
		ORDER BY v.created_at DESC, v.id`, args)
	for i := range views {
		views[i].HoldAfter = seconds(views[i].HoldAfterSecs)
	}
	return views, err
}

// BudgetPeriods returns a page of the periods of a budget that are over, the last first, and how
// many there are on all pages.
func (s *Store) BudgetPeriods(ctx context.Context, id uuid.UUID, page, limit int) (periods []models.BudgetPeriod, total int, err error) {
	if err := s.scan(ctx, "periods", &total, "SELECT count(*) FROM budget_periods WHERE budget_id = ?", id); err != nil {
		return nil, 0, err
	}
	periods = []models.BudgetPeriod{}
	err = s.scan(ctx, "periods", &periods, "SELECT * FROM budget_periods WHERE budget_id = ? ORDER BY starts_at DESC LIMIT ? OFFSET ?", id, limit, (page-1)*limit)
	return periods, total, err
}
