package workflows_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/litemaas/litemaas/activities"
	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/workflows"
)

// leaving is a user who leaves.
func leaving(grace time.Duration) workflows.OffboardInput {
	return workflows.OffboardInput{UserID: uuid.New(), Why: "left", Grace: grace, Actor: models.Actor{ID: "root"}}
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
	lift := env.OnActivity(people.ReinstateUser, mock.Anything, activities.UserHoldInput{ID: in.UserID, Hold: models.HoldAdmin, Why: "sorry", Actor: in.Actor}).
		Return(activities.UserHoldResult{}, nil).Once()
	env.OnWorkflow(workflows.ReconcileUser, mock.Anything, mock.Anything).
		Return(workflows.ReconcileUserResult{Status: models.UserSynced}, nil).Once().NotBefore(lift)

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
	env.ExecuteWorkflow(workflows.Offboard, in)
	require.ErrorContains(t, env.GetWorkflowError(), "LiteLLM refuses it: no")
}
