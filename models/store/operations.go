package store

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/litemaas/litemaas/models"
)

// ClaimOperation begins an operation, to be worked on for that long at most, and says that it
// is the caller's to carry out. Unless the actor's key names one already: then it is that one,
// as it stands, and nobody's to carry out but of who claimed it before; if he has released it,
// or his time is over, and the request is the same, it is claimed anew. Without a key it is
// always a new one.
func (s *Store) ClaimOperation(ctx context.Context, in models.Operation, hold time.Duration) (op models.Operation, claimed bool, err error) {
	var rows []models.Operation
	until := hold.Seconds()
	err = s.scan(ctx, "operation", &rows, `
		INSERT INTO operations AS o (id, actor, idempotency_key, request, request_hash, claimed_until)
		SELECT ?, ?, CAST(? AS text), ?, ?, now() + make_interval(secs => ?)
		WHERE NOT EXISTS (
			SELECT FROM operations WHERE actor = ? AND idempotency_key = ?
			AND (answered_at IS NOT NULL OR claimed_until > now() OR request_hash <> ?))
		ON CONFLICT (actor, idempotency_key) DO UPDATE SET attempt = o.attempt + 1, claimed_until = excluded.claimed_until
		WHERE o.answered_at IS NULL AND o.claimed_until <= now() AND o.request_hash = excluded.request_hash
		RETURNING *`,
		in.ID, in.Actor, in.IdempotencyKey, text(in.Request, 1000), in.RequestHash, until, in.Actor, in.IdempotencyKey, in.RequestHash)
	if err == nil && len(rows) == 0 {
		err = s.scan(ctx, "operation", &rows, "SELECT * FROM operations WHERE actor = ? AND idempotency_key = ?", in.Actor, in.IdempotencyKey)
		if err == nil && len(rows) == 0 {
			err = models.Errorf(models.Unavailable, "the operation is being forgotten; try again")
		}
		if err != nil {
			return models.Operation{}, false, err
		}
		return rows[0], false, nil
	}
	if err != nil {
		return models.Operation{}, false, err
	}
	return rows[0], true, nil
}

// subjectsSQL is a list of ids as an operation notes them, with what is wished of each now.
const subjectsSQL = `
	(SELECT coalesce(jsonb_agg(jsonb_build_object('id', id, 'wish', coalesce(CASE CAST(@what AS text)
		WHEN 'USER' THEN (SELECT generation::text FROM users WHERE id = uuid)
		WHEN 'API_KEY' THEN (SELECT generation::text FROM api_keys WHERE id = uuid)
		WHEN 'SUBSCRIPTION' THEN (SELECT wanted FROM subscriptions WHERE id = uuid)
		WHEN 'SYSTEM_SETTINGS' THEN (SELECT generation::text FROM settings WHERE key = s.id) END, '')) ORDER BY n), '[]')
	FROM (SELECT id, n, ` + uuidOfID + ` AS uuid FROM jsonb_array_elements_text(CAST(@ids AS jsonb)) WITH ORDINALITY AS list (id, n)) s)`

// uuidOfID is a text called id as a UUID; null, if it is none.
const uuidOfID = "CASE WHEN id ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' THEN id::uuid END"

// StampOperation notes what a request did in its operation, as a part of the transaction that
// does it. It is Conflict when somebody else works on the operation by now: then what this
// request does must not be. It does nothing if the request is no operation.
func (s *Store) StampOperation(ctx context.Context, d *models.Deed) error {
	if d == nil || d.Operation == uuid.Nil {
		return nil
	}
	what, ids := d.News()
	n, err := s.affect(ctx, "operation", `
		UPDATE operations SET subject_type = @what, subjects = CASE WHEN subject_type = @what THEN subjects ELSE '[]' END || `+subjectsSQL+`,
			applied_at = coalesce(applied_at, now())
		WHERE id = @id AND attempt = @attempt`, map[string]any{"what": what, "ids": jsonOf(ids), "id": d.Operation, "attempt": d.Attempt})
	if err == nil && n == 0 {
		err = models.Errorf(models.Conflict, "this took too long, and the same request is being carried out anew")
	}
	return err
}

// AcceptOperation records a request, of which nobody asked to be told before, that was answered
// with that status and goes on.
func (s *Store) AcceptOperation(ctx context.Context, in models.Operation, d *models.Deed) error {
	what, ids := d.Subjects()
	return s.exec(ctx, "operation", `
		INSERT INTO operations (id, actor, request, request_hash, claimed_until, status, answered_at, subject_type, applied_at, subjects)
		SELECT @id, @actor, @request, '', at, @status, at, @what, at, `+subjectsSQL+` FROM now() at`,
		map[string]any{"id": in.ID, "actor": in.Actor, "request": text(in.Request, 1000), "status": in.Status, "what": what, "ids": jsonOf(ids)})
}

// AnswerOperation records what the caller was told, for who asks the same again. It does
// nothing when somebody else works on the operation by now.
func (s *Store) AnswerOperation(ctx context.Context, d *models.Deed, a models.OperationAnswer) error {
	headers, err := json.Marshal(a.Headers)
	if err != nil {
		return models.Wrap(models.Internal, err, "operation %s", d.Operation)
	}
	return s.exec(ctx, "operation", `
		UPDATE operations SET status = ?, headers = CAST(? AS jsonb), body = ?, code = ?, failure = ?, answered_at = now(), claimed_until = now()
		WHERE id = ? AND attempt = ?`, a.Status, string(headers), a.Body, a.Code, text(a.Failure, 500), d.Operation, d.Attempt)
}

// ReleaseOperation lets the same request try again at once, and records why this one did not
// end well; status 0 says nothing of it.
func (s *Store) ReleaseOperation(ctx context.Context, d *models.Deed, a models.OperationAnswer) error {
	return s.exec(ctx, "operation", `
		UPDATE operations SET claimed_until = now(), status = coalesce(nullif(?, 0), status), code = ?, failure = ?
		WHERE id = ? AND attempt = ?`, a.Status, a.Code, text(a.Failure, 500), d.Operation, d.Attempt)
}

// operationSQL reads the operations that %where% selects, with their states. An answer that
// stays is the outcome, unless it was 202; before anything was committed that it is about, who
// works on the operation has to go on; else its subjects prove their wishes, by the rules of their own
// statuses: one that goes on, and one that failed, is told for all.
const operationSQL = `
	SELECT o.id, o.actor, o.idempotency_key, o.request, o.subject_type, o.subjects, o.applied_at, o.status, o.code, o.created_at, o.answered_at,
		coalesce(proof.failure, o.failure) AS failure,
		CASE WHEN o.open THEN coalesce(proof.state, 'succeeded')
		     WHEN o.answered_at IS NOT NULL AND o.status < 400 THEN 'succeeded'
		     WHEN o.answered_at IS NULL AND o.claimed_until > now() THEN 'running'
		     ELSE 'failed' END AS state
	FROM (SELECT *, CASE WHEN answered_at IS NULL THEN applied_at IS NOT NULL AND subjects <> '[]' ELSE status = 202 END AS open
	      FROM operations WHERE %where%) o
	LEFT JOIN LATERAL (
		SELECT (array_agg(state ORDER BY array_position(ARRAY['running', 'failed', 'succeeded'], state)))[1] AS state,
		       max(failure) FILTER (WHERE state = 'failed') AS failure
		FROM (SELECT id, wish, ` + uuidOfID + ` AS uuid FROM jsonb_to_recordset(o.subjects) AS list (id text, wish text) WHERE o.open) s,
		LATERAL (` + proofSQL + `) p) proof ON true`

// proofSQL is how far the subject s of an operation o is with what was wished of it.
const proofSQL = `
	SELECT CASE WHEN observed_generation >= s.wish::bigint THEN 'succeeded'
	            WHEN failed_generation >= s.wish::bigint THEN 'failed' ELSE 'running' END AS state, failure
	FROM users u WHERE o.subject_type = 'USER' AND s.wish <> '' AND u.id = s.uuid
	UNION ALL
	SELECT CASE WHEN observed_generation >= s.wish::bigint THEN 'succeeded'
	            WHEN failed_generation >= s.wish::bigint THEN 'failed' ELSE 'running' END, failure
	FROM api_keys k WHERE o.subject_type = 'API_KEY' AND s.wish <> '' AND k.id = s.uuid
	UNION ALL
	SELECT CASE WHEN observed_generation >= s.wish::bigint THEN 'succeeded' ELSE 'running' END, ''
	FROM settings WHERE o.subject_type = 'SYSTEM_SETTINGS' AND s.wish <> '' AND key = s.id
	UNION ALL
	SELECT CASE r.status WHEN 'completed' THEN 'succeeded' WHEN 'failed' THEN 'failed' ELSE 'running' END, r.failure
	FROM (SELECT s.uuid WHERE o.subject_type = 'SYNC_RUN') run LEFT JOIN sync_runs r ON r.id = run.uuid
	UNION ALL
	SELECT CASE WHEN b.due OR b.observed_generation < b.generation THEN 'running' ELSE 'succeeded' END, ''
	FROM budgets b WHERE o.subject_type = 'BUDGET' AND b.id = s.uuid
	   OR o.subject_type = 'BUDGET_RAISE' AND b.id = (SELECT r.budget_id FROM budget_raises r WHERE r.id = s.uuid)
	UNION ALL
	SELECT 'running', '' FROM sync_proposals
	WHERE o.subject_type = 'MODEL' AND id = s.uuid AND status = 'approved' AND applied_at IS NULL
	UNION ALL
	SELECT 'running', '' FROM cascades
	WHERE o.subject_type = 'MODEL' AND model_id = s.id AND cause = 'model_restricted' AND observed_generation < generation
	UNION ALL
	SELECT CASE WHEN sub.wanted <> '' OR EXISTS (
			SELECT FROM cascade_subscriptions cs JOIN cascades c ON c.id = cs.cascade_id JOIN cascade_keys ck ON ck.cascade_id = c.id
			JOIN api_keys k ON k.id = ck.api_key_id
			WHERE cs.subscription_id = s.uuid AND c.observed_generation < c.generation
			  AND k.observed_generation < k.generation AND k.failed_generation < k.generation
			  AND k.user_id = coalesce(sub.user_id, k.user_id)) THEN 'running'
		WHEN sub.id IS NOT NULL AND s.wish = 'active' AND NOT EXISTS (
			SELECT FROM subscription_status_history h
			WHERE h.subscription_id = sub.id AND h.new_status = 'active' AND h.changed_at >= o.applied_at) THEN 'failed'
		ELSE 'succeeded' END, sub.status_reason
	FROM (SELECT s.uuid WHERE o.subject_type = 'SUBSCRIPTION') one LEFT JOIN subscriptions sub ON sub.id = one.uuid`

// Operation returns one operation, with its state and without its answer.
func (s *Store) Operation(ctx context.Context, id uuid.UUID) (models.Operation, error) {
	var rows []models.Operation
	err := s.scan(ctx, "operation", &rows, strings.Replace(operationSQL, "%where%", "id = ?", 1), id)
	if err == nil && len(rows) == 0 {
		err = models.Errorf(models.NotFound, "operation %s not found", id)
	}
	if err != nil {
		return models.Operation{}, err
	}
	return rows[0], nil
}

// OperationQuery selects a page of the operations.
type OperationQuery struct {
	Page, Limit int                   // both from 1
	Actor       string                // "": anybody
	State       models.OperationState // "": any
}

// Operations returns a page of the operations with their states and without their answers, the
// newest first, and how many there are on all pages.
func (s *Store) Operations(ctx context.Context, q OperationQuery) (page []models.Operation, total int, err error) {
	args := map[string]any{"actor": q.Actor, "state": q.State, "limit": q.Limit, "offset": (q.Page - 1) * q.Limit}
	where, order := "true", " ORDER BY created_at DESC, id"
	if q.Actor != "" {
		where = "actor = @actor"
	}
	page = []models.Operation{}
	var sql string
	if q.State == "" { // only those of the page have to prove anything
		err = s.scan(ctx, "operations", &total, "SELECT count(*) FROM operations WHERE "+where, args)
		sql = strings.Replace(operationSQL, "%where%", where+order+" LIMIT @limit OFFSET @offset", 1) + " ORDER BY o.created_at DESC, o.id"
	} else {
		in := " FROM (" + strings.Replace(operationSQL, "%where%", where, 1) + ") o WHERE state = @state"
		err = s.scan(ctx, "operations", &total, "SELECT count(*)"+in, args)
		sql = "SELECT *" + in + order + " LIMIT @limit OFFSET @offset"
	}
	if err != nil {
		return nil, 0, err
	}
	return page, total, s.scan(ctx, "operations", &page, sql, args)
}

// forgetAtOnce bounds how many operations one statement deletes.
const forgetAtOnce = 1000

// ForgetOperations takes away the operations that are older than kept, answered or not, and
// says how many; those that still run only when they are older than followed.
func (s *Store) ForgetOperations(ctx context.Context, kept, followed time.Duration) (int, error) {
	now, total := time.Now(), 0
	for {
		n, err := s.affect(ctx, "operations", `DELETE FROM operations WHERE id IN (
			SELECT id FROM (`+strings.Replace(operationSQL, "%where%", "created_at < ?", 1)+`) o
			WHERE state <> 'running' OR created_at < ? LIMIT ?)`, now.Add(-kept), now.Add(-followed), forgetAtOnce)
		total += n
		if err != nil || n < forgetAtOnce {
			return total, err
		}
	}
}
