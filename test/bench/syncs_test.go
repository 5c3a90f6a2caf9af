package bench_test

import (
	"fmt"
	"io"
	"net/http/httptest"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/activities"
	"github.com/litemaas/litemaas/activities/litellm"
	"github.com/litemaas/litemaas/activities/litellm/litellmtest"
	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store/storetest"
	"github.com/litemaas/litemaas/temporal"
	"github.com/litemaas/litemaas/temporal/temporaltest"
	"github.com/litemaas/litemaas/workflows"
)

// benchSyncs measures whole syncs: the workflow on a real Temporal server, against a LiteLLM in
// memory of the given numbers of models.
func benchSyncs(b *testing.B, w io.Writer, sizes []int) {
	fmt.Fprint(w, `## A full sync

From the start of the workflow to its result. *CPU* is this process, in which the worker and the LiteLLM in memory run;
*heap* is its peak while the sync runs. *Rows* are the models written.

| models | sync | wall | CPU | heap | rows |
|---:|---|---:|---:|---:|---:|
`)
	for _, n := range sizes {
		b.Run(fmt.Sprintf("sync-%d", n), func(b *testing.B) { benchSync(b, w, n) })
	}
	fmt.Fprintln(w)
}

func benchSync(b *testing.B, w io.Writer, n int) {
	progress("syncs of %d models", n)
	db, c := storetest.New(b), temporaltest.New(b)
	catalogue := litellmtest.Generated(n)
	proxy, err := litellmtest.NewProxy(litellmtest.Options{Catalogue: catalogue})
	require.NoError(b, err)
	srv := httptest.NewServer(proxy)
	defer srv.Close()
	client := litellm.New(litellm.Config{URL: srv.URL, APIKey: models.SecretOf(litellmtest.MasterKey), Timeout: time.Minute})
	worker := temporal.NewWorker(c, temporal.Activities{
		SyncRuns: &activities.SyncRuns{
			Store: db, Proxy: client, Guard: models.Guard{MaxRemovedPercent: 20, MinRemoved: 3}, ProposalTTL: time.Hour, Retention: time.Hour,
		},
		Proposals: &activities.Proposals{Store: db}, Probes: &activities.Probes{Store: db, Proxy: client}, Schedules: &activities.Schedules{Store: db},
		Cascades: &activities.Cascades{Store: db},
	})
	require.NoError(b, worker.Start())
	defer worker.Stop()

	change := func() {
		for i := 0; i < n; i += 10 {
			proxy.ChangeDeployment(catalogue[i].ID, func(d *litellmtest.Deployment) { d.Info["max_tokens"] = 12345 })
		}
	}
	for _, step := range []struct {
		name    string
		prepare func()
	}{{"first", func() {}}, {"nothing changed", func() {}}, {"10 % changed", change}} {
		step.prepare()
		m := measure()
		run, err := workflows.Start(b.Context(), c, workflows.FullSync, workflows.FullSyncInput{Trigger: models.SyncByPerson, Actor: models.System("bench")})
		require.NoError(b, err)
		res, err := run.Wait(b.Context(), 10*time.Minute)
		require.NoError(b, err)
		wall, cpu, heap := m.stop()
		fmt.Fprintf(w, "| %d | %s | %.2f s | %.2f s | %d MB | %d |\n", n, step.name, wall.Seconds(), cpu.Seconds(), heap>>20,
			res.Counts.Added+res.Counts.Changed+res.Counts.Returned+res.Counts.Gone)
	}
}

// measurement watches one step.
type measurement struct {
	start time.Time
	cpu   time.Duration
	done  chan struct{}
	peak  chan uint64
}

func measure() measurement {
	runtime.GC()
	m := measurement{start: time.Now(), cpu: cpuTime(), done: make(chan struct{}), peak: make(chan uint64)}
	go func() {
		var peak uint64
		var s runtime.MemStats
		for t := time.NewTicker(20 * time.Millisecond); ; {
			runtime.ReadMemStats(&s)
			peak = max(peak, s.HeapInuse)
			select {
			case <-t.C:
			case <-m.done:
				t.Stop()
				m.peak <- peak
				return
			}
		}
	}()
	return m
}

func (m measurement) stop() (wall, cpu time.Duration, heap uint64) {
	wall, cpu = time.Since(m.start), cpuTime()-m.cpu
	close(m.done)
	return wall, cpu, <-m.peak
}

// cpuTime is what this process has used of all cores.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
