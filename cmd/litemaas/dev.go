package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os/signal"
	"sync"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/litemaas/litemaas/models"
)

// devOptions is what the flags of `litemaas dev` say.
type devOptions struct {
	dataDir       string
	api           int // ports
	temporal      int
	temporalUI    int
	litellm       int
	postgres      int
	reset, noSync bool
}

func devCmd() *cobra.Command {
	var o devOptions
	cmd := &cobra.Command{
		Use: "dev", Short: "Run everything on this machine, for trying and developing", GroupID: groupRun, Args: cobra.NoArgs,
		Long: `Run everything on this machine, for trying and developing: the API with a worker, and the
Postgres, the Temporal server and the LiteLLM that they need. What the configuration names
(DATABASE_URL, TEMPORAL_ADDRESS, LITELLM_API_URL) is used; the rest is brought along:

  Postgres   installed programs, else fetched ones; with its data in the data directory
  Temporal   the temporal CLI, else temporal/devserver, built from the source tree once
  LiteLLM    one in memory, with some 25 models that answer chat calls by themselves

Then the schema is brought up to date, a full sync is made, and a table says where everything
is. All of it listens on this machine only; --set api.listen=:8081 opens the API. As long as
nobody else reaches it, one signs in as whoever one wants to be.

Ctrl-C stops everything and keeps the data. A second start goes on with it; after a kill -9
it first stops what was left running.`,
		Example: `  litemaas dev
  litemaas dev --reset                         # forget the data of the last time
  litemaas dev --data-dir .dev2 --api-port 9081 --temporal-port 9233 --temporal-ui-port 9234 \
               --litellm-port 9400 --postgres-port 9433   # a second one beside it
  LITELLM_API_URL=https://litellm.example.com LITELLM_API_KEY=sk-… litemaas dev

Then: litemaas sync, or the Temporal UI, or http://localhost:8081/docs`,
		RunE: func(cmd *cobra.Command, _ []string) error { return dev(cmd, o) },
	}
	f := cmd.Flags()
	f.StringVar(&o.dataDir, "data-dir", ".dev", "`directory` of all data and logs")
	f.IntVar(&o.api, "api-port", 8081, "`port` of the API (default also: that of api.listen)")
	f.IntVar(&o.temporal, "temporal-port", 7233, "`port` of Temporal")
	f.IntVar(&o.temporalUI, "temporal-ui-port", 8233, "`port` of Temporal's web UI")
	f.IntVar(&o.litellm, "litellm-port", 4000, "`port` of LiteLLM")
	f.IntVar(&o.postgres, "postgres-port", 5433, "`port` of Postgres")
	f.String("ui-dir", "", "serve the built web UI of this `directory` beside the API (api.ui_dir)")
	f.BoolVar(&o.reset, "reset", false, "forget the data of earlier starts first")
	f.BoolVar(&o.noSync, "no-sync", false, "make no sync at the start")
	return cmd
}

// dev runs everything until it is told to stop, which is no failure.
func dev(cmd *cobra.Command, o devOptions) error {
	ctx, unhook := signal.NotifyContext(cmd.Context(), syscall.SIGHUP) // the terminal was closed
	defer unhook()
	cfg, err := load(cmd, needsUI)
	if err != nil {
		return err
	}
	s, err := openStack(cmd, cfg, o)
	if err != nil {
		return err
	}
	defer slog.SetDefault(slog.Default())
	slog.SetDefault(newLogger(s.log, cfg.Log))
	defer s.stop()
	err = s.start(ctx)
	if err == nil {
		err = s.run(ctx, o)
	}
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// run serves until ctx ends or something ends that should not have. The API stops before the
// worker, for which its last requests may wait.
func (s *stack) run(parent context.Context, o devOptions) error {
	p, err := assemble(parent, s.cfg)
	if err != nil {
		return err
	}
	defer p.close()
	l, err := (&net.ListenConfig{}).Listen(parent, "tcp", s.cfg.API.Listen)
	if err != nil {
		return models.Wrap(models.Conflict, err, "%s cannot be listened on: choose another port with --api-port", s.cfg.API.Listen)
	}
	ctx, fail := context.WithCancelCause(parent)
	defer fail(nil)
	working, stopWorking := context.WithCancel(context.WithoutCancel(ctx))
	defer stopWorking()
	var api, worker sync.WaitGroup
	api.Go(func() { fail(serve(ctx, p, l, false)) })
	worker.Go(func() { fail(work(working, p)) })
	s.watch(ctx, fail)

	outcome := "No sync was made (--no-sync)."
	if !o.noSync {
		outcome = s.firstSync(ctx, p)
	}
	if ctx.Err() == nil {
		s.table(outcome)
	}
	<-ctx.Done()
	fmt.Fprintln(s.out, "Stopping.")
	api.Wait()
	stopWorking()
	worker.Wait()
	if parent.Err() == nil {
		return context.Cause(ctx)
	}
	return nil
}
