package api

import (
	"context"
	"net/url"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
)

// syncOptions are what a run may do, in LiteMaaS's words.
type syncOptions struct {
	DryRun          bool `json:"dryRun" doc:"Compare and report, change nothing."`
	ForceUpdate     bool `json:"forceUpdate" doc:"Write every model that LiteLLM lists, changed or not."`
	MarkUnavailable bool `json:"markUnavailable" doc:"Mark unavailable what LiteLLM lists no more."`
}

func newSyncOptions(o models.SyncOptions) syncOptions {
	return syncOptions{o.DryRun, o.Force, !o.KeepMissing}
}

type syncCounts struct {
	Listed    int `json:"listed" doc:"Models that LiteLLM lists."`
	Added     int `json:"added"`
	Changed   int `json:"changed"`
	Unchanged int `json:"unchanged"`
	Returned  int `json:"returned" doc:"Were unavailable and are back."`
	Gone      int `json:"gone" doc:"Marked unavailable."`
	Held      int `json:"held" doc:"Missing, but held back for a person to decide."`
	Kept      int `json:"kept" doc:"Missing, but to be kept."`
	Deleted   int `json:"deleted" doc:"Listed, but deleted here by an admin, so left alone."`
}

func newSyncCounts(c models.SyncCounts) syncCounts {
	return syncCounts{c.Listed, c.Added, c.Changed, c.Unchanged, c.Returned, c.Gone, c.Held, c.Kept, c.Deleted}
}

type userCounts struct {
	Listed    int `json:"listed" doc:"Users that LiteLLM lists."`
	Missing   int `json:"missing" doc:"Ours that LiteLLM did not have; they are made again."`
	Different int `json:"different" doc:"Ours that LiteLLM held otherwise; they are put right."`
	Unknown   int `json:"unknown" doc:"LiteLLM's that are not ours; they are left alone."`
}

// newUserCounts is nil until a run has looked at users.
func newUserCounts(r models.SyncRun) *userCounts {
	if r.UsersComparedAt == nil {
		return nil
	}
	return &userCounts{r.Users.Listed, r.Users.Missing, r.Users.Different, r.Users.Unknown}
}

type keyCounts struct {
	Listed    int `json:"listed" doc:"API keys that LiteLLM lists."`
	Missing   int `json:"missing" doc:"Ours that LiteLLM did not have; they are made again."`
	Different int `json:"different" doc:"Ours that LiteLLM held otherwise, or that our own row let do too much; they are put right, as far as ours is the word that counts."`
	Unknown   int `json:"unknown" doc:"LiteLLM's that are not ours."`
	Followed  int `json:"followed" doc:"Of the different: our row took over what LiteLLM holds."`
	Disputed  int `json:"disputed" doc:"Of the different: a person has to decide; see /api/v1/sync/conflicts."`
	Suspect   int `json:"suspect" doc:"Of the unknown: they claim to be ours, or are of our users; see /api/v1/sync/orphans."`
}

// newKeyCounts is nil until a run has looked at keys.
func newKeyCounts(r models.SyncRun) *keyCounts {
	if r.KeysComparedAt == nil {
		return nil
	}
	return &keyCounts{r.Keys.Listed, r.Keys.Missing, r.Keys.Different, r.Keys.Unknown, r.Keys.Followed, r.Keys.Disputed, r.Keys.Suspect}
}

// syncRunResponse is a sync run as admins see it.
type syncRunResponse struct {
	ID          uuid.UUID          `json:"id" format:"uuid" doc:"Also the run ID of its workflow."`
	WorkflowID  string             `json:"workflowId"`
	Kind        models.SyncKind    `json:"kind" enum:"full,model,removals"`
	Trigger     models.SyncTrigger `json:"trigger" enum:"manual,schedule,startup"`
	Actor       string             `json:"actor"`
	ModelID     string             `json:"modelId,omitempty" doc:"The model that the run is about, if it is about one."`
	Options     syncOptions        `json:"options"`
	Status      models.SyncStatus  `json:"status" enum:"running,completed,failed"`
	Phase       models.SyncPhase   `json:"phase" enum:"fetching,merging,done"`
	Progress    syncProgress       `json:"progress"`
	Counts      syncCounts         `json:"counts"`
	Users       *userCounts        `json:"users,omitempty" doc:"What it found about users, once it has looked."`
	Keys        *keyCounts         `json:"keys,omitempty" doc:"What it found about API keys, once it has looked."`
	KeysNote    string             `json:"keysNote,omitempty" doc:"What a person should know of the API keys, in words."`
	Problems    []string           `json:"problems" doc:"What could not be read, in words."`
	ProposalID  *uuid.UUID         `json:"proposalId,omitempty" format:"uuid"`
	Failure     string             `json:"failure,omitempty" doc:"Why it failed, in words."`
	StartedAt   time.Time          `json:"startedAt"`
	MergedAt    *time.Time         `json:"mergedAt,omitempty" doc:"When its changes were written."`
	FinishedAt  *time.Time         `json:"finishedAt,omitempty"`
	TemporalURL string             `json:"temporalUrl,omitempty" doc:"Its page in the workflow engine's web UI."`

	// Where one run is read:
	Proposal    *proposalResponse `json:"proposal,omitempty" doc:"What it made, renewed or carried out."`
	Differences *differences      `json:"differences,omitempty" doc:"What it found, where one run is read."`
}

type syncProgress struct {
	Fetched  int `json:"fetched" doc:"Deployments read so far."`
	Expected int `json:"expected" doc:"Deployments that LiteLLM says it has."`
}

func (s *Server) newSyncRun(r models.SyncRun) syncRunResponse {
	return syncRunResponse{
		ID: r.ID, WorkflowID: r.WorkflowID, Kind: r.Kind, Trigger: r.Trigger, Actor: r.Actor, ModelID: r.Subject,
		Options: newSyncOptions(r.Options), Status: r.Status, Phase: r.Phase, Progress: syncProgress{r.Fetched, r.Expected},
		Counts: newSyncCounts(r.Counts), Users: newUserCounts(r), Keys: newKeyCounts(r), KeysNote: r.KeysNote, Problems: r.List.Problems(), ProposalID: r.ProposalID, Failure: r.Failure,
		StartedAt: r.StartedAt.UTC(), MergedAt: utc(r.MergedAt), FinishedAt: utc(r.FinishedAt), TemporalURL: s.temporalURL(r),
	}
}

// temporalURL is the run's page in Temporal's web UI, if we know where that is.
func (s *Server) temporalURL(r models.SyncRun) string {
	if s.Config.TemporalUIURL == "" {
		return ""
	}
	return strings.TrimRight(s.Config.TemporalUIURL, "/") + "/namespaces/" + url.PathEscape(s.Config.TemporalNamespace) +
		"/workflows/" + url.PathEscape(r.WorkflowID) + "/" + r.ID.String() + "/history"
}

type listSyncRunsRequest struct {
	Page   int    `query:"page" minimum:"1" maximum:"999999" default:"1"`
	Limit  int    `query:"limit" minimum:"1" maximum:"1000" default:"20"`
	Status string `query:"status" enum:"running,completed,failed"`
	Kind   string `query:"kind" enum:"full,model,removals"`
}

type listSyncRunsResponse struct {
	Body struct {
		Data       []syncRunResponse `json:"data"`
		Pagination pagination        `json:"pagination"`
	}
}

func (s *Server) listSyncRuns(ctx context.Context, in *listSyncRunsRequest) (*listSyncRunsResponse, error) {
	runs, total, err := s.Store.SyncRuns(ctx, store.SyncRunQuery{
		Page: in.Page, Limit: in.Limit, Status: models.SyncStatus(in.Status), Kind: models.SyncKind(in.Kind),
	})
	if err != nil {
		return nil, err
	}
	out := &listSyncRunsResponse{}
	out.Body.Data = make([]syncRunResponse, 0, len(runs))
	for _, r := range runs {
		out.Body.Data = append(out.Body.Data, s.newSyncRun(r))
	}
	out.Body.Pagination = newPagination(in.Page, in.Limit, total)
	return out, nil
}

type getSyncRunRequest struct {
	ID    uuid.UUID `path:"id" format:"uuid"`
	Page  int       `query:"page" minimum:"1" maximum:"999999" default:"1" doc:"Of the differences."`
	Limit int       `query:"limit" minimum:"1" maximum:"1000" default:"100" doc:"Differences on a page."`
	Kind  string    `query:"kind" enum:"added,changed,returned,gone,held,kept" doc:"Only differences of that kind."`
}

// difference is what a run found about one model.
type difference struct {
	ModelID string                `json:"modelId"`
	Kind    models.DifferenceKind `json:"kind" enum:"added,changed,returned,gone,held,kept"`
	Fields  []models.FieldChange  `json:"fields" doc:"Of a model that changed or is back: each field with both values."`
}

type differences struct {
	Data       []difference `json:"data"`
	Pagination pagination   `json:"pagination"`
}

type getSyncRunResponse struct{ Body syncRunResponse }

func (s *Server) getSyncRun(ctx context.Context, in *getSyncRunRequest) (*getSyncRunResponse, error) {
	run, err := s.Store.SyncRun(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	found, total, err := s.Store.SyncDifferences(ctx, in.ID, store.DifferenceQuery{Page: in.Page, Limit: in.Limit, Kind: models.DifferenceKind(in.Kind)})
	if err != nil {
		return nil, err
	}
	out := &getSyncRunResponse{s.newSyncRun(run)}
	out.Body.Differences = &differences{make([]difference, 0, len(found)), newPagination(in.Page, in.Limit, total)}
	for _, d := range found {
		out.Body.Differences.Data = append(out.Body.Differences.Data, difference{d.ModelID, d.Kind, append([]models.FieldChange{}, d.Fields...)})
	}
	if run.ProposalID != nil {
		p, err := s.Store.Proposal(ctx, *run.ProposalID)
		if err != nil {
			return nil, err
		}
		out.Body.Proposal = new(newProposal(p, run.ID))
	}
	return out, nil
}

// runPath is where a run is read.
func runPath(id string) string { return "/api/v1/sync/runs/" + id }
