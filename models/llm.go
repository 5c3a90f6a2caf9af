// Package models holds what the system is about: its nouns, their rules and the kinds of
// failure. It knows nothing of HTTP, SQL or Temporal.
package models

import (
	"database/sql/driver"
	"encoding/json"
	"fmt"
	"time"

	"github.com/shopspring/decimal"
)

// LLM is one model of the catalogue, under the name by which LiteLLM serves it. Most of it
// is LiteLLM's word, brought here by a sync; Description, RestrictedAccess, Kept and
// DeletedAt are our own and no sync touches them, save that Kept ends when LiteLLM lists
// the model again.
type LLM struct {
	ID               string // LiteLLM's model_name; may hold slashes and dots
	Provider         string
	BackendModelName string          // what the provider calls it
	ContextLength    *int64          // tokens
	MaxTokens        *int64          // tokens
	InputCost        *Price          `gorm:"column:input_cost_per_token"` // nil: unknown; zero is a price
	OutputCost       *Price          `gorm:"column:output_cost_per_token"`
	APIBase          string          `gorm:"column:api_base"`
	TPM              *int64          `gorm:"column:tpm"`              // tokens a minute; nil: unlimited
	RPM              *int64          `gorm:"column:rpm"`              // requests a minute; nil: unlimited
	LiteLLMModelID   string          `gorm:"column:litellm_model_id"` // the deployment that speaks for the model
	DeploymentIDs    []string        `gorm:"serializer:json"`         // every deployment of that name, sorted
	Features         []string        `gorm:"serializer:json"`         // in the order of LiteMaaS; see FeaturesOf
	ModelInfo        json.RawMessage // LiteLLM's model_info, without what differs from caller to caller
	LiteLLMParams    json.RawMessage `gorm:"column:litellm_params"` // LiteLLM's litellm_params, without what may be secret

	Description      string
	RestrictedAccess bool // a subscription needs an admin's approval
	Kept             bool // LiteLLM lists it no more, and a person said to keep it
	Availability     Availability
	DeletedAt        *time.Time // an admin deleted it; no sync brings it back

	CreatedAt, UpdatedAt time.Time
}

// TableName is the word that SQL and JSON use for an LLM.
func (LLM) TableName() string { return "models" }

// Availability says whether LiteLLM offers a model now.
type Availability string

// The two.
const (
	ModelAvailable   Availability = "available"
	ModelUnavailable Availability = "unavailable"
)

// The features that LiteMaaS knows, and that its web UI filters by.
const (
	FeatureChat                    = "chat"
	FeatureEmbeddings              = "embeddings"
	FeatureConvert                 = "convert" // documents to text
	FeatureFunctionCalling         = "function_calling"
	FeatureParallelFunctionCalling = "parallel_function_calling"
	FeatureToolChoice              = "tool_choice"
	FeatureVision                  = "vision"
	FeatureTokenize                = "tokenize"
)

// Price is what one token costs, in LiteLLM's currency (US dollars), exactly as LiteLLM
// wrote it: a decimal, because unit prices have more places than any fixed-point money.
type Price struct{ d decimal.Decimal }

// The places that a price may have. A few characters such as 1e999999999 are a gigabyte when
// written out.
const (
	minPriceExponent = -30
	maxPriceExponent = 12
)

// ParsePrice reads a decimal number such as 2.5e-06. It is Invalid when s is no number, is
// negative, or is beyond any price.
func ParsePrice(s string) (Price, error) {
	d, err := decimal.NewFromString(s)
	if err != nil {
		return Price{}, Errorf(Invalid, "%q is not a number", s)
	}
	if d.IsNegative() {
		return Price{}, Errorf(Invalid, "the price is negative")
	}
	if len(s) > 60 || d.Exponent() < minPriceExponent || d.Exponent() > maxPriceExponent {
		return Price{}, Errorf(Invalid, "the price is out of range")
	}
	return Price{d}, nil
}

// Cmp is -1, 0 or 1 as p is cheaper than q, the same or dearer.
func (p Price) Cmp(q Price) int { return p.d.Cmp(q.d) }

func (p Price) String() string { return p.d.String() }

// MarshalJSON writes a JSON number: the web UI multiplies it.
func (p Price) MarshalJSON() ([]byte, error) { return []byte(p.d.String()), nil }

// UnmarshalJSON reads a JSON number, or one in a string.
func (p *Price) UnmarshalJSON(raw []byte) error { return p.d.UnmarshalJSON(raw) }

// Value hands the exact decimal to Postgres.
func (p Price) Value() (driver.Value, error) { return p.d.String(), nil }

// Scan reads a numeric column.
func (p *Price) Scan(src any) error {
	if err := p.d.Scan(src); err != nil {
		return fmt.Errorf("price: %w", err)
	}
	return nil
}
