package workflows_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/litemaas/litemaas/activities"
	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/workflows"
)

// Keys that were missed end at once; the next in its second, though LiteLLM is still busy with
// those before; and when none is left soon, the run ends.
func TestExpireKeys(t *testing.T) {
	env := environment(t)
	start := env.Now()
	ends := []time.Time{start.Add(-time.Hour), start.Add(20 * time.Second), start.Add(50*time.Second + 300*time.Millisecond), start.Add(10 * time.Minute)}
	var at []time.Duration
	env.OnActivity(keys.EndDueKeys, mock.Anything, mock.Anything).Return(func(_ context.Context, in activities.EndDueKeysInput) (activities.EndDueKeysResult, error) {
		var res activities.EndDueKeysResult
		for len(ends) > 0 && !ends[0].After(env.Now()) {
			res.IDs, ends = append(res.IDs, uuid.New()), ends[1:]
			at = append(at, env.Now().Sub(start))
		}
		if len(ends) > 0 && ends[0].Before(env.Now().Add(in.Ahead)) {
			res.Next = new(ends[0].Sub(env.Now()))
		}
		return res, nil
	})
	env.OnActivity(keys.ApplyKeys, mock.Anything, mock.Anything).Return(func(_ context.Context, in activities.ApplyKeysInput) (activities.ApplyKeysResult, error) {
		return activities.ApplyKeysResult{Seen: keyProofs(in.IDs...)}, nil
	}).Times(3).After(25 * time.Second)
	env.OnActivity(keys.ObserveKeys, mock.Anything, mock.Anything).Return(activities.ObserveKeysResult{}, nil).Times(3)

	env.ExecuteWorkflow(workflows.ExpireKeys, workflows.ExpireKeysInput{})

	require.NoError(t, env.GetWorkflowError())
	var res workflows.ExpireKeysResult
	require.NoError(t, env.GetWorkflowResult(&res))
	require.Equal(t, workflows.ExpireKeysResult{Ended: 3, Settled: 3}, res)
	require.Len(t, at, 3)
	for i, due := range []time.Duration{0, 20 * time.Second, 50*time.Second + 300*time.Millisecond} {
		require.InDelta(t, due, at[i], float64(time.Second))
	}
	require.Len(t, ends, 1, "the last one is a later run's")
}

// A key whose end is sooner than the one that is slept for ends in its second, and so does one that
// comes while LiteLLM is busy with the last. Alarms are counted.
func TestExpireKeysIsWoken(t *testing.T) {
	env := environment(t)
	start := env.Now()
	ends := []time.Time{start.Add(40 * time.Second)}
	var at []time.Duration
	env.OnActivity(keys.EndDueKeys, mock.Anything, mock.Anything).Return(func(context.Context, activities.EndDueKeysInput) (res activities.EndDueKeysResult, _ error) {
		for len(ends) > 0 && !ends[0].After(env.Now()) {
			res.IDs, res.Alarmed, ends = append(res.IDs, uuid.New()), res.Alarmed+1, ends[1:]
			at = append(at, env.Now().Sub(start))
		}
		if len(ends) > 0 {
			res.Next = new(ends[0].Sub(env.Now()))
		}
		return res, nil
	})
	env.OnActivity(keys.ApplyKeys, mock.Anything, mock.Anything).Return(func(_ context.Context, in activities.ApplyKeysInput) (activities.ApplyKeysResult, error) {
		return activities.ApplyKeysResult{Seen: keyProofs(in.IDs...)}, nil
	}).After(20 * time.Second)
	env.OnActivity(keys.ObserveKeys, mock.Anything, mock.Anything).Return(activities.ObserveKeysResult{}, nil)
	ending := func(in time.Duration) func() {
		return func() {
			ends = append([]time.Time{env.Now().Add(in)}, ends...)
			env.SignalWorkflow(workflows.RowChanged, nil)
		}
	}
	env.RegisterDelayedCallback(ending(5*time.Second), 10*time.Second)
	env.RegisterDelayedCallback(ending(5*time.Second), 50*time.Second)

	env.ExecuteWorkflow(workflows.ExpireKeys, workflows.ExpireKeysInput{})

	require.NoError(t, env.GetWorkflowError())
	var res workflows.ExpireKeysResult
	require.NoError(t, env.GetWorkflowResult(&res))
	require.Equal(t, workflows.ExpireKeysResult{Ended: 3, Settled: 3, Alarmed: 3}, res)
	require.Len(t, at, 3)
	for i, due := range []time.Duration{15 * time.Second, 40 * time.Second, 55 * time.Second} {
		require.InDelta(t, due, at[i], float64(time.Second))
	}
}

// While LiteLLM is away keys end all the same; the sweep has it follow. A long walk goes on as a
// new run.
func TestExpireKeysWithoutLiteLLM(t *testing.T) {
	env := environment(t)
	env.OnActivity(keys.EndDueKeys, mock.Anything, mock.Anything).Return(activities.EndDueKeysResult{IDs: []uuid.UUID{uuid.New()}}, nil).Once()
	env.OnActivity(keys.EndDueKeys, mock.Anything, mock.Anything).Return(activities.EndDueKeysResult{}, nil)
	env.OnActivity(keys.ApplyKeys, mock.Anything, mock.Anything).Return(activities.ApplyKeysResult{Silent: true}, nil).Once()
	env.ExecuteWorkflow(workflows.ExpireKeys, workflows.ExpireKeysInput{})
	require.NoError(t, env.GetWorkflowError())
	var res workflows.ExpireKeysResult
	require.NoError(t, env.GetWorkflowResult(&res))
	require.Equal(t, workflows.ExpireKeysResult{Ended: 1, Left: 1}, res)

	env = environment(t)
	env.SetCurrentHistoryLength(1001)
	env.ExecuteWorkflow(workflows.ExpireKeys, workflows.ExpireKeysInput{Done: res})
	var next *workflow.ContinueAsNewError
	require.ErrorAs(t, env.GetWorkflowError(), &next)
	var in workflows.ExpireKeysInput
	require.NoError(t, converter.GetDefaultDataConverter().FromPayloads(next.Input, &in))
	require.Equal(t, res, in.Done)
}

// What is due to keys is done each minute, and no step holds up another.
func TestExpireLooksAfterKeys(t *testing.T) {
	for _, failing := range []bool{false, true} {
		env := environment(t)
		quiet(env)
		rotated := []uuid.UUID{uuid.New(), uuid.New()}
		var fault error
		if failing {
			fault = temporal.NewNonRetryableApplicationError("no", string(models.Internal), nil)
		}
		env.OnWorkflow(workflows.ExpireKeys, mock.Anything, mock.Anything).Return(workflows.ExpireKeysResult{}, nil).Once()
		env.OnActivity(keys.NoticeKeys, mock.Anything, mock.Anything).Return(activities.DueKeysResult{Keys: 3}, fault).Once()
		env.OnActivity(keys.RotateDueKeys, mock.Anything, mock.Anything).Return(activities.RotateDueKeysResult{Rotated: 1, IDs: rotated}, nil).Once()
		for _, id := range rotated {
			env.OnWorkflow(workflows.RotateKey, mock.Anything, workflows.RotateKeyInput{KeyID: id, Actor: models.System("Expire")}).
				Return(workflows.RotateKeyResult{}, nil).Once()
		}

		env.ExecuteWorkflow(workflows.Expire, workflows.ExpireInput{})

		if failing {
			require.ErrorContains(t, env.GetWorkflowError(), "no")
			continue
		}
		require.NoError(t, env.GetWorkflowError())
		var res workflows.ExpireResult
		require.NoError(t, env.GetWorkflowResult(&res))
		require.Equal(t, workflows.ExpireResult{Keys: workflows.ExpiredKeys{Rotated: 1, Noticed: 3}}, res)
	}
}
