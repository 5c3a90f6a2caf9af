package store

import (
	"context"
	"encoding/json"

	"github.com/google/uuid"

	"github.com/litemaas/litemaas/models"
)

// comparedAtOnce is how many keys are compared, field by field, at once.
const comparedAtOnce = 1_000

// stagedPair is a key as LiteLLM holds it, and ours; the zero Key, if there is none to compare.
type stagedPair struct {
	models.Key `gorm:"embedded"`

	Staged string // its hash
	Seen   json.RawMessage
}

// fieldRow is what differs in one key.
type fieldRow struct {
	Hash   string                  `json:"hash"`
	KeyID  uuid.UUID               `json:"key_id"`
	Alias  string                  `json:"alias"`
	Fields []models.KeyFieldChange `json:"fields"`
	Takes  *takenFields            `json:"takes"`
}

// takenFields is what a row may take over from LiteLLM, as it is stored.
type takenFields struct {
	MaxBudget      *int64           `json:"max_budget"`
	BudgetDuration string           `json:"budget_duration"`
	TPM            *int64           `json:"tpm_limit"`
	RPM            *int64           `json:"rpm_limit"`
	MaxParallel    *int64           `json:"max_parallel"`
	ModelTPM       map[string]int64 `json:"model_tpm"`
	ModelRPM       map[string]int64 `json:"model_rpm"`
	Metadata       json.RawMessage  `json:"metadata"`
}

func newTakenFields(k models.Key) *takenFields {
	return &takenFields{
		MaxBudget: (*int64)(k.Limits.MaxBudget), BudgetDuration: k.Limits.BudgetDuration, TPM: k.Limits.TPM, RPM: k.Limits.RPM,
		MaxParallel: k.MaxParallel, ModelTPM: orEmpty(k.ModelTPM), ModelRPM: orEmpty(k.ModelRPM), Metadata: orObject(k.Metadata),
	}
}

// compareFields adds what differs beside what compareKeysSQL knows of, by the rule of
// models.KeyStrategy, page by page. Which keys it leaves out is the same.
func (c keyComparison) compareFields(ctx context.Context) error {
	for after := ""; ; {
		var page []stagedPair
		err := c.tx.scan(ctx, "API keys", &page, `
			SELECT s.hash AS staged, s.seen, `+keyColumns+`
			FROM (SELECT staged.hash, staged.seen, run.started_at FROM sync_staged_keys staged JOIN sync_runs run ON run.id = staged.run_id
			      WHERE staged.run_id = ? AND staged.hash > ? ORDER BY staged.hash LIMIT ?) s
			LEFT JOIN api_keys k ON k.hash = s.hash AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > now())
			  AND (k.observed_generation = k.generation OR k.failed_generation = k.generation) AND k.updated_at < s.started_at
			ORDER BY s.hash`, c.run, after, comparedAtOnce)
		if err != nil || len(page) == 0 {
			return err
		}
		after = page[len(page)-1].Staged
		if err := c.storeFields(ctx, page); err != nil {
			return err
		}
	}
}

// storeFields stores what differs in a page of keys. One without models LiteLLM must not have, so
// there is nothing to compare.
func (c keyComparison) storeFields(ctx context.Context, page []stagedPair) error {
	var rows []fieldRow
	for _, p := range page {
		if len(p.Models) == 0 {
			continue
		}
		var seen models.ProxyKey
		if err := json.Unmarshal(p.Seen, &seen); err != nil {
			return models.Wrap(models.Internal, err, "staged key %s", p.Hash)
		}
		fields, taken := c.rules.Strategy.Rule(p.Key, seen)
		if len(fields) == 0 {
			continue
		}
		row := fieldRow{Hash: p.Hash, KeyID: p.ID, Alias: p.Alias, Fields: fields}
		for _, f := range fields {
			if f.Wins == models.SideTheirs {
				row.Takes = newTakenFields(taken)
			}
		}
		rows = append(rows, row)
	}
	if len(rows) == 0 {
		return nil
	}
	raw, err := json.Marshal(rows)
	if err != nil {
		return models.Wrap(models.Internal, err, "differences")
	}
	return c.tx.exec(ctx, "differences", `
		INSERT INTO sync_key_differences AS d (run_id, hash, key_id, alias, kind, fields, takes)
		SELECT ?, hash, key_id, alias, 'different', fields, nullif(takes, 'null')
		FROM jsonb_to_recordset(CAST(? AS jsonb)) AS r (hash text, key_id uuid, alias text, fields jsonb, takes jsonb)
		ON CONFLICT (run_id, hash) DO UPDATE SET fields = d.fields || excluded.fields, takes = excluded.takes`, c.run, string(raw))
}
