package store

import (
	"context"
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/litemaas/litemaas/models"
)

// endingSQL is models.Subscription.Ending of a subscription s: a cascade has changed keys of its
// owner, and LiteLLM has not yet followed on one of them.
const endingSQL = `EXISTS (
	SELECT FROM cascade_subscriptions cs
	JOIN cascades c ON c.id = cs.cascade_id AND c.observed_generation < c.generation
	JOIN api_keys k ON k.user_id = s.user_id AND k.observed_generation < k.generation AND k.failed_generation < k.generation
	JOIN cascade_keys ck ON ck.cascade_id = c.id AND ck.api_key_id = k.id
	WHERE cs.subscription_id = s.id)`

// Subscription returns one subscription.
func (s *Store) Subscription(ctx context.Context, id uuid.UUID) (models.Subscription, error) {
	sub, err := s.oneSubscription(ctx, "s.id = ?", id)
	if err == nil {
		sub.Roll(time.Now())
	}
	return sub, err
}

// oneSubscription returns the subscription s that a condition selects; NotFound if there is none.
func (s *Store) oneSubscription(ctx context.Context, where string, args ...any) (models.Subscription, error) {
	var rows []models.Subscription
	if err := s.scan(ctx, "subscription", &rows, "SELECT s.*, "+endingSQL+" AS ending FROM subscriptions s WHERE "+where, args...); err != nil {
		return models.Subscription{}, err
	}
	if len(rows) == 0 {
		return models.Subscription{}, models.Errorf(models.NotFound, "subscription not found")
	}
	return rows[0], nil
}

// SubscriptionView is a subscription with what a list shows of its model and its owner: of the
// model, its id, provider, context length, prices, features, description, restriction and
// availability; the owner's names are left out of his own list.
type SubscriptionView struct {
	models.Subscription
	Model           models.LLM
	Username, Email string
}

// viewColumns are the columns of a view in the order of scanView, of a subscription s and its
// model m. A price is read as text, see llmColumns.
const viewColumns = `s.id, s.user_id, s.model_id, s.status, s.status_reason, s.status_changed_at, s.status_changed_by,
	s.wanted, s.wanted_at, s.wanted_by, s.wanted_reason, s.holds, s.denied_at, s.denied_by, s.denied_reason, s.requested_at,
	s.quota_requests, s.quota_tokens, s.used_requests, s.used_tokens, s.reset_at, s.expires_at, s.metadata, s.created_at, s.updated_at,
	` + endingSQL + `,
	m.provider, m.context_length, m.input_cost_per_token::text, m.output_cost_per_token::text, m.features, m.description, m.restricted_access, m.availability`

// scanView reads viewColumns, and before them what else the row holds.
func scanView(row pgx.Row, v *SubscriptionView, before ...any) error {
	err := row.Scan(append(before,
		(*[16]byte)(&v.ID), (*[16]byte)(&v.UserID), &v.ModelID, &v.Status, &v.StatusReason, &v.StatusChangedAt, &v.StatusChangedBy,
		&v.Wanted, &v.WantedAt, &v.WantedBy, &v.WantedReason, (*holds)(&v.Holds), &v.DeniedAt, &v.DeniedBy, &v.DeniedReason, &v.RequestedAt,
		&v.QuotaRequests, &v.QuotaTokens, &v.UsedRequests, &v.UsedTokens, &v.ResetAt, &v.ExpiresAt, (*raw)(&v.Metadata), &v.CreatedAt, &v.UpdatedAt,
		&v.Ending,
		&v.Model.Provider, &v.Model.ContextLength, &v.Model.InputCost, &v.Model.OutputCost, (*texts)(&v.Model.Features),
		&v.Model.Description, &v.Model.RestrictedAccess, &v.Model.Availability)...)
	v.Model.ID = v.ModelID
	v.Roll(time.Now())
	return err
}

// holds is a jsonb list of them, which hardly ever holds any.
type holds []models.Hold

// ScanBytes reads the list.
func (h *holds) ScanBytes(src []byte) error {
	if string(src) == "[]" {
		*h = nil
		return nil
	}
	return json.Unmarshal(src, (*[]models.Hold)(h))
}

// raw is a jsonb value as Postgres writes it.
type raw json.RawMessage

// ScanBytes keeps the value.
func (r *raw) ScanBytes(src []byte) error {
	*r = append((*r)[:0], src...)
	return nil
}

// SubscriptionView returns one subscription with its model and its owner's names. Not for use in
// a transaction.
func (s *Store) SubscriptionView(ctx context.Context, id uuid.UUID) (SubscriptionView, error) {
	var v SubscriptionView
	row := s.pool.QueryRow(ctx, "SELECT u.username, u.email, "+viewColumns+`
		FROM subscriptions s JOIN models m ON m.id = s.model_id JOIN users u ON u.id = s.user_id WHERE s.id = $1`, id)
	return v, kinded("subscription", scanView(row, &v, &v.Username, &v.Email))
}

// SubscriptionQuery selects a page of a user's subscriptions.
type SubscriptionQuery struct {
	UserID      uuid.UUID
	Page, Limit int                       // both from 1
	Status      models.SubscriptionStatus // "": all but inactive
	ModelID     string                    // "": any
}

// Subscriptions returns a page of a user's subscriptions, the newest first, and how many there
// are on all pages. Not for use in a transaction.
func (s *Store) Subscriptions(ctx context.Context, q SubscriptionQuery) ([]SubscriptionView, int, error) {
	where, args := "s.user_id = $1", []any{q.UserID}
	if q.Status == "" {
		where += " AND s.status <> 'inactive'"
	} else {
		args = append(args, q.Status)
		where += " AND s.status = $" + strconv.Itoa(len(args))
	}
	if q.ModelID != "" {
		args = append(args, q.ModelID)
		where += " AND s.model_id = $" + strconv.Itoa(len(args))
	}
	return s.views(ctx, viewQuery{where: where, order: "s.created_at DESC, s.id", args: args, page: q.Page, limit: q.Limit})
}

// AdminSubscriptionQuery selects a page of all subscriptions; empty fields do not narrow. From
// and To bound when the status last changed, both included.
type AdminSubscriptionQuery struct {
	Page, Limit int // both from 1
	Statuses    []models.SubscriptionStatus
	ModelIDs    []string
	UserIDs     []uuid.UUID
	From, To    *time.Time
}

// AdminSubscriptions returns a page of everybody's subscriptions, what changed last first, and
// how many there are on all pages. Not for use in a transaction.
func (s *Store) AdminSubscriptions(ctx context.Context, q AdminSubscriptionQuery) ([]SubscriptionView, int, error) {
	conds, args := []string{"true"}, []any{}
	add := func(use bool, cond string, value any) {
		if use {
			args = append(args, value)
			conds = append(conds, strings.Replace(cond, "?", "$"+strconv.Itoa(len(args)), 1))
		}
	}
	statuses := make([]string, len(q.Statuses))
	for i, status := range q.Statuses {
		statuses[i] = string(status)
	}
	if len(statuses) == 1 {
		add(true, "s.status = ?", statuses[0]) // by the index that has them in order
	} else {
		add(len(statuses) > 0, "s.status = ANY (?)", statuses)
	}
	add(len(q.ModelIDs) > 0, "s.model_id = ANY (?)", q.ModelIDs)
	add(len(q.UserIDs) > 0, "s.user_id = ANY (?)", q.UserIDs)
	add(q.From != nil, "s.status_changed_at >= ?", q.From)
	add(q.To != nil, "s.status_changed_at <= ?", q.To)
	return s.views(ctx, viewQuery{
		where: strings.Join(conds, " AND "), order: "s.status_changed_at DESC, s.id", args: args, page: q.Page, limit: q.Limit, owners: true,
	})
}

// viewQuery is a page of subscriptions s.
type viewQuery struct {
	where, order string
	args         []any
	page, limit  int
	owners       bool // with the names of their owners
}

// views returns a page and the total, by one statement.
func (s *Store) views(ctx context.Context, q viewQuery) (page []SubscriptionView, total int, err error) {
	count := "(SELECT count(*) FROM subscriptions s WHERE " + q.where + ")"
	names, join := "'', ''", ""
	if q.owners {
		names, join = "u.username, u.email", " JOIN users u ON u.id = s.user_id"
	}
	n := len(q.args)
	sql := "SELECT " + count + ", " + names + ", " + viewColumns + " FROM subscriptions s JOIN models m ON m.id = s.model_id" + join +
		" WHERE " + q.where + " ORDER BY " + q.order + " LIMIT $" + strconv.Itoa(n+1) + " OFFSET $" + strconv.Itoa(n+2)
	rows, err := s.pool.Query(ctx, sql, append(q.args[:n:n], q.limit, (q.page-1)*q.limit)...)
	if err != nil {
		return nil, 0, kinded("subscriptions", err)
	}
	page = make([]SubscriptionView, 0, min(q.limit, 100))
	for rows.Next() {
		page = append(page, SubscriptionView{})
		v := &page[len(page)-1]
		if err := scanView(rows, v, &total, &v.Username, &v.Email); err != nil {
			rows.Close()
			return nil, 0, kinded("subscriptions", err)
		}
	}
	if err := rows.Err(); err != nil || len(page) > 0 || q.page == 1 {
		return page, total, kinded("subscriptions", err)
	}
	err = s.pool.QueryRow(ctx, "SELECT "+count, q.args...).Scan(&total) // the page is past the end
	return page, total, kinded("subscriptions", err)
}
