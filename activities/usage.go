package activities

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/litemaas/litemaas/activities/litellm"
	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
)

// Usage brings into the ledger what LiteLLM knows of the calls of models, and looks after the ledger.
type Usage struct {
	Store *store.Store
	Proxy *litellm.Client

	Lag     time.Duration // how old what is read must be, so that LiteLLM has written it and pushed it
	Overlap time.Duration // how far back is looked again for calls that took long, or that LiteLLM wrote late

	Retention time.Duration // how long calls are kept at least; 0: for ever
}

// UsageGrid is the length of time that the windows are cut by which are read again and again.
const UsageGrid = 5 * time.Minute

// PlanUsageInput is empty.
type PlanUsageInput struct{}

// PlanUsageResult says what is to be read now: from From until, not including, Until, which are
// whole seconds. Where they are the same, nothing is.
type PlanUsageResult struct{ From, Until time.Time }

// PlanUsage says what of LiteLLM's log is to be read: what was not, and, once in a length of the
// grid, what may have grown since. Whoever never read it begins with that.
func (a *Usage) PlanUsage(ctx context.Context, _ PlanUsageInput) (PlanUsageResult, error) {
	read, err := a.Store.UsageReadUntil(ctx)
	if err != nil {
		return PlanUsageResult{}, err
	}
	return planUsage(read.UTC(), time.Now().UTC(), a.Lag, a.Overlap), nil
}

func planUsage(read, now time.Time, lag, overlap time.Duration) PlanUsageResult {
	until := now.Add(-lag).Truncate(time.Second)
	since := until // for who never read it
	if !read.IsZero() && read.Before(until) {
		since = read
	}
	from := since.Truncate(UsageGrid)
	if read.IsZero() || !from.Equal(until.Truncate(UsageGrid)) {
		from = since.Add(-overlap).Truncate(UsageGrid)
	}
	return PlanUsageResult{from, until}
}

// ReadUsageInput is a window of time, of whole seconds. The end is not in it.
type ReadUsageInput struct{ From, Until time.Time }

// ReadUsageResult is what became of a window.
type ReadUsageResult struct {
	Window  models.UsageWindow
	Strange int `json:",omitzero"` // entries that the ledger cannot take

	Split bool `json:",omitzero"` // nothing was read: there is too much in it
	NoLog bool `json:",omitzero"` // nothing was read: LiteLLM has no log. See ReadUsageDay

	Due      bool         `json:",omitzero"` // some budget has to be judged
	Cascades []CascadeRef `json:",omitzero"` // on which LiteLLM has to follow
}

// note takes note of what came of some events.
func (r *ReadUsageResult) note(done models.Recorded) {
	r.Window.Missing += done.New
	r.Window.Corrected += done.Corrected
	r.Due = r.Due || done.Due
	var found FoundCascades
	found.add(done.Follow)
	r.Cascades = append(r.Cascades, found.Cascades...)
}

// collector is who writes into the ledger what LiteLLM's log says.
var collector = models.System("CollectUsage")

// ReadUsage reads a window of LiteLLM's log into the ledger, and says how the two compared. What a
// failed attempt has read is no more missing in the next; what it left due, Sweep finds.
func (a *Usage) ReadUsage(ctx context.Context, in ReadUsageInput) (ReadUsageResult, error) {
	defer beat(ctx)()
	res := ReadUsageResult{Window: models.UsageWindow{From: in.From, Until: in.Until, Source: models.UsagePulled}}
	var seen []uuid.UUID
	for page := 1; ; page++ {
		logs, err := a.Proxy.SpendLogs(ctx, in.From, in.Until, page)
		switch {
		case litellm.NoRoute(err):
			return ReadUsageResult{NoLog: true}, nil
		case err != nil:
			return ReadUsageResult{}, err
		case page == 1 && logs.Total >= litellm.MaxSpendLogs && in.Until.Sub(in.From) > time.Second:
			return ReadUsageResult{Split: true}, nil
		}
		done, err := a.Store.RecordEvents(ctx, logs.Events, models.UsagePulled, collector)
		if err != nil {
			return ReadUsageResult{}, err
		}
		res.note(done)
		res.Strange += logs.Strange
		for _, e := range logs.Events {
			seen = append(seen, e.ID())
		}
		if logs.Last {
			break
		}
	}
	return res, a.closeWindow(ctx, &res, seen)
}

// closeWindow records what was read.
func (a *Usage) closeWindow(ctx context.Context, res *ReadUsageResult, seen []uuid.UUID) error {
	res.Window.Read = len(seen)
	w, err := a.Store.CloseUsageWindow(ctx, res.Window, seen)
	if err == nil {
		res.Window.Extra, res.Window.CollectedAt = w.Extra, w.CollectedAt // the row counts what was ever missing
	}
	return err
}

// ReadUsageDay reads what LiteLLM's sums of a day have that nobody told of call by call. The input
// is the day, from midnight of UTC, and as much of it as has passed.
func (a *Usage) ReadUsageDay(ctx context.Context, in ReadUsageInput) (ReadUsageResult, error) {
	defer beat(ctx)()
	res := ReadUsageResult{Window: models.UsageWindow{From: in.From, Until: in.Until, Source: models.UsageDaily}}
	sums, err := a.Proxy.DailyActivity(ctx, in.From)
	if err != nil {
		return ReadUsageResult{}, err
	}
	known, err := a.Store.UsageOfDay(ctx, in.From)
	if err != nil {
		return ReadUsageResult{}, err
	}
	events, strange := untold(sums, known)
	done, err := a.Store.RecordEvents(ctx, events, models.UsageDaily, collector)
	if err != nil {
		return ReadUsageResult{}, err
	}
	res.note(done)
	res.Strange = strange
	seen := make([]uuid.UUID, len(events))
	for i, e := range events {
		seen[i] = e.ID()
	}
	return res, a.closeWindow(ctx, &res, seen)
}

// untold takes from LiteLLM's sums what the ledger has call by call. Where nothing is left, and
// never was, nothing is to be told.
func untold(sums []models.UsageEvent, known []store.UsageSum) (left []models.UsageEvent, strange int) {
	type place struct {
		key, model string
		daily      bool
	}
	has := map[place]store.UsageSum{}
	for _, k := range known {
		has[place{k.KeyHash, k.Model, k.Daily}] = k
	}
	for _, e := range sums {
		if e.Check(time.Now()) != nil {
			strange++
			continue
		}
		told := has[place{e.KeyHash, e.Model, false}]
		e.Requests = max(0, e.Requests-told.Requests)
		e.Failed = min(e.Requests, max(0, e.Failed-told.Failed))
		e.Prompt = max(0, e.Prompt-told.Prompt)
		e.Completion = max(0, e.Completion-told.Completion)
		e.Latency = max(0, e.Latency-time.Duration(told.LatencyMS)*time.Millisecond)
		e.Cost = new(max(0, *e.Cost-told.Cost))
		if _, before := has[place{e.KeyHash, e.Model, true}]; before || e.Requests > 0 {
			left = append(left, e)
		}
	}
	return left, strange
}
