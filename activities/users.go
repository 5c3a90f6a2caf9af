package activities

import (
	"cmp"
	"context"
	"errors"
	"regexp"
	"slices"
	"strings"

	"github.com/google/uuid"
	"go.temporal.io/sdk/activity"

	"github.com/litemaas/litemaas/activities/litellm"
	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
)

// Users brings LiteLLM into line with the rows of users, and changes who of them may do
// anything.
type Users struct {
	Store *store.Store
	Proxy *litellm.Client
}

// UserRef names a user; the row itself stays out of the history.
type UserRef struct{ ID uuid.UUID }

const (
	// applySteps is more than any user needs from any state; past it LiteLLM is not keeping
	// what it is told.
	applySteps = 4

	// applyAttempts is how often LiteLLM may not keep it before that is taken for a refusal:
	// at first, what answers may be behind what was written.
	applyAttempts = 6
)

// ApplyUserResult says which generation of the row LiteLLM was seen to hold, and what had to be
// done; or why it never will.
type ApplyUserResult struct {
	Generation int64
	Did        []models.UserStep
	Refused    string // in words; empty: LiteLLM was seen to hold the user
}

// ApplyUser makes LiteLLM hold what the row says: it looks, judges, writes once, and looks
// again, until a look finds nothing to do. That last look is the proof; the answers to the
// writes prove nothing. Repeating it is always safe.
func (a *Users) ApplyUser(ctx context.Context, in UserRef) (ApplyUserResult, error) {
	defer beat(ctx)()
	u, err := a.Store.User(ctx, in.ID)
	if err != nil {
		return ApplyUserResult{}, err
	}
	did, err := a.settle(ctx, u)
	res := ApplyUserResult{Generation: u.Generation, Did: did}
	e, final := errors.AsType[*models.Error](err)
	if final && (!e.Kind.Retryable() || errors.Is(e, errNotKept) && activity.GetInfo(ctx).Attempt >= applyAttempts) {
		res.Refused, err = address.ReplaceAllString(e.Message, "[address]"), nil
	}
	return res, err
}

// address is an e-mail address in LiteLLM's words. It stays out of histories.
var address = regexp.MustCompile(`[^\s'"<>]+@[^\s'"<>]+`)

// errNotKept is behind the error that says that LiteLLM does not keep what it is told.
var errNotKept = errors.New("it still differs")

// settle makes LiteLLM hold u, and says by which writes.
func (a *Users) settle(ctx context.Context, u models.User) ([]models.UserStep, error) {
	ctx = litellm.WithChangedBy(ctx, "litemaas")
	var did []models.UserStep
	var taken error // why the last creation was refused
	var fields []string
	for range applySteps {
		seen, err := a.look(ctx, u)
		if err != nil {
			return did, err
		}
		step := u.Next(seen)
		if step == models.UserSettled && u.Resets() && seen.Spend != 0 && !slices.Contains(did, models.UserResetSpend) {
			step = models.UserResetSpend // once is enough: he may be using it
		}
		switch {
		case step == models.UserSettled:
			return did, nil
		case step == models.UserCreate && taken != nil: // by somebody else
			return did, taken
		case seen != nil:
			fields = u.Differences(*seen)
		}
		switch err := a.write(ctx, u, step, did); {
		case err == nil:
			did = append(did, step)
		case step == models.UserCreate && models.KindOf(err) == models.Conflict: // a look tells whether he is there after all
			taken = err
		default:
			return did, err
		}
	}
	return did, models.Wrap(models.Unavailable, errNotKept, "LiteLLM does not keep what it is told of the user: %s", strings.Join(fields, ", "))
}

// look returns the user as LiteLLM holds him; nil: not at all.
func (a *Users) look(ctx context.Context, u models.User) (*models.ProxyUser, error) {
	seen, err := a.Proxy.User(ctx, u.ID.String())
	switch {
	case models.KindOf(err) == models.NotFound:
		return nil, nil
	case err != nil:
		return nil, err
	}
	return &seen, nil
}

// write is one write after those that were done. An older LiteLLM takes no limit away; what a
// first update left is set to what it takes for unlimited.
func (a *Users) write(ctx context.Context, u models.User, step models.UserStep, done []models.UserStep) error {
	want := u.Proxy()
	spec := litellm.UserSpec{
		ID: want.ID, Email: want.Email, Alias: want.Alias, Role: want.Role,
		MaxBudget: want.MaxBudget, BudgetDuration: want.BudgetDuration, TPM: want.TPM, RPM: want.RPM,
	}
	switch step {
	case models.UserCreate:
		return a.Proxy.CreateUser(ctx, spec)
	case models.UserResetSpend:
		return a.Proxy.ResetUserSpend(ctx, want.ID)
	case models.UserUpdate, models.UserSettled:
	}
	if len(done) > 0 && done[len(done)-1] == models.UserUpdate {
		spec.MaxBudget = cmp.Or(spec.MaxBudget, new(models.Unlimited*models.Dollar))
		spec.TPM, spec.RPM = cmp.Or(spec.TPM, new(int64(models.Unlimited))), cmp.Or(spec.RPM, new(int64(models.Unlimited)))
	}
	return a.Proxy.UpsertUser(ctx, spec)
}

// ObserveUserInput says what was seen.
type ObserveUserInput struct {
	ID         uuid.UUID
	Generation int64
}

// UserVerdict tells whether the row is still at the generation that was applied. If it is not,
// whoever applied the older wish must apply the newer one too: his last write may have come
// after that of a run that had already settled it.
type UserVerdict struct {
	Status  models.UserStatus
	Current bool
}

// ObserveUser records that LiteLLM was seen to hold the user as of a generation.
func (a *Users) ObserveUser(ctx context.Context, in ObserveUserInput) (UserVerdict, error) {
	u, err := a.Store.ObserveUser(ctx, in.ID, in.Generation)
	return UserVerdict{u.Status(), u.Generation == in.Generation}, err
}

// FailUserInput says what LiteLLM refused, in words for a person.
type FailUserInput struct {
	ID         uuid.UUID
	Generation int64
	Why        string
}

// FailUser records that LiteLLM refuses the user as of a generation for good, so that the sweep
// lets him be until he changes or a sync finds him different.
func (a *Users) FailUser(ctx context.Context, in FailUserInput) (UserVerdict, error) {
	if err := a.Store.FailUser(ctx, in.ID, in.Generation, in.Why, models.System("ReconcileUser")); err != nil {
		return UserVerdict{}, err
	}
	u, err := a.Store.User(ctx, in.ID)
	return UserVerdict{u.Status(), u.Generation == in.Generation}, err
}
