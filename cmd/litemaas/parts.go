package main

import (
	"context"
	"log/slog"

	"github.com/redis/go-redis/v9"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"

	"github.com/litemaas/litemaas/activities"
	"github.com/litemaas/litemaas/activities/litellm"
	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
	"github.com/litemaas/litemaas/temporal"
	"github.com/litemaas/litemaas/workflows"
)

// parts is what the commands that run something are built from. Nothing here is global, so a
// test can do it twice.
type parts struct {
	config   config
	store    *store.Store
	proxy    *litellm.Client
	sealer   models.Keyring
	redis    *redis.Client // nil: none is configured
	temporal client.Client
}

// assemble wires the parts. It connects to nothing: what is away is found out, and waited
// for, where it is needed.
func assemble(ctx context.Context, cfg config) (*parts, error) {
	sealer, err := cfg.Secrets.sealer()
	if err != nil {
		return nil, err
	}
	rdb, err := cfg.Redis.open()
	if err != nil {
		return nil, err
	}
	st, err := store.Open(ctx, cfg.Database)
	if err != nil {
		return nil, err
	}
	c, err := temporal.Lazy(cfg.Temporal, slog.Default())
	if err != nil {
		st.Close()
		return nil, err
	}
	return &parts{config: cfg, store: st, proxy: litellm.New(cfg.LiteLLM.client()), sealer: sealer, redis: rdb, temporal: c}, nil
}

// close gives back what assemble took.
func (p *parts) close() {
	p.temporal.Close()
	p.store.Close()
	if p.redis != nil {
		_ = p.redis.Close() // we end
	}
}

// keepSessions is how long a session that ended can still be looked at.
const keepSessions = 7 * day

// worker returns a worker for everything we run.
func (p *parts) worker() worker.Worker {
	return temporal.NewWorker(p.temporal, temporal.Activities{
		SyncRuns: &activities.SyncRuns{
			Store: p.store, Proxy: p.proxy, Guard: p.config.Sync.guard(),
			ProposalTTL: p.config.Sync.ProposalTTL, Retention: p.config.Sync.Retention, Rules: p.config.Sync.Keys.rules(),
		},
		Proposals: &activities.Proposals{Store: p.store},
		Probes:    &activities.Probes{Store: p.store, Proxy: p.proxy},
		Users:     &activities.Users{Store: p.store, Proxy: p.proxy},
		Subscriptions: &activities.Subscriptions{
			Store: p.store, CatalogueMaxAge: p.config.Subscriptions.CatalogueMaxAge,
			RemindAfter: p.config.Subscriptions.RemindAfter, LapseAfter: p.config.Subscriptions.LapseAfter,
		},
		Cascades: &activities.Cascades{Store: p.store},
		Keys:     &activities.Keys{Store: p.store, Proxy: p.proxy, Sealer: p.sealer, Addresses: p.config.LiteLLM.Addresses},
		Sessions: &activities.Sessions{Store: p.store, Keep: keepSessions},
		AuditLog: &activities.AuditLog{Store: p.store, Retention: p.config.Audit.Retention},

		SealedValues: &activities.SealedValues{Store: p.config.sealed(p.store, p.redis), Keys: p.sealer},
		Operations:   &activities.Operations{Store: p.store},
		Orphans:      &activities.Orphans{Store: p.store, Proxy: p.proxy},
		Usage: &activities.Usage{
			Store: p.store, Proxy: p.proxy, Lag: p.config.Usage.CollectLag, Overlap: p.config.Usage.CollectOverlap,
			Retention: p.config.Usage.Retention,
		},
		Budgets: &activities.Budgets{Store: p.store, House: p.config.Budgets.house()},
		Schedules: &activities.Schedules{Store: p.store, Tell: func(ctx context.Context, s models.SyncSchedule) error {
			return workflows.ApplySyncSchedule(ctx, p.temporal.ScheduleClient(), s)
		}},
	})
}
