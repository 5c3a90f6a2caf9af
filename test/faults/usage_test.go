package faults_test

import (
	"bytes"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

const (
	pushSecret   = "a-secret-of-litellm"
	batches      = 30
	batchSize    = 512 // as LiteLLM sends them
	timesTold    = 3
	pushers      = 4
	killingEvery = 300 * time.Millisecond
)

// Calls are told of three times while the API and Postgres are killed in the middle of it: each counts
// once, in the ledger, in all sums, and for the budget, whose thresholds are told of once each, and whose
// user is held.
func TestUsageSurvivesKills(t *testing.T) {
	m := startMortal(t, "LITEMAAS_USAGE_PUSH_SECRET="+pushSecret)
	spender := uuid.New()
	m.exec(t, `INSERT INTO users (id, username, oauth_provider, oauth_id, observed_generation, max_budget, budget_duration)
		VALUES ($1, 'spender', 'oidc', 'spender', 1, 10000000000, 'monthly')`, spender)
	told := make([][]byte, batches)
	for i := range told {
		told[i] = callsOf(spender, time.Now())
	}

	ended := make(chan struct{})
	var killing sync.WaitGroup
	killing.Go(func() {
		for turn := 0; ; turn++ {
			select {
			case <-ended:
				return
			case <-time.After(killingEvery):
				m.strike(t, []int{1, 3}[turn%2])
			}
		}
	})
	begun := time.Now()
	for range timesTold {
		m.push(t, told)
	}
	close(ended)
	killing.Wait()
	t.Logf("%d calls told of %d times in %s; the API was killed %d times, Postgres %d times",
		batches*batchSize, timesTold, time.Since(begun).Round(time.Second), m.parts[1].kills, m.parts[3].kills)

	for _, sums := range []string{"usage_events", "usage_hours", "usage_days", "usage_totals"} {
		require.Equal(t, batches*batchSize, m.count(t, "SELECT sum(requests) FROM "+sums), sums)
		require.Equal(t, batches*batchSize, m.count(t, "SELECT (sum(cost) / 1000000)::bigint FROM "+sums), sums)
	}
	of := fmt.Sprintf("FROM budgets WHERE subject_type = 'user' AND subject_id = '%s'", spender)
	require.Equal(t, batches*batchSize, m.count(t, "SELECT spent / 1000000 "+of))
	require.Eventually(t, func() bool { return m.count(t, "SELECT count(*) "+of+" AND held AND NOT due") == 1 }, patience, 100*time.Millisecond, "he is held")
	for _, percent := range []int{50, 80, 90, 100} {
		require.Equal(t, 1, m.count(t, fmt.Sprintf("SELECT count(*) FROM outbox WHERE type = 'budget.threshold' AND data ->> 'percent' = '%d'", percent)), percent)
	}
	require.Equal(t, 1, m.count(t, "SELECT count(*) FROM outbox WHERE type = 'budget.held'"))
}

// push tells of all batches, each until it is taken.
func (m *mortal) push(t *testing.T, told [][]byte) {
	t.Helper()
	next := make(chan []byte)
	var pushing sync.WaitGroup
	for range pushers {
		pushing.Go(func() {
			for body := range next {
				m.tell(t, body)
			}
		})
	}
	for _, body := range told {
		next <- body
	}
	close(next)
	pushing.Wait()
}

// tell tells of one batch, again and again until the answer is that it was taken.
func (m *mortal) tell(t *testing.T, body []byte) {
	for giveUp := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		req, err := http.NewRequest(http.MethodPost, m.url+"/api/v1/usage/events", bytes.NewReader(body))
		require.NoError(t, err)
		req.Header.Set("X-Litemaas-Usage", pushSecret)
		req.Header.Set("Content-Type", "application/json")
		res, err := http.DefaultClient.Do(req)
		if err == nil {
			_ = res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return
			}
			require.True(t, slices.Contains([]int{http.StatusTooManyRequests, http.StatusServiceUnavailable}, res.StatusCode), "answered %d", res.StatusCode)
		}
		require.Less(t, time.Now(), giveUp, "a batch is not taken")
	}
}

// callsOf is a batch of calls of a user, each of which cost a thousandth of a dollar.
func callsOf(user uuid.UUID, at time.Time) []byte {
	var out bytes.Buffer
	for range batchSize {
		fmt.Fprintf(&out, `{"id": "chatcmpl-%s", "litellm_call_id": "%s", "call_type": "acompletion", "status": "success", "response_cost": 0.001,
			"model": "openai/gpt-4o", "model_group": "gpt-4o", "startTime": %d, "endTime": %d, "prompt_tokens": 1, "completion_tokens": 1,
			"metadata": {"user_api_key_user_id": "%s"}}`+"\n", uuid.NewString(), uuid.NewString(), at.Unix(), at.Unix(), user)
	}
	return out.Bytes()
}
