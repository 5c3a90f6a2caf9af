package api

import (
	"cmp"
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
)

// operationResponse is an operation as its caller sees it.
type operationResponse struct {
	ID             uuid.UUID             `json:"id" format:"uuid"`
	Status         models.OperationState `json:"status" enum:"running,succeeded,failed" doc:"running: it was accepted, and LiteLLM or the workflow engine is yet to follow."`
	Request        string                `json:"request" example:"POST /api/v1/subscriptions"`
	Actor          string                `json:"actor" doc:"Who asked: a user's id, or an admin key's name."`
	IdempotencyKey string                `json:"idempotencyKey,omitempty"`
	Subject        *operationSubject     `json:"subject,omitempty" doc:"What it did something to, the first thing if there are several; left out while it did nothing."`
	Subjects       []string              `json:"subjects,omitempty" doc:"The ids of all, if there are several."`
	CreatedAt      time.Time             `json:"createdAt"`
	AnsweredAt     *time.Time            `json:"answeredAt,omitempty" doc:"Left out while the same request may be tried again under its key."`
	HTTPStatus     int                   `json:"httpStatus,omitempty" doc:"That it was answered with."`
	Error          *operationError       `json:"error,omitempty" doc:"Why it failed."`
	Links          operationLinks        `json:"links"`
}

type operationSubject struct {
	Type models.AuditResource `json:"type" example:"SUBSCRIPTION" doc:"As in the audit log; SYNC_RUN for a sync."`
	ID   string               `json:"id"`
}

type operationError struct {
	Code    string `json:"code" example:"CONFLICT"`
	Message string `json:"message"`
}

type operationLinks struct {
	Self    string `json:"self"`
	Subject string `json:"subject,omitempty" doc:"Where the subject is read."`
}

// operationPath is where an operation is read.
func operationPath(id uuid.UUID) string { return "/api/v1/operations/" + id.String() }

// subjectPaths are where subjects are read, by their types.
var subjectPaths = map[models.AuditResource]string{
	"SUBSCRIPTION":        "/api/v1/subscriptions/",
	models.AuditOfKey:     "/api/v1/api-keys/",
	models.AuditOfBudget:  "/api/v1/budgets/",
	models.AuditOfUser:    "/api/v1/admin/users/",
	models.SubjectSyncRun: runPath(""),
}

func newOperation(op models.Operation) operationResponse {
	out := operationResponse{
		ID: op.ID, Status: op.State, Request: op.Request, Actor: op.Actor, CreatedAt: op.CreatedAt.UTC(), AnsweredAt: utc(op.AnsweredAt),
		Links: operationLinks{Self: operationPath(op.ID)},
	}
	if op.AnsweredAt != nil || op.State == models.OperationFailed { // else it is that of an attempt before
		out.HTTPStatus = op.Status
	}
	if op.IdempotencyKey != nil {
		out.IdempotencyKey = *op.IdempotencyKey
	}
	for i, s := range op.Subjects {
		if i == 0 {
			out.Subject = &operationSubject{op.SubjectType, s.ID}
			if path := subjectPaths[op.SubjectType]; path != "" {
				out.Links.Subject = path + s.ID
			}
		}
		if len(op.Subjects) > 1 {
			out.Subjects = append(out.Subjects, s.ID)
		}
	}
	if op.State == models.OperationFailed {
		out.Error = &operationError{cmp.Or(op.Code, meanings[models.Conflict].code), op.Failure}
		if op.AnsweredAt == nil && op.AppliedAt == nil && op.Failure == "" {
			out.Error = &operationError{meanings[models.Unavailable].code, "whoever carried it out ended before anything was done; it may be tried again"}
		}
	}
	return out
}

type listOperationsRequest struct {
	Page   int    `query:"page" minimum:"1" maximum:"999999" default:"1"`
	Limit  int    `query:"limit" minimum:"1" maximum:"100" default:"20"`
	Status string `query:"status" enum:"running,succeeded,failed"`
	Actor  string `query:"actor" maxLength:"100" doc:"For who may read the audit log: those of a user's id or an admin key's name, or all. Left out: your own."`
}

type listOperationsResponse struct {
	Body struct {
		Data       []operationResponse `json:"data"`
		Pagination pagination          `json:"pagination"`
	}
}

// listOperations is a page of the caller's operations, the newest first; those of others are for
// who may read the audit log.
func (s *Server) listOperations(ctx context.Context, in *listOperationsRequest) (*listOperationsResponse, error) {
	c := requestOf(ctx).caller
	q := store.OperationQuery{Page: in.Page, Limit: in.Limit, Actor: cmp.Or(in.Actor, c.id), State: models.OperationState(in.Status)}
	if q.Actor != c.id && !c.May("admin:audit") {
		return nil, models.Errorf(models.Forbidden, "Access denied. Required permission: admin:audit")
	}
	if in.Actor == "all" {
		q.Actor = ""
	}
	page, total, err := s.Store.Operations(ctx, q)
	if err != nil {
		return nil, err
	}
	out := &listOperationsResponse{}
	out.Body.Data = make([]operationResponse, 0, len(page))
	for _, op := range page {
		out.Body.Data = append(out.Body.Data, newOperation(op))
	}
	out.Body.Pagination = newPagination(in.Page, in.Limit, total)
	return out, nil
}

type getOperationRequest struct {
	ID uuid.UUID `path:"id" format:"uuid"`
}

type getOperationResponse struct {
	RetryAfter string `header:"Retry-After" doc:"When to look again, in seconds, while it is running."`
	Body       operationResponse
}

// getOperation says how far an operation has come. Somebody else's is NotFound, but for who may
// read the audit log.
func (s *Server) getOperation(ctx context.Context, in *getOperationRequest) (*getOperationResponse, error) {
	op, err := s.Store.Operation(ctx, in.ID)
	if c := requestOf(ctx).caller; err == nil && op.Actor != c.id && !c.May("admin:audit") {
		err = models.Errorf(models.NotFound, "operation %s not found", in.ID)
	}
	if err != nil {
		return nil, err
	}
	out := &getOperationResponse{Body: newOperation(op)}
	if op.State == models.OperationRunning {
		out.RetryAfter = "1"
	}
	return out, nil
}
