package devstack

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"

	"github.com/litemaas/litemaas/models"
)

// TemporalProgram is a program that runs a Temporal server.
type TemporalProgram struct {
	path string
	ours bool   // temporal/devserver, not the CLI
	What string // for people
}

// TemporalOptions says how to run a Temporal server.
type TemporalOptions struct {
	Port      int
	UIPort    int // of the web UI; 0: none
	Namespace string
	InMemory  bool // nothing is kept

	SearchAttributes map[string]enums.IndexedValueType // of the namespace, if it is new
}

// Temporal is a running server.
type Temporal struct {
	*child
	Address string
}

// FindTemporal returns the `temporal` CLI if it is installed, else our own server, built from
// the source tree if that has not happened yet. It is Unavailable when there is neither.
func FindTemporal(ctx context.Context, p *Progress) (TemporalProgram, error) {
	if path, ok := lookPath("temporal"); ok {
		out, err := exec.CommandContext(ctx, path, "--version").Output()
		if version, ok := strings.CutPrefix(strings.TrimSpace(string(out)), "temporal version "); ok && err == nil {
			return TemporalProgram{path: path, What: "temporal CLI " + version}, nil
		}
	}
	path, err := buildDevserver(ctx, p)
	return TemporalProgram{path: path, ours: true, What: "temporal/devserver"}, err
}

// StartTemporal starts a server and waits until it serves the namespace. It listens on
// 127.0.0.1 only.
func (d *Dir) StartTemporal(ctx context.Context, program TemporalProgram, o TemporalOptions) (*Temporal, error) {
	mark, stop := d.File("temporal.db"), stopTemporal
	if o.InMemory {
		mark, stop = o.Namespace, stopAtOnce
	}
	cmd := exec.Command(program.path, program.arguments(d, o)...)
	c, err := start("Temporal", cmd, d.File("temporal.log"), nil, stop)
	if err != nil {
		return nil, err
	}
	t := &Temporal{child: c, Address: net.JoinHostPort("127.0.0.1", strconv.Itoa(o.Port))}
	pid := fmt.Sprintf("%d\n%s\n", cmd.Process.Pid, mark)
	if err := os.WriteFile(d.File("temporal.pid"), []byte(pid), 0o600); err != nil {
		c.Stop()
		return nil, models.Wrap(models.Invalid, err, "Temporal's process cannot be noted")
	}
	if err := t.await(ctx, o.Namespace); err != nil {
		c.Stop()
		return nil, err
	}
	return t, nil
}

// arguments are understood by the CLI and by our server.
func (t TemporalProgram) arguments(d *Dir, o TemporalOptions) []string {
	args := []string{"server", "start-dev", "--ip", "127.0.0.1", "--port", strconv.Itoa(o.Port), "--namespace", o.Namespace}
	if o.UIPort == 0 {
		args = append(args, "--headless")
	} else {
		args = append(args, "--ui-port", strconv.Itoa(o.UIPort))
	}
	if !o.InMemory {
		args = append(args, "--db-filename", d.File("temporal.db"))
	}
	for _, name := range slices.Sorted(maps.Keys(o.SearchAttributes)) {
		args = append(args, "--search-attribute", name+"="+o.SearchAttributes[name].String())
	}
	if t.ours {
		return append(args, "--stop-with-stdin")
	}
	// With the one shard that it has, the CLI's server is slow at the default of 20.
	return append(args, "--dynamic-config-value", "history.transferProcessorMaxPollRPS=200")
}

// await waits until the server serves the namespace.
func (t *Temporal) await(ctx context.Context, namespace string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		err := describe(ctx, t.Address, namespace)
		if err == nil {
			return nil
		}
		select {
		case <-t.exited:
			return t.Failure()
		case <-ctx.Done():
			return models.Wrap(models.Unavailable, err, "Temporal does not answer; see %s", t.logFile)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// describe is nil when the server at address serves the namespace.
func describe(ctx context.Context, address, namespace string) error {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address) // cheaper than a client that backs off
	if err != nil {
		return err
	}
	_ = conn.Close()
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	c, err := client.DialContext(ctx, client.Options{HostPort: address, Logger: log.NewStructuredLogger(slog.New(slog.DiscardHandler))})
	if err != nil {
		return err
	}
	defer c.Close()
	_, err = c.WorkflowService().DescribeNamespace(ctx, &workflowservice.DescribeNamespaceRequest{Namespace: namespace})
	return err
}
