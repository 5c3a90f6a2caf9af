package store

import (
	"context"
	"time"

	"github.com/google/uuid"
)

// Spending is an entry of the ledger, as far as budgets read it.
type Spending struct {
	At             time.Time `json:"at"`
	UserID         uuid.UUID `json:"user_id"`
	TeamID         uuid.UUID `json:"team_id"`
	KeyID          uuid.UUID `json:"api_key_id"`
	SubscriptionID uuid.UUID `json:"subscription_id"`
	ModelID        string    `json:"model_id"`
	Cost           int64     `json:"cost"`
}

// Charge is chargeBudgets in a transaction of its own, for entries that are in no ledger.
func (s *Store) Charge(ctx context.Context, entries ...Spending) (due bool, err error) {
	err = s.InTx(ctx, func(tx *Store) error {
		if err := tx.lock(ctx, "usage"); err != nil {
			return err
		}
		err := tx.exec(ctx, "usage", `CREATE TEMPORARY TABLE usage_new (id uuid, at timestamptz, user_id uuid, team_id uuid, api_key_id uuid,
			subscription_id uuid, model_id text, cost bigint) ON COMMIT DROP`)
		if err != nil {
			return err
		}
		err = tx.exec(ctx, "usage", `
			INSERT INTO usage_new SELECT gen_random_uuid(), at, user_id, team_id, api_key_id, subscription_id, model_id, cost
			FROM jsonb_to_recordset(CAST(? AS jsonb)) AS e (at timestamptz, user_id uuid, team_id uuid, api_key_id uuid, subscription_id uuid, model_id text, cost bigint)`,
			rowsOf(entries))
		if err != nil {
			return err
		}
		due, err = tx.chargeBudgets(ctx)
		return err
	})
	return due, err
}

// DueBudgetsSQL is what EnforceBudgets looks by.
const DueBudgetsSQL = dueBudgetsSQL
