package store_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store/storetest"
)

// asked is a key of a user that may call the models, as it is before it is issued.
func (w world) asked(userID uuid.UUID, llms ...string) models.Key {
	w.t.Helper()
	k, err := models.AskedKey{Name: new("CI"), Models: llms}.New(uuid.New(), userID, models.KeyDefaults{}, time.Now())
	require.NoError(w.t, err)
	secret, err := models.NewSecret(rand.Reader)
	require.NoError(w.t, err)
	k, err = k.Holding(secret, storetest.Sealer{})
	require.NoError(w.t, err)
	return k
}

// issued is a key that a user made.
func (w world) issued(userID uuid.UUID, llms ...string) models.Key {
	w.t.Helper()
	k := w.asked(userID, llms...)
	require.NoError(w.t, w.s.IssueKey(w.t.Context(), &k, false, self(userID)))
	return k
}

// A key is issued only to who is active, for models that he is subscribed to, and for a team that
// he is in.
func TestIssueKey(t *testing.T) {
	w := newWorld(t)
	u, other := w.user("ada"), w.user("bob")
	sub := w.sub(u, "open", models.SubscriptionActive)
	w.sub(u, "closed", models.SubscriptionSuspended)
	w.sub(other, "closed", models.SubscriptionActive)
	k := w.issued(u, "open")
	require.Equal(t, []string{"open"}, k.Models)
	require.Equal(t, u.String(), k.CreatedBy)
	secret, err := k.Secret(storetest.Sealer{})
	require.NoError(t, err)
	require.Equal(t, k.Hash, secret.Hash())
	require.Regexp(t, `^sk-[A-Za-z0-9_-]{43}$`, secret.Reveal())
	require.Equal(t, secret.Reveal()[:7], k.Prefix)

	old := w.asked(u)
	old.Terms.SubscriptionID = &sub
	require.NoError(t, w.s.IssueKey(t.Context(), &old, false, self(u)))
	require.Equal(t, []string{"open"}, old.Models, "of the subscription")

	team := uuid.New()
	w.exec("INSERT INTO teams (id, name, litellm_alias) VALUES ($1, 'x', 'x')", team)
	everybodys := w.asked(u, "open")
	everybodys.TeamID = new(models.DefaultTeamID)
	require.NoError(t, w.s.IssueKey(t.Context(), &everybodys, false, self(u)))
	require.Nil(t, everybodys.TeamID)
	for name, tc := range map[string]struct {
		kind  models.Kind
		field string
		edit  func(*models.Key)
	}{
		"a suspended subscription":  {models.Invalid, "modelIds", func(k *models.Key) { k.Models = []string{"closed", "open"} }},
		"another's subscription":    {models.NotFound, "subscriptionId", func(k *models.Key) { k.UserID, k.Models, k.Terms.SubscriptionID = other, nil, &sub }},
		"a model that is not there": {models.Invalid, "modelIds", func(k *models.Key) { k.Models = []string{"none"} }},
		"a team that he is not in":  {models.Invalid, "teamId", func(k *models.Key) { k.TeamID = &team }},
		"an unknown owner":          {models.NotFound, "", func(k *models.Key) { k.UserID = uuid.New() }},
		"a taken alias":             {models.Conflict, "", func(n *models.Key) { n.Alias = k.Alias }},
	} {
		t.Run(name, func(t *testing.T) {
			bad := w.asked(u, "open")
			tc.edit(&bad)
			err := w.s.IssueKey(t.Context(), &bad, false, self(u))
			refused(t, tc.kind, err)
			e, _ := errors.AsType[*models.Error](err)
			require.Equal(t, tc.field, e.Field)
			_, err = w.s.Key(t.Context(), bad.ID)
			refused(t, models.NotFound, err)
		})
	}
	w.exec("INSERT INTO team_members (team_id, user_id) VALUES ($1, $2)", team, u)
	member := w.asked(u, "open")
	member.TeamID = &team
	require.NoError(t, w.s.IssueKey(t.Context(), &member, false, self(u)))
	require.Equal(t, &team, member.TeamID)
	w.exec(`UPDATE users SET holds = '["admin"]' WHERE id = $1`, u)
	late := w.asked(u, "open")
	refused(t, models.Forbidden, w.s.IssueKey(t.Context(), &late, false, self(u)))
}

// Of twenty at once, ten are made, and no more; what is revoked or expired makes room, and an admin
// is not bound.
func TestIssueKeyLimit(t *testing.T) {
	w := newWorld(t)
	u := w.user("ada")
	w.sub(u, "open", models.SubscriptionActive)
	keys := make([]models.Key, 20)
	for i := range keys {
		keys[i] = w.asked(u, "open")
	}
	errs := atOnce(len(keys), func(i int) error { return w.s.IssueKey(context.WithoutCancel(t.Context()), &keys[i], false, self(u)) })
	made := 0
	for _, err := range errs {
		if err == nil {
			made++
			continue
		}
		refused(t, models.Invalid, err)
		require.ErrorContains(t, err, "Maximum number of active API keys (10) reached")
	}
	require.Equal(t, models.MaxLiveKeys, made)
	_, total, err := w.s.Keys(t.Context(), keyQuery(u))
	require.NoError(t, err)
	require.Equal(t, models.MaxLiveKeys, total)

	more := func() error { k := w.asked(u, "open"); return w.s.IssueKey(t.Context(), &k, false, self(u)) }
	refused(t, models.Invalid, more())
	w.exec("UPDATE api_keys SET expires_at = now() - interval '1 second' WHERE id = (SELECT id FROM api_keys LIMIT 1)")
	require.NoError(t, more())
	refused(t, models.Invalid, more())
	admins := w.asked(u, "open")
	require.NoError(t, w.s.IssueKey(t.Context(), &admins, true, self(w.user("root"))))
	require.Equal(t, models.AuditAdminKeyCreate, w.lastAudit(admins.ID.String()).Action)
}

// I1: whatever of a creation and the end of the subscription comes first, no key is left with a
// model that its owner is not subscribed to.
func TestIssueKeyWhileTheSubscriptionEnds(t *testing.T) {
	w := newWorld(t)
	for i := range 25 {
		u := w.user(fmt.Sprint("user", i))
		id := w.sub(u, "open", models.SubscriptionActive)
		keys := []models.Key{w.asked(u, "open"), w.asked(u, "open"), w.asked(u, "open")}
		errs := atOnce(4, func(i int) error {
			ctx := context.WithoutCancel(t.Context())
			if i == len(keys) {
				_, _, err := w.s.CancelSubscription(ctx, u, id, self(u))
				return err
			}
			return w.s.IssueKey(ctx, &keys[i], false, self(u))
		})
		require.NoError(t, errs[len(keys)])
		for _, err := range errs[:len(keys)] {
			if err != nil {
				refused(t, models.Invalid, err)
			}
		}
		var bad int
		require.NoError(t, w.db.QueryRow(`
			SELECT count(*) FROM api_key_models m JOIN api_keys k ON k.id = m.api_key_id
			WHERE k.user_id = $1 AND k.revoked_at IS NULL AND NOT EXISTS (
				SELECT FROM subscriptions s WHERE s.user_id = k.user_id AND s.model_id = m.model_id AND s.status = 'active')`, u).Scan(&bad))
		require.Zero(t, bad)
	}
}

// A key that is made while its owner is held back is held with him, or not made.
func TestIssueKeyWhileItsOwnerLeaves(t *testing.T) {
	w := newWorld(t)
	for i := range 15 {
		u := w.user(fmt.Sprint("user", i))
		w.sub(u, "open", models.SubscriptionActive)
		k := w.asked(u, "open")
		errs := atOnce(2, func(i int) error {
			ctx := context.WithoutCancel(t.Context())
			if i == 1 {
				_, err := w.s.DeactivateUser(ctx, u, models.HoldAdmin, "left", machine)
				return err
			}
			return w.s.IssueKey(ctx, &k, false, self(u))
		})
		require.NoError(t, errs[1])
		if errs[0] != nil {
			continue // refused: he is not active, or his subscription is not
		}
		require.Equal(t, `["offboarded"]`, w.heldBy(k.ID))
	}
}
