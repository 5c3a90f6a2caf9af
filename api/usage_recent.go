package api

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/litemaas/litemaas/models"
)

// usageSpans are the lengths of time that are counted, in seconds.
var usageSpans = [...]int64{60, 300, usageHour}

const (
	usageHour = 3600

	// usageEntries is how many sums of a second are kept: what each user, key, team and model had in
	// it. Each takes some 60 bytes. Where there are more in an hour, what is oldest is forgotten, and
	// the answers say so.
	usageEntries = 500_000

	// usagePoll is how often the ledger is looked at for what other replicas recorded.
	usagePoll = 500 * time.Millisecond
)

// recentUsage counts the usage of the last hour in memory, as this and the other replicas record it:
// the sums of each second, and those of the spans that end now. It is safe for use by many goroutines.
type recentUsage struct {
	ledger UsageLedger
	now    func() time.Time
	woken  chan struct{}

	looking sync.Mutex // one looks at the ledger at a time
	place   int64      // of what was read last
	looked  time.Time

	mu      sync.Mutex
	seconds [usageHour]usageSecond // a ring
	head    int64                  // the last second of the spans, of Unix
	since   int64                  // the first one that is not forgotten
	entries int
	most    int // of them
	tallies map[usageOwner]*usageTally
}

// usageOwner is who used what.
type usageOwner struct {
	user, team, key uuid.UUID
	model           string
}

// usageSums is how much.
type usageSums struct {
	requests, failed, prompt, completion, latencyMS int64
	cost                                            models.USD
}

func (s *usageSums) add(o usageSums, sign int64) {
	s.requests += sign * o.requests
	s.failed += sign * o.failed
	s.prompt += sign * o.prompt
	s.completion += sign * o.completion
	s.latencyMS += sign * o.latencyMS
	s.cost += models.USD(sign) * o.cost
}

// usageTally is what somebody used in each span, and in how many seconds.
type usageTally struct {
	of      usageOwner
	spans   [len(usageSpans)]usageSums
	entries int
	last    int64 // the second of the entry that was made last …
	at      int   // … and where it is there
}

// usageSecond is what was used in a second, by each.
type usageSecond []usageEntry

type usageEntry struct {
	tally *usageTally
	sums  usageSums
}

func newRecentUsage(ledger UsageLedger) *recentUsage {
	r := &recentUsage{ledger: ledger, now: time.Now, woken: make(chan struct{}, 1), most: usageEntries}
	r.forget(r.now().Unix())
	return r
}

// forget begins anew. The lock is held, or nobody knows r yet.
func (r *recentUsage) forget(now int64) {
	r.seconds, r.entries, r.tallies = [usageHour]usageSecond{}, 0, map[usageOwner]*usageTally{}
	r.head, r.since = now, now-usageHour+1
}

// wake says that something was recorded here.
func (r *recentUsage) wake() {
	select {
	case r.woken <- struct{}{}:
	default: // it is awake
	}
}

// run keeps up with the ledger until ctx ends. While it does not run, each request looks at it.
func (r *recentUsage) run(ctx context.Context) {
	tick := time.NewTicker(usagePoll)
	defer tick.Stop()
	for failing := false; ; {
		err := r.look(ctx, 0)
		if err != nil && !failing && ctx.Err() == nil {
			slog.WarnContext(ctx, "the usage of the last minutes is not up to date", "error", err)
		}
		failing = err != nil
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-r.woken:
		}
	}
}

// look reads what was recorded since it was last read, if that is longer ago than age.
func (r *recentUsage) look(ctx context.Context, age time.Duration) error {
	r.looking.Lock()
	defer r.looking.Unlock()
	now := r.now()
	if age > 0 && now.Sub(r.looked) < age {
		return nil
	}
	hour := now.Add(-usageHour * time.Second)
	for {
		sums, last, err := r.ledger.RecentUsageAfter(ctx, r.place, hour)
		if err != nil {
			return err
		}
		if last == r.place { // it is less where the database has crashed, and counts its places anew
			r.looked = now
			return nil
		}
		r.place = last
		r.count(sums)
	}
}

// count adds what was recorded.
func (r *recentUsage) count(sums []models.RecentUsage) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.advance(r.now().Unix())
	for i := range sums {
		r.enter(&sums[i])
	}
	for r.entries > r.most {
		r.drop(r.since)
	}
}

// enter adds one sum. The clock of who measured it may be ahead of ours. The lock is held.
func (r *recentUsage) enter(u *models.RecentUsage) {
	second := min(u.At, r.head)
	if second < r.since {
		return
	}
	of := usageOwner{u.UserID, u.TeamID, u.KeyID, u.Model}
	t := r.tallies[of]
	if t == nil {
		t = &usageTally{of: of}
		r.tallies[of] = t
	}
	sums := usageSums{u.Requests, u.Failed, u.Prompt, u.Completion, u.LatencyMS, u.Cost}
	for i, span := range usageSpans {
		if second > r.head-span {
			t.spans[i].add(sums, 1)
		}
	}
	slot := &r.seconds[second%usageHour]
	if t.entries > 0 && t.last == second {
		(*slot)[t.at].sums.add(sums, 1)
		return
	}
	t.last, t.at = second, len(*slot)
	*slot = append(*slot, usageEntry{t, sums})
	t.entries++
	r.entries++
}

// advance moves the end of the spans. The lock is held.
func (r *recentUsage) advance(now int64) {
	if now-r.head >= usageHour {
		r.forget(now)
		return
	}
	for r.head < now {
		r.head++
		for i, span := range usageSpans[:len(usageSpans)-1] {
			r.leave(r.head-span, i)
		}
		if r.since <= r.head-usageHour {
			r.drop(r.since)
		}
	}
}

// leave takes a second out of a span. The lock is held.
func (r *recentUsage) leave(second int64, span int) {
	for _, e := range r.seconds[second%usageHour] {
		e.tally.spans[span].add(e.sums, -1)
	}
}

// drop forgets the second that is the oldest. The lock is held.
func (r *recentUsage) drop(oldest int64) {
	for i, span := range usageSpans {
		if oldest > r.head-span || span == usageHour {
			r.leave(oldest, i)
		}
	}
	slot := &r.seconds[oldest%usageHour]
	for _, e := range *slot {
		if e.tally.entries--; e.tally.entries == 0 {
			delete(r.tallies, e.tally.of)
		}
	}
	r.entries -= len(*slot)
	*slot, r.since = nil, oldest+1
}

// usageSpansSums is what was used in each span.
type usageSpansSums [len(usageSpans)]usageSums

// sum adds up what a condition selects, under what it is asked for by. It returns the second after
// which the spans begin that are longer than what is known.
func (r *recentUsage) sum(by func(*usageOwner) (string, bool)) (groups map[string]*usageSpansSums, total usageSpansSums, since int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.advance(r.now().Unix())
	groups = map[string]*usageSpansSums{}
	for _, t := range r.tallies {
		name, ok := by(&t.of)
		if !ok {
			continue
		}
		g := groups[name]
		if g == nil {
			g = &usageSpansSums{}
			groups[name] = g
		}
		for i := range t.spans {
			g[i].add(t.spans[i], 1)
			total[i].add(t.spans[i], 1)
		}
	}
	return groups, total, r.since
}
