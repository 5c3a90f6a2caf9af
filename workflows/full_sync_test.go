package workflows_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/workflow"

	"github.com/litemaas/litemaas/activities"
	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/workflows"
)

// environment is a Temporal server in memory that skips time.
func environment(t *testing.T) *testsuite.TestWorkflowEnvironment {
	t.Helper()
	var suite testsuite.WorkflowTestSuite
	env := suite.NewTestWorkflowEnvironment()
	for _, wf := range []any{
		workflows.FullSync, workflows.ApplyRemovals, workflows.RefreshModel, workflows.ReconcileUser, workflows.ReconcileUsers,
		workflows.ReconcileKey, workflows.ReconcileKeys, workflows.QuarantineOrphans, workflows.ProvisionSubscription, workflows.EndSubscription, workflows.RestoreSubscription,
		workflows.ExpireKeys, workflows.RotateKey, workflows.EnforceBudgets, workflows.EnforceBudget, workflows.RaiseBudget,
	} {
		env.RegisterWorkflow(wf)
	}
	env.SetTestTimeout(10 * time.Second)
	t.Cleanup(func() { env.AssertExpectations(t) })
	return env
}

var (
	runs *activities.SyncRuns
	in   = workflows.FullSyncInput{Trigger: models.SyncByPerson, Actor: models.Actor{ID: "ada"}}
	done = activities.SyncReport{
		Kind: models.SyncFull, Status: models.SyncCompleted, Counts: models.SyncCounts{Listed: 24, Added: 24},
		Users: models.UserCounts{Listed: 3, Missing: 1, Different: 1}, Keys: models.KeyCounts{Listed: 4, Different: 1, Unknown: 2},
	}
)

// noUsers is a LiteLLM whose users are as they should be.
func noUsers(env *testsuite.TestWorkflowEnvironment) {
	env.OnActivity(runs.FetchUsers, mock.Anything, mock.Anything).Return(activities.FetchUsersResult{Listed: 1}, nil).Once()
	env.OnActivity(runs.CompareUsers, mock.Anything, mock.Anything).Return(activities.CompareUsersResult{}, nil).Once()
}

// noKeys is a LiteLLM whose keys are as they should be.
func noKeys(env *testsuite.TestWorkflowEnvironment) {
	env.OnActivity(runs.FetchKeys, mock.Anything, mock.Anything).Return(activities.FetchKeysResult{Listed: 1}, nil).Once()
	env.OnActivity(runs.CompareKeys, mock.Anything, mock.Anything).Return(activities.CompareKeysResult{}, nil).Once()
}

// A sync reads, merges and reports, in this order, first of models, then of users, then of keys;
// users and keys that differ are settled by runs that outlive it.
func TestFullSync(t *testing.T) {
	env := environment(t)
	var order []string
	note := func(name string) func(mock.Arguments) { return func(mock.Arguments) { order = append(order, name) } }
	env.OnActivity(runs.BeginSyncRun, mock.Anything, mock.Anything).Run(note("begin")).Return(nil).Once()
	env.OnActivity(runs.FetchCatalogue, mock.Anything, mock.Anything).Run(note("fetch")).Return(activities.FetchResult{Deployments: 25, Listed: 24}, nil).Once()
	env.OnActivity(runs.MergeCatalogue, mock.Anything, mock.Anything).Run(note("merge")).Return(done.Counts, nil).Once()
	env.OnActivity(runs.FetchUsers, mock.Anything, mock.Anything).Run(note("fetch users")).Return(activities.FetchUsersResult{Listed: 3}, nil).Once()
	env.OnActivity(runs.CompareUsers, mock.Anything, mock.Anything).Run(note("compare users")).Return(activities.CompareUsersResult{Wished: 2}, nil).Once()
	env.OnWorkflow(workflows.ReconcileUsers, mock.Anything, workflows.ReconcileUsersInput{Fresh: true}).Return(workflows.ReconcileUsersResult{}, nil).Once()
	env.OnActivity(runs.FetchKeys, mock.Anything, mock.Anything).Run(note("fetch keys")).Return(activities.FetchKeysResult{Listed: 4}, nil).Once()
	env.OnActivity(runs.CompareKeys, mock.Anything, mock.Anything).Run(note("compare keys")).Return(activities.CompareKeysResult{Wished: 1, Orphans: 1}, nil).Once()
	env.OnWorkflow(workflows.QuarantineOrphans, mock.Anything, workflows.QuarantineOrphansInput{}).Return(workflows.QuarantineOrphansResult{}, nil).Once()
	env.OnWorkflow(workflows.ReconcileKeys, mock.Anything, workflows.ReconcileKeysInput{Fresh: true}).Return(workflows.ReconcileKeysResult{}, nil).Once()
	env.OnActivity(runs.CompleteSyncRun, mock.Anything, mock.Anything).Run(note("complete")).Return(done, nil).Once()

	env.ExecuteWorkflow(workflows.FullSync, in)

	require.NoError(t, env.GetWorkflowError())
	var res workflows.SyncResult
	require.NoError(t, env.GetWorkflowResult(&res))
	require.Equal(t, done.Counts, res.Counts)
	require.Equal(t, done.Users, res.Users)
	require.Equal(t, done.Keys, res.Keys)
	require.NotEqual(t, uuid.Nil, res.RunID)
	require.Equal(t, []string{"begin", "fetch", "merge", "fetch users", "compare users", "fetch keys", "compare keys", "complete"}, order)
}

// A run from before the user part goes on without it.
func TestFullSyncFromBeforeUsers(t *testing.T) {
	env := environment(t)
	env.OnGetVersion("full-sync-users", workflow.DefaultVersion, workflow.Version(1)).Return(workflow.DefaultVersion).Once()
	env.OnActivity(runs.BeginSyncRun, mock.Anything, mock.Anything).Return(nil).Once()
	env.OnActivity(runs.FetchCatalogue, mock.Anything, mock.Anything).Return(activities.FetchResult{}, nil).Once()
	env.OnActivity(runs.MergeCatalogue, mock.Anything, mock.Anything).Return(done.Counts, nil).Once()
	env.OnActivity(runs.CompleteSyncRun, mock.Anything, mock.Anything).Return(done, nil).Once()

	env.ExecuteWorkflow(workflows.FullSync, in)

	require.NoError(t, env.GetWorkflowError())
}

// What a sync finds gone, or back, moves subscriptions before users are compared; their keys follow
// by runs that outlive it. A dry run moves nothing.
func TestFullSyncMovesSubscriptions(t *testing.T) {
	gone, back := activities.CascadeRef{ID: uuid.New(), Generation: 1}, activities.CascadeRef{ID: uuid.New(), Generation: 2}
	for _, dry := range []bool{false, true} {
		env, in := environment(t), in
		in.Options.DryRun = dry
		env.OnActivity(runs.BeginSyncRun, mock.Anything, mock.Anything).Return(nil).Once()
		env.OnActivity(runs.FetchCatalogue, mock.Anything, mock.Anything).Return(activities.FetchResult{Deployments: 25, Listed: 24}, nil).Once()
		merged := env.OnActivity(runs.MergeCatalogue, mock.Anything, mock.Anything).Return(models.SyncCounts{Gone: 1, Returned: 1}, nil).Once()
		if !dry {
			env.OnActivity(ripples.CascadeVanished, mock.Anything, mock.Anything).Return(activities.FoundCascades{Cascades: []activities.CascadeRef{gone}}, nil).Once().NotBefore(merged)
			env.OnActivity(ripples.RestoreReturned, mock.Anything, mock.Anything).Return(activities.FoundCascades{Cascades: []activities.CascadeRef{back}}, nil).Once().NotBefore(merged)
			env.OnWorkflow(workflows.EndSubscription, mock.Anything, workflows.EndSubscriptionInput{CascadeID: gone.ID}).Return(workflows.EndSubscriptionResult{}, nil).Once()
			env.OnWorkflow(workflows.RestoreSubscription, mock.Anything, workflows.RestoreSubscriptionInput{CascadeID: back.ID}).Return(workflows.EndSubscriptionResult{}, nil).Once()
		}
		noUsers(env)
		noKeys(env)
		env.OnActivity(runs.CompleteSyncRun, mock.Anything, mock.Anything).Return(done, nil).Once()

		env.ExecuteWorkflow(workflows.FullSync, in)

		require.NoError(t, env.GetWorkflowError())
	}
}

// A run from before the part about keys goes on without it.
func TestFullSyncFromBeforeKeys(t *testing.T) {
	env := environment(t)
	env.OnGetVersion("full-sync-users", workflow.DefaultVersion, workflow.Version(1)).Return(workflow.Version(1)).Once()
	env.OnGetVersion("full-sync-keys", workflow.DefaultVersion, workflow.Version(1)).Return(workflow.DefaultVersion).Once()
	env.OnActivity(runs.BeginSyncRun, mock.Anything, mock.Anything).Return(nil).Once()
	env.OnActivity(runs.FetchCatalogue, mock.Anything, mock.Anything).Return(activities.FetchResult{}, nil).Once()
	env.OnActivity(runs.MergeCatalogue, mock.Anything, mock.Anything).Return(done.Counts, nil).Once()
	noUsers(env)
	env.OnActivity(runs.CompleteSyncRun, mock.Anything, mock.Anything).Return(done, nil).Once()

	env.ExecuteWorkflow(workflows.FullSync, in)

	require.NoError(t, env.GetWorkflowError())
}

// While LiteLLM is down the run waits and tries again, with pauses that grow, and completes
// when it is back.
func TestFullSyncWaitsForLiteLLM(t *testing.T) {
	env := environment(t)
	start, attempts := env.Now(), 0
	env.OnActivity(runs.BeginSyncRun, mock.Anything, mock.Anything).Return(nil).Once()
	env.OnActivity(runs.FetchCatalogue, mock.Anything, mock.Anything).Return(func(context.Context, activities.SyncRunRef) (activities.FetchResult, error) {
		if attempts++; attempts <= 8 { // the test environment gives up after 10
			return activities.FetchResult{}, temporal.NewApplicationError("LiteLLM does not answer", string(models.Unavailable))
		}
		return activities.FetchResult{Listed: 24}, nil
	})
	env.OnActivity(runs.MergeCatalogue, mock.Anything, mock.Anything).Return(done.Counts, nil).Once()
	noUsers(env)
	noKeys(env)
	env.OnActivity(runs.CompleteSyncRun, mock.Anything, mock.Anything).Return(done, nil).Once()

	env.ExecuteWorkflow(workflows.FullSync, in)

	require.NoError(t, env.GetWorkflowError())
	require.InDelta(t, 1+2+4+8+16+30+30+30, env.Now().Sub(start).Seconds(), 5)
}

// What cannot be mended by waiting is recorded in its own words, and ends the run.
func TestFullSyncRecordsFailure(t *testing.T) {
	env := environment(t)
	env.OnActivity(runs.BeginSyncRun, mock.Anything, mock.Anything).Return(nil).Once()
	env.OnActivity(runs.FetchCatalogue, mock.Anything, mock.Anything).
		Return(activities.FetchResult{}, temporal.NewNonRetryableApplicationError("no", string(models.Invalid), errors.New("inner"))).Once()
	env.OnActivity(runs.FailSyncRun, mock.Anything, mock.MatchedBy(func(f activities.FailSyncRunInput) bool { return f.Why == "no" })).Return(nil).Once()

	env.ExecuteWorkflow(workflows.FullSync, in)

	require.Error(t, env.GetWorkflowError())
}

// A cancelled run says so in its row.
func TestFullSyncCancelled(t *testing.T) {
	env := environment(t)
	env.OnActivity(runs.BeginSyncRun, mock.Anything, mock.Anything).Return(nil).Once()
	env.OnActivity(runs.FetchCatalogue, mock.Anything, mock.Anything).After(time.Minute).Return(activities.FetchResult{}, nil).Maybe()
	env.OnActivity(runs.FailSyncRun, mock.Anything, mock.MatchedBy(func(f activities.FailSyncRunInput) bool { return f.Why == "the run was cancelled" })).Return(nil).Once()
	env.RegisterDelayedCallback(env.CancelWorkflow, time.Second)

	env.ExecuteWorkflow(workflows.FullSync, in)

	require.Error(t, env.GetWorkflowError())
}

// A dry run does not stand in the way of a real one; two real ones share one ID.
func TestFullSyncWorkflowID(t *testing.T) {
	require.Equal(t, "full-sync", in.WorkflowID())
	forced := in
	forced.Options.Force = true
	require.Equal(t, in.WorkflowID(), forced.WorkflowID())
	dry := in
	dry.Options.DryRun = true
	require.NotEqual(t, in.WorkflowID(), dry.WorkflowID())
}
