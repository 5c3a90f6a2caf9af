package store_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
)

// A call counts once, however often it is told of, in a batch or in several.
func TestRecordEventsOnce(t *testing.T) {
	m := newMeter(t)
	a, b := m.call("a", nil), m.call("b", nil)
	m.became(m.record(models.UsagePushed, a, b, a), 2, 1, 0)
	m.became(m.record(models.UsagePushed, b, m.call("c", nil)), 1, 1, 0)
	m.became(m.record(models.UsagePulled, a, b), 0, 2, 0)
	b.At = b.At.Add(-59 * time.Minute)
	m.became(m.record(models.UsagePushed, b), 0, 1, 0)
	require.Equal(t, 3, m.sum("requests", "user_id = $1", m.ada))
	require.Zero(t, m.record(models.UsagePushed))
	refused(t, models.Internal, m.s.InTx(t.Context(), func(tx *store.Store) error {
		_, err := tx.RecordEvents(t.Context(), []models.UsageEvent{a}, models.UsagePushed, machine)
		return err
	}))
}

// What the cache answered has another id each time that LiteLLM tells of it; a call that failed
// has that by which the caller knows it.
func TestRecordEventsOfCacheAndFailures(t *testing.T) {
	m := newMeter(t)
	hit := func(id, call string) models.UsageEvent {
		return m.call(id, func(e *models.UsageEvent) { e.CallID, e.Cost = call, new(models.USD(0)) })
	}
	m.became(m.record(models.UsagePushed, m.call("r", nil), hit("r_cache_hit1.5", "one"), hit("r_cache_hit2.5", "two")), 3, 0, 0)
	m.became(m.record(models.UsagePulled, hit("r_cache_hit9.5", "one"), hit("r_cache_hit7.5", "two")), 0, 2, 0)
	failed := m.call("call-1", func(e *models.UsageEvent) {
		e.CallID, e.Failed, e.Prompt, e.Completion, e.Cost = "call-1", 1, 0, 0, nil
	})
	m.became(m.record(models.UsagePushed, failed), 1, 0, 0)
	m.became(m.record(models.UsagePulled, failed), 0, 1, 0)
	require.Equal(t, 1, m.sum("failed", "true"))
	require.Equal(t, 4, m.sum("requests", "true"))
}

// LiteLLM's log counts more than what it pushed. The entry of the difference is made once.
func TestRecordEventsCorrected(t *testing.T) {
	m := newMeter(t)
	a := m.call("a", nil)
	m.became(m.record(models.UsagePushed, a), 1, 0, 0)
	better := a
	better.Prompt, better.Completion, better.Cost = 7, 6, new(models.Dollar)
	m.became(m.record(models.UsagePushed, better), 0, 1, 0)
	m.became(m.record(models.UsagePulled, better, better), 0, 1, 1)
	m.became(m.record(models.UsagePulled, better), 0, 1, 0)
	m.became(m.record(models.UsagePushed, a), 0, 1, 0)
	require.Equal(t, []int{1, 7, 6, int(models.Dollar)}, []int{
		m.sum("requests", "true"), m.sum("prompt_tokens", "true"), m.sum("completion_tokens", "true"), m.sum("cost", "true"),
	})
	better.Failed, better.Prompt, better.Completion = 1, 0, 0
	m.became(m.record(models.UsagePulled, better), 0, 0, 1)
	require.Equal(t, 1, m.sum("failed", "corrects IS NOT NULL"))

	day := m.call("the day", func(e *models.UsageEvent) { e.Requests, e.Failed, e.Prompt = 100, 3, 1000 })
	m.became(m.record(models.UsageDaily, day), 1, 0, 0)
	day.Requests, day.Prompt = 150, 1500
	m.became(m.record(models.UsageDaily, day), 0, 0, 1)
	require.Equal(t, 150, m.sum("requests", "source = 'daily'"))
}

// Where the log says that a call was somebody else's, it is taken from the one and given to the
// other.
func TestRecordEventsMoved(t *testing.T) {
	m := newMeter(t)
	m.became(m.record(models.UsagePushed, m.call("a", nil), m.call("b", nil), m.call("c", func(e *models.UsageEvent) { e.KeyHash = hashed("x") })), 3, 0, 0)
	right := m.call("a", func(e *models.UsageEvent) { e.KeyHash, e.Prompt = m.bobKey, 11 })
	theirs := m.call("c", func(e *models.UsageEvent) { e.KeyHash, e.UserID = hashed("x"), m.bob.String() })
	silent := m.call("b", func(e *models.UsageEvent) { e.KeyHash, e.Provider, e.Latency = "", "", time.Hour })
	m.became(m.record(models.UsagePulled, right, theirs, silent), 0, 1, 2)
	m.became(m.record(models.UsagePulled, right, theirs, silent), 0, 3, 0)
	require.Equal(t, []int{1, 10}, []int{m.sum("requests", "user_id = $1", m.ada), m.sum("prompt_tokens", "user_id = $1", m.ada)})
	require.Equal(t, []int{2, 21}, []int{m.sum("requests", "user_id = $1", m.bob), m.sum("prompt_tokens", "user_id = $1", m.bob)})
	require.Equal(t, []int{0, 0}, []int{m.sum("requests", "user_id = $1", uuid.Nil), m.sum("cost", "user_id = $1", uuid.Nil)})
	other := m.call("a", func(e *models.UsageEvent) { e.KeyHash, e.Prompt, e.Model = m.bobKey, 11, "closed" })
	m.became(m.record(models.UsagePulled, other), 0, 0, 1)
	m.became(m.record(models.UsagePulled, right), 0, 0, 1)
	require.Equal(t, 0, m.sum("requests", "model_id = 'closed'"))
	require.Equal(t, 11, m.sum("prompt_tokens", "request_id = 'a' AND user_id = $1 AND model_id = 'open'", m.bob))
}

// A call is the owner's of its key, whatever became of the key; else of the user that LiteLLM
// names, if he is known here; else nobody's.
func TestRecordEventsOwner(t *testing.T) {
	m := newMeter(t)
	m.exec("UPDATE api_keys SET team_id = $1, revoked_at = now() WHERE hash = $2", models.DefaultTeamID, m.adaKey)
	sub := m.sub(m.ada, "open", models.SubscriptionActive)
	m.exec("DELETE FROM api_keys WHERE hash = $1", m.bobKey)
	m.record(
		models.UsagePushed, m.call("revoked", nil),
		m.call("deleted", func(e *models.UsageEvent) {
			e.KeyHash, e.UserID, e.TeamID = m.bobKey, m.bob.String(), models.DefaultTeamID.String()
		}),
		m.call("master", func(e *models.UsageEvent) { e.KeyHash, e.UserID, e.TeamID = "", "default_user_id", uuid.NewString() }),
		m.call("stranger", func(e *models.UsageEvent) {
			e.KeyHash, e.UserID, e.Model = hashed("y"), uuid.NewString(), "un\x00known"
		}),
	)
	for name, want := range map[string][]uuid.UUID{
		"revoked": {m.ada, models.DefaultTeamID, sub}, "deleted": {m.bob, models.DefaultTeamID, uuid.Nil}, "master": {uuid.Nil, uuid.Nil, uuid.Nil}, "stranger": {uuid.Nil, uuid.Nil, uuid.Nil},
	} {
		got := m.words("SELECT user_id || ' ' || team_id || ' ' || subscription_id FROM usage_events WHERE request_id = $1", name)
		require.Equal(t, []string{want[0].String(), want[1].String(), want[2].String()}, got, name)
	}
	require.Equal(t, []string{"openai", "openai", "openai", "somebody"}, m.words("SELECT string_agg(provider, ' ' ORDER BY provider) FROM usage_events"))
	require.Equal(t, 1, counted(t, m.db, "SELECT count(*) FROM usage_hours WHERE subscription_id = $1", sub))
	require.Equal(t, 1, m.sum("requests", "model_id = 'unknown'"))
	m.summed()
}

// What LiteLLM does not know the cost of, costs what the model did then.
func TestRecordEventsPriced(t *testing.T) {
	m := newMeter(t)
	m.exec("UPDATE model_prices SET from_at = $1", m.now.Add(-50*time.Hour))
	m.exec("UPDATE models SET input_cost_per_token = 0.00001, output_cost_per_token = NULL WHERE id = 'open'")
	m.exec("UPDATE model_prices SET from_at = $1 WHERE output_cost_per_token IS NULL", m.now.Add(-10*time.Hour))
	unpriced := func(name string, ago time.Duration, model string, completion int64) models.UsageEvent {
		return m.call(name, func(e *models.UsageEvent) {
			e.Cost, e.At, e.Model, e.Completion = nil, m.now.Add(-ago), model, completion
		})
	}
	m.record(
		models.UsagePushed, unpriced("now", time.Hour, "open", 0), unpriced("then", 10*time.Hour+time.Millisecond, "open", 5), unpriced("long_ago", 99*time.Hour, "open", 5),
		unpriced("half", time.Hour, "open", 1), unpriced("never", time.Hour, "unheard of", 5), m.call("said", nil),
	)
	require.Equal(t, []string{
		"half:0:unknown", "long_ago:75000:computed", "never:0:unknown", "now:100000:computed", "said:1000:reported", "then:75000:computed",
	}, m.words("SELECT string_agg(request_id || ':' || cost || ':' || priced, ' ' ORDER BY request_id) FROM usage_events"))
	known := unpriced("now", time.Hour, "open", 0)
	m.became(m.record(models.UsagePulled, known, unpriced("said", time.Second, "open", 5)), 0, 2, 0)
	known.Cost = new(models.USD(7))
	m.became(m.record(models.UsagePulled, known), 0, 0, 1)
	require.Equal(t, 7, m.sum("cost", "request_id = 'now'"))
}

// Nothing that is told of late is lost, or counted twice when its day has been dropped.
func TestRecordEventsLate(t *testing.T) {
	m := newMeter(t)
	old := m.call("old", func(e *models.UsageEvent) { e.At = m.now.AddDate(0, 0, -40) })
	older := m.call("older", func(e *models.UsageEvent) { e.At = m.now.AddDate(-2, 0, 0) })
	m.became(m.record(models.UsagePushed, old, older, m.call("new", nil)), 3, 0, 0)
	dropped, err := m.s.DropUsageBefore(t.Context(), m.now.AddDate(0, 0, -39), machine)
	require.NoError(t, err)
	require.Len(t, dropped.Partitions, 2)
	got := m.record(models.UsagePulled, old, older, m.call("oldest", func(e *models.UsageEvent) { e.At = m.now.AddDate(-3, 0, 0) }))
	require.Equal(t, models.Recorded{Known: 3}, got)
	require.Equal(t, 1, m.sum("requests", "true"))
	require.Equal(t, 3, counted(t, m.db, "SELECT sum(requests) FROM usage_days"))
	dropped, err = m.s.DropUsageBefore(t.Context(), m.now.AddDate(0, 0, -39), machine)
	require.NoError(t, err)
	require.Empty(t, dropped.Partitions)
	require.Equal(t, []models.AuditAction{models.AuditUsageDrop}, audited(t, m.s, dropped.Before))
}

// Successful calls count towards the quota of their subscription, once; what uses it up suspends it.
func TestRecordEventsQuota(t *testing.T) {
	m := newMeter(t)
	m.exec("UPDATE api_keys SET revoked_at = now() WHERE user_id = $1", m.bob)
	sub := m.in(m.ada, "active") // 10 requests, 1000 tokens
	batch := []models.UsageEvent{}
	for i := range 9 {
		batch = append(batch, m.call(fmt.Sprint(i), nil))
	}
	batch = append(batch, m.call("failed", func(e *models.UsageEvent) { e.Failed, e.Prompt, e.Completion = 1, 50, 0 }))
	for range 3 {
		require.Empty(t, m.record(models.UsagePushed, batch...).Follow)
	}
	require.Equal(t, []int64{9, 9 * 15}, []int64{m.read(sub).UsedRequests, m.read(sub).UsedTokens})
	fixed := m.call("0", func(e *models.UsageEvent) { e.Prompt = 20 })
	m.became(m.record(models.UsagePulled, fixed), 0, 0, 1)
	require.Equal(t, []int64{9, 9*15 + 10}, []int64{m.read(sub).UsedRequests, m.read(sub).UsedTokens})
	got := m.record(models.UsagePushed, m.call("last", nil))
	require.Len(t, got.Follow, 1)
	require.Equal(t, models.CauseQuota, got.Follow[0].Cause)
	require.Equal(t, models.SubscriptionSuspended, m.read(sub).Status)
	require.Empty(t, m.record(models.UsagePushed, m.call("last", nil)).Follow)
	require.EqualValues(t, 10, m.read(sub).UsedRequests)
	m.sound()
}

// Whatever comes, in whatever order, the sums are those of the entries, and of each call the ledger
// says what LiteLLM's log last said.
func TestRecordEventsSums(t *testing.T) {
	m := newMeter(t)
	r := rand.New(rand.NewPCG(7, 7))
	keys, llms := []string{m.adaKey, m.bobKey, hashed("x"), ""}, []string{"open", "closed", "gone", "strange"}
	logged := map[string]models.UsageEvent{}
	for range 40 {
		from := []models.UsageSource{models.UsagePushed, models.UsagePulled}[r.IntN(2)]
		batch := []models.UsageEvent{}
		for range 1 + r.IntN(60) {
			name := fmt.Sprint(r.IntN(300))
			e := m.call(name, func(e *models.UsageEvent) {
				e.At = m.now.Add(-time.Duration(len(name)) * 13 * time.Hour).Add(-time.Duration(r.IntN(3000)) * time.Second)
				e.KeyHash, e.Model = keys[r.IntN(len(keys))], llms[r.IntN(len(llms))]
				e.Prompt, e.Completion, e.Failed, e.Cost = int64(r.IntN(3)), int64(r.IntN(3)), int64(r.IntN(2)), new(models.USD(r.IntN(3)))
			})
			batch = append(batch, e)
		}
		m.record(from, batch...)
		inBatch := map[string]bool{}
		for _, e := range batch {
			if _, known := logged[e.RequestID]; inBatch[e.RequestID] || known && from == models.UsagePushed {
				continue
			}
			inBatch[e.RequestID], logged[e.RequestID] = true, e
		}
		m.summed()
	}
	require.Len(t, logged, m.sum("requests", "true"))
	require.Zero(t, counted(t, m.db, `SELECT count(*) FROM (
		SELECT coalesce(corrects, id) AS call, user_id, api_key_id, model_id, sum(requests) AS n FROM usage_events GROUP BY 1, 2, 3, 4) x WHERE n NOT IN (0, 1)`))
	for name, e := range logged {
		require.Equal(t, []int{int(e.Prompt), int(e.Completion), int(e.Failed), int(*e.Cost)}, []int{
			m.sum("prompt_tokens", "request_id = $1", name), m.sum("completion_tokens", "request_id = $1", name),
			m.sum("failed", "request_id = $1", name), m.sum("cost", "request_id = $1", name),
		}, name)
	}
}

// Writers at once, of whom some are cut off in the middle, and who do everything again: once.
func TestRecordEventsAtOnce(t *testing.T) {
	m := newMeter(t)
	m.sub(m.ada, "open", models.SubscriptionActive)
	m.exec("UPDATE subscriptions SET quota_requests = NULL, quota_tokens = NULL")
	const writers, calls, size = 4, 6000, 1500
	cut := 0
	for round := range 3 {
		cuts := make([]int, writers)
		for i, err := range atOnce(writers, func(i int) error {
			r := rand.New(rand.NewPCG(uint64(round), uint64(i)))
			for from := 0; from < calls; from += size {
				batch := make([]models.UsageEvent, 0, size)
				for n := range size {
					name := (from + i*size + n) % calls
					batch = append(batch, m.call(fmt.Sprint(name), func(e *models.UsageEvent) { e.At = m.now.Add(-time.Duration(name) * time.Second) }))
				}
				ctx, cancel := t.Context(), context.CancelFunc(func() {})
				if round < 2 {
					ctx, cancel = context.WithTimeout(t.Context(), time.Duration(r.IntN(150))*time.Millisecond)
				}
				_, err := m.s.RecordEvents(ctx, batch, models.UsagePushed, machine)
				cancel()
				if err != nil && round == 2 {
					return err
				}
				if err != nil {
					cuts[i]++
				}
			}
			return nil
		}) {
			require.NoError(t, err)
			cut += cuts[i]
		}
		m.summed()
	}
	require.Positive(t, cut, "nobody was cut off")
	require.Equal(t, calls, m.sum("requests", "true"))
	require.Equal(t, calls, counted(t, m.db, "SELECT count(*) FROM usage_events"))
	var thisMonth int
	for name := range calls {
		if !m.now.Add(-time.Duration(name) * time.Second).Before(models.QuotaReset(m.now).AddDate(0, -1, 0)) {
			thisMonth++
		}
	}
	require.Equal(t, thisMonth, counted(t, m.db, "SELECT used_requests FROM subscriptions"))
}
