package store_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
)

// What is asked for is wanted at once, and active when it was provisioned; what is restricted
// waits for an admin, and approvers are told.
func TestRequestSubscription(t *testing.T) {
	w := newWorld(t)
	u := w.user("ada")
	expires := time.Now().Add(time.Hour).UTC().Truncate(time.Microsecond)
	in := store.NewSubscription{UserID: u, ModelID: "open", QuotaRequests: new(int64(5)), ExpiresAt: &expires, Metadata: []byte(`{"a": [1]}`)}
	sub, err := w.s.RequestSubscription(t.Context(), in, self(u))
	require.NoError(t, err)
	require.Equal(t, models.SubscriptionPending, sub.Status)
	require.Equal(t, models.SubscriptionActive, sub.Wanted)
	require.Equal(t, u.String(), sub.WantedBy)
	require.False(t, sub.Settled())
	require.False(t, sub.Approved())
	require.EqualValues(t, 5, *sub.QuotaRequests)
	require.EqualValues(t, models.DefaultQuotaTokens, *sub.QuotaTokens)
	require.Equal(t, models.QuotaReset(time.Now()), sub.ResetAt.UTC())
	require.Equal(t, expires, sub.ExpiresAt.UTC())
	require.JSONEq(t, `{"a": [1]}`, string(sub.Metadata))
	require.Empty(t, w.announced(sub.ID))

	sub = w.provision(sub.ID)
	require.Equal(t, models.SubscriptionActive, sub.Status)
	require.True(t, sub.Settled())
	require.Equal(t, u.String(), sub.StatusChangedBy)
	require.Equal(t, []string{models.SubscriptionActivated}, w.announced(sub.ID))
	require.Equal(t, []string{"pending", "active"}, w.walked(sub.ID))
	require.Equal(t, []models.AuditAction{models.AuditSubscriptionActivate, models.AuditSubscriptionCreate}, audited(t, w.s, sub.ID.String()))

	closed := w.ask(u, "closed")
	require.True(t, closed.Waiting())
	require.Equal(t, []string{models.SubscriptionRequested}, w.announced(closed.ID))
	history, err := w.s.SubscriptionHistory(t.Context(), closed.ID)
	require.NoError(t, err)
	require.Len(t, history, 1)
	require.Nil(t, history[0].OldStatus)
	require.Equal(t, models.SubscriptionPending, history[0].NewStatus)
	w.sound()
}

// Who may not ask, or asks for what is not there, is told so.
func TestRequestSubscriptionRefuses(t *testing.T) {
	w := newWorld(t)
	u, out := w.user("ada"), w.user("bob")
	w.exec(`UPDATE users SET holds = '["admin"]' WHERE id = $1`, out)
	w.model("deleted")
	w.exec("UPDATE models SET deleted_at = now() WHERE id = 'deleted'")
	past := time.Now().Add(-time.Second)
	for name, tc := range map[string]struct {
		in    store.NewSubscription
		kind  models.Kind
		field string
	}{
		"an unknown model":        {store.NewSubscription{UserID: u, ModelID: "none"}, models.NotFound, "modelId"},
		"a deleted model":         {store.NewSubscription{UserID: u, ModelID: "deleted"}, models.NotFound, "modelId"},
		"an unavailable model":    {store.NewSubscription{UserID: u, ModelID: "gone"}, models.Invalid, "modelId"},
		"an unknown user":         {store.NewSubscription{UserID: uuid.New(), ModelID: "open"}, models.NotFound, ""},
		"a deactivated user":      {store.NewSubscription{UserID: out, ModelID: "open"}, models.Forbidden, ""},
		"no requests":             {store.NewSubscription{UserID: u, ModelID: "open", QuotaRequests: new(int64(0))}, models.Invalid, "quotaRequests"},
		"fewer than no tokens":    {store.NewSubscription{UserID: u, ModelID: "open", QuotaTokens: new(int64(-1))}, models.Invalid, "quotaTokens"},
		"more than owners may":    {store.NewSubscription{UserID: u, ModelID: "open", QuotaTokens: new(int64(models.MaxQuotaTokens + 1))}, models.Invalid, "quotaTokens"},
		"an end in the past":      {store.NewSubscription{UserID: u, ModelID: "open", ExpiresAt: &past}, models.Invalid, "expiresAt"},
		"what is no JSON":         {store.NewSubscription{UserID: u, ModelID: "open", Metadata: []byte("{")}, models.Invalid, ""},
		"what no column can hold": {store.NewSubscription{UserID: u, ModelID: "open", Metadata: []byte(`{"a": "\u0000"}`)}, models.Invalid, ""},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := w.s.RequestSubscription(t.Context(), tc.in, self(tc.in.UserID))
			refused(t, tc.kind, err)
			var e *models.Error
			require.ErrorAs(t, err, &e)
			require.Equal(t, tc.field, e.Field)
		})
	}
	require.Zero(t, counted(t, w.db, "SELECT count(*) FROM subscriptions"))
	require.Zero(t, counted(t, w.db, "SELECT count(*) FROM audit WHERE resource_type = 'SUBSCRIPTION'"))
}

// Fifty equal requests at once are one subscription; so are fifty renewals.
func TestRequestSubscriptionAtOnce(t *testing.T) {
	w := newWorld(t)
	u := w.user("ada")
	for round, walked := range [][]string{{"pending"}, {"pending", "inactive", "pending"}} {
		errs := atOnce(50, func(int) error {
			_, err := w.s.RequestSubscription(t.Context(), store.NewSubscription{UserID: u, ModelID: "open"}, self(u))
			return err
		})
		done := 0
		for _, err := range errs {
			if err == nil {
				done++
				continue
			}
			refused(t, models.Conflict, err)
			require.ErrorContains(t, err, "there is a subscription to open already, and it is pending")
		}
		require.Equal(t, 1, done)
		require.Equal(t, 1, counted(t, w.db, "SELECT count(*) FROM subscriptions"))
		page, n, err := w.s.Subscriptions(t.Context(), store.SubscriptionQuery{UserID: u, Page: 1, Limit: 10})
		require.NoError(t, err)
		require.Equal(t, 1, n)
		require.Equal(t, walked, w.walked(page[0].ID), "round %d", round)
		_, _, err = w.s.CancelSubscription(t.Context(), u, page[0].ID, self(u))
		require.NoError(t, err)
	}
	w.sound()
}

// Provisioning fifty times at once makes it active once.
func TestProvisionSubscriptionAtOnce(t *testing.T) {
	w := newWorld(t)
	id := w.wanted(w.user("ada"), "open")
	for _, err := range atOnce(50, func(int) error {
		p, err := w.s.ProvisionSubscription(t.Context(), id, fresh, machine)
		if err == nil && (!p.Done() || p.Status != models.SubscriptionActive) {
			err = fmt.Errorf("%+v", p)
		}
		return err
	}) {
		require.NoError(t, err)
	}
	require.Equal(t, []string{"pending", "active"}, w.walked(id))
}

// Who gave a subscription up and asks again gets the quotas that he asks for, but what he used
// in this month stays used; in another month he begins anew. All the rest is as if it were new.
func TestRenewSubscription(t *testing.T) {
	w := newWorld(t)
	u := w.user("ada")
	sub := w.ask(u, "open")
	w.exec("UPDATE subscriptions SET used_requests = 7, used_tokens = 70, noticed_days = 7, reminded_at = now() WHERE id = $1", sub.ID)
	_, c, err := w.s.CancelSubscription(t.Context(), u, sub.ID, self(u))
	require.NoError(t, err)
	require.True(t, c.Settled(), "there was no key")
	again, err := w.s.RequestSubscription(t.Context(), store.NewSubscription{UserID: u, ModelID: "open", QuotaRequests: new(int64(9))}, self(u))
	require.NoError(t, err)
	require.Equal(t, sub.ID, again.ID)
	require.EqualValues(t, 9, *again.QuotaRequests)
	require.EqualValues(t, 7, again.UsedRequests)
	require.EqualValues(t, 70, again.UsedTokens)
	require.Equal(t, 1, counted(t, w.db, "SELECT count(*) FROM subscriptions WHERE noticed_days IS NULL AND reminded_at IS NULL"))
	require.Equal(t, models.SubscriptionActive, w.provision(sub.ID).Status)
	require.Equal(t, models.AuditSubscriptionReactivate, audited(t, w.s, sub.ID.String())[1])

	_, _, err = w.s.CancelSubscription(t.Context(), u, sub.ID, self(u))
	require.NoError(t, err)
	_, err = w.s.RequestSubscription(t.Context(), store.NewSubscription{UserID: u, ModelID: "open", QuotaRequests: new(int64(7))}, self(u))
	require.NoError(t, err)
	held := w.provision(sub.ID)
	require.Equal(t, models.SubscriptionSuspended, held.Status, "it is used up")
	require.Equal(t, []models.Hold{models.HoldQuota}, held.Holds)

	_, _, err = w.s.CancelSubscription(t.Context(), u, sub.ID, self(u))
	require.NoError(t, err)
	w.exec("UPDATE subscriptions SET reset_at = reset_at - interval '1 month' WHERE id = $1", sub.ID)
	_, err = w.s.RequestSubscription(t.Context(), store.NewSubscription{UserID: u, ModelID: "open", QuotaRequests: new(int64(7))}, self(u))
	require.NoError(t, err)
	anew := w.provision(sub.ID)
	require.Equal(t, models.SubscriptionActive, anew.Status)
	require.Zero(t, anew.UsedRequests)
	require.Equal(t, models.QuotaReset(time.Now()), anew.ResetAt.UTC())
	w.sound()
}

// A denial outlives that its owner gives up and asks again, also when the model is restricted no
// more; an admin's approval ends it.
func TestDenialStands(t *testing.T) {
	w := newWorld(t)
	u, root := w.user("ada"), models.Actor{ID: w.user("root").String()}
	sub := w.ask(u, "closed")
	_, _, err := w.s.DenySubscription(t.Context(), sub.ID, models.Ruling{}, root)
	refused(t, models.Invalid, err)
	denied, _, err := w.s.DenySubscription(t.Context(), sub.ID, models.Ruling{Reason: "not yours"}, root)
	require.NoError(t, err)
	require.Equal(t, models.SubscriptionDenied, denied.Status)
	require.Equal(t, "not yours", denied.DeniedReason)
	require.Equal(t, root.ID, denied.DeniedBy)

	for range 2 {
		_, _, err = w.s.CancelSubscription(t.Context(), u, sub.ID, self(u))
		require.NoError(t, err)
		again := w.ask(u, "closed")
		require.True(t, again.Waiting())
		require.Equal(t, "not yours", again.DeniedReason)
		require.Equal(t, models.AuditSubscriptionReapply, audited(t, w.s, sub.ID.String())[0])
		_, err = w.s.EditLLM(t.Context(), "closed", store.LLMEdit{RestrictedAccess: new(false)}, root)
		require.NoError(t, err)
		require.True(t, w.read(sub.ID).Waiting(), "the end of the restriction is no approval")
	}
	_, err = w.s.ApproveSubscription(t.Context(), sub.ID, models.Ruling{Reason: "well"}, root)
	require.NoError(t, err)
	require.NotNil(t, w.read(sub.ID).DeniedAt, "until it takes effect")
	active := w.provision(sub.ID)
	require.Equal(t, models.SubscriptionActive, active.Status)
	require.Nil(t, active.DeniedAt)
	require.Equal(t, "well", active.StatusReason)
	require.Equal(t, root.ID, active.StatusChangedBy)
	w.sound()
}

// What an admin makes needs no approval, ends a denial and has no quota; for himself he only asks.
func TestAdminMadeSubscription(t *testing.T) {
	w := newWorld(t)
	u, admin := w.user("ada"), w.user("root")
	root := models.Actor{ID: admin.String()}
	sub, err := w.s.RequestSubscription(t.Context(), store.NewSubscription{UserID: u, ModelID: "closed", Approved: true}, root)
	require.NoError(t, err)
	require.True(t, sub.Approved())
	sub = w.provision(sub.ID)
	require.Equal(t, models.SubscriptionActive, sub.Status)
	require.Nil(t, sub.QuotaRequests)
	require.Nil(t, sub.QuotaTokens)
	require.Equal(t, root.ID, sub.StatusChangedBy)

	_, _, err = w.s.DenySubscription(t.Context(), sub.ID, models.Ruling{Reason: "no"}, root)
	require.NoError(t, err)
	_, _, err = w.s.CancelSubscription(t.Context(), u, sub.ID, self(u))
	require.NoError(t, err)
	_, err = w.s.RequestSubscription(t.Context(), store.NewSubscription{UserID: u, ModelID: "closed", Approved: true}, root)
	require.NoError(t, err)
	sub = w.provision(sub.ID)
	require.Equal(t, models.SubscriptionActive, sub.Status)
	require.Nil(t, sub.DeniedAt)

	own, err := w.s.RequestSubscription(t.Context(), store.NewSubscription{UserID: admin, ModelID: "closed", Approved: true}, root)
	require.NoError(t, err)
	require.True(t, own.Waiting())
	w.sound()
}
