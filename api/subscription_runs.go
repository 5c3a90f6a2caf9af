package api

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/workflows"
)

// deadline is when a request stops to wait for its workflows, however many they are.
func (s *Server) deadline(ctx context.Context) time.Time {
	return time.Now().Add(s.patience(ctx))
}

// follow has LiteLLM follow a subscription whose row has changed, and the cascade of that, and
// waits for it. What goes wrong behind the commit is no failure of the request's: the rows are
// the wish, and Sweep sees to them.
func (s *Server) follow(ctx context.Context, sub models.Subscription, c models.Cascade, until time.Time) {
	if !c.Settled() {
		s.followCascade(ctx, c, until)
	}
	if sub.Wanted != "" {
		s.provision(ctx, sub, until)
	}
}

// provision has a subscription made active that is wanted so. Of a new one no run can be open,
// and to start one alone is the quickest.
func (s *Server) provision(ctx context.Context, sub models.Subscription, until time.Time) {
	begin := workflows.Nudge[workflows.ProvisionSubscriptionInput, workflows.ProvisionSubscriptionResult]
	if sub.UpdatedAt.Equal(sub.CreatedAt) {
		begin = workflows.Start[workflows.ProvisionSubscriptionInput, workflows.ProvisionSubscriptionResult]
	}
	run, err := begin(ctx, s.Temporal, workflows.ProvisionSubscription, workflows.ProvisionSubscriptionInput{SubscriptionID: sub.ID, Actor: actor(ctx)})
	await(ctx, run, err, until)
}

// followCascade has LiteLLM follow on the keys that a cascade took something from, or gave it
// back to.
func (s *Server) followCascade(ctx context.Context, c models.Cascade, until time.Time) {
	if c.Generation > 1 {
		run, err := workflows.Start(ctx, s.Temporal, workflows.RestoreSubscription, workflows.RestoreSubscriptionInput{CascadeID: c.ID})
		await(ctx, run, err, until)
		return
	}
	run, err := workflows.Start(ctx, s.Temporal, workflows.EndSubscription, workflows.EndSubscriptionInput{CascadeID: c.ID})
	await(ctx, run, err, until)
}

// await waits for a run that was started, if it was.
func await[Out any](ctx context.Context, run workflows.Run[Out], err error, until time.Time) {
	if err == nil {
		_, err = run.Wait(ctx, time.Until(until))
	}
	if err != nil && models.KindOf(err) != models.Pending {
		slog.WarnContext(ctx, "LiteLLM follows a subscription later", "request_id", requestOf(ctx).id, "error", err)
	}
}

// abreast is how many workflows one request starts and waits for at the same time.
const abreast = 16

// grace is how long a request that has no patience left may yet take to start its workflows.
const grace = 5 * time.Second

// each does something n times, some at the same time, and returns when all is done. The ctx that
// it hands on is to start workflows with: it ends at the deadline and a grace.
func each(ctx context.Context, n int, until time.Time, do func(start context.Context, i int)) {
	start, cancel := context.WithDeadline(ctx, until.Add(grace))
	defer cancel()
	var wg sync.WaitGroup
	turns := make(chan struct{}, abreast)
	for i := range n {
		turns <- struct{}{}
		wg.Go(func() {
			defer func() { <-turns }()
			do(start, i)
		})
	}
	wg.Wait()
}
