package activities

import (
	"context"
	"time"

	"github.com/litemaas/litemaas/models/store"
)

// Sessions looks after what is left of sign-ins.
type Sessions struct {
	Store *store.Store
	Keep  time.Duration // how long a session that ended can still be looked at
}

// ExpireSessionsInput is empty.
type ExpireSessionsInput struct{}

// ExpireSessionsResult counts what was taken away.
type ExpireSessionsResult struct{ Sessions, LoginStates, SigningKeys int }

// ExpireSessions takes away sessions that ended, with their refresh tokens, sign-ins that nobody
// came back from, and signing keys whose signatures are no longer good.
func (a *Sessions) ExpireSessions(ctx context.Context, _ ExpireSessionsInput) (ExpireSessionsResult, error) {
	defer beat(ctx)()
	gone, err := a.Store.ExpireSessions(ctx, a.Keep)
	return ExpireSessionsResult(gone), err
}
