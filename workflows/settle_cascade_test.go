package workflows_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/workflow"

	"github.com/litemaas/litemaas/activities"
	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/workflows"
)

var tokens *activities.Keys

// wave is a cascade over some keys, and a LiteLLM that follows on those that it is told of.
type wave struct {
	ref      activities.CascadeRef
	left     []uuid.UUID
	total    int
	batches  []int // how many keys were in each
	observed []int64
}

// newWave has the activities answer from a cascade over n keys. settle says which of a batch were
// settled.
func newWave(env *testsuite.TestWorkflowEnvironment, n int, settle func(batch []uuid.UUID) activities.ApplyKeysResult) *wave {
	w := &wave{ref: activities.CascadeRef{ID: uuid.New(), Generation: 1}, total: n}
	for range n {
		w.left = append(w.left, uuid.New())
	}
	env.OnActivity(ripples.CascadeKeys, mock.Anything, activities.CascadeKeysInput{ID: w.ref.ID, Limit: 200}).
		Return(func(context.Context, activities.CascadeKeysInput) (activities.CascadeKeysResult, error) {
			return activities.CascadeKeysResult{
				Cause: models.CauseRestricted, Subscriptions: n, Keys: n, Generation: w.ref.Generation,
				Unsettled: w.left[:min(200, len(w.left))], Left: len(w.left),
			}, nil
		})
	env.OnActivity(tokens.ApplyKeys, mock.Anything, mock.Anything).Return(func(_ context.Context, in activities.ApplyKeysInput) (activities.ApplyKeysResult, error) {
		w.batches = append(w.batches, len(in.IDs))
		return settle(in.IDs), nil
	}).Maybe()
	env.OnActivity(tokens.ObserveKeys, mock.Anything, mock.Anything).Return(func(_ context.Context, in activities.ObserveKeysInput) (activities.ObserveKeysResult, error) {
		for _, p := range in.Seen {
			w.settled(p.ID)
		}
		return activities.ObserveKeysResult{}, nil
	}).Maybe()
	env.OnActivity(ripples.ObserveCascade, mock.Anything, mock.Anything).Return(func(_ context.Context, in activities.CascadeRef) (activities.ObserveCascadeResult, error) {
		w.observed = append(w.observed, in.Generation)
		return activities.ObserveCascadeResult{Settled: in.Generation == w.ref.Generation && len(w.left) == 0}, nil
	}).Maybe()
	return w
}

func (w *wave) settled(id uuid.UUID) {
	w.left = slices.DeleteFunc(w.left, func(other uuid.UUID) bool { return other == id })
}

// keySeen are proofs of keys.
func keySeen(ids ...uuid.UUID) activities.ApplyKeysResult {
	var res activities.ApplyKeysResult
	for _, id := range ids {
		res.Seen = append(res.Seen, models.KeyProof{ID: id, Generation: 2})
	}
	return res
}

func all(batch []uuid.UUID) activities.ApplyKeysResult { return keySeen(batch...) }

// All keys are settled, batch by batch, and only then is the cascade observed; the one that took
// and the one that gives back do the same.
func TestSettleCascade(t *testing.T) {
	for name, start := range map[string]func(*testsuite.TestWorkflowEnvironment, uuid.UUID){
		"end": func(env *testsuite.TestWorkflowEnvironment, id uuid.UUID) {
			env.ExecuteWorkflow(workflows.EndSubscription, workflows.EndSubscriptionInput{CascadeID: id})
		},
		"restore": func(env *testsuite.TestWorkflowEnvironment, id uuid.UUID) {
			env.ExecuteWorkflow(workflows.RestoreSubscription, workflows.RestoreSubscriptionInput{CascadeID: id})
		},
	} {
		t.Run(name, func(t *testing.T) {
			env := environment(t)
			w := newWave(env, 412, all)
			start(env, w.ref.ID)
			require.NoError(t, env.GetWorkflowError())
			var res workflows.EndSubscriptionResult
			require.NoError(t, env.GetWorkflowResult(&res))
			require.Equal(t, workflows.EndSubscriptionResult{Subscriptions: 412, Keys: 412}, res)
			require.Equal(t, []int{200, 200, 12}, w.batches)
			require.Equal(t, []int64{1}, w.observed)
		})
	}
}

// A cascade whose keys were settled by somebody else, or before a worker died, is only observed.
func TestSettleCascadeThatIsSettled(t *testing.T) {
	env := environment(t)
	w := newWave(env, 0, all)
	env.ExecuteWorkflow(workflows.EndSubscription, workflows.EndSubscriptionInput{CascadeID: w.ref.ID})
	require.NoError(t, env.GetWorkflowError())
	require.Empty(t, w.batches)
	require.Equal(t, []int64{1}, w.observed)
}

// While LiteLLM is away the run waits, with pauses that grow, and starts no other; it completes
// when LiteLLM is back.
func TestSettleCascadeWaitsForLiteLLM(t *testing.T) {
	env := environment(t)
	start, back := env.Now(), 3*time.Hour
	w := newWave(env, 3, func(batch []uuid.UUID) activities.ApplyKeysResult {
		if env.Now().Sub(start) < back {
			return activities.ApplyKeysResult{Left: batch, Silent: true}
		}
		return keySeen(batch...)
	})
	env.ExecuteWorkflow(workflows.EndSubscription, workflows.EndSubscriptionInput{CascadeID: w.ref.ID})
	require.NoError(t, env.GetWorkflowError())
	require.Equal(t, []int64{1}, w.observed)
	require.InDelta(t, back.Seconds(), env.Now().Sub(start).Seconds(), 60)
	require.Less(t, len(w.batches), 400, "every 30 s at most")
}

// A key that cannot be settled in its batch gets a run of its own; the cascade waits until that
// has settled it, or found that LiteLLM refuses it.
func TestSettleCascadeWaitsForSingleKeys(t *testing.T) {
	env := environment(t)
	start := env.Now()
	var stubborn uuid.UUID
	w := newWave(env, 5, func(batch []uuid.UUID) activities.ApplyKeysResult {
		res := keySeen(slices.DeleteFunc(slices.Clone(batch), func(id uuid.UUID) bool { return id == stubborn })...)
		res.Left = []uuid.UUID{stubborn}
		return res
	})
	stubborn = w.left[2]
	env.OnWorkflow(workflows.ReconcileKey, mock.Anything, workflows.ReconcileKeyInput{KeyID: stubborn}).
		Return(func(ctx workflow.Context, _ workflows.ReconcileKeyInput) (workflows.ReconcileKeyResult, error) {
			err := workflow.Sleep(ctx, time.Minute)
			w.settled(stubborn)
			return workflows.ReconcileKeyResult{}, err
		})
	env.ExecuteWorkflow(workflows.EndSubscription, workflows.EndSubscriptionInput{CascadeID: w.ref.ID})
	require.NoError(t, env.GetWorkflowError())
	require.Equal(t, []int64{1}, w.observed)
	require.InDelta(t, time.Minute.Seconds(), env.Now().Sub(start).Seconds(), 35)
}

// A cascade that gives something back while what it took is being followed is followed to its end.
func TestSettleCascadeThatGivesBackMeanwhile(t *testing.T) {
	env := environment(t)
	var w *wave
	w = newWave(env, 2, func(batch []uuid.UUID) activities.ApplyKeysResult {
		if w.ref.Generation == 1 && len(w.batches) == 2 {
			w.ref.Generation = 2
		}
		return keySeen(batch[0])
	})
	env.ExecuteWorkflow(workflows.EndSubscription, workflows.EndSubscriptionInput{CascadeID: w.ref.ID})
	require.NoError(t, env.GetWorkflowError())
	require.Equal(t, int64(2), w.observed[len(w.observed)-1])
}

// A long cascade goes on as a new run, with what was done.
func TestSettleCascadeGoesOnAsANewRun(t *testing.T) {
	env := environment(t)
	env.SetCurrentHistoryLength(1001)
	w := newWave(env, 412, all)

	env.ExecuteWorkflow(workflows.RestoreSubscription, workflows.RestoreSubscriptionInput{CascadeID: w.ref.ID})

	var next *workflow.ContinueAsNewError
	require.ErrorAs(t, env.GetWorkflowError(), &next)
	var in workflows.RestoreSubscriptionInput
	require.NoError(t, converter.GetDefaultDataConverter().FromPayloads(next.Input, &in))
	require.Equal(t, workflows.RestoreSubscriptionInput{CascadeID: w.ref.ID, Done: workflows.ReconcileKeysResult{Settled: 200}}, in)
	require.Equal(t, "RestoreSubscription", next.WorkflowType.Name)
}
