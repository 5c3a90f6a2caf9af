package temporal_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	sdkpb "go.temporal.io/api/sdk/v1"

	"github.com/litemaas/litemaas/activities/litellm/litellmtest"
	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
	"github.com/litemaas/litemaas/models/store/storetest"
	"github.com/litemaas/litemaas/workflows"
)

// catalogue syncs, and returns the name of a model that LiteLLM offers.
func (s system) catalogue(t *testing.T) string {
	t.Helper()
	s.sync(t, models.SyncOptions{})
	return s.proxy.Deployments()[0].Name
}

// ages makes what is known of LiteLLM's models too old to rely on.
func (s system) ages(t *testing.T) {
	t.Helper()
	s.exec(t, "UPDATE sync_runs SET finished_at = finished_at - interval '10 minutes'")
}

func (s system) exec(t *testing.T, query string, args ...any) {
	t.Helper()
	_, err := s.db.ExecContext(t.Context(), query, args...)
	require.NoError(t, err)
}

// request records the wish for a subscription.
func (s system) request(t *testing.T, u models.User, llm string) models.Subscription {
	t.Helper()
	sub, err := s.store.RequestSubscription(t.Context(), store.NewSubscription{UserID: u.ID, ModelID: llm}, models.Actor{ID: u.ID.String(), Via: "test"})
	require.NoError(t, err)
	require.Equal(t, models.SubscriptionActive, sub.Wanted)
	return sub
}

// provision starts what makes it active.
func (s system) provision(t *testing.T, sub models.Subscription) workflows.Run[workflows.ProvisionSubscriptionResult] {
	t.Helper()
	run, err := workflows.Nudge(t.Context(), s.client, workflows.ProvisionSubscription,
		workflows.ProvisionSubscriptionInput{SubscriptionID: sub.ID, Actor: models.Actor{ID: sub.UserID.String(), Via: "test"}})
	require.NoError(t, err)
	return run
}

// subscribed is a user whom LiteLLM holds, with an active subscription and a key that LiteLLM
// holds, too.
func (s system) subscribed(t *testing.T, name, llm string) (models.Subscription, models.Key) {
	t.Helper()
	u := s.signIn(t, name)
	sub := s.request(t, u, llm)
	_, err := s.provision(t, sub).Wait(t.Context(), time.Minute)
	require.NoError(t, err)
	k := storetest.Key(t, s.store, u.ID, nil, llm)
	s.followKey(t, k, true)
	return s.sub(t, sub.ID), k
}

func (s system) sub(t *testing.T, id uuid.UUID) models.Subscription {
	t.Helper()
	sub, err := s.store.Subscription(t.Context(), id)
	require.NoError(t, err)
	return sub
}

// details is what a person reads of a run in the Temporal UI.
func (s system) details(t *testing.T, workflowID string) string {
	t.Helper()
	val, err := s.client.QueryWorkflow(t.Context(), workflowID, "", "__temporal_workflow_metadata")
	require.NoError(t, err)
	var meta sdkpb.WorkflowMetadata
	require.NoError(t, val.Get(&meta))
	return meta.CurrentDetails
}

// Who subscribes while LiteLLM is down is told no more than is so, and has it when LiteLLM is back;
// meanwhile the Temporal UI says what is waited for.
func TestProvisionSubscriptionOutlastsAnOutage(t *testing.T) {
	s := start(t)
	llm := s.catalogue(t)
	u := s.signIn(t, "ada")
	s.ages(t)
	back := s.proxy.Inject(litellmtest.Fault{Kind: litellmtest.FaultCut})
	sub := s.request(t, u, llm)
	run := s.provision(t, sub)
	_, err := run.Wait(t.Context(), time.Second)
	require.Equal(t, models.Pending, models.KindOf(err))
	require.Equal(t, models.SubscriptionPending, s.sub(t, sub.ID).Status)
	require.False(t, s.sub(t, sub.ID).Settled())
	require.Contains(t, s.details(t, "provision-subscription/"+sub.ID.String()), "refresh-model/"+llm)

	back()
	res, err := run.Wait(t.Context(), time.Minute)
	require.NoError(t, err)
	require.Equal(t, models.SubscriptionActive, res.Status)
	require.Equal(t, models.SubscriptionActive, s.sub(t, sub.ID).Status)
	require.True(t, s.sub(t, sub.ID).Settled())
	s.requireSettled(t, u.ID)
}

// Of many who want one model at once, few ask LiteLLM about it; who has it already costs one local
// activity.
func TestProvisionSubscriptionTogether(t *testing.T) {
	s := start(t)
	llm := s.catalogue(t)
	var subs []models.Subscription
	for i := range 20 {
		u := s.signIn(t, fmt.Sprintf("user-%d", i))
		s.exec(t, "UPDATE users SET observed_generation = generation WHERE id = $1", u.ID)
		subs = append(subs, s.request(t, u, llm))
	}
	s.ages(t)
	var runs []workflows.Run[workflows.ProvisionSubscriptionResult]
	for _, sub := range subs {
		runs = append(runs, s.provision(t, sub))
	}
	for _, run := range runs {
		res, err := run.Wait(t.Context(), time.Minute)
		require.NoError(t, err)
		require.Equal(t, models.SubscriptionActive, res.Status)
	}
	var asked int
	require.NoError(t, s.db.QueryRow("SELECT count(*) FROM sync_runs WHERE kind = 'model'").Scan(&asked))
	require.Less(t, asked, 10)

	again := s.request(t, s.signIn(t, "ada"), llm)
	s.exec(t, "UPDATE users SET observed_generation = generation")
	_, err := s.provision(t, again).Wait(t.Context(), time.Minute)
	require.NoError(t, err)
	require.LessOrEqual(t, len(historyOf(t, s.client, "provision-subscription/"+again.ID.String(), "").Events), 8)
}

// An offboarded user's key is blocked at LiteLLM, and his subscription suspended, when the run has
// ended; a reinstated one has both again.
func TestOffboardHoldsKeys(t *testing.T) {
	s := start(t)
	sub, k := s.subscribed(t, "ada", s.catalogue(t))
	run(t, s, workflows.Offboard, workflows.OffboardInput{UserID: sub.UserID, Why: "left", Actor: root})
	require.Equal(t, models.SubscriptionSuspended, s.sub(t, sub.ID).Status)
	require.Equal(t, models.KeyBlocked, s.requireKey(t, k).Status())
	require.Equal(t, k.Models, s.requireKey(t, k).Models)
	run(t, s, workflows.Reinstate, workflows.ReinstateInput{UserID: sub.UserID, Why: "back", Actor: root})
	require.Equal(t, models.SubscriptionActive, s.sub(t, sub.ID).Status)
	require.True(t, s.sub(t, sub.ID).Settled())
	require.Equal(t, models.KeyActive, s.requireKey(t, k).Status())
}

// A model that LiteLLM lists no more takes its subscriptions and keys along, and gives them back
// when it returns.
func TestRefreshModelMovesSubscriptions(t *testing.T) {
	s := start(t)
	llm := s.catalogue(t)
	sub, k := s.subscribed(t, "ada", llm)
	there := s.proxy.Deployments()
	s.proxy.SetDeployments(there[1:])
	run(t, s, workflows.RefreshModel, workflows.RefreshModelInput{ModelID: llm, Actor: root})
	require.Equal(t, models.SubscriptionInactive, s.sub(t, sub.ID).Status)
	s.subscriptionsSettled(t)
	require.Empty(t, s.requireKey(t, k).Models)
	require.Empty(t, s.proxy.Keys(), "without a model LiteLLM must not have it")

	s.proxy.SetDeployments(there)
	run(t, s, workflows.RefreshModel, workflows.RefreshModelInput{ModelID: llm, Actor: root})
	require.Equal(t, models.SubscriptionActive, s.sub(t, sub.ID).Status)
	s.subscriptionsSettled(t)
	require.Equal(t, k.Models, s.requireKey(t, k).Models)
	require.Len(t, s.proxy.Keys(), 1)
}

// subscriptionsSettled waits until nothing is under way for any subscription.
func (s system) subscriptionsSettled(t *testing.T) {
	t.Helper()
	require.Eventually(t, func() bool {
		var left int
		err := s.db.QueryRow(`SELECT (SELECT count(*) FROM cascades WHERE observed_generation < generation)
			+ (SELECT count(*) FROM subscriptions WHERE wanted <> '')`).Scan(&left)
		return err == nil && left == 0
	}, time.Minute, 50*time.Millisecond)
}

// The sweep finishes what nobody follows: a wish, a cascade, and a model whose sync died before its
// subscriptions were moved.
func TestSweepFindsOverlookedSubscriptions(t *testing.T) {
	s := start(t)
	llm := s.catalogue(t)
	cancelled, k := s.subscribed(t, "ada", llm)
	vanished, l := s.subscribed(t, "bob", s.proxy.Deployments()[1].Name)
	wanted := s.request(t, s.signIn(t, "eve"), llm)
	_, _, err := s.store.CancelSubscription(t.Context(), cancelled.UserID, cancelled.ID, root)
	require.NoError(t, err)
	s.exec(t, "UPDATE models SET availability = 'unavailable' WHERE id = $1", vanished.ModelID)
	res := run(t, s, workflows.Sweep, workflows.SweepInput{})
	require.Equal(t, workflows.SweepResult{Reachable: true, Moved: 1}, workflows.SweepResult{Reachable: res.Reachable, Wanted: res.Wanted, Moved: res.Moved, Cascades: res.Cascades},
		"somebody may be at the others")

	s.exec(t, "UPDATE cascades SET updated_at = now() - interval '31 seconds'")
	s.exec(t, "UPDATE subscriptions SET wanted_at = now() - interval '31 seconds' WHERE wanted <> ''")
	res = run(t, s, workflows.Sweep, workflows.SweepInput{})
	require.Equal(t, 1, res.Wanted)
	require.Positive(t, res.Cascades)
	s.subscriptionsSettled(t)
	require.Equal(t, models.SubscriptionActive, s.sub(t, wanted.ID).Status)
	require.Equal(t, models.SubscriptionInactive, s.sub(t, vanished.ID).Status)
	for _, gone := range []models.Key{k, l} {
		require.Empty(t, s.requireKey(t, gone).Models)
	}
	require.Empty(t, s.proxy.Keys())
}
