package activities

import (
	"context"
	"crypto/rand"
	"time"

	"github.com/google/uuid"

	"github.com/litemaas/litemaas/models"
)

// What the clock does to keys; see subscription_clock.go.

// EndDueKeysInput bounds a step, and says how far it looks ahead.
type EndDueKeysInput struct {
	Limit int
	Ahead time.Duration
}

// EndDueKeysResult names the keys that ended, on which LiteLLM has to follow; counts those that an
// alarm was raised for; and says how long it is until there is more to do; nil: nothing is, so far
// ahead.
type EndDueKeysResult struct {
	IDs     []uuid.UUID
	Alarmed int `json:",omitzero"`
	Next    *time.Duration
}

// EndDueKeys revokes the keys whose time is over, and has people told, once, of those that LiteLLM
// still takes some minutes after they were revoked. Repeating it finds those of the next page;
// those of a lost answer are found by the sweep.
func (a *Keys) EndDueKeys(ctx context.Context, in EndDueKeysInput) (EndDueKeysResult, error) {
	by := models.System("ExpireKeys")
	ids, err := a.Store.EndDueKeys(ctx, in.Limit, by)
	if err != nil {
		return EndDueKeysResult{}, err
	}
	alarmed, err := a.Store.AlarmRevocations(ctx, models.RevocationAlarm, in.Limit, by)
	if err != nil {
		return EndDueKeysResult{}, err
	}
	next, err := a.Store.NextKeyEnd(ctx, in.Ahead, models.RevocationAlarm)
	return EndDueKeysResult{ids, alarmed, next}, err
}

// DueKeysResult counts what was done.
type DueKeysResult struct{ Keys int }

// NoticeKeys has those told whose keys will expire soon, or be rotated by policy.
func (a *Keys) NoticeKeys(ctx context.Context, _ DueInput) (DueKeysResult, error) {
	defer beat(ctx)()
	n, err := pages(func() (int, error) { return a.Store.NoticeKeys(ctx, duePage) })
	return DueKeysResult{n}, err
}

// AlarmRevocations is what EndDueKeys does beside, for runs of Expire from before it did.
func (a *Keys) AlarmRevocations(ctx context.Context, _ DueInput) (DueKeysResult, error) {
	defer beat(ctx)()
	n, err := pages(func() (int, error) {
		return a.Store.AlarmRevocations(ctx, models.RevocationAlarm, duePage, models.System("Expire"))
	})
	return DueKeysResult{n}, err
}

const (
	// rotatedAtOnce is how many keys one step rotates; the next minute does more.
	rotatedAtOnce = 100

	// newRotation is how long it is looked after that the run of a rotation was started.
	newRotation = 10 * time.Minute
)

// RotateDueKeysResult names the keys whose rotation has begun a short while ago, by policy or
// otherwise, whose runs may not have been started.
type RotateDueKeysResult struct {
	Rotated int // by policy
	IDs     []uuid.UUID
}

// RotateDueKeys gives a successor to each key that is old enough by its policy. One that cannot be
// rotated holds up no other. Nobody is given the secret: the owner may have it revealed.
func (a *Keys) RotateDueKeys(ctx context.Context, _ DueInput) (RotateDueKeysResult, error) {
	defer beat(ctx)()
	var res RotateDueKeysResult
	due, err := a.Store.KeysToRotate(ctx, rotatedAtOnce)
	if err != nil {
		return res, err
	}
	for _, k := range due {
		err := a.rotate(ctx, k)
		switch kind := models.KindOf(err); {
		case err == nil:
			res.Rotated++
		case kind != models.Conflict: // somebody was quicker
			return res, err
		}
	}
	res.IDs, err = a.Store.NewRotations(ctx, newRotation, 2*rotatedAtOnce)
	return res, err
}

func (a *Keys) rotate(ctx context.Context, k models.Key) error {
	secret, err := models.NewSecret(rand.Reader)
	if err != nil {
		return err
	}
	heir, err := models.NewHeir(k, secret, a.Sealer)
	if err != nil {
		return models.Wrap(models.Internal, err, "the secret of a new API key cannot be sealed")
	}
	_, _, err = a.Store.RotateKey(ctx, k.ID, heir, models.HowToRotate{Grace: models.DefaultGrace}, models.System("Expire"))
	return err
}
