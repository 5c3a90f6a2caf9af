package faults_test

import (
	"context"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/api"
	"github.com/litemaas/litemaas/api/auth"
	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/workflows"
)

var (
	creations = flag.Int("creations", 300, "how many API keys are asked for while everything is killed")
	every     = flag.Duration("every", 2*time.Second, "how often something is killed")
	within    = flag.Duration("within", 5*time.Minute, "when all must be made and settled; what was not asked for in time before fails the test")
	clock     = flag.Bool("clock", false, "wait until a dead process's claims have lapsed and Sweep has come, instead of making it so")
)

// lastAsked and lastAnswered are how long before the end nobody begins to ask, and who has no answer
// gives up. A claim is over after a minute, and Sweep comes within a minute for what is older than
// half of one.
const lastAsked, lastAnswered = 150 * time.Second, time.Minute

// API keys are made while worker, API, LiteLLM and Postgres are killed in turn. Afterwards LiteLLM
// has one key for each row, and each row is the one key that somebody asked for; he was told so,
// and of no other, and could use it from when he was told that he can.
func TestKeysSurviveKills(t *testing.T) {
	m := startMortal(t)
	keys := m.want(t, *creations)
	began := time.Now()
	end := began.Add(*within)
	c := newCallers(m, end.Add(-lastAnswered))
	begun := m.load(t, c, keys, end.Add(-lastAsked))
	t.Logf("%d of %d keys asked for and answered in %s: %s", begun, len(keys), time.Since(began).Round(time.Second), c.summary(keys[:begun]))
	for _, p := range m.parts {
		t.Logf("%s was killed %d times", p.name, p.kills)
	}
	m.settle(t, end)
	t.Logf("settled %s after the first was asked for", time.Since(began).Round(time.Second))

	m.requireAnswered(t, keys[:begun])
	m.requireOneEach(t, keys[:begun])
	m.requireRecorded(t, begun)
	m.requireRepeatable(t, c, keys[:begun])
	m.requireDiscretion(t)
	require.Equal(t, len(keys), begun, "not all were asked for in time")
}

// want has people who may call a model, and each of whom wants as many keys as one may have.
func (m *mortal) want(t *testing.T, n int) []*wanted {
	t.Helper()
	run(t, m.system, workflows.FullSync, workflows.FullSyncInput{Trigger: models.SyncByPerson, Actor: models.System("test")})
	llm := m.proxy.Deployments()[0].Name
	m.exec(t, `
		INSERT INTO users (id, username, email, oauth_provider, oauth_id, max_budget)
		SELECT gen_random_uuid(), 'user-' || i, 'user-' || i || '@example.com', 'oidc', i, 1000000000 FROM generate_series(1, $1) i`,
		(n+models.MaxLiveKeys-1)/models.MaxLiveKeys)
	m.exec(t, "INSERT INTO user_roles (user_id, role_id, source, granted_by) SELECT id, 'user', 'idp', 'test' FROM users WHERE oauth_provider = 'oidc'")
	m.exec(t, `
		INSERT INTO subscriptions (id, user_id, model_id, status, status_changed_by, reset_at)
		SELECT gen_random_uuid(), id, $1, 'active', 'test', $2 FROM users WHERE oauth_provider = 'oidc'`, llm, models.QuotaReset(time.Now()))
	m.exec(t, `
		INSERT INTO sessions (id, user_id, provider, auth_time, ip, created_at, user_agent, last_seen_at, expires_at)
		SELECT gen_random_uuid(), id, 'oidc', now(), '192.0.2.1', now(), 'test', now(), now() + interval '30 days' FROM users WHERE oauth_provider = 'oidc'`)
	run(t, m.system, workflows.ReconcileUsers, workflows.ReconcileUsersInput{Fresh: true})
	var keys []*wanted
	for owner, bearer := range m.tokens(t) {
		for range models.MaxLiveKeys {
			keys = append(keys, &wanted{owner: owner, bearer: bearer, name: fmt.Sprintf("key %d", len(keys)), llm: llm, token: uuid.NewString()})
		}
	}
	return keys[:n]
}

// tokens are the tokens of everybody who has a session.
func (m *mortal) tokens(t *testing.T) map[uuid.UUID]string {
	t.Helper()
	people, err := api.NewAuth(auth.Config{}, nil, m.store, m.sealer)
	require.NoError(t, err)
	issuer, err := auth.NewTokens(auth.Config{}, people.Keys)
	require.NoError(t, err)
	rows, err := m.db.QueryContext(t.Context(), "SELECT id FROM sessions")
	require.NoError(t, err)
	defer rows.Close()
	tokens := map[uuid.UUID]string{}
	for rows.Next() {
		var session uuid.UUID
		require.NoError(t, rows.Scan(&session))
		p, err := m.store.Principal(t.Context(), session)
		require.NoError(t, err)
		token, err := issuer.Issue(t.Context(), p, 24*time.Hour)
		require.NoError(t, err)
		tokens[p.UserID] = "Bearer " + token.Reveal()
	}
	require.NoError(t, rows.Err())
	return tokens
}

// load has all keys asked for while the parts are killed, waits until everybody has his answer,
// and says how many were asked for until then. However few they are, it takes two rounds.
func (m *mortal) load(t *testing.T, c *callers, keys []*wanted, until time.Time) (begun int) {
	t.Helper()
	asking, done := context.WithDeadline(t.Context(), until)
	defer done()
	answered, round := make(chan struct{}), time.Duration(len(m.parts))**every
	go func() {
		defer close(answered)
		var wait func()
		begun, wait = c.ask(asking, keys, 2*round/time.Duration(len(keys)))
		done()
		wait()
	}()
	ticks := time.NewTicker(*every)
	defer ticks.Stop()
	for turn := 0; asking.Err() == nil || turn < len(m.parts); turn++ {
		<-ticks.C
		m.strike(t, turn)
	}
	m.await(t, answered)
	return begun
}

// await waits for the answers that are still to come. Unless it is by the clock, claims lapse at
// once: who holds one still may go on with it, and who waits for a dead process's need not.
func (m *mortal) await(t *testing.T, answered <-chan struct{}) {
	t.Helper()
	for {
		select {
		case <-answered:
			return
		case <-time.After(time.Second):
		}
		if !*clock {
			m.exec(t, "UPDATE operations SET claimed_until = now() WHERE answered_at IS NULL")
		}
	}
}

// settle waits until LiteLLM was seen to hold every key: Sweep comes within a minute for what is
// older than half of one. Unless it is by the clock, what it would start is started.
func (m *mortal) settle(t *testing.T, end time.Time) {
	t.Helper()
	for ; m.unsettled(t) > 0; time.Sleep(100 * time.Millisecond) {
		require.True(t, time.Now().Before(end), "%d keys are not settled", m.unsettled(t))
		if !*clock {
			run(t, m.system, workflows.ReconcileKeys, workflows.ReconcileKeysInput{Fresh: true})
		}
	}
}

// requireAnswered requires that everybody was told the truth: here is the key that he asked for,
// and LiteLLM takes it, or has yet to.
func (m *mortal) requireAnswered(t *testing.T, keys []*wanted) {
	t.Helper()
	for _, k := range keys {
		require.Contains(t, []int{http.StatusCreated, http.StatusAccepted}, k.status, "%s, asked for %d times: %s", k.name, k.tries, k.body)
		status := models.KeyProvisioning
		if k.status == http.StatusCreated {
			status = models.KeyActive
			require.True(t, k.worked, "%s does not work", k.name)
		}
		is := k.key
		require.Equal(t, []any{k.name, []string{k.llm}, string(status), k.status == http.StatusCreated, k.status == http.StatusCreated},
			[]any{is.Name, is.Models, is.Status, is.Settled, is.IsActive})
		require.True(t, len(is.Key) > len(is.KeyPrefix) && is.Key[:len(is.KeyPrefix)] == is.KeyPrefix, k.name)
	}
}

// requireOneEach requires one row for each key that was asked for, the one that its owner was told
// of, and LiteLLM to have each once, as its row says, and none besides.
func (m *mortal) requireOneEach(t *testing.T, keys []*wanted) {
	t.Helper()
	rows, held := m.rows(t), map[string]models.ProxyKey{}
	for _, k := range m.keys(t) {
		held[k.Hash] = k
	}
	require.Len(t, rows, len(keys), "rows")
	require.Len(t, held, len(keys), "keys at LiteLLM")
	require.Len(t, m.proxy.Keys(), len(keys))
	for _, k := range keys {
		hash := models.SecretOf(k.key.Key).Hash()
		require.Equal(t, row{k.key.ID, k.owner, hash, k.key.KeyAlias}, rows[k.name], k.name)
		is := held[hash]
		require.Equal(t, []any{k.key.KeyAlias, k.owner.String(), []string{k.llm}, false}, []any{is.Alias, is.UserID, is.Models, is.Blocked}, k.name)
	}
	found := run(t, m.system, workflows.FullSync, workflows.FullSyncInput{Trigger: models.SyncByPerson, Actor: models.System("test")})
	require.Equal(t, models.KeyCounts{Listed: len(keys)}, found.Keys, "nothing differs")
}

// requireRecorded requires that each key is in the audit log once, which holds together, and is
// what one operation did; and that nobody has more than he may.
func (m *mortal) requireRecorded(t *testing.T, keys int) {
	t.Helper()
	for _, query := range []string{
		"SELECT count(*) FROM audit WHERE action = 'API_KEY_CREATE'",
		"SELECT count(DISTINCT resource_id) FROM audit JOIN api_keys k ON k.id::text = resource_id WHERE action = 'API_KEY_CREATE'",
		"SELECT count(*) FROM operations WHERE idempotency_key IS NOT NULL",
		"SELECT count(DISTINCT k.id) FROM operations JOIN api_keys k ON subjects = jsonb_build_array(jsonb_build_object('id', k.id, 'wish', '1'))",
	} {
		require.Equal(t, keys, m.count(t, query), query)
	}
	require.LessOrEqual(t, m.count(t, "SELECT max(n) FROM (SELECT count(*) AS n FROM api_keys GROUP BY user_id) u"), models.MaxLiveKeys)
	verify := exec.Command(m.binary, "audit", "verify")
	verify.Env, verify.Dir = m.settings, t.TempDir()
	out, err := verify.CombinedOutput()
	require.NoError(t, err, string(out))
}

// row is what a row says of an active key.
type row struct {
	id          string
	owner       uuid.UUID
	hash, alias string
}

// rows are the active keys by their names; of others there are none.
func (m *mortal) rows(t *testing.T) map[string]row {
	t.Helper()
	found, err := m.db.QueryContext(t.Context(), `
		SELECT name, id, user_id, hash, alias FROM api_keys
		WHERE revoked_at IS NULL AND holds = '[]' AND observed_generation = generation AND failure = ''`)
	require.NoError(t, err)
	defer found.Close()
	rows, n := map[string]row{}, 0
	for ; found.Next(); n++ {
		var name string
		var r row
		require.NoError(t, found.Scan(&name, &r.id, &r.owner, &r.hash, &r.alias))
		rows[name] = r
	}
	require.NoError(t, found.Err())
	require.Len(t, rows, n, "each once")
	require.Equal(t, n, m.count(t, "SELECT count(*) FROM api_keys"))
	return rows
}

// requireRepeatable requires that those who had to ask more than once, or 100 of them, are told of
// the same key once more, and that nobody gets one too many.
func (m *mortal) requireRepeatable(t *testing.T, c *callers, keys []*wanted) {
	t.Helper()
	retried := slices.DeleteFunc(slices.Clone(keys), func(k *wanted) bool { return k.tries == 1 })
	for _, k := range retried[:min(len(retried), 100)] {
		once := *k
		c.make(&once)
		require.Contains(t, []int{k.status, http.StatusCreated}, once.status, k.name)
		require.Equal(t, []string{k.key.ID, k.key.Key}, []string{once.key.ID, once.key.Key}, k.name)
	}
	more := *keys[0]
	more.token = uuid.NewString()
	status, _, body := c.post(&more)
	require.Equal(t, http.StatusBadRequest, status, "%s", body)
	require.Contains(t, string(body), "Maximum number of active API keys")
}

var secrets = regexp.MustCompile(`sk-[\w-]{43}|eyJ[\w-]+\.`)

// requireDiscretion requires that no process has written a secret into its log.
func (m *mortal) requireDiscretion(t *testing.T) {
	t.Helper()
	for _, command := range []string{"worker", "serve"} {
		said, err := os.ReadFile(m.log(command))
		require.NoError(t, err)
		require.NotEmpty(t, said)
		require.False(t, secrets.Match(said), command)
	}
}
