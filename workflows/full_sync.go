package workflows

import (
	"time"

	"github.com/google/uuid"
	"go.temporal.io/sdk/workflow"

	"github.com/litemaas/litemaas/activities"
	"github.com/litemaas/litemaas/models"
)

// FullSyncInput says who asks for a sync, and what it may do.
type FullSyncInput struct {
	Trigger models.SyncTrigger
	Actor   models.Actor
	Options models.SyncOptions
}

// WorkflowID keeps one sync open at a time: a second request joins it. A dry run changes
// nothing, so it stands in nobody's way.
func (in FullSyncInput) WorkflowID() string {
	if in.Options.DryRun {
		return "full-sync/dry-run"
	}
	return "full-sync"
}

// Summary is the run's line in the Temporal UI.
func (in FullSyncInput) Summary() string {
	what := "Compare everything with LiteLLM"
	if in.Options.DryRun {
		what = "Dry run: see how LiteLLM differs, change nothing"
	}
	return what + ", asked for by " + in.Actor.ID
}

// SyncResult is the report of a sync. What it found about each model, user and key is in the
// run's rows.
type SyncResult struct {
	RunID      uuid.UUID
	Status     models.SyncStatus
	Options    models.SyncOptions
	Counts     models.SyncCounts
	Users      models.UserCounts
	Keys       models.KeyCounts
	KeysNote   string `json:",omitzero"` // what a person should know of the keys
	Problems   []string
	ProposalID *uuid.UUID
	FinishedAt time.Time
}

// FullSync compares what we hold with LiteLLM: the models, where LiteLLM's word counts, then the
// users and their API keys, where ours does. Subscriptions to models that are gone end, and come
// back with them. Teams will be a further part. It waits for LiteLLM as long as it takes, a day at
// most. What the guard holds back it only proposes, and users and keys that differ it leaves to
// ReconcileUsers and ReconcileKeys, so that the run itself can end.
func FullSync(ctx workflow.Context, in FullSyncInput) (SyncResult, error) {
	return syncRun(ctx, activities.BeginSyncRunInput{
		Kind: models.SyncFull, Trigger: in.Trigger, Actor: in.Actor.ID, Options: in.Options,
	}, func(ctx workflow.Context, run activities.SyncRunRef) error {
		found, err := syncModels(ctx, run)
		if err == nil && !in.Options.DryRun {
			err = followModels(ctx, found)
		}
		if err != nil || !knows(ctx, changeSyncUsers) {
			return err
		}
		if err := syncUsers(ctx, run); err != nil || !knows(ctx, changeSyncKeys) {
			return err
		}
		return syncKeys(ctx, run)
	})
}

// syncModels reads LiteLLM's model list, then compares and merges it in one transaction.
func syncModels(ctx workflow.Context, run activities.SyncRunRef) (models.SyncCounts, error) {
	fetched, err := bulk(ctx, "Read LiteLLM's model list", syncRuns.FetchCatalogue, run)
	if err != nil {
		return models.SyncCounts{}, err
	}
	workflow.SetCurrentDetails(ctx, mergingDetails(fetched))
	return bulk(ctx, "Compare it with the catalogue, and write what differs", syncRuns.MergeCatalogue, run)
}

// followModels moves the subscriptions to what a merge found gone, or back. Should the run die
// before, the sweep does it.
func followModels(ctx workflow.Context, found models.SyncCounts) error {
	if found.Gone+found.Returned == 0 || !knows(ctx, changeSyncCascades) {
		return nil
	}
	workflow.SetCurrentDetails(ctx, followingModelsDetails(found))
	_, _, err := cascadeModels(ctx)
	return err
}

// syncUsers reads LiteLLM's users, compares them with ours, and has those written again who
// differ. An older walk over the unsettled that is still open may not see them all; then the
// sweep finds the rest.
func syncUsers(ctx workflow.Context, run activities.SyncRunRef) error {
	workflow.SetCurrentDetails(ctx, fetchingUsersDetails)
	fetched, err := bulk(ctx, "Read LiteLLM's users", syncRuns.FetchUsers, run)
	if err != nil {
		return err
	}
	workflow.SetCurrentDetails(ctx, comparingUsersDetails(fetched))
	compared, err := bulk(ctx, "Compare them with ours, and wish anew for those who differ", syncRuns.CompareUsers, run)
	if err != nil || compared.Wished == 0 {
		return err
	}
	return begin(ctx, ReconcileUsers, ReconcileUsersInput{Fresh: true})
}

// syncKeys is syncUsers for API keys, which it also holds against the subscriptions of their
// owners. Keys that are not ours, if they are to be blocked, it leaves to QuarantineOrphans.
func syncKeys(ctx workflow.Context, run activities.SyncRunRef) error {
	workflow.SetCurrentDetails(ctx, fetchingKeysDetails)
	fetched, err := bulk(ctx, "Read LiteLLM's API keys", syncRuns.FetchKeys, run)
	if err != nil {
		return err
	}
	workflow.SetCurrentDetails(ctx, comparingKeysDetails(fetched))
	compared, err := bulk(ctx, "Compare them with ours, and wish anew for those that differ", syncRuns.CompareKeys, run)
	if err == nil && compared.Wished > 0 {
		err = begin(ctx, ReconcileKeys, ReconcileKeysInput{Fresh: true})
	}
	if err == nil && compared.Orphans > 0 {
		err = begin(ctx, QuarantineOrphans, QuarantineOrphansInput{})
	}
	return err
}

// syncRun is the frame of every sync: a row that says it runs, the work, and a report, also
// when the work fails or is cancelled.
func syncRun(ctx workflow.Context, in activities.BeginSyncRunInput, work func(workflow.Context, activities.SyncRunRef) error) (SyncResult, error) {
	run := activities.SyncRunRef{ID: runID(ctx)}
	in.ID, in.WorkflowID = run.ID, workflow.GetInfo(ctx).WorkflowExecution.ID
	err := workflow.UpsertTypedSearchAttributes(ctx, attrTrigger.ValueSet(string(in.Trigger)), attrOutcome.ValueSet("running"))
	if err != nil {
		return SyncResult{}, err
	}
	workflow.SetCurrentDetails(ctx, fetchingDetails(in))
	if err := localRun(ctx, "Record that the run is under way", syncRuns.BeginSyncRun, in); err != nil {
		return SyncResult{}, err
	}
	if err := work(ctx, run); err != nil {
		return SyncResult{}, failSync(ctx, run, err)
	}
	done, err := local(ctx, "Close the run and write its report", syncRuns.CompleteSyncRun, run)
	if err != nil {
		return SyncResult{}, err
	}
	workflow.SetCurrentDetails(ctx, reportDetails(done))
	res := SyncResult{
		RunID: run.ID, Status: done.Status, Options: done.Options, Counts: done.Counts, Users: done.Users, Keys: done.Keys,
		KeysNote: done.KeysNote, Problems: done.Problems, ProposalID: done.ProposalID, FinishedAt: done.FinishedAt,
	}
	return res, workflow.UpsertTypedSearchAttributes(ctx, attrOutcome.ValueSet(outcome(done)))
}

// failSync records why a run cannot go on, and returns that.
func failSync(ctx workflow.Context, run activities.SyncRunRef, why error) error {
	ctx, _ = workflow.NewDisconnectedContext(ctx) // also when cancelled
	words := kinded(why).Message
	workflow.SetCurrentDetails(ctx, failedDetails(words))
	if err := workflow.UpsertTypedSearchAttributes(ctx, attrOutcome.ValueSet("failed")); err != nil {
		workflow.GetLogger(ctx).Error("outcome not recorded", "error", err)
	}
	if err := localRun(ctx, "Record why the run cannot go on", syncRuns.FailSyncRun, activities.FailSyncRunInput{ID: run.ID, Why: words}); err != nil {
		workflow.GetLogger(ctx).Error("failure not recorded", "sync_run_id", run.ID, "error", err)
	}
	return why // never errors.Join: it would hide the kind
}
