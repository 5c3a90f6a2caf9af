package main

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store/storetest"
	"github.com/litemaas/litemaas/temporal/temporaltest"
)

// devRun is a `litemaas dev` that runs until it is stopped.
type devRun struct {
	table string // all it told until it was ready
	stop  func() (status int, rest, errs string)
}

// startDev runs dev on a Postgres and a Temporal that are configured, and a LiteLLM of its own.
func startDev(t *testing.T, args ...string) devRun {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	t.Cleanup(cancel)
	r, w := io.Pipe()
	var errs strings.Builder
	ended := make(chan int, 1)
	go func() {
		ended <- run(ctx, append([]string{"dev"}, args...), w, &errs)
		_ = w.Close()
	}()
	lines, table := bufio.NewReader(r), strings.Builder{}
	for !strings.Contains(table.String(), "Ctrl-C stops everything.") {
		line, err := lines.ReadString('\n')
		require.NoError(t, err, table.String()+errs.String())
		table.WriteString(line)
	}
	return devRun{table.String(), func() (int, string, string) {
		cancel()
		rest, err := io.ReadAll(lines)
		require.NoError(t, err)
		return <-ended, string(rest), errs.String()
	}}
}

// devEnvironment points dev at the servers of the tests, and returns its flags.
func devEnvironment(t *testing.T) []string {
	t.Helper()
	database, server := storetest.URL(t), temporaltest.Config(t)
	clean(t)
	t.Setenv("DATABASE_URL", database)
	t.Setenv("TEMPORAL_ADDRESS", server.Address)
	t.Setenv("TEMPORAL_NAMESPACE", server.Namespace)
	return []string{"--api-port", freePort(t), "--litellm-port", freePort(t)}
}

func freePort(t *testing.T) string {
	t.Helper()
	l := listen(t)
	defer l.Close()
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
}

// One command brings everything up, syncs, and tells where everything is; what it tells is so.
// A second start goes on with the data of the first, and a reset forgets it.
func TestDev(t *testing.T) {
	args := devEnvironment(t)
	d := startDev(t, args...)
	require.Contains(t, d.table, "First sync: 24 models added from 25 deployments in ")
	require.Contains(t, d.table, "as configured: database.url (environment DATABASE_URL)")
	require.NotContains(t, d.table, "Temporal UI  http")
	key := regexp.MustCompile(`Admin key +(ltm_admin_[0-9a-f]{48})\n`).FindStringSubmatch(d.table)
	require.NotNil(t, key, d.table)
	require.Contains(t, d.table, "http://localhost:"+args[1]+"/docs")
	require.Equal(t, http.StatusOK, getAs(t, "http://localhost:"+args[1]+"/api/v1/sync/runs", key[1]))
	require.Equal(t, http.StatusOK, getAs(t, "http://localhost:"+args[3]+"/v1/models", "sk-master-0123456789"))
	require.Contains(t, d.table, `curl --json '{"username": "admin@example.com"}' http://localhost:`+args[1]+"/api/auth/dev-token")
	signIn(t, args[1])
	status, rest, errs := d.stop()
	require.Zero(t, status, errs)
	require.Contains(t, rest, "Stopped. The data is kept in .dev.")
	log, err := os.ReadFile(filepath.Join(".dev", "litemaas.log"))
	require.NoError(t, err)
	require.Contains(t, string(log), "the worker runs")
	require.NotContains(t, string(log), key[1])

	d = startDev(t, args...)
	require.Contains(t, d.table, "Sync: nothing changed, 24 models from 25 deployments in ")
	require.Contains(t, d.table, key[1])
	d.stop()

	d = startDev(t, append(args, "--reset", "--no-sync")...)
	require.Contains(t, d.table, "No sync was made (--no-sync).")
	require.NotContains(t, d.table, key[1])
	signIn(t, args[1]) // with the keys that the database kept
	d.stop()
}

// signIn signs an admin in.
func signIn(t *testing.T, port string) {
	t.Helper()
	at := "http://localhost:" + port
	res, err := http.Post(at+"/api/auth/dev-token", "application/json", strings.NewReader(`{"username": "admin@example.com", "roles": ["admin", "user"]}`))
	require.NoError(t, err)
	defer res.Body.Close()
	var made struct {
		Token string `json:"access_token"`
	}
	require.NoError(t, json.NewDecoder(res.Body).Decode(&made))
	require.Equal(t, http.StatusOK, getAs(t, at+"/api/v1/users", made.Token))
}

// An API that others can reach does not believe everybody.
func TestDevBeyondThisMachine(t *testing.T) {
	clean(t)
	for address, mock := range map[string]bool{
		"127.0.0.1:8081": true, "localhost:8081": true, "[::1]:8081": true, ":8081": false, "0.0.0.0:8081": false, "192.0.2.1:8081": false,
	} {
		s := &stack{}
		s.cfg.API.Listen, s.cfg.Environment = address, "development"
		s.cfg.values = map[string]value{}
		for _, key := range []string{"api.cors_origins", "auth.callback_url", "auth.frontend_url", "auth.provider"} {
			s.cfg.values[key] = value{origin: originDefault}
		}
		s.signIn()
		require.Equal(t, mock, s.cfg.Auth.Provider == "mock", address)
		require.NotEmpty(t, s.signInRow())
	}
}

func getAs(t *testing.T, url, key string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	require.NoError(t, err)
	req.Header.Set("Authorization", "Bearer "+key)
	res, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	return res.StatusCode
}

// A port that is taken is named with the flag that changes it, and nothing is started.
func TestDevOnATakenPort(t *testing.T) {
	clean(t)
	l := listen(t)
	defer l.Close()
	taken := strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
	args := []string{"dev"}
	for _, flag := range []string{"--api-port", "--temporal-port", "--temporal-ui-port", "--litellm-port", "--postgres-port"} {
		args = append(args, flag, freePort(t))
	}
	for i := 2; i < len(args); i += 2 {
		free := args[i]
		args[i] = taken
		status, out, errs := cli(t, args...)
		args[i] = free
		require.Equal(t, exitFailed, status)
		require.Empty(t, out)
		require.Regexp(t, `^litemaas: port `+taken+`, for .+, is taken: choose another with `+args[i-1]+`\n$`, errs)
	}
	require.NoDirExists(t, filepath.Join(".dev", "postgres"))
}

// Two cannot run on one directory.
func TestDevTwice(t *testing.T) {
	args := devEnvironment(t)
	d := startDev(t, append(args, "--no-sync")...)
	status, _, errs := cli(t, "dev", "--api-port", freePort(t), "--litellm-port", freePort(t))
	require.Equal(t, exitFailed, status)
	require.Contains(t, errs, ".dev is in use by process "+strconv.Itoa(os.Getpid())+": stop that, or choose another directory with --data-dir")
	d.stop()
}

// What is configured is what is used: where the API listens, and its admin keys, which nobody
// is shown.
func TestDevAsConfigured(t *testing.T) {
	args := devEnvironment(t)
	t.Setenv("PORT", args[1])
	t.Setenv("ADMIN_API_KEYS", "ltm_admin_configured")
	d := startDev(t, append(args[2:], "--no-sync")...)
	require.Contains(t, d.table, "http://localhost:"+args[1]+"/docs")
	require.Contains(t, d.table, "as configured: api.admin_keys (environment ADMIN_API_KEYS)")
	require.NotContains(t, d.table, "ltm_admin_configured")
	require.Equal(t, http.StatusOK, getAs(t, "http://localhost:"+args[1]+"/api/v1/sync/runs", "ltm_admin_configured"))
	d.stop()
	require.NoFileExists(t, filepath.Join(".dev", "admin-key"))
}

// What came of a sync is said in one line.
func TestCame(t *testing.T) {
	for want, counts := range map[string]models.SyncCounts{
		"24 models added from 25 deployments":                   {Listed: 24, Added: 24},
		"nothing changed, 24 models from 25 deployments":        {Listed: 24, Unchanged: 24},
		"1 model added, 2 models changed from 25 deployments":   {Listed: 24, Added: 1, Changed: 2},
		"1 model back again, 3 models gone from 25 deployments": {Listed: 24, Returned: 1, Gone: 3},
		"9 models missing and held back from 25 deployments":    {Listed: 24, Held: 9},
	} {
		require.Equal(t, want, came(models.SyncRun{Fetched: 25, Counts: counts}))
	}
}
