package activities

import (
	"context"

	"github.com/google/uuid"

	"github.com/litemaas/litemaas/models"
)

// UserHoldInput says who is to be held back, or reinstated, and why.
type UserHoldInput struct {
	ID    uuid.UUID
	Hold  models.Hold
	Why   string // in words, for the audit log
	Actor models.Actor
}

// UserHoldResult is why the user may do nothing now; no reason: he may.
type UserHoldResult struct{ Holds []models.Hold }

// DeactivateUser adds a reason why a user may do nothing: his sessions and tokens end, and his
// row wishes that he spends nothing at LiteLLM. Adding it twice adds it once. The kinds are
// those of the store.
func (a *Users) DeactivateUser(ctx context.Context, in UserHoldInput) (UserHoldResult, error) {
	u, err := a.Store.DeactivateUser(ctx, in.ID, in.Hold, in.Why, in.Actor)
	return UserHoldResult{u.Holds}, err
}

// ReinstateUser lifts one reason; lifting it twice lifts it once. Sessions that ended do not
// come back.
func (a *Users) ReinstateUser(ctx context.Context, in UserHoldInput) (UserHoldResult, error) {
	u, err := a.Store.ReinstateUser(ctx, in.ID, in.Hold, in.Why, in.Actor)
	return UserHoldResult{u.Holds}, err
}
