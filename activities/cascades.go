package activities

import (
	"context"

	"github.com/google/uuid"

	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
)

// Cascades looks after what follows from a change of many subscriptions.
type Cascades struct{ Store *store.Store }

// CascadeRef names a cascade, and says by its generation whether it took or gave back.
type CascadeRef struct {
	ID         uuid.UUID
	Generation int64
}

// FoundCascades are some that LiteLLM has to follow. Those that a failed attempt made are not
// among them: the sweep finds them.
type FoundCascades struct {
	Subscriptions int // that were moved
	Cascades      []CascadeRef
	More          bool // there may be others: ask again
}

// manyCascades is how many a result names at most, or a page more.
const manyCascades = 200

// add takes note of those that LiteLLM has yet to follow.
func (f *FoundCascades) add(list []models.Cascade) {
	for _, c := range list {
		if !c.Settled() {
			f.Cascades = append(f.Cascades, CascadeRef{c.ID, c.Generation})
		}
	}
}

func (f *FoundCascades) many() bool { return len(f.Cascades) >= manyCascades }

// CascadeKeysInput selects keys of a cascade.
type CascadeKeysInput struct {
	ID    uuid.UUID
	Limit int
}

// CascadeKeysResult is what is left to do for a cascade: Unsettled are the first of the Left keys.
type CascadeKeysResult struct {
	Cause               models.CascadeCause
	Subscriptions, Keys int
	Generation          int64
	Unsettled           []uuid.UUID
	Left                int
}

// CascadeKeys finds the keys of a cascade that LiteLLM was not yet seen to hold as they are now.
// The generation is read before the keys: once none is left, all of it has come true.
func (a *Cascades) CascadeKeys(ctx context.Context, in CascadeKeysInput) (CascadeKeysResult, error) {
	c, err := a.Store.Cascade(ctx, in.ID)
	if err != nil {
		return CascadeKeysResult{}, err
	}
	res := CascadeKeysResult{Cause: c.Cause, Subscriptions: c.Subscriptions, Keys: c.Keys, Generation: c.Generation}
	res.Unsettled, res.Left, err = a.Store.CascadeKeys(ctx, in.ID, in.Limit)
	return res, err
}

// ObserveCascadeResult says whether LiteLLM was seen to follow the cascade as it is now: not if it
// gave something back meanwhile.
type ObserveCascadeResult struct{ Settled bool }

// ObserveCascade records that LiteLLM was seen to follow a cascade on every key.
func (a *Cascades) ObserveCascade(ctx context.Context, in CascadeRef) (ObserveCascadeResult, error) {
	c, err := a.Store.ObserveCascade(ctx, in.ID, in.Generation)
	return ObserveCascadeResult{c.Settled()}, err
}

// llmPage is how many models are looked after in one transaction. A model may have many
// subscribers.
const llmPage = 20

// CascadeModelsInput is empty: the catalogue says what is gone and what is back.
type CascadeModelsInput struct{}

// CascadeVanished ends the subscriptions to models that LiteLLM offers no more. Repeating it
// changes nothing.
func (a *Cascades) CascadeVanished(ctx context.Context, _ CascadeModelsInput) (FoundCascades, error) {
	return a.ofModels(ctx, a.Store.CascadeVanished)
}

// RestoreReturned gives back what CascadeVanished took, where the model is back. Repeating it
// changes nothing.
func (a *Cascades) RestoreReturned(ctx context.Context, _ CascadeModelsInput) (FoundCascades, error) {
	return a.ofModels(ctx, a.Store.RestoreReturned)
}

// ofModels repeats a step until it finds nothing more, or has found many cascades.
func (a *Cascades) ofModels(ctx context.Context, step func(context.Context, int) ([]models.Cascade, error)) (FoundCascades, error) {
	defer beat(ctx)()
	var res FoundCascades
	for {
		found, err := step(ctx, llmPage)
		for _, c := range found {
			res.Subscriptions += c.Subscriptions
		}
		res.add(found)
		if err != nil || len(found) == 0 {
			return res, err
		}
		if res.many() {
			res.More = true
			return res, nil
		}
	}
}

// UserCascades finds those of a user's cascades that LiteLLM has yet to follow.
func (a *Cascades) UserCascades(ctx context.Context, in UserRef) (FoundCascades, error) {
	found, err := a.Store.UserCascades(ctx, in.ID)
	var res FoundCascades
	res.add(found)
	return res, err
}

// UnsettledCascadesInput bounds the page.
type UnsettledCascadesInput struct{ Limit int }

// UnsettledCascades finds the cascades whose workflow was never started, or gave up.
func (a *Cascades) UnsettledCascades(ctx context.Context, in UnsettledCascadesInput) (FoundCascades, error) {
	found, err := a.Store.UnsettledCascades(ctx, overlooked, in.Limit)
	var res FoundCascades
	res.add(found)
	return res, err
}
