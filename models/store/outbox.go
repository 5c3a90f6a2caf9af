package store

import (
	"context"
	"encoding/json"

	"github.com/google/uuid"

	"github.com/litemaas/litemaas/models"
)

// outboxRow is what is written of one announcement; the database adds the rest.
type outboxRow struct {
	Type        string     `json:"type"`
	SubjectType string     `json:"subject_type"`
	SubjectID   string     `json:"subject_id"`
	UserID      *uuid.UUID `json:"user_id"`
	Data        any        `json:"data"`
}

// announce puts what people have to be told into the outbox, in that order: it is told once the
// transaction has committed, and never otherwise.
func (s *Store) announce(ctx context.Context, news ...models.Announcement) error {
	if len(news) == 0 {
		return nil
	}
	rows := make([]outboxRow, len(news))
	for i, n := range news {
		rows[i] = outboxRow(n)
	}
	raw, err := json.Marshal(rows)
	if err != nil {
		return models.Wrap(models.Internal, err, "outbox")
	}
	return s.exec(ctx, "outbox", `
		INSERT INTO outbox (type, subject_type, subject_id, user_id, data)
		SELECT type, subject_type, subject_id, user_id, coalesce(data, '{}')
		FROM ROWS FROM (jsonb_to_recordset(CAST(? AS jsonb)) AS (
		       type text, subject_type text, subject_id text, user_id uuid, data jsonb)) WITH ORDINALITY
		ORDER BY ordinality`, string(raw))
}
