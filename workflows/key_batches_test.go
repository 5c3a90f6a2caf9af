package workflows_test

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"github.com/litemaas/litemaas/activities"
	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/workflows"
)

// engine is a Temporal server whose runs take a time, and settle all but some keys.
type engine struct {
	client.Client
	takes time.Duration
	left  []uuid.UUID // by batches
	bad   []uuid.UUID // LiteLLM refuses them
	away  bool

	mu      sync.Mutex
	singles []workflows.ReconcileKeyInput
	batches []workflows.ReconcileKeyBatchInput
}

func (e *engine) ExecuteWorkflow(_ context.Context, _ client.StartWorkflowOptions, _ any, args ...any) (client.WorkflowRun, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.away {
		return nil, errors.New("it does not answer")
	}
	r := &engineRun{takes: e.takes}
	switch in := args[0].(type) {
	case workflows.ReconcileKeyInput:
		e.singles = append(e.singles, in)
		if slices.Contains(e.bad, in.KeyID) {
			r.err = temporal.NewApplicationError("refused", string(models.Conflict))
		}
	case workflows.ReconcileKeyBatchInput:
		e.batches = append(e.batches, in)
		for _, id := range in.KeyIDs {
			if slices.Contains(e.left, id) || slices.Contains(e.bad, id) {
				r.res.Left = append(r.res.Left, id)
			}
		}
	}
	return r, nil
}

type engineRun struct {
	client.WorkflowRun
	takes time.Duration
	res   workflows.ReconcileKeyBatchResult
	err   error
}

func (r *engineRun) GetID() string { return "run" }

func (r *engineRun) Get(ctx context.Context, out any) error {
	select {
	case <-time.After(r.takes):
	case <-ctx.Done():
		return ctx.Err()
	}
	if r.err == nil && reflect.TypeOf(out).Elem() == reflect.TypeFor[workflows.ReconcileKeyBatchResult]() {
		*out.(*workflows.ReconcileKeyBatchResult) = r.res
	}
	return r.err
}

// settleAll settles keys at the same moment, and returns what each was told.
func settleAll(b *workflows.KeyBatches, patience time.Duration, ids ...uuid.UUID) []error {
	errs := make([]error, len(ids))
	var wg sync.WaitGroup
	for i, id := range ids {
		wg.Go(func() { errs[i] = b.Settle(context.Background(), id, patience) })
	}
	wg.Wait()
	return errs
}

func someIDs(n int) []uuid.UUID {
	ids := make([]uuid.UUID, n)
	for i := range ids {
		ids[i] = uuid.New()
	}
	return ids
}

// Who comes alone waits for nobody; of many, most share a run.
func TestKeyBatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &engine{takes: 50 * time.Millisecond}
		b := workflows.NewKeyBatches(e)
		began := time.Now()
		require.Equal(t, []error{nil}, settleAll(b, time.Minute, uuid.New()))
		require.Equal(t, e.takes, time.Since(began))
		require.True(t, e.singles[0].New)
		require.Empty(t, e.batches)

		began = time.Now()
		ids := someIDs(64)
		for _, err := range settleAll(b, time.Minute, ids...) {
			require.NoError(t, err)
		}
		require.LessOrEqual(t, time.Since(began), 2*e.takes)
		require.Len(t, e.singles, 2, "those that found nobody under way")
		require.Len(t, e.batches, 1)
		require.Len(t, e.batches[0].KeyIDs, 63)
		require.NotEqual(t, uuid.Nil, e.batches[0].BatchID)
	})
}

// One that LiteLLM refuses fails no other, and one that is left has a run of its own.
func TestKeyBatchesFailAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ids := someIDs(20)
		e := &engine{takes: 50 * time.Millisecond, left: ids[3:5], bad: ids[5:6]}
		for i, err := range settleAll(workflows.NewKeyBatches(e), time.Minute, ids...) {
			if i != 5 {
				require.NoError(t, err)
				continue
			}
			require.Equal(t, models.Conflict, models.KindOf(err))
			require.ErrorContains(t, err, "refused")
		}
	})
}

// A run that takes long holds up nobody for more than a moment; who has no patience is told that
// it goes on; and when no run can be started, all are told so.
func TestKeyBatchesWithTrouble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &engine{takes: 10 * time.Second}
		b := workflows.NewKeyBatches(e)
		began := time.Now()
		for _, err := range settleAll(b, time.Minute, someIDs(10)...) {
			require.NoError(t, err)
		}
		require.Equal(t, 11*time.Second, time.Since(began))
		began = time.Now()
		for _, err := range settleAll(b, time.Second, someIDs(3)...) {
			require.Equal(t, models.Pending, models.KindOf(err))
		}
		require.Equal(t, time.Second, time.Since(began))
		time.Sleep(time.Minute)
		e.mu.Lock()
		e.away = true
		e.mu.Unlock()
		for _, err := range settleAll(b, time.Minute, someIDs(5)...) {
			require.Equal(t, models.Unavailable, models.KindOf(err))
		}
	})
}

// New keys are made at once by one activity; what is left gets a run of its own, and is named.
func TestReconcileKeyBatch(t *testing.T) {
	env := environment(t)
	ids := someIDs(4)
	in := workflows.ReconcileKeyBatchInput{BatchID: uuid.New(), KeyIDs: ids}
	require.True(t, strings.HasPrefix(in.WorkflowID(), "keys/"))
	env.OnActivity(keys.ApplyKeys, mock.Anything, activities.ApplyKeysInput{IDs: ids, New: true}).
		Return(activities.ApplyKeysResult{Seen: keyProofs(ids[:3]...), Left: ids[3:]}, nil).Once()
	env.OnActivity(keys.ObserveKeys, mock.Anything, activities.ObserveKeysInput{Seen: keyProofs(ids[:3]...)}).
		Return(activities.ObserveKeysResult{Behind: ids[:1]}, nil).Once()
	for _, id := range []uuid.UUID{ids[3], ids[0]} {
		env.OnWorkflow(workflows.ReconcileKey, mock.Anything, workflows.ReconcileKeyInput{KeyID: id}).Return(workflows.ReconcileKeyResult{}, nil).Once()
	}
	env.ExecuteWorkflow(workflows.ReconcileKeyBatch, in)
	require.NoError(t, env.GetWorkflowError())
	var res workflows.ReconcileKeyBatchResult
	require.NoError(t, env.GetWorkflowResult(&res))
	require.Equal(t, []uuid.UUID{ids[3], ids[0]}, res.Left)
	env.AssertExpectations(t)
}

// While LiteLLM is away all are left, and none gets a run by the batch.
func TestReconcileKeyBatchWhileLiteLLMIsAway(t *testing.T) {
	env := environment(t)
	ids := someIDs(3)
	env.OnActivity(keys.ApplyKeys, mock.Anything, mock.Anything).Return(activities.ApplyKeysResult{Left: ids, Silent: true}, nil).Once()
	env.ExecuteWorkflow(workflows.ReconcileKeyBatch, workflows.ReconcileKeyBatchInput{BatchID: uuid.New(), KeyIDs: ids})
	require.NoError(t, env.GetWorkflowError())
	var res workflows.ReconcileKeyBatchResult
	require.NoError(t, env.GetWorkflowResult(&res))
	require.Equal(t, ids, res.Left)
}
