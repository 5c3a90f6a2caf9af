package api_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"log/slog"
	"net/http"
	"regexp"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store/storetest"
	"github.com/litemaas/litemaas/workflows"
)

// aSecret is what an API key looks like: more of it than people are shown.
var aSecret = regexp.MustCompile(`sk-[A-Za-z0-9_-]{8,}`)

// notebook is a log that can be read while it is written.
type notebook struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (n *notebook) Write(p []byte) (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.text.Write(p)
}

func (n *notebook) String() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.text.String()
}

// A key's secret is in the answer to who made it, and sealed in its row; not in the log, the audit
// log, any other table, or any history, whatever is done with it.
func TestKeySecretsAreNowhereElse(t *testing.T) {
	log := &notebook{}
	before := slog.Default()
	slog.SetDefault(slog.New(slog.NewJSONHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	t.Cleanup(func() { slog.SetDefault(before) })
	s := open(t)
	s.has(t, s.ada, "gpt-4o")
	var mu sync.Mutex
	var secrets []string
	var ids []string
	note := func(r reply) reply {
		mu.Lock()
		defer mu.Unlock()
		secrets, ids = append(secrets, r.at("key").(string)), append(ids, id(r))
		return r
	}
	var wg sync.WaitGroup
	for range 6 { // some of them share a run
		wg.Go(func() { note(s.make(t, s.ada, `{"modelIds": ["gpt-4o"]}`)) })
	}
	wg.Wait()
	path := "/api/v1/admin/users/" + s.user(t, "ada@example.com").ID.String() + "/api-keys"
	note(s.by(t, s.root, http.MethodPost, path, `{"name": "x", "modelIds": ["gpt-4.1"]}`).is(http.StatusCreated))
	s.by(t, s.ada, http.MethodPatch, keysPath+"/"+ids[0], `{"rpmLimit": 3}`).is(http.StatusOK)
	s.by(t, s.ada, http.MethodDelete, keysPath+"/"+ids[1], "").is(http.StatusOK)
	s.by(t, s.root, http.MethodDelete, path+"/"+ids[2], `{"reason": "x"}`).is(http.StatusOK)
	s.by(t, "Bearer "+secrets[0], http.MethodGet, keysPath, "").is(http.StatusOK)
	s.by(t, "Bearer "+secrets[0], http.MethodDelete, keysPath+"/"+ids[0], "").is(http.StatusForbidden)
	s.by(t, s.ada, http.MethodGet, keysPath+"?modelIds="+secrets[0], "").is(http.StatusOK)
	s.by(t, s.ada, http.MethodGet, keysPath+"/"+secrets[0], "").is(http.StatusBadRequest)
	s.make(t, s.ada, `{"modelIds": ["gpt-4o"], "budgetDuration": "`+secrets[0]+`"}`).is(http.StatusBadRequest)
	require.Len(t, secrets, 7)

	c := s.Temporal.(client.Client)
	read := 0
	for _, run := range allRuns(t, c) {
		h := historyOf(t, c, run)
		require.NotRegexp(t, aSecret, h, run)
		read++
	}
	require.Greater(t, read, 5)
	tables := dump(t, s)
	require.NotEmpty(t, log.String())
	for _, where := range []string{log.String(), tables} {
		require.NotRegexp(t, aSecret, where)
		for _, secret := range secrets {
			require.NotContains(t, where, secret[7:], "not even a part")
			require.NotContains(t, where, base64.StdEncoding.EncodeToString([]byte(secret)))
		}
	}
	require.Contains(t, tables, "API_KEY_CREATE")
}

// allRuns are the ids of all workflows that a namespace has had.
func allRuns(t *testing.T, c client.Client) (ids []string) {
	t.Helper()
	require.Eventually(t, func() bool { // the list lags behind
		ids = nil
		list, err := c.ListWorkflow(t.Context(), &workflowservice.ListWorkflowExecutionsRequest{PageSize: 500})
		if err != nil {
			return false
		}
		open := 0
		for _, e := range list.GetExecutions() {
			ids = append(ids, e.GetExecution().GetWorkflowId())
			if e.GetStatus() == enums.WORKFLOW_EXECUTION_STATUS_RUNNING {
				open++
			}
		}
		return len(ids) > 5 && open == 0
	}, time.Minute, 200*time.Millisecond)
	return ids
}

// historyOf is all that Temporal keeps of the last run of a workflow, as text, its payloads too.
func historyOf(t *testing.T, c client.Client, workflowID string) string {
	t.Helper()
	var out bytes.Buffer
	events := c.GetWorkflowHistory(t.Context(), workflowID, "", false, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for events.HasNext() {
		e, err := events.Next()
		require.NoError(t, err)
		raw, err := protojson.Marshal(e)
		require.NoError(t, err)
		out.Write(raw)
		for _, m := range regexp.MustCompile(`"data": ?"([^"]*)"`).FindAllSubmatch(raw, -1) {
			data, err := base64.StdEncoding.DecodeString(string(m[1]))
			require.NoError(t, err)
			out.Write(data)
		}
	}
	require.NotZero(t, out.Len())
	return out.String()
}

// dump is every row of every table, as text.
func dump(t *testing.T, s shop) string {
	t.Helper()
	rows, err := s.sql.QueryContext(t.Context(), "SELECT quote_ident(tablename) FROM pg_tables WHERE schemaname = 'public'")
	require.NoError(t, err)
	defer rows.Close()
	var out bytes.Buffer
	for rows.Next() {
		var table, text string
		require.NoError(t, rows.Scan(&table))
		require.NoError(t, s.sql.QueryRowContext(t.Context(), "SELECT coalesce(string_agg(t::text, E'\n'), '') FROM "+table+" t").Scan(&text))
		out.WriteString(text)
	}
	require.NoError(t, rows.Err())
	return out.String()
}

// A process that dies between the commit and the start of the run has made a key all the same: the
// sweep finds it.
func TestKeysThatNobodyFollows(t *testing.T) {
	s := open(t)
	s.has(t, s.ada, "gpt-4o")
	lonely := serve(s.Store, &away{}, &away{})
	late := lonely.by(t, s.ada, http.MethodPost, keysPath, `{"modelIds": ["gpt-4o"]}`).is(http.StatusAccepted)
	require.Equal(t, "provisioning", late.at("status"))
	require.Empty(t, s.proxy.Keys())
	s.exec(t, "UPDATE api_keys SET updated_at = now() - interval '31 seconds'")
	run, err := workflows.Start(t.Context(), s.Temporal, workflows.Sweep, workflows.SweepInput{})
	require.NoError(t, err)
	swept, err := run.Wait(context.WithoutCancel(t.Context()), time.Minute)
	require.NoError(t, err)
	require.True(t, swept.Keys)
	require.Equal(t, "active", s.settles(t, s.ada, keysPath+"/"+id(late)).at("status"))
	k, err := s.Store.Key(t.Context(), uuid.MustParse(id(late)))
	require.NoError(t, err)
	require.Equal(t, models.SecretOf(late.at("key").(string)).Hash(), k.Hash)
	require.Equal(t, late.at("key"), storetest.Secret(t, k).Reveal())
	require.Len(t, s.proxy.Keys(), 1)
}
