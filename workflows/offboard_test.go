package workflows_test

import (
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

// leaving is a user who leaves.
func leaving(grace time.Duration) workflows.OffboardInput {
	return workflows.OffboardInput{UserID: uuid.New(), Why: "left", Grace: grace, Actor: models.Actor{ID: "root"}}
}

// noCascades is a user on whose keys LiteLLM has nothing to follow.
func noCascades(env *testsuite.TestWorkflowEnvironment) {
	env.OnActivity(ripples.UserCascades, mock.Anything, mock.Anything).Return(activities.FoundCascades{}, nil).Once()
}

// A user keeps his access through the grace; then he is held, here and at LiteLLM, in this order.
func TestOffboard(t *testing.T) {
	for _, grace := range []time.Duration{0, 24 * time.Hour} {
		env, in := environment(t), leaving(grace)
		start, held := env.Now(), time.Duration(-1)
		env.OnActivity(people.DeactivateUser, mock.Anything, activities.UserHoldInput{ID: in.UserID, Hold: models.HoldOffboarded, Why: "left", Actor: in.Actor}).
			Run(func(mock.Arguments) { held = env.Now().Sub(start) }).
			Return(activities.UserHoldResult{Holds: []models.Hold{models.HoldOffboarded}}, nil).Once()
		env.OnWorkflow(workflows.ReconcileUser, mock.Anything, workflows.ReconcileUserInput{UserID: in.UserID}).
			Return(func(workflow.Context, workflows.ReconcileUserInput) (workflows.ReconcileUserResult, error) {
				require.GreaterOrEqual(t, held, time.Duration(0))
				return workflows.ReconcileUserResult{Status: models.UserSynced}, nil
			}).Once()
		noCascades(env)

		env.ExecuteWorkflow(workflows.Offboard, in)

		require.NoError(t, env.GetWorkflowError())
		var res workflows.OffboardResult
		require.NoError(t, env.GetWorkflowResult(&res))
		require.Equal(t, workflows.OffboardResult{Holds: []models.Hold{models.HoldOffboarded}, Status: models.UserSynced}, res)
		require.InDelta(t, grace.Seconds(), held.Seconds(), 1)
	}
}

// Cancelled in the grace, it leaves the user alone.
func TestOffboardCancelledInTheGrace(t *testing.T) {
	env, in := environment(t), leaving(24*time.Hour)
	env.RegisterDelayedCallback(env.CancelWorkflow, time.Hour)
	env.ExecuteWorkflow(workflows.Offboard, in)
	require.True(t, temporal.IsCanceledError(env.GetWorkflowError()))
}

// What must not be done is refused with its kind, and LiteLLM is left alone.
func TestOffboardIsRefused(t *testing.T) {
	env, in := environment(t), leaving(0)
	env.OnActivity(people.DeactivateUser, mock.Anything, mock.Anything).
		Return(activities.UserHoldResult{}, temporal.NewNonRetryableApplicationError("this is the last active admin", string(models.Conflict), nil)).Once()
	env.ExecuteWorkflow(workflows.Offboard, in)
	var app *temporal.ApplicationError
	require.ErrorAs(t, env.GetWorkflowError(), &app)
	require.Equal(t, string(models.Conflict), app.Type())
}

// The reason is lifted before LiteLLM follows; both are known by the one ID of the user.
func TestReinstate(t *testing.T) {
	env := environment(t)
	in := workflows.ReinstateInput{UserID: uuid.New(), Hold: models.HoldAdmin, Why: "sorry", Actor: models.Actor{ID: "root"}}
	require.Equal(t, workflows.OffboardInput{UserID: in.UserID}.WorkflowID(), in.WorkflowID())
	lifted := false
	env.OnActivity(people.ReinstateUser, mock.Anything, activities.UserHoldInput{ID: in.UserID, Hold: models.HoldAdmin, Why: "sorry", Actor: in.Actor}).
		Run(func(mock.Arguments) { lifted = true }).
		Return(activities.UserHoldResult{}, nil).Once()
	env.OnWorkflow(workflows.ReconcileUser, mock.Anything, mock.Anything).
		Return(func(workflow.Context, workflows.ReconcileUserInput) (workflows.ReconcileUserResult, error) {
			require.True(t, lifted, "his hold is lifted first")
			return workflows.ReconcileUserResult{Status: models.UserSynced}, nil
		}).Once()
	noCascades(env)

	env.ExecuteWorkflow(workflows.Reinstate, in)

	require.NoError(t, env.GetWorkflowError())
	var res workflows.OffboardResult
	require.NoError(t, env.GetWorkflowResult(&res))
	require.Equal(t, workflows.OffboardResult{Status: models.UserSynced}, res)
}

// That LiteLLM refuses the user is said, though he is held here.
func TestOffboardTellsOfARefusal(t *testing.T) {
	env, in := environment(t), leaving(0)
	env.OnActivity(people.DeactivateUser, mock.Anything, mock.Anything).Return(activities.UserHoldResult{Holds: []models.Hold{models.HoldAdmin}}, nil).Once()
	env.OnWorkflow(workflows.ReconcileUser, mock.Anything, mock.Anything).
		Return(workflows.ReconcileUserResult{}, temporal.NewNonRetryableApplicationError("LiteLLM refuses it: no", string(models.Conflict), errors.New("inner"))).Once()
	noCascades(env)
	env.ExecuteWorkflow(workflows.Offboard, in)
	require.ErrorContains(t, env.GetWorkflowError(), "LiteLLM refuses it: no")
}

// It has ended only when LiteLLM was seen to follow on the user's keys, too, whoever sees to that:
// what was taken by one that is open already, what was given back by one of its own.
func TestOffboardWaitsForTheKeys(t *testing.T) {
	env, in := environment(t), leaving(0)
	start := env.Now()
	taken, given := activities.CascadeRef{ID: uuid.New(), Generation: 1}, activities.CascadeRef{ID: uuid.New(), Generation: 2}
	env.OnActivity(people.DeactivateUser, mock.Anything, mock.Anything).Return(activities.UserHoldResult{Holds: []models.Hold{models.HoldAdmin}}, nil).Once()
	env.OnWorkflow(workflows.ReconcileUser, mock.Anything, mock.Anything).Return(workflows.ReconcileUserResult{Status: models.UserSynced}, nil).Once()
	for _, left := range [][]activities.CascadeRef{{taken, given}, {taken, given}, {given}, nil} {
		env.OnActivity(ripples.UserCascades, mock.Anything, activities.UserRef{ID: in.UserID}).Return(activities.FoundCascades{Cascades: left}, nil).Once()
	}
	env.OnWorkflow(workflows.EndSubscription, mock.Anything, workflows.EndSubscriptionInput{CascadeID: taken.ID}).
		Return(workflows.EndSubscriptionResult{}, errOpen).Times(2)
	env.OnWorkflow(workflows.RestoreSubscription, mock.Anything, workflows.RestoreSubscriptionInput{CascadeID: given.ID}).
		Return(func(ctx workflow.Context, _ workflows.RestoreSubscriptionInput) (workflows.EndSubscriptionResult, error) {
			return workflows.EndSubscriptionResult{}, workflow.Sleep(ctx, time.Hour) // LiteLLM is away
		}).Once()

	env.ExecuteWorkflow(workflows.Offboard, in)

	require.NoError(t, env.GetWorkflowError())
	require.GreaterOrEqual(t, env.Now().Sub(start), time.Hour)
}

// A run from before keys goes on without them.
func TestOffboardFromBeforeKeys(t *testing.T) {
	env, in := environment(t), leaving(0)
	env.OnGetVersion("hold-cascades", workflow.DefaultVersion, workflow.Version(1)).Return(workflow.DefaultVersion).Once()
	env.OnActivity(people.DeactivateUser, mock.Anything, mock.Anything).Return(activities.UserHoldResult{Holds: []models.Hold{models.HoldAdmin}}, nil).Once()
	env.OnWorkflow(workflows.ReconcileUser, mock.Anything, mock.Anything).Return(workflows.ReconcileUserResult{Status: models.UserSynced}, nil).Once()
	env.ExecuteWorkflow(workflows.Offboard, in)
	require.NoError(t, env.GetWorkflowError())
}
