package main

import (
	"context"
	"log/slog"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/temporal"
	"github.com/litemaas/litemaas/workflows"
)

func workerCmd() *cobra.Command {
	return &cobra.Command{
		Use: "worker", Short: "Run workflows and activities only, as one more pair of hands", GroupID: groupRun, Args: cobra.NoArgs,
		Long: `Run workflows and activities, without the API: as one more pair of hands beside
"litemaas serve", or as the only ones beside "litemaas serve --no-worker".

It needs the same configuration as serve. While Postgres or Temporal is away, it waits.
What it was doing when it is killed, another worker does.`,
		Example: `  litemaas worker
  litemaas worker --log-level debug

Then: litemaas doctor, or Temporal's web UI, which lists the workers of a task queue.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := load(cmd, needsDatabase)
			if err != nil {
				return err
			}
			p, err := assemble(cmd.Context(), cfg)
			if err != nil {
				return err
			}
			defer p.close()
			return work(cmd.Context(), p)
		},
	}
}

// work runs a worker from when Postgres and Temporal answer until ctx ends, which is no error.
// It does the first things before the worker takes work.
func work(ctx context.Context, p *parts, first ...func(context.Context, *parts)) error {
	err := patiently(ctx, "the worker waits", func(ctx context.Context) error { return prepare(ctx, p) })
	if ctx.Err() != nil {
		return nil
	}
	if err != nil {
		return err
	}
	for _, do := range first {
		do(ctx, p)
	}
	slog.Info("the worker runs", "task_queue", workflows.TaskQueue, "temporal", p.config.Temporal.Address)
	stop := make(chan any, 1)
	defer context.AfterFunc(ctx, func() { stop <- "shutdown" })() // the SDK logs it
	return p.worker().Run(stop)
}

// prepare makes Temporal's schedules agree with the settings, and checks what a worker needs.
func prepare(ctx context.Context, p *parts) error {
	if err := p.store.SeedSyncSchedule(ctx, p.config.Sync.schedule()); err != nil {
		return err
	}
	missing, err := temporal.MissingSearchAttributes(ctx, p.temporal, p.config.Temporal.Namespace)
	if err != nil {
		return err
	}
	if len(missing) > 0 {
		return models.Errorf(models.Invalid, "namespace %s lacks the search attributes %s: run `litemaas migrate`",
			p.config.Temporal.Namespace, strings.Join(missing, ", "))
	}
	if err := temporal.EnsureSchedules(ctx, p.temporal.ScheduleClient(), p.store); err != nil {
		return err
	}
	return workflows.ApplyCollectSchedule(ctx, p.temporal.ScheduleClient(), p.config.Usage.CollectEvery)
}

// patiently tries until it works: a dependency that starts later than we do is no reason to
// die. What no waiting mends is returned.
func patiently(ctx context.Context, msg string, try func(context.Context) error) error {
	for pause := time.Second; ; pause = min(2*pause, 15*time.Second) {
		attempt, cancel := context.WithTimeout(ctx, 10*time.Second)
		err := try(attempt)
		cancel()
		if err == nil || models.KindOf(err) != models.Unavailable {
			return err
		}
		slog.Warn(msg, "for", err.Error(), "again_in", pause.String()) //nolint:sloglint // msg is a constant of the caller
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(pause):
		}
	}
}
