package api_test

import (
	"bufio"
	"context"
	"encoding/json"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/api"
	"github.com/litemaas/litemaas/models"
)

const realtimePath = "/api/v1/usage/realtime"

// tell says that something was recorded.
func (l *fakeLedger) tell(sums ...models.RecentUsage) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.recent = append(l.recent, sums...)
}

// used is a call that ended so long ago.
func used(ago time.Duration, user, team, key uuid.UUID, model string) models.RecentUsage {
	return models.RecentUsage{
		At: time.Now().Add(-ago).Unix(), UserID: user, TeamID: team, KeyID: key, Model: model,
		Requests: 1, Prompt: 100, Completion: 50, Cost: models.Dollar / 1000, LatencyMS: 400,
	}
}

func TestUsageRealtime(t *testing.T) {
	l := newFakeLedger()
	s := ledgered(t, l, nil)
	ada, bob := s.as(t, "ada", user), s.as(t, "bob", user)
	a, b := s.user(t, "ada").ID, s.user(t, "bob").ID
	team, first, second := uuid.New(), uuid.New(), uuid.New()
	failed := used(30*time.Second, a, team, first, "gpt-4o")
	failed.Failed, failed.LatencyMS = 1, 100
	l.tell(used(10*time.Second, a, team, first, "gpt-4o"), failed, used(2*time.Minute, a, uuid.Nil, second, "mistral"),
		used(20*time.Minute, b, team, first, "gpt-4o"), used(20*time.Minute, b, team, first, "gpt-4o"), used(20*time.Minute, b, team, first, "gpt-4o"), used(20*time.Minute, b, team, first, "gpt-4o"), used(2*time.Hour, a, team, first, "gpt-4o"))

	r := s.get(t, realtimePath).is(http.StatusOK)
	require.Equal(t, map[string]any{
		"requests": 2.0, "errors": 1.0, "errorRate": 0.5, "promptTokens": 200.0, "completionTokens": 100.0, "totalTokens": 300.0, "cost": 0.002, "averageLatencyMs": 250.0,
	}, r.at("total.minute"))
	require.EqualValues(t, 3, r.at("total.fiveMinutes.requests"))
	require.EqualValues(t, 7, r.at("total.hour.requests"))
	require.Equal(t, "model", r.at("by"))
	require.Equal(t, "gpt-4o", r.at("items.0.id"), "what cost most")
	require.EqualValues(t, 6, r.at("items.0.spans.hour.requests"))
	require.Len(t, r.at("items"), 2)

	for query, want := range map[string][]string{
		"?by=user": {b.String(), a.String()}, "?by=key": {first.String(), second.String()}, "?by=team": {team.String(), uuid.Nil.String()},
		"?by=user&teamId=" + uuid.Nil.String():  {b.String(), a.String()}, // as if it were left out
		"?by=model&userId=" + b.String():        {"gpt-4o"},
		"?by=user&modelId=mistral":              {a.String()},
		"?by=model&apiKeyId=" + second.String(): {"mistral"},
		"?by=key&teamId=" + team.String():       {first.String()},
		"?by=key&userId=" + uuid.NewString():    nil,
		"?by=user&limit=1":                      {b.String()},
	} {
		var ids []string
		r := s.get(t, realtimePath+query).is(http.StatusOK)
		for _, item := range r.at("items").([]any) {
			ids = append(ids, item.(map[string]any)["id"].(string))
		}
		require.Equal(t, want, ids, query)
		if strings.Contains(query, "limit=1") {
			require.EqualValues(t, 1, r.at("more"))
			require.EqualValues(t, 7, r.at("total.hour.requests"))
		}
	}

	t.Run("who may not see everybody's sees his own", func(t *testing.T) {
		require.EqualValues(t, 3, s.by(t, ada, http.MethodGet, realtimePath, "").at("total.hour.requests"))
		require.EqualValues(t, 4, s.by(t, bob, http.MethodGet, realtimePath+"?by=team", "").at("total.hour.requests"))
		require.EqualValues(t, 0, s.by(t, bob, http.MethodGet, realtimePath+"?modelId=mistral", "").at("total.hour.requests"))
		require.EqualValues(t, 4, s.by(t, bob, http.MethodGet, realtimePath+"?userId="+b.String(), "").at("total.hour.requests"))
		for _, path := range []string{realtimePath, realtimePath + "/stream"} {
			require.Equal(t, "userId", s.by(t, bob, http.MethodGet, path+"?userId="+a.String(), "").problem(http.StatusForbidden, "FORBIDDEN"))
		}
		require.EqualValues(t, 7, s.by(t, s.as(t, "eve", adminReading), http.MethodGet, realtimePath, "").at("total.hour.requests"))
	})
	t.Run("bad input", func(t *testing.T) {
		for query, field := range map[string]string{"?by=x": "by", "?limit=0": "limit", "?limit=501": "limit", "?userId=x": "userId", "?teamId=1": "teamId", "?apiKeyId=": "", "?modelId=%00": "modelId"} {
			r := s.get(t, realtimePath+query)
			if field == "" {
				r.is(http.StatusOK)
				continue
			}
			require.Equal(t, field, r.problem(http.StatusBadRequest, "VALIDATION_ERROR"), query)
		}
	})
	t.Run("while the database is away", func(t *testing.T) {
		l.gone = models.Errorf(models.Unavailable, "the database does not answer")
		time.Sleep(time.Second)
		s.get(t, realtimePath).problem(http.StatusServiceUnavailable, "SERVICE_UNAVAILABLE")
		s.get(t, realtimePath+"/stream").problem(http.StatusServiceUnavailable, "SERVICE_UNAVAILABLE")
	})
}

// What is recorded is counted within a second, and the ledger is read on where it begins anew.
func TestUsageRealtimeIsRecent(t *testing.T) {
	l := newFakeLedger()
	s := ledgered(t, l, nil)
	ctx, end := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); s.CountUsage(ctx) }()
	requests := func() float64 { return s.get(t, realtimePath).at("total.minute.requests").(float64) }
	require.Zero(t, requests())
	for i := range 3 {
		l.tell(used(0, uuid.New(), uuid.Nil, uuid.Nil, "gpt-4o"))
		require.Eventually(t, func() bool { return requests() == float64(i+1) }, time.Second, 20*time.Millisecond, "by another replica")
	}
	l.mu.Lock()
	l.recent = nil // a crash
	l.mu.Unlock()
	l.tell(used(0, uuid.New(), uuid.Nil, uuid.Nil, "gpt-4o"))
	require.Eventually(t, func() bool { return requests() == 4 }, time.Second, 20*time.Millisecond, "what is known is kept")
	end()
	<-ended
}

// The spans are those of the ledger, whatever comes late, ahead of time or all at once; and what is
// forgotten when there is too much is the oldest.
func TestRecentUsageSpans(t *testing.T) {
	start := time.Unix(1_800_000_000, 0)
	now := start
	l := newFakeLedger()
	look := api.RecentUsage(l, func() time.Time { return now }, 400)
	owners := make([]uuid.UUID, 5)
	for i := range owners {
		owners[i] = uuid.New()
	}
	random := rand.New(rand.NewPCG(1, 2))
	var all []models.RecentUsage
	for step := range 600 {
		now = now.Add(time.Duration(random.IntN(20)) * time.Second)
		if step == 400 {
			now = now.Add(50 * time.Minute)
		}
		if step == 500 {
			now = now.Add(3 * time.Hour)
		}
		for range random.IntN(4) {
			u := models.RecentUsage{
				At: now.Unix() - int64(random.IntN(90)), UserID: owners[random.IntN(5)], Model: "m", Requests: 1, Failed: int64(random.IntN(2)),
				Prompt: int64(random.IntN(100)), Completion: 3, Cost: models.USD(random.IntN(1000)), LatencyMS: 7,
			}
			if random.IntN(50) == 0 {
				u.At = now.Unix() // ahead of time, it counts as now
				ahead := u
				ahead.At += 5
				l.tell(ahead)
			} else {
				l.tell(u)
			}
			all = append(all, u)
		}
		got, since, kept := look(t.Context(), t)
		require.LessOrEqual(t, kept, 400)
		for span, seconds := range []int64{60, 300, 3600} {
			want := map[uuid.UUID]models.RecentUsage{}
			for _, u := range all {
				if u.At <= now.Unix()-seconds || u.At < since {
					continue
				}
				w := want[u.UserID]
				w.Requests, w.Failed, w.Prompt, w.Completion, w.Cost, w.LatencyMS = w.Requests+u.Requests, w.Failed+u.Failed, w.Prompt+u.Prompt, w.Completion+u.Completion, w.Cost+u.Cost, w.LatencyMS+u.LatencyMS
				want[u.UserID] = w
			}
			for _, id := range owners {
				require.Equal(t, want[id], got[id][span], "step %d, %d seconds", step, seconds)
			}
		}
		if step == 399 {
			require.Greater(t, since, now.Unix()-3600+1, "something is forgotten")
		}
	}
}

// event reads the next event of a stream.
func event(t *testing.T, from *bufio.Reader) map[string]any {
	t.Helper()
	var data string
	for {
		line, err := from.ReadString('\n')
		require.NoError(t, err)
		switch line = strings.TrimSpace(line); {
		case strings.HasPrefix(line, "data: "):
			data = strings.TrimPrefix(line, "data: ")
		case line == "" && data != "":
			var out map[string]any
			require.NoError(t, json.Unmarshal([]byte(data), &out))
			return out
		}
	}
}

// A stream tells of what changes within two seconds, of nothing else, and ends when the server does;
// there are only so many.
func TestUsageStream(t *testing.T) {
	l := newFakeLedger()
	s := ledgered(t, l, nil)
	srv := httptest.NewServer(s.handler)
	defer srv.Close()
	srv.Config.RegisterOnShutdown(s.EndStreams)
	open := func() *http.Response {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, srv.URL+realtimePath+"/stream?by=user", nil)
		require.NoError(t, err)
		req.Header.Set("Authorization", "Bearer "+adminKey)
		res, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		t.Cleanup(func() { _ = res.Body.Close() }) // it may be closed already
		return res
	}
	res := open() //nolint:bodyclose // see above
	require.Equal(t, http.StatusOK, res.StatusCode)
	require.Equal(t, "text/event-stream", res.Header.Get("Content-Type"))
	from := bufio.NewReader(res.Body)
	require.Empty(t, event(t, from)["items"])
	id := uuid.New()
	l.tell(used(0, id, uuid.Nil, uuid.Nil, "gpt-4o"))
	told := time.Now()
	items := event(t, from)["items"].([]any)
	require.Equal(t, id.String(), items[0].(map[string]any)["id"])
	require.Less(t, time.Since(told), 2*time.Second)

	var other *http.Response
	for range 3 {
		other = open()
	}
	refused := open() //nolint:bodyclose // see above
	require.Equal(t, http.StatusTooManyRequests, refused.StatusCode)
	require.NotEmpty(t, refused.Header.Get("Retry-After"))
	require.NoError(t, other.Body.Close())
	require.Eventually(t, func() bool {
		again := open() //nolint:bodyclose // see above
		return again.StatusCode == http.StatusOK
	}, 5*time.Second, 100*time.Millisecond, "who hangs up makes room")

	began := time.Now()
	require.NoError(t, srv.Config.Shutdown(t.Context()))
	require.Less(t, time.Since(began), 5*time.Second)
	rest, err := from.ReadString(0)
	require.Error(t, err)
	require.NotContains(t, rest, "event:", "nothing changed")
}

// A stream that has nothing to tell gives a sign of life.
func TestUsageStreamLives(t *testing.T) {
	require.Equal(t, "event: usage\ndata: {…}\n\n:\n\n", api.SendTwice(t, 20*time.Second))
	require.Equal(t, "event: usage\ndata: {…}\n\n", api.SendTwice(t, 10*time.Second))
}
