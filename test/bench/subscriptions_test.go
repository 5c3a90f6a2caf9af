package bench_test

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/workflow"

	"github.com/litemaas/litemaas/activities"
	"github.com/litemaas/litemaas/activities/litellm/litellmtest"
	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store/storetest"
	"github.com/litemaas/litemaas/temporal"
	"github.com/litemaas/litemaas/temporal/temporaltest"
	"github.com/litemaas/litemaas/workflows"
)

// benchCreates measures durable creations of subscriptions: the request, the row, the workflow
// that makes it active, and the answer; beside a workflow that does nothing, on the same server.
func benchCreates(b *testing.B, w io.Writer) {
	fmt.Fprintf(w, `## Subscribing

`+"`POST /subscriptions`"+`, answered with 201 when the subscription is active: a transaction for the wish, a `+"`ProvisionSubscription`"+`
on a real Temporal server with one local activity, and a read. The users are known to LiteLLM and the catalogue is fresh. *Empty* is a
workflow that returns at once, started in the same way and waited for by as many callers. *CPU* is this process, in which API,
worker and callers run, for each create; Postgres and the Temporal server come on top. *Events* are those of one history. %s each.

| callers | creates | p50 | p99 | CPU | events | empty | p50 | p99 | CPU | ratio |
|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|
`, creating)
	b.Run("creates", func(b *testing.B) {
		c := newTill(b)
		for _, n := range []int{1, 16, 64} {
			c.measure(b, w, n)
		}
	})
	fmt.Fprintln(w)
}

const (
	creating  = 5 * time.Second // of each measurement
	shelf     = 500             // models
	customers = 1_000
)

// till is where subscriptions are made.
type till struct {
	client  client.Client
	url     string
	headers []string // of the customers
	models  []string
	next    atomic.Int64
}

func newTill(b *testing.B) *till {
	b.Helper()
	progress("creates of subscriptions")
	address := storetest.URL(b)
	crowd := newCrowd(b, address, customers*models.MaxSessions, 1_000)
	st, _ := known(b, address)
	b.Cleanup(st.Close)
	run := fill(b, st, shelf)
	_, err := st.CompleteSyncRun(b.Context(), run)
	require.NoError(b, err)
	c := &till{client: temporaltest.New(b), headers: crowd.headers}
	_, llm := litellmtest.New(b)
	worker := temporal.NewWorker(c.client, temporal.Activities{
		SyncRuns: &activities.SyncRuns{Store: st, Proxy: llm, ProposalTTL: time.Hour, Retention: time.Hour}, Probes: &activities.Probes{Store: st, Proxy: llm},
		Users: &activities.Users{Store: st, Proxy: llm}, Cascades: &activities.Cascades{Store: st},
		Subscriptions: &activities.Subscriptions{Store: st, CatalogueMaxAge: time.Hour, RemindAfter: time.Hour, LapseAfter: time.Hour},
	})
	worker.RegisterWorkflow(doNothing)
	require.NoError(b, worker.Start())
	b.Cleanup(worker.Stop)
	url, stop := crowd.serveOn(b, address, true, c.client)
	b.Cleanup(stop)
	c.url = url
	rows, err := storetest.SQL(b, address).QueryContext(b.Context(), "SELECT id FROM models WHERE availability = 'available' ORDER BY id")
	require.NoError(b, err)
	defer rows.Close()
	for rows.Next() {
		var id string
		require.NoError(b, rows.Scan(&id))
		c.models = append(c.models, id)
	}
	require.NoError(b, rows.Err())
	c.create(b, http.DefaultClient) // by then all is warm
	require.NoError(b, c.nothing(b))
	return c
}

// doNothing is an empty workflow.
func doNothing(workflow.Context) error { return nil }

// measure writes one line of the table.
func (c *till) measure(b *testing.B, w io.Writer, callers int) {
	b.Helper()
	web := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: callers}}
	defer web.CloseIdleConnections()
	var last atomic.Value
	ours := paced(b, callers, func() error { last.Store(c.create(b, web)); return nil })
	empty := paced(b, callers, func() error { return c.nothing(b) })
	described, err := c.client.DescribeWorkflowExecution(b.Context(), workflowOf(last.Load().(string)), "")
	require.NoError(b, err)
	fmt.Fprintf(w, "| %d | %.0f/s | %s | %s | %s | %d | %.0f/s | %s | %s | %s | %.0f %% |\n", callers,
		ours.perSecond, millis(ours.p50), millis(ours.p99), millis(ours.cpu), described.GetWorkflowExecutionInfo().GetHistoryLength(),
		empty.perSecond, millis(empty.p50), millis(empty.p99), millis(empty.cpu), 100*ours.perSecond/empty.perSecond)
}

// create makes the next subscription, and returns its answer.
func (c *till) create(b *testing.B, web *http.Client) string {
	b.Helper()
	n := int(c.next.Add(1))
	model, who := c.models[n/len(c.headers)%len(c.models)], c.headers[n%len(c.headers)]
	return post(b, web, c.url+"/api/v1/subscriptions", who, fmt.Sprintf(`{"modelId": %q}`, model), `"status":"active"`)
}

// post asks for something to be made, and returns the answer, which holds want.
func post(b *testing.B, web *http.Client, url, header, body, want string) string {
	b.Helper()
	req, err := http.NewRequestWithContext(b.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		b.Error(err)
		return ""
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", header)
	res, err := web.Do(req)
	if err != nil {
		b.Error(err)
		return ""
	}
	answer, err := io.ReadAll(res.Body)
	_ = res.Body.Close() // it was read
	if err != nil || res.StatusCode != http.StatusCreated || !strings.Contains(string(answer), want) {
		b.Errorf("%s: %d %v %s", url, res.StatusCode, err, answer)
	}
	return string(answer)
}

// workflowOf is the workflow that made the subscription of an answer active.
func workflowOf(body string) string {
	_, id, _ := strings.Cut(body, `"id":"`)
	id, _, _ = strings.Cut(id, `"`)
	return "provision-subscription/" + id
}

// nothing runs an empty workflow.
func (c *till) nothing(b *testing.B) error {
	b.Helper()
	run, err := c.client.ExecuteWorkflow(b.Context(), client.StartWorkflowOptions{TaskQueue: workflows.TaskQueue, EnableEagerStart: true}, doNothing)
	if err == nil {
		err = run.Get(b.Context(), nil)
	}
	return err
}

// pace is what a number of callers saw.
type pace struct {
	perSecond     float64
	p50, p99, cpu time.Duration // cpu of one
}

// paced has so many callers do something again and again.
func paced(b *testing.B, callers int, do func() error) pace {
	b.Helper()
	var (
		mu    sync.Mutex
		took  []time.Duration
		wg    sync.WaitGroup
		start = time.Now()
		used  = cpuTime()
	)
	for range callers {
		wg.Go(func() {
			for time.Since(start) < creating {
				began := time.Now()
				if err := do(); err != nil {
					b.Error(err)
					return
				}
				mu.Lock()
				took = append(took, time.Since(began))
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	wall := time.Since(start)
	require.NotEmpty(b, took)
	slices.Sort(took)
	n := len(took)
	return pace{float64(n) / wall.Seconds(), took[n/2], took[n*99/100], (cpuTime() - used) / time.Duration(n)}
}

func millis(d time.Duration) string { return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000) }
