package store_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
	"github.com/litemaas/litemaas/models/store/storetest"
)

// used is a world in which calls were made in the last forty days.
type used struct {
	world
	ada, bob, eve     uuid.UUID
	subscription, key uuid.UUID // of ada
	now               time.Time
}

func newUsed(t *testing.T) used {
	t.Helper()
	u := used{world: newWorld(t), now: time.Now()}
	u.model("fourth")
	u.ada, u.bob, u.eve = u.user("ada"), u.user("bob"), u.user("eve")
	u.subscription, u.key = u.sub(u.ada, "open", models.SubscriptionActive), u.world.key(u.ada, "open")
	for _, of := range []uuid.UUID{u.ada, u.bob, u.bob, u.eve} {
		u.world.key(of, "open")
	}
	storetest.Usage(t, u.db, 6_000, 40)
	return u
}

// raw adds up entries of the ledger by an expression, in plain SQL.
func (u used) raw(q store.UsageQuery, by string) map[string]models.UsageSums {
	u.t.Helper()
	where, args := []string{"at >= $1", "at < $2"}, []any{q.From, q.Until}
	add := func(use bool, column string, value any) {
		if use {
			args = append(args, value)
			where = append(where, fmt.Sprintf("%s = $%d", column, len(args)))
		}
	}
	if q.UserID != nil {
		add(true, "user_id", *q.UserID)
	}
	add(q.ModelID != "", "model_id", q.ModelID)
	add(q.SubscriptionID != uuid.Nil, "subscription_id", q.SubscriptionID)
	add(q.APIKeyID != uuid.Nil, "api_key_id", q.APIKeyID)
	rows, err := u.db.QueryContext(u.t.Context(), "SELECT ("+by+`)::text, sum(requests), sum(failed), sum(prompt_tokens), sum(completion_tokens), sum(cost), sum(latency_ms)
		FROM usage_events WHERE `+strings.Join(where, " AND ")+" GROUP BY 1", args...)
	require.NoError(u.t, err)
	defer rows.Close()
	out := map[string]models.UsageSums{}
	for rows.Next() {
		var name string
		var s models.UsageSums
		require.NoError(u.t, rows.Scan(&name, &s.Requests, &s.Failed, &s.PromptTokens, &s.CompletionTokens, &s.Cost, &s.LatencyMS))
		out[name] = s
	}
	require.NoError(u.t, rows.Err())
	return out
}

// queries are many, by what they ask for.
func (u used) queries() map[string]store.UsageQuery {
	out := map[string]store.UsageQuery{}
	for when, r := range map[string]models.UsageRange{
		"seven days":       models.LastDays(7, u.now),
		"twenty days":      models.LastDays(20, u.now),
		"a day":            models.LastHours(24, u.now),
		"some hours":       models.NewUsageRange(u.now.Add(-200*time.Hour), u.now.Add(-103*time.Hour)),
		"before anything":  {From: models.UsageDay.Start(u.now).AddDate(0, 0, -90), Until: models.UsageDay.Start(u.now).AddDate(0, 0, -60)},
		"an hour long ago": models.LastHours(1, u.now.AddDate(0, 0, -80)),
	} {
		for whose, user := range map[string]*uuid.UUID{"everybody": nil, "ada": &u.ada, "bob": &u.bob, "nobody": new(uuid.UUID)} {
			q := store.UsageQuery{UsageRange: r, UserID: user}
			out[whose+", "+when] = q
			for what, edit := range map[string]func(){
				"a model":             func() { q.ModelID = "gone" },
				"a subscription":      func() { q.SubscriptionID = u.subscription },
				"a key":               func() { q.APIKeyID = u.key },
				"a key and its model": func() { q.APIKeyID, q.ModelID = u.key, "open" },
			} {
				q = store.UsageQuery{UsageRange: r, UserID: user}
				edit()
				out[whose+", "+when+", "+what] = q
			}
		}
	}
	return out
}

// Every figure is what plain SQL adds up of the entries.
func TestUsageReads(t *testing.T) {
	u := newUsed(t)
	some := 0
	for name, q := range u.queries() {
		t.Run(name, func(t *testing.T) {
			byModel, err := u.s.UsageByModel(t.Context(), q)
			require.NoError(t, err)
			want, most := u.raw(q, "model_id"), int64(1<<62)
			some += len(want)
			require.Len(t, byModel, len(want))
			for _, m := range byModel {
				require.Equal(t, want[m.ModelID], m.UsageSums, m.ModelID)
				require.LessOrEqual(t, m.Requests, most, "what was called most comes first")
				require.Equal(t, "openai", m.Provider)
				most = m.Requests
			}

			now, before, err := u.s.UsageCompared(t.Context(), q)
			require.NoError(t, err)
			require.Equal(t, byModel, now)
			earlier := q
			earlier.UsageRange = q.Before()
			require.Equal(t, u.raw(earlier, "1")["1"], before)

			for _, unit := range []models.UsageUnit{models.UsageHour, models.UsageDay, models.UsageWeek, models.UsageMonth} {
				periods, err := u.s.UsageByPeriod(t.Context(), q, unit)
				require.NoError(t, err)
				raw := u.raw(q, fmt.Sprintf("extract(epoch FROM date_trunc('%s', at, 'UTC'))::bigint", unit))
				for i, p := range periods {
					key := fmt.Sprint(unit.Start(p.StartsAt).Unix())
					require.Equal(t, raw[key], p.UsageSums, "%s %s", unit, p.StartsAt)
					delete(raw, key)
					if i > 0 {
						require.Equal(t, periods[i-1].EndsAt, p.StartsAt, "no gap")
					}
				}
				require.Empty(t, raw, unit)
				require.True(t, periods[0].StartsAt.Equal(q.From))
				require.True(t, periods[len(periods)-1].EndsAt.Equal(q.Until))
			}

			hours, err := u.s.UsageByHour(t.Context(), q)
			require.NoError(t, err)
			raw := u.raw(q, "date_part('hour', at AT TIME ZONE 'UTC')::int")
			for hour, n := range hours {
				require.Equal(t, raw[fmt.Sprint(hour)].Requests, n, hour)
			}
		})
	}
	require.Positive(t, some)
}

// The last calls are those of the ledger, as they stand.
func TestRecentCalls(t *testing.T) {
	u := newUsed(t)
	q := store.UsageQuery{UsageRange: models.LastDays(30, u.now), UserID: &u.ada}
	recent := func(q store.UsageQuery) []models.RecentCall {
		t.Helper()
		calls, err := u.s.RecentCalls(t.Context(), q, 10)
		require.NoError(t, err)
		return calls
	}
	require.Empty(t, recent(store.UsageQuery{UsageRange: q.UsageRange}), "of everybody")
	require.Empty(t, recent(store.UsageQuery{UsageRange: q.UsageRange, UserID: new(uuid.UUID)}))

	first := recent(q)
	require.Len(t, first, 10)
	for i, c := range first {
		if i > 0 {
			require.False(t, c.At.After(first[i-1].At), "the newest first")
		}
		require.Equal(t, 1, counted(t, u.db, `SELECT count(*) FROM usage_events WHERE corrects IS NULL AND user_id = $1 AND at = $2 AND model_id = $3`, u.ada, c.At, c.ModelID))
	}
	require.Zero(t, counted(t, u.db, "SELECT count(*) FROM usage_events WHERE user_id = $1 AND at > $2 AND at < $3", u.ada, first[0].At, q.Until))

	t.Run("what narrows usage narrows them", func(t *testing.T) {
		narrow := q
		narrow.ModelID, narrow.APIKeyID = first[3].ModelID, first[3].APIKeyID
		for _, c := range recent(narrow) {
			require.Equal(t, first[3].ModelID, c.ModelID)
			require.Equal(t, first[3].APIKeyID, c.APIKeyID)
		}
		narrow = q
		narrow.Until = models.UsageHour.Start(first[9].At)
		for _, c := range recent(narrow) {
			require.True(t, c.At.Before(narrow.Until))
		}
	})
	t.Run("what was corrected of a call counts", func(t *testing.T) {
		u.correct(first[0], u.ada, 0, 3, 5)
		again := recent(q)
		want := first[0]
		want.PromptTokens, want.Cost = want.PromptTokens+3, want.Cost+5
		require.Equal(t, want, again[0])
		require.Equal(t, first[1:], again[1:])
	})
	t.Run("a call that was found to be another's is his", func(t *testing.T) {
		u.correct(first[1], u.ada, -1, 0, 0)
		u.correct(first[1], u.bob, 1, 0, 0)
		again := recent(q)
		require.Len(t, again, 10)
		require.Equal(t, first[2], again[1])
		his := store.UsageQuery{UserID: &u.bob, UsageRange: models.UsageRange{From: first[1].At, Until: first[1].At.Add(time.Millisecond)}}
		require.Len(t, recent(his), 1)
	})
	t.Run("sums of days are no calls", func(t *testing.T) {
		u.exec("UPDATE usage_events SET source = 'daily' WHERE user_id = $1 AND at = $2", u.ada, first[2].At)
		require.Equal(t, first[3].At, recent(q)[1].At)
	})
}

// correct enters a correction of a call.
func (u used) correct(c models.RecentCall, whose uuid.UUID, requests, tokens int, cost models.USD) {
	u.t.Helper()
	u.exec(`INSERT INTO usage_events (id, at, corrects, source, request_id, call_id, key_hash, user_id, team_id, api_key_id, subscription_id, model_id, provider,
	       requests, failed, prompt_tokens, completion_tokens, cost, priced, latency_ms)
		SELECT gen_random_uuid(), at, id, 'pull', '', '', key_hash, $3, team_id, api_key_id, subscription_id, model_id, provider, $4, 0, $5, 0, $6, priced, 0
		FROM usage_events WHERE corrects IS NULL AND user_id = $1 AND at = $2`, u.ada, c.At, whose, requests, tokens, int64(cost))
}

// Quotas are those of subscriptions that are in use, as they stand this month.
func TestQuotaUse(t *testing.T) {
	w := newWorld(t)
	ada, bob := w.user("ada"), w.user("bob")
	use := func(of uuid.UUID) models.QuotaUse {
		t.Helper()
		got, err := w.s.QuotaUse(t.Context(), of)
		require.NoError(t, err)
		return got
	}
	require.Zero(t, use(ada))
	open, closed := w.sub(ada, "open", models.SubscriptionActive), w.sub(ada, "closed", models.SubscriptionSuspended)
	w.sub(ada, "gone", models.SubscriptionCancelled)
	w.sub(bob, "open", models.SubscriptionActive)
	w.exec("UPDATE subscriptions SET used_requests = 4, used_tokens = 100 WHERE user_id = $1", ada)
	require.Equal(t, models.QuotaUse{UsedRequests: 8, LimitRequests: 20, UsedTokens: 200, LimitTokens: 2000}, use(ada))
	w.exec("UPDATE subscriptions SET quota_requests = NULL WHERE id = $1", open)
	require.Equal(t, models.QuotaUse{UsedRequests: 4, LimitRequests: 10, UsedTokens: 200, LimitTokens: 2000}, use(ada), "what has no quota counts in neither")
	w.exec("UPDATE subscriptions SET reset_at = now() - interval '1 second' WHERE id = $1", closed)
	require.Equal(t, models.QuotaUse{LimitRequests: 10, UsedTokens: 100, LimitTokens: 2000}, use(ada), "last month's use is over")
}
