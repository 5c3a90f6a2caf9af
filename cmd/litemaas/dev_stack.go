package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"sync"

	"github.com/spf13/cobra"

	"github.com/litemaas/litemaas/activities/litellm/litellmtest"
	"github.com/litemaas/litemaas/cmd/internal/devstack"
	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/workflows"
)

// stack is what `litemaas dev` runs. A server that the configuration names is nil here.
type stack struct {
	cfg      config // points at the servers below once they run
	ports    devOptions
	out      io.Writer // for people
	progress *devstack.Progress
	dir      *devstack.Dir
	log      *os.File // ours

	postgres *devstack.Postgres
	temporal *devstack.Temporal
	litellm  *devstack.LiteLLM

	programs string // of Postgres, for people
	server   string // of Temporal, for people
}

// brings reports whether a server is brought along because no setting names one.
func (s *stack) brings(key string) bool { return !s.cfg.configured(key) }

// openStack takes the data directory, stops what an earlier start left running, and makes sure
// of the ports. Nothing is started.
func openStack(cmd *cobra.Command, cfg config, o devOptions) (_ *stack, err error) {
	s := &stack{cfg: cfg, ports: o, out: cmd.OutOrStdout(), progress: devstack.NewProgress(cmd.OutOrStdout())}
	if err := s.listenOn(cmd); err != nil {
		return nil, err
	}
	if s.dir, err = devstack.Open(o.dataDir); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = s.dir.Close() // the error says more
		}
	}()
	if s.dir.StopLeftovers() {
		fmt.Fprintln(s.out, "Stopped what an earlier start had left running.")
	}
	if err := devstack.CheckPorts(s.wanted()...); err != nil {
		return nil, err
	}
	if o.reset {
		if err := s.dir.Reset(s.lasting()...); err != nil {
			return nil, err
		}
	}
	if s.log, err = os.OpenFile(s.dir.File("litemaas.log"), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600); err != nil {
		return nil, models.Wrap(models.Invalid, err, "no log can be written: choose another directory with --data-dir")
	}
	return s, nil
}

// listenOn settles where the API listens: at the port of the flag, else of api.listen; on this
// machine only, unless api.listen says otherwise.
func (s *stack) listenOn(cmd *cobra.Command) error {
	host := "127.0.0.1"
	if s.cfg.configured("api.listen") {
		given, port, err := net.SplitHostPort(s.cfg.API.Listen)
		if err != nil {
			return models.Wrap(models.Invalid, err, "api.listen").On("api.listen")
		}
		host = given
		if number, err := strconv.Atoi(port); err == nil && !cmd.Flags().Changed("api-port") {
			s.ports.api = number
		}
	}
	s.cfg.API.Listen = net.JoinHostPort(host, strconv.Itoa(s.ports.api))
	return nil
}

// wanted is the ports of what is brought along.
func (s *stack) wanted() []devstack.Port {
	ports := []devstack.Port{{Number: s.ports.api, Flag: "--api-port", For: "the API"}}
	if s.brings("temporal.address") {
		ports = append(ports,
			devstack.Port{Number: s.ports.temporal, Flag: "--temporal-port", For: "Temporal"},
			devstack.Port{Number: s.ports.temporalUI, Flag: "--temporal-ui-port", For: "Temporal's UI"})
	}
	if s.brings("litellm.url") {
		ports = append(ports, devstack.Port{Number: s.ports.litellm, Flag: "--litellm-port", For: "LiteLLM"})
	}
	if s.brings("database.url") {
		ports = append(ports, devstack.Port{Number: s.ports.postgres, Flag: "--postgres-port", For: "Postgres"})
	}
	return ports
}

// start starts the servers, points the configuration at them, and prepares them.
func (s *stack) start(ctx context.Context) error {
	starts, err := s.find(ctx)
	if err != nil {
		return err
	}
	errs := make([]error, len(starts))
	var wg sync.WaitGroup
	for i, start := range starts {
		wg.Go(func() { errs[i] = start() })
	}
	wg.Wait()
	if err := cmp.Or(errs...); err != nil {
		return err
	}
	if err := s.configure(); err != nil {
		return err
	}
	return s.progress.During("Bringing the schema up to date", func(func(string)) error {
		if err := migrateSchema(ctx, s.cfg, s.log); err != nil {
			return err
		}
		return migrateTemporal(ctx, s.cfg, s.log)
	})
}

// find finds, fetches or builds the programs of what is brought along, one after the other,
// and returns what starts them.
func (s *stack) find(ctx context.Context) (starts []func() error, err error) {
	if s.brings("database.url") {
		programs, err := s.dir.FindPostgres(ctx, s.progress)
		if err != nil {
			return nil, err
		}
		s.programs = "PostgreSQL " + programs.Version
		starts = append(starts, func() (err error) {
			s.postgres, err = s.dir.StartPostgres(ctx, programs, devstack.PostgresOptions{Port: s.ports.postgres})
			return err
		})
	}
	if s.brings("temporal.address") {
		program, err := devstack.FindTemporal(ctx, s.progress)
		if err != nil {
			return nil, err
		}
		s.server = program.What
		starts = append(starts, func() (err error) {
			s.temporal, err = s.dir.StartTemporal(ctx, program, devstack.TemporalOptions{
				Port: s.ports.temporal, UIPort: s.ports.temporalUI,
				Namespace: s.cfg.Temporal.Namespace, SearchAttributes: workflows.SearchAttributes(),
			})
			return err
		})
	}
	if s.brings("litellm.url") {
		if s.cfg.LiteLLM.APIKey.IsZero() {
			s.cfg.LiteLLM.APIKey = models.SecretOf(litellmtest.MasterKey)
		}
		push, err := s.meter()
		if err != nil {
			return nil, err
		}
		starts = append(starts, func() (err error) {
			s.litellm, err = s.dir.StartLiteLLM(ctx, devstack.LiteLLMOptions{Port: s.ports.litellm, Key: s.cfg.LiteLLM.APIKey, Push: push})
			return err
		})
	}
	return starts, nil
}

// configure points the configuration at the servers that run.
func (s *stack) configure() error {
	if s.brings("environment") {
		s.cfg.Environment = "development"
	}
	if s.postgres != nil {
		s.cfg.Database.URL = models.SecretOf(s.postgres.URL)
	}
	if s.temporal != nil {
		s.cfg.Temporal.Address, s.cfg.Temporal.TLS, s.cfg.Temporal.APIKey = s.temporal.Address, false, models.Secret{}
		s.cfg.Temporal.UIURL = fmt.Sprintf("http://localhost:%d", s.ports.temporalUI)
	}
	if s.litellm != nil {
		s.cfg.LiteLLM.URL = s.litellm.URL
	}
	s.signIn()
	if err := s.keepKeyset(); err != nil {
		return err
	}
	if len(s.cfg.API.AdminKeys) > 0 {
		return nil
	}
	key, err := s.dir.Secret("admin-key", adminKeyPrefix)
	s.cfg.API.AdminKeys = []models.Secret{key}
	return err
}

// watch ends everything when a server ends that should not have.
func (s *stack) watch(ctx context.Context, fail context.CancelCauseFunc) {
	type server interface {
		Exited() <-chan struct{}
		Failure() error
	}
	var servers []server
	if s.postgres != nil {
		servers = append(servers, s.postgres)
	}
	if s.temporal != nil {
		servers = append(servers, s.temporal)
	}
	for _, server := range servers {
		go func() {
			select {
			case <-ctx.Done():
			case <-server.Exited():
				fail(server.Failure())
			}
		}()
	}
}

// stop stops the servers, the database last, and gives the data directory back.
func (s *stack) stop() {
	if s.litellm != nil {
		s.litellm.Stop()
	}
	if s.temporal != nil {
		s.temporal.Stop()
	}
	if s.postgres != nil {
		s.postgres.Stop()
	}
	_ = s.log.Close()
	_ = s.dir.Close()
	fmt.Fprintf(s.out, "Stopped. The data is kept in %s.\n", near(s.dir.Path()))
}
