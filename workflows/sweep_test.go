package workflows_test

import (
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/workflow"

	"github.com/litemaas/litemaas/activities"
	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/workflows"
)

var (
	asked  *activities.Proposals
	probed *activities.Probes
	told   *activities.Schedules
)

// swept is what every sweep looks at beside subscriptions, with an answer from LiteLLM or without.
func swept(env *testsuite.TestWorkflowEnvironment, reachable bool, due activities.DueProposalsResult) {
	env.OnActivity(purses.BudgetsWait, mock.Anything, mock.Anything).Return(activities.BudgetsWaitResult{Wait: true}, nil).Once()
	env.OnWorkflow(workflows.EnforceBudgets, mock.Anything, workflows.EnforceBudgetsInput{}).Return(workflows.EnforceBudgetsResult{}, nil).Once()
	env.OnActivity(probed.ProbeLiteLLM, mock.Anything, mock.Anything).Return(activities.ProbeLiteLLMResult{Reachable: reachable}, nil).Once()
	env.OnActivity(asked.DueProposals, mock.Anything, mock.Anything).Return(due, nil).Once()
	env.OnActivity(told.TellSyncSchedule, mock.Anything, mock.Anything).Return(activities.TellSyncScheduleResult{Told: true}, nil).Once()
}

// An approved proposal that nobody carries out is carried out, users whom nobody follows are
// followed, and so are subscriptions, models that a killed sync left behind, cascades, keys, keys
// that are not ours, and budgets.
func TestSweepStartsWhatWasOverlooked(t *testing.T) {
	env := environment(t)
	proposal, wanted := uuid.New(), uuid.New()
	gone, left := activities.CascadeRef{ID: uuid.New(), Generation: 1}, activities.CascadeRef{ID: uuid.New(), Generation: 2}
	swept(env, true, activities.DueProposalsResult{Lapsed: 1, ToApply: []uuid.UUID{proposal}})
	env.OnWorkflow(workflows.ApplyRemovals, mock.Anything, mock.MatchedBy(func(in workflows.ApplyRemovalsInput) bool { return in.ProposalID == proposal })).
		Return(workflows.SyncResult{}, nil).Once()
	env.OnActivity(people.UnsettledUsers, mock.Anything, activities.UnsettledUsersInput{Limit: 1}).
		Return(activities.UnsettledUsersResult{IDs: []uuid.UUID{uuid.New()}}, nil).Once()
	env.OnWorkflow(workflows.ReconcileUsers, mock.Anything, workflows.ReconcileUsersInput{}).Return(workflows.ReconcileUsersResult{}, nil).Once()
	env.OnActivity(subs.UnprovisionedSubscriptions, mock.Anything, mock.Anything).Return(activities.UnprovisionedSubscriptionsResult{IDs: []uuid.UUID{wanted}}, nil).Once()
	env.OnWorkflow(workflows.ProvisionSubscription, mock.Anything, workflows.ProvisionSubscriptionInput{SubscriptionID: wanted, Actor: models.System("Sweep")}).
		Return(workflows.ProvisionSubscriptionResult{}, nil).Once()
	env.OnActivity(ripples.CascadeVanished, mock.Anything, mock.Anything).
		Return(activities.FoundCascades{Subscriptions: 3, Cascades: []activities.CascadeRef{gone}}, nil).Once()
	env.OnActivity(ripples.RestoreReturned, mock.Anything, mock.Anything).Return(activities.FoundCascades{}, nil).Once()
	env.OnWorkflow(workflows.EndSubscription, mock.Anything, workflows.EndSubscriptionInput{CascadeID: gone.ID}).Return(workflows.EndSubscriptionResult{}, nil).Once()
	env.OnActivity(ripples.UnsettledCascades, mock.Anything, mock.Anything).Return(activities.FoundCascades{Cascades: []activities.CascadeRef{left}}, nil).Once()
	env.OnWorkflow(workflows.RestoreSubscription, mock.Anything, workflows.RestoreSubscriptionInput{CascadeID: left.ID}).Return(workflows.EndSubscriptionResult{}, nil).Once()
	env.OnActivity(tokens.UnsettledKeys, mock.Anything, activities.UnsettledKeysInput{Limit: 1}).
		Return(activities.UnsettledKeysResult{IDs: []uuid.UUID{uuid.New()}}, nil).Once()
	env.OnWorkflow(workflows.ReconcileKeys, mock.Anything, workflows.ReconcileKeysInput{}).Return(workflows.ReconcileKeysResult{}, nil).Once()
	env.OnActivity(strange.DueOrphans, mock.Anything, activities.DueOrphansInput{Limit: 1}).Return(activities.DueOrphansResult{Hashes: []string{"a"}}, nil).Once()
	env.OnWorkflow(workflows.QuarantineOrphans, mock.Anything, workflows.QuarantineOrphansInput{}).Return(workflows.QuarantineOrphansResult{}, nil).Once()

	env.ExecuteWorkflow(workflows.Sweep, workflows.SweepInput{})

	require.NoError(t, env.GetWorkflowError())
	var res workflows.SweepResult
	require.NoError(t, env.GetWorkflowResult(&res))
	require.Equal(t, workflows.SweepResult{Reachable: true, Lapsed: 1, Removals: 1, Users: true, Wanted: 1, Moved: 3, Cascades: 1, Keys: true, Orphans: true, Budgets: true, Schedule: true}, res)
}

// While LiteLLM is away nobody is sent to it. What needs it not is done.
func TestSweepSendsNobodyToAnAbsentLiteLLM(t *testing.T) {
	env := environment(t)
	swept(env, false, activities.DueProposalsResult{})
	env.OnActivity(subs.UnprovisionedSubscriptions, mock.Anything, mock.Anything).Return(activities.UnprovisionedSubscriptionsResult{}, nil).Once()
	env.OnActivity(ripples.CascadeVanished, mock.Anything, mock.Anything).Return(activities.FoundCascades{}, nil).Once()
	env.OnActivity(ripples.RestoreReturned, mock.Anything, mock.Anything).Return(activities.FoundCascades{}, nil).Once()

	env.ExecuteWorkflow(workflows.Sweep, workflows.SweepInput{})

	require.NoError(t, env.GetWorkflowError())
}

// A sweep from before budgets goes on without them.
func TestSweepFromBeforeBudgets(t *testing.T) {
	env := environment(t)
	env.OnGetVersion("sweep-budgets", workflow.DefaultVersion, workflow.Version(1)).Return(workflow.DefaultVersion).Once()
	env.OnGetVersion("sweep-subscriptions", workflow.DefaultVersion, workflow.Version(1)).Return(workflow.DefaultVersion).Once()
	env.OnActivity(probed.ProbeLiteLLM, mock.Anything, mock.Anything).Return(activities.ProbeLiteLLMResult{}, nil).Once()
	env.OnActivity(asked.DueProposals, mock.Anything, mock.Anything).Return(activities.DueProposalsResult{}, nil).Once()
	env.OnActivity(told.TellSyncSchedule, mock.Anything, mock.Anything).Return(activities.TellSyncScheduleResult{}, nil).Once()
	env.ExecuteWorkflow(workflows.Sweep, workflows.SweepInput{})
	require.NoError(t, env.GetWorkflowError())
}

// A sweep from before subscriptions goes on without them.
func TestSweepFromBeforeSubscriptions(t *testing.T) {
	env := environment(t)
	env.OnGetVersion("sweep-subscriptions", workflow.DefaultVersion, workflow.Version(1)).Return(workflow.DefaultVersion).Once()
	swept(env, false, activities.DueProposalsResult{})
	env.ExecuteWorkflow(workflows.Sweep, workflows.SweepInput{})
	require.NoError(t, env.GetWorkflowError())
}
