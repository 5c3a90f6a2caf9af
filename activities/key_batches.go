package activities

import (
	"context"
	"sync"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/sdk/activity"

	"github.com/litemaas/litemaas/models"
)

// UnsettledKeysInput selects a page of the line of unsettled keys.
type UnsettledKeysInput struct {
	Fresh bool // those too whose wish was recorded just now
	After models.Place
	Limit int
}

// UnsettledKeysResult is the page, with the place of its last key.
type UnsettledKeysResult struct {
	IDs  []uuid.UUID
	Last models.Place
}

// UnsettledKeys finds the keys whose wish was recorded but whose workflow was never started, or
// gave up.
func (a *Keys) UnsettledKeys(ctx context.Context, in UnsettledKeysInput) (UnsettledKeysResult, error) {
	age := overlooked
	if in.Fresh {
		age = time.Duration(0)
	}
	ids, last, err := a.Store.UnsettledKeysAfter(ctx, age, in.After, in.Limit)
	return UnsettledKeysResult{ids, last}, err
}

// ApplyKeysInput names the keys of a batch. New says that nobody can have told LiteLLM of any.
type ApplyKeysInput struct {
	IDs []uuid.UUID
	New bool `json:",omitzero"`
}

// ApplyKeysResult says which keys were seen at LiteLLM as their rows say, and which were not.
type ApplyKeysResult struct {
	Seen   []models.KeyProof
	Left   []uuid.UUID // each needs a run of its own
	Silent bool        // LiteLLM did nothing for any of them: it is away
}

// ApplyKeys is ApplyKey for many at once. One that fails holds up no other. Repeating it is
// always safe.
func (a *Keys) ApplyKeys(ctx context.Context, in ApplyKeysInput) (ApplyKeysResult, error) {
	defer beat(ctx)()
	keys, err := a.Store.KeysByID(ctx, in.IDs)
	if err != nil {
		return ApplyKeysResult{}, err
	}
	unheard := in.New && activity.GetInfo(ctx).Attempt == 1
	res := ApplyKeysResult{Silent: len(keys) > 0}
	var mu sync.Mutex
	abreast(keys, func(k models.Key) {
		s := a.settling(k)
		err := s.run(ctx, unheard && k.ObservedGeneration == 0)
		mu.Lock()
		defer mu.Unlock()
		if err == nil {
			res.Seen = append(res.Seen, models.KeyProof{ID: k.ID, Generation: k.Generation})
		} else {
			res.Left = append(res.Left, k.ID)
		}
		res.Silent = res.Silent && models.KindOf(err) == models.Unavailable && len(s.did) == 0 && !s.probed
	})
	return res, ctx.Err()
}

// ObserveKeysInput says which keys were seen.
type ObserveKeysInput struct{ Seen []models.KeyProof }

// ObserveKeysResult names those that have a newer wish than what was seen; see KeyVerdict.
type ObserveKeysResult struct{ Behind []uuid.UUID }

// ObserveKeys is ObserveKey for many at once.
func (a *Keys) ObserveKeys(ctx context.Context, in ObserveKeysInput) (ObserveKeysResult, error) {
	behind, err := a.Store.ObserveKeys(ctx, in.Seen)
	return ObserveKeysResult{behind}, err
}
