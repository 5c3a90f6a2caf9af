package main

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/enums/v1"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/litemaas/litemaas/cmd/internal/keyset"
	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
	"github.com/litemaas/litemaas/models/store/storetest"
	"github.com/litemaas/litemaas/temporal/temporaltest"
)

// vault is a database with sealed values, and what the command line says of it.
type vault struct {
	db  *sql.DB
	set []string
}

func newVault(t *testing.T, set ...string) vault {
	t.Helper()
	clean(t)
	url := storetest.URL(t)
	writeFile(t, "keyset.json", newKeyset(t)+"\n")
	v := vault{db: storetest.SQL(t, url), set: []string{"--set", "database.url=" + url, "--set", "secrets.keyset_file=keyset.json", "--log-level", "error"}}
	for _, s := range set {
		v.set = append(v.set, "--set", s)
	}
	return v
}

func (v vault) keyset(t *testing.T, args ...string) (status int, out, errs string) {
	t.Helper()
	return cli(t, append(append([]string{"keyset"}, args...), v.set...)...)
}

// sealer is the keyset as it is now.
func (v vault) sealer(t *testing.T) *keyset.Sealer {
	t.Helper()
	s, err := keyset.Load("keyset.json")
	require.NoError(t, err)
	return s
}

// works runs a worker with the keyset as it is now, until it is stopped.
func (v vault) works(t *testing.T) (stop func()) {
	t.Helper()
	cfg, err := read(t, v.set...)
	require.NoError(t, err)
	p, err := assemble(context.WithoutCancel(t.Context()), cfg)
	require.NoError(t, err)
	w := p.worker()
	require.NoError(t, w.Start())
	return func() { w.Stop(); p.close() }
}

// The first two steps change the file, or print what it should be; who keeps his keyset elsewhere
// is told how.
func TestKeysetRotate(t *testing.T) {
	v := newVault(t)
	first := v.sealer(t).Keys()
	status, out, errs := v.keyset(t, "rotate", "--print")
	require.Zero(t, status, errs)
	require.Equal(t, first, v.sealer(t).Keys(), "the file is as it was")
	printed, err := keyset.Parse(models.SecretOf(out))
	require.NoError(t, err)
	require.Len(t, printed.Keys(), 2)
	require.Contains(t, errs, "Step 1 of 3")

	for i, want := range []string{"Step 1 of 3: the keyset has got a new key, which opens only.\nIt is in keyset.json.", "Step 2 of 3: the new key of the keyset seals from now on."} {
		status, out, errs = v.keyset(t, "rotate")
		require.Zero(t, status, errs)
		require.Contains(t, out, want)
		require.Contains(t, out, "restart them all")
		require.NotContains(t, out, "keyData")
		keys := v.sealer(t).Keys()
		require.Len(t, keys, 2)
		require.Equal(t, first[0], keys[i], "step %d", i+1)
	}

	status, _, errs = cli(t, "keyset", "rotate", "--set", "database.url=postgres://h/d", "--set", "secrets.keyset="+newKeyset(t))
	require.Equal(t, exitUsage, status)
	require.Contains(t, errs, "secrets.keyset is no file that could be changed: use --print")
	status, _, errs = cli(t, "keyset", "rotate", "--set", "database.url=postgres://h/d")
	require.Equal(t, exitUsage, status)
	require.Contains(t, errs, "secrets.keyset is not set")
}

// With 2,000 values that an old key sealed, and replicas that insert more, one of them still by the
// old key where everything was already gone through: afterwards the new key alone opens them all, and nobody has seen a secret.
func TestReseal(t *testing.T) {
	cfg := temporaltest.Config(t)
	v := newVault(t, "temporal.address="+cfg.Address, "temporal.namespace="+cfg.Namespace)
	storetest.Seal(t, v.db, v.sealer(t), 500)
	for range 2 {
		status, _, errs := v.keyset(t, "rotate")
		require.Zero(t, status, errs)
	}
	rotated := v.sealer(t)
	raw, err := os.ReadFile("keyset.json")
	require.NoError(t, err)
	old, err := keyset.Parse(back(t, models.SecretOf(string(raw))))
	require.NoError(t, err)
	require.Equal(t, rotated.Keys()[0], old.Keys()[1], "it has both keys, and the old one seals")

	defer v.works(t)()
	var done atomic.Bool
	var replicas sync.WaitGroup
	replicas.Go(func() {
		for !done.Load() {
			storetest.Seal(t, v.db, rotated, 5)
		}
	})
	hold, err := v.db.BeginTx(t.Context(), nil) // the last place waits until there are more at the first
	require.NoError(t, err)
	_, err = hold.Exec("SELECT FROM operations WHERE substr(body, 1, 5) = $1 LIMIT 1 FOR UPDATE", old.Keys()[0].Mark)
	require.NoError(t, err)
	replicas.Go(func() {
		require.Eventually(t, func() bool {
			left := 1
			err := v.db.QueryRow("SELECT count(*) FROM api_keys WHERE substr(sealed, 1, 5) = $1", old.Keys()[0].Mark).Scan(&left)
			return err == nil && left == 0
		}, time.Minute, 10*time.Millisecond)
		storetest.Seal(t, v.db, old, 50)
		require.NoError(t, hold.Commit())
	})
	status, out, errs := v.keyset(t, "rotate")
	done.Store(true)
	replicas.Wait()
	require.Zero(t, status, errs+out)
	require.Contains(t, out, "Step 3 of 3: key "+rotated.Keys()[0].Name+" has sealed everything.")
	require.Regexp(t, `api_keys\.sealed +\d+ +550 +0 +0\n`, out)

	narrow, err := keyset.Narrowed(models.SecretOf(string(raw)))
	require.NoError(t, err)
	alone, err := keyset.Parse(narrow)
	require.NoError(t, err)
	require.GreaterOrEqual(t, storetest.RequireSealed(t, v.db, alone), 4*(500+50))
	status, out, _ = v.keyset(t, "status")
	require.Zero(t, status)
	require.Contains(t, out, "The keys that only open have sealed nothing: litemaas keyset narrow")
	require.Regexp(t, `(?m)^`+rotated.Keys()[1].Name+` +opens( +0){4}$`, out)

	status, out, _ = v.keyset(t, "rotate")
	require.Zero(t, status, "there is nothing left to do")
	require.Regexp(t, `api_keys\.sealed +\d+ +0 +0 +0\n`, out)
	v.requireHistory(t, string(raw))
	v.requireAudit(t, 2)
}

// back is a rotated keyset as it was a step before.
func back(t *testing.T, text models.Secret) models.Secret {
	t.Helper()
	s, err := keyset.Parse(text)
	require.NoError(t, err)
	keys := s.Keys()
	return models.SecretOf(strings.Replace(text.Reveal(), `"primaryKeyId":`+keys[0].Name, `"primaryKeyId":`+keys[1].Name, 1))
}

// requireHistory looks for secrets in what Temporal keeps of the runs.
func (v vault) requireHistory(t *testing.T, keysetText string) {
	t.Helper()
	cfg, err := read(t, v.set...)
	require.NoError(t, err)
	p, err := assemble(t.Context(), cfg)
	require.NoError(t, err)
	defer p.close()
	events := p.temporal.GetWorkflowHistory(t.Context(), "reseal-secrets", "", false, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	text := ""
	for events.HasNext() {
		e, err := events.Next()
		require.NoError(t, err)
		raw, err := protojson.Marshal(e)
		require.NoError(t, err)
		text += string(raw)
		for _, m := range regexp.MustCompile(`"data": *"([^"]*)"`).FindAllSubmatch(raw, -1) {
			data, err := base64.StdEncoding.DecodeString(string(m[1]))
			require.NoError(t, err)
			text += string(data)
		}
	}
	require.Contains(t, text, "api_keys.sealed")
	require.NotContains(t, text, "hush", "what is sealed")
	for _, m := range regexp.MustCompile(`"value":"([^"]+)"`).FindAllStringSubmatch(keysetText, -1) {
		require.NotContains(t, text, m[1], "a key")
	}
}

// requireAudit looks for the rows of so many runs.
func (v vault) requireAudit(t *testing.T, n int) {
	t.Helper()
	rows, err := v.db.Query("SELECT actor, via, success, detail::text FROM audit WHERE action = $1", models.AuditReseal)
	require.NoError(t, err)
	defer rows.Close()
	for ; rows.Next(); n-- {
		var actor, via, detail string
		var success bool
		require.NoError(t, rows.Scan(&actor, &via, &success, &detail))
		require.Equal(t, []any{"system", "cli", true}, []any{actor, via, success})
		require.Contains(t, detail, `"place": "sessions.provider_tokens"`)
	}
	require.NoError(t, rows.Err())
	require.Zero(t, n)
}

// What no key opens stays as it is, and is told; a worker that has not got the keyset yet ends the
// run before it does anything.
func TestResealLostAndStale(t *testing.T) {
	cfg := temporaltest.Config(t)
	v := newVault(t, "temporal.address="+cfg.Address, "temporal.namespace="+cfg.Namespace)
	storetest.Seal(t, v.db, v.sealer(t), 2)
	status, _, errs := v.keyset(t, "rotate")
	require.Zero(t, status, errs)
	stop := v.works(t)
	status, _, errs = v.keyset(t, "rotate")
	require.Zero(t, status, errs)
	keys := v.sealer(t).Keys()
	status, _, errs = v.keyset(t, "rotate")
	stop()
	require.Equal(t, exitFailed, status)
	require.Contains(t, errs, fmt.Sprintf("the worker seals by key %s, not by %s: give all replicas the same keyset", keys[1].Name, keys[0].Name))

	defer v.works(t)()
	_, err := v.db.Exec("UPDATE api_keys SET sealed = sealed || '\\x00' WHERE id = (SELECT max(id::text)::uuid FROM api_keys)")
	require.NoError(t, err)
	var before, after []byte
	const lost = "SELECT sealed FROM api_keys WHERE id = (SELECT max(id::text)::uuid FROM api_keys)"
	require.NoError(t, v.db.QueryRow(lost).Scan(&before))
	status, out, errs := v.keyset(t, "rotate")
	require.Equal(t, exitFailed, status)
	require.Regexp(t, `api_keys\.sealed +2 +1 +0 +1\n`, out)
	require.Regexp(t, `cannot be opened: api_keys\.sealed of [0-9a-f-]{36}\n`, out)
	require.Contains(t, errs, "no key of the keyset opens 1 value: they are as they were")
	require.NoError(t, v.db.QueryRow(lost).Scan(&after))
	require.Equal(t, before, after)
}

// Who interrupts the command while no worker runs is told that the run waits; called again, the
// command joins it.
func TestResealInterrupted(t *testing.T) {
	cfg := temporaltest.Config(t)
	v := newVault(t, "temporal.address="+cfg.Address, "temporal.namespace="+cfg.Namespace)
	storetest.Seal(t, v.db, v.sealer(t), 1)
	for range 2 {
		status, _, errs := v.keyset(t, "rotate")
		require.Zero(t, status, errs)
	}
	ctx, cancel := context.WithTimeout(t.Context(), lookForReseal+lookForReseal/2)
	defer cancel()
	var out, errs shared
	require.Equal(t, exitFailed, run(ctx, append([]string{"keyset", "rotate"}, v.set...), &out, &errs))
	require.Contains(t, errs.String(), "the workers go on; `litemaas keyset rotate` joins them")
	status, left, _ := v.keyset(t, "status")
	require.Zero(t, status)
	require.Regexp(t, `opens( +1){4}\n`, left)
	defer v.works(t)()
	status, joined, _ := v.keyset(t, "rotate")
	require.Zero(t, status)
	require.Contains(t, joined, "Step 3 of 3")
	v.requireAudit(t, 1)
}

// What each key has sealed is shown, and what none of them has.
func TestKeysetStatus(t *testing.T) {
	keys := storetest.Keyring{"key2", "key1"}.Keys()
	var counts []store.SealedCount
	require.NoError(t, json.Unmarshal([]byte(`[
		{"Place": "api_keys.sealed", "Head": "I2tleTI=", "N": 7}, {"Place": "api_keys.sealed", "Head": "I2tleTE=", "N": 2},
		{"Place": "operations.body", "Head": "I2tleTA=", "N": 3}]`), &counts)) // #key2, #key1, #key0
	var out bytes.Buffer
	require.NoError(t, writeSealed(&out, keys, store.SealedPlaces(), counts))
	require.Equal(t, `KEY            DOES   signing_keys.private  sessions.provider_tokens  api_keys.sealed  operations.body
key2           seals  0                     0                         7                0
key1           opens  0                     0                         2                0
none of these  -      0                     0                         0                3

3 values cannot be opened: the key that sealed them is not in the keyset.
`, out.String())
	out.Reset()
	require.NoError(t, writeSealed(&out, keys, store.SealedPlaces(), counts[:1]))
	require.Contains(t, out.String(), "The keys that only open have sealed nothing")
	require.NotContains(t, out.String(), "cannot be opened")
}
