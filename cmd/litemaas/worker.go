package main

import (
	"context"
	"log/slog"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"go.temporal.io/sdk/worker"

	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/temporal"
)

func workerCmd() *cobra.Command {
	return &cobra.Command{
		Use: "worker", Short: "Run workflows and activities only, as one more pair of hands", GroupID: groupRun, Args: cobra.NoArgs,
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
			w, err := startWorker(cmd.Context(), p)
			if err != nil {
				return err
			}
			slog.Info("the worker runs", "task_queue", "litemaas", "temporal", cfg.Temporal.Address)
			<-cmd.Context().Done()
			w.Stop()
			return nil
		},
	}
}

// startWorker starts a worker as soon as Postgres and Temporal answer, and makes the server's
// schedules agree with the settings.
func startWorker(ctx context.Context, p *parts) (worker.Worker, error) {
	err := patiently(ctx, "the worker waits", func(ctx context.Context) error {
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
		return temporal.EnsureSchedules(ctx, p.temporal.ScheduleClient(), p.store)
	})
	if err != nil {
		return nil, err
	}
	w := p.worker()
	return w, w.Start()
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
		slog.Warn(msg, "for", err.Error(), "again_in", pause.String()) //nolint:sloglint // msg is one of two constants
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(pause):
		}
	}
}
