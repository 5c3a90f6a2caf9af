package activities

import (
	"context"
	"time"

	"github.com/litemaas/litemaas/models"
)

const (
	// probeAgain is when a key is tried again that a LiteLLM still takes.
	probeAgain = 2 * time.Second

	// cacheLife is how long a LiteLLM believes what it knew of a key, with some to spare.
	cacheLife = 90 * time.Second
)

// proveGone makes sure that a key whose end has come is refused by every LiteLLM. That its
// database has let go of the key is not enough: each replica has a cache of its own. The error is
// Unavailable until all refuse it.
func (s *settlingKey) proveGone(ctx context.Context) error {
	if s.key.RevokedAt == nil && !s.key.Expired() {
		return nil
	}
	s.probed = true
	secret, err := s.key.Secret(s.Sealer)
	if err != nil { // nobody can try it; all caches have forgotten it after a while
		left := cacheLife - time.Since(s.key.Ended())
		if left <= 0 {
			return nil
		}
		unseen := models.Wrap(models.Unavailable, err, "nobody can try the key, as its secret is not to be had: it counts as refused when all caches have forgotten it")
		unseen.RetryAfter = left
		return unseen
	}
	addresses := s.Addresses
	if len(addresses) == 0 {
		addresses = []string{""}
	}
	for _, address := range addresses {
		refused, err := s.Proxy.ProbeKey(ctx, address, secret)
		if err != nil {
			return err
		}
		if !refused {
			err := models.Errorf(models.Unavailable, "LiteLLM has deleted the key, but one of its addresses still takes it: its cache holds for up to a minute")
			err.RetryAfter = probeAgain
			return err
		}
	}
	return nil
}

// inherit has a successor begin with what the key before it has spent, as LiteLLM knows it: our
// row may be older.
func (s *settlingKey) inherit(ctx context.Context) error {
	if s.key.Predecessor == nil || s.key.ObservedGeneration > 0 {
		return nil
	}
	before, err := s.Store.Key(ctx, *s.key.Predecessor)
	if err != nil {
		return err
	}
	seen, err := s.Proxy.Key(ctx, before.Hash)
	if err != nil && models.KindOf(err) != models.NotFound {
		return err
	}
	s.spend = max(s.spend, seen.Spend)
	return nil
}
