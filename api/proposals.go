package api

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/google/uuid"

	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/workflows"
)

// proposalResponse is a removal that the guard held back.
type proposalResponse struct {
	ID        uuid.UUID             `json:"id" format:"uuid"`
	Status    models.ProposalStatus `json:"status" enum:"open,approved,rejected,lapsed,withdrawn"`
	Why       string                `json:"why" doc:"What made the guard hold it back."`
	Models    int                   `json:"models" doc:"How many models it would remove; which, are the run's differences of kind held."`
	CreatedAt time.Time             `json:"createdAt"`
	RenewedAt time.Time             `json:"renewedAt" doc:"The last sync that missed the models."`
	ExpiresAt time.Time             `json:"expiresAt" doc:"When it lapses, unless answered or renewed."`
	DecidedAt *time.Time            `json:"decidedAt,omitempty"`
	DecidedBy string                `json:"decidedBy,omitempty"`
	Reason    string                `json:"reason,omitempty" doc:"The decider's words."`
	AppliedAt *time.Time            `json:"appliedAt,omitempty" doc:"When an approved one was carried out."`
	Answer    string                `json:"answer,omitempty" doc:"How to answer an open one."`
}

// newProposal is a proposal, and how to answer it by the given run.
func newProposal(p models.Proposal, run uuid.UUID) proposalResponse {
	out := proposalResponse{
		ID: p.ID, Status: p.Status, Why: p.Why, Models: len(p.ModelIDs), CreatedAt: p.CreatedAt.UTC(), RenewedAt: p.RenewedAt.UTC(),
		ExpiresAt: p.ExpiresAt.UTC(), DecidedAt: utc(p.DecidedAt), DecidedBy: p.DecidedBy, Reason: p.Reason, AppliedAt: utc(p.AppliedAt),
	}
	if p.Status == models.ProposalOpen {
		out.Answer = http.MethodPost + " " + runPath(run.String()) + `/decision {"decision": "approve"} or {"decision": "reject"}`
	}
	return out
}

type decideRequest struct {
	ID   uuid.UUID `path:"id" format:"uuid" doc:"A run that made or renewed the proposal."`
	Body struct {
		Decision string `json:"decision" enum:"approve,reject"`
		Reason   string `json:"reason,omitempty" maxLength:"1000" pattern:"^[^\\x00]*$" patternDescription:"text"`
	}
}

type decideResponse struct {
	Status int
	Body   struct {
		Message           string           `json:"message"`
		Proposal          proposalResponse `json:"proposal"`
		UnavailableModels int              `json:"unavailableModels" doc:"Marked unavailable by now."`
		RunID             string           `json:"runId,omitempty" doc:"The run that carries out what was approved."`
	}
}

// decideSyncRun answers the proposal of a run. Once recorded, an approval is carried out, now
// or later: LiteLLM or the workflow engine may be away, so the answer says how far it is.
func (s *Server) decideSyncRun(ctx context.Context, in *decideRequest) (*decideResponse, error) {
	p, err := s.Store.DecideProposal(ctx, in.ID, models.Decision{
		Approve: in.Body.Decision == "approve", Reason: in.Body.Reason, By: actor(ctx),
	})
	if err != nil {
		return nil, err
	}
	out := &decideResponse{Status: http.StatusOK}
	if p.Status == models.ProposalApproved {
		if err := s.applyRemovals(ctx, p, out); err != nil {
			slog.WarnContext(ctx, "approved removals are not carried out yet", "proposal_id", p.ID, "request_id", requestOf(ctx).id, "error", err)
			out.Status = http.StatusAccepted
			out.Body.Message = fmt.Sprintf("approved; %d models are marked unavailable as soon as possible", len(p.ModelIDs))
		}
		if p, err = s.Store.Proposal(ctx, p.ID); err != nil {
			return nil, err
		}
	}
	out.Body.Message = cmp.Or(out.Body.Message, fmt.Sprintf("rejected: %d models are kept", len(p.ModelIDs)))
	out.Body.Proposal = newProposal(p, in.ID)
	return out, nil
}

// applyRemovals carries an approved proposal out and waits for that.
func (s *Server) applyRemovals(ctx context.Context, p models.Proposal, out *decideResponse) error {
	run, err := workflows.Start(ctx, s.Temporal, workflows.ApplyRemovals, workflows.ApplyRemovalsInput{ProposalID: p.ID, Actor: actor(ctx)})
	if err != nil {
		return err
	}
	out.Body.RunID = run.ID()
	done, err := run.Wait(ctx, s.patience(ctx))
	if err != nil {
		return err
	}
	out.Body.UnavailableModels = done.Counts.Gone
	out.Body.Message = fmt.Sprintf("approved: %d of %d models were marked unavailable", done.Counts.Gone, len(p.ModelIDs))
	if back := len(p.ModelIDs) - done.Counts.Gone; back > 0 {
		out.Body.Message += fmt.Sprintf("; %d are back, or were so already", back)
	}
	return nil
}
