package bench_test

import (
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
	"github.com/litemaas/litemaas/models/store/storetest"
)

const (
	spenders   = 1_000            // users, with a key each, of whom a tenth makes half of the calls
	offered    = 20               // models, of which each user calls two
	recording  = 10 * time.Second // of each measurement
	shownTwice = 20               // percent of the calls come a second time
)

// benchUsage measures how fast calls are put into the ledger, by batches as LiteLLM pushes them and
// by larger ones.
func benchUsage(b *testing.B, w io.Writer) {
	fmt.Fprintf(w, `## Recording usage

Calls into the ledger, in one transaction for each batch with their sums by the hour and the day, the quotas of their
subscriptions and the budgets that they count against, when they have just ended. %d users have a key each and two of %d models; a tenth of them makes half of the calls, and %d %% of the calls were told of before. *Told* are the
calls told of, *new* those that were not in the ledger; *each* is a batch's time, *CPU* this process for each thousand calls
told of; Postgres shares the cores. %s each.

| callers | batch | told | new | p50 each | p99 each | CPU |
|---:|---:|---:|---:|---:|---:|---:|
`, spenders, offered, shownTwice, recording)
	b.Run("usage", func(b *testing.B) {
		m := newMeter(b)
		for _, size := range []int{512, 5_000} {
			for _, callers := range []int{1, 4} {
				m.measure(b, w, callers, size)
			}
		}
		m.verify(b)
	})
	fmt.Fprintln(w)
}

// meter is where calls are recorded.
type meter struct {
	store  *store.Store
	db     *sql.DB
	hashes []string
}

func newMeter(b *testing.B) *meter {
	b.Helper()
	url := storetest.URL(b)
	s, err := store.Open(b.Context(), store.Config{URL: models.SecretOf(url), MaxConns: 20})
	require.NoError(b, err)
	b.Cleanup(s.Close)
	m := &meter{store: s, db: storetest.SQL(b, url)}
	for _, sql := range []string{
		`INSERT INTO models (id, provider, backend_model_name, api_base, litellm_model_id, deployment_ids, features, model_info, litellm_params,
			input_cost_per_token, output_cost_per_token)
		 SELECT 'model-' || i, 'openai', '', '', '', '[]', '[]', '{}', '{}', 0.000001, 0.000002 FROM generate_series(0, $2::int - 1) i WHERE $1::int > 0`,
		`INSERT INTO users (id, username, oauth_provider, oauth_id, observed_generation)
		 SELECT gen_random_uuid(), 'user ' || i, 'oidc', i::text, 1 FROM generate_series(1, $1::int) i WHERE $2::int > 0`,
		`INSERT INTO api_keys (id, user_id, team_id, name, alias, hash, prefix, sealed, observed_generation)
		 SELECT gen_random_uuid(), id, (SELECT id FROM teams LIMIT 1), 'key', id::text, encode(sha256(id::text::bytea), 'hex'), 'sk-abcd', '', 1
		 FROM users WHERE $1::int > 0 AND $2::int > 0`,
		`INSERT INTO subscriptions (id, user_id, model_id, status, status_changed_by, reset_at)
		 SELECT gen_random_uuid(), u.id, 'model-' || i, 'active', 'bench', date_trunc('month', now()) + interval '1 month'
		 FROM users u, generate_series(0, $2::int - 1) i WHERE $1::int > 0 AND (CASE WHEN u.username LIKE 'user %' THEN u.oauth_id::int END - i) % $2::int IN (0, 1)`,
	} {
		_, err := m.db.Exec(sql, spenders, offered)
		require.NoError(b, err)
	}
	rows, err := m.db.Query("SELECT id FROM users WHERE username LIKE 'user %' ORDER BY length(oauth_id), oauth_id")
	require.NoError(b, err)
	defer rows.Close()
	for rows.Next() {
		var id uuid.UUID
		require.NoError(b, rows.Scan(&id))
		sum := sha256.Sum256([]byte(id.String()))
		m.hashes = append(m.hashes, hex.EncodeToString(sum[:]))
	}
	require.NoError(b, rows.Err())
	_, err = m.db.Exec("VACUUM ANALYZE")
	require.NoError(b, err)
	return m
}

// batch is what one caller tells of, with some of what it told of before.
func (m *meter) batch(r *rand.Rand, before []models.UsageEvent, size int) []models.UsageEvent {
	batch := make([]models.UsageEvent, 0, size)
	if n := size * shownTwice / 100; len(before) > 0 {
		batch = append(batch, before[len(before)-n:]...)
	}
	now := time.Now()
	for len(batch) < size {
		user := r.IntN(len(m.hashes))
		if r.IntN(2) == 0 {
			user /= 10
		}
		latency := time.Duration(r.IntN(5_000)) * time.Millisecond
		id := fmt.Sprintf("chatcmpl-%016x%016x", r.Uint64(), r.Uint64())
		batch = append(batch, models.UsageEvent{
			RequestID: id, CallID: id[9:], KeyHash: m.hashes[user], Model: fmt.Sprintf("model-%d", (user+1-r.IntN(2)+offered)%offered), Provider: "openai",
			At: now.Add(-latency - time.Duration(r.IntN(1_000))*time.Millisecond), Latency: latency, Requests: 1,
			Prompt: int64(r.IntN(4_000)), Completion: int64(r.IntN(1_000)), Cost: new(models.USD(r.IntN(10_000_000))),
		})
	}
	return batch
}

func (m *meter) measure(b *testing.B, w io.Writer, callers, size int) {
	progress("usage in batches of %d by %d callers", size, callers)
	var told, fresh atomic.Int64
	times := make([][]float64, callers)
	until, cpu, begun := time.Now().Add(recording), cpuTime(), time.Now()
	var wg sync.WaitGroup
	for i := range callers {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(i), uint64(begun.UnixNano())))
			var batch []models.UsageEvent
			for time.Now().Before(until) {
				batch = m.batch(r, batch, size)
				start := time.Now()
				done, err := m.store.RecordEvents(b.Context(), batch, models.UsagePushed, models.System("bench"))
				if err != nil {
					b.Error(err)
					return
				}
				times[i] = append(times[i], float64(time.Since(start).Milliseconds()))
				told.Add(int64(len(batch)))
				fresh.Add(int64(done.New))
			}
		})
	}
	wg.Wait()
	wall, used := time.Since(begun).Seconds(), cpuTime()-cpu
	all := slices.Sorted(slices.Values(slices.Concat(times...)))
	require.NotEmpty(b, all)
	fmt.Fprintf(w, "| %d | %d | %.0f/s | %.0f/s | %.0f ms | %.0f ms | %.1f ms |\n", callers, size, float64(told.Load())/wall, float64(fresh.Load())/wall,
		all[len(all)/2], all[len(all)*99/100], float64(used.Microseconds())/float64(told.Load()))
}

// verify compares the sums with the calls.
func (m *meter) verify(b *testing.B) {
	var calls, hours, days, totals int
	require.NoError(b, m.db.QueryRow(`SELECT (SELECT sum(requests) FROM usage_events), (SELECT sum(requests) FROM usage_hours),
		(SELECT sum(requests) FROM usage_days), (SELECT sum(requests) FROM usage_totals)`).Scan(&calls, &hours, &days, &totals))
	require.Equal(b, []int{calls, calls, calls}, []int{hours, days, totals})
}
