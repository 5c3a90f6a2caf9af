package store

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/litemaas/litemaas/models"
)

// usageRow is what was used of one subscription in this month.
type usageRow struct {
	UserID   uuid.UUID `json:"user_id"`
	ModelID  string    `json:"model_id"`
	Requests int64     `json:"requests"`
	Tokens   int64     `json:"tokens"`
}

// thisMonth adds up what counts: what was used in a month that is over is not held against
// anybody any more.
func thisMonth(used []models.Usage, now time.Time) []usageRow {
	reset := models.QuotaReset(now)
	sums, order := map[models.Usage]int{}, []usageRow{}
	for _, u := range used {
		if models.QuotaReset(u.At).Before(reset) {
			continue
		}
		key := models.Usage{UserID: u.UserID, ModelID: u.ModelID}
		i, there := sums[key]
		if !there {
			i = len(order)
			sums[key], order = i, append(order, usageRow{UserID: u.UserID, ModelID: u.ModelID})
		}
		order[i].Requests += u.Requests
		order[i].Tokens += u.Tokens
	}
	return order
}

// countSQL counts a batch in one statement, in the order of ids, so that batches at once do not
// wait for each other in a circle. A month that is over ends here, too; a correction of what was used
// before an admin counted from zero takes nothing off that. It answers those whose
// quota is used up now, and those that are held for one that is not.
const countSQL = `
	WITH locked AS (
		SELECT s.id, v.requests, v.tokens
		FROM jsonb_to_recordset(CAST(@rows AS jsonb)) AS v (user_id uuid, model_id text, requests bigint, tokens bigint)
		JOIN subscriptions s ON s.user_id = v.user_id AND s.model_id = v.model_id
		ORDER BY s.id FOR NO KEY UPDATE OF s
	), counted AS (
		UPDATE subscriptions s SET reset_at = greatest(s.reset_at, @reset),
		       used_requests = greatest(0, CASE WHEN s.reset_at < @reset THEN 0 ELSE s.used_requests END + l.requests),
		       used_tokens = greatest(0, CASE WHEN s.reset_at < @reset THEN 0 ELSE s.used_tokens END + l.tokens)
		FROM locked l WHERE s.id = l.id
		RETURNING s.id, s.status, s.holds, coalesce(` + exceeded + `, false) AS over
	)
	SELECT id, over FROM counted WHERE over AND status = 'active' OR NOT over AND jsonb_exists(holds, @hold) ORDER BY id`

// RecordUsage counts what was used towards the quotas of this month. The subscriptions whose
// quota is used up by it are suspended; what nobody is subscribed to is not counted. It returns
// the cascades on which LiteLLM has to follow.
func (s *Store) RecordUsage(ctx context.Context, used []models.Usage, by models.Actor) ([]models.Cascade, error) {
	now := time.Now()
	rows := thisMonth(used, now)
	if len(rows) == 0 {
		return nil, nil
	}
	var follow []models.Cascade
	err := s.InTx(ctx, func(tx *Store) error {
		var judged []struct {
			ID   uuid.UUID
			Over bool
		}
		err := tx.scan(ctx, "usage", &judged, countSQL, map[string]any{
			"rows": rowsOf(rows), "reset": models.QuotaReset(now), "hold": models.HoldQuota,
		})
		if err != nil {
			return err
		}
		var over, under []uuid.UUID
		for _, j := range judged {
			if j.Over {
				over = append(over, j.ID)
			} else {
				under = append(under, j.ID)
			}
		}
		follow, err = tx.judgeQuotas(ctx, over, under, reasonReset, by)
		return err
	})
	return follow, err
}

// judgeQuotas suspends locked subscriptions whose quota is used up, and resumes those that were
// held for one that is not. It returns the cascades on which LiteLLM has to follow.
func (s *Store) judgeQuotas(ctx context.Context, over, under []uuid.UUID, why string, by models.Actor) ([]models.Cascade, error) {
	follow, err := s.resume(ctx, models.HoldQuota, why, by, under)
	if err != nil || len(over) == 0 {
		return follow, err
	}
	c, err := s.cascade(ctx, models.CauseQuota, suspension(models.HoldQuota, reasonExceeded, by), over...)
	if err == nil && !c.Settled() {
		follow = append(follow, c)
	}
	return follow, err
}

// ResetQuotas counts the quotas of up to limit subscriptions from zero whose month is over, also
// if it was over long ago; what was suspended for that alone is active again. It returns how
// many, and the cascades on which LiteLLM has to follow.
func (s *Store) ResetQuotas(ctx context.Context, limit int, by models.Actor) (int, []models.Cascade, error) {
	now := time.Now()
	return s.resetQuotas(ctx, by, `s.reset_at <= ? AND s.resets AND s.id IN (
		SELECT id FROM subscriptions WHERE resets AND reset_at <= ? ORDER BY reset_at, id LIMIT ?)`, now, now, limit)
}

// ResetUserQuotas counts the quotas of a user, or of everybody (nil), from zero, as an admin
// wants it. It returns of how many something was used, and the cascades on which LiteLLM has to
// follow. It is NotFound for an unknown user.
func (s *Store) ResetUserQuotas(ctx context.Context, userID *uuid.UUID, by models.Actor) (n int, follow []models.Cascade, err error) {
	err = s.InTx(ctx, func(tx *Store) error {
		where, args, subject := "s.resets", []any{}, "all"
		if userID != nil {
			if _, err := tx.User(ctx, *userID); err != nil {
				return err
			}
			where, args, subject = "s.resets AND s.user_id = ?", []any{*userID}, userID.String()
		}
		var err error
		if n, follow, err = tx.resetQuotas(ctx, by, where, args...); err != nil {
			return err
		}
		return tx.Audit(ctx, by, models.Event{
			Action: models.AuditQuotasReset, ResourceType: models.AuditOfSubscription, ResourceID: subject,
			Detail: map[string]any{"userId": userID, "subscriptions": n},
		})
	})
	return n, follow, err
}

// resetQuotas counts the subscriptions s that a condition selects from zero.
func (s *Store) resetQuotas(ctx context.Context, by models.Actor, where string, args ...any) (n int, follow []models.Cascade, err error) {
	err = s.InTx(ctx, func(tx *Store) error {
		ids, err := tx.lockedIDs(ctx, where, args...)
		if n = len(ids); err != nil || n == 0 {
			return err
		}
		var held []uuid.UUID
		err = tx.scan(ctx, "subscriptions", &held, `
			WITH reset AS (
				UPDATE subscriptions SET used_requests = 0, used_tokens = 0, reset_at = @reset
				WHERE id = ANY (CAST(@ids AS uuid[])) RETURNING id, holds
			)
			SELECT id FROM reset WHERE jsonb_exists(holds, @hold) ORDER BY id`, map[string]any{
			"ids": uuidArray(ids), "reset": models.QuotaReset(time.Now()), "hold": models.HoldQuota,
		})
		if err != nil {
			return err
		}
		follow, err = tx.resume(ctx, models.HoldQuota, reasonReset, by, held)
		return err
	})
	return n, follow, err
}
