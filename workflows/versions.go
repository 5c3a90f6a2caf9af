package workflows

import "go.temporal.io/sdk/workflow"

// The changes of workflows that may be running when they come, by the names under which runs
// remember them. A name is never taken from this list while a run from before it may replay.
const (
	changeSyncUsers          = "full-sync-users"     // FullSync compares users
	changeSweepUsers         = "sweep-users"         // Sweep starts ReconcileUsers
	changeSyncKeys           = "full-sync-keys"      // FullSync compares API keys
	changeSweepKeys          = "sweep-keys"          // Sweep starts ReconcileKeys
	changeSyncCascades       = "sync-cascades"       // what a sync finds gone or back moves subscriptions
	changeSweepSubscriptions = "sweep-subscriptions" // Sweep looks after subscriptions and cascades
	changeHoldCascades       = "hold-cascades"       // Offboard and Reinstate wait for the user's keys
	changeForget             = "clean-forgets"       // Clean forgets operations
	changeExpireKeys         = "expire-keys"         // Expire does what is due to API keys
	changeSweepOrphans       = "sweep-orphans"       // Sweep starts QuarantineOrphans
	changeWakeKeys           = "expire-keys-wakes"   // a row that changes wakes ExpireKeys
	changeAlarmKeys          = "expire-keys-alarms"  // ExpireKeys raises the alarm, and Expire does not
	changeCleanUsage         = "clean-usage"         // Clean looks after the ledger of usage
	changeSweepBudgets       = "sweep-budgets"       // Sweep starts EnforceBudgets
)

// knows reports whether the run has got a change: it did not come to the place before it.
func knows(ctx workflow.Context, change string) bool {
	return workflow.GetVersion(ctx, change, workflow.DefaultVersion, 1) >= 1
}
