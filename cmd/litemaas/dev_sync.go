package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/workflows"
)

// syncPatience is how long the table waits for the sync, which goes on without it.
const syncPatience = 20 * time.Second

// firstSync makes a sync, shows how far it is, and says in words what came of it.
func (s *stack) firstSync(ctx context.Context, p *parts) string {
	name := "Sync"
	if last, err := p.store.LastSync(ctx); err == nil && last == nil {
		name = "First sync"
	}
	in := workflows.FullSyncInput{Trigger: models.SyncAtStart, Actor: models.System("startup")}
	run, err := workflows.Start(ctx, p.temporal, workflows.FullSync, in)
	if err != nil {
		return name + ": " + reason(err)
	}
	err = s.progress.During("Syncing", func(say func(string)) error {
		return followSync(ctx, p, run, say)
	})
	row, rerr := syncRow(ctx, p, run.ID())
	switch {
	case models.KindOf(err) == models.Pending:
		name += " goes on: " + stage(row)
	case err != nil:
		name += " failed: " + reason(err)
	case rerr != nil:
		name += ": " + reason(rerr)
	default:
		name += ": " + came(row)
	}
	if err == nil && row.Counts.Held > 0 {
		name += fmt.Sprintf("\nIt asks: litemaas sync approve %s, or reject", row.ID)
	}
	if s.cfg.Temporal.UIURL == "" {
		return name
	}
	return fmt.Sprintf("%s\nSee it:  %s/namespaces/%s/workflows/%s/%s/history",
		name, s.cfg.Temporal.UIURL, s.cfg.Temporal.Namespace, in.WorkflowID(), run.ID())
}

// followSync waits for a sync and says how far it is. It is Pending when that takes too long.
func followSync(ctx context.Context, p *parts, run workflows.Run[workflows.SyncResult], say func(string)) error {
	for end := time.Now().Add(syncPatience); ; {
		_, err := run.Wait(ctx, time.Second)
		if models.KindOf(err) != models.Pending || time.Now().After(end) || ctx.Err() != nil {
			return err
		}
		if row, err := syncRow(ctx, p, run.ID()); err == nil {
			say(stage(row))
		}
	}
}

func syncRow(ctx context.Context, p *parts, id string) (models.SyncRun, error) {
	parsed, err := uuid.Parse(id)
	if err != nil {
		return models.SyncRun{}, models.Wrap(models.Internal, err, "the run has no ID")
	}
	return p.store.SyncRun(ctx, parsed)
}

// stage is what a sync is at.
func stage(row models.SyncRun) string {
	switch {
	case row.Phase == models.SyncMerging:
		return fmt.Sprintf("comparing %d models", row.Staged)
	case row.Expected > 0:
		return fmt.Sprintf("read %d of %d deployments", row.Fetched, row.Expected)
	}
	return "waiting for LiteLLM's list"
}

// came says what came of a sync.
func came(row models.SyncRun) string {
	c := row.Counts
	var parts []string
	for _, part := range []struct {
		n    int
		what string
	}{{c.Added, "added"}, {c.Changed, "changed"}, {c.Returned, "back again"}, {c.Gone, "gone"}, {c.Held, "missing and held back"}} {
		if part.n > 0 {
			parts = append(parts, fmt.Sprintf("%s %s", count(part.n, "model"), part.what))
		}
	}
	what := strings.Join(parts, ", ")
	if what == "" {
		what = fmt.Sprintf("nothing changed, %s", count(c.Listed, "model"))
	}
	took := ""
	if row.FinishedAt != nil {
		took = fmt.Sprintf(" in %.1f s", row.FinishedAt.Sub(row.StartedAt).Seconds())
	}
	return what + " from " + count(row.Fetched, "deployment") + took
}
