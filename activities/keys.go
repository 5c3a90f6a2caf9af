package activities

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/google/uuid"
	"go.temporal.io/sdk/activity"

	"github.com/litemaas/litemaas/activities/litellm"
	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
)

// Keys brings LiteLLM into line with the rows of API keys.
type Keys struct {
	Store  *store.Store
	Proxy  *litellm.Client
	Sealer models.Sealer // opens their secrets

	// Addresses are all the LiteLLMs that take calls of models: a key is gone when each refuses it.
	// None: the one of Proxy.
	Addresses []string
}

// keySteps is more than any key needs from any state; past it LiteLLM is not keeping what it is
// told.
const keySteps = 6

// ApplyKeyInput names a key; the row itself stays out of the history. New says that nobody can
// have told LiteLLM of it.
type ApplyKeyInput struct {
	ID  uuid.UUID
	New bool
}

// ApplyKeyResult says which generation of the row LiteLLM was seen to hold, what the key had
// spent, and what had to be done; or why LiteLLM never will hold it.
type ApplyKeyResult struct {
	Generation int64
	Did        []models.KeyStep
	Refused    string // in words; empty: LiteLLM was seen to hold the key
}

// ApplyKey makes LiteLLM hold what the row says: it looks, judges, writes once, and looks again,
// until a look finds nothing to do. That last look is the proof; the answers to the writes prove
// nothing. The first attempt on a new key spares both looks: LiteLLM cannot have had it before,
// so that its success is the proof. Repeating it is always safe.
func (a *Keys) ApplyKey(ctx context.Context, in ApplyKeyInput) (ApplyKeyResult, error) {
	defer beat(ctx)()
	k, err := a.Store.Key(ctx, in.ID)
	if err != nil {
		return ApplyKeyResult{}, err
	}
	attempt := activity.GetInfo(ctx).Attempt
	s := a.settling(k)
	err = s.run(ctx, in.New && k.ObservedGeneration == 0 && attempt == 1)
	res := ApplyKeyResult{Generation: k.Generation, Did: s.did}
	e, final := errors.AsType[*models.Error](err)
	if final && (!e.Kind.Retryable() || errors.Is(e, errNotKept) && attempt >= applyAttempts) {
		res.Refused, err = address.ReplaceAllString(e.Message, "[address]"), nil
	}
	return res, err
}

// settlingKey is one key on its way.
type settlingKey struct {
	*Keys
	key   models.Key
	spend models.USD // as of the last look
	did   []models.KeyStep

	probed bool // LiteLLM has let go of it, and only its replicas are asked
}

func (a *Keys) settling(k models.Key) *settlingKey {
	return &settlingKey{Keys: a, key: k, spend: k.Spend}
}

// run makes LiteLLM hold the key. unheard says that LiteLLM cannot have heard of it.
func (s *settlingKey) run(ctx context.Context, unheard bool) error {
	ctx = litellm.WithChangedBy(ctx, "litemaas")
	if unheard && s.key.Next(nil) == models.KeyGenerate {
		if err := s.write(ctx, models.KeyGenerate, nil); models.KindOf(err) != models.Conflict { // LiteLLM has it after all, or the alias is another's
			return err
		}
	}
	var taken error // why the last creation was refused
	var fields []string
	for range keySteps {
		seen, err := s.look(ctx)
		if err != nil {
			return err
		}
		step := s.key.Next(seen)
		if seen != nil && s.resets(*seen) && step != models.KeyDelete {
			step = models.KeyResetSpend
		}
		switch {
		case step == models.KeySettled:
			return s.proveGone(ctx)
		case step == models.KeyGenerate && taken != nil:
			return taken
		case seen != nil:
			fields = s.key.Differences(*seen)
		}
		err = s.write(ctx, step, seen)
		switch kind := models.KindOf(err); {
		case err == nil:
		case step == models.KeyGenerate && kind == models.Conflict: // a look tells whether it is there after all
			taken = err
		case step != models.KeyGenerate && kind == models.NotFound, kind == models.Invalid && s.key.Expired(): // it went, or its time came, since the look
		default:
			return err
		}
	}
	return models.Wrap(models.Unavailable, errNotKept, "LiteLLM does not keep what it is told of the key: %s", strings.Join(fields, ", "))
}

// resets reports whether LiteLLM has yet to count what the key spends from zero. Once is enough:
// it may be in use.
func (s *settlingKey) resets(seen models.ProxyKey) bool {
	return s.key.Resets() && seen.Spend != 0 && !slices.Contains(s.did, models.KeyResetSpend)
}

// look returns the key as LiteLLM holds it; nil: not at all. What a deleted key had spent counts
// when it is made again, unless we know of more, or it is to be counted from zero.
func (s *settlingKey) look(ctx context.Context) (*models.ProxyKey, error) {
	seen, err := s.Proxy.Key(ctx, s.key.Hash)
	switch {
	case models.KindOf(err) == models.NotFound:
		if !s.key.Resets() {
			s.spend = max(s.spend, seen.Spend)
		}
		return nil, nil
	case err != nil:
		return nil, err
	}
	s.spend = seen.Spend
	return &seen, nil
}

// write is one write, where LiteLLM holds seen.
func (s *settlingKey) write(ctx context.Context, step models.KeyStep, seen *models.ProxyKey) error {
	var err error
	switch step {
	case models.KeyGenerate:
		err = s.generate(ctx)
	case models.KeyUpdate:
		err = s.update(ctx, *seen)
	case models.KeyBlock:
		err = s.Proxy.BlockKey(ctx, s.key.Hash)
	case models.KeyUnblock:
		err = s.Proxy.UnblockKey(ctx, s.key.Hash)
	case models.KeyDelete:
		err = s.Proxy.DeleteKey(ctx, s.key.Hash)
	case models.KeyResetSpend:
		err = s.Proxy.ResetKeySpend(ctx, s.key.Hash)
	case models.KeySettled:
	}
	if err == nil {
		s.did = append(s.did, step)
	}
	return err
}

func (s *settlingKey) generate(ctx context.Context) error {
	if len(s.key.Sealed) == 0 {
		return models.Errorf(models.Invalid, "LiteLLM does not have the key, and nobody here knows its secret, because it was adopted: it cannot be made again")
	}
	secret, err := s.key.Secret(s.Sealer)
	if err != nil {
		return err
	}
	if err := s.inherit(ctx); err != nil {
		return err
	}
	want := s.key.Proxy()
	return s.Proxy.GenerateKey(ctx, litellm.NewKey{
		KeyLimits: limitsOf(want), Secret: secret, UserID: want.UserID, TeamID: want.TeamID, Blocked: want.Blocked, Spend: s.spend,
	})
}

// update gives the key its limits. An older LiteLLM takes none away; what a first update left is
// set to what it takes for unlimited. A key that LiteLLM refuses to narrow is blocked.
func (s *settlingKey) update(ctx context.Context, seen models.ProxyKey) error {
	limits := limitsOf(s.key.Wanted(seen))
	if n := len(s.did); n > 0 && s.did[n-1] == models.KeyUpdate {
		limits.MaxBudget = cmp.Or(limits.MaxBudget, new(models.Unlimited*models.Dollar))
		for _, limit := range []**int64{&limits.TPM, &limits.RPM, &limits.MaxParallelRequests} {
			*limit = cmp.Or(*limit, new(int64(models.Unlimited)))
		}
	}
	err := s.Proxy.UpdateKey(ctx, s.key.Hash, limits)
	refused := err != nil && !models.KindOf(err).Retryable() && models.KindOf(err) != models.NotFound
	if refused && s.key.Narrower(seen) && !seen.Blocked {
		if blocked := s.write(ctx, models.KeyBlock, nil); blocked != nil {
			return blocked
		}
	}
	return err
}

// limitsOf is a key in the words of the client.
func limitsOf(want models.ProxyKey) litellm.KeyLimits {
	metadata := make(map[string]any, len(want.Metadata))
	for name, raw := range want.Metadata {
		metadata[name] = raw
	}
	return litellm.KeyLimits{
		Models: want.Models, MaxBudget: want.MaxBudget, BudgetDuration: want.BudgetDuration, TPM: want.TPM, RPM: want.RPM,
		MaxParallelRequests: want.MaxParallelRequests, ModelTPM: want.ModelTPM, ModelRPM: want.ModelRPM,
		ExpiresAt: want.ExpiresAt, Alias: want.Alias, Metadata: metadata,
	}
}

// KeyVerdict tells whether the row is still at the generation that was applied. If it is not,
// whoever applied the older wish must apply the newer one too: his last write may have come
// after that of a run that had already settled it.
type KeyVerdict struct {
	Status  models.KeyStatus
	Current bool
}

// ObserveKey records that LiteLLM was seen to hold the key as of a generation, and what it had
// spent.
func (a *Keys) ObserveKey(ctx context.Context, seen models.KeyProof) (KeyVerdict, error) {
	k, err := a.Store.ObserveKey(ctx, seen)
	return KeyVerdict{k.Status(), k.Generation == seen.Generation}, err
}

// FailKeyInput says what LiteLLM refused, in words for the key's owner.
type FailKeyInput struct {
	ID         uuid.UUID
	Generation int64
	Why        string
}

// FailKey records that LiteLLM refuses the key as of a generation for good, so that the sweep
// lets it be until it changes or a sync finds it different.
func (a *Keys) FailKey(ctx context.Context, in FailKeyInput) (KeyVerdict, error) {
	if err := a.Store.FailKey(ctx, in.ID, in.Generation, in.Why, models.System("ReconcileKey")); err != nil {
		return KeyVerdict{}, err
	}
	k, err := a.Store.Key(ctx, in.ID)
	return KeyVerdict{k.Status(), k.Generation == in.Generation}, err
}
