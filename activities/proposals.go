package activities

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/litemaas/litemaas/models/store"
)

// Proposals looks after removals that wait for a person.
type Proposals struct{ Store *store.Store }

// overlooked is how old a recorded wish must be before the sweep takes it for one that nobody
// follows.
const overlooked = 30 * time.Second

// DueProposalsInput is empty.
type DueProposalsInput struct{}

// DueProposalsResult says what the sweep has to do about proposals.
type DueProposalsResult struct {
	Lapsed  int         // were open too long, and are closed now
	ToApply []uuid.UUID // were approved, and nobody carries them out
}

// DueProposals closes the proposals that nobody answered in time, and finds the approved ones
// that nobody carries out.
func (a *Proposals) DueProposals(ctx context.Context, _ DueProposalsInput) (DueProposalsResult, error) {
	lapsed, err := a.Store.LapseProposals(ctx)
	if err != nil {
		return DueProposalsResult{}, err
	}
	ids, err := a.Store.ProposalsToApply(ctx, overlooked)
	return DueProposalsResult{lapsed, ids}, err
}
