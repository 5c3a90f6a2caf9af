package models_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/models"
)

// Every step that a subscription may take, and no other.
func TestSubscriptionSteps(t *testing.T) {
	want := map[models.SubscriptionStep]string{
		models.StepRenew:     "expired>pending inactive>pending cancelled>pending",
		models.StepProvision: "pending>active",
		models.StepRefuse:    "pending>pending pending>inactive",
		models.StepApprove:   "pending>active",
		models.StepDeny:      "pending>denied active>denied",
		models.StepReview:    "denied>pending",
		models.StepRevert:    "pending>active pending>denied active>pending active>denied denied>pending denied>active",
		models.StepCancel:    "pending>inactive active>inactive suspended>inactive denied>inactive",
		models.StepExpire:    "pending>expired active>expired suspended>expired",
		models.StepLapse:     "pending>inactive",
		models.StepVanish:    "active>inactive suspended>inactive",
		models.StepRestrict:  "active>pending suspended>pending",
		models.StepSuspend:   "active>suspended",
		models.StepResume:    "suspended>active",
		models.StepRestore:   "pending>active denied>pending denied>active inactive>pending inactive>active",
		models.StepRelease:   "pending>active",
	}
	for step, moves := range want {
		var got []string
		for _, from := range models.SubscriptionStatuses() {
			for _, to := range models.SubscriptionStatuses() {
				if step.Leads(from, to) {
					require.Contains(t, step.Sources(), from)
					got = append(got, fmt.Sprintf("%s>%s", from, to))
				}
			}
		}
		require.ElementsMatch(t, strings.Fields(moves), got, step)
		require.NotEmpty(t, step.Action(), step)
	}
	require.Empty(t, models.SubscriptionStep("none").Sources())
	require.False(t, models.SubscriptionStep("none").Leads("pending", "active"))
}

// A quota is used up when either is; without one, nothing is used up.
func TestExceeded(t *testing.T) {
	sub := models.Subscription{UsedRequests: 10, UsedTokens: 100}
	require.False(t, sub.Exceeded())
	sub.QuotaRequests, sub.QuotaTokens = new(int64(11)), new(int64(101))
	require.False(t, sub.Exceeded())
	sub.UsedTokens++
	require.True(t, sub.Exceeded())
	sub.UsedTokens, sub.UsedRequests = 0, 11
	require.True(t, sub.Exceeded())
}

// A wish is an approval when it is an admin's: not the owner's own, nor the system's.
func TestApproved(t *testing.T) {
	u := uuid.New()
	for by, want := range map[string]bool{u.String(): false, "system": false, uuid.NewString(): true, "ops-key": true} {
		require.Equal(t, want, models.Subscription{UserID: u, Wanted: models.SubscriptionActive, WantedBy: by}.Approved(), by)
		require.False(t, models.Subscription{UserID: u, WantedBy: by}.Approved(), "nothing is wanted")
	}
	waiting := models.Subscription{Status: models.SubscriptionPending}
	require.True(t, waiting.Waiting())
	require.True(t, waiting.Settled())
	waiting.Wanted = models.SubscriptionActive
	require.False(t, waiting.Waiting())
	require.False(t, waiting.Settled())
}

// Use is counted by calendar months of UTC.
func TestQuotaReset(t *testing.T) {
	tokyo := time.FixedZone("JST", 9*3600)
	for at, want := range map[time.Time]string{
		time.Date(2026, 1, 31, 23, 59, 59, 999, time.UTC): "2026-02-01T00:00:00Z",
		time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC):       "2026-03-01T00:00:00Z",
		time.Date(2026, 12, 24, 0, 0, 0, 0, time.UTC):     "2027-01-01T00:00:00Z",
		time.Date(2026, 3, 1, 8, 0, 0, 0, tokyo):          "2026-03-01T00:00:00Z",
	} {
		require.Equal(t, want, models.QuotaReset(at).Format(time.RFC3339))
	}
	now := time.Date(2026, 5, 5, 0, 0, 0, 0, time.UTC)
	sub := models.Subscription{UsedRequests: 1, UsedTokens: 2, ResetAt: models.QuotaReset(now)}
	sub.Roll(now)
	require.EqualValues(t, 1, sub.UsedRequests)
	sub.Roll(sub.ResetAt)
	require.Zero(t, sub.UsedRequests)
	require.Zero(t, sub.UsedTokens)
	require.Equal(t, "2026-07-01T00:00:00Z", sub.ResetAt.Format(time.RFC3339))
}

// What was given up, or was over, is not undone.
func TestFinalCauses(t *testing.T) {
	for cause, want := range map[models.CascadeCause]bool{
		models.CauseCancelled: true, models.CauseExpired: true, models.CauseLapsed: true, models.CauseDeleted: true,
		models.CauseDenied: false, models.CauseReverted: false, models.CauseUnavailable: false, models.CauseRestricted: false,
		models.CauseQuota: false, models.CauseOffboarded: false, models.CauseAdmin: false,
	} {
		require.Equal(t, want, slices.Contains(models.FinalCauses(), cause), cause)
	}
	require.True(t, models.Cascade{Generation: 2, ObservedGeneration: 2}.Settled())
	require.False(t, models.Cascade{Generation: 2, ObservedGeneration: 1}.Settled())
}
