package api

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
	"github.com/litemaas/litemaas/workflows"
)

// view is how syncs are, as far as our rows say.
type view struct {
	now      time.Time
	last     *models.SyncRun // the last that completed
	running  *models.SyncRun
	newest   *models.SyncRun // of full runs, however it went
	proposal *models.Proposal
	schedule *models.SyncSchedule // nil until a worker has made it
	stats    store.CatalogueStats
	litellm  litellmStatus
}

// litellmStatus is how LiteLLM was when last looked at.
type litellmStatus struct {
	Status    string     `json:"status" enum:"healthy,unhealthy"`
	Reachable bool       `json:"reachable"`
	LatencyMS float64    `json:"latencyMs,omitempty"`
	Version   string     `json:"version,omitempty"`
	Failure   string     `json:"failure,omitempty" doc:"Why it is not reachable."`
	CheckedAt *time.Time `json:"checkedAt,omitempty"`
}

// look reads the view.
func (s *Server) look(ctx context.Context) (view, error) {
	v := view{now: time.Now()}
	var err error
	if v.last, err = s.Store.LastSync(ctx); err != nil {
		return v, err
	}
	probe, err := s.Store.Probe(ctx)
	if err != nil {
		return v, err
	}
	v.litellm = newLiteLLMStatus(probe, v.last, v.now)
	if v.running, err = s.Store.RunningSync(ctx); err != nil {
		return v, err
	}
	runs, _, err := s.Store.SyncRuns(ctx, store.SyncRunQuery{Page: 1, Limit: 1, Kind: models.SyncFull})
	if err != nil {
		return v, err
	}
	if len(runs) > 0 {
		v.newest = &runs[0]
	}
	if v.proposal, err = s.Store.OpenProposal(ctx); err != nil {
		return v, err
	}
	schedule, err := s.Store.SyncSchedule(ctx)
	if err == nil {
		v.schedule = &schedule
	} else if models.KindOf(err) != models.NotFound {
		return v, err
	}
	v.stats, err = s.Store.CatalogueStats(ctx)
	return v, err
}

// newLiteLLMStatus judges by the last probe, or, where that is old, by a sync that has just
// completed: it has talked to LiteLLM too.
func newLiteLLMStatus(p models.Probe, last *models.SyncRun, now time.Time) litellmStatus {
	out := litellmStatus{Reachable: p.Reachable, LatencyMS: milliseconds(p.Latency), Version: p.Version, Failure: p.Failure, CheckedAt: utc(&p.CheckedAt)}
	if !p.Fresh(now) {
		out = litellmStatus{Failure: "nobody has looked for some minutes: does a worker run?"}
		if !p.CheckedAt.IsZero() {
			out.CheckedAt = utc(&p.CheckedAt)
		}
		if last != nil && (models.Probe{CheckedAt: *last.FinishedAt}).Fresh(now) {
			out = litellmStatus{Reachable: true, CheckedAt: utc(last.FinishedAt)}
		}
	}
	out.Status = wellIf(out.Reachable)
	return out
}

func (v view) lastSyncAt() *time.Time {
	if v.last == nil {
		return nil
	}
	return utc(v.last.FinishedAt)
}

// age is how long ago t was; never less than nothing, whatever the clocks say.
func (v view) age(t time.Time) time.Duration { return max(0, v.now.Sub(t)) }

// issues are what wants attention, in words; why is added for admins only, since LiteLLM's
// words may be in it.
func (v view) issues(admin bool) []string {
	out := []string{}
	say := func(what, why string) {
		if admin && why != "" {
			what += ": " + why
		}
		out = append(out, what)
	}
	if !v.litellm.Reachable {
		say("LiteLLM is not reachable", v.litellm.Failure)
	}
	if v.last == nil {
		say("no sync has completed yet", "")
	}
	if v.newest != nil && v.newest.Status == models.SyncFailed {
		say("the last sync failed", v.newest.Failure)
	}
	if v.last != nil && v.schedule != nil && !v.schedule.Paused {
		if late := v.age(*v.last.FinishedAt); late > 2*v.schedule.Interval+v.schedule.Jitter {
			say(fmt.Sprintf("the last sync completed %s ago, though one should run every %s", late.Round(time.Minute), v.schedule.Interval), "")
		}
	}
	if v.proposal != nil {
		say(fmt.Sprintf("%d models are proposed for removal, and a person has to decide", len(v.proposal.ModelIDs)), v.proposal.Why)
	}
	return out
}

type syncHealthResponse struct {
	Body struct {
		Status      string            `json:"status" enum:"healthy,degraded"`
		Issues      []string          `json:"issues" doc:"What wants attention."`
		LastSuccess *lastSuccess      `json:"lastSuccess,omitempty" doc:"The last sync that completed."`
		Running     *syncRunResponse  `json:"running,omitempty" doc:"The sync under way."`
		NextRunAt   *time.Time        `json:"nextRunAt,omitempty" doc:"Left out while the schedule is paused, or the workflow engine does not answer."`
		LiteLLM     litellmStatus     `json:"litellm"`
		Drift       *syncCounts       `json:"drift,omitempty" doc:"How LiteLLM differed from the catalogue when the last sync looked."`
		Proposal    *proposalResponse `json:"proposal,omitempty" doc:"What waits for a person to decide."`
		Unsettled   unsettled         `json:"unsettled"`
	}
}

type lastSuccess struct {
	RunID      uuid.UUID `json:"runId" format:"uuid"`
	FinishedAt time.Time `json:"finishedAt"`
	AgeSeconds float64   `json:"ageSeconds"`
}

// unsettled are the wishes that are recorded and not yet carried out.
type unsettled struct {
	Count       int             `json:"count"`
	OldestSince *time.Time      `json:"oldestSince,omitempty"`
	Items       []unsettledItem `json:"items" doc:"The oldest first."`
}

type unsettledItem struct {
	Subject string    `json:"subject" example:"setting/sync_schedule"`
	What    string    `json:"what"`
	Since   time.Time `json:"since"`
}

func (s *Server) syncHealth(ctx context.Context, _ *struct{}) (*syncHealthResponse, error) {
	v, err := s.look(ctx)
	if err != nil {
		return nil, err
	}
	out := &syncHealthResponse{}
	b := &out.Body
	if b.Unsettled, err = s.unsettled(ctx, v); err != nil {
		return nil, err
	}
	b.LiteLLM, b.Issues, b.Status = v.litellm, v.issues(true), healthy
	if b.Unsettled.Count > 0 && v.age(*b.Unsettled.OldestSince) > settleWithin {
		b.Issues = append(b.Issues, "something recorded is not carried out: does a worker run, and does the workflow engine answer?")
	}
	if len(b.Issues) > 0 {
		b.Status = degraded
	}
	if v.last != nil {
		b.LastSuccess = &lastSuccess{v.last.ID, v.last.FinishedAt.UTC(), v.age(*v.last.FinishedAt).Seconds()}
		b.Drift = new(newSyncCounts(v.last.Counts))
	}
	if v.running != nil {
		b.Running = new(s.newSyncRun(*v.running))
	}
	if v.proposal != nil {
		b.Proposal = new(newProposal(*v.proposal, v.ask()))
	}
	if state, err := s.scheduleState(ctx); err == nil {
		b.NextRunAt = utc(state.Next)
	}
	return out, nil
}

// settleWithin is how long a wish may wait before somebody should look: some sweeps.
const settleWithin = 3 * time.Minute

// ask is the run to answer about the open proposal: the last that renewed it, since old runs
// are forgotten.
func (v view) ask() uuid.UUID {
	if v.last != nil && v.last.ProposalID != nil && *v.last.ProposalID == v.proposal.ID {
		return v.last.ID
	}
	return v.proposal.ID
}

// unsettled collects the wishes that are not carried out.
func (s *Server) unsettled(ctx context.Context, v view) (unsettled, error) {
	out := unsettled{Items: []unsettledItem{}}
	if v.schedule != nil && v.schedule.ObservedGeneration < v.schedule.Generation {
		out.Items = append(out.Items, unsettledItem{"setting/sync_schedule", "the workflow engine has not been told of the schedule", v.schedule.UpdatedAt.UTC()})
	}
	approved, err := s.Store.ProposalsToApply(ctx, 0)
	if err != nil {
		return out, err
	}
	for _, id := range approved {
		p, err := s.Store.Proposal(ctx, id)
		if err != nil {
			return out, err
		}
		out.Items = append(out.Items, unsettledItem{"proposal/" + id.String(), "approved removals are not carried out", p.DecidedAt.UTC()})
	}
	slices.SortFunc(out.Items, func(a, b unsettledItem) int { return a.Since.Compare(b.Since) })
	if out.Count = len(out.Items); out.Count > 0 {
		out.OldestSince = &out.Items[0].Since
	}
	return out, nil
}

// askWithin is how long a read waits for what only the workflow engine knows.
const askWithin = 2 * time.Second

// scheduleState asks Temporal what its schedule will do next.
func (s *Server) scheduleState(ctx context.Context) (models.ScheduleState, error) {
	ctx, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	return workflows.SyncScheduleState(ctx, s.Schedules)
}
