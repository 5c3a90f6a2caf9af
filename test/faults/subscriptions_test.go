package faults_test

import (
	"crypto/rand"
	"encoding/hex"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"
	"go.temporal.io/sdk/workflow"

	"github.com/litemaas/litemaas/activities/litellm"
	"github.com/litemaas/litemaas/activities/litellm/litellmtest"
	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
	"github.com/litemaas/litemaas/workflows"
)

// subscribers is how many people have a model: some batches of keys.
const subscribers = 1_000

// A model with a thousand subscribers is restricted, and the worker is killed in the middle of
// that: another ends it, and no key may call the model any more, nor every model. It is released,
// with another worker killed: then everything is as it was, here and at LiteLLM.
func TestCascadeSurvivesKilledWorkers(t *testing.T) {
	s := start(t)
	seal := s.keyset(t)
	kill := s.worker(t)
	full := workflows.FullSyncInput{Trigger: models.SyncByPerson, Actor: models.System("test")}
	run(t, s, workflows.FullSync, full)
	llms := s.proxy.Deployments()
	restricted, other := llms[0].Name, llms[1].Name
	s.subscribe(t, seal, restricted, other)
	run(t, s, workflows.ReconcileUsers, workflows.ReconcileUsersInput{Fresh: true})
	run(t, s, workflows.ReconcileKeys, workflows.ReconcileKeysInput{Fresh: true})
	rows, held := s.dump(t)
	require.Len(t, held, subscribers)

	// Half of the keys are deleted there, as they have no other model, half of them narrowed.
	taken := s.restrict(t, restricted, true)
	ending, err := workflows.Start(t.Context(), s.client, workflows.EndSubscription, workflows.EndSubscriptionInput{CascadeID: taken.ID})
	require.NoError(t, err)
	s.killAfter(t, kill, subscribers/3, "/key/delete", "/key/update")
	require.Positive(t, s.unsettled(t), "in the middle")
	kill = s.worker(t)
	ended, err := ending.Wait(t.Context(), patience)
	require.NoError(t, err)
	require.Equal(t, workflows.EndSubscriptionResult{Subscriptions: subscribers, Keys: subscribers}, ended)
	s.requireAllowed(t)
	_, left := s.dump(t)
	require.Len(t, left, subscribers/2)
	for _, k := range s.keys(t) {
		require.Equal(t, []string{other}, k.Models)
	}

	given := s.restrict(t, restricted, false)
	require.Equal(t, taken.ID, given.ID)
	back, err := workflows.Start(t.Context(), s.client, workflows.RestoreSubscription, workflows.RestoreSubscriptionInput{CascadeID: given.ID})
	require.NoError(t, err)
	s.killAfter(t, kill, subscribers/3, "/key/generate", "/key/update")
	s.worker(t)
	_, err = back.Wait(t.Context(), patience)
	require.NoError(t, err)
	s.requireAllowed(t)
	rowsNow, heldNow := s.dump(t)
	require.Equal(t, rows, rowsNow)
	require.Equal(t, held, heldNow)
	require.Zero(t, s.unsettled(t))
	found := run(t, s, workflows.FullSync, full)
	require.Equal(t, models.UserCounts{Listed: subscribers}, found.Users)
	require.Equal(t, models.KeyCounts{Listed: subscribers}, found.Keys, "nothing differs")
	require.Equal(t, 2*subscribers, s.count(t, "SELECT count(*) FROM subscription_status_history"), "there and back, once each")
}

// run runs a workflow to its end.
func run[In workflows.Input, Out any](t *testing.T, s *system, wf func(workflow.Context, In) (Out, error), in In) Out {
	t.Helper()
	r, err := workflows.Start(t.Context(), s.client, wf, in)
	require.NoError(t, err)
	out, err := r.Wait(t.Context(), patience)
	require.NoError(t, err)
	return out
}

// keyset gives the workers a new keyset, and returns what seals with it.
func (s *system) keyset(t *testing.T) tink.AEAD {
	t.Helper()
	text, err := exec.Command(s.binary, "keyset", "new").Output()
	require.NoError(t, err)
	s.settings = append(s.settings, "LITEMAAS_SECRETS_KEYSET="+strings.TrimSpace(string(text)))
	h, err := insecurecleartextkeyset.Read(keyset.NewJSONReader(strings.NewReader(string(text))))
	require.NoError(t, err)
	seal, err := aead.New(h)
	require.NoError(t, err)
	return seal
}

// subscribe makes subscribers with a key each: half of them for the one model, half of them for
// another, too.
func (s *system) subscribe(t *testing.T, seal tink.AEAD, one, another string) {
	t.Helper()
	_, err := s.db.ExecContext(t.Context(), `
		INSERT INTO users (id, username, email, oauth_provider, oauth_id, max_budget)
		SELECT gen_random_uuid(), 'user-' || i, 'user-' || i || '@example.com', 'oidc', 'subscriber-' || i, 1000000000 FROM generate_series(1, $1) i`, subscribers)
	require.NoError(t, err)
	_, err = s.db.ExecContext(t.Context(), `
		INSERT INTO subscriptions (id, user_id, model_id, status, status_changed_by, reset_at)
		SELECT gen_random_uuid(), u.id, m.id, 'active', 'test', $3 FROM users u, models m WHERE u.oauth_id LIKE 'subscriber-%' AND m.id IN ($1, $2)`,
		one, another, models.QuotaReset(time.Now()))
	require.NoError(t, err)
	var ids, hashes, sealed []string
	for range subscribers {
		secret, err := models.NewSecret(rand.Reader)
		require.NoError(t, err)
		k := models.Key{ID: uuid.New()}
		box, err := seal.Encrypt([]byte(secret.Reveal()), k.SealContext())
		require.NoError(t, err)
		ids, hashes, sealed = append(ids, k.ID.String()), append(hashes, secret.Hash()), append(sealed, hex.EncodeToString(box))
	}
	_, err = s.db.ExecContext(t.Context(), `
		WITH owners AS (SELECT id, row_number() OVER () AS i FROM users WHERE oauth_id LIKE 'subscriber-%'),
		keys AS (
			INSERT INTO api_keys (id, user_id, name, alias, hash, prefix, sealed, rpm_limit)
			SELECT k.id, o.id, 'test', 'key-' || i, k.hash, 'sk-', decode(k.sealed, 'hex'), 60
			FROM unnest($1::uuid[], $2::text[], $3::text[]) WITH ORDINALITY k(id, hash, sealed, i) JOIN owners o USING (i)
		)
		INSERT INTO api_key_models SELECT k.id, m.id FROM unnest($1::uuid[]) WITH ORDINALITY k(id, i) JOIN models m ON m.id = $4 OR m.id = $5 AND k.i % 2 = 0`,
		ids, hashes, sealed, one, another)
	require.NoError(t, err)
}

func (s *system) restrict(t *testing.T, llm string, restricted bool) models.Cascade {
	t.Helper()
	c, err := s.store.EditLLM(t.Context(), llm, store.LLMEdit{RestrictedAccess: &restricted}, models.Actor{ID: "root", Via: "test"})
	require.NoError(t, err)
	require.Equal(t, subscribers, c.Keys)
	return c
}

// killAfter kills a worker when LiteLLM has been called that often, from now on.
func (s *system) killAfter(t *testing.T, kill func(), calls int, paths ...string) {
	t.Helper()
	made := func() (n int) {
		for _, p := range paths {
			n += s.proxy.Calls(p)
		}
		return n
	}
	before := made()
	fast := make([]func(), len(paths))
	for i, p := range paths {
		fast[i] = s.proxy.Inject(litellmtest.Fault{Path: p, Delay: 20 * time.Millisecond, Done: true})
	}
	require.Eventually(t, func() bool { return made()-before >= calls }, patience, 5*time.Millisecond)
	kill()
	for _, end := range fast {
		end()
	}
}

func (s *system) unsettled(t *testing.T) int {
	t.Helper()
	return s.count(t, "SELECT count(*) FROM api_keys WHERE observed_generation < generation")
}

// dump is what is lasting of subscriptions and keys in our rows, and of the keys at LiteLLM.
func (s *system) dump(t *testing.T) (rows, held []string) {
	t.Helper()
	found, err := s.db.QueryContext(t.Context(), `
		SELECT to_jsonb(s) - ARRAY['status_reason', 'status_changed_at', 'status_changed_by', 'updated_at', 'requested_at'] FROM subscriptions s
		UNION ALL
		SELECT to_jsonb(k) - ARRAY['generation', 'observed_generation', 'updated_at'] || jsonb_build_object('models',
			(SELECT jsonb_agg(model_id ORDER BY model_id) FROM api_key_models m WHERE m.api_key_id = k.id)) FROM api_keys k`)
	require.NoError(t, err)
	defer found.Close()
	for found.Next() {
		var row string
		require.NoError(t, found.Scan(&row))
		rows = append(rows, row)
	}
	require.NoError(t, found.Err())
	for _, k := range s.keys(t) {
		held = append(held, strings.Join([]string{k.Hash, k.Alias, k.UserID, strings.Join(k.Models, ",")}, " "))
		require.False(t, k.Blocked)
		require.Equal(t, int64(60), *k.RPM)
	}
	slices.Sort(rows)
	slices.Sort(held)
	return rows, held
}

// keys are those that LiteLLM has.
func (s *system) keys(t *testing.T) []models.ProxyKey {
	t.Helper()
	client := litellmtest.Serve(t, s.proxy)
	var all []models.ProxyKey
	for page, pages := 1, 1; page <= pages; page++ {
		p, err := client.Keys(t.Context(), litellm.KeyFilter{}, page, 100)
		require.NoError(t, err)
		all, pages = append(all, p.Keys...), p.TotalPages
	}
	return all
}

// requireAllowed requires that every key at LiteLLM may call some models, and only such as its
// owner is subscribed to (the invariants I1 and I2).
func (s *system) requireAllowed(t *testing.T) {
	t.Helper()
	found, err := s.db.QueryContext(t.Context(), "SELECT user_id || ' ' || model_id FROM subscriptions WHERE status = 'active'")
	require.NoError(t, err)
	defer found.Close()
	active := map[string]bool{}
	for found.Next() {
		var pair string
		require.NoError(t, found.Scan(&pair))
		active[pair] = true
	}
	require.NoError(t, found.Err())
	for _, k := range s.keys(t) {
		require.NotEmpty(t, k.Models)
		for _, llm := range k.Models {
			require.True(t, active[k.UserID+" "+llm], "%s may call %s", k.Alias, llm)
		}
	}
}
