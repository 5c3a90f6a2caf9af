package litellm_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/activities/litellm"
	"github.com/litemaas/litemaas/models"
)

// usageCases say what LiteLLM tells of calls afterwards.
var usageCases = []conformanceCase{
	{"a call is in the log, with whose it was and what it cost", func(t *testing.T, l target) {
		_, name := l.newDeployment(t, nil)
		user := l.newUser(t, nil)
		secret := l.newKey(t, func(k *litellm.NewKey) { k.UserID = user })
		begun := time.Now()
		_, _, s := l.chat(t, secret, name)
		e := l.logged(t, secret.Hash(), begun, 1)[0]
		require.NotEmpty(t, e.RequestID)
		require.NotEmpty(t, e.CallID)
		require.Equal(t, user, e.UserID)
		require.Equal(t, name, e.Model)
		require.Equal(t, "openai", e.Provider)
		require.EqualValues(t, 1, e.Requests)
		require.Zero(t, e.Failed)
		require.EqualValues(t, s.Usage.Prompt, e.Prompt)
		require.EqualValues(t, s.Usage.Completion, e.Completion)
		require.Equal(t, models.Dollar/100*models.USD(s.Usage.Prompt+2*s.Usage.Completion), *e.Cost)
		require.WithinDuration(t, begun, e.At, 10*time.Second)
	}},
	{"a streamed call and texts that were embedded are in the log", func(t *testing.T, l target) {
		_, chat := l.newDeployment(t, nil)
		_, embed := l.newDeployment(t, func(s *litellm.DeploymentSpec) { s.Mode, s.ExtraParams["mock_response"] = "embedding", "[0.1, 0.2]" })
		secret := l.newKey(t, nil)
		begun := time.Now()
		l.call(t, secret.Reveal(), http.MethodPost, "/chat/completions", `{"model": "`+chat+`", "stream": true, "messages": [{"role": "user", "content": "Good day!"}]}`)
		l.call(t, secret.Reveal(), http.MethodPost, "/embeddings", `{"model": "`+embed+`", "input": "Good day!"}`)
		list := l.logged(t, secret.Hash(), begun, 2)
		require.Equal(t, []string{chat, embed}, []string{list[0].Model, list[1].Model})
		for _, e := range list {
			require.Positive(t, e.Prompt)
			require.Positive(t, *e.Cost)
			require.Zero(t, e.Failed)
		}
		require.Positive(t, list[0].Completion)
		require.Zero(t, list[1].Completion)
	}},
	{"a refused call is in the log, as one that failed and cost nothing", func(t *testing.T, l target) {
		name, other := l.priced(t), l.priced(t)
		secret := l.newKey(t, func(k *litellm.NewKey) { k.Models = []string{name} })
		begun := time.Now()
		l.chat(t, secret, other)
		e := l.logged(t, secret.Hash(), begun, 1)[0]
		require.Equal(t, other, e.Model)
		require.Equal(t, e.CallID, e.RequestID)
		require.EqualValues(t, 1, e.Failed)
		require.Zero(t, *e.Cost)
	}},
	{"a call of a model that is not there is in the log, as one of none", func(t *testing.T, l target) {
		secret := l.newKey(t, nil)
		begun := time.Now()
		l.chat(t, secret, unique("unknown"))
		e := l.logged(t, secret.Hash(), begun, 1)[0]
		require.Empty(t, e.Model)
		require.EqualValues(t, 1, e.Failed)
	}},
	{"a call with a key that is not there is in the log, one with what is no key as nobody's", func(t *testing.T, l target) {
		name, unknown, begun := l.priced(t), models.SecretOf("sk-"+unique("key")), time.Now()
		l.chat(t, models.SecretOf("hunter2"), name)
		l.chat(t, unknown, name)
		l.logged(t, unknown.Hash(), begun, 1)
		for _, e := range l.allLogged(t, begun) {
			require.NotContains(t, e.KeyHash, "hunter2")
		}
	}},
	{"a key that is tried and refused made no call", func(t *testing.T, l target) {
		name, secret, begun := l.priced(t), l.newKey(t, nil), time.Now()
		require.NoError(t, l.BlockKey(t.Context(), secret.Hash()))
		refused, err := l.ProbeKey(t.Context(), "", secret)
		require.NoError(t, err)
		require.True(t, refused)
		l.chat(t, secret, name) // what comes later is in the log later
		require.Len(t, l.logged(t, secret.Hash(), begun, 1), 1)
	}},
	{"a day's sums are those of its calls", func(t *testing.T, l target) {
		name, secret, begun := l.priced(t), l.newKey(t, nil), time.Now()
		l.chat(t, secret, name)
		l.chat(t, secret, name)
		one := l.logged(t, secret.Hash(), begun, 2)
		var sum models.UsageEvent
		require.Eventually(t, func() bool {
			days, err := l.DailyActivity(t.Context(), one[0].At)
			require.NoError(t, err)
			for _, e := range days {
				if e.KeyHash == secret.Hash() {
					sum = e
				}
			}
			return sum.Requests == 2
		}, settle, 100*time.Millisecond)
		require.Equal(t, "daily/"+one[0].At.Format(time.DateOnly)+"/"+secret.Hash()+"/"+name, sum.RequestID)
		require.Equal(t, name, sum.Model)
		require.Equal(t, one[0].Prompt+one[1].Prompt, sum.Prompt)
		require.Equal(t, one[0].Completion+one[1].Completion, sum.Completion)
		require.Equal(t, *one[0].Cost+*one[1].Cost, *sum.Cost)
		require.Zero(t, sum.Failed)
	}},
	{"the log has an end for each window, and pages", func(t *testing.T, l target) {
		name, secret, begun := l.priced(t), l.newKey(t, nil), time.Now()
		l.chat(t, secret, name)
		e := l.logged(t, secret.Hash(), begun, 1)[0]
		second := e.At.Truncate(time.Second)
		for _, test := range []struct {
			from, until time.Time
			has         bool
		}{
			{second, second.Add(time.Second), true}, {second.Add(-time.Second), second, false}, {second.Add(time.Second), second.Add(time.Minute), false},
		} {
			logs, err := l.SpendLogs(t.Context(), test.from, test.until, 1)
			require.NoError(t, err)
			require.True(t, logs.Last)
			require.Zero(t, logs.Strange)
			require.Equal(t, test.has, len(of(logs.Events, secret.Hash())) == 1)
		}
		logs, err := l.SpendLogs(t.Context(), second, second.Add(time.Second), 99)
		require.NoError(t, err)
		require.Empty(t, logs.Events)
		require.True(t, logs.Last)
		require.Positive(t, logs.Total)
	}},
	{"the log refuses what it does not understand", func(t *testing.T, l target) {
		for query, want := range map[string]int{
			"": 400, "?start_date=2026-01-01": 400, "?start_date=2026-01-01T00:00:00&end_date=2026-01-02": 400,
			"?start_date=2026-01-01&end_date=2026-01-02&page_size=1001": 422, "?start_date=2026-01-01&end_date=2026-01-02&page=0": 422,
			"?start_date=2026-01-01&end_date=2026-01-02&sort_by=nothing": 400, "?start_date=2026-01-01&end_date=2026-01-02": 200,
		} {
			status, _, raw := l.call(t, l.key, http.MethodGet, "/spend/logs/v2"+query, "")
			require.Equal(t, want, status, "%s: %s", query, raw)
		}
		for query, want := range map[string]int{"": 400, "?start_date=2026-01-01&end_date=2026-01-02&page_size=1001": 422} {
			status, _, raw := l.call(t, l.key, http.MethodGet, "/user/daily/activity"+query, "")
			require.Equal(t, want, status, "%s: %s", query, raw)
		}
	}},
}

// logged waits until the log has n calls of a key that were begun since, and returns them.
func (l target) logged(t *testing.T, hash string, since time.Time, n int) []models.UsageEvent {
	t.Helper()
	var list []models.UsageEvent
	require.Eventually(t, func() bool {
		list = of(l.allLogged(t, since), hash)
		return len(list) >= n
	}, settle, 100*time.Millisecond)
	require.Len(t, list, n)
	return list
}

func (l target) allLogged(t *testing.T, since time.Time) (list []models.UsageEvent) {
	t.Helper()
	for page := 1; ; page++ {
		logs, err := l.SpendLogs(t.Context(), since.Add(-10*time.Second), time.Now().Add(time.Minute), page)
		require.NoError(t, err)
		list = append(list, logs.Events...)
		if logs.Last {
			return list
		}
	}
}

// of are the calls with a key.
func of(list []models.UsageEvent, hash string) (out []models.UsageEvent) {
	for _, e := range list {
		if e.KeyHash == hash {
			out = append(out, e)
		}
	}
	return out
}
