package models

import (
	"encoding/json"
	"time"
)

// ProxyUser is a user as LiteLLM holds it.
type ProxyUser struct {
	ID     string
	Email  string
	Alias  string
	Role   string   // one of the ProxyRole constants; empty: never set
	Models []string // the models that the user's keys may call, sorted; empty: every model
	Teams  []string // sorted

	MaxBudget      *USD   // for each budget period, over all keys; nil: unlimited
	BudgetDuration string // "30d"; empty: the budget is never reset
	BudgetResetAt  *time.Time
	Spend          USD    // in this budget period, as of LiteLLM's last flush
	TPM            *int64 // tokens a minute, over all keys; nil: unlimited
	RPM            *int64 // requests a minute, over all keys; nil: unlimited

	Metadata             map[string]json.RawMessage
	CreatedAt, UpdatedAt *time.Time
}

// LiteLLM's roles.
const (
	ProxyRoleAdmin       = "proxy_admin"
	ProxyRoleAdminViewer = "proxy_admin_viewer"
	ProxyRoleUser        = "internal_user"
	ProxyRoleUserViewer  = "internal_user_viewer"
)
