package api

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/litemaas/litemaas/models"
)

// UsageLedger is where usage is recorded. *store.Store is one.
type UsageLedger interface {
	RecordEvents(ctx context.Context, events []models.UsageEvent, from models.UsageSource, by models.Actor) (models.Recorded, error)
	RecentUsageAfter(ctx context.Context, place int64, since time.Time) (sums []models.RecentUsage, last int64, err error)
}

const (
	// usageAtOnce is how many events share a transaction at most, unless one request alone has more.
	usageAtOnce = 4096

	// usageWaiting is how many events wait, or are being recorded, before more are refused.
	usageWaiting = 4 * usageAtOnce

	// usageWithin is how long a transaction may take.
	usageWithin = 20 * time.Second
)

// usageCollector records what LiteLLM pushes, with fewer transactions the more comes: what comes
// while one is under way gathers, and shares the next. What comes alone waits for nobody. The ledger
// has one writer at a time, so that two transactions at once would gain nothing. It is safe for use
// by many goroutines.
type usageCollector struct {
	ledger UsageLedger
	after  func(models.Recorded) // each commit; it must not wait
	under  *sync.WaitGroup       // what is under way

	mu      sync.Mutex
	busy    bool
	waiting []*usagePush
	events  int // of those that wait, or are being recorded
}

// usagePush is what one request tells of.
type usagePush struct {
	events []models.UsageEvent
	ended  chan struct{} // closed when the rest is known

	outcome usageOutcome
	err     error
}

// usageOutcome is what became of a transaction, and how many requests shared it.
type usageOutcome struct {
	models.Recorded
	requests int
}

// record records the events of a request, all or none of them, and returns when that is committed.
// It is Limited when too many wait already, and Unavailable when the ledger cannot be reached. Whoever
// hangs up has them recorded all the same.
func (c *usageCollector) record(ctx context.Context, events []models.UsageEvent) (usageOutcome, error) {
	p := &usagePush{events: events, ended: make(chan struct{})}
	if err := c.join(p); err != nil {
		return usageOutcome{}, err
	}
	select {
	case <-p.ended:
		return p.outcome, p.err
	case <-ctx.Done():
		return usageOutcome{}, models.Wrap(models.Unavailable, ctx.Err(), "the caller hung up")
	}
}

func (c *usageCollector) join(p *usagePush) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.events+len(p.events) > usageWaiting {
		return errUsageBusy
	}
	c.events += len(p.events)
	c.waiting = append(c.waiting, p)
	if !c.busy {
		c.busy = true
		c.under.Go(c.work)
	}
	return nil
}

// errUsageBusy is for LiteLLM to come back a little later, which it does if it is told to.
var errUsageBusy = &models.Error{
	Kind: models.Limited, RetryAfter: time.Second,
	Message: "Too much usage at once: nothing of this was recorded. Send it again in a moment",
}

// work records until nothing waits.
func (c *usageCollector) work() {
	for {
		batch, events := c.next()
		if len(batch) == 0 {
			return
		}
		c.recordBatch(batch, events)
		c.mu.Lock()
		c.events -= len(events)
		c.mu.Unlock()
		for _, p := range batch {
			close(p.ended)
		}
	}
}

// next is what shares the next transaction.
func (c *usageCollector) next() (batch []*usagePush, events []models.UsageEvent) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for ; n < len(c.waiting); n++ {
		if n > 0 && len(events)+len(c.waiting[n].events) > usageAtOnce {
			break
		}
		events = append(events, c.waiting[n].events...)
	}
	batch, c.waiting = c.waiting[:n:n], slices.Clone(c.waiting[n:])
	c.busy = n > 0
	return batch, events
}

// recordBatch records what shares a transaction. If it fails by what is in it, each request has one of
// its own: it must not suffer by another.
func (c *usageCollector) recordBatch(batch []*usagePush, events []models.UsageEvent) {
	out, err := c.commit(events, len(batch))
	if err != nil && len(batch) > 1 && models.KindOf(err) != models.Unavailable {
		for _, p := range batch {
			p.outcome, p.err = c.commit(p.events, 1)
		}
		return
	}
	for _, p := range batch {
		p.outcome, p.err = out, err
	}
}

func (c *usageCollector) commit(events []models.UsageEvent, requests int) (usageOutcome, error) {
	ctx, cancel := context.WithTimeout(context.Background(), usageWithin)
	defer cancel()
	rec, err := c.ledger.RecordEvents(ctx, events, models.UsagePushed, models.System("usage-push"))
	if err != nil {
		return usageOutcome{}, err
	}
	c.after(rec)
	return usageOutcome{rec, requests}, nil
}
