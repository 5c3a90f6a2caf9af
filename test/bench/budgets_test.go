package bench_test

import (
	"database/sql"
	"fmt"
	"io"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
	"github.com/litemaas/litemaas/models/store/storetest"
)

// benchBudgets measures what a pass over the budgets costs, of which few or none are touched.
func benchBudgets(b *testing.B, w io.Writer, n int) {
	fmt.Fprintf(w, `## Budgets

A pass of `+"`EnforceBudgets`"+` over %d budgets of users, as far as it is Postgres's and the rules': the question whether anything waits,
and the pages of 200 that are judged, until none is left. *Touched* are those that usage made due; *held* have spent all, and were told
of four thresholds. *Scans* are sequential scans of the table of budgets. The median of five passes.

| budgets | touched | held | pass | scans |
|---:|---:|---:|---:|---:|
`, n)
	b.Run(fmt.Sprintf("budgets-%d", n), func(b *testing.B) {
		progress("%d budgets", n)
		url := storetest.URL(b)
		s, err := store.Open(b.Context(), store.Config{URL: models.SecretOf(url), MaxConns: 8})
		require.NoError(b, err)
		defer s.Close()
		c := counting{b, s, storetest.SQL(b, url)}
		c.exec(`INSERT INTO users (id, username, email, oauth_provider, oauth_id, max_budget, budget_duration)
			SELECT gen_random_uuid(), 'user' || n, 'user' || n || '@example.com', 'oidc', 'user' || n, 1000, 'monthly' FROM generate_series(1, $1) n`, n)
		c.exec("UPDATE budgets SET due = true")
		c.pass()
		c.exec("VACUUM ANALYZE budgets")
		for _, step := range []struct{ touched, spent int }{{0, 0}, {1_000, 600}, {1_000, 1_000}} {
			c.measure(w, n, step.touched, step.spent)
		}
	})
	fmt.Fprintln(w)
}

// counting is a database with budgets.
type counting struct {
	b  *testing.B
	s  *store.Store
	db *sql.DB
}

func (c counting) exec(query string, args ...any) {
	c.b.Helper()
	_, err := c.db.Exec(query, args...)
	require.NoError(c.b, err)
}

// pass judges what is due, and says how many were.
func (c counting) pass() (judged int) {
	wait, err := c.s.BudgetsWait(c.b.Context(), time.Hour)
	require.NoError(c.b, err)
	for wait {
		page, err := c.s.JudgeBudgets(c.b.Context(), 200, nil, models.System("bench"))
		require.NoError(c.b, err)
		judged += len(page)
		wait = len(page) == 200
	}
	return judged
}

// measure measures passes after some budgets of n were touched, of each of which so much is spent.
func (c counting) measure(w io.Writer, n, touched, spent int) {
	const passes = 5
	times, scans := []time.Duration{}, 0
	for range passes {
		c.exec(`UPDATE budgets SET spent = $2, due = true, reached = 0, held = false WHERE id IN (SELECT id FROM budgets WHERE subject_type = 'user' AND amount > 0 ORDER BY id LIMIT $1)`, touched, spent)
		before := c.scans()
		began := time.Now()
		require.Equal(c.b, touched, c.pass())
		times = append(times, time.Since(began))
		time.Sleep(1200 * time.Millisecond) // what a connection has counted it tells once a second
		scans += c.scans() - before
	}
	slices.Sort(times)
	held := 0
	require.NoError(c.b, c.db.QueryRow("SELECT count(*) FROM budgets WHERE held").Scan(&held))
	fmt.Fprintf(w, "| %d | %d | %d | %.1f ms | %d |\n", n, touched, held, float64(times[passes/2].Microseconds())/1000, scans)
}

// scans is how often Postgres has read all of the table.
func (c counting) scans() (n int) {
	require.NoError(c.b, c.db.QueryRow("SELECT seq_scan FROM pg_stat_user_tables WHERE relname = 'budgets'").Scan(&n))
	return n
}
