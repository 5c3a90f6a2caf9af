package models

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"time"

	"github.com/google/uuid"
)

// Key is one API key of a user. Its row is the wish: every change of what LiteLLM holds too
// raises Generation. ReconcileKey makes LiteLLM agree, and raises ObservedGeneration to the
// generation that it has seen to be true there, or FailedGeneration to the one that LiteLLM
// refuses for good.
type Key struct {
	ID, UserID  uuid.UUID
	TeamID      *uuid.UUID
	Name        string
	Alias       string           // LiteLLM's key_alias; unique
	Hash        string           // hex SHA-256 of the secret: LiteLLM's name for the key
	Prefix      string           // its first characters, for people
	Sealed      []byte           // the secret, encrypted; empty: nobody here knows it, as the key was adopted
	Models      []string         `gorm:"serializer:json;->"` // the models it may call, sorted; none: LiteLLM must not have it
	Holds       []Hold           `gorm:"serializer:json"`    // why it may not be used now
	Limits      Limits           `gorm:"embedded"`
	MaxParallel *int64           // requests at once; nil: unlimited
	ModelTPM    map[string]int64 `gorm:"column:model_tpm;serializer:json"` // tokens a minute for single models
	ModelRPM    map[string]int64 `gorm:"column:model_rpm;serializer:json"` // requests a minute likewise
	Metadata    json.RawMessage  // an object
	Spend       USD              // in the budget period, from the ledger
	ExpiresAt   *time.Time       // nil: never
	RevokedAt   *time.Time       // nil: it is not
	Terms       KeyTerms         `gorm:"embedded"`

	CreatedBy             string // a user's id, or an admin key's name; empty: not known
	RevokedBy, RevokedWhy string
	DeletedAt             *time.Time // lists leave it out since; what it used stays its own
	LastUsedAt            *time.Time // nil: never, as far as we know

	// What the budgets that concern it make of it.
	Raised        USD    // what the budget is raised by
	ThrottleRPM   *int64 // nil: it is not slowed
	ThrottleTPM   *int64
	BlockedModels []string `gorm:"serializer:json;->"` // whose own budget is used up, sorted

	Predecessor *uuid.UUID // the key that it replaces
	RetiresAt   *time.Time // it was rotated: when its successor is alone; nil: it was not

	// What the row said in fields that a person has yet to decide about; see KeysManual. It is read
	// where LiteLLM is told of the key, and only there.
	Disputed map[string]json.RawMessage `gorm:"serializer:json;->"`

	Generation, ObservedGeneration, FailedGeneration int64
	ResetGeneration                                  int64  // the last wish by which what it spent counts from zero
	Failure                                          string // why LiteLLM refuses it, in words for its owner
	CreatedAt, UpdatedAt                             time.Time
}

// TableName is where keys are stored.
func (Key) TableName() string { return "api_keys" }

// SealContext is what the key's secret is sealed to, so that it cannot be put into another row.
func (k Key) SealContext() []byte { return []byte("api_keys/" + k.ID.String()) }

// Settled reports whether LiteLLM was seen to agree with the row.
func (k Key) Settled() bool { return k.ObservedGeneration >= k.Generation }

// Expired reports whether the key's time is over.
func (k Key) Expired() bool { return k.ExpiresAt != nil && !time.Now().Before(*k.ExpiresAt) }

// Ended is when the key's end came; zero: it did not yet.
func (k Key) Ended() time.Time {
	switch {
	case k.RevokedAt != nil:
		return *k.RevokedAt
	case k.Expired():
		return *k.ExpiresAt
	}
	return time.Time{}
}

// KeyStatus is what people are told of a key.
type KeyStatus string

// The statuses.
const (
	KeyProvisioning KeyStatus = "provisioning" // LiteLLM has never had it
	KeyActive       KeyStatus = "active"
	KeyBlocked      KeyStatus = "blocked" // by its holds, or because no model is left that it may call
	KeyExpired      KeyStatus = "expired"
	KeyRevoking     KeyStatus = "revoking" // refused here; LiteLLM may still take it
	KeyRevoked      KeyStatus = "revoked"
	KeyFailed       KeyStatus = "failed" // refused by LiteLLM before it ever worked; see Failure
)

// Status derives the status from the wish and from what was observed, so that they cannot
// contradict each other.
func (k Key) Status() KeyStatus {
	switch {
	case k.RevokedAt != nil && k.Settled() && k.RevokedWhy == KeyEndExpired:
		return KeyExpired
	case k.RevokedAt != nil && k.Settled():
		return KeyRevoked
	case k.RevokedAt != nil:
		return KeyRevoking
	case k.Expired():
		return KeyExpired
	case k.ObservedGeneration == 0 && k.FailedGeneration == k.Generation:
		return KeyFailed
	case k.ObservedGeneration == 0:
		return KeyProvisioning
	case len(k.Holds) > 0 || len(k.Callable()) == 0:
		return KeyBlocked
	default:
		return KeyActive
	}
}

// The entries that LiteLLM's metadata of a key has by our doing, or by its own.
const (
	metadataCreator = "created_by"
	metadataTPM     = "model_tpm_limit"
	metadataRPM     = "model_rpm_limit"
)

// Resets reports whether LiteLLM has yet to count what the key spends from zero.
func (k Key) Resets() bool { return k.ResetGeneration > k.ObservedGeneration }

// Callable are the models of the key that it may call now: none whose own budget is used up.
func (k Key) Callable() []string {
	if len(k.BlockedModels) == 0 {
		return k.Models
	}
	return slices.DeleteFunc(slices.Clone(k.Models), func(model string) bool { return slices.Contains(k.BlockedModels, model) })
}

// Proxy is the key as LiteLLM should hold it, if it should have it at all: see Next. Whatever
// its owner put into the metadata, it says that we made it.
func (k Key) Proxy() ProxyKey {
	p := ProxyKey{
		Hash: k.Hash, Alias: k.Alias, UserID: k.UserID.String(), Models: k.Callable(),
		MaxBudget: raisedBy(k.Limits.MaxBudget, k.Raised), BudgetDuration: k.Limits.BudgetDuration, Spend: k.Spend,
		TPM: lower(k.Limits.TPM, k.ThrottleTPM), RPM: lower(k.Limits.RPM, k.ThrottleRPM),
		MaxParallelRequests: k.MaxParallel, ModelTPM: k.ModelTPM, ModelRPM: k.ModelRPM,
		Blocked: len(k.Holds) > 0, ExpiresAt: k.ExpiresAt,
	}
	if k.TeamID != nil {
		p.TeamID = k.TeamID.String()
	}
	if word, ok := durations[p.BudgetDuration]; ok {
		p.BudgetDuration = word
	}
	if json.Unmarshal(k.Metadata, &p.Metadata) != nil || p.Metadata == nil {
		p.Metadata = map[string]json.RawMessage{}
	}
	delete(p.Metadata, metadataTPM) // else it would overrule ModelTPM
	delete(p.Metadata, metadataRPM)
	p.Metadata[metadataCreator] = json.RawMessage(`"litemaas"`)
	return p
}

// lower is the lower of two limits, of which nil is none.
func lower(a, b *int64) *int64 {
	if a == nil || b != nil && *b < *a {
		return b
	}
	return a
}

// expiryTolerance is how far LiteLLM's expiry of a key may be from ours: it takes one as seconds
// from now, by its own clock.
const expiryTolerance = 2 * time.Minute

// Differences lists the fields, in LiteLLM's words, in which LiteLLM, which holds seen, does not
// agree with the row; none means that it does. A key's owner and team are for life, so they are
// not compared.
func (k Key) Differences(seen ProxyKey) []string {
	want := k.Wanted(seen)
	var fields []string
	add := func(field string, differs bool) {
		if differs {
			fields = append(fields, field)
		}
	}
	add("models", !slices.Equal(want.Models, seen.Models))
	add("blocked", want.Blocked != seen.Blocked)
	add("key_alias", want.Alias != seen.Alias)
	add("max_budget", !sameLimit(want.MaxBudget, seen.MaxBudget, Unlimited*Dollar))
	add("budget_duration", want.BudgetDuration != seen.BudgetDuration)
	add("tpm_limit", !sameLimit(want.TPM, seen.TPM, Unlimited))
	add("rpm_limit", !sameLimit(want.RPM, seen.RPM, Unlimited))
	add("max_parallel_requests", !sameLimit(want.MaxParallelRequests, seen.MaxParallelRequests, Unlimited))
	add(metadataTPM, !maps.Equal(want.ModelTPM, seen.ModelTPM))
	add(metadataRPM, !maps.Equal(want.ModelRPM, seen.ModelRPM))
	add("expires", !sameExpiry(want.ExpiresAt, seen.ExpiresAt))
	add("metadata", !sameMetadata(want.Metadata, seen.Metadata))
	return fields
}

func sameExpiry(want, seen *time.Time) bool {
	if want == nil || seen == nil {
		return want == seen
	}
	return want.Sub(*seen).Abs() <= expiryTolerance
}

// sameMetadata compares values, however they are written. A null says nothing.
func sameMetadata(want, seen map[string]json.RawMessage) bool {
	return reflect.DeepEqual(valuesOf(want), valuesOf(seen))
}

func valuesOf(metadata map[string]json.RawMessage) map[string]any {
	values := make(map[string]any, len(metadata))
	for name, raw := range metadata {
		var value any
		if json.Unmarshal(raw, &value) == nil && value != nil {
			values[name] = value
		}
	}
	return values
}

// Narrower reports whether the row lets the key call less than LiteLLM, which holds seen, does. No
// list at all means every model there.
func (k Key) Narrower(seen ProxyKey) bool {
	callable := k.Callable()
	return len(seen.Models) == 0 || slices.ContainsFunc(seen.Models, func(model string) bool { return !slices.Contains(callable, model) })
}

// KeyStep is one write at LiteLLM.
type KeyStep string

// The steps. KeySettled is none: nothing is left to do.
const (
	KeySettled  KeyStep = "settled"
	KeyGenerate KeyStep = "generate"
	KeyUpdate   KeyStep = "update"
	KeyBlock    KeyStep = "block"
	KeyUnblock  KeyStep = "unblock"
	KeyDelete   KeyStep = "delete"

	KeyResetSpend KeyStep = "reset_spend"
)

// Next is the next write that brings LiteLLM, which holds seen (nil: nothing), nearer to the
// row. A key without models that it may call is deleted there, because to LiteLLM an empty list means every
// model; so is one whose time is over, as LiteLLM can be told of no end that is past. Nothing
// that could widen a key comes before what blocks it, or after what releases it.
func (k Key) Next(seen *ProxyKey) KeyStep {
	held := len(k.Holds) > 0
	switch gone := k.RevokedAt != nil || len(k.Callable()) == 0 || k.Expired(); {
	case gone && seen == nil:
		return KeySettled
	case gone:
		return KeyDelete
	case seen == nil:
		return KeyGenerate
	case held && !seen.Blocked:
		return KeyBlock
	case slices.ContainsFunc(k.Differences(*seen), func(field string) bool { return field != "blocked" }):
		return KeyUpdate
	case !held && seen.Blocked:
		return KeyUnblock
	default:
		return KeySettled
	}
}
