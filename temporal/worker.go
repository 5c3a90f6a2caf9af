// Package temporal puts our workflows and activities on a Temporal server. It is imported
// by cmd alone; everything below knows Temporal only through its SDK.
package temporal

import (
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/worker"

	"github.com/litemaas/litemaas/activities"
	"github.com/litemaas/litemaas/workflows"
)

// Activities is every activity the worker offers.
type Activities struct {
	SyncRuns      *activities.SyncRuns
	Proposals     *activities.Proposals
	Probes        *activities.Probes
	Schedules     *activities.Schedules
	Users         *activities.Users
	Subscriptions *activities.Subscriptions
	Cascades      *activities.Cascades
	Keys          *activities.Keys
	Sessions      *activities.Sessions
	AuditLog      *activities.AuditLog
	SealedValues  *activities.SealedValues
	Operations    *activities.Operations
	Orphans       *activities.Orphans
	Usage         *activities.Usage
	Budgets       *activities.Budgets
}

// NewWorker returns a worker for everything we run. Its bounds suit two cores and the
// default pool of database connections.
func NewWorker(c client.Client, a Activities) worker.Worker {
	w := worker.New(c, workflows.TaskQueue, worker.Options{
		Interceptors:                            []interceptor.WorkerInterceptor{&errorKinds{}},
		MaxConcurrentActivityExecutionSize:      64,
		MaxConcurrentLocalActivityExecutionSize: 32,
	})
	registerWorkflows(w)
	registerActivities(w, a)
	return w
}

// registerWorkflows is shared with the replay test, so neither can forget one.
func registerWorkflows(r worker.WorkflowRegistry) {
	r.RegisterWorkflow(workflows.FullSync)
	r.RegisterWorkflow(workflows.AutoSync)
	r.RegisterWorkflow(workflows.RefreshModel)
	r.RegisterWorkflow(workflows.ApplyRemovals)
	r.RegisterWorkflow(workflows.Sweep)
	r.RegisterWorkflow(workflows.ReconcileUser)
	r.RegisterWorkflow(workflows.ReconcileUsers)
	r.RegisterWorkflow(workflows.ReconcileKey)
	r.RegisterWorkflow(workflows.ReconcileKeys)
	r.RegisterWorkflow(workflows.ReconcileKeyBatch)
	r.RegisterWorkflow(workflows.QuarantineOrphans)
	r.RegisterWorkflow(workflows.Offboard)
	r.RegisterWorkflow(workflows.Reinstate)
	r.RegisterWorkflow(workflows.ProvisionSubscription)
	r.RegisterWorkflow(workflows.EndSubscription)
	r.RegisterWorkflow(workflows.RestoreSubscription)
	r.RegisterWorkflow(workflows.Expire)
	r.RegisterWorkflow(workflows.ExpireKeys)
	r.RegisterWorkflow(workflows.RotateKey)
	r.RegisterWorkflow(workflows.EnforceBudgets)
	r.RegisterWorkflow(workflows.EnforceBudget)
	r.RegisterWorkflow(workflows.RaiseBudget)
	r.RegisterWorkflow(workflows.Clean)
	r.RegisterWorkflow(workflows.ResealSecrets)
	r.RegisterWorkflow(workflows.CollectUsage)
	r.RegisterWorkflow(workflows.BackfillUsage)
}

func registerActivities(r worker.ActivityRegistry, a Activities) {
	r.RegisterActivity(a.SyncRuns)
	r.RegisterActivity(a.Proposals)
	r.RegisterActivity(a.Probes)
	r.RegisterActivity(a.Schedules)
	r.RegisterActivity(a.Users)
	r.RegisterActivity(a.Subscriptions)
	r.RegisterActivity(a.Cascades)
	r.RegisterActivity(a.Keys)
	r.RegisterActivity(a.Sessions)
	r.RegisterActivity(a.AuditLog)
	r.RegisterActivity(a.SealedValues)
	r.RegisterActivity(a.Operations)
	r.RegisterActivity(a.Orphans)
	r.RegisterActivity(a.Usage)
	r.RegisterActivity(a.Budgets)
}
