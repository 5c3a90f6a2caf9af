package activities

import (
	"context"

	"github.com/google/uuid"
	"go.temporal.io/sdk/activity"

	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
)

// userPage is how many users LiteLLM gives at once, at most.
const userPage = 100

// FetchUsersResult sums up what was read.
type FetchUsersResult struct{ Listed int }

// FetchUsers reads LiteLLM's users and puts them beside ours. Repeating it replaces what it put
// there.
func (a *SyncRuns) FetchUsers(ctx context.Context, in SyncRunRef) (FetchUsersResult, error) {
	defer beat(ctx)()
	list, err := a.users(ctx, in.ID)
	if err != nil {
		return FetchUsersResult{}, err
	}
	return FetchUsersResult{len(list)}, a.Store.StageUsers(ctx, in.ID, list)
}

// users reads the list page by page, the oldest first. The pages are cut by position: who is
// deleted meanwhile can hide another, so a list that grew shorter, or does not add up, is read
// again, by the next attempt. Should one be missed nevertheless, he is looked at, and that is all.
func (a *SyncRuns) users(ctx context.Context, runID uuid.UUID) ([]models.ProxyUser, error) {
	byID := map[string]models.ProxyUser{}
	for page, pages, total := 1, 1, 0; page <= pages; page++ {
		p, err := a.Proxy.Users(ctx, page, userPage)
		if err != nil {
			return nil, err
		}
		for _, u := range p.Users {
			byID[u.ID] = u
		}
		if p.TotalCount < total || page >= p.TotalPages && len(byID) != p.TotalCount {
			return nil, models.Errorf(models.Unavailable, "LiteLLM's list of users changed while it was read: it said %d and sent %d", p.TotalCount, len(byID))
		}
		pages, total = p.TotalPages, p.TotalCount
		activity.RecordHeartbeat(ctx, Progress{len(byID), total})
		if err := a.Store.ReportUsers(ctx, runID, len(byID)); err != nil {
			return nil, err
		}
	}
	list := make([]models.ProxyUser, 0, len(byID))
	for _, u := range byID {
		list = append(list, u)
	}
	return list, nil
}

// CompareUsersResult is what was found, and how many of ours are to be written to LiteLLM again.
type CompareUsersResult struct {
	Counts models.UserCounts
	Wished int // none, in a dry run
}

// CompareUsers compares what was fetched with our users, and wishes anew for those whom LiteLLM
// lacks or holds otherwise. Repeating it changes nothing.
func (a *SyncRuns) CompareUsers(ctx context.Context, in SyncRunRef) (CompareUsersResult, error) {
	defer beat(ctx)()
	run, err := a.Store.CompareUsers(ctx, in.ID)
	out := CompareUsersResult{Counts: run.Users}
	if !run.Options.DryRun {
		out.Wished = run.Users.Missing + run.Users.Different
	}
	return out, err
}

// UserExample is what a run found about one user. What he is called stays out of the history.
type UserExample struct {
	UserID string
	Kind   models.UserDifferenceKind
	Fields []string // in which he differs, in LiteLLM's words
}

// userExamples returns the first of what a run found about users, and how much that is.
func (a *SyncRuns) userExamples(ctx context.Context, runID uuid.UUID) ([]UserExample, int, error) {
	found, total, err := a.Store.UserDifferences(ctx, runID, store.UserDifferenceQuery{Page: 1, Limit: reportLines})
	var out []UserExample
	for _, d := range found {
		e := UserExample{UserID: d.UserID, Kind: d.Kind}
		for _, f := range d.Fields {
			e.Fields = append(e.Fields, f.Field)
		}
		out = append(out, e)
	}
	return out, total, err
}
