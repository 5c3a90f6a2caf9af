package api

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/google/uuid"

	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/workflows"
)

type setUserLimitsRequest struct {
	ID   uuid.UUID `path:"id" format:"uuid"`
	Body struct {
		MaxBudget      optional[models.USD] `json:"maxBudget,omitzero" minimum:"0" maximum:"1000000000" doc:"In dollars, for each budget period; null: unlimited; 0: nothing."`
		TPM            optional[int64]      `json:"tpmLimit,omitzero" minimum:"0" maximum:"9007199254740991" doc:"Tokens a minute; null: unlimited."`
		RPM            optional[int64]      `json:"rpmLimit,omitzero" minimum:"0" maximum:"9007199254740991" doc:"Requests a minute; null: unlimited."`
		BudgetDuration optional[string]     `json:"budgetDuration,omitzero" pattern:"^(daily|weekly|monthly|yearly|[1-9][0-9]{0,8}([smhd]|mo))$" patternDescription:"daily, weekly, monthly, yearly, or such as 12h, 30d or 1mo" doc:"After which the budget begins anew; null: never."`
	}
}

type userLimitsResponse struct {
	Status int
	Body   struct {
		ID             uuid.UUID   `json:"id" format:"uuid"`
		MaxBudget      *models.USD `json:"maxBudget" nullable:"true" doc:"Null: unlimited."`
		TPM            *int64      `json:"tpmLimit" nullable:"true" doc:"Null: unlimited."`
		RPM            *int64      `json:"rpmLimit" nullable:"true" doc:"Null: unlimited."`
		BudgetDuration *string     `json:"budgetDuration" nullable:"true" doc:"Null: it never begins anew."`
		UpdatedAt      time.Time   `json:"updatedAt"`
	}
}

// setUserLimits changes what a user may spend, and how fast, over all his keys; what is left out
// stays. It is 200 when LiteLLM was seen to hold him so.
func (s *Server) setUserLimits(ctx context.Context, in *setUserLimitsRequest) (*userLimitsResponse, error) {
	until := s.deadline(ctx)
	u, err := s.Store.SetUserLimits(ctx, in.ID, models.UserLimitsChange{
		MaxBudget: asked(in.Body.MaxBudget), TPM: asked(in.Body.TPM), RPM: asked(in.Body.RPM), BudgetDuration: asked(in.Body.BudgetDuration),
	}, actor(ctx))
	if err != nil {
		return nil, err
	}
	if err := s.judgeOf(ctx, models.BudgetOfUser, in.ID, until); err != nil {
		return nil, err
	}
	if u, err = s.followUser(ctx, u, until); err != nil {
		return nil, err
	}
	out := &userLimitsResponse{Status: http.StatusOK}
	b := &out.Body
	b.ID, b.MaxBudget, b.TPM, b.RPM, b.UpdatedAt = u.ID, u.Limits.MaxBudget, u.Limits.TPM, u.Limits.RPM, u.UpdatedAt.UTC()
	if u.Limits.BudgetDuration != "" {
		b.BudgetDuration = &u.Limits.BudgetDuration
	}
	if !u.Settled() {
		out.Status = http.StatusAccepted
	}
	return out, nil
}

// judgeOf has the budget of a user or a key judged that was changed, if it has to be.
func (s *Server) judgeOf(ctx context.Context, of models.BudgetSubject, id uuid.UUID, until time.Time) error {
	b, err := s.Store.BudgetOf(ctx, of, id, "")
	if err == nil && !settled(b) {
		_, err = s.enforce(ctx, b.ID, until)
	}
	return err
}

// followUser has LiteLLM follow a user who has changed, if it has to, and returns him as he then is.
// It is Conflict when LiteLLM refuses him as he is now. What else goes wrong is no failure of the
// request's: the row is the wish, and Sweep sees to it.
func (s *Server) followUser(ctx context.Context, u models.User, until time.Time) (models.User, error) {
	if u.Settled() {
		return u, nil
	}
	run, err := workflows.Nudge(ctx, s.Temporal, workflows.ReconcileUser, workflows.ReconcileUserInput{UserID: u.ID})
	if err == nil {
		_, err = run.Wait(ctx, time.Until(until))
	}
	now, lost := s.Store.User(ctx, u.ID)
	switch {
	case lost != nil:
		return u, lost
	case err != nil && now.Status() == models.UserFailed:
		return now, models.Wrap(models.Conflict, err, "LiteLLM refuses: %s", now.Failure)
	case err != nil && models.KindOf(err) != models.Pending:
		slog.WarnContext(ctx, "LiteLLM follows a user later", "user_id", u.ID, "request_id", requestOf(ctx).id, "error", err)
	}
	return now, nil
}

// resetUserSpend has what a user spent in his budget period counted from zero. It is 200 when LiteLLM
// was seen to count so.
func (s *Server) resetUserSpend(ctx context.Context, in *userRequest) (*resetSpendResponse, error) {
	until := s.deadline(ctx)
	u, err := s.Store.ResetUserSpend(ctx, in.ID, actor(ctx))
	if err != nil {
		return nil, err
	}
	at := u.UpdatedAt.UTC()
	if err := s.judgeOf(ctx, models.BudgetOfUser, in.ID, until); err != nil {
		return nil, err
	}
	if u, err = s.followUser(ctx, u, until); err != nil {
		return nil, err
	}
	b, err := s.Store.BudgetOf(ctx, models.BudgetOfUser, in.ID, "")
	if err != nil {
		return nil, err
	}
	out := &resetSpendResponse{Status: http.StatusOK}
	out.Body.ID, out.Body.CurrentSpend, out.Body.ResetAt = in.ID, b.Spent, at
	if u.Resets() {
		out.Status = http.StatusAccepted
	}
	return out, nil
}
