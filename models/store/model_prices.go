package store

import (
	"context"
	"time"

	"github.com/litemaas/litemaas/models"
)

// ModelPrice is what tokens of a model cost from a time on; nil: it is not known.
type ModelPrice struct {
	FromAt time.Time     `json:"fromAt"`
	Input  *models.Price `json:"inputCostPerToken"`
	Output *models.Price `json:"outputCostPerToken"`
}

const priceColumns = "from_at, input_cost_per_token AS input, output_cost_per_token AS output"

// ModelPrices returns what a model cost, the last price first. The first one counts for the time
// before it, too.
func (s *Store) ModelPrices(ctx context.Context, modelID string) ([]ModelPrice, error) {
	var rows []ModelPrice
	return rows, s.scan(ctx, "prices", &rows, "SELECT "+priceColumns+" FROM model_prices WHERE model_id = ? ORDER BY from_at DESC", modelID)
}

// SetModelPrice corrects what a model cost from a time on, until its next price. It changes no entry
// of the ledger: see RerateUsage. It is NotFound for an unknown model, and Invalid for a time to
// come, which is for LiteLLM to say.
func (s *Store) SetModelPrice(ctx context.Context, modelID string, from time.Time, in, out *models.Price, by models.Actor) error {
	if from.IsZero() || from.After(time.Now()) {
		return models.Errorf(models.Invalid, "a price is corrected from a time on that was").On("from")
	}
	return s.InTx(ctx, func(tx *Store) error {
		var there []string
		err := tx.scan(ctx, "model", &there, "SELECT id FROM models WHERE id = ? AND deleted_at IS NULL FOR NO KEY UPDATE", modelID)
		if err != nil {
			return err
		}
		if len(there) == 0 {
			return models.Errorf(models.NotFound, "model %s not found", modelID)
		}
		var was []ModelPrice
		if err := tx.scan(ctx, "prices", &was, "SELECT "+priceColumns+` FROM model_prices WHERE model_id = ?
			ORDER BY from_at <= ? DESC, CASE WHEN from_at <= ? THEN from_at END DESC, from_at LIMIT 1`, modelID, from, from); err != nil {
			return err
		}
		err = tx.exec(ctx, "price", `
			INSERT INTO model_prices (model_id, from_at, input_cost_per_token, output_cost_per_token) VALUES (?, ?, ?, ?)
			ON CONFLICT (model_id, from_at) DO UPDATE
			SET input_cost_per_token = EXCLUDED.input_cost_per_token, output_cost_per_token = EXCLUDED.output_cost_per_token`, modelID, from, in, out)
		if err != nil {
			return err
		}
		e := models.Event{
			Action: models.AuditPriceSet, ResourceType: models.AuditOfModel, ResourceID: modelID,
			After: ModelPrice{FromAt: from.UTC(), Input: in, Output: out},
		}
		if len(was) > 0 {
			e.Before = was[0]
		}
		return tx.Audit(ctx, by, e)
	})
}
