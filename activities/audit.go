package activities

import (
	"context"
	"time"

	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
)

// AuditLog looks after the partitions of the audit log.
type AuditLog struct {
	Store     *store.Store
	Retention time.Duration // how long rows are kept at least; 0: for ever
}

// auditAhead is how many months beyond this one have a partition.
const auditAhead = 3

// PrepareAuditInput is empty.
type PrepareAuditInput struct{}

// PrepareAuditResult counts the partitions that were made.
type PrepareAuditResult struct{ Partitions int }

// PrepareAudit makes the partitions of the months to come.
func (a *AuditLog) PrepareAudit(ctx context.Context, _ PrepareAuditInput) (PrepareAuditResult, error) {
	defer beat(ctx)()
	n, err := a.Store.EnsureAuditPartitions(ctx, auditAhead)
	return PrepareAuditResult{n}, err
}

// DropAuditInput is empty.
type DropAuditInput struct{}

// DropAuditResult says what retention took away.
type DropAuditResult struct {
	Partitions []string
	Rows       int
}

// DropAudit drops the months of which every row is older than the retention.
func (a *AuditLog) DropAudit(ctx context.Context, _ DropAuditInput) (DropAuditResult, error) {
	if a.Retention <= 0 {
		return DropAuditResult{}, nil
	}
	defer beat(ctx)()
	gone, err := a.Store.DropAuditBefore(ctx, time.Now().Add(-a.Retention), models.System("Clean"))
	return DropAuditResult{gone.Partitions, gone.Rows}, err
}
