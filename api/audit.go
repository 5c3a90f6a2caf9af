package api

import (
	"context"
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
)

// AuditFilter selects rows of the audit log. It is exported for huma, which reads no other
// embedded struct.
type AuditFilter struct {
	Action       string `query:"action" json:"action,omitempty" maxLength:"100" example:"LOGIN"`
	ResourceType string `query:"resourceType" json:"resourceType,omitempty" maxLength:"100" example:"USER"`
	ResourceID   string `query:"resourceId" json:"resourceId,omitempty" maxLength:"500"`
	UserID       string `query:"userId" json:"userId,omitempty" maxLength:"100" doc:"Who did it: a user's id, an admin key's name, system or anonymous."`
	StartDate    string `query:"startDate" json:"startDate,omitempty" maxLength:"50" example:"2026-01-31" doc:"From then on: a time, or a day of UTC."`
	EndDate      string `query:"endDate" json:"endDate,omitempty" maxLength:"50" doc:"Until then; a day is taken whole."`
	Search       string `query:"search" json:"search,omitempty" maxLength:"500" doc:"Anywhere in the action, the resource, or the name or e-mail address of who did it."`
	Exclude      string `query:"excludeResourceTypes" json:"excludeResourceTypes,omitempty" maxLength:"500" doc:"Not to those, separated by commas."`
	Failed       bool   `query:"failed" json:"failed,omitempty" doc:"Only what was refused or went wrong."`
}

// query is the filter as the store knows it; Invalid, when a date is none.
func (f AuditFilter) query() (store.AuditQuery, error) {
	q := store.AuditQuery{
		Actor: f.UserID, Action: models.AuditAction(f.Action), Resource: models.AuditResource(f.ResourceType), ResourceID: f.ResourceID,
		But: resources(f.Exclude), Failed: f.Failed, Search: f.Search,
	}
	var err error
	if q.From, _, err = moment(f.StartDate, "startDate"); err != nil {
		return q, err
	}
	var day bool
	if q.Until, day, err = moment(f.EndDate, "endDate"); err != nil || q.Until.IsZero() {
		return q, err
	}
	if day {
		q.Until = q.Until.AddDate(0, 0, 1)
	} else {
		q.Until = q.Until.Add(time.Microsecond) // it is meant, too
	}
	return q, nil
}

// moment reads a time or a day; an empty text is no time.
func moment(text, field string) (at time.Time, day bool, err error) {
	if text == "" {
		return time.Time{}, false, nil
	}
	if at, err = time.Parse(time.RFC3339, text); err == nil {
		return at, false, nil
	}
	if at, err = time.Parse(time.DateOnly, text); err == nil {
		return at, true, nil
	}
	return time.Time{}, false, models.Errorf(models.Invalid, "must be a time such as 2026-01-31T12:00:00Z, or a day such as 2026-01-31").On(field)
}

// resources reads a list with commas.
func resources(list string) (out []models.AuditResource) {
	for name := range strings.SplitSeq(list, ",") {
		if name = strings.TrimSpace(name); name != "" {
			out = append(out, models.AuditResource(name))
		}
	}
	return out
}

// auditEntry is a row of the audit log as LiteMaaS shows it, and more.
type auditEntry struct {
	ID           string                     `json:"id" doc:"A number; they count up without gaps."`
	Actor        string                     `json:"actor" doc:"Who did it: a user's id, an admin key's name, system or anonymous."`
	Via          string                     `json:"via" doc:"What he came by: api, admin-key, cli, or the workflow that acted."`
	UserID       *string                    `json:"userId" nullable:"true" doc:"Of the actor, if he is a user."`
	Username     *string                    `json:"username" nullable:"true"`
	Email        *string                    `json:"email" nullable:"true"`
	Action       models.AuditAction         `json:"action"`
	ResourceType models.AuditResource       `json:"resourceType"`
	ResourceID   *string                    `json:"resourceId" nullable:"true"`
	Success      bool                       `json:"success"`
	ErrorMessage *string                    `json:"errorMessage" nullable:"true" doc:"Why it was refused or went wrong."`
	Metadata     map[string]json.RawMessage `json:"metadata" doc:"Details, and under before and after what changed."`
	IP           *string                    `json:"ipAddress" nullable:"true"`
	UserAgent    *string                    `json:"userAgent" nullable:"true"`
	RequestID    *string                    `json:"requestId" nullable:"true"`
	SessionID    *string                    `json:"sessionId" nullable:"true"`
	CreatedAt    time.Time                  `json:"createdAt"`
}

func newAuditEntry(e *models.AuditEntry) auditEntry {
	some := func(text string) *string {
		if text == "" {
			return nil
		}
		return &text
	}
	out := auditEntry{
		ID: auditID(e.ID), Actor: e.Actor, Via: e.Via, Username: some(e.Username), Email: some(e.Email),
		Action: e.Action, ResourceType: e.ResourceType, ResourceID: some(e.ResourceID), Success: e.Success, ErrorMessage: some(e.Failure),
		Metadata: metadata(e), IP: some(e.IP), UserAgent: some(e.UserAgent), RequestID: some(e.RequestID), SessionID: e.SessionID, CreatedAt: e.At.UTC(),
	}
	if _, err := uuid.Parse(e.Actor); err == nil {
		out.UserID = &e.Actor
	}
	return out
}

func auditID(id int64) string { return strconv.FormatInt(id, 10) }

// metadata is the details of a row, with what changed, where the web UI shows them.
func metadata(e *models.AuditEntry) map[string]json.RawMessage {
	out := map[string]json.RawMessage{}
	if json.Unmarshal(e.Detail, &out) != nil || out == nil { // no object
		out = map[string]json.RawMessage{"detail": e.Detail}
	}
	if e.Before != nil {
		out["before"] = e.Before
	}
	if e.After != nil {
		out["after"] = e.After
	}
	return out
}

type listAuditRequest struct {
	Page  int `query:"page" minimum:"1" maximum:"9999999" default:"1"`
	Limit int `query:"limit" minimum:"1" maximum:"100" default:"20"`
	AuditFilter
}

type listAuditResponse struct {
	Body struct {
		Data       []auditEntry `json:"data"`
		Pagination pagination   `json:"pagination"`
	}
}

// listAudit is a page of the audit log, the newest first.
func (s *Server) listAudit(ctx context.Context, in *listAuditRequest) (*listAuditResponse, error) {
	q, err := in.query()
	if err != nil {
		return nil, err
	}
	q.Page, q.Limit = in.Page, in.Limit
	entries, total, err := s.Store.AuditLog(ctx, q)
	if err != nil {
		return nil, err
	}
	out := &listAuditResponse{}
	out.Body.Data = make([]auditEntry, 0, len(entries))
	for i := range entries {
		out.Body.Data = append(out.Body.Data, newAuditEntry(&entries[i]))
	}
	out.Body.Pagination = newPagination(in.Page, in.Limit, total)
	return out, nil
}

type listAuditActionsRequest struct {
	ResourceType string `query:"resourceType" maxLength:"100"`
	Exclude      string `query:"excludeResourceTypes" maxLength:"500" doc:"Not to those, separated by commas."`
}

type listAuditActionsResponse struct {
	Body struct {
		Actions []string `json:"actions"`
	}
}

func (s *Server) listAuditActions(ctx context.Context, in *listAuditActionsRequest) (*listAuditActionsResponse, error) {
	out := &listAuditActionsResponse{}
	var err error
	out.Body.Actions, err = s.Store.AuditActions(ctx, models.AuditResource(in.ResourceType), resources(in.Exclude))
	return out, err
}

type listAuditCategoriesResponse struct {
	Body struct {
		Categories []string `json:"categories"`
	}
}

func (s *Server) listAuditCategories(ctx context.Context, _ *struct{}) (*listAuditCategoriesResponse, error) {
	out := &listAuditCategoriesResponse{}
	var err error
	out.Body.Categories, err = s.Store.AuditCategories(ctx)
	return out, err
}
