package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"github.com/litemaas/litemaas/api"
	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/workflows"
)

// drain is how long requests that wait for a workflow may still take on shutdown; longer than
// the API lets one wait.
const drain = 25 * time.Second

func serveCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use: "serve", Short: "Serve the API, with a worker beside it", GroupID: groupRun, Args: cobra.NoArgs,
		Long: `Serve the API, with a worker beside it in the same process.

The schema must be there: run "litemaas migrate" first. While Postgres, Temporal or
LiteLLM is away, the API answers what it can and the worker waits.`,
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
			l, err := (&net.ListenConfig{}).Listen(cmd.Context(), "tcp", cfg.API.Listen)
			if err != nil {
				return models.Wrap(models.Invalid, err, "%s cannot be listened on: set api.listen (PORT), or stop what uses it", cfg.API.Listen)
			}
			noWorker, err := cmd.Flags().GetBool("no-worker")
			if err != nil {
				return err
			}
			slog.Info("the API listens", "address", l.Addr().String())
			return serve(cmd.Context(), p, l, !noWorker)
		},
	}
	cmd.Flags().Bool("no-worker", false, "serve the API only; a worker must run elsewhere")
	return cmd
}

// serve serves on l until ctx ends, then lets the requests under way finish.
func serve(ctx context.Context, p *parts, l net.Listener, withWorker bool) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	failed := make(chan error, 2)
	srv := &http.Server{
		Handler:           p.api().Handler(),
		ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10,
		ErrorLog: slog.NewLogLogger(slog.Default().Handler(), slog.LevelWarn),
	}
	go func() { failed <- srv.Serve(l) }()
	working := make(chan struct{})
	if withWorker {
		go func() {
			defer close(working)
			if err := work(ctx, p); err != nil {
				failed <- err
			}
		}()
	} else {
		close(working)
	}
	var err error
	select {
	case err = <-failed:
	case <-ctx.Done():
		slog.Info("shutting down; requests under way may finish")
	}
	stopping, done := context.WithTimeout(context.WithoutCancel(ctx), drain)
	defer done()
	if serr := srv.Shutdown(stopping); err == nil {
		err = serr
	}
	cancel()
	<-working
	if errors.Is(err, http.ErrServerClosed) || errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// work runs a worker until ctx ends.
func work(ctx context.Context, p *parts) error {
	w, err := startWorker(ctx, p)
	if err != nil {
		return err
	}
	syncAtStart(ctx, p)
	<-ctx.Done()
	w.Stop()
	return nil
}

// syncAtStart asks for a sync when the last one is older than the schedule allows, or when
// there was none. Replicas that start together join one run.
func syncAtStart(ctx context.Context, p *parts) {
	if !p.config.Sync.Auto {
		return
	}
	last, err := p.store.LastSync(ctx)
	if err == nil && last != nil && last.FinishedAt != nil && time.Since(*last.FinishedAt) < p.config.Sync.Interval {
		return
	}
	in := workflows.FullSyncInput{Trigger: models.SyncAtStart, Actor: models.System("startup")}
	if _, err := workflows.Start(ctx, p.temporal, workflows.FullSync, in); err != nil {
		slog.Warn("no sync at the start", "error", err)
	}
}

// api is the HTTP face of the parts.
func (p *parts) api() *api.Server {
	cfg := p.config.API
	cfg.Environment, cfg.LiteLLMPublicURL = p.config.Environment, p.config.LiteLLM.public()
	cfg.TemporalUIURL, cfg.TemporalNamespace = p.config.Temporal.UIURL, p.config.Temporal.Namespace
	return &api.Server{
		Store: p.store, Temporal: p.temporal, Schedules: p.temporal.ScheduleClient(), Config: cfg, Version: version(),
	}
}
