package store

import (
	"context"
	"strconv"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/litemaas/litemaas/models"
)

// KeyView is a key with what a list shows of its models: id, provider, context length and
// features.
type KeyView struct {
	models.Key
	LLMs []models.LLM // in the order of Models
}

// keyViewSQL reads the columns of a view in the order of scanKeyView, of a key k and its models.
const keyViewSQL = `k.id, k.user_id, k.team_id, k.name, k.alias, k.hash, k.prefix, k.holds, k.max_budget, k.budget_duration, k.tpm_limit, k.rpm_limit,
	k.max_parallel, k.model_tpm, k.model_rpm, k.metadata, ` + spentByKey + `, k.raised, k.throttle_rpm, k.throttle_tpm, k.blocked_models, k.expires_at, k.revoked_at,
	k.soft_budget, k.model_max_budget, k.tags, k.permissions, k.guardrails, k.subscription_id, k.created_by, k.revoked_by, k.revoked_why,
	k.deleted_at, k.last_used_at, k.generation, k.observed_generation, k.failed_generation, k.reset_generation, k.failure, k.created_at, k.updated_at,
	l.ids, l.providers, l.contexts, l.features
	FROM api_keys k CROSS JOIN LATERAL (
		SELECT array_agg(m.id ORDER BY m.id COLLATE "C") AS ids, array_agg(m.provider ORDER BY m.id COLLATE "C") AS providers,
		       array_agg(m.context_length ORDER BY m.id COLLATE "C") AS contexts, array_agg(m.features::text ORDER BY m.id COLLATE "C") AS features
		FROM api_key_models km JOIN models m ON m.id = km.model_id WHERE km.api_key_id = k.id) l`

// scanKeyView reads keyViewSQL, and before it what else the row holds.
func scanKeyView(row pgx.Row, v *KeyView, before ...any) error {
	var ids, providers, features []string
	var contexts []*int64
	k, t := &v.Key, &v.Terms
	err := row.Scan(append(before,
		(*[16]byte)(&k.ID), (*[16]byte)(&k.UserID), &k.TeamID, &k.Name, &k.Alias, &k.Hash, &k.Prefix, (*holds)(&k.Holds),
		&k.Limits.MaxBudget, &k.Limits.BudgetDuration, &k.Limits.TPM, &k.Limits.RPM,
		&k.MaxParallel, &k.ModelTPM, &k.ModelRPM, (*raw)(&k.Metadata), &k.Spend, &k.Raised, &k.ThrottleRPM, &k.ThrottleTPM, (*texts)(&k.BlockedModels), &k.ExpiresAt, &k.RevokedAt,
		&t.SoftBudget, &t.ModelMaxBudget, (*texts)(&t.Tags), &t.Permissions, (*texts)(&t.Guardrails), &t.SubscriptionID,
		&k.CreatedBy, &k.RevokedBy, &k.RevokedWhy, &k.DeletedAt, &k.LastUsedAt,
		&k.Generation, &k.ObservedGeneration, &k.FailedGeneration, &k.ResetGeneration, &k.Failure, &k.CreatedAt, &k.UpdatedAt,
		&ids, &providers, &contexts, &features)...)
	if err != nil {
		return err
	}
	if len(k.BlockedModels) == 0 {
		k.BlockedModels = nil
	}
	k.Models, v.LLMs = append([]string{}, ids...), make([]models.LLM, len(ids))
	for i, id := range ids {
		v.LLMs[i] = models.LLM{ID: id, Provider: providers[i], ContextLength: contexts[i]}
		if err := (*texts)(&v.LLMs[i].Features).ScanBytes([]byte(features[i])); err != nil {
			return err
		}
	}
	return nil
}

// UserKey returns a key of a user, with its sealed secret; NotFound, if it is not his, or is
// deleted. Not for use in a transaction.
func (s *Store) UserKey(ctx context.Context, userID, id uuid.UUID) (KeyView, error) {
	var v KeyView
	row := s.pool.QueryRow(ctx, "SELECT k.sealed, "+keyViewSQL+" WHERE k.id = $1 AND k.user_id = $2 AND k.deleted_at IS NULL", id, userID)
	err := scanKeyView(row, &v, &v.Sealed)
	return v, kinded("API key", err)
}

// KeyQuery selects a page of a user's keys; empty fields do not narrow.
type KeyQuery struct {
	UserID         uuid.UUID
	Page, Limit    int // both from 1
	SubscriptionID uuid.UUID
	ModelIDs       []string // it may call one of them
	Active         *bool    // whether it can be used now
}

// activeKey is SQL for models.KeyActive of a key k.
const activeKey = `(k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > now()) AND k.observed_generation > 0 AND k.holds = '[]'
	AND EXISTS (SELECT FROM api_key_models am WHERE am.api_key_id = k.id))`

// Keys returns a page of a user's keys, the newest first, without their secrets, and how many
// there are on all pages. Not for use in a transaction.
func (s *Store) Keys(ctx context.Context, q KeyQuery) (page []KeyView, total int, err error) {
	where, args := "k.user_id = $1 AND k.deleted_at IS NULL", []any{q.UserID}
	add := func(cond string, value any) {
		args = append(args, value)
		where += " AND " + strings.Replace(cond, "?", "$"+strconv.Itoa(len(args)), 1)
	}
	if q.SubscriptionID != uuid.Nil {
		add("k.subscription_id = ?", q.SubscriptionID)
	}
	if len(q.ModelIDs) > 0 {
		add("EXISTS (SELECT FROM api_key_models fm WHERE fm.api_key_id = k.id AND fm.model_id = ANY (?))", q.ModelIDs)
	}
	if q.Active != nil {
		add(activeKey+" = ?", *q.Active)
	}
	count := "(SELECT count(*) FROM api_keys k WHERE " + where + ")"
	n := len(args)
	rows, err := s.pool.Query(ctx, "SELECT "+count+", "+keyViewSQL+" WHERE "+where+
		" ORDER BY k.created_at DESC, k.id LIMIT $"+strconv.Itoa(n+1)+" OFFSET $"+strconv.Itoa(n+2), append(args[:n:n], q.Limit, (q.Page-1)*q.Limit)...)
	if err != nil {
		return nil, 0, kinded("API keys", err)
	}
	page = make([]KeyView, 0, min(q.Limit, 100))
	for rows.Next() {
		page = append(page, KeyView{})
		if err := scanKeyView(rows, &page[len(page)-1], &total); err != nil {
			rows.Close()
			return nil, 0, kinded("API keys", err)
		}
	}
	if err := rows.Err(); err != nil || len(page) > 0 || q.Page == 1 {
		return page, total, kinded("API keys", err)
	}
	err = s.pool.QueryRow(ctx, "SELECT "+count, args...).Scan(&total) // the page is past the end
	return page, total, kinded("API keys", err)
}

// KeyStats counts the keys of a user that are not deleted.
type KeyStats struct {
	Total, Active, Expired, Revoked int
	BySubscription                  map[string]int // by its id; those that were asked for the old way
	ByModel                         map[string]int
}

// KeyStats counts the keys of a user. Not for use in a transaction.
func (s *Store) KeyStats(ctx context.Context, userID uuid.UUID) (KeyStats, error) {
	out := KeyStats{BySubscription: map[string]int{}, ByModel: map[string]int{}}
	err := s.pool.QueryRow(ctx, `
		WITH own AS (SELECT * FROM api_keys WHERE user_id = $1 AND deleted_at IS NULL)
		SELECT count(*), count(*) FILTER (WHERE `+activeKey+`),
		       count(*) FILTER (WHERE k.revoked_at IS NULL AND k.expires_at <= now()), count(*) FILTER (WHERE k.revoked_at IS NOT NULL),
		       (SELECT coalesce(jsonb_object_agg(subscription_id, n), '{}') FROM (
		            SELECT subscription_id, count(*) AS n FROM own WHERE subscription_id IS NOT NULL GROUP BY subscription_id) s),
		       (SELECT coalesce(jsonb_object_agg(model_id, n), '{}') FROM (
		            SELECT m.model_id, count(*) AS n FROM own JOIN api_key_models m ON m.api_key_id = own.id GROUP BY m.model_id) m)
		FROM own k`, userID).Scan(&out.Total, &out.Active, &out.Expired, &out.Revoked, &out.BySubscription, &out.ByModel)
	return out, kinded("API keys", err)
}

// KeyName is a key with its owner's names, for people who choose one.
type KeyName struct {
	ID, UserID                   uuid.UUID
	Name, Alias, Username, Email string
	Deleted                      bool
}

// KeyNames returns a page of everybody's keys, or of those of some users, by name; the deleted
// ones too, as what they used is still theirs. It says how many there are on all pages. Not for use
// in a transaction.
func (s *Store) KeyNames(ctx context.Context, userIDs []uuid.UUID, page, limit int) ([]KeyName, int, error) {
	where, args := "true", []any{}
	if len(userIDs) > 0 {
		where, args = "k.user_id = ANY ($1)", append(args, userIDs)
	}
	count := "SELECT count(*) FROM api_keys k WHERE " + where
	n := len(args)
	rows, err := s.pool.Query(ctx, "SELECT ("+count+`), k.id, k.user_id, k.name, k.alias, u.username, u.email, k.deleted_at IS NOT NULL
		FROM api_keys k JOIN users u ON u.id = k.user_id WHERE `+where+
		" ORDER BY k.name, k.id LIMIT $"+strconv.Itoa(n+1)+" OFFSET $"+strconv.Itoa(n+2), append(args[:n:n], limit, (page-1)*limit)...)
	if err != nil {
		return nil, 0, kinded("API keys", err)
	}
	total := 0
	names, err := pgx.AppendRows([]KeyName{}, rows, func(row pgx.CollectableRow) (k KeyName, err error) {
		err = row.Scan(&total, (*[16]byte)(&k.ID), (*[16]byte)(&k.UserID), &k.Name, &k.Alias, &k.Username, &k.Email, &k.Deleted)
		return k, err
	})
	if err == nil && len(names) == 0 && page > 1 {
		err = s.pool.QueryRow(ctx, count, args...).Scan(&total)
	}
	return names, total, kinded("API keys", err)
}
