package store_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
)

// Of two admins who decide at the same moment, one wins, and the other is told who it was, and
// what he decided.
func TestRulingsAtOnce(t *testing.T) {
	w := newWorld(t)
	admins := []models.Actor{{ID: w.user("root").String()}, {ID: w.user("boss").String()}}
	names := []string{"root", "boss"}
	approve := func(id uuid.UUID, by models.Actor, seen time.Time) error {
		_, err := w.s.ApproveSubscription(t.Context(), id, models.Ruling{SeenAt: seen}, by)
		return err
	}
	deny := func(id uuid.UUID, by models.Actor, seen time.Time) error {
		_, _, err := w.s.DenySubscription(t.Context(), id, models.Ruling{Reason: "no", SeenAt: seen}, by)
		return err
	}
	pending := func(id uuid.UUID, by models.Actor, seen time.Time) error {
		_, _, err := w.s.RevertSubscription(t.Context(), id, models.SubscriptionPending, models.Ruling{SeenAt: seen}, by)
		return err
	}
	type ruling func(uuid.UUID, models.Actor, time.Time) error
	for name, tc := range map[string]struct {
		state string
		do    [2]ruling
		words [2]string // what the other is told
	}{
		"approve and approve": {"waiting", [2]ruling{approve, approve}, [2]string{"approved it", "approved it"}},
		"approve and deny":    {"waiting", [2]ruling{approve, deny}, [2]string{"approved it", "made it denied"}},
		"deny and deny":       {"active", [2]ruling{deny, deny}, [2]string{"made it denied", "made it denied"}},
		"deny and revert":     {"active", [2]ruling{deny, pending}, [2]string{"made it denied", "made it pending"}},
	} {
		t.Run(name, func(t *testing.T) {
			for round := range 10 {
				id := w.in(w.user(name+strings.Repeat("x", round)), tc.state)
				seen := time.Now()
				errs := atOnce(2, func(i int) error { return tc.do[i](id, admins[i], seen) })
				require.NotEqual(t, errs[0] == nil, errs[1] == nil, "%v", errs)
				lost := 0
				if errs[1] != nil {
					lost = 1
				}
				refused(t, models.Conflict, errs[lost])
				require.ErrorContains(t, errs[lost], names[1-lost]+" "+tc.words[1-lost]+" at "+time.Now().UTC().Format("2006-01-02"))
			}
		})
	}
	w.sound()
}

// A decision is refused when another admin decided after the list was read; one's own, and what
// others do who are no admins, is in nobody's way.
func TestRulingSeenAt(t *testing.T) {
	w := newWorld(t)
	u := w.user("ada")
	root, boss := models.Actor{ID: w.user("root").String()}, models.Actor{ID: "ops-key"}
	id := w.in(u, "active")
	read := time.Now().Add(-time.Second)
	_, _, err := w.s.DenySubscription(t.Context(), id, models.Ruling{Reason: "no", SeenAt: read}, root)
	require.NoError(t, err)
	_, _, err = w.s.RevertSubscription(t.Context(), id, models.SubscriptionPending, models.Ruling{SeenAt: read}, boss)
	refused(t, models.Conflict, err)
	require.ErrorContains(t, err, "root made it denied at")
	_, _, err = w.s.RevertSubscription(t.Context(), id, models.SubscriptionPending, models.Ruling{SeenAt: read}, root)
	require.NoError(t, err, "it was his own")
	_, _, err = w.s.CancelSubscription(t.Context(), u, id, self(u))
	require.NoError(t, err)
	_, err = w.s.RequestSubscription(t.Context(), store.NewSubscription{UserID: u, ModelID: "closed"}, self(u))
	require.NoError(t, err)
	waiting := w.in(w.user("bob"), "waiting")
	_, err = w.s.ApproveSubscription(t.Context(), waiting, models.Ruling{SeenAt: read}, boss)
	require.NoError(t, err, "that its owner asked later is no decision")
	_, _, err = w.s.DenySubscription(t.Context(), waiting, models.Ruling{Reason: "no", SeenAt: read}, root)
	refused(t, models.Conflict, err)
	require.ErrorContains(t, err, "ops-key approved it at")
	_, _, err = w.s.DenySubscription(t.Context(), waiting, models.Ruling{Reason: "no", SeenAt: time.Now()}, root)
	require.NoError(t, err, "now he has seen it")
	w.sound()
}

// Nobody decides about a subscription of his own, and nobody about what is not there.
func TestRulingsRefused(t *testing.T) {
	w := newWorld(t)
	admin := w.user("root")
	root := models.Actor{ID: admin.String()}
	own := w.in(admin, "waiting")
	w.exec("UPDATE subscriptions SET model_id = 'closed' WHERE id = $1", own)
	gone := w.sub(w.user("bob"), "gone", models.SubscriptionPending)
	d := models.Ruling{Reason: "because"}
	for id, kind := range map[uuid.UUID]models.Kind{own: models.Forbidden, uuid.New(): models.NotFound} {
		_, err := w.s.ApproveSubscription(t.Context(), id, d, root)
		refused(t, kind, err)
		_, _, err = w.s.DenySubscription(t.Context(), id, d, root)
		refused(t, kind, err)
		_, _, err = w.s.RevertSubscription(t.Context(), id, models.SubscriptionActive, d, root)
		refused(t, kind, err)
		_, err = w.s.DeleteSubscription(t.Context(), id, "because", root)
		refused(t, kind, err)
	}
	_, err := w.s.ApproveSubscription(t.Context(), gone, d, root)
	refused(t, models.Conflict, err)
	require.ErrorContains(t, err, "model gone is not available now")
	_, _, err = w.s.RevertSubscription(t.Context(), gone, models.SubscriptionActive, d, root)
	refused(t, models.Conflict, err)

	_, _, err = w.s.RevertSubscription(t.Context(), gone, models.SubscriptionExpired, d, root)
	refused(t, models.Invalid, err)

	stranger := w.user("eve")
	_, _, err = w.s.CancelSubscription(t.Context(), stranger, own, self(stranger))
	refused(t, models.NotFound, err)
	_, err = w.s.ReviewSubscription(t.Context(), stranger, own, self(stranger))
	refused(t, models.NotFound, err)
	_, _, err = w.s.EditSubscription(t.Context(), stranger, own, store.SubscriptionEdit{QuotaRequests: new(int64(1))}, self(stranger))
	refused(t, models.NotFound, err)
	require.Equal(t, 1, counted(t, w.db, "SELECT count(*) FROM subscription_status_history WHERE subscription_id = $1", own))
}

// What a denial took is given back when it is taken back; a denial that is taken back for the
// question to be asked again does not stand.
func TestRevertGivesBack(t *testing.T) {
	w := newWorld(t)
	u, root := w.user("ada"), models.Actor{ID: "root"}
	w.model("other")
	sub, other := w.ask(u, "open"), w.ask(u, "other")
	both, one := w.key(u, "open", "other"), w.key(u, "open")
	_, c, err := w.s.DenySubscription(t.Context(), sub.ID, models.Ruling{Reason: "no"}, root)
	require.NoError(t, err)
	require.Equal(t, models.CauseDenied, c.Cause)
	require.Equal(t, 2, c.Keys)
	require.False(t, c.Settled())
	require.True(t, w.read(sub.ID).Ending)
	require.False(t, w.read(other.ID).Ending)
	w.holds(both, false, "other")
	w.holds(one, false)
	keys, left, err := w.s.CascadeKeys(t.Context(), c.ID, 1)
	require.NoError(t, err)
	require.Equal(t, 2, left)
	require.Len(t, keys, 1)
	w.follow(c)
	require.False(t, w.read(sub.ID).Ending)

	_, _, err = w.s.RevertSubscription(t.Context(), sub.ID, models.SubscriptionActive, models.Ruling{Reason: "sorry"}, root)
	require.NoError(t, err)
	w.holds(both, true, "other")
	p, err := w.s.ProvisionSubscription(t.Context(), sub.ID, fresh, machine)
	require.NoError(t, err)
	require.Equal(t, []uuid.UUID{c.ID}, p.Cascades)
	w.holds(both, false, "open", "other")
	w.holds(one, false, "open")
	c, err = w.s.Cascade(t.Context(), c.ID)
	require.NoError(t, err)
	require.EqualValues(t, 2, c.Generation)
	require.False(t, c.Settled())
	require.NotNil(t, c.LiftedAt)
	now := w.read(sub.ID)
	require.Equal(t, models.SubscriptionActive, now.Status)
	require.Equal(t, "sorry", now.StatusReason)
	require.Nil(t, now.DeniedAt)
	require.True(t, now.Ending, "LiteLLM does not know yet")
	w.follow(c)
	require.True(t, w.read(sub.ID).Settled())
	require.Equal(t, []string{"pending", "active", "denied", "pending", "active"}, w.walked(sub.ID))

	_, _, err = w.s.DenySubscription(t.Context(), sub.ID, models.Ruling{Reason: "no"}, root)
	require.NoError(t, err)
	again, _, err := w.s.RevertSubscription(t.Context(), sub.ID, models.SubscriptionPending, models.Ruling{}, root)
	require.NoError(t, err)
	require.Nil(t, again.DeniedAt)
	require.True(t, again.Waiting())
	w.sound()
}

// A subscription that is deleted leaves keys, and the log remembers what it was; what its owner
// then asks for is another.
func TestDeleteSubscription(t *testing.T) {
	w := newWorld(t)
	u, root := w.user("ada"), models.Actor{ID: "root"}
	sub := w.ask(u, "open")
	key := w.key(u, "open")
	_, c, err := w.s.DenySubscription(t.Context(), sub.ID, models.Ruling{Reason: "no"}, root)
	require.NoError(t, err)
	w.follow(c)
	_, _, err = w.s.RevertSubscription(t.Context(), sub.ID, models.SubscriptionActive, models.Ruling{}, root)
	require.NoError(t, err)
	w.provision(sub.ID)
	c, err = w.s.DeleteSubscription(t.Context(), sub.ID, "a mistake", root)
	require.NoError(t, err)
	require.Equal(t, models.CauseDeleted, c.Cause)
	require.Equal(t, 1, c.Keys)
	w.holds(key, false)
	_, err = w.s.Subscription(t.Context(), sub.ID)
	refused(t, models.NotFound, err)
	rows, _, err := w.s.AuditLog(t.Context(), store.AuditQuery{Page: 1, Limit: 1, Action: models.AuditSubscriptionDelete})
	require.NoError(t, err)
	require.Contains(t, string(rows[0].Before), `"status": "active"`)
	require.Contains(t, string(rows[0].Detail), "a mistake")

	anew := w.ask(u, "open")
	require.NotEqual(t, sub.ID, anew.ID)
	require.Equal(t, models.SubscriptionActive, anew.Status)
	w.holds(key, false)
	w.sound()
}

// The admins' list is in the order of decisions and can be narrowed; the counts are of this day.
func TestAdminSubscriptions(t *testing.T) {
	w := newWorld(t)
	ada, bob, root := w.user("ada"), w.user("bob"), models.Actor{ID: "root"}
	open, closed, bobs := w.ask(ada, "open"), w.ask(ada, "closed"), w.ask(bob, "closed")
	_, err := w.s.ApproveSubscription(t.Context(), bobs.ID, models.Ruling{}, root)
	require.NoError(t, err)
	w.provision(bobs.ID)
	_, _, err = w.s.DenySubscription(t.Context(), closed.ID, models.Ruling{Reason: "no"}, root)
	require.NoError(t, err)
	waits := w.ask(bob, "open").ID
	w.exec("UPDATE subscriptions SET status = 'pending' WHERE id = $1", waits)
	day := time.Now().Add(-time.Hour)
	for name, tc := range map[string]struct {
		q    store.AdminSubscriptionQuery
		want []uuid.UUID
		n    int
	}{
		"all":             {store.AdminSubscriptionQuery{}, []uuid.UUID{waits, closed.ID, bobs.ID, open.ID}, 4},
		"a page":          {store.AdminSubscriptionQuery{Page: 2, Limit: 1}, []uuid.UUID{closed.ID}, 4},
		"past the end":    {store.AdminSubscriptionQuery{Page: 9, Limit: 10}, []uuid.UUID{}, 4},
		"one status":      {store.AdminSubscriptionQuery{Statuses: []models.SubscriptionStatus{"active"}}, []uuid.UUID{bobs.ID, open.ID}, 2},
		"two statuses":    {store.AdminSubscriptionQuery{Statuses: []models.SubscriptionStatus{"active", "denied"}}, []uuid.UUID{closed.ID, bobs.ID, open.ID}, 3},
		"a model, a user": {store.AdminSubscriptionQuery{ModelIDs: []string{"closed"}, UserIDs: []uuid.UUID{bob}}, []uuid.UUID{bobs.ID}, 1},
		"since":           {store.AdminSubscriptionQuery{From: &day, To: new(time.Now())}, []uuid.UUID{waits, closed.ID, bobs.ID, open.ID}, 4},
		"before":          {store.AdminSubscriptionQuery{To: &day}, []uuid.UUID{}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			if tc.q.Page == 0 {
				tc.q.Page, tc.q.Limit = 1, 10
			}
			page, n, err := w.s.AdminSubscriptions(t.Context(), tc.q)
			require.NoError(t, err)
			require.Equal(t, tc.n, n)
			ids := []uuid.UUID{}
			for _, v := range page {
				ids = append(ids, v.ID)
			}
			require.Equal(t, tc.want, ids)
		})
	}
	v, err := w.s.SubscriptionView(t.Context(), bobs.ID)
	require.NoError(t, err)
	require.Equal(t, []string{"bob", "bob@example.com", "openai", "closed"}, []string{v.Username, v.Email, v.Model.Provider, v.Model.ID})
	require.True(t, v.Model.RestrictedAccess)
	require.Equal(t, w.read(bobs.ID).StatusChangedAt.UTC(), v.StatusChangedAt.UTC())
	_, err = w.s.SubscriptionView(t.Context(), uuid.New())
	refused(t, models.NotFound, err)
	stats, err := w.s.ApprovalStats(t.Context())
	require.NoError(t, err)
	require.Equal(t, store.ApprovalStats{Pending: 1, ApprovedToday: 1, DeniedToday: 1, Total: 4}, stats)
}
