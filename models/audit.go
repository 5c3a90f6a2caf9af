package models

import (
	"crypto/sha256"
	"encoding/json"
	"strconv"
	"strings"
	"time"
)

// Event is what somebody did, as it is written into the audit log. It must hold no secret.
type Event struct {
	Action       AuditAction
	ResourceType AuditResource
	ResourceID   string
	Detail       any    // an object; nil: nothing to add
	Before       any    // what changed, as it was; nil: nothing was
	After        any    // and as it is
	Failure      string // why it was refused or went wrong; empty: it was done
}

// AuditAction says what was done. The web UI has labels for the actions of LiteMaaS.
type AuditAction string

// The actions.
const (
	AuditLogin         AuditAction = "LOGIN"
	AuditLogout        AuditAction = "LOGOUT"
	AuditDenied        AuditAction = "AUTH_DENIED" // somebody we know may not
	AuditFailed        AuditAction = "AUTH_FAILED" // nobody we know, or not any more
	AuditSessionCreate AuditAction = "SESSION_CREATE"
	AuditSessionRevoke AuditAction = "SESSION_REVOKE"
	AuditKeyRotate     AuditAction = "SIGNING_KEY_ROTATE"
	AuditKeyRevoke     AuditAction = "SIGNING_KEY_REVOKE"
	AuditReseal        AuditAction = "SECRETS_RESEAL" // what an old key of the keyset sealed was sealed anew

	AuditUserCreate     AuditAction = "USER_CREATE"
	AuditUserLink       AuditAction = "USER_LINK" // an account was tied to another identity
	AuditUserUpdate     AuditAction = "USER_UPDATE"
	AuditUserDeactivate AuditAction = "USER_DEACTIVATE"
	AuditUserReinstate  AuditAction = "USER_REINSTATE"
	AuditUserDrift      AuditAction = "USER_DRIFT"   // LiteLLM held another user than ours; he is written again
	AuditUserRefused    AuditAction = "USER_REFUSED" // by LiteLLM
	AuditUserBudget     AuditAction = "USER_BUDGET_UPDATE"
	AuditUserSpend      AuditAction = "USER_SPEND_RESET"
	AuditProfileUpdate  AuditAction = "PROFILE_UPDATE"

	AuditRoleGrant  AuditAction = "ROLE_GRANT"
	AuditRoleRevoke AuditAction = "ROLE_REVOKE"
	AuditRoleCreate AuditAction = "ROLE_CREATE"
	AuditRoleUpdate AuditAction = "ROLE_UPDATE"
	AuditRoleDelete AuditAction = "ROLE_DELETE"

	AuditUserKeyCreate  AuditAction = "API_KEY_CREATE"
	AuditUserKeyDrift   AuditAction = "API_KEY_DRIFT"   // LiteLLM held another key than ours; it is written again
	AuditUserKeyRefused AuditAction = "API_KEY_REFUSED" // by LiteLLM
	AuditUserKeyExpire  AuditAction = "API_KEY_EXPIRED"
	AuditUserKeyRotate  AuditAction = "API_KEY_ROTATE"
	AuditUserKeyRetire  AuditAction = "API_KEY_RETIRE"      // it was rotated, and its successor is alone
	AuditUserKeyUndo    AuditAction = "API_KEY_ROTATE_UNDO" // it lives on, and its successor does not
	AuditUserKeyPolicy  AuditAction = "API_KEY_ROTATION_POLICY"
	AuditUserKeyOverdue AuditAction = "API_KEY_REVOCATION_OVERDUE" // LiteLLM still takes it
	AuditUserKeyReveal  AuditAction = "API_KEY_RETRIEVE_FULL"
	AuditUserKeyHidden  AuditAction = "API_KEY_RETRIEVE_FAILED"
	AuditUserKeyCleanup AuditAction = "API_KEYS_CLEANUP"
	AuditUserKeyUpdate  AuditAction = "API_KEY_UPDATE"
	AuditUserKeyRevoke  AuditAction = "API_KEY_REVOKE"
	AuditUserKeyDelete  AuditAction = "API_KEY_DELETE"
	AuditUserKeySpend   AuditAction = "API_KEY_SPEND_RESET"

	// What admins do to the keys of users.
	AuditAdminKeyCreate    AuditAction = "ADMIN_CREATE_API_KEY"
	AuditAdminKeyUpdate    AuditAction = "ADMIN_UPDATE_API_KEY"
	AuditAdminKeyRevoke    AuditAction = "ADMIN_REVOKE_API_KEY"
	AuditAdminKeyDelete    AuditAction = "ADMIN_DELETE_API_KEY"
	AuditAdminKeySpend     AuditAction = "ADMIN_RESET_API_KEY_SPEND"
	AuditAdminSubscribed   AuditAction = "ADMIN_AUTO_CREATE_SUBSCRIPTION"
	AuditAdminResubscribed AuditAction = "ADMIN_AUTO_ACTIVATE_SUBSCRIPTION"

	AuditKeyConflict        AuditAction = "API_KEY_CONFLICT"          // LiteLLM holds another value, and a person has to decide
	AuditKeyConflictResolve AuditAction = "API_KEY_CONFLICT_RESOLVED" // he did
	AuditOrphanQuarantine   AuditAction = "ORPHAN_KEY_QUARANTINED"    // a key of LiteLLM's that is not ours
	AuditOrphanAdopt        AuditAction = "ORPHAN_KEY_ADOPTED"
	AuditOrphanRelease      AuditAction = "ORPHAN_KEY_RELEASED"
	AuditOrphanDelete       AuditAction = "ORPHAN_KEY_DELETED"

	AuditSubscriptionCreate     AuditAction = "SUBSCRIPTION_CREATE"
	AuditSubscriptionReactivate AuditAction = "SUBSCRIPTION_REACTIVATED" // its owner asked again
	AuditSubscriptionReapply    AuditAction = "SUBSCRIPTION_REAPPLIED"   // he asked again, and an admin has to decide
	AuditSubscriptionUpdate     AuditAction = "SUBSCRIPTION_UPDATE"
	AuditSubscriptionCancel     AuditAction = "SUBSCRIPTION_CANCELLED"
	AuditSubscriptionApprove    AuditAction = "SUBSCRIPTION_APPROVED"
	AuditSubscriptionDeny       AuditAction = "SUBSCRIPTION_DENIED"
	AuditSubscriptionReview     AuditAction = "SUBSCRIPTION_REVIEW_REQUESTED"
	AuditSubscriptionRevert     AuditAction = "SUBSCRIPTION_STATUS_REVERTED"
	AuditSubscriptionDelete     AuditAction = "SUBSCRIPTION_DELETED_BY_ADMIN"
	AuditSubscriptionActivate   AuditAction = "SUBSCRIPTION_ACTIVATED"
	AuditSubscriptionRefuse     AuditAction = "SUBSCRIPTION_REFUSED" // what was wanted cannot be
	AuditSubscriptionExpire     AuditAction = "SUBSCRIPTION_EXPIRED"
	AuditSubscriptionLapse      AuditAction = "SUBSCRIPTION_LAPSED" // nobody decided in time
	AuditSubscriptionEnd        AuditAction = "SUBSCRIPTION_ENDED"  // its model is gone, or needs an approval now
	AuditSubscriptionRestore    AuditAction = "SUBSCRIPTION_RESTORED"
	AuditSubscriptionSuspend    AuditAction = "SUBSCRIPTION_SUSPENDED"
	AuditSubscriptionResume     AuditAction = "SUBSCRIPTION_RESUMED"
	AuditQuotasReset            AuditAction = "QUOTAS_RESET"

	AuditBudgetHold      AuditAction = "BUDGET_HELD" // it is used up, and its subject may spend nothing
	AuditBudgetRelease   AuditAction = "BUDGET_RELEASED"
	AuditBudgetRaiseAsk  AuditAction = "BUDGET_RAISE_REQUESTED"
	AuditBudgetRaise     AuditAction = "BUDGET_RAISED"
	AuditBudgetRaiseDeny AuditAction = "BUDGET_RAISE_DENIED"
	AuditBudgetRestore   AuditAction = "BUDGET_RESTORED" // a raise ended
	AuditBudgetUpdate    AuditAction = "BUDGET_UPDATE"
	AuditBudgetPardon    AuditAction = "BUDGET_PARDONED" // a person prevented a hold, or lifted it

	AuditModelUpdate      AuditAction = "MODEL_UPDATE"
	AuditModelRestriction AuditAction = "MODEL_RESTRICTION_CHANGE"

	AuditUsageDrop   AuditAction = "USAGE_DROP"      // retention took old days away
	AuditUsageRerate AuditAction = "USAGE_RERATE"    // calls were priced anew
	AuditPriceSet    AuditAction = "MODEL_PRICE_SET" // from a time on

	AuditExport AuditAction = "AUDIT_EXPORT"
	AuditDrop   AuditAction = "AUDIT_DROP" // retention took old rows away
)

// AuditResource says what kind of thing it was done to.
type AuditResource string

// The resources.
const (
	AuditOfAuth     AuditResource = "AUTH"
	AuditOfSecurity AuditResource = "SECURITY"
	AuditOfUser     AuditResource = "USER"
	AuditOfRole     AuditResource = "ROLE"
	AuditOfAccess   AuditResource = "API_ACCESS" // a request; denials only

	AuditOfSubscription AuditResource = "SUBSCRIPTION"
	AuditOfModel        AuditResource = "MODEL"
	AuditOfKey          AuditResource = "API_KEY"
	AuditOfOrphan       AuditResource = "ORPHAN_KEY" // by LiteLLM's name for it
	AuditOfBudget       AuditResource = "BUDGET"
	AuditOfRaise        AuditResource = "BUDGET_RAISE" // of operations alone: the log names its budget

	AuditOfUsage AuditResource = "USAGE" // by the day or the time that it begins with

	AuditOfLog AuditResource = "AUDIT"
)

// AuditEntry is one row of the audit log. Each row holds the hash of the one before it, so
// that none can be changed, taken out or moved unseen.
type AuditEntry struct {
	ID           int64 // without gaps
	At           time.Time
	Actor        string // a user's id, an admin key's name, "system", or "anonymous"
	Via          string
	Action       AuditAction
	ResourceType AuditResource
	ResourceID   string
	Detail       json.RawMessage
	Before       json.RawMessage // nil: nothing was
	After        json.RawMessage
	Success      bool
	Failure      string
	IP           string
	UserAgent    string
	RequestID    string
	SessionID    *string
	PrevHash     []byte
	Hash         []byte

	Username, Email string // of the actor now; empty when he is no user
}

// auditTime is how a time enters the hash.
const auditTime = "2006-01-02T15:04:05.000000Z"

// Chained is what the hash of the row must be: SHA-256 of the hash before it and of the
// row's fields, each as length:text, or - for none, with commas between. The database makes
// it by the same rule; it is made again here so that whoever can change the rows and the
// functions of the database still cannot make a changed row look right.
func (e *AuditEntry) Chained() []byte {
	none := func(raw []byte) *string {
		if raw == nil {
			return nil
		}
		return new(string(raw))
	}
	fields := []*string{
		new(strconv.FormatInt(e.ID, 10)), new(e.At.UTC().Format(auditTime)), &e.Actor, &e.Via,
		(*string)(&e.Action), (*string)(&e.ResourceType), &e.ResourceID,
		none(e.Detail), none(e.Before), none(e.After),
		new(strconv.FormatBool(e.Success)), &e.Failure, &e.IP, &e.UserAgent, &e.RequestID, e.SessionID,
	}
	var b strings.Builder
	b.Write(e.PrevHash)
	for i, f := range fields {
		if i > 0 {
			b.WriteByte(',')
		}
		if f == nil {
			b.WriteByte('-')
			continue
		}
		b.WriteString(strconv.Itoa(len(*f)))
		b.WriteByte(':')
		b.WriteString(*f)
	}
	sum := sha256.Sum256([]byte(b.String()))
	return sum[:]
}

// AuditMark is a place in the chain. A mark that is kept elsewhere proves later that all rows
// up to it are still those that were there.
type AuditMark struct {
	ID   int64
	Hash []byte
}

// AuditBreak is a place where the chain does not hold.
type AuditBreak struct {
	ID   int64 // of the row where it shows, or of the first that is missing
	Kind AuditFault
	Why  string // in words
}

// AuditFault sorts what can be wrong with the chain.
type AuditFault string

// The faults.
const (
	AuditChanged   AuditFault = "changed"
	AuditMissing   AuditFault = "missing"
	AuditReordered AuditFault = "reordered"
)

// AuditReport is what a look at the chain found.
type AuditReport struct {
	From, To AuditMark // the first and the last row that were looked at
	Rows     int
	Breaks   []AuditBreak // the first of them
	More     bool         // there are further ones
}
