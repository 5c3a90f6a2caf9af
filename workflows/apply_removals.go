package workflows

import (
	"github.com/google/uuid"
	"go.temporal.io/sdk/workflow"

	"github.com/litemaas/litemaas/activities"
	"github.com/litemaas/litemaas/models"
)

// ApplyRemovalsInput names the approved proposal.
type ApplyRemovalsInput struct {
	ProposalID uuid.UUID
	Actor      models.Actor
}

// WorkflowID lets a proposal be carried out by one run at a time.
func (in ApplyRemovalsInput) WorkflowID() string { return "apply-removals/" + in.ProposalID.String() }

// Summary is the run's line in the Temporal UI.
func (in ApplyRemovalsInput) Summary() string {
	return "Mark unavailable what LiteLLM lists no more, as approved by " + in.Actor.ID
}

// ApplyRemovals carries an approved proposal out. It looks at LiteLLM once more, so that a
// model that came back since is left alone.
func ApplyRemovals(ctx workflow.Context, in ApplyRemovalsInput) (SyncResult, error) {
	if err := workflow.UpsertTypedSearchAttributes(ctx, attrSubject.ValueSet(in.ProposalID.String())); err != nil {
		return SyncResult{}, err
	}
	return syncRun(ctx, activities.BeginSyncRunInput{
		Kind: models.SyncRemovals, Trigger: models.SyncByPerson, Actor: in.Actor.ID, ProposalID: &in.ProposalID,
	}, func(ctx workflow.Context, run activities.SyncRunRef) error {
		if _, err := bulk(ctx, "See which of them LiteLLM still misses", syncRuns.FetchProposed, run); err != nil {
			return err
		}
		found, err := bulk(ctx, "Mark those unavailable", syncRuns.MergeCatalogue, run)
		if err != nil {
			return err
		}
		return followModels(ctx, found)
	})
}
