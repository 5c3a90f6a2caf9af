package workflows_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"

	"github.com/litemaas/litemaas/activities"
	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/workflows"
)

var people *activities.Users

// A change that arrives while the run is at work is looked at before the run ends, whether its
// nudge or its row tells of it first.
func TestReconcileUserLooksAgain(t *testing.T) {
	for name, nudge := range map[string]bool{"nudged": true, "by the row": false} {
		t.Run(name, func(t *testing.T) {
			env := environment(t)
			id := uuid.New()
			for g := range int64(2) {
				env.OnActivity(people.ApplyUser, mock.Anything, activities.UserRef{ID: id}).
					Return(activities.ApplyUserResult{Generation: g + 1}, nil).Once().After(time.Second)
			}
			env.OnActivity(people.ObserveUser, mock.Anything, activities.ObserveUserInput{ID: id, Generation: 1}).
				Return(activities.UserVerdict{Status: models.UserPending, Current: nudge}, nil).Once()
			env.OnActivity(people.ObserveUser, mock.Anything, activities.ObserveUserInput{ID: id, Generation: 2}).
				Return(activities.UserVerdict{Status: models.UserSynced, Current: true}, nil).Once()
			if nudge {
				env.RegisterDelayedCallback(func() { env.SignalWorkflow(workflows.RowChanged, nil) }, 500*time.Millisecond)
			}

			env.ExecuteWorkflow(workflows.ReconcileUser, workflows.ReconcileUserInput{UserID: id})

			require.NoError(t, env.GetWorkflowError())
			var res workflows.ReconcileUserResult
			require.NoError(t, env.GetWorkflowResult(&res))
			require.Equal(t, models.UserSynced, res.Status)
		})
	}
}

// What LiteLLM refuses for good is recorded in its words, as of the generation that it refused,
// and ends the run; a newer wish is tried all the same.
func TestReconcileUserRecordsRefusal(t *testing.T) {
	env := environment(t)
	id := uuid.New()
	for g := range int64(2) {
		env.OnActivity(people.ApplyUser, mock.Anything, activities.UserRef{ID: id}).
			Return(activities.ApplyUserResult{Generation: g + 1, Refused: "LiteLLM refuses it: no"}, nil).Once()
		env.OnActivity(people.FailUser, mock.Anything, activities.FailUserInput{ID: id, Generation: g + 1, Why: "LiteLLM refuses it: no"}).
			Return(activities.UserVerdict{Status: models.UserFailed, Current: g == 1}, nil).Once()
	}

	env.ExecuteWorkflow(workflows.ReconcileUser, workflows.ReconcileUserInput{UserID: id})

	require.ErrorContains(t, env.GetWorkflowError(), "LiteLLM refuses it: no")
	var app *temporal.ApplicationError
	require.ErrorAs(t, env.GetWorkflowError(), &app)
	require.Equal(t, string(models.Conflict), app.Type())
}

// An outage is no refusal: the run waits, and records nothing when it gives up.
func TestReconcileUserWaitsForLiteLLM(t *testing.T) {
	env := environment(t)
	start, attempts := env.Now(), 0
	env.OnActivity(people.ApplyUser, mock.Anything, mock.Anything).Return(func(context.Context, activities.UserRef) (activities.ApplyUserResult, error) {
		attempts++
		return activities.ApplyUserResult{}, temporal.NewApplicationError("LiteLLM does not answer", string(models.Unavailable))
	})

	env.ExecuteWorkflow(workflows.ReconcileUser, workflows.ReconcileUserInput{UserID: uuid.New()})

	require.ErrorContains(t, env.GetWorkflowError(), "LiteLLM does not answer")
	require.Equal(t, 10, attempts, "the test environment gives up after 10")
	require.Greater(t, env.Now().Sub(start), 2*time.Minute)
}
