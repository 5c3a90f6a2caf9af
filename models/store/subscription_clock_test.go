package store_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/models"
)

// What has an end ends then, page by page, and its keys lose the model for good.
func TestExpireSubscriptions(t *testing.T) {
	w := newWorld(t)
	var last, key uuid.UUID
	for i := range 5 {
		u := w.user("user " + string(rune('a'+i)))
		last = w.ask(u, "open").ID
		key = w.key(u, "open")
	}
	w.exec("UPDATE subscriptions SET expires_at = now() + interval '1 hour'")
	n, _, err := w.s.ExpireSubscriptions(t.Context(), 2, machine)
	require.NoError(t, err)
	require.Zero(t, n)
	w.exec("UPDATE subscriptions SET expires_at = now()")
	for _, want := range []int{2, 2, 1, 0} {
		n, cs, err := w.s.ExpireSubscriptions(t.Context(), 2, machine)
		require.NoError(t, err)
		require.Equal(t, want, n)
		if want > 0 {
			require.Len(t, cs, 1)
			require.Equal(t, []int{want, want}, []int{cs[0].Subscriptions, cs[0].Keys})
		}
	}
	require.Equal(t, []string{models.SubscriptionActivated, models.SubscriptionEnded}, w.announced(last))
	require.Equal(t, models.AuditSubscriptionExpire, audited(t, w.s, last.String())[0])
	w.holds(key, false)
	w.sound()
}

// What nobody decides about is brought to mind once, and lapses.
func TestRequestsWait(t *testing.T) {
	w := newWorld(t)
	id := w.ask(w.user("ada"), "closed").ID
	const three, thirty = 3 * 24 * time.Hour, 30 * 24 * time.Hour
	remind := func() int {
		n, err := w.s.RemindApprovers(t.Context(), three, 10)
		require.NoError(t, err)
		return n
	}
	lapse := func() int {
		n, err := w.s.LapseRequests(t.Context(), thirty, 10, machine)
		require.NoError(t, err)
		return n
	}
	require.Zero(t, remind())
	w.exec("UPDATE subscriptions SET requested_at = now() - interval '3 days'")
	require.Equal(t, []int{1, 0, 0}, []int{remind(), remind(), lapse()})
	w.exec("UPDATE subscriptions SET requested_at = now() - interval '30 days'")
	require.Equal(t, []int{0, 1, 0}, []int{remind(), lapse(), lapse()})
	sub := w.read(id)
	require.Equal(t, models.SubscriptionInactive, sub.Status)
	require.Equal(t, "No decision was made in 30 days", sub.StatusReason)
	require.Equal(t, []string{models.SubscriptionRequested, models.SubscriptionReminder, models.SubscriptionEnded}, w.announced(id))

	wanted := w.wanted(w.user("bob"), "open")
	w.exec("UPDATE subscriptions SET requested_at = now() - interval '40 days' WHERE id = $1", wanted)
	require.Equal(t, []int{0, 0}, []int{remind(), lapse()}, "no admin is waited for")
	w.sound()
}

// An end is announced 30, 7 and 1 days ahead, each once, also to who asks late.
func TestNoticeExpiry(t *testing.T) {
	w := newWorld(t)
	id := w.ask(w.user("ada"), "open").ID
	for _, step := range []struct {
		left string
		want int
	}{
		{"31 days", 0}, {"30 days", 1}, {"29 days", 0}, {"8 days", 0}, {"6 days 23 hours", 1}, {"3 days", 0}, {"23 hours", 1}, {"1 minute", 0}, {"-1 minute", 0},
	} {
		w.exec("UPDATE subscriptions SET expires_at = now() + CAST($1 AS interval) WHERE id = $2", step.left, id)
		for _, want := range []int{step.want, 0} {
			n, err := w.s.NoticeExpiry(t.Context(), 10)
			require.NoError(t, err)
			require.Equal(t, want, n, step.left)
		}
	}
	require.Equal(t, []string{"30", "7", "1"}, w.words("SELECT string_agg(data ->> 'days', ' ' ORDER BY id) FROM outbox WHERE type = $1", models.SubscriptionExpires))
	late := w.ask(w.user("bob"), "open").ID
	w.exec("UPDATE subscriptions SET expires_at = now() + interval '2 hours' WHERE id = $1", late)
	n, err := w.s.NoticeExpiry(t.Context(), 10)
	require.NoError(t, err)
	require.Equal(t, 1, n)
	for i := range 5 {
		w.ask(w.user("user "+string(rune('a'+i))), "open")
	}
	w.exec("UPDATE subscriptions SET expires_at = now() + interval '20 days' WHERE noticed_days IS NULL")
	for _, want := range []int{3, 2, 0} {
		n, err := w.s.NoticeExpiry(t.Context(), 3)
		require.NoError(t, err)
		require.Equal(t, want, n)
	}
}

// Several clocks at once tell nobody twice.
func TestNoticesAtOnce(t *testing.T) {
	w := newWorld(t)
	for i := range 12 {
		w.ask(w.user("user "+string(rune('a'+i))), "open")
	}
	w.exec("UPDATE subscriptions SET expires_at = now() + interval '20 days'")
	for _, err := range atOnce(8, func(int) error {
		for range 4 {
			if _, err := w.s.NoticeExpiry(t.Context(), 5); err != nil {
				return err
			}
		}
		return nil
	}) {
		require.NoError(t, err)
	}
	require.Equal(t, 12, counted(t, w.db, "SELECT count(*) FROM outbox WHERE type = $1", models.SubscriptionExpires))
}
