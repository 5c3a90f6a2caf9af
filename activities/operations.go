package activities

import (
	"context"

	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
)

// Operations looks after what callers may ask for again.
type Operations struct{ Store *store.Store }

// ForgetOperationsInput is empty.
type ForgetOperationsInput struct{}

// ForgetOperationsResult counts what was taken away.
type ForgetOperationsResult struct{ Operations int }

// ForgetOperations takes away the operations that nobody may ask for any more.
func (a *Operations) ForgetOperations(ctx context.Context, _ ForgetOperationsInput) (ForgetOperationsResult, error) {
	defer beat(ctx)()
	n, err := a.Store.ForgetOperations(ctx, models.OperationKept, models.OperationFollowed)
	return ForgetOperationsResult{n}, err
}
