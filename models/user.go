package models

import (
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

// User is a person with an account. His row is the wish: every change of what LiteLLM holds
// too raises Generation. ReconcileUser makes LiteLLM agree, and raises ObservedGeneration to
// the generation that it has seen to be true there, or FailedGeneration to the one that
// LiteLLM refuses for good.
type User struct {
	ID            uuid.UUID
	Username      string // unique
	Email         string // unique in any letter case; empty: the identity provider gave none
	EmailVerified bool   // by the identity provider
	FullName      string
	NamedHere     bool     // he changed FullName himself; sign-ins leave it alone
	Provider      string   `gorm:"column:oauth_provider"`
	Subject       string   `gorm:"column:oauth_id"` // the identity provider's name for him
	Holds         []Hold   `gorm:"serializer:json"` // why he may do nothing now
	Limits        Limits   `gorm:"embedded"`        // at LiteLLM, over all his keys
	Raised        USD      // what MaxBudget is raised by, for a while
	Roles         []string `gorm:"serializer:json;->"` // that he holds, by name, without those they inherit

	Generation, ObservedGeneration, FailedGeneration int64
	ResetGeneration                                  int64  // the last wish by which what he spent counts from zero
	Failure                                          string // why LiteLLM refuses him, in words
	LastLoginAt                                      *time.Time
	CreatedAt, UpdatedAt                             time.Time
}

// TableName is where users are stored.
func (User) TableName() string { return "users" }

// The fixed rows, the same in LiteMaaS.
var (
	SystemUserID  = uuid.MustParse("00000000-0000-0000-0000-000000000001") // owns what no person owns; never signs in
	UnknownUserID = uuid.Nil                                               // whom usage belongs to that nobody can be found for
	DefaultTeamID = uuid.MustParse("a0000000-0000-4000-8000-000000000001") // every person is a member
)

// Hold is one reason why something may not be used. Who sets a hold lifts it, so that the end
// of one reason cannot undo another.
type Hold string

// The reasons.
const (
	HoldAdmin      Hold = "admin"      // an admin deactivated the user
	HoldOffboarded Hold = "offboarded" // he left; set and lifted by Offboard and Reinstate
	HoldSystem     Hold = "system"     // no person; never lifted
)

// Active reports whether the user may sign in and be heard.
func (u User) Active() bool { return len(u.Holds) == 0 }

// Settled reports whether LiteLLM was seen to agree with the row.
func (u User) Settled() bool { return u.ObservedGeneration >= u.Generation }

// Resets reports whether LiteLLM has yet to count what the user spends from zero.
func (u User) Resets() bool { return u.ResetGeneration > u.ObservedGeneration }

// UserStatus is what people are told of how far LiteLLM agrees; the words are LiteMaaS's.
type UserStatus string

// The statuses.
const (
	UserPending UserStatus = "pending"
	UserSynced  UserStatus = "synced"
	UserFailed  UserStatus = "error" // LiteLLM refuses the user as he is now; see Failure
)

// Status derives the status from the wish and from what was observed, so that they cannot
// contradict each other.
func (u User) Status() UserStatus {
	switch {
	case u.Settled():
		return UserSynced
	case u.FailedGeneration == u.Generation:
		return UserFailed
	default:
		return UserPending
	}
}

// Limits bounds what a user may spend at LiteLLM.
type Limits struct {
	MaxBudget      *USD   // for each budget period; nil: unlimited
	BudgetDuration string // daily, weekly, monthly, yearly, or such as 30d, 1mo; empty: the budget is never reset
	TPM            *int64 `gorm:"column:tpm_limit"` // tokens a minute; nil: unlimited
	RPM            *int64 `gorm:"column:rpm_limit"` // requests a minute; nil: unlimited
}

// durations are LiteMaaS's words for budget periods in LiteLLM's.
var durations = map[string]string{"daily": "1d", "weekly": "7d", "monthly": "1mo", "yearly": "365d"}

var duration = regexp.MustCompile(`^[1-9][0-9]{0,8}([smhd]|mo)$`)

// Check reports what is wrong with the limits; the error is Invalid and names the field.
func (l Limits) Check() error {
	_, known := durations[l.BudgetDuration]
	switch {
	case l.MaxBudget != nil && *l.MaxBudget < 0:
		return Errorf(Invalid, "a budget must be zero or more").On("maxBudget")
	case l.BudgetDuration != "" && !known && !duration.MatchString(l.BudgetDuration):
		return Errorf(Invalid, "a budget period is daily, weekly, monthly, yearly, or such as 12h, 30d or 1mo").On("budgetDuration")
	case l.TPM != nil && *l.TPM < 0:
		return Errorf(Invalid, "a limit must be zero or more").On("tpmLimit")
	case l.RPM != nil && *l.RPM < 0:
		return Errorf(Invalid, "a limit must be zero or more").On("rpmLimit")
	}
	return nil
}

// Unlimited is what older versions of LiteLLM are sent where there is no limit, and what they
// then hold: tokens, requests, or dollars.
const Unlimited = 2147483647

// Proxy is the user as LiteLLM should hold him. Whoever is held back may spend nothing there:
// LiteLLM has no other way to stop a user. The store compares by the same rule, set-based.
func (u User) Proxy() ProxyUser {
	p := ProxyUser{
		ID: u.ID.String(), Email: u.Email, Alias: u.Username, Role: ProxyRoleUser,
		MaxBudget: raisedBy(u.Limits.MaxBudget, u.Raised), BudgetDuration: u.Limits.BudgetDuration, TPM: u.Limits.TPM, RPM: u.Limits.RPM,
	}
	if word, ok := durations[p.BudgetDuration]; ok {
		p.BudgetDuration = word
	}
	if !u.Active() {
		p.MaxBudget = new(USD(0))
	}
	return p
}

// Differences lists the fields, in LiteLLM's words, in which LiteLLM, which holds seen, does
// not agree with the row; none means that it does. LiteLLM cannot be told to have no e-mail
// address, so that an empty one asks for nothing.
func (u User) Differences(seen ProxyUser) []string {
	want := u.Proxy()
	var fields []string
	add := func(field string, differs bool) {
		if differs {
			fields = append(fields, field)
		}
	}
	add("user_email", want.Email != "" && !strings.EqualFold(want.Email, seen.Email))
	add("user_alias", want.Alias != seen.Alias)
	add("user_role", want.Role != seen.Role)
	add("max_budget", !sameLimit(want.MaxBudget, seen.MaxBudget, Unlimited*Dollar))
	add("budget_duration", want.BudgetDuration != seen.BudgetDuration)
	add("tpm_limit", !sameLimit(want.TPM, seen.TPM, Unlimited))
	add("rpm_limit", !sameLimit(want.RPM, seen.RPM, Unlimited))
	return fields
}

// sameLimit reports whether two limits are the same; unlimited is one way to say nil.
func sameLimit[T ~int64](want, seen *T, unlimited T) bool {
	if seen != nil && *seen == unlimited {
		seen = nil
	}
	if want == nil || seen == nil {
		return want == seen || want != nil && *want == unlimited
	}
	return *want == *seen
}

// UserStep is one write at LiteLLM.
type UserStep string

// The steps. UserSettled is none: nothing is left to do.
const (
	UserSettled UserStep = "settled"
	UserCreate  UserStep = "create"
	UserUpdate  UserStep = "update"

	UserResetSpend UserStep = "reset_spend"
)

// Next is the next write that brings LiteLLM, which holds seen (nil: nothing), to the row.
func (u User) Next(seen *ProxyUser) UserStep {
	switch {
	case seen == nil:
		return UserCreate
	case len(u.Differences(*seen)) > 0:
		return UserUpdate
	default:
		return UserSettled
	}
}

// Identity is a person as an identity provider vouches for him, at a sign-in.
type Identity struct {
	Provider      string // oidc, openshift, mock
	Subject       string // the provider's name for him, which never changes
	Email         string
	EmailVerified bool
	Username      string
	FullName      string
	Roles         []string // that his groups say; none: RoleUser
}

// Check reports what an identity lacks to be somebody; the error is Unauthenticated.
func (i Identity) Check() error {
	if slices.Contains([]string{i.Provider, i.Subject, i.Username}, "") {
		return Errorf(Unauthenticated, "the identity provider does not say who you are")
	}
	return nil
}

// Initials are the settings by which a sign-in makes users.
type Initials struct {
	Admins []string // the usernames that are admins, as long as they are listed
	Limits Limits   // of a new user
}
