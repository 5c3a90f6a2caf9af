package activities_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/testsuite"

	"github.com/litemaas/litemaas/activities"
	"github.com/litemaas/litemaas/activities/litellm/litellmtest"
	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store/storetest"
)

// meter is activities that collect usage from a LiteLLM in memory, as Temporal runs them.
type meter struct {
	*activities.Usage
	proxy *litellmtest.Proxy
	env   *testsuite.TestActivityEnvironment
}

func newMeter(t *testing.T, o litellmtest.Options) meter {
	t.Helper()
	var suite testsuite.WorkflowTestSuite
	proxy, err := litellmtest.NewProxy(o)
	require.NoError(t, err)
	m := meter{proxy: proxy, env: suite.NewTestActivityEnvironment()}
	m.Usage = &activities.Usage{Store: storetest.New(t), Proxy: litellmtest.Serve(t, proxy), Overlap: 15 * time.Minute}
	m.env.RegisterActivity(m.Usage)
	return m
}

func (m meter) read(t *testing.T, act any, from, until time.Time) (activities.ReadUsageResult, error) {
	t.Helper()
	var out activities.ReadUsageResult
	value, err := m.env.ExecuteActivity(act, activities.ReadUsageInput{From: from, Until: until})
	if err == nil {
		require.NoError(t, value.Get(&out))
	}
	return out, err
}

// mustRead is read, of which nothing but the counts is looked at: read, missing, corrected, extra.
func (m meter) mustRead(t *testing.T, act any, from, until time.Time) [4]int {
	t.Helper()
	res, err := m.read(t, act, from, until)
	require.NoError(t, err)
	require.False(t, res.Split || res.NoLog)
	w := res.Window
	return [4]int{w.Read, w.Missing, w.Corrected, w.Extra}
}

var (
	keyOfAda = strings.Repeat("a1", 32)
	noon     = time.Now().UTC().Truncate(24 * time.Hour).Add(-12 * time.Hour)
)

// calls are n calls of a model, a second from one to the next, that cost a thousandth of a dollar each.
func calls(n int, from time.Time) []litellmtest.Call {
	out := make([]litellmtest.Call, n)
	for i := range out {
		at := from.Add(time.Duration(i) * time.Second)
		out[i] = litellmtest.Call{
			ID: fmt.Sprintf("chatcmpl-%d-%d", from.Unix(), i), CallID: fmt.Sprint("call-", i), Type: "acompletion", Key: keyOfAda, Group: "gpt-4o", Model: "openai/gpt-4o",
			Start: at, End: at.Add(time.Second / 2), Prompt: 10, Completion: 20, Cost: 0.001,
		}
	}
	return out
}

// pushed is a call as LiteLLM tells of it.
func pushed(c litellmtest.Call) models.UsageEvent {
	return models.UsageEvent{
		RequestID: c.ID, CallID: c.CallID, KeyHash: c.Key, Model: c.Group, Provider: "openai", At: c.Start, Latency: c.End.Sub(c.Start),
		Requests: 1, Prompt: c.Prompt, Completion: c.Completion, Cost: new(models.Dollar / 1000),
	}
}

// sums are the calls, tokens and dollars that the ledger has of a day.
func (m meter) sums(t *testing.T, day time.Time) (requests, tokens int64, cost models.USD) {
	t.Helper()
	list, err := m.Store.UsageOfDay(t.Context(), day.Truncate(24*time.Hour))
	require.NoError(t, err)
	for _, s := range list {
		requests += s.Requests
		tokens += s.Prompt + s.Completion
		cost += s.Cost
	}
	return requests, tokens, cost
}

// What was not pushed is added, what was pushed otherwise is corrected, and the report says so. To
// read the same again changes nothing.
func TestReadUsage(t *testing.T) {
	m := newMeter(t, litellmtest.Options{})
	list := calls(5, noon)
	m.proxy.Log(list...)
	wrong := pushed(list[1])
	wrong.Prompt, wrong.Cost = 1, new(models.USD)
	lost := pushed(calls(1, noon.Add(time.Minute))[0])
	_, err := m.Store.RecordEvents(t.Context(), []models.UsageEvent{pushed(list[0]), wrong, lost}, models.UsagePushed, models.System("test"))
	require.NoError(t, err)

	require.Equal(t, [4]int{5, 3, 1, 1}, m.mustRead(t, m.ReadUsage, noon, noon.Add(5*time.Minute)))
	require.Equal(t, [4]int{5, 0, 0, 1}, m.mustRead(t, m.ReadUsage, noon, noon.Add(5*time.Minute)))
	requests, tokens, cost := m.sums(t, noon)
	require.EqualValues(t, 6, requests)
	require.EqualValues(t, 6*30, tokens)
	require.Equal(t, 6*models.Dollar/1000, cost)
	windows, err := m.Store.UsageWindows(t.Context(), 10)
	require.NoError(t, err)
	require.Len(t, windows, 1)
}

// The end of a window is not in it, so that neighbours share nothing.
func TestWindowsShareNothing(t *testing.T) {
	m := newMeter(t, litellmtest.Options{})
	m.proxy.Log(calls(10, noon)...)
	require.Equal(t, [4]int{5, 5, 0, 0}, m.mustRead(t, m.ReadUsage, noon, noon.Add(5*time.Second)))
	require.Equal(t, [4]int{5, 5, 0, 0}, m.mustRead(t, m.ReadUsage, noon.Add(5*time.Second), noon.Add(10*time.Second)))
}

// A window with more than LiteLLM counts is to be split; a second is read whatever it holds.
func TestReadFullWindows(t *testing.T) {
	m := newMeter(t, litellmtest.Options{})
	list := make([]litellmtest.Call, 10_500)
	for i := range list {
		list[i] = calls(1, noon)[0]
		list[i].ID = fmt.Sprint("chatcmpl-", i)
	}
	m.proxy.Log(list...)
	res, err := m.read(t, m.ReadUsage, noon, noon.Add(time.Minute))
	require.NoError(t, err)
	require.Equal(t, activities.ReadUsageResult{Split: true}, res)
	require.Equal(t, [4]int{10_500, 10_500, 0, 0}, m.mustRead(t, m.ReadUsage, noon, noon.Add(time.Second)))
}

// A LiteLLM that is away, or breaks off, is tried again, and nothing counts twice.
func TestReadUsageAgain(t *testing.T) {
	m := newMeter(t, litellmtest.Options{})
	m.proxy.Log(calls(1500, noon)...)
	m.proxy.FailNext("/spend/logs/v2", 1, http.StatusBadGateway)
	_, err := m.read(t, m.ReadUsage, noon, noon.Add(time.Hour))
	require.ErrorContains(t, err, "LiteLLM")
	m.proxy.Inject(litellmtest.Fault{Path: "/spend/logs/v2", Kind: litellmtest.FaultTruncated, Times: 1})
	_, err = m.read(t, m.ReadUsage, noon, noon.Add(time.Hour))
	require.ErrorContains(t, err, "LiteLLM")
	require.Equal(t, [4]int{1500, 1500, 0, 0}, m.mustRead(t, m.ReadUsage, noon, noon.Add(time.Hour)))
	requests, _, _ := m.sums(t, noon)
	require.EqualValues(t, 1500, requests)
}

// Of a LiteLLM without a log, sums of the day stand for the calls that nobody told of, and follow them
// while the day goes on.
func TestReadUsageDay(t *testing.T) {
	m := newMeter(t, litellmtest.Options{NoSpendLogs: true})
	day := noon.Truncate(24 * time.Hour)
	res, err := m.read(t, m.ReadUsage, noon, noon.Add(time.Hour))
	require.NoError(t, err)
	require.Equal(t, activities.ReadUsageResult{NoLog: true}, res)

	list := calls(5, noon)
	m.proxy.Log(list...)
	tell := func(c litellmtest.Call) {
		_, err := m.Store.RecordEvents(t.Context(), []models.UsageEvent{pushed(c)}, models.UsagePushed, models.System("test"))
		require.NoError(t, err)
	}
	same := func(n int64) {
		t.Helper()
		requests, tokens, cost := m.sums(t, noon)
		require.Equal(t, n, requests)
		require.Equal(t, n*30, tokens)
		require.Equal(t, models.USD(n)*models.Dollar/1000, cost)
	}
	tell(list[0])
	require.Equal(t, [4]int{1, 1, 0, 0}, m.mustRead(t, m.ReadUsageDay, day, noon.Add(time.Hour)))
	same(5)
	require.Equal(t, [4]int{1, 0, 0, 0}, m.mustRead(t, m.ReadUsageDay, day, noon.Add(time.Hour)))
	same(5)
	m.proxy.Log(calls(2, noon.Add(time.Hour))...)
	require.Equal(t, [4]int{1, 0, 1, 0}, m.mustRead(t, m.ReadUsageDay, day, noon.Add(2*time.Hour)))
	same(7)
	for _, c := range m.proxy.Logged() { // the push was only late
		tell(c)
	}
	require.Equal(t, [4]int{1, 0, 1, 0}, m.mustRead(t, m.ReadUsageDay, day, noon.Add(2*time.Hour)))
	same(7)
}

// What is to be read begins where it was read up to, and once in a while some time before.
func TestPlanUsage(t *testing.T) {
	m := newMeter(t, litellmtest.Options{})
	m.Lag = 2 * time.Minute
	plan := func() (from, until time.Time) {
		res, err := m.PlanUsage(t.Context(), activities.PlanUsageInput{})
		require.NoError(t, err)
		require.Equal(t, res.Until.Truncate(time.Second), res.Until)
		require.WithinDuration(t, time.Now().Add(-m.Lag), res.Until, 2*time.Second)
		return res.From, res.Until
	}
	from, until := plan()
	require.Equal(t, until.Add(-m.Overlap).Truncate(activities.UsageGrid), from)

	outage := until.Add(-6 * time.Hour)
	_, err := m.Store.CloseUsageWindow(t.Context(), models.UsageWindow{From: outage.Add(-time.Hour), Until: outage, Source: models.UsagePulled}, nil)
	require.NoError(t, err)
	from, _ = plan()
	require.Equal(t, outage.Add(-m.Overlap).Truncate(activities.UsageGrid), from)

	m.Lag = 0
	for range 2 { // it may be that a length of the grid ends just now
		read := time.Now().UTC().Truncate(time.Second)
		_, err = m.Store.CloseUsageWindow(t.Context(), models.UsageWindow{From: outage, Until: read, Source: models.UsagePulled}, nil)
		require.NoError(t, err)
		if from, until = plan(); from.Equal(until.Truncate(activities.UsageGrid)) {
			return
		}
	}
	require.Failf(t, "what was just read is read again", "from %s", from)
}
