package api

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/google/uuid"

	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
	"github.com/litemaas/litemaas/workflows"
)

type updateBudgetRequest struct {
	ID   uuid.UUID `path:"id" format:"uuid"`
	Body struct {
		Amount           optional[models.USD]        `json:"amount,omitzero" minimum:"0" maximum:"1000000000" doc:"In dollars, for each period; null: unlimited; 0: nothing."`
		SoftAmount       optional[models.USD]        `json:"softAmount,omitzero" minimum:"0" maximum:"1000000000" doc:"Whoever spends more is told of it; null: nobody is."`
		Period           optional[string]            `json:"period,omitzero" pattern:"^(daily|weekly|monthly|yearly|[1-9][0-9]{0,8}([smhd]|mo))$" patternDescription:"daily, weekly, monthly, yearly, or such as 12h, 30d or 1mo" doc:"Null: it never begins anew."`
		Rolling          *bool                       `json:"rolling,omitempty" doc:"Periods begin when the budget did, and not by the calendar."`
		TimeZone         *string                     `json:"timeZone,omitempty" maxLength:"100" example:"Europe/Prague" doc:"Of that calendar."`
		Thresholds       optional[[]budgetThreshold] `json:"thresholds,omitzero" maxItems:"20" doc:"Null: those of the house."`
		ThrottleRPM      optional[int64]             `json:"throttleRpm,omitzero" minimum:"0" maximum:"9007199254740991" doc:"Requests a minute of what is throttled."`
		ThrottleTPM      optional[int64]             `json:"throttleTpm,omitzero" minimum:"0" maximum:"9007199254740991" doc:"Tokens a minute likewise."`
		HoldAfterSeconds *float64                    `json:"holdAfterSeconds,omitempty" minimum:"0" maximum:"604800" doc:"How long a person may prevent a hold."`
	}
}

// updateBudget changes a budget; what is left out stays. It is 200 when it was judged as it is now,
// and LiteLLM seen to follow.
func (s *Server) updateBudget(ctx context.Context, in *updateBudgetRequest) (*budgetResponse, error) {
	b, until := &in.Body, s.deadline(ctx)
	change := models.BudgetChange{
		Amount: asked(b.Amount), SoftAmount: asked(b.SoftAmount), Period: asked(b.Period), Rolling: b.Rolling, TimeZone: b.TimeZone,
		Thresholds:  models.Asked[[]models.BudgetThreshold]{Named: b.Thresholds.sent},
		ThrottleRPM: asked(b.ThrottleRPM), ThrottleTPM: asked(b.ThrottleTPM),
	}
	if list := b.Thresholds.value; list != nil {
		to := make([]models.BudgetThreshold, len(*list))
		for i, t := range *list {
			to[i] = models.BudgetThreshold(t)
		}
		change.Thresholds.Value = &to
	}
	if b.HoldAfterSeconds != nil {
		change.HoldAfter = new(time.Duration(*b.HoldAfterSeconds * float64(time.Second)))
	}
	set, err := s.Store.SetBudget(ctx, in.ID, change, actor(ctx))
	if err != nil {
		return nil, err
	}
	followed, err := s.followSubject(ctx, set, until)
	if err != nil {
		return nil, err
	}
	out, err := s.enforced(ctx, in.ID, until)
	if err == nil && !followed {
		out.Status = http.StatusAccepted
	}
	return out, err
}

// followSubject has LiteLLM follow the user or the key of a budget whose amount or period changed,
// and reports whether it was seen to. It is Conflict when LiteLLM refuses him, or it, as he is now.
func (s *Server) followSubject(ctx context.Context, b models.Budget, until time.Time) (bool, error) {
	switch b.SubjectType {
	case models.BudgetOfUser:
		u, err := s.Store.User(ctx, b.SubjectID)
		if err == nil {
			u, err = s.followUser(ctx, u, until)
		}
		return u.Settled(), err
	case models.BudgetOfKey:
		k, err := s.Store.Key(ctx, b.SubjectID)
		if err == nil {
			err = s.followKey(ctx, k, until)
		}
		if err == nil {
			k, err = s.Store.Key(ctx, b.SubjectID)
		}
		return k.Settled(), err
	case models.BudgetOfTeam, models.BudgetOfSubscription, models.BudgetOfKeyModel: // we alone know of those
	}
	return true, nil
}

// enforced is a budget after it was changed: judged, and followed by LiteLLM, as far as that is done
// in time. A hold that is lifted is lifted in the answer.
func (s *Server) enforced(ctx context.Context, id uuid.UUID, until time.Time) (*budgetResponse, error) {
	v, err := s.enforce(ctx, id, until)
	if err != nil {
		return nil, err
	}
	out := &budgetResponse{http.StatusOK, newBudget(&v)}
	if !out.Body.Settled {
		out.Status = http.StatusAccepted
	}
	return out, nil
}

// enforce has a budget judged that was changed, and LiteLLM follow if nothing is held or slowed any
// more: else the run goes on until the period ends. What goes wrong behind the commit is no failure
// of the request's: the row is the wish, and Sweep sees to it.
func (s *Server) enforce(ctx context.Context, id uuid.UUID, until time.Time) (store.BudgetView, error) {
	run, err := workflows.Nudge(ctx, s.Temporal, workflows.EnforceBudgets, workflows.EnforceBudgetsInput{})
	if err == nil {
		_, err = run.Wait(ctx, time.Until(until))
	}
	judgedLater(ctx, id, err)
	v, err := s.Store.BudgetView(ctx, id)
	if err != nil || settled(v.Budget) || v.Due || v.Held || v.Throttled || v.HoldDueAt != nil {
		return v, err
	}
	var in workflows.EnforceBudgetInput
	in.ID, in.SubjectType, in.SubjectID, in.StartsAt = v.ID, v.SubjectType, v.SubjectID, v.StartsAt.UTC()
	one, err := workflows.Nudge(ctx, s.Temporal, workflows.EnforceBudget, in)
	if err == nil {
		_, err = one.Wait(ctx, time.Until(until))
	}
	judgedLater(ctx, id, err)
	return s.Store.BudgetView(ctx, id)
}

func judgedLater(ctx context.Context, id uuid.UUID, err error) {
	if err != nil && models.KindOf(err) != models.Pending {
		slog.WarnContext(ctx, "a budget is judged later", "budget_id", id, "request_id", requestOf(ctx).id, "error", err)
	}
}

type pardonBudgetRequest struct {
	ID   uuid.UUID `path:"id" format:"uuid"`
	Body *struct {
		Reason string `json:"reason,omitempty" maxLength:"500" pattern:"^[^\\x00]*$" patternDescription:"text" doc:"For the audit log."`
	}
}

// pardonBudget prevents a hold that has not begun, or lifts one, for this period.
func (s *Server) pardonBudget(ctx context.Context, in *pardonBudgetRequest) (*budgetResponse, error) {
	until, why := s.deadline(ctx), ""
	if in.Body != nil {
		why = in.Body.Reason
	}
	if _, err := s.Store.PardonBudget(ctx, in.ID, why, actor(ctx)); err != nil {
		return nil, err
	}
	return s.enforced(ctx, in.ID, until)
}
