package workflows

import (
	"go.temporal.io/sdk/workflow"

	"github.com/litemaas/litemaas/activities"
	"github.com/litemaas/litemaas/models"
)

// RefreshModelInput names the one model to compare with LiteLLM.
type RefreshModelInput struct {
	ModelID string
	Actor   models.Actor
}

// WorkflowID keeps one refresh of a model open at a time.
func (in RefreshModelInput) WorkflowID() string { return "refresh-model/" + in.ModelID }

// Summary is the run's line in the Temporal UI.
func (in RefreshModelInput) Summary() string {
	return "Compare " + in.ModelID + " with LiteLLM, asked for by " + in.Actor.ID
}

// RefreshModel is FullSync for one model. A model that LiteLLM lists no more is marked
// unavailable only if LiteLLM lists others.
func RefreshModel(ctx workflow.Context, in RefreshModelInput) (SyncResult, error) {
	if err := workflow.UpsertTypedSearchAttributes(ctx, attrSubject.ValueSet(in.ModelID)); err != nil {
		return SyncResult{}, err
	}
	return syncRun(ctx, activities.BeginSyncRunInput{
		Kind: models.SyncOne, Trigger: models.SyncByPerson, Actor: in.Actor.ID, Subject: in.ModelID,
	}, func(ctx workflow.Context, run activities.SyncRunRef) error {
		if _, err := bulk(ctx, "Read LiteLLM's entries for "+in.ModelID, syncRuns.FetchModel, run); err != nil {
			return err
		}
		found, err := bulk(ctx, "Compare them with the catalogue, and write what differs", syncRuns.MergeCatalogue, run)
		if err != nil {
			return err
		}
		return followModels(ctx, found)
	})
}
