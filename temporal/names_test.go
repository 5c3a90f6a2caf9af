package temporal

import (
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/worker"

	"github.com/litemaas/litemaas/activities"
)

// The names under which everything is registered are written into histories: a run in progress
// is stuck when one goes. Taking a name from this list is right only when no run can hold it.
func TestRegisteredNames(t *testing.T) {
	var r recorder
	registerWorkflows(&r)
	registerActivities(&r, Activities{
		SyncRuns: &activities.SyncRuns{}, Proposals: &activities.Proposals{}, Probes: &activities.Probes{}, Schedules: &activities.Schedules{},
		Users: &activities.Users{}, Subscriptions: &activities.Subscriptions{}, Cascades: &activities.Cascades{}, Keys: &activities.Keys{},
		Sessions: &activities.Sessions{}, AuditLog: &activities.AuditLog{}, SealedValues: &activities.SealedValues{}, Operations: &activities.Operations{},
		Orphans: &activities.Orphans{}, Usage: &activities.Usage{}, Budgets: &activities.Budgets{},
	})
	slices.Sort(r.workflows)
	slices.Sort(r.activities)
	require.Equal(t, []string{
		"ApplyRemovals", "AutoSync", "BackfillUsage", "Clean", "CollectUsage", "EndSubscription", "EnforceBudget", "EnforceBudgets", "Expire",
		"ExpireKeys", "FullSync", "Offboard", "ProvisionSubscription", "QuarantineOrphans", "RaiseBudget", "ReconcileKey", "ReconcileKeyBatch",
		"ReconcileKeys", "ReconcileUser",
		"ReconcileUsers", "RefreshModel", "Reinstate", "ResealSecrets", "RestoreSubscription", "RotateKey", "Sweep",
	}, r.workflows)
	require.Equal(t, []string{
		"AbandonRotation", "AlarmRevocations", "ApplyKey", "ApplyKeys", "ApplyOrphans", "ApplyUser", "ApplyUsers", "AuditReseal",
		"BeginSyncRun", "BudgetLeft", "BudgetsWait", "CascadeKeys", "CascadeVanished", "CleanUsage", "CompareKeys", "CompareUsers", "CompleteSyncRun",
		"CountSealed", "DeactivateUser", "DropAudit", "DueOrphans", "DueProposals", "EndDueKeys", "EndRaise", "ExpireSessions", "ExpireSubscriptions",
		"FailKey", "FailSyncRun", "FailUser", "FetchCatalogue", "FetchKeys", "FetchModel", "FetchProposed", "FetchUsers", "FollowBudget",
		"ForgetOperations", "HastenRetirement", "JudgeBudget", "JudgeBudgets", "LapseRequests", "LookAtKeyUse", "LookAtRaise", "LookAtRotation",
		"MergeCatalogue", "NoticeExpiry", "NoticeKeys", "ObserveBudget", "ObserveCascade", "ObserveKey", "ObserveKeys", "ObserveOrphans",
		"ObserveUser", "ObserveUsers", "PlanUsage", "PrepareAudit", "ProbeLiteLLM", "ProvisionSubscription", "ReadUsage", "ReadUsageDay",
		"RefuseSubscription", "ReinstateUser", "RemindApprovers", "ResealPage", "ResetQuotas", "RestoreReturned", "RetireKey", "RotateDueKeys",
		"TellSyncSchedule", "UnprovisionedSubscriptions", "UnsettledBudgets", "UnsettledCascades",
		"UnsettledKeys", "UnsettledUsers", "UserCascades",
	}, r.activities)
	require.Len(t, slices.Compact(r.activities), len(r.activities), "two structs have an activity of one name")
}

// recorder is a worker that only notes what is registered.
type recorder struct {
	worker.Registry
	workflows, activities []string
}

func (r *recorder) RegisterWorkflow(wf any) {
	name := runtime.FuncForPC(reflect.ValueOf(wf).Pointer()).Name()
	r.workflows = append(r.workflows, name[strings.LastIndex(name, ".")+1:])
}

func (r *recorder) RegisterActivity(act any) {
	for i := range reflect.TypeOf(act).NumMethod() {
		r.activities = append(r.activities, reflect.TypeOf(act).Method(i).Name)
	}
}
