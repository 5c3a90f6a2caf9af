package activities

import (
	"context"

	"github.com/litemaas/litemaas/models"
)

// What the clock does to subscriptions. Each step does one page after the other until nothing
// is due, so that no statement is long; repeating it finds nothing more to do.

// duePage is how many subscriptions a step moves in one transaction.
const duePage = 500

// pages repeats a step while it finds full pages, and returns how many it did.
func pages(step func() (int, error)) (done int, err error) {
	for {
		n, err := step()
		done += n
		if err != nil || n < duePage {
			return done, err
		}
	}
}

// DueInput is empty: the time says what is due.
type DueInput struct{}

// DueResult counts what was done.
type DueResult struct{ Subscriptions int }

// ExpireSubscriptions ends the subscriptions whose time is over.
func (a *Subscriptions) ExpireSubscriptions(ctx context.Context, _ DueInput) (FoundCascades, error) {
	return a.dueCascades(ctx, func() (int, []models.Cascade, error) {
		return a.Store.ExpireSubscriptions(ctx, duePage, models.System("Expire"))
	})
}

// ResetQuotas counts use from zero again where a month is over, and lifts the holds of those who
// had used up theirs.
func (a *Subscriptions) ResetQuotas(ctx context.Context, _ DueInput) (FoundCascades, error) {
	return a.dueCascades(ctx, func() (int, []models.Cascade, error) {
		return a.Store.ResetQuotas(ctx, duePage, models.System("Expire"))
	})
}

// dueCascades repeats a step until nothing is due, or until it has found many cascades.
func (a *Subscriptions) dueCascades(ctx context.Context, step func() (int, []models.Cascade, error)) (FoundCascades, error) {
	defer beat(ctx)()
	var res FoundCascades
	for {
		n, found, err := step()
		res.Subscriptions += n
		res.add(found)
		if err != nil || n < duePage {
			return res, err
		}
		if res.many() {
			res.More = true
			return res, nil
		}
	}
}

// LapseRequests ends the requests that nobody decided in time.
func (a *Subscriptions) LapseRequests(ctx context.Context, _ DueInput) (DueResult, error) {
	defer beat(ctx)()
	n, err := pages(func() (int, error) {
		return a.Store.LapseRequests(ctx, a.LapseAfter, duePage, models.System("Expire"))
	})
	return DueResult{n}, err
}

// RemindApprovers has approvers told once more of the requests that wait for long.
func (a *Subscriptions) RemindApprovers(ctx context.Context, _ DueInput) (DueResult, error) {
	defer beat(ctx)()
	n, err := pages(func() (int, error) { return a.Store.RemindApprovers(ctx, a.RemindAfter, duePage) })
	return DueResult{n}, err
}

// NoticeExpiry has those told whose subscriptions will expire soon.
func (a *Subscriptions) NoticeExpiry(ctx context.Context, _ DueInput) (DueResult, error) {
	defer beat(ctx)()
	n, err := pages(func() (int, error) { return a.Store.NoticeExpiry(ctx, duePage) })
	return DueResult{n}, err
}
