package models

import (
	"bytes"
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"time"
)

// KeySync says what a full sync does about API keys that LiteLLM holds otherwise, and about those
// that are not ours.
type KeySync struct {
	Strategy    KeyStrategy   // empty: KeysOurs
	Orphans     OrphanPolicy  // empty: OrphansReported
	OrphanDelay time.Duration // how long a quarantined key waits for a person before it is deleted
	Guard       Guard         // what is so much at once that a person is told, and that nothing is quarantined
}

// KeyStrategy says whose word counts when a key's limits, budget or metadata at LiteLLM are not
// those of its row. What the key may call, whether it is blocked, what it is called and when it
// ends are ours, whatever the strategy.
type KeyStrategy string

// The strategies.
const (
	KeysOurs   KeyStrategy = "litemaas_wins"
	KeysTheirs KeyStrategy = "litellm_wins"
	KeysNewest KeyStrategy = "newest_wins" // whoever changed the key last
	KeysManual KeyStrategy = "manual"      // a person decides; until then both stay as they are
)

// KeySide is whose word counts about a field of a key.
type KeySide string

// The sides.
const (
	SideOurs   KeySide = "ours"
	SideTheirs KeySide = "theirs"
	SideOpen   KeySide = "open" // a person has to decide
)

// KeyFieldChange is a field in which LiteLLM differs: what it holds, and what the row says.
type KeyFieldChange struct {
	Field string          `json:"field"`
	Old   json.RawMessage `json:"old"`
	New   json.RawMessage `json:"new"`
	Wins  KeySide         `json:"wins,omitempty"` // empty: ours
}

// Wins says whose word counts about a field in which LiteLLM, which holds seen, differs from the
// row. A value that we could not hold never counts, and none where a budget makes the key have
// another than its row says, for a while.
func (s KeyStrategy) Wins(k Key, seen ProxyKey, field string) KeySide {
	taken, ok := k.Take(seen, field)
	if !ok || k.bent(field) || !slices.Contains(taken.Differences(k.Proxy()), field) { // but for our own mark it is the same
		return SideOurs
	}
	switch s {
	case KeysTheirs:
		return SideTheirs
	case KeysManual:
		return SideOpen
	case KeysNewest:
		if at := seen.changedAt(); at != nil && at.After(k.UpdatedAt) {
			return SideTheirs
		}
	case KeysOurs:
	}
	return SideOurs
}

// bent reports whether the budgets of the key make of a field something else than its row says.
func (k Key) bent(field string) bool {
	return field == "max_budget" && k.Raised != 0 || field == "tpm_limit" && k.ThrottleTPM != nil || field == "rpm_limit" && k.ThrottleRPM != nil
}

// changedAt is when somebody last changed the key; nil: LiteLLM does not say. UpdatedAt moves
// with each use too, so it only counts where there is nothing better.
func (p ProxyKey) changedAt() *time.Time {
	if p.SettingsAt != nil {
		return p.SettingsAt
	}
	return p.UpdatedAt
}

// Rule compares the row with LiteLLM, which holds seen, field by field, but for what the key may
// call and whether it is blocked, and returns what differs, and the row with what it takes over.
func (s KeyStrategy) Rule(k Key, seen ProxyKey) (fields []KeyFieldChange, taken Key) {
	want, taken := k.Proxy(), k
	for _, field := range k.Differences(seen) {
		if field == "models" || field == "blocked" {
			continue
		}
		change := KeyFieldChange{Field: field, Old: seen.Field(field), New: want.Field(field)}
		if wins := s.Wins(k, seen, field); wins != SideOurs {
			change.Wins = wins
		}
		if change.Wins == SideTheirs {
			taken, _ = taken.Take(seen, field)
		}
		fields = append(fields, change)
	}
	return fields, taken
}

// keyField is a field, in LiteLLM's words, in which a row may follow LiteLLM.
type keyField struct {
	copy func(to *ProxyKey, from ProxyKey)
	take func(k *Key, from ProxyKey)
}

var keyFields = map[string]keyField{
	"max_budget": {
		func(to *ProxyKey, from ProxyKey) { to.MaxBudget = from.MaxBudget },
		func(k *Key, from ProxyKey) { k.Limits.MaxBudget = limited(from.MaxBudget, Unlimited*Dollar) },
	},
	"budget_duration": {
		func(to *ProxyKey, from ProxyKey) { to.BudgetDuration = from.BudgetDuration },
		func(k *Key, from ProxyKey) { k.Limits.BudgetDuration = from.BudgetDuration },
	},
	"tpm_limit": {
		func(to *ProxyKey, from ProxyKey) { to.TPM = from.TPM },
		func(k *Key, from ProxyKey) { k.Limits.TPM = limited(from.TPM, Unlimited) },
	},
	"rpm_limit": {
		func(to *ProxyKey, from ProxyKey) { to.RPM = from.RPM },
		func(k *Key, from ProxyKey) { k.Limits.RPM = limited(from.RPM, Unlimited) },
	},
	"max_parallel_requests": {
		func(to *ProxyKey, from ProxyKey) { to.MaxParallelRequests = from.MaxParallelRequests },
		func(k *Key, from ProxyKey) { k.MaxParallel = limited(from.MaxParallelRequests, Unlimited) },
	},
	metadataTPM: {
		func(to *ProxyKey, from ProxyKey) { to.ModelTPM = from.ModelTPM },
		func(k *Key, from ProxyKey) { k.ModelTPM = from.ModelTPM },
	},
	metadataRPM: {
		func(to *ProxyKey, from ProxyKey) { to.ModelRPM = from.ModelRPM },
		func(k *Key, from ProxyKey) { k.ModelRPM = from.ModelRPM },
	},
	"metadata": {
		func(to *ProxyKey, from ProxyKey) { to.Metadata = from.Metadata },
		func(k *Key, from ProxyKey) { k.Metadata = from.ownMetadata() },
	},
}

// limited is a limit, where what stands for none is none.
func limited[T USD | int64](limit *T, none T) *T {
	if limit != nil && *limit == none {
		return nil
	}
	return limit
}

// ownMetadata is what somebody put into the metadata: without our mark, and what says nothing.
func (p ProxyKey) ownMetadata() json.RawMessage {
	own := maps.Clone(p.Metadata)
	maps.DeleteFunc(own, func(name string, raw json.RawMessage) bool {
		return name == metadataCreator || name == metadataTPM || name == metadataRPM || string(raw) == "null"
	})
	raw, err := json.Marshal(own)
	if err != nil || own == nil {
		return json.RawMessage("{}")
	}
	return raw
}

// Take is the row with what LiteLLM, which holds from, has in a field. It is false, and the row as
// it was, when the field is ours, or the value none that a row can have.
func (k Key) Take(from ProxyKey, field string) (Key, bool) {
	f, ok := keyFields[field]
	if !ok {
		return k, false
	}
	taken := k
	f.take(&taken, from)
	switch {
	case taken.Limits.Check() != nil, taken.MaxParallel != nil && *taken.MaxParallel < 0,
		negative(taken.ModelTPM), negative(taken.ModelRPM), bytes.Contains(taken.Metadata, []byte(`\u0000`)):
		return k, false
	}
	return taken, true
}

func negative(counts map[string]int64) bool {
	for _, n := range counts {
		if n < 0 {
			return true
		}
	}
	return false
}

// Wanted is the key as LiteLLM, which holds seen, should hold it: see Proxy. What a person has yet
// to decide about it may keep, unless the row has changed there since: that decides too.
func (k Key) Wanted(seen ProxyKey) ProxyKey {
	want := k.Proxy()
	for field, ours := range k.Disputed {
		if f, ok := keyFields[field]; ok && sameJSON(ours, want.Field(field)) {
			f.copy(&want, seen)
		}
	}
	return want
}

// Field is what the key has in a field, in LiteLLM's words, as JSON.
func (p ProxyKey) Field(name string) json.RawMessage {
	var value any
	switch name {
	case "key_alias":
		value = p.Alias
	case "max_budget":
		value = p.MaxBudget
	case "budget_duration":
		value = p.BudgetDuration
	case "tpm_limit":
		value = p.TPM
	case "rpm_limit":
		value = p.RPM
	case "max_parallel_requests":
		value = p.MaxParallelRequests
	case metadataTPM:
		value = orNone(p.ModelTPM)
	case metadataRPM:
		value = orNone(p.ModelRPM)
	case "expires":
		value = p.ExpiresAt
	case "metadata":
		value = orNone(p.Metadata)
	}
	raw, err := json.Marshal(value)
	if err != nil {
		return json.RawMessage("null")
	}
	return raw
}

func orNone[V any](m map[string]V) map[string]V {
	if m == nil {
		return map[string]V{}
	}
	return m
}

func sameJSON(a, b json.RawMessage) bool {
	var x, y any
	return json.Unmarshal(a, &x) == nil && json.Unmarshal(b, &y) == nil && reflect.DeepEqual(x, y)
}

// KeyFieldsOfLiteLLM lists the fields in which a row may follow LiteLLM.
func KeyFieldsOfLiteLLM() []string { return slices.Sorted(maps.Keys(keyFields)) }
