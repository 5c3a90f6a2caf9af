package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/google/uuid"

	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/workflows"
)

type syncModelsRequest struct {
	Body *struct {
		ForceUpdate     bool  `json:"forceUpdate,omitempty" doc:"Write every model that LiteLLM lists, changed or not."`
		MarkUnavailable *bool `json:"markUnavailable,omitempty" default:"true" doc:"Mark unavailable what LiteLLM lists no more."`
		DryRun          bool  `json:"dryRun,omitempty" doc:"Compare and report, change nothing."`
	}
}

func (r *syncModelsRequest) options() models.SyncOptions {
	if r.Body == nil {
		return models.SyncOptions{}
	}
	keep := r.Body.MarkUnavailable != nil && !*r.Body.MarkUnavailable
	return models.SyncOptions{DryRun: r.Body.DryRun, Force: r.Body.ForceUpdate, KeepMissing: keep}
}

// syncResult is how a sync went, or how far it is.
type syncResult struct {
	Success           bool              `json:"success" doc:"Whether it has completed."`
	TotalModels       int               `json:"totalModels" doc:"Models that LiteLLM lists."`
	NewModels         int               `json:"newModels"`
	UpdatedModels     int               `json:"updatedModels" doc:"Changed, or back again."`
	UnavailableModels int               `json:"unavailableModels" doc:"Marked unavailable by this sync."`
	HeldModels        int               `json:"heldModels" doc:"Missing, but held back for a person to decide."`
	Errors            []string          `json:"errors" doc:"What an admin should know, in words."`
	SyncedAt          *time.Time        `json:"syncedAt,omitempty" doc:"When it completed."`
	RunID             string            `json:"runId"`
	Status            models.SyncStatus `json:"status" enum:"running,completed,failed"`
	Options           syncOptions       `json:"options" doc:"What the sync was asked to do; who joins one did not choose."`
	ProposalID        *uuid.UUID        `json:"proposalId,omitempty" format:"uuid"`
}

type syncModelsResponse struct {
	Status   int
	Location string `header:"Location" doc:"Where the run is read."`
	Body     syncResult
}

// syncModels runs a sync, or joins the one under way, and waits for its result. If that takes
// too long the answer is 202: the sync goes on, and the body says how far it is.
func (s *Server) syncModels(ctx context.Context, in *syncModelsRequest) (*syncModelsResponse, error) {
	res, err := s.sync(ctx, in.options())
	status, err := answered(err)
	if err != nil {
		return nil, err
	}
	return &syncModelsResponse{status, runPath(res.RunID), res}, nil
}

// sync starts or joins a full sync. It is Pending, with a result, while the sync goes on.
func (s *Server) sync(ctx context.Context, o models.SyncOptions) (syncResult, error) {
	run, err := workflows.Start(ctx, s.Temporal, workflows.FullSync, workflows.FullSyncInput{
		Trigger: models.SyncByPerson, Actor: actor(ctx), Options: o,
	})
	if err != nil {
		return syncResult{}, err
	}
	s.did(ctx, models.SubjectSyncRun, run.ID())
	done, err := run.Wait(ctx, s.patience(ctx))
	if models.KindOf(err) == models.Pending {
		return s.underWay(ctx, run.ID(), o), err
	}
	if err != nil {
		return syncResult{}, notTheCaller(err)
	}
	out := newSyncResult(run.ID(), done.Options, done.Counts, done.Problems)
	out.Success, out.Status = done.Status == models.SyncCompleted, done.Status
	out.SyncedAt, out.ProposalID = utc(&done.FinishedAt), done.ProposalID
	if c := done.Counts; c.Held > 0 {
		out.Errors = append(out.Errors, fmt.Sprintf("%d missing models were held back; a person has to decide: POST %s/decision", c.Held, runPath(out.RunID)))
	}
	return out, nil
}

func newSyncResult(runID string, o models.SyncOptions, c models.SyncCounts, problems []string) syncResult {
	return syncResult{
		TotalModels: c.Listed, NewModels: c.Added, UpdatedModels: c.Changed + c.Returned, UnavailableModels: c.Gone, HeldModels: c.Held,
		Errors: append([]string{}, problems...), RunID: runID, Options: newSyncOptions(o), Status: models.SyncRunning,
	}
}

// underWay is how far a sync is; o is what was asked for, in case its row is not there yet.
func (s *Server) underWay(ctx context.Context, runID string, o models.SyncOptions) syncResult {
	out := newSyncResult(runID, o, models.SyncCounts{}, nil)
	if id, err := uuid.Parse(runID); err == nil {
		if run, err := s.Store.SyncRun(ctx, id); err == nil {
			out = newSyncResult(runID, run.Options, run.Counts, nil)
		}
	}
	out.Errors = append(out.Errors, "the sync goes on: GET "+runPath(runID)+" shows how it ends")
	return out
}

// hopeless is how long a request waits while LiteLLM is known to be down.
const hopeless = time.Second

// patience is how long to wait for a workflow that needs LiteLLM, unless the caller prefers not
// to.
func (s *Server) patience(ctx context.Context) time.Duration {
	usual := patience
	probe, err := s.Store.Probe(ctx)
	if err == nil && probe.Fresh(time.Now()) && !probe.Reachable {
		usual = hopeless
	}
	if op := requestOf(ctx).operation; op != nil {
		return op.prefer.patience(usual, 0)
	}
	return usual
}

// answered is the status of what a workflow was asked to do: 200 when it is done, 202 while
// that is under way.
func answered(err error) (int, error) {
	if models.KindOf(err) == models.Pending {
		return http.StatusAccepted, nil
	}
	return http.StatusOK, err
}

// notTheCaller gives the failure of a workflow a kind that does not blame the caller: what
// LiteLLM refuses is refused to us.
func notTheCaller(err error) error {
	e, ok := errors.AsType[*models.Error](err)
	if !ok {
		return err
	}
	switch e.Kind {
	case models.Invalid, models.Unauthenticated, models.Forbidden, models.NotFound, models.Limited:
		return models.Wrap(models.Unavailable, err, "%s", e.Message)
	default:
		return err
	}
}

type refreshModelsResponse struct {
	Status   int
	Location string `header:"Location" doc:"Where the run is read."`
	Body     struct {
		Message     string     `json:"message"`
		ModelsCount int        `json:"modelsCount" doc:"Models that LiteLLM lists."`
		RefreshedAt *time.Time `json:"refreshedAt,omitempty"`
		RunID       string     `json:"runId"`
	}
}

// refreshModels is syncModels without taking anything away.
func (s *Server) refreshModels(ctx context.Context, _ *struct{}) (*refreshModelsResponse, error) {
	res, err := s.sync(ctx, models.SyncOptions{KeepMissing: true})
	status, err := answered(err)
	if err != nil {
		return nil, err
	}
	out := &refreshModelsResponse{Status: status, Location: runPath(res.RunID)}
	b := &out.Body
	b.Message, b.ModelsCount, b.RefreshedAt, b.RunID = "Models refreshed successfully", res.TotalModels, res.SyncedAt, res.RunID
	if status == http.StatusAccepted {
		b.Message = res.Errors[0]
	}
	return out, nil
}

type refreshModelResponse struct {
	Status   int
	Location string `header:"Location" doc:"Where the run is read."`
	Body     struct {
		Message string         `json:"message"`
		RunID   string         `json:"runId"`
		Model   *modelResponse `json:"model,omitempty" doc:"As it is now; left out while a new one is not there yet."`
	}
}

// maxModelID is how long the name of a model can be, in bytes.
const maxModelID = 500

// refreshModel compares one model with LiteLLM. It is NotFound when neither of us knows it.
func (s *Server) refreshModel(ctx context.Context, in *modelRequest) (*refreshModelResponse, error) {
	if len(in.ID) > maxModelID {
		return nil, models.Errorf(models.NotFound, "no model has such a long name")
	}
	run, err := workflows.Start(ctx, s.Temporal, workflows.RefreshModel, workflows.RefreshModelInput{ModelID: in.ID, Actor: actor(ctx)})
	if err != nil {
		return nil, err
	}
	s.did(ctx, models.SubjectSyncRun, run.ID())
	_, err = run.Wait(ctx, s.patience(ctx))
	status, err := answered(err)
	if err != nil {
		return nil, notTheCaller(err)
	}
	out := &refreshModelResponse{Status: status, Location: runPath(run.ID())}
	out.Body.Message, out.Body.RunID = "Model refreshed successfully", run.ID()
	if status == http.StatusAccepted {
		out.Body.Message = "the comparison goes on: GET " + runPath(run.ID()) + " shows how it ends"
	}
	model, err := s.getModel(ctx, in)
	if err == nil {
		out.Body.Model = &model.Body
	}
	if models.KindOf(err) == models.NotFound && status == http.StatusAccepted {
		err = nil
	}
	return out, err
}
