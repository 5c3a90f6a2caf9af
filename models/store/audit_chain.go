package store

import (
	"context"
	"encoding/hex"

	"github.com/litemaas/litemaas/models"
)

// AuditHead is the end of the audit log's chain: a mark to keep elsewhere.
func (s *Store) AuditHead(ctx context.Context) (models.AuditMark, error) {
	var m models.AuditMark
	return m, s.scan(ctx, "audit log", &m, "SELECT id, hash FROM audit_head")
}

// VerifyAudit looks at every row of the audit log from a mark on, and finds those that were
// changed, taken out or moved. The mark is one that was kept elsewhere; zero begins with the
// oldest row that retention has left. The hashes are computed here, by nothing that the
// database could have been made to say. It is Invalid when retention took the mark's row away.
// Not for use in a transaction.
func (s *Store) VerifyAudit(ctx context.Context, from models.AuditMark) (models.AuditReport, error) {
	head, err := s.AuditHead(ctx)
	if err != nil {
		return models.AuditReport{}, err
	}
	start, err := s.auditStart(ctx)
	if err != nil {
		return models.AuditReport{}, err
	}
	walk := models.NewAuditWalk(start, func(hash []byte) (int64, error) { return s.auditRowOf(ctx, hash) })
	if from.ID != 0 {
		if from.ID <= start.ID {
			return models.AuditReport{}, models.Errorf(models.Invalid, "the rows up to %d were dropped by retention", start.ID)
		}
		walk.From(from)
		start.ID = from.ID - 1
	}
	err = s.auditRows(ctx, start.ID, head.ID, walk)
	if err != nil || walk.Full() {
		return walk.Report, err
	}
	return walk.End(head), nil
}

// auditStart is the last row that retention took away, by the word of the log itself.
func (s *Store) auditStart(ctx context.Context) (models.AuditMark, error) {
	var last []struct {
		LastID   int64
		LastHash string
	}
	err := s.scan(ctx, "audit log", &last, `
		SELECT CAST(detail->>'lastId' AS bigint) AS last_id, detail->>'lastHash' AS last_hash FROM audit
		WHERE action = ? AND jsonb_exists(detail, 'lastId') ORDER BY id DESC LIMIT 1`, models.AuditDrop)
	if err != nil || len(last) == 0 {
		return models.AuditMark{Hash: make([]byte, 32)}, err
	}
	hash, err := hex.DecodeString(last[0].LastHash)
	if err != nil {
		return models.AuditMark{}, models.Wrap(models.Internal, err, "audit log")
	}
	return models.AuditMark{ID: last[0].LastID, Hash: hash}, nil
}

// auditRowOf returns the row with that hash; 0 if there is none.
func (s *Store) auditRowOf(ctx context.Context, hash []byte) (int64, error) {
	var id int64
	return id, s.scan(ctx, "audit log", &id, "SELECT id FROM audit WHERE hash = ? LIMIT 1", hash)
}

// auditRows walks over the rows after one and up to another, as they come in.
func (s *Store) auditRows(ctx context.Context, after, upTo int64, walk *models.AuditWalk) error {
	rows, err := s.pool.Query(ctx, `
		SELECT id, at, actor, via, action, resource_type, resource_id, detail::text, before::text, after::text, success, failure,
		       ip, user_agent, request_id, session_id::text, prev_hash, hash
		FROM audit WHERE id > $1 AND id <= $2 ORDER BY id, at`, after, upTo)
	if err != nil {
		return kinded("audit log", err)
	}
	defer rows.Close()
	for !walk.Full() && rows.Next() {
		var e models.AuditEntry
		err := rows.Scan(&e.ID, &e.At, &e.Actor, &e.Via, &e.Action, &e.ResourceType, &e.ResourceID,
			(*[]byte)(&e.Detail), (*[]byte)(&e.Before), (*[]byte)(&e.After), &e.Success, &e.Failure,
			&e.IP, &e.UserAgent, &e.RequestID, &e.SessionID, &e.PrevHash, &e.Hash)
		if err != nil {
			return kinded("audit log", err)
		}
		if err := walk.Step(&e); err != nil {
			return err
		}
	}
	return kinded("audit log", rows.Err())
}
