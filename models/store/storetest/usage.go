package storetest

import (
	"context"
	"database/sql"
	"testing"

	"github.com/stretchr/testify/require"
)

// callsSQL enters the calls of one day: of all keys, a tenth of which makes half of them, each to
// three of the models, most of them by day; some fail, and some are corrected.
const callsSQL = `
	WITH k AS MATERIALIZED (
		SELECT (row_number() OVER (ORDER BY k.id))::int - 1 AS n, k.id, k.user_id, k.hash, coalesce(k.team_id, '00000000-0000-0000-0000-000000000000') AS team_id
		FROM api_keys k
	), m AS MATERIALIZED (SELECT (row_number() OVER (ORDER BY id))::int - 1 AS n, id, provider FROM models
	), c AS MATERIALIZED (
		SELECT floor(power(random(), 3) * (SELECT count(*) FROM k))::int AS key, floor(power(random(), 2) * 3)::int AS choice,
		       $1::timestamptz + trunc((random() + random()) * 43199999) * interval '1 millisecond' AS at,
		       (random() < 0.03)::int AS failed, (random() * 4000)::int AS prompt, (random() * 1000)::int AS completion, (random() * 5000)::int AS latency
		FROM generate_series(1, $2::int)
	)
	INSERT INTO usage_events (id, at, source, request_id, call_id, key_hash, user_id, team_id, api_key_id, subscription_id, model_id, provider,
	       requests, failed, prompt_tokens, completion_tokens, cost, priced, latency_ms)
	SELECT gen_random_uuid(), c.at, 'push', '', '', k.hash, k.user_id, k.team_id, k.id, coalesce(s.id, '00000000-0000-0000-0000-000000000000'), m.id, m.provider,
	       1, c.failed, c.prompt, (1 - c.failed) * c.completion, (1 - c.failed) * (c.prompt * 2500 + c.completion * 10000), 'reported', c.latency
	FROM c JOIN k ON k.n = c.key JOIN m ON m.n = (c.key * 7 + c.choice) % (SELECT count(*) FROM m)
	LEFT JOIN subscriptions s ON s.user_id = k.user_id AND s.model_id = m.id`

// correctionsSQL corrects one in a hundred calls of a day.
const correctionsSQL = `
	INSERT INTO usage_events (id, at, corrects, source, request_id, call_id, key_hash, user_id, team_id, api_key_id, subscription_id, model_id, provider,
	       requests, failed, prompt_tokens, completion_tokens, cost, priced, latency_ms)
	SELECT gen_random_uuid(), at, id, 'pull', '', '', key_hash, user_id, team_id, api_key_id, subscription_id, model_id, provider,
	       0, 0, 7, 0, -cost / 10, 'reported', 0
	FROM usage_events WHERE at >= $1::timestamptz AND at < $1::timestamptz + interval '1 day' AND random() < 0.01`

// The sums of a day, by the hour, and of these, for each and for everybody.
const (
	totalsSQL = `
		INSERT INTO usage_totals
		SELECT bucket, model_id, provider, sum(requests), sum(failed), sum(prompt_tokens), sum(completion_tokens), sum(cost), sum(latency_ms)
		FROM usage_hours WHERE bucket >= $1::timestamptz AND bucket < $1::timestamptz + interval '1 day'
		GROUP BY bucket, model_id, provider`
	hoursSQL = `
		INSERT INTO usage_hours
		SELECT date_trunc('hour', at, 'UTC') AS hour, user_id, team_id, api_key_id, min(subscription_id::text)::uuid, model_id, provider,
		       sum(requests), sum(failed), sum(prompt_tokens), sum(completion_tokens), sum(cost), sum(latency_ms)
		FROM usage_events WHERE at >= $1::timestamptz AND at < $1::timestamptz + interval '1 day'
		GROUP BY hour, user_id, team_id, api_key_id, model_id, provider`
	daysSQL = `
		INSERT INTO usage_days
		SELECT date_trunc('day', bucket, 'UTC') AS day, user_id, team_id, api_key_id, min(subscription_id::text)::uuid, model_id, provider,
		       sum(requests), sum(failed), sum(prompt_tokens), sum(completion_tokens), sum(cost), sum(latency_ms)
		FROM usage_hours WHERE bucket >= $1::timestamptz AND bucket < $1::timestamptz + interval '1 day'
		GROUP BY day, user_id, team_id, api_key_id, model_id, provider`
)

// Usage enters calls with the keys that are there, of the models that are there, evenly over the
// last days of UTC, today being one of them, with their sums. Each time they are the same, but for
// the day and the ids.
func Usage(tb testing.TB, db *sql.DB, calls, days int) {
	tb.Helper()
	ctx := context.Background()
	conn, err := db.Conn(ctx)
	require.NoError(tb, err)
	defer func() { _ = conn.Close() }()
	run := func(query string, args ...any) {
		tb.Helper()
		_, err := conn.ExecContext(ctx, query, args...)
		require.NoError(tb, err)
	}
	var first string
	require.NoError(tb, conn.QueryRowContext(ctx, "SELECT (now() AT TIME ZONE 'UTC')::date - $1::int", days-1).Scan(&first))
	run("SET timezone = 'UTC'")
	run("SET session_replication_role = replica")
	run("SET work_mem = '256MB'")
	run("SELECT setseed(0.5), make_usage_partitions($1::date, $1::date + $2::int)", first, days)
	for i := range days {
		var day string
		require.NoError(tb, conn.QueryRowContext(ctx, "SELECT $1::date + $2::int", first, i).Scan(&day))
		run(callsSQL, day, calls/days)
		run(correctionsSQL, day)
		run(hoursSQL, day)
		run(daysSQL, day)
		run(totalsSQL, day)
	}
	run("RESET ALL")
	run("ANALYZE usage_events, usage_hours, usage_days, usage_totals")
}
