package models

import (
	"encoding/json"
	"time"
)

// ProxyKey is a key as LiteLLM holds it.
type ProxyKey struct {
	Hash   string   // hex SHA-256 of the secret: LiteLLM's name for the key
	Hint   string   // "sk-..." and its last four characters
	Alias  string   // LiteLLM's key_alias
	UserID string   // may name a user that LiteLLM does not know
	TeamID string   // likewise
	Models []string // the models it may call, sorted; empty: every model

	MaxBudget           *USD   // for each budget period; nil: unlimited
	BudgetDuration      string // "30d"; empty: the budget is never reset
	BudgetResetAt       *time.Time
	Spend               USD    // in this budget period, as of LiteLLM's last flush
	TPM                 *int64 // tokens a minute; nil: unlimited
	RPM                 *int64 // requests a minute; nil: unlimited
	MaxParallelRequests *int64
	ModelTPM, ModelRPM  map[string]int64 // the same for single models

	Blocked   bool
	ExpiresAt *time.Time                 // nil: never
	Metadata  map[string]json.RawMessage // without LiteLLM's own entries for ModelTPM and ModelRPM

	CreatedAt, UpdatedAt, LastActiveAt *time.Time
	SettingsAt                         *time.Time // when somebody last changed it; nil: nobody did, or LiteLLM does not say
}
