package api

import (
	"context"
	"net/http"
	"time"

	"github.com/google/uuid"

	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/workflows"
)

// RaiseResponse is a temporary increase of a budget. It is exported for huma; see AuditFilter.
type RaiseResponse struct {
	ID          uuid.UUID          `json:"id" format:"uuid"`
	BudgetID    uuid.UUID          `json:"budgetId" format:"uuid"`
	Amount      models.USD         `json:"amount" doc:"In dollars: what is added."`
	Reason      string             `json:"reason"`
	Until       time.Time          `json:"until"`
	Status      models.RaiseStatus `json:"status" enum:"pending,active,ended,denied,withdrawn" doc:"pending: it waits for an admin. withdrawn: ended before its time."`
	RequestedBy string             `json:"requestedBy" doc:"As the audit log names him."`
	DecidedBy   string             `json:"decidedBy,omitempty"`
	DecidedWhy  string             `json:"decidedWhy,omitempty"`
	CreatedAt   time.Time          `json:"createdAt"`
	DecidedAt   *time.Time         `json:"decidedAt,omitempty"`
	EndedAt     *time.Time         `json:"endedAt,omitempty"`
}

func newRaise(r models.BudgetRaise) RaiseResponse {
	return RaiseResponse{
		r.ID, r.BudgetID, r.Amount, r.Reason, r.UntilAt.UTC(), r.Status, r.RequestedBy, r.DecidedBy, r.DecidedWhy,
		r.CreatedAt.UTC(), utc(r.DecidedAt), utc(r.EndedAt),
	}
}

// raiseResponse is a raise, and its budget as it stands then.
type raiseResponse struct {
	Status int
	Body   struct {
		RaiseResponse
		Budget BudgetResponse `json:"budget"`
	}
}

type createRaiseRequest struct {
	ID   uuid.UUID `path:"id" format:"uuid"`
	Body struct {
		Amount models.USD `json:"amount" exclusiveMinimum:"0" maximum:"1000000000" doc:"In dollars: what is added."`
		Until  time.Time  `json:"until" doc:"When the budget is what it was again; within a year."`
		Reason string     `json:"reason" minLength:"1" maxLength:"500" pattern:"^[^\\x00]*$" patternDescription:"text"`
	}
}

// changesBudgets is the permission to change the budgets of everybody.
const changesBudgets models.Permission = "users:write"

// createRaise raises a budget for a while. An admin's raise is active at once, unless every raise
// needs an approval; an owner's waits for an admin in any case.
func (s *Server) createRaise(ctx context.Context, in *createRaiseRequest) (*raiseResponse, error) {
	until, caller := s.deadline(ctx), requestOf(ctx).caller
	admin := caller.May(changesBudgets)
	b, err := s.Store.BudgetView(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	if mine := b.OwnerID != nil && *b.OwnerID == caller.UserID; !admin && !mine {
		return nil, models.Errorf(models.NotFound, "budget not found")
	}
	if in.Body.Until.After(requestOf(ctx).at.Add(models.MaxRaise)) {
		return nil, models.Errorf(models.Invalid, "a raise ends within a year").On("until")
	}
	raise := models.BudgetRaise{ID: uuid.New(), BudgetID: in.ID, Amount: in.Body.Amount, Reason: in.Body.Reason, UntilAt: in.Body.Until.UTC()}
	about(ctx, models.AuditOfRaise, raise.ID.String())
	raise, err = s.Store.RequestRaise(ctx, raise, !admin || s.Config.RaiseNeedsApproval, actor(ctx))
	if err != nil {
		return nil, err
	}
	out, err := s.raised(ctx, raise, until)
	if err == nil && out.Status == http.StatusOK {
		out.Status = http.StatusCreated
	}
	return out, err
}

// raised is a raise after it changed, once its run knows. It is 202 while its budget has yet to be
// judged, or followed by LiteLLM.
func (s *Server) raised(ctx context.Context, r models.BudgetRaise, until time.Time) (*raiseResponse, error) {
	_, err := workflows.Nudge(ctx, s.Temporal, workflows.RaiseBudget, workflows.RaiseBudgetInput{RaiseID: r.ID})
	judgedLater(ctx, r.BudgetID, err)
	out := &raiseResponse{Status: http.StatusOK}
	out.Body.RaiseResponse = newRaise(r)
	if r.Status == models.RaisePending || r.Status == models.RaiseDenied { // nothing follows from it
		v, err := s.Store.BudgetView(ctx, r.BudgetID)
		out.Body.Budget = newBudget(&v)
		return out, err
	}
	b, err := s.enforced(ctx, r.BudgetID, until)
	if err != nil {
		return nil, err
	}
	out.Status, out.Body.Budget = b.Status, b.Body
	return out, nil
}

// raiseAgain is the answer to whoever asks once more for what he did to a raise.
func (s *Server) raiseAgain(done int) func(context.Context, string) (*raiseResponse, error) {
	return func(ctx context.Context, id string) (*raiseResponse, error) {
		parsed, err := uuid.Parse(id)
		if err != nil {
			return nil, err
		}
		r, err := s.Store.Raise(ctx, parsed)
		if err != nil {
			return nil, err
		}
		v, err := s.Store.BudgetView(ctx, r.BudgetID)
		if err != nil {
			return nil, err
		}
		out := &raiseResponse{Status: done}
		out.Body.RaiseResponse, out.Body.Budget = newRaise(r), newBudget(&v)
		if r.Status == models.RaiseActive && !out.Body.Budget.Settled {
			out.Status = http.StatusAccepted
		}
		return out, nil
	}
}

type listRaisesResponse struct {
	Body struct {
		Data []RaiseResponse `json:"data"`
	}
}

// listRaises is all raises of a budget, the newest first: for admins, and for whose budget it is.
func (s *Server) listRaises(ctx context.Context, in *budgetRequest) (*listRaisesResponse, error) {
	b, err := s.Store.BudgetView(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	caller := requestOf(ctx).caller
	if mine := b.OwnerID != nil && *b.OwnerID == caller.UserID; !mine && !caller.May("admin:usage") {
		return nil, models.Errorf(models.NotFound, "budget not found")
	}
	raises, err := s.Store.BudgetRaises(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	out := &listRaisesResponse{}
	out.Body.Data = make([]RaiseResponse, len(raises))
	for i, r := range raises {
		out.Body.Data[i] = newRaise(r)
	}
	return out, nil
}

type decideRaiseRequest struct {
	ID   uuid.UUID `path:"id" format:"uuid"`
	Body *struct {
		Reason string `json:"reason,omitempty" maxLength:"500" pattern:"^[^\\x00]*$" patternDescription:"text"`
	}
}

func (r *decideRaiseRequest) reason() string {
	if r.Body == nil {
		return ""
	}
	return r.Body.Reason
}

// approveRaise makes a raise active that waits. Nobody approves what he asked for himself.
func (s *Server) approveRaise(ctx context.Context, in *decideRaiseRequest) (*raiseResponse, error) {
	r, err := s.Store.Raise(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	if r.RequestedBy == actor(ctx).ID {
		return nil, models.Errorf(models.Forbidden, "Access denied. Somebody else has to approve what you asked for")
	}
	return s.decideRaise(ctx, in, true)
}

// denyRaise ends a raise that waits.
func (s *Server) denyRaise(ctx context.Context, in *decideRaiseRequest) (*raiseResponse, error) {
	return s.decideRaise(ctx, in, false)
}

func (s *Server) decideRaise(ctx context.Context, in *decideRaiseRequest, approve bool) (*raiseResponse, error) {
	until := s.deadline(ctx)
	about(ctx, models.AuditOfRaise, in.ID.String())
	r, err := s.Store.DecideRaise(ctx, in.ID, approve, in.reason(), actor(ctx))
	if err != nil {
		return nil, err
	}
	return s.raised(ctx, r, until)
}

// endRaise ends a raise before its time. One that is over stays as it is.
func (s *Server) endRaise(ctx context.Context, in *decideRaiseRequest) (*raiseResponse, error) {
	until := s.deadline(ctx)
	about(ctx, models.AuditOfRaise, in.ID.String())
	r, err := s.Store.EndRaise(ctx, in.ID, true, actor(ctx))
	if err != nil {
		return nil, err
	}
	return s.raised(ctx, r, until)
}
