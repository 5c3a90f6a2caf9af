package store_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/models"
)

// A window says what it found, and what LiteLLM does not know of; read again, also as a part of a longer
// one, it says what it ever found.
func TestUsageWindows(t *testing.T) {
	m := newMeter(t)
	until, err := m.s.UsageReadUntil(t.Context())
	require.NoError(t, err)
	require.True(t, until.IsZero())
	a, b := m.call("a", nil), m.call("b", nil)
	m.record(models.UsagePushed, a, b, m.call("before", func(e *models.UsageEvent) { e.At = m.now.Add(-time.Hour) }))
	m.record(models.UsagePulled, m.call("a", func(e *models.UsageEvent) { e.Prompt = 3 }))
	w := models.UsageWindow{From: m.now.Add(-time.Minute), Until: m.now, Source: models.UsagePulled, Read: 1, Corrected: 1}
	got, err := m.s.CloseUsageWindow(t.Context(), w, []uuid.UUID{a.ID()})
	require.NoError(t, err)
	require.Equal(t, 1, got.Extra)
	w.Corrected = 0
	got, err = m.s.CloseUsageWindow(t.Context(), w, nil)
	require.NoError(t, err)
	require.Equal(t, 2, got.Extra)
	w.Read = 2
	got, err = m.s.CloseUsageWindow(t.Context(), w, []uuid.UUID{a.ID(), b.ID()})
	require.NoError(t, err)
	require.False(t, got.CollectedAt.IsZero())
	got.From, got.Until, got.CollectedAt = got.From.UTC(), got.Until.UTC(), time.Time{}
	w.Corrected = 1
	require.Equal(t, w, got)

	_, err = m.s.CloseUsageWindow(t.Context(), models.UsageWindow{From: m.now.Add(-2 * time.Minute), Until: m.now, Source: models.UsagePulled, Missing: 3}, nil)
	require.NoError(t, err)
	list, err := m.s.UsageWindows(t.Context(), 10)
	require.NoError(t, err)
	require.Len(t, list, 1, "it holds the other")
	require.Equal(t, []int{3, 1}, []int{list[0].Missing, list[0].Corrected})

	_, err = m.s.CloseUsageWindow(t.Context(), models.UsageWindow{From: m.now.Add(-2 * time.Hour), Until: m.now.Add(-time.Hour), Source: models.UsageDaily}, nil)
	require.NoError(t, err)
	list, err = m.s.UsageWindows(t.Context(), 10)
	require.NoError(t, err)
	require.Len(t, list, 2)
	require.Equal(t, w.Until, list[0].Until.UTC())
	require.Equal(t, 1, list[0].Corrected)
	list, err = m.s.UsageWindows(t.Context(), 1)
	require.NoError(t, err)
	require.Len(t, list, 1)
}

// A gap shows until it is read; what was read long before is nobody's gap.
func TestUsageReadUntil(t *testing.T) {
	m := newMeter(t)
	read := func(from, until time.Duration) time.Duration {
		_, err := m.s.CloseUsageWindow(t.Context(), models.UsageWindow{From: m.now.Add(-from), Until: m.now.Add(-until), Source: models.UsagePulled}, nil)
		require.NoError(t, err)
		at, err := m.s.UsageReadUntil(t.Context())
		require.NoError(t, err)
		return m.now.Sub(at.UTC())
	}
	require.Equal(t, 800*time.Hour, read(900*time.Hour, 800*time.Hour))
	require.Equal(t, 50*time.Minute, read(60*time.Minute, 50*time.Minute))
	require.Equal(t, 40*time.Minute, read(55*time.Minute, 40*time.Minute))
	require.Equal(t, 40*time.Minute, read(30*time.Minute, 20*time.Minute), "a gap")
	require.Equal(t, 40*time.Minute, read(58*time.Minute, 52*time.Minute), "within")
	require.Equal(t, 20*time.Minute, read(40*time.Minute, 30*time.Minute))
}

// What was just recorded is told to those who count in memory, in order and once.
func TestRecentUsageAfter(t *testing.T) {
	m := newMeter(t)
	since := m.now.Add(-time.Hour)
	sums, place, err := m.s.RecentUsageAfter(t.Context(), 0, since)
	require.NoError(t, err)
	require.Empty(t, sums)
	m.record(
		models.UsagePushed, m.call("a", nil), m.call("b", func(e *models.UsageEvent) { e.Failed = 1 }),
		m.call("c", func(e *models.UsageEvent) { e.Model, e.Latency = `a "model"`, 0 }), m.call("old", func(e *models.UsageEvent) { e.At = m.now.Add(-80 * time.Minute) }),
	)
	m.record(models.UsagePushed, m.call("a", nil))
	m.record(models.UsagePushed, m.call("old too", func(e *models.UsageEvent) { e.At = m.now.Add(-80 * time.Minute) }))
	sums, place, err = m.s.RecentUsageAfter(t.Context(), place, since)
	require.NoError(t, err)
	require.Len(t, sums, 2)
	if sums[0].Model != "open" {
		sums[0], sums[1] = sums[1], sums[0]
	}
	key := uuid.MustParse(m.words("SELECT id FROM api_keys WHERE hash = $1", m.adaKey)[0])
	require.Equal(t, models.RecentUsage{
		At: m.now.Add(-750 * time.Millisecond).Unix(), UserID: m.ada, KeyID: key, Model: "open", Requests: 2, Failed: 1, Prompt: 20, Completion: 10, Cost: 2000, LatencyMS: 500,
	}, sums[0])
	require.Equal(t, `a "model"`, sums[1].Model)
	require.Equal(t, m.now.Add(-time.Second).Unix(), sums[1].At)
	m.record(models.UsagePulled, m.call("a", func(e *models.UsageEvent) { e.Prompt = 4 }))
	sums, place, err = m.s.RecentUsageAfter(t.Context(), place, since)
	require.NoError(t, err)
	require.Len(t, sums, 1)
	require.Equal(t, []int64{0, -6}, []int64{sums[0].Requests, sums[0].Prompt})
	sums, again, err := m.s.RecentUsageAfter(t.Context(), place, since)
	require.NoError(t, err)
	require.Empty(t, sums)
	require.Equal(t, place, again)

	m.exec("TRUNCATE usage_recent RESTART IDENTITY") // as a crash does
	m.record(models.UsagePushed, m.call("d", nil))
	sums, again, err = m.s.RecentUsageAfter(t.Context(), place, since)
	require.NoError(t, err)
	require.Len(t, sums, 1)
	require.EqualValues(t, 1, again)
	sums, _, err = m.s.RecentUsageAfter(t.Context(), 0, m.now.Add(time.Hour))
	require.NoError(t, err)
	require.Empty(t, sums)
}

// The days to come are made once; what nobody looks at any more goes.
func TestUsagePartitions(t *testing.T) {
	m := newMeter(t)
	made, err := m.s.EnsureUsagePartitions(t.Context(), 5)
	require.NoError(t, err)
	require.Positive(t, made)
	for ahead := range 6 {
		require.Equal(t, 1, counted(t, m.db, "SELECT count(*) FROM pg_class WHERE relname = $1", "usage_events_"+m.now.AddDate(0, 0, ahead).Format("20060102")))
	}
	made, err = m.s.EnsureUsagePartitions(t.Context(), 5)
	require.NoError(t, err)
	require.Zero(t, made)
	for i, err := range atOnce(8, func(i int) error {
		_, err := m.s.RecordEvents(t.Context(), []models.UsageEvent{m.call("x", func(e *models.UsageEvent) { e.At = m.now.AddDate(0, 0, -10-i%2) })}, models.UsagePushed, machine)
		return err
	}) {
		require.NoError(t, err, i)
	}
	m.exec("UPDATE usage_hours SET bucket = bucket - interval '401 days' WHERE bucket < now() - interval '10 days 12 hours'")
	m.exec("INSERT INTO usage_recent (at, sums) SELECT now() - m * interval '1 minute', '[]' FROM unnest(ARRAY[1, 69, 71, 500]) m")
	m.exec(`INSERT INTO usage_windows (from_at, until_at, source, read, missing, corrected, extra)
		SELECT now() - d * interval '1 day', now() - d * interval '1 day', 'pull', 0, 0, 0, 0 FROM unnest(ARRAY[1, 99, 101]) d`)
	for _, want := range [][3]int{{1, 2, 1}, {0, 0, 0}} {
		f, err := m.s.ForgetUsage(t.Context())
		require.NoError(t, err)
		require.Equal(t, want, [3]int{f.Hours, f.Recent, f.Windows})
	}
}
