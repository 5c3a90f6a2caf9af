package models

import (
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

// KeyCheck is what has to be known of a key to judge a request that is made with it. It is kept
// for a million keys: what is the same for all keys of a person is in Owner, once.
type KeyCheck struct {
	ID     uuid.UUID
	Name   string
	Prefix string // its first characters, for people
	Owner  *KeyOwner
	Team   *KeyTeam // nil: none
	Models []string // that it may call, sorted

	Held        bool        // it has a hold
	Refused     bool        // by LiteLLM, for good, before it ever worked
	Spent       []KeyBudget // that concern it, and are used up; mostly none
	Limits      Limits      // as they are now: it may be throttled
	MaxParallel *int64
	ModelTPM    map[string]int64
	ModelRPM    map[string]int64
	Revoked     bool
	Lapsed      bool      // it was revoked as its time was over
	ExpiresAt   time.Time // or when its successor is alone, if that is sooner; zero: never
}

// KeyOwner is what is the same for all keys of a person.
type KeyOwner struct {
	ID            uuid.UUID
	Username      string
	Roles         []string // that he holds, by name
	Active        bool
	Permitted     bool      // some role of his lets him see models
	Subscriptions []KeyPlan // that count: active and suspended ones, by model
}

// KeyPlan is a subscription as far as keys need it.
type KeyPlan struct {
	ModelID   string             `json:"model"`
	Status    SubscriptionStatus `json:"status"`
	Requests  *int64             `json:"requests"` // the quota, each month; nil: unlimited
	Tokens    *int64             `json:"tokens"`
	Exhausted bool               `json:"exhausted"` // one of the two, until ResetAt
	OverQuota bool               `json:"over"`      // it is suspended for that
	ResetAt   time.Time          `json:"reset"`
	ExpiresAt *time.Time         `json:"expires"` // nil: never
}

// KeyBudget is a budget that is used up: of the key, its owner or its team, or for one model that of
// the key, or of the subscription.
type KeyBudget struct {
	ModelID string     `json:"model"` // empty: all models
	Until   *time.Time `json:"until"` // nil: waiting does not help
}

// KeyTeam is the team whose key it is.
type KeyTeam struct {
	ID     uuid.UUID
	Name   string
	Member bool     // the owner of the key is in it
	Models []string // that its keys may call; none: all
	Limits Limits
}

// KeyReason says in one word why a key is taken, or not.
type KeyReason string

// The reasons.
const (
	KeyIsValid       KeyReason = "valid"
	KeyIsUnknown     KeyReason = "key_unknown"
	KeyIsRevoked     KeyReason = "key_revoked"
	KeyIsExpired     KeyReason = "key_expired"
	KeyIsRefused     KeyReason = "key_failed"
	KeyOwnerInactive KeyReason = "owner_inactive"
	KeyIsHeld        KeyReason = "key_blocked"
	KeyNotPermitted  KeyReason = "owner_not_permitted"
	KeyNotInTeam     KeyReason = "owner_left_team"
	KeyNotForModel   KeyReason = "model_not_allowed"
	KeyNotForTeam    KeyReason = "model_not_allowed_for_team"
	KeyNotSubscribed KeyReason = "model_not_subscribed"
	KeyOverBudget    KeyReason = "budget_exceeded"
	KeyOverQuota     KeyReason = "quota_exceeded"
	KeyTooFast       KeyReason = "rate_limited" // judged by who counts requests
)

// keyReasons is what each reason means: what kind of failure it is, and in words for whoever
// holds the key.
var keyReasons = map[KeyReason]struct {
	kind  Kind
	words string
}{
	KeyIsUnknown:     {Unauthenticated, "There is no such API key"},
	KeyIsRevoked:     {Unauthenticated, "The API key has been revoked"},
	KeyIsExpired:     {Unauthenticated, "The API key has expired"},
	KeyIsRefused:     {Unauthenticated, "The API key was never made"},
	KeyOwnerInactive: {Unauthenticated, "The account of the API key's owner is deactivated"},
	KeyIsHeld:        {Forbidden, "The API key is blocked"},
	KeyNotPermitted:  {Forbidden, "The owner of the API key has no role that lets him use models"},
	KeyNotInTeam:     {Forbidden, "The owner of the API key has left its team"},
	KeyNotForModel:   {Forbidden, "The API key may not call this model"},
	KeyNotForTeam:    {Forbidden, "The team of the API key may not call this model"},
	KeyNotSubscribed: {Forbidden, "The owner of the API key has no active subscription to this model"},
	KeyOverBudget:    {Limited, "The budget of the API key is used up"},
	KeyOverQuota:     {Limited, "The quota of the subscription is used up"},
	KeyTooFast:       {Limited, "Too many requests"},
}

// KeyVerdict is whether a request may be made with a key.
type KeyVerdict struct {
	Reason  KeyReason
	RetryAt time.Time // when it may be again; zero: not by waiting, or not known
}

// Allowed reports whether the request may be made.
func (v KeyVerdict) Allowed() bool { return v.Reason == KeyIsValid }

// Words is the reason in words for whoever holds the key; empty, if he may.
func (v KeyVerdict) Words() string { return keyReasons[v.Reason].words }

// Err is the verdict as an error; nil, if the request may be made. It is Unauthenticated when the
// key opens nothing at all, Limited when waiting may help, else Forbidden.
func (v KeyVerdict) Err(now time.Time) error {
	if v.Allowed() {
		return nil
	}
	e := Errorf(keyReasons[v.Reason].kind, "%s", v.Words())
	if v.RetryAt.After(now) {
		e.RetryAfter = v.RetryAt.Sub(now)
	}
	return e
}

// Judge says whether a request for a model may be made now; an empty model is none in
// particular. The first reason against it is told, from the key outwards.
func (k KeyCheck) Judge(model string, now time.Time) KeyVerdict {
	until, spent := k.overBudget("", now)
	switch {
	case k.Lapsed:
		return KeyVerdict{Reason: KeyIsExpired}
	case k.Revoked:
		return KeyVerdict{Reason: KeyIsRevoked}
	case !k.ExpiresAt.IsZero() && !now.Before(k.ExpiresAt):
		return KeyVerdict{Reason: KeyIsExpired}
	case k.Refused:
		return KeyVerdict{Reason: KeyIsRefused}
	case !k.Owner.Active:
		return KeyVerdict{Reason: KeyOwnerInactive}
	case k.Held:
		return KeyVerdict{Reason: KeyIsHeld}
	case !k.Owner.Permitted:
		return KeyVerdict{Reason: KeyNotPermitted}
	case k.Team != nil && !k.Team.Member:
		return KeyVerdict{Reason: KeyNotInTeam}
	case spent:
		return KeyVerdict{KeyOverBudget, until}
	}
	if model != "" {
		return k.judgeModel(model, now)
	}
	return k.judgeAny(now)
}

// judgeModel says whether the key may call one model.
func (k KeyCheck) judgeModel(model string, now time.Time) KeyVerdict {
	plan, subscribed := k.Owner.plan(model)
	_, listed := slices.BinarySearch(k.Models, model)
	until, spent := k.overBudget(model, now)
	switch {
	case spent: // which may have taken the model off the key
		return KeyVerdict{KeyOverBudget, until}
	case subscribed && plan.OverQuota: // likewise
		return KeyVerdict{KeyOverQuota, plan.ResetAt}
	case !listed:
		return KeyVerdict{Reason: KeyNotForModel}
	case !subscribed || plan.Status != SubscriptionActive || plan.ExpiresAt != nil && !now.Before(*plan.ExpiresAt):
		return KeyVerdict{Reason: KeyNotSubscribed}
	case k.Team != nil && len(k.Team.Models) > 0 && !slices.Contains(k.Team.Models, model):
		return KeyVerdict{Reason: KeyNotForTeam}
	case plan.Exhausted && now.Before(plan.ResetAt):
		return KeyVerdict{KeyOverQuota, plan.ResetAt}
	}
	return KeyVerdict{Reason: KeyIsValid}
}

// judgeAny says whether the key may call any model at all.
func (k KeyCheck) judgeAny(now time.Time) KeyVerdict {
	first := KeyVerdict{Reason: KeyIsHeld} // to LiteLLM, a key without models is blocked
	for i, model := range k.Models {
		v := k.judgeModel(model, now)
		if v.Allowed() {
			return v
		}
		if i == 0 {
			first = v
		}
	}
	return first
}

// OverBudget reports whether the key may spend nothing now, on whatever model.
func (k KeyCheck) OverBudget(now time.Time) bool {
	_, over := k.overBudget("", now)
	return over
}

// overBudget reports whether a budget is used up, for a model or, without one, for all, and when the
// last of them begins anew; zero: waiting does not help.
func (k KeyCheck) overBudget(model string, now time.Time) (until time.Time, over bool) {
	for _, b := range k.Spent {
		switch {
		case b.ModelID != model || b.Until != nil && !now.Before(*b.Until):
		case b.Until == nil:
			return time.Time{}, true
		case b.Until.After(until):
			until, over = *b.Until, true
		}
	}
	return until, over
}

// plan is the subscription to a model that counts, if there is one.
func (o KeyOwner) plan(model string) (KeyPlan, bool) {
	i, ok := slices.BinarySearchFunc(o.Subscriptions, model, func(p KeyPlan, id string) int { return strings.Compare(p.ModelID, id) })
	if !ok {
		return KeyPlan{}, false
	}
	return o.Subscriptions[i], true
}

// Plans are the subscriptions that the key's models rest on.
func (k KeyCheck) Plans() []KeyPlan {
	plans := make([]KeyPlan, 0, len(k.Models))
	for _, model := range k.Models {
		if p, ok := k.Owner.plan(model); ok {
			plans = append(plans, p)
		}
	}
	return plans
}

// KeyUse is when a key was last used.
type KeyUse struct {
	ID uuid.UUID
	At time.Time
}

// LikeKey reports whether text can be an API key at all, so that nothing else is looked for.
func LikeKey(text string) bool {
	const shortest, longest = 20, 200
	return strings.HasPrefix(text, SecretPrefix) && len(text) >= shortest && len(text) <= longest
}
