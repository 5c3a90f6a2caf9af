package temporal_test

import (
	"encoding/base64"
	"errors"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/history/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/workflow"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/litemaas/litemaas/activities/litellm"
	"github.com/litemaas/litemaas/activities/litellm/litellmtest"
	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
	"github.com/litemaas/litemaas/models/store/storetest"
	"github.com/litemaas/litemaas/temporal"
	"github.com/litemaas/litemaas/workflows"
)

var update = flag.Bool("update", false, "record the histories that are not there yet")

// The history of a real run holds no row and no credential and stays small, whatever the
// size of the catalogue. Recorded with -update, it is what TestReplay replays. One that is there
// is never replaced: a run may still have it. A workflow that changed gets a new name here.
func TestHistories(t *testing.T) {
	s := start(t)
	ada := models.Actor{ID: "ada", Via: "test"}
	s.proxy.SetDeployments(litellmtest.Generated(2_500))
	full := run(t, s, workflows.FullSync, by(models.SyncOptions{}))
	s.record(t, "full_sync_v2", "full-sync", full.RunID.String())

	s.proxy.SetListing(litellmtest.ListEmpty)
	held := run(t, s, workflows.FullSync, by(models.SyncOptions{}))
	s.record(t, "full_sync_held_v2", "full-sync", held.RunID.String())
	_, err := s.store.DecideProposal(t.Context(), held.RunID, models.Decision{Approve: true, By: ada})
	require.NoError(t, err)
	removals := workflows.ApplyRemovalsInput{ProposalID: *held.ProposalID, Actor: ada}
	s.record(t, "apply_removals", removals.WorkflowID(), run(t, s, workflows.ApplyRemovals, removals).RunID.String())

	s.proxy.SetListing(litellmtest.ListAll)
	one := workflows.RefreshModelInput{ModelID: s.proxy.Deployments()[0].Name, Actor: ada}
	s.record(t, "refresh_model", one.WorkflowID(), run(t, s, workflows.RefreshModel, one).RunID.String())

	require.NoError(t, temporal.EnsureSchedules(t.Context(), s.client.ScheduleClient(), s.store))
	run(t, s, workflows.Sweep, workflows.SweepInput{})
	s.record(t, "sweep_v4", workflows.SweepInput{}.WorkflowID(), "")
	run(t, s, workflows.AutoSync, workflows.AutoSyncInput{})
	s.record(t, "auto_sync", workflows.AutoSyncInput{}.WorkflowID(), "")
}

// The same for users.
func TestHistoriesOfUsers(t *testing.T) {
	s := start(t)
	u := s.signIn(t, "ada")
	s.follow(t, u)
	s.record(t, "reconcile_user", workflows.ReconcileUserInput{UserID: u.ID}.WorkflowID(), "")
	leave := workflows.OffboardInput{UserID: u.ID, Why: "left", Grace: time.Millisecond, Actor: root}
	run(t, s, workflows.Offboard, leave)
	s.record(t, "offboard", leave.WorkflowID(), "")
	back := workflows.ReinstateInput{UserID: u.ID, Why: "back", Actor: root}
	run(t, s, workflows.Reinstate, back)
	s.record(t, "reinstate", back.WorkflowID(), "")

	require.NoError(t, s.litellm.CreateUser(t.Context(), litellm.UserSpec{ID: "somebody", Email: "bob@example.com"}))
	bob := s.signIn(t, "bob")
	s.signIn(t, "eve")
	walked := run(t, s, workflows.ReconcileUsers, workflows.ReconcileUsersInput{Fresh: true})
	require.Equal(t, workflows.ReconcileUsersResult{Settled: 1, Left: 1}, walked)
	s.record(t, "reconcile_users", workflows.ReconcileUsersInput{}.WorkflowID(), "")
	refused, err := workflows.Nudge(t.Context(), s.client, workflows.ReconcileUser, workflows.ReconcileUserInput{UserID: bob.ID})
	require.NoError(t, err)
	_, err = refused.Wait(t.Context(), time.Minute)
	require.Equal(t, models.Conflict, models.KindOf(err))
	s.record(t, "reconcile_user_refused", workflows.ReconcileUserInput{UserID: bob.ID}.WorkflowID(), "")

	require.NoError(t, s.litellm.DeleteUser(t.Context(), u.ID.String()))
	s.record(t, "full_sync_users", "full-sync", s.sync(t, models.SyncOptions{}).RunID.String())
	run(t, s, workflows.Clean, workflows.CleanInput{})
	s.record(t, "clean_v3", workflows.CleanInput{}.WorkflowID(), "")
}

// The same for keys, whose secrets stay out.
func TestHistoriesOfKeys(t *testing.T) {
	s := start(t)
	u := s.subscriber(t, "ada", "a")
	first, second, third := storetest.Key(t, s.store, u.ID, nil, "a"), storetest.Key(t, s.store, u.ID, nil, "a"), storetest.Key(t, s.store, u.ID, nil, "a")
	var kept []string
	s.followKey(t, first, true)
	kept = append(kept, s.record(t, "reconcile_key", workflows.ReconcileKeyInput{KeyID: first.ID}.WorkflowID(), ""))

	require.NoError(t, s.litellm.GenerateKey(t.Context(), litellm.NewKey{
		KeyLimits: litellm.KeyLimits{Models: []string{"a"}, Alias: second.Alias}, Secret: models.SecretOf("sk-of-a-stranger-1"),
	}))
	walked := run(t, s, workflows.ReconcileKeys, workflows.ReconcileKeysInput{Fresh: true})
	require.Equal(t, workflows.ReconcileKeysResult{Settled: 1, Left: 1}, walked)
	kept = append(kept, s.record(t, "reconcile_keys", workflows.ReconcileKeysInput{}.WorkflowID(), ""))
	refused, err := workflows.Nudge(t.Context(), s.client, workflows.ReconcileKey, workflows.ReconcileKeyInput{KeyID: second.ID})
	require.NoError(t, err)
	_, err = refused.Wait(t.Context(), time.Minute)
	require.Equal(t, models.Conflict, models.KindOf(err))
	kept = append(kept, s.record(t, "reconcile_key_refused", workflows.ReconcileKeyInput{KeyID: second.ID}.WorkflowID(), ""))

	fourth, fifth := storetest.Key(t, s.store, u.ID, nil, "a"), storetest.Key(t, s.store, u.ID, nil, "a")
	batch := workflows.ReconcileKeyBatchInput{BatchID: uuid.New(), KeyIDs: []uuid.UUID{fourth.ID, fifth.ID}}
	require.Empty(t, run(t, s, workflows.ReconcileKeyBatch, batch).Left)
	kept = append(kept, s.record(t, "reconcile_key_batch", batch.WorkflowID(), ""))

	require.NoError(t, s.litellm.DeleteKey(t.Context(), third.Hash))
	synced := s.sync(t, models.SyncOptions{KeepMissing: true})
	require.Equal(t, 2, synced.Keys.Missing)
	kept = append(kept, s.record(t, "full_sync_keys", "full-sync", synced.RunID.String()))
	for _, k := range []models.Key{first, second, third, fourth, fifth} {
		require.NotContains(t, strings.Join(kept, ""), storetest.Secret(t, k).Reveal())
	}
}

// The same for subscriptions, and for what moves them since there are any.
func TestHistoriesOfSubscriptions(t *testing.T) {
	s := start(t)
	llm := s.catalogue(t)
	has, k := s.subscribed(t, "ada", llm)
	again := s.request(t, s.signIn(t, "bob"), llm)
	s.ages(t)
	_, err := s.provision(t, again).Wait(t.Context(), time.Minute)
	require.NoError(t, err)
	s.record(t, "provision_subscription_asks", "provision-subscription/"+again.ID.String(), "")
	s.exec(t, "UPDATE users SET observed_generation = generation")
	at := s.request(t, s.signIn(t, "eve"), llm)
	s.exec(t, "UPDATE users SET observed_generation = generation")
	_, err = s.provision(t, at).Wait(t.Context(), time.Minute)
	require.NoError(t, err)
	s.record(t, "provision_subscription", "provision-subscription/"+at.ID.String(), "")

	require.NoError(t, s.litellm.CreateUser(t.Context(), litellm.UserSpec{ID: "somebody", Email: "joe@example.com"}))
	refused := s.request(t, s.signIn(t, "joe"), llm)
	_, err = s.provision(t, refused).Wait(t.Context(), time.Minute)
	require.Equal(t, models.Conflict, models.KindOf(err))
	require.Equal(t, models.SubscriptionInactive, s.sub(t, refused.ID).Status)
	s.record(t, "provision_subscription_refused", "provision-subscription/"+refused.ID.String(), "")

	s.recordCascades(t, llm)

	leave := workflows.OffboardInput{UserID: has.UserID, Why: "left", Actor: root}
	run(t, s, workflows.Offboard, leave)
	s.record(t, "offboard_v2", leave.WorkflowID(), "")
	comeback := workflows.ReinstateInput{UserID: has.UserID, Why: "back", Actor: root}
	run(t, s, workflows.Reinstate, comeback)
	s.record(t, "reinstate_v2", comeback.WorkflowID(), "")

	there := s.proxy.Deployments()
	s.proxy.SetDeployments(there[1:])
	gone := workflows.RefreshModelInput{ModelID: llm, Actor: root}
	run(t, s, workflows.RefreshModel, gone)
	s.record(t, "refresh_model_v2", gone.WorkflowID(), "")
	s.proxy.SetDeployments(there)
	s.record(t, "full_sync_v3", "full-sync", s.sync(t, models.SyncOptions{}).RunID.String())
	s.subscriptionsSettled(t)
	require.Equal(t, k.Models, s.requireKey(t, k).Models)

	s.exec(t, "UPDATE subscriptions SET expires_at = now() - interval '1 second' WHERE id = $1", has.ID)
	run(t, s, workflows.Expire, workflows.ExpireInput{})
	s.record(t, "expire", workflows.ExpireInput{}.WorkflowID(), "")
	run(t, s, workflows.Sweep, workflows.SweepInput{})
	s.record(t, "sweep_v3", workflows.SweepInput{}.WorkflowID(), "")
}

// recordCascades restricts a model and releases it.
func (s system) recordCascades(t *testing.T, llm string) {
	t.Helper()
	taken, err := s.store.EditLLM(t.Context(), llm, store.LLMEdit{RestrictedAccess: new(true)}, root)
	require.NoError(t, err)
	end := workflows.EndSubscriptionInput{CascadeID: taken.ID}
	require.Equal(t, workflows.EndSubscriptionResult{Subscriptions: taken.Subscriptions, Keys: 1}, run(t, s, workflows.EndSubscription, end))
	s.record(t, "end_subscription", end.WorkflowID(), "")
	given, err := s.store.EditLLM(t.Context(), llm, store.LLMEdit{RestrictedAccess: new(false)}, root)
	require.NoError(t, err)
	restore := workflows.RestoreSubscriptionInput{CascadeID: given.ID}
	run(t, s, workflows.RestoreSubscription, restore)
	s.record(t, "restore_subscription", restore.WorkflowID(), "")
}

// run runs a workflow to its end.
func run[In workflows.Input, Out any](t *testing.T, s system, wf func(workflow.Context, In) (Out, error), in In) Out {
	t.Helper()
	r, err := workflows.Start(t.Context(), s.client, wf, in)
	require.NoError(t, err)
	out, err := r.Wait(t.Context(), time.Minute)
	require.NoError(t, err)
	return out
}

// record looks at what Temporal kept of a run, and keeps it for TestReplay. It returns all of it in
// readable form.
func (s system) record(t *testing.T, name, workflowID, runID string) string {
	t.Helper()
	h := historyOf(t, s.client, workflowID, runID)
	require.Less(t, len(h.Events), 90, name)
	raw, err := protojson.MarshalOptions{Multiline: true}.Marshal(h)
	require.NoError(t, err)
	require.Less(t, len(raw), 64<<10, name)
	text := readable(t, raw)
	require.NotContains(t, text, litellmtest.MasterKey, "no credential")
	require.NotContains(t, text, "@example.com", "nobody's address")
	require.NotContains(t, text, "hush", "nothing that is sealed")
	raw = machine.ReplaceAll(raw, []byte(`"$1": "worker"`))
	file := filepath.Join("testdata/history", name+".json")
	if _, err := os.Stat(file); *update && errors.Is(err, fs.ErrNotExist) {
		require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o755))
		require.NoError(t, os.WriteFile(file, raw, 0o644))
	}
	return text
}

// machine finds where a history names the machine of a worker.
var machine = regexp.MustCompile(`"(identity|name)": *"[^"]*(?:@|:[0-9a-f]{8}-)[^"]*"`)

var payload = regexp.MustCompile(`"data": *"([^"]*)"`)

// readable is a history in JSON with what is in its payloads, which are in base64.
func readable(t *testing.T, raw []byte) string {
	t.Helper()
	text := string(raw)
	for _, m := range payload.FindAllSubmatch(raw, -1) {
		data, err := base64.StdEncoding.DecodeString(string(m[1]))
		require.NoError(t, err)
		text += "\n" + string(data)
	}
	return text
}

// historyOf is what Temporal recorded of a run; of the last one when runID is empty.
func historyOf(t *testing.T, c client.Client, workflowID, runID string) *history.History {
	t.Helper()
	var h history.History
	events := c.GetWorkflowHistory(t.Context(), workflowID, runID, false, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for events.HasNext() {
		e, err := events.Next()
		require.NoError(t, err)
		h.Events = append(h.Events, e)
	}
	return &h
}
