package store

import (
	"context"
	"encoding/json"
	"strings"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/litemaas/litemaas/models"
)

// ledger collects what a transaction audits, as JSON. It is written in one statement at the
// end: from there on, others that audit wait for the commit, so nothing slow and no other lock
// may follow.
type ledger struct{ rows []ledgerRow }

// ledgerRow is one event, and whose deed it is; nil: nobody's, or it was not done.
type ledgerRow struct {
	json json.RawMessage
	deed *models.Deed
	to   models.AuditResource
	id   string
}

// keep runs a part of the transaction. What it audits is forgotten if it fails.
func (l *ledger) keep(part func() error) error {
	n := len(l.rows)
	err := part()
	if err != nil {
		l.rows = l.rows[:n]
	}
	return err
}

// auditRow is what is written of one event; the database adds the rest.
type auditRow struct {
	Actor        string               `json:"actor"`
	Via          string               `json:"via"`
	Action       models.AuditAction   `json:"action"`
	ResourceType models.AuditResource `json:"resource_type"`
	ResourceID   string               `json:"resource_id"`
	Detail       any                  `json:"detail"`
	Before       any                  `json:"before"`
	After        any                  `json:"after"`
	Failure      string               `json:"failure"`
	IP           string               `json:"ip"`
	UserAgent    string               `json:"user_agent"`
	RequestID    string               `json:"request_id"`
	SessionID    *uuid.UUID           `json:"session_id"`
}

// Audit records what somebody did, or tried to do: as the last thing of the transaction that
// it is part of, else in one of its own, as for a denial. It is Internal when the event holds
// a secret.
func (s *Store) Audit(ctx context.Context, by models.Actor, e models.Event) error {
	if s.ledger == nil {
		return s.InTx(ctx, func(tx *Store) error { return tx.Audit(ctx, by, e) })
	}
	row := auditRow{
		Actor: by.ID, Via: by.Via, Action: e.Action, ResourceType: e.ResourceType, ResourceID: text(e.ResourceID, 500),
		Detail: e.Detail, Before: e.Before, After: e.After, Failure: text(e.Failure, 500),
		IP: text(by.Origin.IP, 64), UserAgent: text(by.Origin.UserAgent, 300), RequestID: text(by.Origin.RequestID, 100),
	}
	if by.Origin.SessionID != uuid.Nil {
		row.SessionID = &by.Origin.SessionID
	}
	raw, err := json.Marshal(row)
	if err != nil {
		return models.Wrap(models.Internal, err, "audit %s", e.Action)
	}
	line := ledgerRow{json: raw, to: e.ResourceType, id: row.ResourceID}
	if e.Failure == "" {
		line.deed = by.Origin.Deed
	}
	s.ledger.rows = append(s.ledger.rows, line)
	return nil
}

// writeLedger writes what the transaction audits, after noting it in the operations that it is
// part of.
func (s *Store) writeLedger(ctx context.Context) error {
	if len(s.ledger.rows) == 0 {
		return nil
	}
	rows := make([]json.RawMessage, len(s.ledger.rows))
	var deed *models.Deed
	for i, r := range s.ledger.rows {
		rows[i] = r.json
		if r.deed != nil {
			r.deed.Note(r.to, r.id)
			deed = r.deed // one request has one
		}
	}
	if err := s.StampOperation(ctx, deed); err != nil {
		return err
	}
	raw, err := json.Marshal(rows)
	if err != nil {
		return models.Wrap(models.Internal, err, "audit log")
	}
	return s.exec(ctx, "audit log", `
		INSERT INTO audit (actor, via, action, resource_type, resource_id, detail, before, after, success, failure,
		                   ip, user_agent, request_id, session_id)
		SELECT actor, via, action, resource_type, resource_id, coalesce(detail, '{}'), before, after, failure = '', failure,
		       ip, user_agent, request_id, session_id
		FROM ROWS FROM (jsonb_to_recordset(CAST(? AS jsonb)) AS (
		       actor text, via text, action text, resource_type text, resource_id text, detail jsonb, before jsonb, after jsonb,
		       failure text, ip text, user_agent text, request_id text, session_id uuid)) WITH ORDINALITY
		ORDER BY ordinality`, string(raw))
}

// audit is Audit for an action of which there are only details to tell.
func (s *Store) audit(ctx context.Context, by models.Actor, action, resourceType, resourceID string, detail any) error {
	return s.Audit(ctx, by, models.Event{
		Action: models.AuditAction(action), ResourceType: models.AuditResource(resourceType), ResourceID: resourceID, Detail: detail,
	})
}

// text is what a caller sent, as Postgres can hold it, and not longer than n bytes.
func text(s string, n int) string {
	s = strings.ReplaceAll(strings.ToValidUTF8(s, "�"), "\x00", "")
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
