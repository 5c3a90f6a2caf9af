// Package activities is everything a workflow may do to the outside world.
package activities

import (
	"context"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/sdk/activity"

	"github.com/litemaas/litemaas/activities/litellm"
	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
)

// SyncRuns compares what we hold with LiteLLM.
type SyncRuns struct {
	Store       *store.Store
	Proxy       *litellm.Client
	Guard       models.Guard
	ProposalTTL time.Duration // how long a proposal waits for an answer
	Retention   time.Duration // how long reports are kept
	Rules       models.KeySync
}

// SyncRunRef names a sync run; its rows stay out of the history.
type SyncRunRef struct{ ID uuid.UUID }

// BeginSyncRunInput is what is known of a run when it starts.
type BeginSyncRunInput struct {
	ID         uuid.UUID
	WorkflowID string
	Kind       models.SyncKind
	Trigger    models.SyncTrigger
	Actor      string
	Options    models.SyncOptions
	Subject    string
	ProposalID *uuid.UUID
}

// BeginSyncRun records that a run is under way.
func (a *SyncRuns) BeginSyncRun(ctx context.Context, in BeginSyncRunInput) error {
	return a.Store.BeginSyncRun(ctx, models.SyncRun{
		ID: in.ID, WorkflowID: in.WorkflowID, Kind: in.Kind, Trigger: in.Trigger, Actor: in.Actor,
		Options: in.Options, Subject: in.Subject, ProposalID: in.ProposalID,
	}, a.Retention)
}

// FetchResult sums up what was read.
type FetchResult struct {
	Deployments int // entries of LiteLLM's list
	Listed      int // models behind them
}

// FetchCatalogue reads LiteLLM's whole model list and puts it beside the catalogue. Repeating
// it replaces what it put there. LiteLLM has answered then, so it is probed anew: nobody shall
// be told for another minute that it is away.
func (a *SyncRuns) FetchCatalogue(ctx context.Context, in SyncRunRef) (FetchResult, error) {
	defer beat(ctx)()
	list, c, err := a.read(ctx, in.ID)
	if err != nil {
		return FetchResult{}, err
	}
	if _, err := (&Probes{a.Store, a.Proxy}).ProbeLiteLLM(ctx, ProbeLiteLLMInput{}); err != nil {
		return FetchResult{}, err
	}
	return FetchResult{list, c.Listed}, a.Store.StageCatalogue(ctx, in.ID, c)
}

// FetchModel reads LiteLLM's entries for the one model that the run is about.
func (a *SyncRuns) FetchModel(ctx context.Context, in SyncRunRef) (FetchResult, error) {
	defer beat(ctx)()
	run, err := a.Store.SyncRun(ctx, in.ID)
	if err != nil {
		return FetchResult{}, err
	}
	var c models.Catalogue
	list, err := a.Proxy.DeploymentsNamed(ctx, run.Subject)
	switch {
	case litellm.ListNotLoaded(err):
		c.NotLoaded = true
	case err != nil:
		return FetchResult{}, err
	case len(list) > 0:
		c = models.NewCatalogue(list)
	default: // gone, or has LiteLLM lost its whole list?
		page, err := a.Proxy.Deployments(ctx, 1, 1)
		if err != nil && !litellm.ListNotLoaded(err) {
			return FetchResult{}, err
		}
		c.Listed, c.NotLoaded = page.TotalCount, err != nil
	}
	return FetchResult{len(list), c.Listed}, a.Store.StageCatalogue(ctx, in.ID, c)
}

// FetchProposed reads LiteLLM's list and puts beside the catalogue those models of the run's
// proposal that LiteLLM lists after all.
func (a *SyncRuns) FetchProposed(ctx context.Context, in SyncRunRef) (FetchResult, error) {
	defer beat(ctx)()
	only, err := a.subjects(ctx, in.ID)
	if err != nil {
		return FetchResult{}, err
	}
	list, c, err := a.read(ctx, in.ID)
	if err != nil {
		return FetchResult{}, err
	}
	wanted := make(map[string]bool, len(only))
	for _, id := range only {
		wanted[id] = true
	}
	some := make([]models.LLM, 0, len(only))
	for _, llm := range c.LLMs {
		if wanted[llm.ID] {
			some = append(some, llm)
		}
	}
	c.LLMs = some
	return FetchResult{list, c.Listed}, a.Store.StageCatalogue(ctx, in.ID, c)
}

// MergeCatalogue compares what was fetched with the catalogue and writes what differs, as far
// as the run's options and the guard allow. Repeating it changes nothing.
func (a *SyncRuns) MergeCatalogue(ctx context.Context, in SyncRunRef) (models.SyncCounts, error) {
	defer beat(ctx)()
	only, err := a.subjects(ctx, in.ID)
	if err != nil {
		return models.SyncCounts{}, err
	}
	run, err := a.Store.MergeStaged(ctx, store.Merge{RunID: in.ID, Guard: a.Guard, ProposalTTL: a.ProposalTTL, Only: only})
	return run.Counts, err
}

// subjects are the models that a run is about; nil means all.
func (a *SyncRuns) subjects(ctx context.Context, id uuid.UUID) ([]string, error) {
	run, err := a.Store.SyncRun(ctx, id)
	if err != nil {
		return nil, err
	}
	switch run.Kind {
	case models.SyncOne:
		return []string{run.Subject}, nil
	case models.SyncRemovals:
		p, err := a.Store.Proposal(ctx, *run.ProposalID)
		return p.ModelIDs, err
	case models.SyncFull:
	}
	return nil, nil
}

// SyncReport is what a person is told of a run.
type SyncReport struct {
	RunID           uuid.UUID
	Kind            models.SyncKind
	Options         models.SyncOptions
	Status          models.SyncStatus
	Counts          models.SyncCounts
	Problems        []string // at most reportLines
	Examples        []models.Difference
	Differences     int // of which Examples are the first
	Users           models.UserCounts
	UserExamples    []UserExample
	UserDifferences int // of which UserExamples are the first
	Keys            models.KeyCounts
	KeyExamples     []KeyExample
	KeyDifferences  int // of which KeyExamples are the first
	KeysNote        string
	ProposalID      *uuid.UUID
	Proposal        string // why a person is asked
	ProposalExpires time.Time
	FinishedAt      time.Time
}

// reportLines bounds a report: it is kept in the history.
const reportLines = 20

// CompleteSyncRun closes a run and reports on it.
func (a *SyncRuns) CompleteSyncRun(ctx context.Context, in SyncRunRef) (SyncReport, error) {
	run, err := a.Store.CompleteSyncRun(ctx, in.ID)
	if err != nil {
		return SyncReport{}, err
	}
	out := SyncReport{
		RunID: run.ID, Kind: run.Kind, Options: run.Options, Status: run.Status, Counts: run.Counts, Users: run.Users, Keys: run.Keys,
		KeysNote: run.KeysNote, Problems: run.List.Problems(), ProposalID: run.ProposalID,
	}
	if n := len(out.Problems); n > reportLines {
		out.Problems = append(out.Problems[:reportLines], "and more")
	}
	if run.FinishedAt != nil {
		out.FinishedAt = *run.FinishedAt
	}
	out.Examples, out.Differences, err = a.Store.SyncDifferences(ctx, run.ID, store.DifferenceQuery{Page: 1, Limit: reportLines})
	if err == nil {
		out.UserExamples, out.UserDifferences, err = a.userExamples(ctx, run.ID)
	}
	if err == nil {
		out.KeyExamples, out.KeyDifferences, err = a.keyExamples(ctx, run.ID)
	}
	if err != nil || run.ProposalID == nil || run.Kind != models.SyncFull {
		return out, err
	}
	p, err := a.Store.Proposal(ctx, *run.ProposalID)
	if p.Status == models.ProposalOpen {
		out.Proposal, out.ProposalExpires = p.Why, p.ExpiresAt
	}
	return out, err
}

// FailSyncRunInput says why a run cannot go on, in words for a person.
type FailSyncRunInput struct {
	ID  uuid.UUID
	Why string
}

// FailSyncRun closes a run that cannot go on.
func (a *SyncRuns) FailSyncRun(ctx context.Context, in FailSyncRunInput) error {
	return a.Store.FailSyncRun(ctx, in.ID, in.Why)
}

// BeatEvery is how often a long activity says that it is alive.
const BeatEvery = 5 * time.Second

// beat says that the activity is alive until the returned function is called.
func beat(ctx context.Context) (stop func()) {
	ctx, stop = context.WithCancel(ctx)
	go func() {
		for t := time.NewTicker(BeatEvery); ; {
			select {
			case <-ctx.Done():
				t.Stop()
				return
			case <-t.C:
				activity.RecordHeartbeat(ctx)
			}
		}
	}()
	return stop
}
