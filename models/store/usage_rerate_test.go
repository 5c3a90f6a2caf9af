package store_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/models"
)

// price is one of a token.
func price(t *testing.T, s string) *models.Price {
	t.Helper()
	p, err := models.ParsePrice(s)
	require.NoError(t, err)
	return &p
}

// What was computed with a wrong price is set right, once, and only that; a dry run says the same
// and writes nothing.
func TestRerateUsage(t *testing.T) {
	m := newMeter(t)
	m.exec("UPDATE model_prices SET from_at = $1", m.now.Add(-100*time.Hour))
	unpriced := func(name, llm string, ago time.Duration) models.UsageEvent {
		return m.call(name, func(e *models.UsageEvent) { e.Cost, e.Model, e.At = nil, llm, m.now.Add(-ago) })
	}
	for i := range 30 {
		m.record(models.UsagePushed, unpriced(fmt.Sprint(i), "open", time.Duration(i)*time.Hour))
	}
	m.record(
		models.UsagePushed, unpriced("closed", "closed", 12*time.Hour), unpriced("unknown", "new", 12*time.Hour),
		m.call("said", func(e *models.UsageEvent) { e.At = m.now.Add(-3 * time.Hour) }), unpriced("edge", "open", 10*time.Hour),
	)
	all := models.Rerate{From: m.now.Add(-50 * time.Hour), Until: m.now.Add(time.Second)}
	report, err := m.s.RerateUsage(t.Context(), all, machine)
	require.NoError(t, err)
	require.Empty(t, report.Models, "the prices are as they were")

	require.NoError(t, m.s.SetModelPrice(t.Context(), "open", m.now.Add(-10*time.Hour), price(t, "0.001"), nil, machine))
	require.NoError(t, m.s.SetModelPrice(t.Context(), "open", m.now.Add(-10*time.Hour), price(t, "0.00001"), price(t, "0.00002"), machine))
	m.model("new")
	// 10 and 5 tokens cost 75 µ$ before, and 200 µ$ since; of the new model 75 µ$ from its first day on
	before := m.sum("cost", "true")
	want := []models.Rerated{{Model: "new", Calls: 1, New: 75_000}, {Model: "open", Calls: 12, Old: 12 * 75_000, New: 12 * 200_000}}
	dry := all
	dry.DryRun = true
	report, err = m.s.RerateUsage(t.Context(), dry, machine)
	require.NoError(t, err)
	require.Equal(t, want, report.Models)
	require.Equal(t, before, m.sum("cost", "true"))
	require.Zero(t, counted(t, m.db, "SELECT count(*) FROM usage_events WHERE source = 'rerate'"))

	one := all
	one.Model = "new"
	report, err = m.s.RerateUsage(t.Context(), one, machine)
	require.NoError(t, err)
	require.Equal(t, want[:1], report.Models)
	report, err = m.s.RerateUsage(t.Context(), all, machine)
	require.NoError(t, err)
	require.Equal(t, want[1:], report.Models)
	require.Equal(t, before+75_000+12*125_000, m.sum("cost", "true"))
	require.Equal(t, 34, m.sum("requests", "true"))
	m.summed()
	for range 2 {
		report, err = m.s.RerateUsage(t.Context(), all, machine)
		require.NoError(t, err)
		require.Empty(t, report.Models)
	}
	m.became(m.record(models.UsagePulled, m.call("0", func(e *models.UsageEvent) { e.At = m.now })), 0, 1, 0)
	require.Equal(t, 200_000, m.sum("cost", "request_id = '0'"), "it was set right on purpose")

	all.Reported = true
	report, err = m.s.RerateUsage(t.Context(), all, machine)
	require.NoError(t, err)
	require.Equal(t, []models.Rerated{{Model: "open", Calls: 1, Old: 1000, New: 200_000}}, report.Models)
	m.became(m.record(models.UsagePulled, m.call("said", func(e *models.UsageEvent) { e.At = m.now.Add(-3 * time.Hour) })), 0, 1, 0)
	m.summed()
	require.Equal(t, 14, counted(t, m.db, "SELECT sum((m ->> 'Calls')::int) FROM audit, jsonb_array_elements(detail -> 'models') m WHERE action = $1", models.AuditUsageRerate))
	for field, r := range map[string]models.Rerate{"from": {Until: m.now}, "until": {From: m.now, Until: m.now}} {
		_, err := m.s.RerateUsage(t.Context(), r, machine)
		refused(t, models.Invalid, err)
		var bad *models.Error
		require.ErrorAs(t, err, &bad)
		require.Equal(t, field, bad.Field)
	}
}

// A price is corrected for a time that was, and the log says so.
func TestSetModelPrice(t *testing.T) {
	m := newMeter(t)
	from := m.now.Add(-time.Hour)
	require.NoError(t, m.s.SetModelPrice(t.Context(), "open", from, price(t, "0.5"), nil, machine))
	prices, err := m.s.ModelPrices(t.Context(), "open")
	require.NoError(t, err)
	require.Len(t, prices, 2)
	require.Equal(t, "0.5", prices[1].Input.String())
	require.Nil(t, prices[1].Output)
	require.Equal(t, []models.AuditAction{models.AuditPriceSet}, audited(t, m.s, "open"))
	refused(t, models.NotFound, m.s.SetModelPrice(t.Context(), "none", from, nil, nil, machine))
	refused(t, models.Invalid, m.s.SetModelPrice(t.Context(), "open", m.now.Add(time.Hour), nil, nil, machine))
	m.exec("UPDATE models SET input_cost_per_token = 0.25 WHERE id = 'open'")
	m.exec("UPDATE models SET description = 'the same price' WHERE id = 'open'")
	prices, err = m.s.ModelPrices(t.Context(), "open")
	require.NoError(t, err)
	require.Len(t, prices, 3)
	require.Equal(t, "0.25", prices[0].Input.String())
}
