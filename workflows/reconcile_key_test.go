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

var keys *activities.Keys

// A change that arrives while the run is at work is looked at before the run ends, whether its
// nudge or its row tells of it first. Only the first word to LiteLLM is that of a new key.
func TestReconcileKeyLooksAgain(t *testing.T) {
	for name, nudge := range map[string]bool{"nudged": true, "by the row": false} {
		t.Run(name, func(t *testing.T) {
			env := environment(t)
			id := uuid.New()
			for g := range int64(2) {
				env.OnActivity(keys.ApplyKey, mock.Anything, activities.ApplyKeyInput{ID: id, New: g == 0}).
					Return(activities.ApplyKeyResult{Generation: g + 1}, nil).Once().After(time.Second)
			}
			env.OnActivity(keys.ObserveKey, mock.Anything, models.KeyProof{ID: id, Generation: 1}).
				Return(activities.KeyVerdict{Status: models.KeyActive, Current: nudge}, nil).Once()
			env.OnActivity(keys.ObserveKey, mock.Anything, models.KeyProof{ID: id, Generation: 2}).
				Return(activities.KeyVerdict{Status: models.KeyRevoked, Current: true}, nil).Once()
			if nudge {
				env.RegisterDelayedCallback(func() { env.SignalWorkflow(workflows.RowChanged, nil) }, 500*time.Millisecond)
			}

			env.ExecuteWorkflow(workflows.ReconcileKey, workflows.ReconcileKeyInput{KeyID: id, New: true})

			require.NoError(t, env.GetWorkflowError())
			var res workflows.ReconcileKeyResult
			require.NoError(t, env.GetWorkflowResult(&res))
			require.Equal(t, models.KeyRevoked, res.Status)
		})
	}
}

// What LiteLLM refuses for good is recorded in its words, as of the generation that it refused,
// and ends the run; a newer wish is tried all the same.
func TestReconcileKeyRecordsRefusal(t *testing.T) {
	env := environment(t)
	id := uuid.New()
	for g := range int64(2) {
		env.OnActivity(keys.ApplyKey, mock.Anything, activities.ApplyKeyInput{ID: id}).
			Return(activities.ApplyKeyResult{Generation: g + 1, Refused: "LiteLLM refuses it: no"}, nil).Once()
		env.OnActivity(keys.FailKey, mock.Anything, activities.FailKeyInput{ID: id, Generation: g + 1, Why: "LiteLLM refuses it: no"}).
			Return(activities.KeyVerdict{Status: models.KeyFailed, Current: g == 1}, nil).Once()
	}

	env.ExecuteWorkflow(workflows.ReconcileKey, workflows.ReconcileKeyInput{KeyID: id})

	require.ErrorContains(t, env.GetWorkflowError(), "LiteLLM refuses it: no")
	var app *temporal.ApplicationError
	require.ErrorAs(t, env.GetWorkflowError(), &app)
	require.Equal(t, string(models.Conflict), app.Type())
}

// An outage is no refusal: the run waits, and records nothing when it gives up.
func TestReconcileKeyWaitsForLiteLLM(t *testing.T) {
	env := environment(t)
	start, attempts := env.Now(), 0
	env.OnActivity(keys.ApplyKey, mock.Anything, mock.Anything).Return(func(context.Context, activities.ApplyKeyInput) (activities.ApplyKeyResult, error) {
		attempts++
		return activities.ApplyKeyResult{}, temporal.NewApplicationError("LiteLLM does not answer", string(models.Unavailable))
	})

	env.ExecuteWorkflow(workflows.ReconcileKey, workflows.ReconcileKeyInput{KeyID: uuid.New()})

	require.ErrorContains(t, env.GetWorkflowError(), "LiteLLM does not answer")
	require.Equal(t, 10, attempts, "the test environment gives up after 10")
	require.Greater(t, env.Now().Sub(start), 2*time.Minute)
}

// What was wished for while LiteLLM was away for more than an hour is carried out when it is back. The
// tries are few, as the test environment gives up after 10.
func TestReconcileKeyOutlastsAnOutage(t *testing.T) {
	env := environment(t)
	id, start, attempts := uuid.New(), env.Now(), 0
	env.OnActivity(keys.ApplyKey, mock.Anything, activities.ApplyKeyInput{ID: id, New: true}).Return(func(context.Context, activities.ApplyKeyInput) (activities.ApplyKeyResult, error) {
		if attempts++; attempts < 8 {
			return activities.ApplyKeyResult{}, temporal.NewApplicationErrorWithOptions("LiteLLM does not answer", string(models.Unavailable),
				temporal.ApplicationErrorOptions{NextRetryDelay: 10 * time.Minute})
		}
		return activities.ApplyKeyResult{Generation: 1}, nil
	})
	env.OnActivity(keys.ObserveKey, mock.Anything, models.KeyProof{ID: id, Generation: 1}).
		Return(activities.KeyVerdict{Status: models.KeyActive, Current: true}, nil).Once()

	env.ExecuteWorkflow(workflows.ReconcileKey, workflows.ReconcileKeyInput{KeyID: id, New: true})

	require.NoError(t, env.GetWorkflowError())
	var res workflows.ReconcileKeyResult
	require.NoError(t, env.GetWorkflowResult(&res))
	require.Equal(t, models.KeyActive, res.Status)
	require.GreaterOrEqual(t, env.Now().Sub(start), time.Hour)
}
