package api

import (
	"context"
	"net/http"
	"time"

	"github.com/google/uuid"

	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
)

// BudgetResponse is a budget as it stands now. It is exported for huma; see AuditFilter.
type BudgetResponse struct {
	ID          uuid.UUID            `json:"id" format:"uuid"`
	SubjectType models.BudgetSubject `json:"subjectType" enum:"user,team,key,subscription,key_model"`
	SubjectID   uuid.UUID            `json:"subjectId" format:"uuid" doc:"Of key_model that of the key."`
	SubjectName string               `json:"subjectName" doc:"Of a subscription its model, of key_model the key's."`
	ModelID     string               `json:"modelId,omitempty" doc:"Of key_model."`
	OwnerID     *uuid.UUID           `json:"ownerId,omitempty" format:"uuid" doc:"Whose it is; left out: a team's."`
	Owner       string               `json:"owner,omitempty" doc:"His username."`

	Amount           *models.USD       `json:"amount,omitempty" doc:"In dollars, for each period; left out: unlimited; 0: nothing."`
	SoftAmount       *models.USD       `json:"softAmount,omitempty" doc:"Whoever spends more is told of it."`
	Raised           models.USD        `json:"raised" doc:"By the raises that are active."`
	Limit            *models.USD       `json:"limit,omitempty" doc:"The amount with what it is raised by."`
	Period           string            `json:"period" example:"monthly" doc:"Empty: it never begins anew."`
	Rolling          bool              `json:"rolling" doc:"Periods begin when the budget did, and not by the calendar."`
	TimeZone         string            `json:"timeZone" example:"Europe/Prague" doc:"Of that calendar."`
	Thresholds       []budgetThreshold `json:"thresholds,omitempty" doc:"Left out: those of the house."`
	ThrottleRPM      *int64            `json:"throttleRpm,omitempty" doc:"Requests a minute of what is throttled."`
	ThrottleTPM      *int64            `json:"throttleTpm,omitempty" doc:"Tokens a minute likewise."`
	HoldAfterSeconds float64           `json:"holdAfterSeconds" doc:"How long a person may prevent a hold."`

	StartsAt  time.Time  `json:"startsAt"`
	EndsAt    *time.Time `json:"endsAt,omitempty" doc:"When it begins anew; left out: never."`
	Spent     models.USD `json:"spent" doc:"In this period, from the ledger."`
	Reached   int        `json:"reached" doc:"The highest threshold that was told of in this period, in percent."`
	Refused   bool       `json:"refused" doc:"Its subject is refused now."`
	Held      bool       `json:"held" doc:"It is used up, and its subject may spend nothing until it begins anew or is raised."`
	Throttled bool       `json:"throttled" doc:"Its subject is slowed."`
	HoldDueAt *time.Time `json:"holdDueAt,omitempty" doc:"When a hold begins that a person may prevent."`
	Pardoned  bool       `json:"pardoned" doc:"A person prevented it, or lifted it, for this period."`
	Settled   bool       `json:"settled" doc:"Whether it was judged since it changed, and LiteLLM was seen to follow."`
	CreatedAt time.Time  `json:"createdAt"`
	UpdatedAt time.Time  `json:"updatedAt"`
}

// budgetThreshold is models.BudgetThreshold as it is sent.
type budgetThreshold struct {
	Percent int                   `json:"percent" minimum:"1" maximum:"1000"`
	Actions []models.BudgetAction `json:"actions" maxItems:"3" enum:"notify,throttle,hold" doc:"It is told of in any case."`
}

func newBudget(v *store.BudgetView) BudgetResponse {
	now := time.Now()
	b := v.On(now)
	out := BudgetResponse{
		ID: b.ID, SubjectType: b.SubjectType, SubjectID: b.SubjectID, SubjectName: v.SubjectName, ModelID: b.ModelID, OwnerID: v.OwnerID, Owner: v.Owner,
		Amount: b.Amount, SoftAmount: b.SoftAmount, Raised: b.Raised, Limit: b.Limit(), Period: b.Period, Rolling: b.Rolling, TimeZone: b.TimeZone,
		ThrottleRPM: b.ThrottleRPM, ThrottleTPM: b.ThrottleTPM, HoldAfterSeconds: b.HoldAfter.Seconds(),
		StartsAt: b.StartsAt.UTC(), EndsAt: utc(b.EndsAt), Spent: b.Spent, Reached: b.Reached, Refused: b.Refused(now), Held: b.Held, Throttled: b.Throttled,
		HoldDueAt: utc(b.HoldDueAt), Pardoned: b.Pardoned, Settled: settled(v.Budget), CreatedAt: b.CreatedAt.UTC(), UpdatedAt: b.UpdatedAt.UTC(),
	}
	for _, t := range b.Thresholds {
		out.Thresholds = append(out.Thresholds, budgetThreshold(t))
	}
	return out
}

// settled reports whether a budget was judged, and LiteLLM seen to follow.
func settled(b models.Budget) bool { return !b.Due && b.ObservedGeneration >= b.Generation }

type listBudgetsRequest struct {
	Page        int       `query:"page" minimum:"1" maximum:"9999999" default:"1"`
	Limit       int       `query:"limit" minimum:"1" maximum:"100" default:"20"`
	SubjectType string    `query:"subjectType" enum:"user,team,key,subscription,key_model"`
	SubjectID   uuid.UUID `query:"subjectId" format:"uuid"`
	OwnerID     uuid.UUID `query:"ownerId" format:"uuid" doc:"Whose they are, or whose API keys' or subscriptions'."`
	Limited     string    `query:"limited" enum:"true,false" default:"true" doc:"false: also those that bound nothing, and only count."`
	Held        string    `query:"held" enum:"true,false" doc:"Left out: both."`
}

type listBudgetsResponse struct {
	Body struct {
		Data       []BudgetResponse `json:"data"`
		Pagination pagination       `json:"pagination"`
	}
}

// listBudgets is a page of the budgets, the newest first.
func (s *Server) listBudgets(ctx context.Context, in *listBudgetsRequest) (*listBudgetsResponse, error) {
	return s.budgetPage(ctx, store.BudgetQuery{
		Page: in.Page, Limit: in.Limit, SubjectType: models.BudgetSubject(in.SubjectType), SubjectID: in.SubjectID, OwnerID: in.OwnerID,
		OnlyLimited: in.Limited == "true", Held: yesNo(in.Held),
	})
}

type listMyBudgetsRequest struct {
	Page    int    `query:"page" minimum:"1" maximum:"9999999" default:"1"`
	Limit   int    `query:"limit" minimum:"1" maximum:"100" default:"20"`
	Limited string `query:"limited" enum:"true,false" default:"true" doc:"false: also those that bound nothing, and only count."`
}

// listMyBudgets is a page of the caller's budgets, and those of his keys and subscriptions.
func (s *Server) listMyBudgets(ctx context.Context, in *listMyBudgetsRequest) (*listBudgetsResponse, error) {
	return s.budgetPage(ctx, store.BudgetQuery{
		Page: in.Page, Limit: in.Limit, OwnerID: requestOf(ctx).caller.UserID, OnlyLimited: in.Limited == "true",
	})
}

func (s *Server) budgetPage(ctx context.Context, q store.BudgetQuery) (*listBudgetsResponse, error) {
	page, total, err := s.Store.Budgets(ctx, q)
	if err != nil {
		return nil, err
	}
	out := &listBudgetsResponse{}
	out.Body.Data = make([]BudgetResponse, len(page))
	for i := range page {
		out.Body.Data[i] = newBudget(&page[i])
	}
	out.Body.Pagination = newPagination(q.Page, q.Limit, total)
	return out, nil
}

type budgetRequest struct {
	ID uuid.UUID `path:"id" format:"uuid"`
}

type budgetResponse struct {
	Status int
	Body   BudgetResponse
}

func (s *Server) getBudget(ctx context.Context, in *budgetRequest) (*budgetResponse, error) {
	v, err := s.Store.BudgetView(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	return &budgetResponse{http.StatusOK, newBudget(&v)}, nil
}

type listBudgetPeriodsRequest struct {
	ID    uuid.UUID `path:"id" format:"uuid"`
	Page  int       `query:"page" minimum:"1" maximum:"9999999" default:"1"`
	Limit int       `query:"limit" minimum:"1" maximum:"100" default:"20"`
}

type listBudgetPeriodsResponse struct {
	Body struct {
		Data       []budgetPeriod `json:"data"`
		Pagination pagination     `json:"pagination"`
	}
}

// budgetPeriod is a period that is over.
type budgetPeriod struct {
	StartsAt time.Time   `json:"startsAt"`
	EndsAt   time.Time   `json:"endsAt"`
	Amount   *models.USD `json:"amount,omitempty" doc:"In dollars; left out: it was unlimited."`
	Raised   models.USD  `json:"raised"`
	Spent    models.USD  `json:"spent" doc:"When it ended; what came later is in the ledger alone."`
	Reached  int         `json:"reached" doc:"The highest threshold that was told of, in percent."`
	Held     bool        `json:"held" doc:"Its subject could spend nothing at the end."`
}

// listBudgetPeriods is a page of the periods of a budget that are over and in which something was
// spent, the last first.
func (s *Server) listBudgetPeriods(ctx context.Context, in *listBudgetPeriodsRequest) (*listBudgetPeriodsResponse, error) {
	if _, err := s.Store.Budget(ctx, in.ID); err != nil {
		return nil, err
	}
	page, total, err := s.Store.BudgetPeriods(ctx, in.ID, in.Page, in.Limit)
	if err != nil {
		return nil, err
	}
	out := &listBudgetPeriodsResponse{}
	out.Body.Data = make([]budgetPeriod, len(page))
	for i, p := range page {
		out.Body.Data[i] = budgetPeriod{p.StartsAt.UTC(), p.EndsAt.UTC(), p.Amount, p.Raised, p.Spent, p.Reached, p.Held}
	}
	out.Body.Pagination = newPagination(in.Page, in.Limit, total)
	return out, nil
}

type usageBudgetResponse struct{ Body usageBudget }

// usageBudget is the caller's own budget, as the web UI shows it.
type usageBudget struct {
	MaxBudget      *models.USD `json:"maxBudget,omitempty" doc:"In dollars, with what it is raised by; left out: unlimited."`
	CurrentSpend   models.USD  `json:"currentSpend" doc:"In this period, from the ledger."`
	BudgetDuration string      `json:"budgetDuration,omitempty" doc:"Left out: it never begins anew."`
	BudgetResetAt  *time.Time  `json:"budgetResetAt,omitempty" doc:"When it begins anew."`
	SoftBudget     *models.USD `json:"softBudget,omitempty" doc:"Whoever spends more is told of it."`
	Raised         *models.USD `json:"raised,omitempty"`
	Reached        int         `json:"reached,omitempty" doc:"The highest threshold that was told of in this period, in percent."`
	Held           bool        `json:"held,omitempty" doc:"It is used up: your keys may spend nothing."`
	Throttled      bool        `json:"throttled,omitempty" doc:"Your keys are slowed."`
	HoldDueAt      *time.Time  `json:"holdDueAt,omitempty" doc:"When your keys will be held, unless a person prevents it."`
}

// usageBudget is what the caller spent of his budget.
func (s *Server) usageBudget(ctx context.Context, _ *struct{}) (*usageBudgetResponse, error) {
	row, err := s.Store.BudgetOf(ctx, models.BudgetOfUser, requestOf(ctx).caller.UserID, "")
	if err != nil {
		return nil, err
	}
	b := row.On(time.Now())
	out := &usageBudgetResponse{usageBudget{
		MaxBudget: b.Limit(), CurrentSpend: b.Spent, BudgetDuration: b.Period, BudgetResetAt: utc(b.EndsAt), SoftBudget: b.SoftAmount,
		Reached: b.Reached, Held: b.Held, Throttled: b.Throttled, HoldDueAt: utc(b.HoldDueAt),
	}}
	if b.Raised > 0 {
		out.Body.Raised = &b.Raised
	}
	return out, nil
}
