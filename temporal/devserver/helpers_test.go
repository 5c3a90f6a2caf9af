package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
)

// process is the command, running.
type process struct {
	cmd     *exec.Cmd
	address string
	stdin   io.Closer
	stderr  *bytes.Buffer
}

// launch returns when the command says that it is ready, and kills it when the test ends.
func launch(t *testing.T, args ...string) *process {
	t.Helper()
	port := freePort(t)
	p := &process{cmd: command(append(args, "--headless", "--port", port)...), address: "127.0.0.1:" + port, stderr: &bytes.Buffer{}}
	p.cmd.Stderr = p.stderr
	stdin, err := p.cmd.StdinPipe()
	require.NoError(t, err)
	p.stdin = stdin
	stdout, err := p.cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, p.cmd.Start())
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill() // most have ended by now
		_ = p.cmd.Wait()
	})
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		if lines.Text() == "Ready" {
			return p
		}
	}
	t.Fatal("it ended before it was ready: ", p.cmd.Wait(), p.stderr)
	return nil
}

func command(args ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], append([]string{"server", "start-dev"}, args...)...)
	cmd.Env = append(os.Environ(), beServer+"=1")
	return cmd
}

func freePort(t *testing.T) string {
	t.Helper()
	free, err := freePorts(1)
	require.NoError(t, err)
	return strconv.Itoa(int(free[0].Port()))
}

func dial(t *testing.T, address, namespace string) client.Client {
	t.Helper()
	c, err := client.DialContext(t.Context(), client.Options{HostPort: address, Namespace: namespace, Logger: quiet})
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c
}

func startWorker(t *testing.T, c client.Client) worker.Worker {
	t.Helper()
	w := worker.New(c, startOptions.TaskQueue, worker.Options{})
	w.RegisterWorkflow(greet)
	w.RegisterWorkflow(greetLater)
	w.RegisterActivity(hello)
	require.NoError(t, w.Start())
	t.Cleanup(w.Stop)
	return w
}

func requireResult(t *testing.T, run client.WorkflowRun, want string) {
	t.Helper()
	var got string
	require.NoError(t, run.Get(t.Context(), &got))
	require.Equal(t, want, got)
}

// requireFound holds when a query finds exactly the workflow with that id.
func requireFound(t *testing.T, c client.Client, query, id string) {
	t.Helper()
	require.EventuallyWithT(t, func(t *assert.CollectT) {
		found, err := c.ListWorkflow(context.Background(), &workflowservice.ListWorkflowExecutionsRequest{Query: query})
		require.NoError(t, err)
		require.Len(t, found.Executions, 1)
		require.Equal(t, id, found.Executions[0].Execution.WorkflowId)
	}, patience, tick)
}

func requireExit(t *testing.T, code int, err error) {
	t.Helper()
	exit, ok := errors.AsType[*exec.ExitError](err)
	require.True(t, ok, "it exits by itself: %v", err)
	require.Equal(t, code, exit.ExitCode())
}

// status is 0 as long as nothing answers.
func status(t *testing.T, url string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	require.NoError(t, err)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0
	}
	defer res.Body.Close()
	return res.StatusCode
}

var quiet = log.NewStructuredLogger(slog.New(slog.DiscardHandler))

// startOptions starts a workflow under a fresh id.
var startOptions = client.StartWorkflowOptions{TaskQueue: "greetings", WorkflowExecutionTimeout: patience}

const (
	patience = time.Minute
	tick     = 20 * time.Millisecond
)

func greet(ctx workflow.Context, name string) (greeting string, err error) {
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{StartToCloseTimeout: patience})
	err = workflow.ExecuteActivity(ctx, hello, name).Get(ctx, &greeting)
	return greeting, err
}

func greetLater(ctx workflow.Context) (string, error) {
	var name string
	workflow.GetSignalChannel(ctx, "name").Receive(ctx, &name)
	return greet(ctx, name)
}

func hello(_ context.Context, name string) (string, error) {
	return "Hello " + name, nil
}
