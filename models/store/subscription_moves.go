package store

import (
	"cmp"
	"context"
	"encoding/json"
	"maps"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/litemaas/litemaas/models"
)

// Transactions lock in this order, so that none waits for one that waits for it: models by id,
// users by id, subscriptions by id, keys by id, cascades, and the audit log as the last of all.
// What only counts or decides leaves out what it does not need, but never goes back.

// move is a step that some subscriptions take together.
type move struct {
	step   models.SubscriptionStep
	to     models.SubscriptionStatus
	reason string
	by     models.Actor
	doer   string             // whose doing the row and the history call it; "": by's
	action models.AuditAction // "": that of the step
	hold   models.Hold        // of a suspension
	wish   models.SubscriptionStatus
	set    string         // SQL for what else of the row changes
	args   map[string]any // that set names
	quiet  bool           // nobody is told

	cascade uuid.UUID // that it is a part of; zero: none
}

// maxReason bounds what people give as a reason, in bytes.
const maxReason = 1000

// moved is what became of one subscription.
type moved struct {
	ID      uuid.UUID                 `json:"id"`
	UserID  uuid.UUID                 `json:"user_id"`
	ModelID string                    `json:"model_id"`
	Old     models.SubscriptionStatus `json:"old"`
	New     models.SubscriptionStatus `json:"new"`
	At      time.Time                 `json:"at"`
}

// moveSQL is the whole of a step: the state machine's sources are its condition, and the history
// is written by the same statement.
const moveSQL = `
	WITH old AS (
		SELECT id, status FROM subscriptions
		WHERE id = ANY (CAST(@ids AS uuid[])) AND status IN @from ORDER BY id FOR NO KEY UPDATE
	), moved AS (
		UPDATE subscriptions s SET status = @to, status_reason = @reason, status_changed_at = clock_timestamp(), status_changed_by = @doer,
		       wanted = @wish, wanted_at = CASE WHEN @wish <> '' THEN clock_timestamp() END,
		       wanted_by = CASE WHEN @wish <> '' THEN @doer ELSE '' END, wanted_reason = CASE WHEN @wish <> '' THEN @reason ELSE '' END,
		       holds = CAST(@holds AS jsonb), updated_at = now() %set%
		FROM old WHERE s.id = old.id
		RETURNING s.id, s.user_id, s.model_id, old.status AS old, s.status AS new, s.status_changed_at AS at
	), history AS (
		INSERT INTO subscription_status_history (subscription_id, old_status, new_status, reason, changed_by, changed_at)
		SELECT id, old, new, @reason, @doer, at FROM moved ORDER BY at, id
	)
	SELECT * FROM moved ORDER BY at, id`

// move takes the step with those of the subscriptions from whose status it may be taken, writes
// history and audit, and announces it. It returns those that moved.
func (s *Store) move(ctx context.Context, m move, ids ...uuid.UUID) ([]moved, error) {
	m.reason = text(m.reason, maxReason)
	from := []models.SubscriptionStatus{""} // none is like that; SQL knows no empty list
	for _, status := range m.step.Sources() {
		if m.step.Leads(status, m.to) {
			from = append(from, status)
		}
	}
	holds := []string{}
	if m.hold != "" {
		holds = append(holds, string(m.hold))
	}
	args := map[string]any{
		"ids": uuidArray(ids), "from": from, "to": m.to, "reason": m.reason, "doer": cmp.Or(m.doer, m.by.ID),
		"wish": m.wish, "holds": jsonOf(holds),
	}
	maps.Copy(args, m.args)
	if m.set != "" {
		m.set = ", " + m.set
	}
	var rows []moved
	err := s.scan(ctx, "subscriptions", &rows, strings.Replace(moveSQL, "%set%", m.set, 1), args)
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	if err := s.announceMoves(ctx, m, rows); err != nil {
		return nil, err
	}
	return rows, s.auditMoves(ctx, m, rows)
}

// announceMoves tells people of a step.
func (s *Store) announceMoves(ctx context.Context, m move, rows []moved) error {
	kind := m.step.Announcement()
	if kind == "" || m.quiet {
		return nil
	}
	news := make([]models.Announcement, len(rows))
	for i, r := range rows {
		news[i] = announcement(kind, r.ID, r.UserID, map[string]any{
			"modelId": r.ModelID, "status": r.New, "oldStatus": r.Old, "reason": m.reason,
		})
	}
	return s.announce(ctx, news...)
}

// announcement is one about a subscription.
func announcement(kind string, id, userID uuid.UUID, data map[string]any) models.Announcement {
	return models.Announcement{Type: kind, SubjectType: "subscription", SubjectID: id.String(), UserID: &userID, Data: data}
}

// auditMoves writes a step into the log.
func (s *Store) auditMoves(ctx context.Context, m move, rows []moved) error {
	for _, r := range rows {
		detail := map[string]any{"userId": r.UserID, "modelId": r.ModelID, "reason": m.reason}
		if m.cascade != uuid.Nil {
			detail["cascadeId"] = m.cascade
		}
		if m.wish != "" {
			detail["wanted"] = m.wish
		}
		err := s.Audit(ctx, m.by, models.Event{
			Action: cmp.Or(m.action, m.step.Action()), ResourceType: models.AuditOfSubscription, ResourceID: r.ID.String(), Detail: detail,
			Before: map[string]any{"status": r.Old}, After: map[string]any{"status": r.New},
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// moveOne is move for a subscription that is locked and was judged.
func (s *Store) moveOne(ctx context.Context, m move, id uuid.UUID) error {
	rows, err := s.move(ctx, m, id)
	if err == nil && len(rows) == 0 {
		return models.Errorf(models.Conflict, "the subscription is not in a state for that")
	}
	return err
}

// lockedSubscription returns the subscription that a condition on s selects, which stays as it
// is until the transaction ends.
func (s *Store) lockedSubscription(ctx context.Context, where string, args ...any) (models.Subscription, error) {
	return s.oneSubscription(ctx, where+" FOR NO KEY UPDATE OF s", args...)
}

// uuidArray is a list as an array parameter of Postgres, of any length.
func uuidArray(ids []uuid.UUID) string {
	words := make([]string, len(ids))
	for i, id := range ids {
		words[i] = id.String()
	}
	return "{" + strings.Join(words, ",") + "}"
}

// rowsOf is a list as a parameter for jsonb_to_recordset.
func rowsOf[T any](list []T) string {
	raw, _ := json.Marshal(append([]T{}, list...)) // ids, words and times always marshal
	return string(raw)
}
