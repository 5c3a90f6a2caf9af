package bench_test

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store/storetest"
)

const (
	readers     = 4    // of usage, at a time
	usageDays   = 90   // that the calls are spread over
	usageUsers  = 1000 // each with three keys
	usageLLMs   = 20
	usageProofs = 50 // users whose figures are compared
)

// benchUsageReads measures what users, and admins, read of the ledger.
func benchUsageReads(b *testing.B, w io.Writer, recorded int) {
	fmt.Fprintf(w, `## Reading usage

What users read of a ledger of %d calls over %d days, by %d users with three keys each, to %d models; a tenth of the keys makes
half of the calls. %d callers on open connections ask, each user once, for his own; *everybody* is an admin who asks for the
usage of all. Before, the sums of %d users and of everybody were compared with those of plain SQL over the calls: they are equal.

| request | of | asked | p50 | p99 |
|---|---|---:|---:|---:|
`, recorded, usageDays, usageUsers, usageLLMs, readers, usageProofs)
	b.Run("usage-reads", func(b *testing.B) { benchLedger(b, w, recorded) })
	fmt.Fprintln(w)
}

func benchLedger(b *testing.B, w io.Writer, recorded int) {
	progress("%d calls in the ledger", recorded)
	address := storetest.URL(b)
	db := storetest.SQL(b, address)
	crowd := newCrowd(b, address, usageUsers*models.MaxSessions, 1)
	for _, query := range []string{
		`INSERT INTO models (id, provider, backend_model_name, api_base, litellm_model_id, deployment_ids, features, model_info, litellm_params)
			SELECT 'model-' || n, 'openai', '', '', '', '[]', '[]', '{}', '{}' FROM generate_series(1, $1::int) n WHERE $2::int > 0`,
		`INSERT INTO subscriptions (id, user_id, model_id, status, status_changed_by, quota_requests, quota_tokens, used_requests, used_tokens, reset_at)
			SELECT gen_random_uuid(), u.id, 'model-' || n, 'active', 'system', 10000, 1000000, 1234, 56789, now() + interval '1 day'
			FROM users u, generate_series(1, $1::int / 4) n WHERE u.username LIKE 'person-%' AND $2::int > 0`,
		`INSERT INTO api_keys (id, user_id, name, alias, hash, prefix, sealed, observed_generation)
			SELECT gen_random_uuid(), u.id, 'key', u.id::text || n, encode(sha256((u.id::text || n)::bytea), 'hex'), 'sk-abcd', '', 1
			FROM users u, generate_series(1, 3) n WHERE u.username LIKE 'person-%' AND $1::int > 0 AND $2::int > 0`,
		`INSERT INTO user_roles (user_id, role_id, source, granted_by) SELECT DISTINCT user_id, 'admin', 'manual', 'bench' FROM sessions WHERE $1::int > 0 AND $2::int > 0`,
	} {
		_, err := db.ExecContext(b.Context(), query, usageLLMs, usageUsers)
		require.NoError(b, err)
	}
	began := time.Now()
	unindexed(b, db, func() { storetest.Usage(b, db, recorded, usageDays) })
	_, err := db.ExecContext(b.Context(), "VACUUM ANALYZE")
	require.NoError(b, err)
	progress("they are there after %s", time.Since(began).Round(time.Second))
	ours, stop := crowd.serve(b, address, true)
	defer stop()
	crowd.proves(b, db, ours)
	for _, path := range []string{
		"summary", "summary?timeRange=90d", "timeseries", "timeseries?timeRange=90d&interval=hour", "metrics", "metrics?timeRange=90d", "top", "dashboard", "dashboard?timeRange=45d",
	} {
		took := timed(b, ours+"/api/v1/usage/"+path, crowd.headers)
		fmt.Fprintf(w, "| `GET /usage/%s` | themselves | %d | %s | %s |\n", path, len(took), ms(took[len(took)/2]), ms(took[len(took)*99/100]))
	}
	for _, path := range []string{"summary?scope=all", "timeseries?scope=all", "dashboard?scope=all", "summary?scope=all&timeRange=90d"} {
		took := timed(b, ours+"/api/v1/usage/"+path, slices.Repeat(crowd.headers[:1], 40))
		fmt.Fprintf(w, "| `GET /usage/%s` | everybody | %d | %s | %s |\n", path, len(took), ms(took[len(took)/2]), ms(took[len(took)*99/100]))
	}
}

// unindexed takes the indexes off the ledger while fn fills it, as that takes minutes else.
func unindexed(b *testing.B, db *sql.DB, fn func()) {
	b.Helper()
	rows, err := db.QueryContext(b.Context(), `
		WITH ledger AS (SELECT unnest('{usage_events,usage_hours,usage_days,usage_totals}'::regclass[]) AS id)
		SELECT format('ALTER TABLE %s DROP CONSTRAINT %I', conrelid::regclass, conname),
		       format('ALTER TABLE %s ADD CONSTRAINT %I %s', conrelid::regclass, conname, pg_get_constraintdef(oid))
		FROM pg_constraint WHERE contype = 'p' AND conrelid IN (SELECT id FROM ledger)
		UNION ALL
		SELECT format('DROP INDEX %s', indexrelid::regclass), replace(pg_get_indexdef(indexrelid), ' ON ONLY ', ' ON ')
		FROM pg_index WHERE NOT indisprimary AND indrelid IN (SELECT id FROM ledger)`)
	require.NoError(b, err)
	defer rows.Close()
	before, after := []string{}, []string{"SET maintenance_work_mem = '256MB'"}
	for rows.Next() {
		var drop, restore string
		require.NoError(b, rows.Scan(&drop, &restore))
		before, after = append(before, drop), append(after, restore)
	}
	require.NoError(b, rows.Err())
	conn, err := db.Conn(b.Context())
	require.NoError(b, err)
	defer conn.Close()
	run := func(list []string) {
		for _, query := range list {
			_, err := conn.ExecContext(b.Context(), query)
			require.NoError(b, err, query)
		}
	}
	run(before)
	fn()
	run(after)
}

// proves requires that what we say is what plain SQL adds up.
func (c *crowd) proves(b *testing.B, db *sql.DB, ours string) {
	b.Helper()
	type sums struct{ Requests, FailedRequests, PromptTokens, CompletionTokens, Cost json.Number }
	const query = `SELECT coalesce(sum(requests), 0)::text, coalesce(sum(failed), 0)::text, coalesce(sum(prompt_tokens), 0)::text,
		coalesce(sum(completion_tokens), 0)::text, trim_scale(coalesce(sum(cost), 0) / 1000000000.0)::text FROM usage_events `
	equal := func(header, path, where string, args ...any) {
		var want sums
		require.NoError(b, db.QueryRowContext(b.Context(), query+where, args...).Scan(&want.Requests, &want.FailedRequests, &want.PromptTokens, &want.CompletionTokens, &want.Cost))
		var got struct{ Totals sums }
		require.NoError(b, json.Unmarshal(load(b, ours+"/api/v1/usage/"+path, 0, header).body, &got))
		require.Equal(b, want, got.Totals, path)
	}
	equal(c.headers[0], "summary?scope=all&timeRange=90d", "")
	for _, header := range c.headers[:min(usageProofs, len(c.headers))] {
		equal(header, "summary?timeRange=90d", "WHERE user_id = $1", c.people[header].ID)
	}
}

// timed asks for url once in the name of each, and returns how long each took, sorted.
func timed(b *testing.B, url string, headers []string) []time.Duration {
	b.Helper()
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: readers}}
	defer client.CloseIdleConnections()
	took := make([]time.Duration, len(headers))
	var wg sync.WaitGroup
	var next atomic.Int64
	for range readers {
		wg.Go(func() {
			for i := next.Add(1) - 1; int(i) < len(headers); i = next.Add(1) - 1 {
				began := time.Now()
				if !fetch(b, client, url, headers[i]) {
					return
				}
				took[i] = time.Since(began)
			}
		})
	}
	wg.Wait()
	slices.Sort(took)
	return took
}
