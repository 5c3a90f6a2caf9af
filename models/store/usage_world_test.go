package store_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/models"
)

// meter is a world in which calls are recorded.
type meter struct {
	world
	ada, bob       uuid.UUID
	adaKey, bobKey string // hashes
	now            time.Time
}

func newMeter(t *testing.T) meter {
	t.Helper()
	m := meter{world: newWorld(t), now: time.Now().UTC().Truncate(time.Millisecond)}
	m.ada, m.bob = m.user("ada"), m.user("bob")
	m.adaKey, m.bobKey = m.hashOf(m.key(m.ada, "open")), m.hashOf(m.key(m.bob, "open"))
	return m
}

func (m meter) hashOf(key uuid.UUID) string {
	m.t.Helper()
	return m.words("SELECT hash FROM api_keys WHERE id = $1", key)[0]
}

// call is one with ada's key, of 10 and 5 tokens, for a millionth of a dollar.
func (m meter) call(name string, edit func(*models.UsageEvent)) models.UsageEvent {
	e := models.UsageEvent{
		RequestID: name, CallID: "call of " + name, KeyHash: m.adaKey, Model: "open", Provider: "somebody", At: m.now.Add(-time.Second),
		Latency: 250 * time.Millisecond, Requests: 1, Prompt: 10, Completion: 5, Cost: new(models.Dollar / 1_000_000),
	}
	if edit != nil {
		edit(&e)
	}
	return e
}

func (m meter) record(from models.UsageSource, events ...models.UsageEvent) models.Recorded {
	m.t.Helper()
	for _, e := range events {
		require.NoError(m.t, e.Check(time.Now()))
	}
	got, err := m.s.RecordEvents(m.t.Context(), events, from, machine)
	require.NoError(m.t, err)
	return got
}

// became requires a number of new, known and corrected calls.
func (m meter) became(got models.Recorded, fresh, known, corrected int) {
	m.t.Helper()
	require.Equal(m.t, []int{fresh, known, corrected}, []int{got.New, got.Known, got.Corrected}, "new, known, corrected")
	m.summed()
}

// sum is a column of the ledger, added up.
func (m meter) sum(column, where string, args ...any) int {
	m.t.Helper()
	return counted(m.t, m.db, "SELECT coalesce(sum("+column+"), 0) FROM usage_events WHERE "+where, args...)
}

// summed requires the sums to be those of the entries.
func (m meter) summed() {
	m.t.Helper()
	const sums = "sum(requests) AS requests, sum(failed) AS failed, sum(prompt_tokens) AS prompt_tokens, sum(completion_tokens) AS completion_tokens, sum(cost) AS cost, sum(latency_ms) AS latency_ms"
	for table, group := range map[string]struct{ unit, columns string }{
		"usage_hours":  {"hour", "user_id, team_id, api_key_id, model_id, provider"},
		"usage_days":   {"day", "user_id, team_id, api_key_id, model_id, provider"},
		"usage_totals": {"hour", "model_id, provider"},
	} {
		raw := fmt.Sprintf("SELECT date_trunc('%s', at, 'UTC') AS bucket, %s, %s FROM usage_events GROUP BY 1, %s", group.unit, group.columns, sums, group.columns)
		kept := fmt.Sprintf("SELECT bucket, %s, requests, failed, prompt_tokens, completion_tokens, cost, latency_ms FROM %s", group.columns, table)
		for _, query := range []string{raw + " EXCEPT ALL " + kept, kept + " EXCEPT ALL " + raw} {
			require.Zero(m.t, counted(m.t, m.db, "SELECT count(*) FROM ("+query+") x"), table)
		}
	}
}

// hashed is a key that nobody knows.
func hashed(name string) string {
	sum := sha256.Sum256([]byte(name))
	return hex.EncodeToString(sum[:])
}
