package main

import (
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"google.golang.org/protobuf/types/known/durationpb"
)

// beServer, when set, makes the test binary the command itself: the tests start what people
// start, without building it a second time.
const beServer = "DEVSERVER_TEST_BE_SERVER"

func TestMain(m *testing.M) {
	if os.Getenv(beServer) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

func TestStartDevServer(t *testing.T) {
	t.Setenv(beServer, "1")
	ui := freePort(t)
	city := temporal.NewSearchAttributeKeyKeyword("City")
	s, err := testsuite.StartDevServer(t.Context(), testsuite.DevServerOptions{
		ExistingPath: os.Args[0], EnableUI: true, Stdout: io.Discard, UIPort: ui, LogFormat: "pretty", LogLevel: "never",
		ClientOptions:    &client.Options{Namespace: "towns", Logger: quiet},
		SearchAttributes: temporal.NewSearchAttributes(city.ValueSet("")),
	})
	require.NoError(t, err)
	c := s.Client()
	startWorker(t, c)

	t.Run("a workflow with an activity runs", func(t *testing.T) {
		o := startOptions
		o.TypedSearchAttributes = temporal.NewSearchAttributes(city.ValueSet("Bern"))
		run, err := c.ExecuteWorkflow(t.Context(), o, greet, "Ada")
		require.NoError(t, err)
		requireResult(t, run, "Hello Ada")
		requireFound(t, c, "City = 'Bern'", run.GetID())
	})
	t.Run("the UI answers", func(t *testing.T) {
		require.Eventually(t, func() bool { return status(t, "http://127.0.0.1:"+ui+"/namespaces/towns/workflows") == http.StatusOK }, patience, tick)
		require.Equal(t, http.StatusOK, status(t, "http://127.0.0.1:"+ui+"/api/v1/namespaces/towns"), "through the server")
	})
	t.Run("the namespace default is there", func(t *testing.T) {
		run, err := dial(t, s.FrontendHostPort(), "default").ExecuteWorkflow(t.Context(), startOptions, greet, "nobody yet")
		require.NoError(t, err)
		require.NotEmpty(t, run.GetRunID())
	})
	require.NoError(t, s.Stop())
}

func TestNamespaceOfAClient(t *testing.T) {
	p := launch(t)
	admin, err := client.NewNamespaceClient(client.Options{HostPort: p.address, Logger: quiet})
	require.NoError(t, err)
	defer admin.Close()
	for _, namespace := range []string{"first", "second"} {
		require.NoError(t, admin.Register(t.Context(), &workflowservice.RegisterNamespaceRequest{
			Namespace: namespace, WorkflowExecutionRetentionPeriod: durationpb.New(24 * time.Hour),
		}))
		c := dial(t, p.address, namespace)
		_, err = c.OperatorService().AddSearchAttributes(t.Context(), &operatorservice.AddSearchAttributesRequest{
			Namespace: namespace, SearchAttributes: map[string]enums.IndexedValueType{"Rank": enums.INDEXED_VALUE_TYPE_INT},
		})
		require.NoError(t, err)
		startWorker(t, c)
		o := startOptions
		o.TypedSearchAttributes = temporal.NewSearchAttributes(temporal.NewSearchAttributeKeyInt64("Rank").ValueSet(7))
		run, err := c.ExecuteWorkflow(t.Context(), o, greet, namespace)
		require.NoError(t, err)
		requireResult(t, run, "Hello "+namespace)
		requireFound(t, c, "Rank = 7", run.GetID())
	}
}

func TestDataFile(t *testing.T) {
	for name, sig := range map[string]os.Signal{"outlives a stop": syscall.SIGTERM, "outlives a kill": syscall.SIGKILL} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "temporal data.db")
			p := launch(t, "--db-filename", file)
			c := dial(t, p.address, "default")
			w := startWorker(t, c)
			ended, err := c.ExecuteWorkflow(t.Context(), startOptions, greet, "Ada")
			require.NoError(t, err)
			requireResult(t, ended, "Hello Ada")
			open, err := c.ExecuteWorkflow(t.Context(), startOptions, greetLater)
			require.NoError(t, err)
			_, err = c.QueryWorkflow(t.Context(), open.GetID(), open.GetRunID(), client.QueryTypeStackTrace)
			require.NoError(t, err, "answered once it waits, not in the midst of a task")
			w.Stop()
			require.NoError(t, p.cmd.Process.Signal(sig))
			_ = p.cmd.Wait() // a kill is an error, as it should be

			p = launch(t, "--db-filename", file)
			c = dial(t, p.address, "default")
			startWorker(t, c)
			requireResult(t, c.GetWorkflow(t.Context(), ended.GetID(), ended.GetRunID()), "Hello Ada")
			require.NoError(t, c.SignalWorkflow(t.Context(), open.GetID(), open.GetRunID(), "name", "Bob"))
			requireResult(t, c.GetWorkflow(t.Context(), open.GetID(), open.GetRunID()), "Hello Bob")
		})
	}
	t.Run("belongs to one server at a time", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "temporal.db")
		launch(t, "--db-filename", file)
		out, err := command("--headless", "--port", freePort(t), "--db-filename", file).CombinedOutput()
		requireExit(t, 1, err)
		require.Contains(t, string(out), "--db-filename "+file)
		require.Contains(t, string(out), "another server")
	})
	t.Run("waits for the server before it", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "temporal.db")
		p := launch(t, "--db-filename", file)
		require.NoError(t, p.cmd.Process.Signal(syscall.SIGTERM))
		launch(t, "--db-filename", file)
		require.NoError(t, p.cmd.Wait())
	})
	t.Run("gets the search attributes of a later start", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "temporal.db")
		p := launch(t, "--db-filename", file, "--search-attribute", "City=Keyword")
		require.NoError(t, p.cmd.Process.Signal(os.Interrupt))
		require.NoError(t, p.cmd.Wait())
		p = launch(t, "--db-filename", file, "--search-attribute", "City=Keyword", "--search-attribute", "Rank=Int")
		there, err := dial(t, p.address, "default").OperatorService().ListSearchAttributes(t.Context(),
			&operatorservice.ListSearchAttributesRequest{Namespace: "default"})
		require.NoError(t, err)
		require.Equal(t, map[string]enums.IndexedValueType{
			"City": enums.INDEXED_VALUE_TYPE_KEYWORD, "Rank": enums.INDEXED_VALUE_TYPE_INT,
		}, there.CustomAttributes)
		require.NoError(t, p.cmd.Process.Signal(os.Interrupt))
		require.NoError(t, p.cmd.Wait())
		out, err := command("--headless", "--port", freePort(t), "--db-filename", file, "--search-attribute", "City=Int").CombinedOutput()
		requireExit(t, 1, err)
		require.Contains(t, string(out), "--search-attribute City=Int: namespace default has it as Keyword")
	})
}

func TestStop(t *testing.T) {
	for name, stop := range map[string]func(*process) error{
		"at SIGINT":           func(p *process) error { return p.cmd.Process.Signal(os.Interrupt) },
		"at SIGTERM":          func(p *process) error { return p.cmd.Process.Signal(syscall.SIGTERM) },
		"at the end of stdin": func(p *process) error { return p.stdin.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			p := launch(t, "--stop-with-stdin")
			require.NoError(t, stop(p))
			require.NoError(t, p.cmd.Wait(), "it exits with 0: %s", p.stderr)
			_, err := net.Dial("tcp", p.address)
			require.Error(t, err)
		})
	}
}

func TestTakenPort(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	taken := strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
	for flag, args := range map[string][]string{
		"--port":    {"--port", taken},
		"--ui-port": {"--port", freePort(t), "--ui-port", taken},
	} {
		t.Run(flag, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "temporal.db")
			out, err := command(append(args, "--db-filename", file)...).CombinedOutput()
			requireExit(t, 1, err)
			require.Contains(t, string(out), flag+" "+taken)
			require.NoFileExists(t, file, "nothing was begun")
		})
	}
}
