package activities

import (
	"context"
	"errors"
	"sync"

	"github.com/litemaas/litemaas/activities/litellm"
	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
)

// Orphans brings LiteLLM into line with what was decided about its keys that are not ours.
type Orphans struct {
	Store *store.Store
	Proxy *litellm.Client
}

// DueOrphansInput selects a page of those that LiteLLM does not follow.
type DueOrphansInput struct {
	After string // a hash
	Limit int
}

// DueOrphansResult is the page, by LiteLLM's names.
type DueOrphansResult struct{ Hashes []string }

// DueOrphans has those deleted whose quarantine is over, and finds those that LiteLLM does not
// follow.
func (a *Orphans) DueOrphans(ctx context.Context, in DueOrphansInput) (DueOrphansResult, error) {
	hashes, err := a.Store.DueOrphans(ctx, in.After, in.Limit)
	return DueOrphansResult{hashes}, err
}

// ApplyOrphansInput names a batch.
type ApplyOrphansInput struct{ Hashes []string }

// ApplyOrphansResult says what became of them.
type ApplyOrphansResult struct {
	Seen   []models.OrphanProof // followed, or refused for good
	Left   int                  // are tried again later
	Silent bool                 // LiteLLM did nothing for any of them: it is away
}

// ApplyOrphans blocks, releases and deletes keys at LiteLLM, each by what was decided about it: it
// looks, writes, and looks again. One that is ours by now is left alone. Repeating it is always
// safe.
func (a *Orphans) ApplyOrphans(ctx context.Context, in ApplyOrphansInput) (ApplyOrphansResult, error) {
	defer beat(ctx)()
	batch, err := a.Store.UnsettledOrphans(ctx, in.Hashes)
	if err != nil {
		return ApplyOrphansResult{}, err
	}
	res := ApplyOrphansResult{Silent: len(batch) > 0}
	var mu sync.Mutex
	abreast(batch, func(o models.KeyOrphan) {
		err := a.settle(litellm.WithChangedBy(ctx, "litemaas"), o)
		mu.Lock()
		defer mu.Unlock()
		e, known := errors.AsType[*models.Error](err)
		switch {
		case err == nil:
			res.Seen = append(res.Seen, models.OrphanProof{Hash: o.Hash, State: o.State})
		case known && !e.Kind.Retryable():
			res.Seen = append(res.Seen, models.OrphanProof{Hash: o.Hash, State: o.State, Failure: address.ReplaceAllString(e.Message, "[address]")})
		default:
			res.Left++
		}
		res.Silent = res.Silent && models.KindOf(err) == models.Unavailable
	})
	return res, ctx.Err()
}

// orphanSteps is more than any needs.
const orphanSteps = 3

// settle makes LiteLLM follow one.
func (a *Orphans) settle(ctx context.Context, o models.KeyOrphan) error {
	for range orphanSteps {
		seen, err := a.look(ctx, o.Hash)
		if err != nil {
			return err
		}
		switch o.Next(seen) {
		case models.KeyBlock:
			err = a.Proxy.BlockKey(ctx, o.Hash)
		case models.KeyUnblock:
			err = a.Proxy.UnblockKey(ctx, o.Hash)
		case models.KeyDelete:
			err = a.Proxy.DeleteKey(ctx, o.Hash)
		default:
			return nil
		}
		if err != nil && models.KindOf(err) != models.NotFound { // it went since the look
			return err
		}
	}
	return models.Wrap(models.Unavailable, errNotKept, "LiteLLM does not keep what it is told of the key")
}

// look returns the key as LiteLLM holds it; nil: not at all.
func (a *Orphans) look(ctx context.Context, hash string) (*models.ProxyKey, error) {
	seen, err := a.Proxy.Key(ctx, hash)
	switch {
	case models.KindOf(err) == models.NotFound:
		return nil, nil
	case err != nil:
		return nil, err
	}
	return &seen, nil
}

// ObserveOrphansInput says what became of some.
type ObserveOrphansInput struct{ Seen []models.OrphanProof }

// ObserveOrphans records what became of keys that are not ours.
func (a *Orphans) ObserveOrphans(ctx context.Context, in ObserveOrphansInput) error {
	return a.Store.ObserveOrphans(ctx, in.Seen)
}
