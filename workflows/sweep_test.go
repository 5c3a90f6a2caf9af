package workflows_test

import (
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/activities"
	"github.com/litemaas/litemaas/workflows"
)

// An approved proposal that nobody carries out is carried out, users and keys that nobody follows
// are followed.
func TestSweepStartsWhatWasOverlooked(t *testing.T) {
	env := environment(t)
	var (
		proposals *activities.Proposals
		probes    *activities.Probes
		schedules *activities.Schedules
		users     *activities.Users
		id        = uuid.New()
	)
	env.OnActivity(probes.ProbeLiteLLM, mock.Anything, mock.Anything).Return(activities.ProbeLiteLLMResult{Reachable: true}, nil).Once()
	env.OnActivity(proposals.DueProposals, mock.Anything, mock.Anything).
		Return(activities.DueProposalsResult{Lapsed: 1, ToApply: []uuid.UUID{id}}, nil).Once()
	env.OnWorkflow(workflows.ApplyRemovals, mock.Anything, mock.MatchedBy(func(in workflows.ApplyRemovalsInput) bool { return in.ProposalID == id })).
		Return(workflows.SyncResult{}, nil).Once()
	env.OnActivity(users.UnsettledUsers, mock.Anything, activities.UnsettledUsersInput{Limit: 1}).
		Return(activities.UnsettledUsersResult{IDs: []uuid.UUID{uuid.New()}}, nil).Once()
	env.OnWorkflow(workflows.ReconcileUsers, mock.Anything, workflows.ReconcileUsersInput{}).Return(workflows.ReconcileUsersResult{}, nil).Once()
	env.OnActivity(keys.UnsettledKeys, mock.Anything, activities.UnsettledKeysInput{Limit: 1}).
		Return(activities.UnsettledKeysResult{IDs: []uuid.UUID{uuid.New()}}, nil).Once()
	env.OnWorkflow(workflows.ReconcileKeys, mock.Anything, workflows.ReconcileKeysInput{}).Return(workflows.ReconcileKeysResult{}, nil).Once()
	env.OnActivity(schedules.TellSyncSchedule, mock.Anything, mock.Anything).Return(activities.TellSyncScheduleResult{Told: true}, nil).Once()

	env.ExecuteWorkflow(workflows.Sweep, workflows.SweepInput{})

	require.NoError(t, env.GetWorkflowError())
	var res workflows.SweepResult
	require.NoError(t, env.GetWorkflowResult(&res))
	require.Equal(t, workflows.SweepResult{Reachable: true, Lapsed: 1, Removals: 1, Users: true, Keys: true, Schedule: true}, res)
}

// While LiteLLM is away nobody is sent to it.
func TestSweepSendsNobodyToAnAbsentLiteLLM(t *testing.T) {
	env := environment(t)
	var (
		proposals *activities.Proposals
		probes    *activities.Probes
		schedules *activities.Schedules
	)
	env.OnActivity(probes.ProbeLiteLLM, mock.Anything, mock.Anything).Return(activities.ProbeLiteLLMResult{}, nil).Once()
	env.OnActivity(proposals.DueProposals, mock.Anything, mock.Anything).Return(activities.DueProposalsResult{}, nil).Once()
	env.OnActivity(schedules.TellSyncSchedule, mock.Anything, mock.Anything).Return(activities.TellSyncScheduleResult{}, nil).Once()

	env.ExecuteWorkflow(workflows.Sweep, workflows.SweepInput{})

	require.NoError(t, env.GetWorkflowError())
}
