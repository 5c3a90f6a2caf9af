package workflows

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/litemaas/litemaas/models"
)

// KeyBatches has LiteLLM follow new API keys, with fewer runs the more there are: a key that comes
// while a run is under way waits for it to end, and shares the next one with those that came
// meanwhile. One that comes alone waits for nobody. It is safe for use by many goroutines.
type KeyBatches struct {
	starter Starter

	mu     sync.Mutex
	flying int       // runs under way
	next   *keyBatch // of the keys that wait for one to end; nil: none does
}

// NewKeyBatches returns a KeyBatches that starts its runs by c.
func NewKeyBatches(c Starter) *KeyBatches { return &KeyBatches{starter: c} }

// keyBatch is some keys that share a run.
type keyBatch struct {
	ids   []uuid.UUID
	ended chan struct{} // closed when the rest is known

	left []uuid.UUID // to runs of their own
	err  error
}

const (
	// keyFlights is how many runs are under way before the keys that come gather. More of them make
	// smaller batches, and fewer keys in a second: that was measured.
	keyFlights = 1

	// keysInFlight is how many gather at most before they go anyway.
	keysInFlight = 100

	// longestFlight is how long a run keeps others from being started.
	longestFlight = time.Second

	// keyBatchPatience is how long the end of a run is waited for.
	keyBatchPatience = 30 * time.Second
)

// Settle waits until LiteLLM holds a new key that is committed, or refuses it, for as long as
// patience at most: then it is Pending, and the work goes on. It is Conflict when LiteLLM refuses
// the key, and Unavailable when no run could be started: then Sweep follows the key.
func (b *KeyBatches) Settle(ctx context.Context, id uuid.UUID, patience time.Duration) error {
	until := time.Now().Add(patience)
	batch := b.join(ctx, id)
	late, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	select {
	case <-batch.ended:
	case <-late.Done():
		return models.Wrap(models.Pending, late.Err(), "key/%s goes on", id)
	}
	if batch.err != nil || !slices.Contains(batch.left, id) {
		return batch.err
	}
	run, err := Start(ctx, b.starter, ReconcileKey, ReconcileKeyInput{KeyID: id})
	if err != nil {
		return err
	}
	_, err = run.Wait(ctx, time.Until(until))
	return err
}

// join puts a key into the batch that gathers, and lets it go if it need not wait. What goes on
// does so whether its callers are still there or not.
func (b *KeyBatches) join(ctx context.Context, id uuid.UUID) *keyBatch {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.next == nil {
		b.next = &keyBatch{ended: make(chan struct{})}
	}
	batch := b.next
	batch.ids = append(batch.ids, id)
	if b.flying < keyFlights || len(batch.ids) >= keysInFlight {
		b.depart(context.WithoutCancel(ctx))
	}
	return batch
}

// depart lets the keys that have gathered go. The lock is held.
func (b *KeyBatches) depart(ctx context.Context) {
	batch := b.next
	b.next = nil
	b.flying++
	land := sync.OnceFunc(func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.flying--
		if b.next != nil && b.flying < keyFlights {
			b.depart(ctx)
		}
	})
	slow := time.AfterFunc(longestFlight, land)
	go func() {
		defer land()
		defer slow.Stop()
		defer close(batch.ended)
		b.fly(ctx, batch)
	}()
}

// fly has LiteLLM follow a batch. A single key has the run that is its own from the start, which is
// the shortest way.
func (b *KeyBatches) fly(ctx context.Context, batch *keyBatch) {
	if len(batch.ids) == 1 {
		run, err := Start(ctx, b.starter, ReconcileKey, ReconcileKeyInput{KeyID: batch.ids[0], New: true})
		if err == nil {
			_, err = run.Wait(ctx, keyBatchPatience)
		}
		batch.err = err
		return
	}
	run, err := Start(ctx, b.starter, ReconcileKeyBatch, ReconcileKeyBatchInput{BatchID: uuid.New(), KeyIDs: batch.ids})
	if err != nil {
		batch.err = err
		return
	}
	var res ReconcileKeyBatchResult
	res, batch.err = run.Wait(ctx, keyBatchPatience)
	batch.left = res.Left
}
