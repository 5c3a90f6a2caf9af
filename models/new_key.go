package models

import (
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

// MaxLiveKeys is how many keys a user can have made for himself that are neither revoked, nor
// expired, nor about to be replaced.
const MaxLiveKeys = 10

// KeyTerms are what we alone keep of a key: LiteLLM is told none of it.
type KeyTerms struct {
	SoftBudget     *USD                   // whoever spends more is told of it; nil: nobody is
	ModelMaxBudget map[string]ModelBudget `gorm:"serializer:json"`
	Tags           []string               `gorm:"serializer:json"`
	Permissions    map[string]bool        `gorm:"serializer:json"`
	Guardrails     []string               `gorm:"serializer:json"`
	SubscriptionID *uuid.UUID             // that a caller of the old way asked for the key by
}

// ModelBudget bounds what a key may spend on one model.
type ModelBudget struct {
	Limit  USD    `json:"budgetLimit"`
	Period string `json:"timePeriod"`
}

// Unenforced are the terms to which nobody holds the key, in words for who asked for them.
func (t KeyTerms) Unenforced() []string {
	var out []string
	if len(t.Guardrails) > 0 {
		out = append(out, "guardrails are recorded, but not enforced: LiteLLM does so only with an Enterprise licence")
	}
	if len(t.Permissions) > 0 {
		out = append(out, "permissions are recorded, but not enforced")
	}
	return out
}

// AskedKey is what somebody asks of a key that he makes or changes.
type AskedKey struct {
	Name   *string  // nil: left out
	Models []string // nil: left out
	AskedLimits
	MaxParallel        Asked[int64]
	ModelTPM, ModelRPM Asked[map[string]int64]
	ModelMaxBudget     Asked[map[string]ModelBudget]
	Tags, Guardrails   Asked[[]string]
	Permissions        Asked[map[string]bool]
	Metadata           Asked[json.RawMessage] // an object
}

// Budgets reports whether it is about what may be spent.
func (a AskedKey) Budgets() bool {
	return a.MaxBudget.Named || a.SoftBudget.Named || a.BudgetDuration.Named || a.ModelMaxBudget.Named
}

// defaultKeyName is what a key is called that nobody gave a name.
const defaultKeyName = "api-key"

// New is the key of that id and owner which is asked for, but for its secret. It is Invalid when
// more is asked for than d allows, or what cannot be.
func (a AskedKey) New(id, userID uuid.UUID, d KeyDefaults, now time.Time) (Key, error) {
	if a.Name == nil {
		a.Name = new(defaultKeyName)
	}
	a.AskedLimits = d.Merge(a.AskedLimits, now)
	k, err := a.Change(Key{ID: id, UserID: userID}, d, now)
	k.Alias = KeyAlias(k.Name, id)
	return k, err
}

// Change is the key as it is asked for, where it was k; what is left out stays. Its alias stays in
// any case, as what it used is known by it.
func (a AskedKey) Change(k Key, d KeyDefaults, now time.Time) (Key, error) {
	if err := a.check(now); err != nil {
		return Key{}, err
	}
	limits, err := d.Change(KeyLimits{k.Limits, k.Terms.SoftBudget, k.ExpiresAt}, a.AskedLimits, now)
	if err != nil {
		return Key{}, err
	}
	k.Limits, k.Terms.SoftBudget, k.ExpiresAt = limits.Limits, limits.SoftBudget, limits.ExpiresAt
	if err := k.Limits.Check(); err != nil {
		return Key{}, err
	}
	if a.Name != nil {
		k.Name = strings.TrimSpace(*a.Name)
	}
	if a.Models != nil {
		k.Models = slices.Compact(slices.Sorted(slices.Values(a.Models)))
	}
	if a.MaxParallel.Named {
		k.MaxParallel = a.MaxParallel.Value
	}
	become(&k.ModelTPM, a.ModelTPM)
	become(&k.ModelRPM, a.ModelRPM)
	become(&k.Terms.ModelMaxBudget, a.ModelMaxBudget)
	become(&k.Terms.Tags, a.Tags)
	become(&k.Terms.Guardrails, a.Guardrails)
	become(&k.Terms.Permissions, a.Permissions)
	become(&k.Metadata, a.Metadata)
	return k, nil
}

// become makes to what was asked for; null is nothing.
func become[T any](to *T, ask Asked[T]) {
	if !ask.Named {
		return
	}
	var none T
	*to = none
	if ask.Value != nil {
		*to = *ask.Value
	}
}

// check reports what cannot be, whoever asks for it.
func (a AskedKey) check(now time.Time) error {
	switch {
	case a.Name != nil && strings.TrimSpace(*a.Name) == "":
		return Errorf(Invalid, "a key needs a name").On("name")
	case a.Models != nil && len(a.Models) == 0:
		return Errorf(Invalid, "a key needs at least one model").On("modelIds")
	case a.ExpiresAt.Value != nil && !a.ExpiresAt.Value.After(now):
		return Errorf(Invalid, "Expiration date must be in the future").On("expiresAt")
	case a.ExpiresAt.Value != nil && a.ExpiresAt.Value.After(*inDays(now, new(MaxExpirationDays))): // no duration holds it
		return Errorf(Invalid, "Expiration date is too far in the future").On("expiresAt")
	case a.SoftBudget.Value != nil && *a.SoftBudget.Value < 0:
		return Errorf(Invalid, "a budget must be zero or more").On("softBudget")
	case a.MaxParallel.Value != nil && *a.MaxParallel.Value < 1:
		return Errorf(Invalid, "at least one request at once must be allowed").On("maxParallelRequests")
	}
	if err := checkCounts("modelTpmLimit", a.ModelTPM); err != nil {
		return err
	}
	if err := checkCounts("modelRpmLimit", a.ModelRPM); err != nil {
		return err
	}
	if err := checkBudgets(a.ModelMaxBudget); err != nil {
		return err
	}
	return checkMetadata(a.Metadata)
}

// maxModelLimits is for how many models a key may have limits of their own.
const maxModelLimits = 100

func checkCounts(field string, ask Asked[map[string]int64]) error {
	if ask.Value == nil {
		return nil
	}
	if len(*ask.Value) > maxModelLimits {
		return Errorf(Invalid, "at most %d models can have a limit", maxModelLimits).On(field)
	}
	for _, model := range slices.Sorted(maps.Keys(*ask.Value)) {
		if n := (*ask.Value)[model]; n < 0 || n > maxCount {
			return Errorf(Invalid, "a limit must be zero or more, and at most %d", int64(maxCount)).On(field + "." + model)
		}
	}
	return nil
}

// maxCount is the largest number that every reader of JSON keeps exactly.
const maxCount = 1<<53 - 1

func checkBudgets(ask Asked[map[string]ModelBudget]) error {
	if ask.Value == nil {
		return nil
	}
	if len(*ask.Value) > maxModelLimits {
		return Errorf(Invalid, "at most %d models can have a budget", maxModelLimits).On("modelMaxBudget")
	}
	for _, model := range slices.Sorted(maps.Keys(*ask.Value)) {
		b := (*ask.Value)[model]
		limits := Limits{MaxBudget: &b.Limit, BudgetDuration: b.Period}
		switch err := limits.Check(); {
		case b.Limit < 0:
			return Errorf(Invalid, "a budget must be zero or more").On("modelMaxBudget." + model + ".budgetLimit")
		case err != nil || b.Period == "":
			return Errorf(Invalid, "a budget period is daily, weekly, monthly, yearly, or such as 12h, 30d or 1mo").On("modelMaxBudget." + model + ".timePeriod")
		}
	}
	return nil
}

// reservedMetadata are the entries by which LiteLLM, or we, do something: who could set them could
// raise his own limits.
var reservedMetadata = map[string]bool{
	metadataCreator: true, "model_count": true, "legacy_request": true, metadataTPM: true, metadataRPM: true, "model_max_budget": true,
	"temp_budget_increase": true, "temp_budget_expiry": true, "soft_budget": true, "tags": true, "guardrails": true, "policies": true,
	"disable_global_guardrails": true, "logging": true, "callback_settings": true, "enforced_params": true, "prompts": true,
	"allowed_passthrough_routes": true, "service_account_id": true, "tpm_limit_type": true, "rpm_limit_type": true, "tag_rpm_limit": true,
	"mcp_rpm_limit": true, "allowed_cache_controls": true,
}

func checkMetadata(ask Asked[json.RawMessage]) error {
	if ask.Value == nil {
		return nil
	}
	var entries map[string]json.RawMessage
	if json.Unmarshal(*ask.Value, &entries) != nil || entries == nil {
		return Errorf(Invalid, "must be an object").On("metadata")
	}
	for _, name := range slices.Sorted(maps.Keys(entries)) {
		if reservedMetadata[name] {
			return Errorf(Invalid, "is reserved").On("metadata." + name)
		}
	}
	return nil
}

// maxAliasName is how much of a key's name its alias holds.
const maxAliasName = 50

var notInAlias, dashes = regexp.MustCompile(`[^a-zA-Z0-9_-]`), regexp.MustCompile(`-+`)

// KeyAlias is LiteLLM's name for a key of that name and id, which people can read.
func KeyAlias(name string, id uuid.UUID) string {
	name = strings.Trim(dashes.ReplaceAllString(notInAlias.ReplaceAllString(name, "-"), "-"), "-")
	if name = name[:min(len(name), maxAliasName)]; name == "" {
		name = defaultKeyName
	}
	return name + "_" + id.String()[:8]
}

// prefixLength is how much of a key people are shown: sk- and four characters.
const prefixLength = len(SecretPrefix) + 4

// Holding is the key with that secret, sealed by s.
func (k Key) Holding(secret Secret, s Sealer) (Key, error) {
	sealed, err := s.Seal([]byte(secret.Reveal()), k.SealContext())
	if err != nil {
		return Key{}, Wrap(Internal, err, "the secret of a new API key cannot be sealed")
	}
	k.Hash, k.Prefix, k.Sealed = secret.Hash(), secret.Reveal()[:prefixLength], sealed
	return k, nil
}

// Secret is the key's secret, which s opens. It is Internal when s is not the one that sealed it,
// and Conflict when nobody here knows it.
func (k Key) Secret(s Sealer) (Secret, error) {
	if len(k.Sealed) == 0 {
		return Secret{}, Errorf(Conflict, "nobody here knows the secret of the API key, because it was adopted from LiteLLM")
	}
	plain, err := s.Open(k.Sealed, k.SealContext())
	if err != nil {
		return Secret{}, Wrap(Internal, err, "the secret of API key %s cannot be opened: is the keyset of secrets the one that sealed it?", k.ID)
	}
	secret := SecretOf(string(plain))
	if secret.Hash() != k.Hash { // somebody would be given a key that is another's, or nobody's
		return Secret{}, Errorf(Internal, "the secret of API key %s is not the one of its hash", k.ID)
	}
	return secret, nil
}
