package store

import (
	"context"
	"encoding/json"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/litemaas/litemaas/models"
)

// synced are the columns of models that LiteLLM decides, the same in sync_staged_models. A
// sync compares and writes these and no others.
var synced = []string{
	"provider", "backend_model_name", "context_length", "max_tokens", "input_cost_per_token", "output_cost_per_token",
	"api_base", "tpm", "rpm", "litellm_model_id", "deployment_ids", "features", "model_info", "litellm_params",
}

// columnsOf lists the synced columns of a table alias.
func columnsOf(alias string) string { return alias + "." + strings.Join(synced, ", "+alias+".") }

// StageCatalogue puts LiteLLM's list, as read, beside the catalogue, for MergeStaged. Staging a
// run again replaces what was staged. It is Conflict when the run has ended.
func (s *Store) StageCatalogue(ctx context.Context, runID uuid.UUID, c models.Catalogue) error {
	list, err := json.Marshal(c.ListState)
	if err != nil {
		return models.Wrap(models.Internal, err, "staged models")
	}
	tx, err := s.pool.Begin(ctx)
	if err != nil {
		return kinded("staged models", err)
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }() // after a commit it does nothing
	tag, err := tx.Exec(ctx, `
		UPDATE sync_runs SET phase = 'merging', staged = $2, list = $3, fetched = greatest(fetched, expected)
		WHERE id = $1 AND status = 'running' AND merged_at IS NULL`, runID, len(c.LLMs), list)
	if err != nil {
		return kinded("sync run", err)
	}
	if tag.RowsAffected() == 0 {
		return models.Errorf(models.Conflict, "sync run %s is over", runID)
	}
	if _, err := tx.Exec(ctx, "DELETE FROM sync_staged_models WHERE run_id = $1", runID); err != nil {
		return kinded("staged models", err)
	}
	rows := pgx.CopyFromSlice(len(c.LLMs), func(i int) ([]any, error) { return stagedRow(runID, &c.LLMs[i]), nil })
	if _, err := tx.CopyFrom(ctx, pgx.Identifier{"sync_staged_models"}, append([]string{"run_id", "id"}, synced...), rows); err != nil {
		return kinded("staged models", err)
	}
	return kinded("staged models", tx.Commit(ctx))
}

// stagedRow is one LLM in the order of synced.
func stagedRow(runID uuid.UUID, l *models.LLM) []any {
	return []any{
		runID, l.ID, l.Provider, l.BackendModelName, l.ContextLength, l.MaxTokens, l.InputCost, l.OutputCost,
		l.APIBase, l.TPM, l.RPM, l.LiteLLMModelID, l.DeploymentIDs, l.Features, l.ModelInfo, l.LiteLLMParams,
	}
}
