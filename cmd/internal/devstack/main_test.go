package devstack

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestMain lets the test program also be what the tests start.
func TestMain(m *testing.M) {
	switch {
	case filepath.Base(os.Args[0]) == "temporal":
		os.Exit(fakeTemporal(os.Args[1:]))
	case os.Getenv("DEVSTACK_PARENT") != "":
		os.Exit(parent(os.Getenv("DEVSTACK_PARENT"), os.Getenv("DEVSTACK_PORT")))
	}
	os.Exit(m.Run())
}

// parent starts a Postgres and waits to be killed.
func parent(path, port string) int {
	d, err := Open(path)
	if err == nil {
		number, _ := strconv.Atoi(port)
		ctx := context.Background()
		var programs PostgresPrograms
		if programs, err = d.FindPostgres(ctx, NewProgress(os.Stderr)); err == nil {
			_, err = d.StartPostgres(ctx, programs, PostgresOptions{Port: number})
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Fprintln(os.Stdout, "ready")
	select {}
}

// fakeTemporal looks like the CLI, notes its arguments, and serves what TEST_TEMPORAL_ADDRESS
// does.
func fakeTemporal(args []string) int {
	if slices.Equal(args, []string{"--version"}) {
		fmt.Fprintln(os.Stdout, "temporal version 1.5.0 (Server 1.29.0, UI 2.40.0)")
		return 0
	}
	if err := os.WriteFile(os.Getenv("FAKE_TEMPORAL_ARGS"), []byte(strings.Join(args, " ")), 0o600); err != nil {
		return 1
	}
	l, err := net.Listen("tcp", "127.0.0.1:"+args[slices.Index(args, "--port")+1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	for {
		in, err := l.Accept()
		if err != nil {
			return 1
		}
		out, err := net.Dial("tcp", os.Getenv("TEST_TEMPORAL_ADDRESS"))
		if err != nil {
			return 1
		}
		go func() { _, _ = io.Copy(out, in); _ = out.Close() }()
		go func() { _, _ = io.Copy(in, out); _ = in.Close() }()
	}
}

// newDir is a directory for one test, where Postgres can live whoever runs the test.
func newDir(t *testing.T) *Dir {
	t.Helper()
	d, err := OpenTemp()
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, d.Remove()) })
	return d
}

func freePort(t *testing.T) int {
	t.Helper()
	port, err := FreePort()
	require.NoError(t, err)
	return port
}
