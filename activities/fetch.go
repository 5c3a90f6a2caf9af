package activities

import (
	"context"

	"github.com/google/uuid"
	"go.temporal.io/sdk/activity"

	"github.com/litemaas/litemaas/activities/litellm"
	"github.com/litemaas/litemaas/models"
)

// fetchPage is how many deployments are asked for at once: some 16 MB. LiteLLM builds its
// whole list for every page, so small ones cost it dearly.
const fetchPage = 2000

// Progress is what a fetch tells while it works; Temporal shows it as the last heartbeat.
type Progress struct{ Fetched, Expected int }

// read reads LiteLLM's whole model list, and says how many entries it has.
func (a *SyncRuns) read(ctx context.Context, runID uuid.UUID) (int, models.Catalogue, error) {
	list, err := a.deployments(ctx, runID)
	if litellm.ListNotLoaded(err) {
		return 0, models.Catalogue{ListState: models.ListState{NotLoaded: true}}, nil
	}
	if err != nil {
		return 0, models.Catalogue{}, err
	}
	return len(list), models.NewCatalogue(list), nil
}

// deployments reads the list page by page. The pages are cut by position, so a change at
// LiteLLM while they are read can hide an entry, or show one twice: a list that does not add
// up is read again, by the next attempt.
func (a *SyncRuns) deployments(ctx context.Context, runID uuid.UUID) ([]models.Deployment, error) {
	first, err := a.Proxy.Deployments(ctx, 1, fetchPage)
	if litellm.NoRoute(err) {
		return a.Proxy.AllDeployments(ctx)
	}
	if err != nil {
		return nil, err
	}
	list := first.Deployments
	for page := 2; page <= first.TotalPages; page++ {
		if err := a.progress(ctx, runID, Progress{len(list), first.TotalCount}); err != nil {
			return nil, err
		}
		next, err := a.Proxy.Deployments(ctx, page, fetchPage)
		if err != nil {
			return nil, err
		}
		list = append(list, next.Deployments...)
	}
	ids := make(map[string]struct{}, len(list))
	for _, d := range list {
		ids[d.ID()] = struct{}{}
	}
	if len(ids) != first.TotalCount {
		return nil, models.Errorf(models.Unavailable, "LiteLLM's model list changed while it was read: it said %d deployments and sent %d", first.TotalCount, len(ids))
	}
	return list, a.progress(ctx, runID, Progress{len(list), first.TotalCount})
}

// progress tells how far the reading has come, to Temporal and to our own API.
func (a *SyncRuns) progress(ctx context.Context, runID uuid.UUID, p Progress) error {
	activity.RecordHeartbeat(ctx, p)
	return a.Store.ReportFetch(ctx, runID, p.Fetched, p.Expected)
}
