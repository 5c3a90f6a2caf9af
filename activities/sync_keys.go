package activities

import (
	"context"

	"github.com/google/uuid"
	"go.temporal.io/sdk/activity"

	"github.com/litemaas/litemaas/activities/litellm"
	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
)

// keyPage is how many keys LiteLLM gives at once, at most.
const keyPage = 100

// FetchKeysResult sums up what was read.
type FetchKeysResult struct{ Listed int }

// FetchKeys reads LiteLLM's API keys and puts them beside ours. Repeating it replaces what it put
// there.
func (a *SyncRuns) FetchKeys(ctx context.Context, in SyncRunRef) (FetchKeysResult, error) {
	defer beat(ctx)()
	list, err := a.keys(ctx, in.ID)
	if err != nil {
		return FetchKeysResult{}, err
	}
	return FetchKeysResult{len(list)}, a.Store.StageKeys(ctx, in.ID, list)
}

// keys reads the list page by page, the oldest first. A list that grew shorter, or does not add
// up, is read again, by the next attempt: see users. Should one be missed nevertheless, it is
// looked at, and that is all.
func (a *SyncRuns) keys(ctx context.Context, runID uuid.UUID) ([]models.ProxyKey, error) {
	byHash := map[string]models.ProxyKey{}
	for page, pages, total := 1, 1, 0; page <= pages; page++ {
		p, err := a.Proxy.Keys(ctx, litellm.KeyFilter{}, page, keyPage)
		if err != nil {
			return nil, err
		}
		for _, k := range p.Keys {
			byHash[k.Hash] = k
		}
		if p.TotalCount < total || page >= p.TotalPages && len(byHash) != p.TotalCount {
			return nil, models.Errorf(models.Unavailable, "LiteLLM's list of keys changed while it was read: it said %d and sent %d", p.TotalCount, len(byHash))
		}
		pages, total = p.TotalPages, p.TotalCount
		activity.RecordHeartbeat(ctx, Progress{len(byHash), total})
		if err := a.Store.ReportKeys(ctx, runID, len(byHash)); err != nil {
			return nil, err
		}
	}
	list := make([]models.ProxyKey, 0, len(byHash))
	for _, k := range byHash {
		list = append(list, k)
	}
	return list, nil
}

// CompareKeysResult is what was found, how many of ours are to be written to LiteLLM again, and
// how many that are not ours are to be blocked there.
type CompareKeysResult struct {
	Counts  models.KeyCounts
	Wished  int // none, in a dry run
	Orphans int `json:",omitzero"` // likewise; at most one is counted
}

// CompareKeys compares what was fetched with our keys, takes off models that their owners are not
// subscribed to, and wishes anew for those that LiteLLM lacks or holds otherwise, as far as the
// rules say that ours is the word that counts. Repeating it changes nothing.
func (a *SyncRuns) CompareKeys(ctx context.Context, in SyncRunRef) (CompareKeysResult, error) {
	defer beat(ctx)()
	rules := a.Rules
	rules.Guard = a.Guard
	run, err := a.Store.CompareKeys(ctx, in.ID, rules)
	out := CompareKeysResult{Counts: run.Keys, Wished: run.KeysWished}
	if err != nil || run.Options.DryRun {
		return out, err
	}
	due, err := a.Store.DueOrphans(ctx, "", 1)
	out.Orphans = len(due)
	return out, err
}

// KeyExample is what a run found about one key. What it is called stays out of the history.
type KeyExample struct {
	Key    string // our ID, or LiteLLM's hash of one that is not ours
	Kind   models.KeyDifferenceKind
	Fields []string // in which it differs: see models.KeyDifference
}

// keyExamples returns the first of what a run found about keys, and how much that is.
func (a *SyncRuns) keyExamples(ctx context.Context, runID uuid.UUID) ([]KeyExample, int, error) {
	found, total, err := a.Store.KeyDifferences(ctx, runID, store.KeyDifferenceQuery{Page: 1, Limit: reportLines})
	var out []KeyExample
	for _, d := range found {
		e := KeyExample{Key: d.Hash, Kind: d.Kind}
		if d.KeyID != nil {
			e.Key = d.KeyID.String()
		}
		for _, f := range d.Fields {
			e.Fields = append(e.Fields, f.Field)
		}
		out = append(out, e)
	}
	return out, total, err
}
