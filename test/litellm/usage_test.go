//go:build litellm

package litellm_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// What the LiteLLM of this test was told to push usage to, and what it says there; see .ci/run. If it
// was not told, it is only read.
const (
	usageURL    = "LITELLM_PUSHES_TO"
	usageSecret = "LITELLM_PUSH_SECRET"
)

// The prices of the model, by LiteLLM.
const promptPrice, completionPrice = 2.5e-6, 1e-5

// Each call is in the ledger once, as LiteLLM tells of it, as its log has it, and with both: whose it was, by
// which key, of which model, how many tokens it took and what it cost. Whoever has spent the budget of
// his key is refused by LiteLLM and by us, until it is raised.
func TestJourneyOfUsage(t *testing.T) {
	read := []string{"LITEMAAS_USAGE_COLLECT_EVERY=1s", "LITEMAAS_USAGE_COLLECT_LAG=0s"}
	t.Run("read", func(t *testing.T) { journeyOfUsage(t, read) })
	if os.Getenv(usageURL) == "" {
		t.Logf("%s is not set: what LiteLLM pushes is not tried", usageURL)
		return
	}
	push := "LITEMAAS_USAGE_PUSH_SECRET=" + os.Getenv(usageSecret)
	t.Run("pushed", func(t *testing.T) { journeyOfUsage(t, []string{push, "LITEMAAS_USAGE_COLLECT_EVERY=1h"}) })
	t.Run("both", func(t *testing.T) { journeyOfUsage(t, append(read, push)) })
}

func journeyOfUsage(t *testing.T, settings []string) {
	s := start(t, settings...)
	s.syncs(t)
	s.signIn(t)
	s.asks(t, http.MethodPost, "/subscriptions", fmt.Sprintf(`{"modelId": %q}`, ours)).is(http.StatusCreated)
	k := s.made(t, "")
	var prompt, completion int64
	const calls = 3
	for range calls {
		said := s.calls(t, k, ours).is(http.StatusOK)
		var body struct {
			Usage struct {
				Prompt     int64 `json:"prompt_tokens"`
				Completion int64 `json:"completion_tokens"`
			}
		}
		require.NoError(t, json.Unmarshal(said.body, &body))
		prompt, completion = prompt+body.Usage.Prompt, completion+body.Usage.Completion
	}
	began := time.Now()
	want := usageSums{Requests: calls, Prompt: prompt, Completion: completion, Cost: float64(prompt)*promptPrice + float64(completion)*completionPrice}
	require.Eventually(t, func() bool { return s.used(t, "").Requests >= calls }, patience, 100*time.Millisecond, "the calls are in the ledger")
	t.Logf("in the ledger %s after the last call", time.Since(began).Round(time.Millisecond))
	time.Sleep(8 * time.Second) // by then the other way has told of them too
	for of, query := range map[string]string{"hers": "", "of the key": "&apiKeyId=" + k.id, "of the model": "&modelId=" + ours} {
		got := s.used(t, query)
		require.InDelta(t, want.Cost, got.Cost, 1e-9, of)
		got.Cost = want.Cost
		require.Equal(t, want, got, of)
	}
	require.Zero(t, s.used(t, "&modelId="+others))

	s.asks(t, http.MethodPatch, "/api-keys/"+k.id, `{"maxBudget": 0.001}`).is(http.StatusOK)
	s.spends(t, k)
	s.asks(t, http.MethodPatch, "/api-keys/"+k.id, `{"maxBudget": 1}`).is(http.StatusOK)
	s.require(t, "raised", k, ours, http.StatusOK, "valid")
}

// spends calls until the budget of the key is spent. LiteLLM sets aside what a call may cost at most, so it
// may refuse one that comes too soon.
func (s *system) spends(t *testing.T, k key) {
	t.Helper()
	there, began := time.Time{}, time.Now()
	require.Eventually(t, func() bool {
		at := s.calls(t, k, ours)
		if at.status != http.StatusOK && there.IsZero() {
			there = time.Now()
		}
		_, why := s.judged(t, k, ours)
		return at.status != http.StatusOK && why == "budget_exceeded"
	}, patience, 500*time.Millisecond, "the budget is spent")
	t.Logf("refused by LiteLLM after %s, by both after %s", there.Sub(began).Round(time.Millisecond), time.Since(began).Round(time.Millisecond))
	require.Eventually(t, func() bool {
		at := s.asks(t, http.MethodGet, "/api-keys/"+k.id, "").is(http.StatusOK)
		return at.at("status") == "blocked" && at.at("settled") == "true"
	}, patience, 100*time.Millisecond, "LiteLLM has blocked the key")
	s.calls(t, k, ours).is(http.StatusUnauthorized)
}

// usageSums is what ada used.
type usageSums struct {
	Requests   int64   `json:"requests"`
	Prompt     int64   `json:"promptTokens"`
	Completion int64   `json:"completionTokens"`
	Cost       float64 `json:"cost"`
}

// used is what the ledger says of today.
func (s *system) used(t *testing.T, query string) usageSums {
	t.Helper()
	today := time.Now().UTC().Format(time.DateOnly)
	said := s.asks(t, http.MethodGet, "/usage/summary?startDate="+today+"&endDate="+today+query, "").is(http.StatusOK)
	var body struct{ Totals usageSums }
	require.NoError(t, json.Unmarshal(said.body, &body))
	return body.Totals
}

// listenAt is where the program has to listen, so that LiteLLM finds it; anywhere, if it does not look.
func listenAt(t *testing.T) string {
	t.Helper()
	if os.Getenv(usageURL) == "" {
		return "127.0.0.1:0"
	}
	at, err := url.Parse(os.Getenv(usageURL))
	require.NoError(t, err)
	return at.Host
}
