package workflows_test

import (
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"

	"github.com/litemaas/litemaas/activities"
	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/workflows"
)

var ripples *activities.Cascades

// refs are new cascades: of the first generation, or given back.
func refs(n int, generation int64) []activities.CascadeRef {
	var out []activities.CascadeRef
	for range n {
		out = append(out, activities.CascadeRef{ID: uuid.New(), Generation: generation})
	}
	return out
}

// quiet has nothing due to subscriptions.
func quiet(env *testsuite.TestWorkflowEnvironment) {
	env.OnActivity(subs.ExpireSubscriptions, mock.Anything, mock.Anything).Return(activities.FoundCascades{}, nil).Once()
	env.OnActivity(subs.ResetQuotas, mock.Anything, mock.Anything).Return(activities.FoundCascades{}, nil).Once()
	for _, step := range []any{subs.LapseRequests, subs.RemindApprovers, subs.NoticeExpiry} {
		env.OnActivity(step, mock.Anything, mock.Anything).Return(activities.DueResult{}, nil).Once()
	}
}

// quietKeys has nothing due to API keys.
func quietKeys(env *testsuite.TestWorkflowEnvironment) {
	env.OnWorkflow(workflows.ExpireKeys, mock.Anything, mock.Anything).Return(workflows.ExpireKeysResult{}, nil).Once()
	env.OnActivity(keys.NoticeKeys, mock.Anything, mock.Anything).Return(activities.DueKeysResult{}, nil).Once()
	env.OnActivity(keys.RotateDueKeys, mock.Anything, mock.Anything).Return(activities.RotateDueKeysResult{}, nil).Once()
}

// What is due is done, page by page, and LiteLLM follows: on what ended by EndSubscription, on what
// is back by RestoreSubscription.
func TestExpire(t *testing.T) {
	env := environment(t)
	ended, back := refs(3, 1), refs(2, 2)
	env.OnActivity(subs.ExpireSubscriptions, mock.Anything, mock.Anything).Return(activities.FoundCascades{Subscriptions: 500, Cascades: ended[:2], More: true}, nil).Once()
	env.OnActivity(subs.ExpireSubscriptions, mock.Anything, mock.Anything).Return(activities.FoundCascades{Subscriptions: 7, Cascades: ended[2:]}, nil).Once()
	env.OnActivity(subs.ResetQuotas, mock.Anything, mock.Anything).Return(activities.FoundCascades{Subscriptions: 9, Cascades: back}, nil).Once()
	env.OnActivity(subs.LapseRequests, mock.Anything, mock.Anything).Return(activities.DueResult{Subscriptions: 1}, nil).Once()
	env.OnActivity(subs.RemindApprovers, mock.Anything, mock.Anything).Return(activities.DueResult{Subscriptions: 2}, nil).Once()
	env.OnActivity(subs.NoticeExpiry, mock.Anything, mock.Anything).Return(activities.DueResult{Subscriptions: 3}, nil).Once()
	for _, c := range ended {
		env.OnWorkflow(workflows.EndSubscription, mock.Anything, workflows.EndSubscriptionInput{CascadeID: c.ID}).Return(workflows.EndSubscriptionResult{}, nil).Once()
	}
	for _, c := range back {
		env.OnWorkflow(workflows.RestoreSubscription, mock.Anything, workflows.RestoreSubscriptionInput{CascadeID: c.ID}).Return(workflows.EndSubscriptionResult{}, nil).Once()
	}

	quietKeys(env)
	env.ExecuteWorkflow(workflows.Expire, workflows.ExpireInput{})

	require.NoError(t, env.GetWorkflowError())
	var res workflows.ExpireResult
	require.NoError(t, env.GetWorkflowResult(&res))
	require.Equal(t, workflows.ExpireResult{Expired: 507, Reset: 9, Lapsed: 1, Reminded: 2, Noticed: 3}, res)
}

// A step that fails holds up no other, and is told.
func TestExpireDoesTheOtherSteps(t *testing.T) {
	env := environment(t)
	broken := temporal.NewNonRetryableApplicationError("no", string(models.Internal), nil)
	env.OnActivity(subs.ExpireSubscriptions, mock.Anything, mock.Anything).Return(activities.FoundCascades{}, broken).Once()
	env.OnActivity(subs.ResetQuotas, mock.Anything, mock.Anything).Return(activities.FoundCascades{}, nil).Once()
	env.OnActivity(subs.LapseRequests, mock.Anything, mock.Anything).Return(activities.DueResult{}, broken).Once()
	env.OnActivity(subs.RemindApprovers, mock.Anything, mock.Anything).Return(activities.DueResult{}, nil).Once()
	env.OnActivity(subs.NoticeExpiry, mock.Anything, mock.Anything).Return(activities.DueResult{}, nil).Once()

	quietKeys(env)
	env.ExecuteWorkflow(workflows.Expire, workflows.ExpireInput{})

	require.ErrorContains(t, env.GetWorkflowError(), "no")
}

// A run whose history has grown long leaves the rest to the next one.
func TestExpireLeavesTheRest(t *testing.T) {
	env := environment(t)
	env.SetCurrentHistoryLength(1001)
	env.OnActivity(subs.ExpireSubscriptions, mock.Anything, mock.Anything).Return(activities.FoundCascades{Subscriptions: 500, More: true}, nil).Once()
	env.OnActivity(subs.ResetQuotas, mock.Anything, mock.Anything).Return(activities.FoundCascades{Subscriptions: 500, More: true}, nil).Once()
	for _, step := range []any{subs.LapseRequests, subs.RemindApprovers, subs.NoticeExpiry} {
		env.OnActivity(step, mock.Anything, mock.Anything).Return(activities.DueResult{}, nil).Once()
	}
	quietKeys(env)
	env.ExecuteWorkflow(workflows.Expire, workflows.ExpireInput{})
	require.NoError(t, env.GetWorkflowError())
}
