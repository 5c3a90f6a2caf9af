package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

const (
	runID     = "0199aa52-5b4e-7a3c-a3c4-5d0f4a6b7c8d"
	completed = `{"id": "` + runID + `", "kind": "full", "trigger": "manual", "status": "completed", "phase": "done",
		"options": {"dryRun": false, "forceUpdate": false, "markUnavailable": true},
		"progress": {"fetched": 25, "expected": 25}, "startedAt": "2026-11-25T12:00:00Z", "finishedAt": "2026-11-25T12:00:01.2Z",
		"counts": {"listed": 24, "added": 1, "changed": 1, "unchanged": 22, "gone": 0, "held": 0}, "problems": ["phi-4: its price is no number"],
		"differences": {"data": [
			{"modelId": "gpt-5", "kind": "added", "fields": []},
			{"modelId": "gra\u001b[31mnite", "kind": "changed", "fields": [{"field": "inputPrice", "old": 0.1, "new": "0.2"}]}
		], "pagination": {"total": 7}}}`
	running = `{"id": "` + runID + `", "kind": "full", "status": "running", "phase": "fetching", "progress": {"fetched": 400, "expected": 1000}}`
	merging = `{"id": "` + runID + `", "kind": "full", "status": "running", "phase": "merging", "progress": {"fetched": 1000, "expected": 1000}}`
	asking  = `{"id": "` + runID + `", "kind": "full", "status": "completed", "startedAt": "2026-11-25T12:00:00Z", "finishedAt": "2026-11-25T12:00:01Z",
		"counts": {"listed": 0, "held": 24}, "proposalId": "p1", "proposal": {"id": "p1", "status": "open", "why": "LiteLLM's list is empty", "models": 24, "expiresAt": "2026-11-26T12:00:00Z"},
		"differences": {"data": [], "pagination": {"total": 0}}}`
	failed = `{"id": "` + runID + `", "kind": "full", "status": "failed", "failure": "LiteLLM was away for a day", "startedAt": "2026-11-25T12:00:00Z", "finishedAt": "2026-11-26T12:00:00Z"}`
	notYet = `404 {"detail": "sync run not found"}`
)

// fake is the API as far as `litemaas sync` calls it. Each look at the run gets the next of
// looks, the last again and again.
type fake struct {
	*httptest.Server
	mu       sync.Mutex
	looks    []string
	requests []string // method, path, body
	keys     []string
}

func newFake(t *testing.T, looks ...string) *fake {
	t.Helper()
	clean(t)
	f := &fake{looks: looks}
	answer := func(pattern string, next func() string) (string, http.HandlerFunc) {
		return pattern, func(w http.ResponseWriter, r *http.Request) {
			f.mu.Lock()
			defer f.mu.Unlock()
			var body bytes.Buffer
			_, _ = body.ReadFrom(r.Body)
			f.requests = append(f.requests, strings.TrimSpace(r.Method+" "+r.URL.String()+" "+body.String()))
			f.keys = append(f.keys, r.Header.Get("Authorization"))
			text := next()
			if status, rest, ok := strings.Cut(text, " "); ok && len(status) == 3 {
				w.WriteHeader(map[string]int{"401": 401, "404": 404, "409": 409, "503": 503}[status])
				text = rest
			}
			_, _ = w.Write([]byte(text))
		}
	}
	mux := http.NewServeMux()
	mux.HandleFunc(answer("POST /api/v1/models/sync", func() string { return `{"runId": "` + runID + `", "status": "running"}` }))
	mux.HandleFunc(answer("GET /api/v1/sync/runs/{id}", func() string {
		look := f.looks[0]
		if len(f.looks) > 1 {
			f.looks = f.looks[1:]
		}
		return look
	}))
	mux.HandleFunc(answer("GET /api/v1/sync/runs", func() string { return `{"data": [` + completed + `, ` + asking + `]}` }))
	mux.HandleFunc(answer("POST /api/v1/sync/runs/{id}/decision", func() string { return f.looks[0] }))
	mux.HandleFunc(answer("GET /api/v1/sync/health", func() string {
		return `{"status": "degraded", "issues": ["24 models are proposed for removal"], "lastSuccess": {"runId": "` + runID + `", "ageSeconds": 3700},
			"running": ` + running + `, "nextRunAt": "2026-11-25T13:00:00Z", "litellm": {"reachable": true, "latencyMs": 3.4, "version": "1.108"},
			"proposal": {"id": "p1", "status": "open"}}`
	}))
	f.Server = httptest.NewServer(mux)
	t.Cleanup(f.Close)
	t.Setenv(adminKeyEnv, "ltm_admin_hush")
	return f
}

// A sync is started with what was asked for, and its report says what came of it.
func TestSync(t *testing.T) {
	f := newFake(t, completed)
	status, out, errs := cli(t, "sync", "--url", f.URL+"/", "--dry-run", "--force", "--keep-missing")
	require.Zero(t, status, errs)
	require.Equal(t, []string{
		`POST /api/v1/models/sync {"dryRun":true,"forceUpdate":true,"markUnavailable":false}`, "GET /api/v1/sync/runs/" + runID + "?limit=20",
	}, f.requests)
	require.Equal(t, []string{"Bearer ltm_admin_hush", "Bearer ltm_admin_hush"}, f.keys)
	require.Empty(t, errs, "no progress where nobody watches")
	require.Equal(t, `Sync `+runID+` completed after 1.2 s

  listed by LiteLLM              24
  added                           1
  changed                         1
  unchanged                      22

What differed:
  added     gpt-5
  changed   gra [31mnite  inputPrice 0.1 → "0.2"
  … and 5 more: GET /api/v1/sync/runs/`+runID+`

Could not be read:
  phi-4: its price is no number
`, out)
}

// A sync that asks says what, and how to answer; the exit status tells it apart.
func TestSyncThatAsks(t *testing.T) {
	f := newFake(t, asking)
	status, out, errs := cli(t, "sync", "--url", f.URL)
	require.Equal(t, exitDecision, status)
	require.Empty(t, errs)
	require.Contains(t, out, "A person has to decide. LiteLLM's list is empty. Nothing was taken away.\nProposed for removal, until ")
	require.Contains(t, out, ": 24 models.\n")
	require.Contains(t, out, "litemaas sync approve "+runID)
	require.Contains(t, out, "litemaas sync reject "+runID)
}

// A sync that failed says why.
func TestSyncThatFails(t *testing.T) {
	f := newFake(t, failed)
	status, out, _ := cli(t, "sync", "--url", f.URL)
	require.Equal(t, exitFailed, status)
	require.Contains(t, out, "Sync "+runID+" failed after 24h\n\nLiteLLM was away for a day\n")
}

// A run is followed from before it begins to its end, also while the server is restarted, and
// each step is told once.
func TestFollow(t *testing.T) {
	f := newFake(t, notYet, notYet, running, running, "503 {}", "503 {}", merging, completed)
	var told bytes.Buffer
	ticks := 0
	s := &server{url: f.URL, http: f.Client(), tick: func(context.Context, int) error { ticks++; return nil }}
	run, err := s.follow(t.Context(), runID, newProgress(&told, true))
	require.NoError(t, err)
	require.Equal(t, 24, run.Counts.Listed)
	require.Equal(t, 7, ticks)
	require.Equal(t, "waiting for a worker to begin\nread 400 of 1000 deployments\nwaiting for the server to answer again\ncomparing 1000 deployments with the catalogue\n", told.String())

	told.Reset()
	f.looks = []string{running, completed}
	_, err = s.follow(t.Context(), runID, &progress{w: &told, terminal: true})
	require.NoError(t, err)
	require.Equal(t, wipe+"read 400 of 1000 deployments"+wipe, told.String())

	f.looks, ticks = []string{"503 {}"}, 0
	_, err = s.follow(t.Context(), runID, newProgress(&told, false))
	require.ErrorContains(t, err, "answers 503: Service Unavailable")
	require.Equal(t, looksLost, ticks)
}

// Interrupting the command leaves the sync running, and says how to come back to it.
func TestInterruptedSync(t *testing.T) {
	f := newFake(t, running)
	ctx, stop := context.WithCancel(t.Context())
	s := &server{url: f.URL, http: f.Client(), tick: func(context.Context, int) error { stop(); return ctx.Err() }}
	cmd, _, err := rootCmd().Find([]string{"sync"})
	require.NoError(t, err)
	cmd.SetContext(ctx)
	require.ErrorContains(t, syncNow(cmd, s), "the sync goes on; `litemaas sync show "+runID+"`")
}

// A person answers in one line, and reads what came of it.
func TestDecide(t *testing.T) {
	f := newFake(t, `{"message": "approved: 24 of 24 models were marked unavailable"}`)
	status, out, _ := cli(t, "sync", "approve", runID, "--reason", "they are gone", "--url", f.URL)
	require.Zero(t, status)
	require.Equal(t, "approved: 24 of 24 models were marked unavailable\n", out)
	f.looks = []string{`409 {"detail": "the proposal was approved by ada"}`}
	status, _, errs := cli(t, "sync", "reject", runID, "--url", f.URL)
	require.Equal(t, exitFailed, status)
	require.Equal(t, "litemaas: the proposal was approved by ada\n", errs)
	require.Equal(t, []string{
		"POST /api/v1/sync/runs/" + runID + `/decision {"decision":"approve","reason":"they are gone"}`,
		"POST /api/v1/sync/runs/" + runID + `/decision {"decision":"reject","reason":""}`,
	}, f.requests)
}

// The smaller commands show what the server says.
func TestSyncShows(t *testing.T) {
	f := newFake(t, running)
	status, out, _ := cli(t, "sync", "show", runID, "--url", f.URL)
	require.Zero(t, status)
	require.Equal(t, "Sync "+runID+" is running: read 400 of 1000 deployments\n", out)
	_, out, _ = cli(t, "sync", "runs", "--url", f.URL)
	require.Contains(t, strings.Join(strings.Fields(out), " "), "ADDED CHANGED GONE HELD 2026-11-25 ")
	require.Contains(t, strings.Join(strings.Fields(out), " "), runID+" completed full manual 1 1 0 0")
	_, out, _ = cli(t, "sync", "status", "--url", f.URL)
	for _, want := range []string{"status       degraded\n", "last sync    1h1m40s ago", "litellm      answers in 3.4 ms 1.108\n", "issue        24 models", "to answer    litemaas sync approve " + runID} {
		require.Contains(t, out, want)
	}
}

// What hinders is told in words, and never with the key.
func TestSyncThatCannotStart(t *testing.T) {
	f := newFake(t, `401 {"detail": "Invalid or missing authentication token"}`)
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	html := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>")) }))
	defer html.Close()
	for _, tc := range []struct {
		args   []string
		status int
		want   string
	}{
		{[]string{"show", runID, "--url", f.URL}, exitFailed, "does not take the admin key: Invalid or missing authentication token"},
		{[]string{"--url", gone.URL}, exitFailed, "no server answers at " + gone.URL + ": start `litemaas serve` or `litemaas dev`, or say by --url where it is"},
		{[]string{"--url", html.URL}, exitFailed, "what answers at " + html.URL + " is not LiteMaaS"},
		{[]string{"--url", "localhost:8081"}, exitUsage, "--url must be an address such as"},
	} {
		status, out, errs := cli(t, append([]string{"sync"}, tc.args...)...)
		require.Equal(t, tc.status, status, errs)
		require.Contains(t, errs, tc.want)
		require.NotContains(t, out+errs, "hush")
	}
	t.Setenv(adminKeyEnv, "")
	status, _, errs := cli(t, "sync", "--url", f.URL)
	require.Equal(t, exitUsage, status)
	require.Contains(t, errs, "no admin key: set LITEMAAS_ADMIN_KEY, --admin-key or api.admin_keys (ADMIN_API_KEYS)")
}

// The admin key is the one said nearest to the call; that of `litemaas dev` goes to this
// machine only.
func TestAdminKey(t *testing.T) {
	f := newFake(t, completed)
	key := func(args ...string) string {
		_, _, _ = cli(t, append([]string{"sync", "show", runID, "--url", f.URL}, args...)...)
		return strings.TrimPrefix(f.keys[len(f.keys)-1], "Bearer ltm_admin_")
	}
	require.NoError(t, os.Mkdir(".dev", 0o700))
	writeFile(t, devAdminKey, "ltm_admin_dev\n")
	t.Setenv(adminKeyEnv, "")
	require.Equal(t, "dev", key())
	require.Equal(t, "file", key("--set", "api.admin_keys=ltm_admin_file,ltm_admin_2"))
	t.Setenv(adminKeyEnv, "ltm_admin_env")
	require.Equal(t, "env", key("--set", "api.admin_keys=ltm_admin_file"))
	require.Equal(t, "flag", key("--admin-key", "ltm_admin_flag"))
	t.Setenv(adminKeyEnv, "")
	status, _, errs := cli(t, "sync", "--url", "https://maas.example.com")
	require.Equal(t, exitUsage, status)
	require.Contains(t, errs, "no admin key")
}

// The server is looked for where the configuration lets it listen.
func TestLocalURL(t *testing.T) {
	for listens, want := range map[string]string{
		":8081": "http://localhost:8081", "0.0.0.0:80": "http://localhost:80", "[::]:80": "http://localhost:80",
		"127.0.0.1:9000": "http://127.0.0.1:9000", "[::1]:9000": "http://[::1]:9000", "maas.example:80": "http://maas.example:80",
	} {
		require.Equal(t, want, localURL(listens))
	}
}

// The counts of the API are read by their names.
func TestCountsAreRead(t *testing.T) {
	var run syncRun
	require.NoError(t, json.Unmarshal([]byte(`{"counts": {"listed": 1, "added": 2, "changed": 3, "unchanged": 4, "returned": 5, "gone": 6, "held": 7, "kept": 8, "deleted": 9}}`), &run))
	c := run.Counts
	require.Equal(t, []int{1, 2, 3, 4, 5, 6, 7, 8, 9}, []int{c.Listed, c.Added, c.Changed, c.Unchanged, c.Returned, c.Gone, c.Held, c.Kept, c.Deleted})
}

// What a sync found about users and keys is told, and that it mends it only where it does.
func TestReportUsersAndKeys(t *testing.T) {
	for options, want := range map[string]string{
		`{}`: "\nOf our users, LiteLLM lacked 2 and held 1 otherwise: they are being put right.\n" +
			"\nOf our API keys, LiteLLM lacked 3, and 4 were not as they should be: they are being put right.\n",
		`{"dryRun": true}`: "\nOf our users, LiteLLM lacked 2 and held 1 otherwise.\n" +
			"\nOf our API keys, LiteLLM lacked 3, and 4 were not as they should be.\n",
	} {
		var run syncRun
		require.NoError(t, json.Unmarshal([]byte(`{"status": "completed", "options": `+options+`, "users": {"listed": 9, "missing": 2, "different": 1},
			"keys": {"listed": 9, "missing": 3, "different": 4}}`), &run))
		var told bytes.Buffer
		run.write(&told)
		require.Contains(t, told.String(), want)
	}
}
