package store_test

import (
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
)

// fresh is how old the catalogue may be in these tests.
const fresh = 5 * time.Minute

// machine is who does what no person asks for.
var machine = models.System("test")

// world is a database with some models, which LiteLLM was just asked about, and users.
type world struct {
	t  *testing.T
	s  *store.Store
	db *sql.DB
}

// newWorld has the models open, closed (restricted) and gone (unavailable).
func newWorld(t *testing.T) world {
	t.Helper()
	s, db := opened(t)
	w := world{t, s, db}
	for _, id := range []string{"open", "closed", "gone"} {
		w.model(id)
	}
	w.exec("UPDATE models SET restricted_access = true WHERE id = 'closed'")
	w.exec("UPDATE models SET availability = 'unavailable' WHERE id = 'gone'")
	w.exec(`INSERT INTO sync_runs (id, workflow_id, kind, trigger, actor, dry_run, force, keep_missing, status, phase, finished_at)
		VALUES (gen_random_uuid(), 'full-sync', 'full', 'manual', 'ada', $1, $1, $1, 'completed', 'done', now())`, false)
	return w
}

func (w world) exec(sql string, args ...any) {
	w.t.Helper()
	_, err := w.db.ExecContext(w.t.Context(), sql, args...)
	require.NoError(w.t, err)
}

// model is one that LiteLLM offers.
func (w world) model(id string) {
	w.t.Helper()
	w.exec(`INSERT INTO models (id, provider, backend_model_name, api_base, litellm_model_id, deployment_ids, features, model_info, litellm_params,
		input_cost_per_token, output_cost_per_token, context_length)
		VALUES ($1, 'openai', $1, '', '', '[]', '["chat"]', '{}', '{}', 0.0000025, 0.00001, 128000)`, id)
}

// user is a person whom LiteLLM was seen to hold.
func (w world) user(name string) uuid.UUID {
	w.t.Helper()
	id := uuid.New()
	w.exec(`INSERT INTO users (id, username, email, oauth_provider, oauth_id, observed_generation) VALUES ($1, $2, $3, 'oidc', $2, 1)`, id, name, name+"@example.com")
	return id
}

// sub puts a subscription there as it is.
func (w world) sub(userID uuid.UUID, modelID string, status models.SubscriptionStatus) uuid.UUID {
	w.t.Helper()
	id := uuid.New()
	holds := "[]"
	if status == models.SubscriptionSuspended {
		holds = `["quota"]`
	}
	w.exec(`INSERT INTO subscriptions (id, user_id, model_id, status, status_changed_by, holds, reset_at, quota_requests, quota_tokens)
		VALUES ($1, $2, $3, $4, $7, $5, $6, 10, 1000)`, id, userID, modelID, string(status), holds, models.QuotaReset(time.Now()), userID.String())
	w.exec("INSERT INTO subscription_status_history (subscription_id, new_status, reason, changed_by) VALUES ($1, $2, '', 'test')", id, string(status))
	return id
}

// wanted is a pending subscription that is being provisioned.
func (w world) wanted(userID uuid.UUID, modelID string) uuid.UUID {
	w.t.Helper()
	id := w.sub(userID, modelID, models.SubscriptionPending)
	w.exec("UPDATE subscriptions SET wanted = 'active', wanted_at = now(), wanted_by = user_id::text WHERE id = $1", id)
	return id
}

// ask asks for a model, and has it provisioned.
func (w world) ask(userID uuid.UUID, modelID string) models.Subscription {
	w.t.Helper()
	sub, err := w.s.RequestSubscription(w.t.Context(), store.NewSubscription{UserID: userID, ModelID: modelID}, self(userID))
	require.NoError(w.t, err)
	return w.provision(sub.ID)
}

// provision makes one active, if it can be.
func (w world) provision(id uuid.UUID) models.Subscription {
	w.t.Helper()
	_, err := w.s.ProvisionSubscription(w.t.Context(), id, fresh, machine)
	require.NoError(w.t, err)
	return w.read(id)
}

func (w world) read(id uuid.UUID) models.Subscription {
	w.t.Helper()
	sub, err := w.s.Subscription(w.t.Context(), id)
	require.NoError(w.t, err)
	return sub
}

// key is a key of a user with some models, of which LiteLLM was seen to hold it.
func (w world) key(userID uuid.UUID, llms ...string) uuid.UUID {
	w.t.Helper()
	id := uuid.New()
	hash := sha256.Sum256(id[:])
	w.exec(`INSERT INTO api_keys (id, user_id, name, alias, hash, prefix, sealed, observed_generation) VALUES ($1, $2, 'key', $3, $3, 'sk-abcd', '', 1)`,
		id, userID, hex.EncodeToString(hash[:]))
	for _, m := range llms {
		w.exec("INSERT INTO api_key_models (api_key_id, model_id) VALUES ($1, $2)", id, m)
	}
	return id
}

// holding are the models of a key, and whether LiteLLM was seen to hold them.
func (w world) holding(key uuid.UUID) (llms []string, settled bool) {
	w.t.Helper()
	var list string
	require.NoError(w.t, w.db.QueryRowContext(w.t.Context(), `
		SELECT coalesce((SELECT string_agg(model_id, ' ' ORDER BY model_id) FROM api_key_models WHERE api_key_id = k.id), ''), observed_generation = generation
		FROM api_keys k WHERE id = $1`, key).Scan(&list, &settled))
	if list == "" {
		return nil, settled
	}
	return strings.Fields(list), settled
}

// holds requires a key to hold these models, and LiteLLM to have to follow or not.
func (w world) holds(key uuid.UUID, settled bool, llms ...string) {
	w.t.Helper()
	got, ok := w.holding(key)
	require.Equal(w.t, llms, got)
	require.Equal(w.t, settled, ok, "settled")
}

// follow has LiteLLM follow on every key, and be seen to.
func (w world) follow(c models.Cascade) {
	w.t.Helper()
	w.exec("UPDATE api_keys SET observed_generation = generation WHERE id IN (SELECT api_key_id FROM cascade_keys WHERE cascade_id = $1)", c.ID)
	c, err := w.s.ObserveCascade(w.t.Context(), c.ID, c.Generation)
	require.NoError(w.t, err)
	require.True(w.t, c.Settled())
}

// announced are the types of what people are told of a subscription, in order.
func (w world) announced(id uuid.UUID) []string {
	w.t.Helper()
	return w.words("SELECT coalesce(string_agg(type, ' ' ORDER BY id), '') FROM outbox WHERE subject_type = 'subscription' AND subject_id = $1", id.String())
}

// walked are the statuses that a subscription has had, in order.
func (w world) walked(id uuid.UUID) []string {
	w.t.Helper()
	return w.words("SELECT coalesce(string_agg(new_status, ' ' ORDER BY id), '') FROM subscription_status_history WHERE subscription_id = $1", id)
}

func (w world) words(sql string, args ...any) []string {
	w.t.Helper()
	var list string
	require.NoError(w.t, w.db.QueryRowContext(w.t.Context(), sql, args...).Scan(&list))
	return strings.Fields(list)
}

// self is a user who acts for himself.
func self(userID uuid.UUID) models.Actor {
	return models.Actor{ID: userID.String(), Via: "api", Origin: from}
}
