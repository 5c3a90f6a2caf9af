package main

import (
	"bytes"
	"log/slog"
	"runtime/debug"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"
)

// Every command says what it does, shows how to call it, and what to do then.
func TestHelp(t *testing.T) {
	clean(t)
	for _, name := range []string{"serve", "worker", "dev", "migrate", "sync", "doctor", "config", "token", "audit", "keyset", "version"} {
		cmd, _, err := rootCmd().Find([]string{name})
		require.NoError(t, err)
		require.Equal(t, name, cmd.Name())
	}
	var visit func(cmd *cobra.Command)
	visit = func(cmd *cobra.Command) {
		for _, c := range cmd.Commands() {
			if c.Name() == "help" || c.Name() == "completion" {
				continue
			}
			visit(c)
			t.Run(c.CommandPath(), func(t *testing.T) {
				require.NotEmpty(t, c.Short)
				require.NotEmpty(t, c.Long)
				require.Contains(t, c.Example, "litemaas ")
				require.False(t, strings.HasSuffix(c.Short, "."))
				status, out, errs := cli(t, append(strings.Fields(c.CommandPath())[1:], "--help")...)
				require.Zero(t, status)
				require.Empty(t, errs)
				require.Contains(t, out, c.Long)
				require.Contains(t, out, "--set")
			})
		}
	}
	visit(rootCmd())
	status, out, _ := cli(t)
	require.Zero(t, status)
	require.Contains(t, out, "To run it:")
	require.Contains(t, out, "To look after it:")
}

// A wrong command line ends with status 2 and says where the right one is told.
func TestWrongCommandLine(t *testing.T) {
	clean(t)
	for _, tc := range []struct{ args, want, see string }{
		{"srve", `unknown command "srve"`, "litemaas --help"},
		{"serve now", `unknown command "now"`, "litemaas serve --help"},
		{"serve --nope", "unknown flag: --nope", "litemaas serve --help"},
		{"config --example=perhaps", "invalid argument", "litemaas config --help"},
		{"sync approve", "accepts 1 arg", "litemaas sync approve --help"},
	} {
		status, out, errs := cli(t, strings.Fields(tc.args)...)
		require.Equal(t, exitUsage, status, tc.args)
		require.Empty(t, out)
		require.Contains(t, errs, "litemaas: "+tc.want)
		require.Contains(t, errs, "See `"+tc.see+"`.")
	}
}

// What fails though it was asked rightly ends with status 1.
func TestFailure(t *testing.T) {
	clean(t)
	status, _, errs := cli(t, "migrate", "--set", "database.url=postgres://ada@127.0.0.1:1/d")
	require.Equal(t, exitFailed, status)
	require.Contains(t, errs, "litemaas: the database does not answer: check database.url (DATABASE_URL)")
	require.Contains(t, errs, "connection refused")
}

// An address that is taken is named with what changes it.
func TestServeOnATakenPort(t *testing.T) {
	clean(t)
	l := listen(t)
	defer l.Close()
	status, _, errs := cli(t, "serve", "--set", "database.url=postgres://ada@127.0.0.1:1/d", "--listen", l.Addr().String())
	require.Equal(t, exitUsage, status)
	require.Contains(t, errs, l.Addr().String()+" cannot be listened on: set api.listen (PORT), or stop what uses it")
}

// Logging is as the settings say.
func TestLogger(t *testing.T) {
	var b bytes.Buffer
	newLogger(&b, logConfig{Level: "warn", Format: "text"}).Info("quiet")
	require.Empty(t, b.String())
	newLogger(&b, logConfig{Level: "debug", Format: "json"}).Debug("loud", slog.Int("n", 1))
	require.Contains(t, b.String(), `"msg":"loud","n":1`)
}

// A build is named by its release, else by its commit.
func TestVersion(t *testing.T) {
	commit := func(more ...debug.BuildSetting) *debug.BuildInfo {
		return &debug.BuildInfo{
			Main:     debug.Module{Version: "(devel)"},
			Settings: append([]debug.BuildSetting{{Key: "vcs.revision", Value: "0123456789abcdef"}}, more...),
		}
	}
	require.Equal(t, "1.2.3", versionOf("1.2.3", commit()))
	require.Equal(t, "dev-0123456789ab", versionOf("", commit()))
	require.Equal(t, "dev-0123456789ab-changed", versionOf("", commit(debug.BuildSetting{Key: "vcs.modified", Value: "true"})))
	require.Equal(t, "v1.2.3", versionOf("", &debug.BuildInfo{Main: debug.Module{Version: "v1.2.3"}}))
	require.Equal(t, "dev", versionOf("", &debug.BuildInfo{Main: debug.Module{Version: "(devel)"}}))
	require.Equal(t, "dev", versionOf("", nil))
	clean(t)
	for _, args := range []string{"version", "--version"} {
		status, out, _ := cli(t, args)
		require.Zero(t, status)
		require.Contains(t, out, "litemaas "+version())
	}
}

// shared is a buffer for several goroutines: the log of the process goes to the command that
// was called last, also what another one logs that still runs.
type shared struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *shared) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *shared) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// A length of time is told without zeros at its end.
func TestBrief(t *testing.T) {
	for want, d := range map[string]time.Duration{
		"0s": 0, "1s": time.Second, "40s": 40 * time.Second, "1m": time.Minute, "30m": 30 * time.Minute,
		"1h0m5s": time.Hour + 5*time.Second, "10h": 10 * time.Hour, "1h40m": 100 * time.Minute,
	} {
		require.Equal(t, want, brief(d))
	}
}
