package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"

	"github.com/litemaas/litemaas/api"
	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store/storetest"
	"github.com/litemaas/litemaas/workflows"
)

const (
	pushSecret = "a-secret-of-litellm"
	eventsPath = "/api/v1/usage/events"
)

// fakeLedger is a ledger in memory, that can be held up, or fail, or lose what is recent.
type fakeLedger struct {
	mu      sync.Mutex
	seen    map[uuid.UUID]bool
	batches []int
	fail    func([]models.UsageEvent) error
	hold    chan struct{} // nil: it waits for nobody
	started chan struct{}
	rec     models.Recorded // what is said beside the counts

	recent []models.RecentUsage // each at a place of its own, from 1 on
	gone   error
}

func newFakeLedger() *fakeLedger { return &fakeLedger{seen: map[uuid.UUID]bool{}} }

func (l *fakeLedger) RecordEvents(_ context.Context, events []models.UsageEvent, from models.UsageSource, by models.Actor) (models.Recorded, error) {
	if l.hold != nil {
		l.started <- struct{}{}
		<-l.hold
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if from != models.UsagePushed || by.ID != "system" {
		return models.Recorded{}, errors.New("not as it should be")
	}
	if l.fail != nil {
		if err := l.fail(events); err != nil {
			return models.Recorded{}, err
		}
	}
	l.batches = append(l.batches, len(events))
	out := l.rec
	for _, e := range events {
		if l.seen[e.ID()] {
			out.Known++
			continue
		}
		l.seen[e.ID()] = true
		out.New++
	}
	return out, nil
}

func (l *fakeLedger) RecentUsageAfter(_ context.Context, place int64, _ time.Time) ([]models.RecentUsage, int64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.gone != nil {
		return nil, 0, l.gone
	}
	if place > int64(len(l.recent)) {
		place = 0
	}
	return slices.Clone(l.recent[place:]), int64(len(l.recent)), nil
}

// ledgered is an API whose usage goes into that ledger; starter may be nil: Temporal is away.
func ledgered(t *testing.T, l *fakeLedger, starter workflows.Starter) system {
	t.Helper()
	if starter == nil {
		starter = &away{}
	}
	s := serve(storetest.New(t), starter, &away{})
	s.Ledger, s.Config.Usage.PushSecret = l, models.SecretOf(pushSecret)
	s.handler = s.Handler()
	return s
}

// push tells of usage as LiteLLM does.
func (s system) push(t *testing.T, body string) reply {
	t.Helper()
	return s.call(t, http.MethodPost, eventsPath, body, "Authorization", "Bearer "+pushSecret)
}

// call is what LiteLLM tells of a call; rest overrides.
func usageCall(id, rest string) string {
	now := float64(time.Now().UnixMilli()) / 1000
	return fmt.Sprintf(`{"id":%q,"status":"success","startTime":%.3f,"endTime":%.3f,"model_group":"gpt-4o","prompt_tokens":10,"completion_tokens":5,"response_cost":0.001%s}`, id, now-1, now, rest)
}

func usageCalls(prefix string, n int) string {
	var calls []string
	for i := range n {
		calls = append(calls, usageCall(fmt.Sprintf("%s-%d", prefix, i), ""))
	}
	return "[" + strings.Join(calls, ",") + "]"
}

// LiteLLM tells of usage by a secret of its own, and no token does.
func TestPushUsage(t *testing.T) {
	l := newFakeLedger()
	s := ledgered(t, l, nil)
	t.Run("without the setting", func(t *testing.T) {
		r := idle(t).push(t, "[]")
		r.problem(http.StatusNotFound, "NOT_FOUND")
		require.Contains(t, r.at("message"), "usage.push_secret")
	})
	t.Run("without the secret", func(t *testing.T) {
		for _, header := range [][]string{
			{"Authorization", ""},
			{"Authorization", "Bearer " + adminKey},
			{"Authorization", s.as(t, "ada", admin)},
			{"Authorization", "Bearer " + pushSecret + "x"},
			{"Authorization", "Basic " + pushSecret},
			{"Authorization", "", "X-Litemaas-Usage", "wrong"},
			{"Authorization", "", "X-Litemaas-Usage", ""},
		} {
			s.call(t, http.MethodPost, eventsPath, usageCalls("x", 1), header...).problem(http.StatusForbidden, "FORBIDDEN")
		}
		require.Empty(t, l.batches)
	})
	t.Run("in every form", func(t *testing.T) {
		s.push(t, usageCalls("array", 3)).is(http.StatusOK)
		s.push(t, usageCall("line-0", "")+"\n"+usageCall("line-1", "")+"\n").is(http.StatusOK)
		r := s.call(t, http.MethodPost, eventsPath, usageCall("single", ""), "Authorization", "", "X-Litemaas-Usage", pushSecret, "Content-Type", "text/plain").is(http.StatusOK)
		require.Equal(t, map[string]any{"recorded": 1.0, "known": 0.0, "corrected": 0.0, "requests": 1.0, "rejected": []any{}}, r.body())
		require.Len(t, l.seen, 6)
		require.EqualValues(t, 3, s.push(t, usageCalls("array", 3)).at("known"))
		require.EqualValues(t, 0, s.push(t, "[]").at("recorded"))
	})
	t.Run("what is no good is named, and hinders no other", func(t *testing.T) {
		r := s.push(t, "["+usageCall("good", "")+","+usageCall("bad", `,"startTime":"now"`)+"]").is(http.StatusOK)
		require.EqualValues(t, 1, r.at("recorded"))
		require.Equal(t, []any{map[string]any{"index": 1.0, "field": "startTime", "message": "must be a number"}}, r.at("rejected"))
		r = s.push(t, "["+usageCall("bad", `,"status":1`)+","+usageCall("", "")+"]")
		require.Equal(t, "0.status", r.problem(http.StatusBadRequest, "VALIDATION_ERROR"))
		require.Equal(t, "body", s.push(t, `{"id":`).problem(http.StatusBadRequest, "VALIDATION_ERROR"))
		require.Equal(t, "body", s.push(t, "").problem(http.StatusBadRequest, "VALIDATION_ERROR"))
	})
	t.Run("a body may be large, and not too large", func(t *testing.T) {
		filler := `,"messages":"` + strings.Repeat("x", 2<<20) + `"`
		s.push(t, usageCall("large", filler)).is(http.StatusOK)
		require.Contains(t, s.push(t, usageCall("huge", `,"x":"`+strings.Repeat("x", 32<<20)+`"`)).at("message"), "larger than 32 MB")
		req := httptest.NewRequest(http.MethodPost, eventsPath, io.MultiReader(strings.NewReader(usageCall("huge", "")), bytes.NewReader(make([]byte, 32<<20))))
		req.ContentLength = -1
		req.Header.Set("Authorization", "Bearer "+pushSecret)
		rec := httptest.NewRecorder()
		s.handler.ServeHTTP(rec, req)
		reply{rec, t}.problem(http.StatusRequestEntityTooLarge, "PAYLOAD_TOO_LARGE")
		require.Contains(t, s.call(t, http.MethodPost, "/api/v1/api-keys/validate", strings.Repeat(" ", 1<<20)+"{}").at("message"), "larger than 1 MB")
	})
}

// While the ledger cannot be reached, LiteLLM is told to come back.
func TestPushUsageWithoutDatabase(t *testing.T) {
	l := newFakeLedger()
	l.fail = func([]models.UsageEvent) error {
		return models.Errorf(models.Unavailable, "the database does not answer")
	}
	s := ledgered(t, l, nil)
	r := s.push(t, usageCalls("x", 2))
	r.problem(http.StatusServiceUnavailable, "SERVICE_UNAVAILABLE")
	require.Equal(t, "5", r.Header().Get("Retry-After"))
	l.fail = nil
	require.EqualValues(t, 2, s.push(t, usageCalls("x", 2)).at("recorded"))
}

// What comes while a transaction is under way shares the next one; too much is refused whole; and
// nobody is answered before the commit.
func TestGroupCommit(t *testing.T) {
	l := newFakeLedger()
	l.hold, l.started = make(chan struct{}), make(chan struct{}, 100)
	s := ledgered(t, l, nil)
	answers := make(chan reply, 100)
	var sent sync.WaitGroup
	post := func(body string) { sent.Go(func() { answers <- s.push(t, body) }) }
	post(usageCalls("first", 1))
	<-l.started
	for i := range 8 {
		post(usageCalls(fmt.Sprint("more-", i), 1000))
	}
	require.Eventually(t, func() bool { return api.WaitingUsage(s.Server) == 8001 }, 5*time.Second, time.Millisecond)
	require.Empty(t, answers, "nothing is committed")
	r := s.push(t, usageCalls("too-much", 9000))
	r.problem(http.StatusTooManyRequests, "RATE_LIMITED")
	require.Equal(t, "1", r.Header().Get("Retry-After"))
	close(l.hold)
	sent.Wait()
	close(answers)
	shared := map[float64]int{}
	for a := range answers {
		a.is(http.StatusOK)
		shared[a.at("requests").(float64)]++
	}
	require.Equal(t, map[float64]int{1: 1, 4: 8}, shared)
	require.Equal(t, []int{1, 4000, 4000}, l.batches)
	require.Len(t, l.seen, 8001, "all of what was answered, nothing of what was refused")
	require.Zero(t, api.WaitingUsage(s.Server))
	s.push(t, usageCalls("too-much", 9000)).is(http.StatusOK)
}

// A request that the ledger cannot take takes no other with it.
func TestGroupCommitThatFails(t *testing.T) {
	l := newFakeLedger()
	l.hold, l.started = make(chan struct{}), make(chan struct{}, 100)
	l.fail = func(events []models.UsageEvent) error {
		if slices.ContainsFunc(events, func(e models.UsageEvent) bool { return e.RequestID == "poison-0" }) {
			return errors.New("no partition")
		}
		return nil
	}
	s := ledgered(t, l, nil)
	codes := make(chan int, 10)
	var sent sync.WaitGroup
	for _, prefix := range []string{"first", "good", "poison", "fine"} {
		sent.Go(func() { codes <- s.push(t, usageCalls(prefix, 2)).Code })
		if prefix == "first" {
			<-l.started
		}
	}
	require.Eventually(t, func() bool { return api.WaitingUsage(s.Server) == 8 }, 5*time.Second, time.Millisecond)
	close(l.hold)
	sent.Wait()
	close(codes)
	var all []int
	for c := range codes {
		all = append(all, c)
	}
	slices.Sort(all)
	require.Equal(t, []int{200, 200, 200, 500}, all)
	require.Len(t, l.seen, 6)
}

// nudged is a Temporal server that counts what is started there, slowly.
type nudged struct {
	mu      sync.Mutex
	started map[string]int
	slow    time.Duration
}

func (n *nudged) ExecuteWorkflow(_ context.Context, o client.StartWorkflowOptions, _ any, _ ...any) (client.WorkflowRun, error) {
	return n.note(o.ID)
}

func (n *nudged) SignalWithStartWorkflow(_ context.Context, id, _ string, _ any, _ client.StartWorkflowOptions, _ any, _ ...any) (client.WorkflowRun, error) {
	return n.note(id)
}

func (n *nudged) note(id string) (client.WorkflowRun, error) {
	time.Sleep(n.slow)
	n.mu.Lock()
	defer n.mu.Unlock()
	n.started[id]++
	return nil, errAway // so that nobody waits for it
}

// Budgets that are due are judged, with fewer nudges the more there are; and LiteLLM follows where a
// quota is used up. Who shuts down waits for that.
func TestAfterUsage(t *testing.T) {
	l, n := newFakeLedger(), &nudged{started: map[string]int{}, slow: 50 * time.Millisecond}
	s := ledgered(t, l, n)
	s.push(t, usageCalls("nothing", 1)).is(http.StatusOK)
	s.Drain()
	require.Empty(t, n.started)
	ends, restores := uuid.New(), uuid.New()
	l.rec = models.Recorded{Due: true, Follow: []models.Cascade{{ID: ends, Generation: 1}, {ID: restores, Generation: 2}}}
	s.push(t, usageCalls("follow", 1)).is(http.StatusOK)
	l.rec.Follow = nil
	for i := range 20 {
		s.push(t, usageCalls(fmt.Sprint("due-", i), 1)).is(http.StatusOK)
	}
	s.Drain()
	enforced := workflows.EnforceBudgetsInput{}.WorkflowID()
	require.GreaterOrEqual(t, n.started[enforced], 2, "one after the last commit")
	require.Less(t, n.started[enforced], 21)
	delete(n.started, enforced)
	require.Equal(t, map[string]int{
		workflows.EndSubscriptionInput{CascadeID: ends}.WorkflowID(): 1, workflows.RestoreSubscriptionInput{CascadeID: restores}.WorkflowID(): 1,
	}, n.started)
}

// The answer is as the document says.
func TestPushUsageAnswer(t *testing.T) {
	s := ledgered(t, newFakeLedger(), nil)
	var doc struct {
		Paths map[string]map[string]struct {
			RequestBody struct {
				Required bool
				Content  map[string]any
			}
		}
	}
	require.NoError(t, json.Unmarshal(s.get(t, "/openapi.json").Body.Bytes(), &doc))
	op := doc.Paths[eventsPath]["post"]
	require.True(t, op.RequestBody.Required)
	require.Contains(t, op.RequestBody.Content, "application/json")
	require.Contains(t, op.RequestBody.Content, "application/x-ndjson")
}
