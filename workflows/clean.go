package workflows

import (
	"fmt"
	"time"

	"go.temporal.io/sdk/workflow"

	"github.com/litemaas/litemaas/activities"
)

// CleanInput is empty: the settings of the worker say what is old.
type CleanInput struct{}

// WorkflowID is the beginning of the ID of each cleaning; Temporal adds the time.
func (CleanInput) WorkflowID() string { return "clean" }

// Summary is the run's line in the Temporal UI.
func (CleanInput) Summary() string {
	return "Take away what is old, and make ready what will be needed"
}

// CleanResult counts what was done.
type CleanResult struct {
	Expired   activities.ExpireSessionsResult
	Made      int // partitions of the audit log, for months to come
	Dropped   activities.DropAuditResult
	Forgotten int                         `json:",omitzero"` // operations
	Usage     activities.CleanUsageResult `json:",omitzero"`
}

// cleanWithin is how long a step may be tried: what it does not get done, the next run does, and
// all steps together are done before that comes.
const cleanWithin = 10 * time.Minute

// Clean is what the clock does once an hour: sessions that ended, sign-ins nobody came back
// from, signing keys, months of the audit log, days of the ledger of usage and operations go when
// their time is over; the months and days to come are made before they are needed. The next signing key is made by who signs. A
// step that fails holds up no other.
func Clean(ctx workflow.Context, _ CleanInput) (CleanResult, error) {
	var res CleanResult
	var failed error
	note := func(err error) {
		if failed == nil {
			failed = err
		}
	}
	made, err := regular(ctx, "Make the months to come of the audit log", cleanWithin, auditLog.PrepareAudit, activities.PrepareAuditInput{})
	res.Made = made.Partitions
	note(err)
	res.Expired, err = regular(ctx, "Take away sessions and sign-ins that are over", cleanWithin, sessions.ExpireSessions, activities.ExpireSessionsInput{})
	note(err)
	res.Dropped, err = regular(ctx, "Drop the months of the audit log that are too old", cleanWithin, auditLog.DropAudit, activities.DropAuditInput{})
	note(err)
	if knows(ctx, changeForget) {
		forgotten, err := regular(ctx, "Forget operations that nobody may ask for any more", cleanWithin, operations.ForgetOperations, activities.ForgetOperationsInput{})
		res.Forgotten = forgotten.Operations
		note(err)
	}
	if knows(ctx, changeCleanUsage) {
		res.Usage, err = regular(ctx, "Make the days to come of the ledger of usage, and drop those that are too old", cleanWithin, usage.CleanUsage, activities.CleanUsageInput{})
		note(err)
	}
	workflow.SetCurrentDetails(ctx, fmt.Sprintf("Taken away: %d sessions, %d sign-ins begun, %d signing keys, %d rows of the audit log, %d operations, %d days of usage. Months made: %d; days made: %d.",
		res.Expired.Sessions, res.Expired.LoginStates, res.Expired.SigningKeys, res.Dropped.Rows, res.Forgotten, res.Usage.Dropped, res.Made, res.Usage.Made))
	return res, failed
}
