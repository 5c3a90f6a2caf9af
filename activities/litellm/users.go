package litellm

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"github.com/litemaas/litemaas/models"
)

// UserSpec is what a user is to be.
type UserSpec struct {
	ID    string
	Email string // unique, in any letter case; LiteLLM checks that only in CreateUser
	Alias string
	Role  string // one of the models.ProxyRole constants

	MaxBudget      *models.USD // for each budget period, over all keys; nil: unlimited
	BudgetDuration string      // such as 30d, on LiteLLM's calendar; empty: never reset
	TPM, RPM       *int64      // tokens and requests a minute, over all keys; nil: unlimited

	Models   []string       // that the user's keys may call; empty: as it is, and every model for a new user
	Metadata map[string]any // replaces all there is; empty: as it is
}

// UpsertUser makes LiteLLM hold the user, whether it knew him or not. It may be repeated.
// Budget and limits are set whole: nil takes one away. An empty Email, Alias, Role, Models or
// Metadata changes nothing, as LiteLLM ignores it. Versions before 1.100 or so ignore the nil
// of a limit too: a look tells.
func (c *Client) UpsertUser(ctx context.Context, u UserSpec) error {
	body, err := u.body()
	if err != nil {
		return err
	}
	return c.do(ctx, call{method: http.MethodPost, path: "/user/update", body: body}, nil)
}

// ResetUserSpend makes LiteLLM count what a user spends in his budget period from zero. It may be
// repeated. One whom LiteLLM does not know, it makes.
func (c *Client) ResetUserSpend(ctx context.Context, id string) error {
	if id == "" {
		return models.Errorf(models.Invalid, "a user needs an id")
	}
	return c.do(ctx, call{method: http.MethodPost, path: "/user/update", body: map[string]any{"user_id": id, "spend": 0}}, nil)
}

// CreateUser makes a user, and no key for him. Conflict means that LiteLLM has one with that
// id, or another with that e-mail address: a look tells which.
func (c *Client) CreateUser(ctx context.Context, u UserSpec) error {
	body, err := u.body()
	if err != nil {
		return err
	}
	body["auto_create_key"] = false // LiteLLM makes a key that nobody asked for otherwise
	return c.do(ctx, call{method: http.MethodPost, path: "/user/new", body: body}, nil)
}

// DeleteUser removes a user and all his keys; LiteLLM forgets the keys without a trace.
// NotFound means that he was gone.
func (c *Client) DeleteUser(ctx context.Context, id string) error {
	if id == "" {
		return models.Errorf(models.Invalid, "a user needs an id")
	}
	return c.do(ctx, call{method: http.MethodPost, path: "/user/delete", body: map[string]any{"user_ids": []string{id}}}, nil)
}

// User reads a user as LiteLLM holds him. NotFound means that it does not.
func (c *Client) User(ctx context.Context, id string) (models.ProxyUser, error) {
	if id == "" { // LiteLLM would describe the admin
		return models.ProxyUser{}, models.Errorf(models.Invalid, "a user needs an id")
	}
	var out userAnswer
	query := url.Values{"user_id": {id}}
	err := c.do(ctx, call{method: http.MethodGet, path: "/v2/user/info", query: query}, &out)
	if NoRoute(err) { // the older call reads all the user's keys too
		var older struct {
			Info userAnswer `json:"user_info"`
		}
		err = c.do(ctx, call{method: http.MethodGet, path: "/user/info", query: query}, &older)
		out = older.Info
	}
	if err == nil && out.UserID != id {
		err = models.Errorf(models.NotFound, "LiteLLM does not know the user %s", id)
	}
	if err != nil {
		return models.ProxyUser{}, err
	}
	return out.user(), nil
}

// UserPage is one page of LiteLLM's users.
type UserPage struct {
	Users      []models.ProxyUser
	Page       int // from 1
	TotalPages int
	TotalCount int
}

// Users reads one page of LiteLLM's users, the oldest first, so that new ones only lengthen
// the last page; a user who is deleted meanwhile moves those after him up. The size is 1 to
// 100. A page past the end is empty.
func (c *Client) Users(ctx context.Context, page, size int) (UserPage, error) {
	query := url.Values{
		"page": {strconv.Itoa(page)}, "page_size": {strconv.Itoa(size)},
		"sort_by": {"created_at"}, "sort_order": {"asc"},
	}
	var out struct {
		Users      []userAnswer
		Total      int
		TotalPages int `json:"total_pages"`
	}
	if err := c.do(ctx, call{method: http.MethodGet, path: "/user/list", query: query}, &out); err != nil {
		return UserPage{}, err
	}
	p := UserPage{Page: page, TotalPages: out.TotalPages, TotalCount: out.Total}
	for _, u := range out.Users {
		p.Users = append(p.Users, u.user())
	}
	return p, nil
}

// body is the user in LiteLLM's words. Null takes a limit away.
func (u UserSpec) body() (map[string]any, error) {
	switch {
	case u.ID == "":
		return nil, models.Errorf(models.Invalid, "a user needs an id")
	case u.MaxBudget != nil && *u.MaxBudget < 0: // LiteLLM takes it, and every call of the user is then over budget
		return nil, models.Errorf(models.Invalid, "a budget must be zero or more")
	}
	body := map[string]any{
		"user_id": u.ID, "max_budget": u.MaxBudget, "budget_duration": orNull(u.BudgetDuration),
		"tpm_limit": u.TPM, "rpm_limit": u.RPM,
	}
	put(body, "user_email", u.Email)
	put(body, "user_alias", u.Alias)
	put(body, "user_role", u.Role)
	if len(u.Models) > 0 {
		body["models"] = u.Models
	}
	if len(u.Metadata) > 0 {
		body["metadata"] = u.Metadata
	}
	return body, nil
}

// userAnswer is a user in LiteLLM's words.
type userAnswer struct {
	UserID         string `json:"user_id"`
	UserEmail      string `json:"user_email"`
	UserAlias      string `json:"user_alias"`
	UserRole       string `json:"user_role"`
	Models         []string
	Teams          []string
	MaxBudget      *models.USD `json:"max_budget"`
	BudgetDuration string      `json:"budget_duration"`
	BudgetResetAt  stamp       `json:"budget_reset_at"`
	Spend          models.USD
	TPM            *int64 `json:"tpm_limit"`
	RPM            *int64 `json:"rpm_limit"`
	Metadata       map[string]json.RawMessage
	CreatedAt      stamp `json:"created_at"`
	UpdatedAt      stamp `json:"updated_at"`
}

func (a userAnswer) user() models.ProxyUser {
	slices.Sort(a.Models)
	slices.Sort(a.Teams)
	return models.ProxyUser{
		ID: a.UserID, Email: a.UserEmail, Alias: a.UserAlias, Role: a.UserRole, Models: a.Models, Teams: a.Teams,
		MaxBudget: a.MaxBudget, BudgetDuration: a.BudgetDuration, BudgetResetAt: a.BudgetResetAt.at, Spend: a.Spend,
		TPM: a.TPM, RPM: a.RPM, Metadata: a.Metadata, CreatedAt: a.CreatedAt.at, UpdatedAt: a.UpdatedAt.at,
	}
}
