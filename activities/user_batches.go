package activities

import (
	"context"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/litemaas/litemaas/models"
)

// UnsettledUsersInput selects a page of the line of unsettled users.
type UnsettledUsersInput struct {
	Fresh bool // those too whose wish was recorded just now
	After models.Place
	Limit int
}

// UnsettledUsersResult is the page, with the place of its last user.
type UnsettledUsersResult struct {
	IDs  []uuid.UUID
	Last models.Place
}

// UnsettledUsers finds the users whose wish was recorded but whose workflow was never started,
// or gave up.
func (a *Users) UnsettledUsers(ctx context.Context, in UnsettledUsersInput) (UnsettledUsersResult, error) {
	age := overlooked
	if in.Fresh {
		age = time.Duration(0)
	}
	ids, last, err := a.Store.UnsettledUsersAfter(ctx, age, in.After, in.Limit)
	return UnsettledUsersResult{ids, last}, err
}

// ApplyUsersInput names the users of a batch.
type ApplyUsersInput struct{ IDs []uuid.UUID }

// ApplyUsersResult says who was seen at LiteLLM as his row says, and who was not.
type ApplyUsersResult struct {
	Seen   []models.UserProof
	Left   []uuid.UUID // each needs a run of his own
	Silent bool        // LiteLLM did nothing for any of them: it is away
}

// ApplyUsers is ApplyUser for many at once. One who fails holds up no other. Repeating it is
// always safe.
func (a *Users) ApplyUsers(ctx context.Context, in ApplyUsersInput) (ApplyUsersResult, error) {
	defer beat(ctx)()
	users, err := a.Store.UsersByID(ctx, in.IDs)
	if err != nil {
		return ApplyUsersResult{}, err
	}
	res := ApplyUsersResult{Silent: len(users) > 0}
	var mu sync.Mutex
	apply := func(u models.User) {
		did, err := a.settle(ctx, u)
		mu.Lock()
		defer mu.Unlock()
		if err == nil {
			res.Seen = append(res.Seen, models.UserProof{ID: u.ID, Generation: u.Generation})
		} else {
			res.Left = append(res.Left, u.ID)
		}
		res.Silent = res.Silent && models.KindOf(err) == models.Unavailable && len(did) == 0
	}
	abreast(users, apply)
	return res, ctx.Err()
}

// ObserveUsersInput says who was seen.
type ObserveUsersInput struct{ Seen []models.UserProof }

// ObserveUsersResult names those who have a newer wish than what was seen; see UserVerdict.
type ObserveUsersResult struct{ Behind []uuid.UUID }

// ObserveUsers is ObserveUser for many at once.
func (a *Users) ObserveUsers(ctx context.Context, in ObserveUsersInput) (ObserveUsersResult, error) {
	behind, err := a.Store.ObserveUsers(ctx, in.Seen)
	return ObserveUsersResult{behind}, err
}
