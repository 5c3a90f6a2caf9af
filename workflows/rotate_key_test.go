package workflows_test

import (
	"context"
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

// rotating is a key that is being rotated, on the clock of a test environment.
type rotating struct {
	env       *testsuite.TestWorkflowEnvironment
	key, heir uuid.UUID
	held      bool
	over      bool
	end       string
	retires   time.Time
	silentAt  *time.Time
}

func newRotating(t *testing.T, grace time.Duration) *rotating {
	t.Helper()
	env := environment(t)
	r := &rotating{env: env, key: uuid.New(), heir: uuid.New(), held: true, retires: env.Now().Add(grace)}
	env.OnActivity(keys.LookAtRotation, mock.Anything, activities.KeyRef{ID: r.key}).Return(func(context.Context, activities.KeyRef) (models.KeyRotation, error) {
		return r.look(), nil
	})
	return r
}

func (r *rotating) look() models.KeyRotation {
	out := models.KeyRotation{Heir: r.heir, Held: r.held, Over: r.over, End: r.end, RetireIn: r.retires.Sub(r.env.Now())}
	if r.silentAt != nil {
		out.SilentIn = new(r.silentAt.Sub(r.env.Now()))
	}
	return out
}

// retires has the key go when it is asked to, and LiteLLM let go of it.
func (r *rotating) goes() {
	r.env.OnActivity(keys.RetireKey, mock.Anything, activities.KeyRef{ID: r.key}).Return(func(context.Context, activities.KeyRef) (activities.RetireKeyResult, error) {
		if r.look().Wait() > 0 || !r.held {
			return activities.RetireKeyResult{}, nil
		}
		r.over, r.end = true, models.KeyEndRotated
		return activities.RetireKeyResult{Gone: true}, nil
	})
	r.env.OnWorkflow(workflows.ReconcileKey, mock.Anything, workflows.ReconcileKeyInput{KeyID: r.key}).
		Return(workflows.ReconcileKeyResult{Status: models.KeyRevoked}, nil).Once()
}

// run runs the rotation, and says how long it took.
func (r *rotating) run(t *testing.T) (workflows.RotateKeyResult, time.Duration) {
	t.Helper()
	start := r.env.Now()
	r.env.ExecuteWorkflow(workflows.RotateKey, workflows.RotateKeyInput{KeyID: r.key, Actor: models.System("test")})
	require.NoError(t, r.env.GetWorkflowError())
	var res workflows.RotateKeyResult
	require.NoError(t, r.env.GetWorkflowResult(&res))
	return res, r.env.Now().Sub(start)
}

// Both keys work for the grace, and then the old one goes.
func TestRotateKey(t *testing.T) {
	r := newRotating(t, 24*time.Hour)
	r.goes()
	res, took := r.run(t)
	require.Equal(t, workflows.RotateKeyResult{Heir: r.heir, Retired: true}, res)
	require.GreaterOrEqual(t, took, 24*time.Hour)
	require.Less(t, took, 24*time.Hour+time.Minute)
}

// Without a grace the old key goes as soon as LiteLLM holds the successor, and not before.
func TestRotateKeyWithoutGrace(t *testing.T) {
	r := newRotating(t, 0)
	r.held = false
	r.goes()
	r.env.OnWorkflow(workflows.ReconcileKey, mock.Anything, workflows.ReconcileKeyInput{KeyID: r.heir, New: true}).
		Return(func(workflow.Context, workflows.ReconcileKeyInput) (workflows.ReconcileKeyResult, error) {
			require.False(t, r.over)
			r.held = true
			return workflows.ReconcileKeyResult{Status: models.KeyActive}, nil
		}).Once().After(time.Hour) // LiteLLM is away
	res, took := r.run(t)
	require.True(t, res.Retired)
	require.GreaterOrEqual(t, took, time.Hour)
}

// The grace ends by a signal, by a change of the row, or when the rotation is undone.
func TestRotateKeyEndsEarly(t *testing.T) {
	for name, act := range map[string]func(r *rotating){
		"by signal": func(r *rotating) {
			r.env.OnActivity(keys.HastenRetirement, mock.Anything, mock.Anything).Return(func(context.Context, activities.HastenRetirementInput) error {
				r.retires = r.env.Now()
				return nil
			}).Once()
			r.goes()
			r.env.RegisterDelayedCallback(func() { r.env.SignalWorkflow(workflows.RetireNow, nil) }, time.Hour)
		},
		"by its row": func(r *rotating) {
			r.goes()
			r.env.RegisterDelayedCallback(func() { r.retires = r.env.Now(); r.env.SignalWorkflow(workflows.RowChanged, nil) }, time.Hour)
		},
		"undone": func(r *rotating) {
			r.env.RegisterDelayedCallback(func() {
				r.over, r.heir = true, uuid.Nil
				r.env.SignalWorkflow(workflows.RowChanged, nil)
			}, time.Hour)
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRotating(t, 24*time.Hour)
			act(r)
			res, took := r.run(t)
			require.Equal(t, workflows.RotateKeyResult{Heir: r.heir, Retired: name != "undone"}, res)
			require.GreaterOrEqual(t, took, time.Hour)
			require.Less(t, took, time.Hour+time.Minute)
		})
	}
}

// A key that is silent goes early, but only when LiteLLM says so: not while it is away, and not
// when it knows of a use.
func TestRotateKeyRetiresTheSilent(t *testing.T) {
	r := newRotating(t, 24*time.Hour)
	r.silentAt = new(r.env.Now().Add(time.Hour))
	r.goes()
	asked := 0
	r.env.OnActivity(keys.LookAtKeyUse, mock.Anything, activities.KeyRef{ID: r.key}).Return(func(context.Context, activities.KeyRef) error {
		switch asked++; {
		case r.env.Now().Before(r.silentAt.Add(3*time.Minute)) && asked < 20:
			return temporal.NewNonRetryableApplicationError("LiteLLM does not answer", string(models.Unavailable), nil)
		case asked < 30:
			*r.silentAt, asked = r.env.Now().Add(time.Hour), 30 // it was used just now
		}
		return nil
	})
	res, took := r.run(t)
	require.True(t, res.Retired)
	require.GreaterOrEqual(t, took, 2*time.Hour)
	require.Less(t, took, 3*time.Hour)
}

// A successor that LiteLLM refuses is given up, and the key lives on.
func TestRotateKeyGivesUpARefusedSuccessor(t *testing.T) {
	r := newRotating(t, 24*time.Hour)
	r.held = false
	refused := temporal.NewNonRetryableApplicationError("LiteLLM refuses it: no", string(models.Conflict), nil)
	r.env.OnWorkflow(workflows.ReconcileKey, mock.Anything, workflows.ReconcileKeyInput{KeyID: r.heir, New: true}).
		Return(workflows.ReconcileKeyResult{}, refused).Once()
	r.env.OnActivity(keys.AbandonRotation, mock.Anything, activities.AbandonRotationInput{ID: r.key, Why: "LiteLLM refuses it: no"}).Return(nil).Once()
	r.env.OnWorkflow(workflows.ReconcileKey, mock.Anything, workflows.ReconcileKeyInput{KeyID: r.heir}).Return(workflows.ReconcileKeyResult{}, nil).Once()

	r.env.ExecuteWorkflow(workflows.RotateKey, workflows.RotateKeyInput{KeyID: r.key})

	var app *temporal.ApplicationError
	require.ErrorAs(t, r.env.GetWorkflowError(), &app)
	require.Equal(t, string(models.Conflict), app.Type())
}
