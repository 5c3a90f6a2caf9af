package main

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/litemaas/litemaas/api"
	"github.com/litemaas/litemaas/api/ratelimit"
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
LiteLLM is away, the API answers what it can and the worker waits.

On SIGINT or SIGTERM, requests under way may finish; a second signal ends it at once.`,
		Example: `  litemaas serve
  litemaas serve --listen 127.0.0.1:9000
  litemaas serve --no-worker      # beside processes that run: litemaas worker
  litemaas serve --ui-dir dist    # with a built web UI, so that one process is the whole product

Then: http://localhost:8081/docs for the API, litemaas sync for a first sync.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := load(cmd, needsDatabase, needsUI, needsPeople)
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
				return models.Wrap(models.Invalid, err, "%s cannot be listened on: set api.listen (PORT), or stop what uses it", cfg.API.Listen).On("api.listen")
			}
			noWorker, err := cmd.Flags().GetBool("no-worker")
			if err != nil {
				return err
			}
			slog.Info("the API listens", "address", l.Addr().String())
			return serve(cmd.Context(), p, l, !noWorker)
		},
	}
	cmd.Flags().String("listen", "", "`address` to listen on, such as :8081 (api.listen, PORT)")
	cmd.Flags().String("ui-dir", "", "serve the built web UI of this `directory` beside the API (api.ui_dir)")
	cmd.Flags().Bool("no-worker", false, "serve the API only; a worker must run elsewhere")
	return cmd
}

// serve serves on l until ctx ends, then lets the requests under way finish. The worker works
// until they have: some wait for it.
func serve(ctx context.Context, p *parts, l net.Listener, withWorker bool) error {
	face, err := p.api()
	if err != nil {
		return err
	}
	srv := httpServer(face.Handler())
	srv.RegisterOnShutdown(face.EndStreams)
	failed := make(chan error, 2)
	go func() { failed <- srv.Serve(l) }()
	working, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var worker sync.WaitGroup
	worker.Go(func() { face.Auth.Run(working) })
	worker.Go(func() { face.CountUsage(working) })
	if withWorker {
		worker.Go(func() {
			if err := work(working, p, syncAtStart); err != nil {
				failed <- err
			}
		})
	}
	select {
	case err = <-failed:
	case <-ctx.Done():
		slog.Info("shutting down; requests under way may finish")
	}
	draining, done := context.WithTimeout(context.WithoutCancel(ctx), drain)
	defer done()
	if srv.Shutdown(draining) != nil {
		slog.Warn("requests that took too long were cut off", "after", drain.String())
		_ = srv.Close() // whatever it says, we end
	}
	face.Drain()
	stop()
	worker.Wait()
	return err
}

// httpServer serves over connections whose callers must not dawdle: who sends or reads slower
// than this is cut off, so that nobody can hold connections open for nothing.
func httpServer(h http.Handler) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 30 * time.Second, WriteTimeout: time.Minute, IdleTimeout: 2 * time.Minute,
		MaxHeaderBytes: 64 << 10,
		ErrorLog:       slog.NewLogLogger(slog.Default().Handler(), slog.LevelWarn),
	}
}

// syncAtStart asks for a sync when the last one is older than the schedule allows, or when
// there was none. Replicas that start together join one run.
func syncAtStart(ctx context.Context, p *parts) {
	if !p.config.Sync.Auto {
		return
	}
	schedule, err := p.store.SyncSchedule(ctx)
	if err != nil || schedule.Paused {
		return
	}
	last, err := p.store.LastSync(ctx)
	if err != nil || last != nil && last.FinishedAt != nil && time.Since(*last.FinishedAt) < schedule.Interval {
		return
	}
	in := workflows.FullSyncInput{Trigger: models.SyncAtStart, Actor: models.System("startup")}
	if _, err := workflows.Start(ctx, p.temporal, workflows.FullSync, in); err != nil {
		slog.Warn("no sync at the start", "error", err)
	}
}

// api is the HTTP face of the parts.
func (p *parts) api() (*api.Server, error) {
	ui, err := p.config.ui()
	if err != nil {
		return nil, err
	}
	var counter ratelimit.Counter // nil: in memory
	if p.redis != nil {
		counter = ratelimit.NewRedis(p.redis, time.Now)
	}
	people, err := p.config.people(p.config.sessions(p.store, p.redis))
	if err != nil {
		return nil, err
	}
	cfg := p.config.API
	cfg.Verify, cfg.Usage = p.config.Verify, p.config.Usage.UsageConfig
	cfg.Limits, cfg.Environment, cfg.LiteLLMPublicURL = p.config.Limits, p.config.Environment, p.config.LiteLLM.public()
	cfg.TemporalUIURL, cfg.TemporalNamespace = p.config.Temporal.UIURL, p.config.Temporal.Namespace
	cfg.OwnersResetSpend, cfg.RaiseNeedsApproval = p.config.Keys.OwnersResetSpend, p.config.Budgets.RaiseNeedsApproval
	return &api.Server{
		Store: p.store, Temporal: p.temporal, Schedules: p.temporal.ScheduleClient(), Auth: people, Sealer: p.sealer, Config: cfg, Counter: counter, UI: ui, Version: version(),
	}, nil
}
