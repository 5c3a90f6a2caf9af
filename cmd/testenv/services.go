package main

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"sync"

	"github.com/litemaas/litemaas/cmd/internal/devstack"
)

// The variables by which tests find their servers.
const (
	databaseVar = "TEST_DATABASE_URL"
	temporalVar = "TEST_TEMPORAL_ADDRESS"
)

// services are the servers that were started for a command.
type services struct {
	dir     *devstack.Dir
	durable bool // they keep what they were told when they are killed
	running []service
}

// service is a running server.
type service struct {
	env  string // variable=where
	stop func()
}

// starter starts a server on a port.
type starter func(port int) (service, error)

// start starts what no variable names.
func start(ctx context.Context, durable bool, stderr io.Writer) (*services, error) {
	s := &services{durable: durable}
	if os.Getenv(databaseVar) != "" && os.Getenv(temporalVar) != "" {
		return s, nil
	}
	var err error
	if s.dir, err = devstack.OpenTemp(); err != nil {
		return nil, err
	}
	starters, err := s.find(ctx, devstack.NewProgress(stderr))
	if err == nil {
		err = s.startAll(starters)
	}
	if err != nil {
		s.stop()
		return nil, err
	}
	return s, nil
}

// find finds, fetches or builds the programs; what takes long tells so, one after the other.
func (s *services) find(ctx context.Context, progress *devstack.Progress) (out []starter, err error) {
	if os.Getenv(databaseVar) == "" {
		programs, err := s.dir.FindPostgres(ctx, progress)
		if err != nil {
			return nil, err
		}
		out = append(out, func(port int) (service, error) {
			p, err := s.dir.StartPostgres(ctx, programs, devstack.PostgresOptions{Port: port, ThrowAway: !s.durable})
			if err != nil {
				return service{}, err
			}
			return service{databaseVar + "=" + p.URL, p.Stop}, nil
		})
	}
	if os.Getenv(temporalVar) == "" {
		program, err := devstack.FindTemporal(ctx, progress)
		if err != nil {
			return nil, err
		}
		out = append(out, func(port int) (service, error) {
			// A namespace that no other server has: another could answer at a port of ours.
			o := devstack.TemporalOptions{Port: port, Namespace: filepath.Base(s.dir.Path()), InMemory: !s.durable}
			t, err := s.dir.StartTemporal(ctx, program, o)
			if err != nil {
				return service{}, err
			}
			return service{temporalVar + "=" + t.Address, t.Stop}, nil
		})
	}
	return out, nil
}

// startAll starts them all at once.
func (s *services) startAll(starters []starter) error {
	var mu sync.Mutex
	var wg sync.WaitGroup
	var errs error
	for _, start := range starters {
		wg.Go(func() {
			started, err := onFreePort(start)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				errs = errors.Join(errs, err)
				return
			}
			s.running = append(s.running, started)
		})
	}
	wg.Wait()
	return errs
}

// onFreePort starts a server on a free port; on another when somebody else was faster.
func onFreePort(start starter) (service, error) {
	var errs []error
	for range 3 {
		port, err := devstack.FreePort()
		if err != nil {
			return service{}, err
		}
		started, err := start(port)
		if err == nil {
			return started, nil
		}
		errs = append(errs, err)
	}
	return service{}, errors.Join(errs...)
}

// env is where the servers are, as a command's environment says it.
func (s *services) env() (env []string) {
	for _, r := range s.running {
		env = append(env, r.env)
	}
	return env
}

// stop stops all of them and forgets their data.
func (s *services) stop() {
	for _, r := range s.running {
		r.stop()
	}
	if s.dir != nil {
		_ = s.dir.Remove()
	}
}
