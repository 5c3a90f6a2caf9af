package api

import (
	"context"
	"net/http"
	"time"

	"github.com/google/uuid"

	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
)

// UserResponse is a user in a list. It is exported for huma; see AuditFilter.
type UserResponse struct {
	ID          uuid.UUID  `json:"id" format:"uuid"`
	Username    string     `json:"username"`
	Email       string     `json:"email"`
	FullName    string     `json:"fullName,omitempty"`
	Roles       []string   `json:"roles"`
	IsActive    bool       `json:"isActive"`
	LastLoginAt *time.Time `json:"lastLoginAt,omitempty"`
	CreatedAt   time.Time  `json:"createdAt"`
}

func newUser(u models.User) UserResponse {
	return UserResponse{
		u.ID, u.Username, u.Email, u.FullName, append([]string{}, u.Roles...), u.Active(), utc(u.LastLoginAt), u.CreatedAt.UTC(),
	}
}

type listUsersRequest struct {
	Page     int    `query:"page" minimum:"1" maximum:"999999" default:"1"`
	Limit    int    `query:"limit" minimum:"1" maximum:"100" default:"20"`
	Search   string `query:"search" maxLength:"500" doc:"Anywhere in username, e-mail address or full name."`
	Role     string `query:"role" maxLength:"63"`
	IsActive string `query:"isActive" enum:"true,false" doc:"Left out: both."`
}

type listUsersResponse struct {
	Body struct {
		Data       []UserResponse `json:"data"`
		Pagination pagination     `json:"pagination"`
	}
}

// listUsers is a page of the users, the newest first.
func (s *Server) listUsers(ctx context.Context, in *listUsersRequest) (*listUsersResponse, error) {
	q := store.UserQuery{Page: in.Page, Limit: in.Limit, Search: in.Search, Role: in.Role}
	if in.IsActive != "" {
		q.Active = new(in.IsActive == "true")
	}
	users, total, err := s.Store.Users(ctx, q)
	if err != nil {
		return nil, err
	}
	out := &listUsersResponse{}
	out.Body.Data = make([]UserResponse, 0, len(users))
	for _, u := range users {
		out.Body.Data = append(out.Body.Data, newUser(u))
	}
	out.Body.Pagination = newPagination(in.Page, in.Limit, total)
	return out, nil
}

type setUserRolesRequest struct {
	ID   uuid.UUID `path:"id" format:"uuid"`
	Body struct {
		Roles []string `json:"roles" maxItems:"50"`
	}
}

// setUserRoles makes the roles of a user exactly these, from the answer on.
func (s *Server) setUserRoles(ctx context.Context, in *setUserRolesRequest) (*profileResponse, error) {
	u, err := s.Store.SetUserRoles(ctx, in.ID, in.Body.Roles, actor(ctx), requestOf(ctx).caller.Permissions)
	if err != nil {
		return nil, err
	}
	return newProfile(u), nil
}

type listUserNamesResponse struct {
	Body struct {
		Users []userName `json:"users"`
		Total int        `json:"total"`
	}
}

type userName struct {
	ID       uuid.UUID `json:"userId" format:"uuid"`
	Username string    `json:"username"`
	Email    string    `json:"email"`
}

// listUserNames is all people by name, to choose from.
func (s *Server) listUserNames(ctx context.Context, _ *struct{}) (*listUserNamesResponse, error) {
	names, err := s.Store.UserNames(ctx)
	if err != nil {
		return nil, err
	}
	out := &listUserNamesResponse{}
	out.Body.Users, out.Body.Total = make([]userName, 0, len(names)), len(names)
	for _, n := range names {
		out.Body.Users = append(out.Body.Users, userName{n.ID, n.Username, n.Email})
	}
	return out, nil
}

// userDetails is a user as admins see him. What is not known is left out.
type userDetails struct {
	UserResponse
	EmailVerified  bool              `json:"emailVerified" doc:"By the identity provider."`
	Provider       string            `json:"provider" doc:"Who vouches for him."`
	Grants         []grant           `json:"grants" doc:"His roles, by who gave them."`
	Holds          []models.Hold     `json:"holds" doc:"Why he may do nothing now; none while he is active."`
	MaxBudget      *models.USD       `json:"maxBudget,omitempty" doc:"In dollars, for each budget period; left out: unlimited."`
	BudgetDuration string            `json:"budgetDuration,omitempty"`
	TPMLimit       *int64            `json:"tpmLimit,omitempty" doc:"Tokens a minute; left out: unlimited."`
	RPMLimit       *int64            `json:"rpmLimit,omitempty" doc:"Requests a minute; left out: unlimited."`
	SyncStatus     models.UserStatus `json:"syncStatus" enum:"pending,synced,error" doc:"How far LiteLLM agrees."`
	SyncError      string            `json:"syncError,omitempty" doc:"Why LiteLLM refuses him, in words."`
}

type grant struct {
	Role      string             `json:"role"`
	Source    models.GrantSource `json:"source" enum:"idp,manual" doc:"What the identity provider gave goes when it no longer says so, at a sign-in."`
	GrantedBy string             `json:"grantedBy"`
	GrantedAt time.Time          `json:"grantedAt"`
}

type userRequest struct {
	ID uuid.UUID `path:"id" format:"uuid"`
}

type userDetailsResponse struct {
	Status int
	Body   userDetails
}

func (s *Server) getUser(ctx context.Context, in *userRequest) (*userDetailsResponse, error) {
	u, err := s.Store.User(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	return s.details(ctx, u)
}

func (s *Server) details(ctx context.Context, u models.User) (*userDetailsResponse, error) {
	grants, err := s.Store.Grants(ctx, u.ID)
	if err != nil {
		return nil, err
	}
	d := userDetails{
		UserResponse: newUser(u), EmailVerified: u.EmailVerified, Provider: u.Provider, Grants: make([]grant, 0, len(grants)),
		Holds: append([]models.Hold{}, u.Holds...), MaxBudget: u.Limits.MaxBudget, BudgetDuration: u.Limits.BudgetDuration,
		TPMLimit: u.Limits.TPM, RPMLimit: u.Limits.RPM, SyncStatus: u.Status(),
	}
	if d.SyncStatus == models.UserFailed {
		d.SyncError = u.Failure
	}
	for _, g := range grants {
		d.Grants = append(d.Grants, grant{g.RoleID, g.Source, g.GrantedBy, g.GrantedAt.UTC()})
	}
	return &userDetailsResponse{http.StatusOK, d}, nil
}
