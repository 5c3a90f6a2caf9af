package main

import (
	"bytes"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/workflows"
)

// A length of time is given by days or times, ends now at the latest, and is none if it ends before it
// begins.
func TestSpan(t *testing.T) {
	now := time.Date(2026, 11, 26, 12, 0, 0, 500, time.FixedZone("", 3600))
	for _, test := range []struct{ from, to, wantFrom, wantTo, says string }{
		{"2026-11-01", "2026-11-02", "2026-11-01T00:00:00Z", "2026-11-02T00:00:00Z", ""},
		{"2026-11-01T08:00:00+01:00", "", "2026-11-01T07:00:00Z", "2026-11-26T11:00:00Z", ""},
		{"2026-11-01", "2027-01-01", "2026-11-01T00:00:00Z", "2026-11-26T11:00:00Z", ""},
		{"", "", "", "", "--from must be a day"},
		{"2026-11-01", "tomorrow", "", "", "--to must be a day"},
		{"2026-11-02", "2026-11-01", "", "", "--from must be before --to"},
		{"2027-01-01", "", "", "", "before 2026-11-26T11:00:00Z"},
	} {
		from, until, err := (&span{test.from, test.to}).read(now)
		if test.says != "" {
			require.ErrorContains(t, err, test.says)
			require.True(t, aboutConfig(err))
			continue
		}
		require.NoError(t, err)
		require.Equal(t, test.wantFrom, from.Format(time.RFC3339))
		require.Equal(t, test.wantTo, until.Format(time.RFC3339))
	}
}

// The reports say what was read, how it compared, and what calls cost now.
func TestUsageReports(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, writeWindows(&out, nil))
	require.Contains(t, out.String(), "never read")
	at := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	require.NoError(t, writeWindows(&out, []models.UsageWindow{{From: at, Until: at.Add(time.Minute), Source: models.UsagePulled, Read: 11, Missing: 22, Corrected: 33, Extra: 44, CollectedAt: at}}))
	require.Regexp(t, `2026-11-26T12:00:00Z +2026-11-26T12:01:00Z +pull +11 +22 +33 +44 `, out.String())

	writeBackfilled(&out, workflows.UsageReport{From: at, Until: at.Add(time.Hour), Windows: 1, Read: 12, Missing: 7})
	require.Contains(t, out.String(), "Read 12 calls from 2026-11-26T12:00:00Z until 2026-11-26T13:00:00Z, in 1 window.")
	require.Contains(t, out.String(), "       7  were missing")

	require.NoError(t, writeRerated(&out, models.RerateReport{}, true))
	require.Contains(t, out.String(), "All calls cost what they should.")
	require.NoError(t, writeRerated(&out, models.RerateReport{Models: []models.Rerated{{Model: "gpt-4o", Calls: 3, Old: models.Dollar, New: 3 * models.Dollar}}}, true))
	require.Regexp(t, `gpt-4o +3 +1 +3 +2\n\nNothing was changed`, out.String())
}

// A secret that can be guessed is none.
func TestUsageSettings(t *testing.T) {
	clean(t)
	c, err := read(t)
	require.NoError(t, err)
	require.True(t, c.Usage.PushSecret.IsZero())
	c, err = read(t, "--set", "usage.push_secret=a-secret-of-litellm")
	require.NoError(t, err)
	require.Equal(t, "a-secret-of-litellm", c.Usage.PushSecret.Reveal())
	_, err = read(t, "--set", "usage.push_secret=short")
	var e *models.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, "usage.push_secret", e.Field)
	require.NotContains(t, err.Error(), "short")
}
