//go:build litellm

package litellm_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const (
	ours   = "gpt-4o"
	others = "gpt-4o-mini"
)

// key is an API key of ada's.
type key struct{ id, secret string }

// kept is the key of an answer, whose secret nobody else is to be told.
func (s *system) kept(r reply) key {
	k := key{r.at("id"), r.at("key")}
	s.secrets = append(s.secrets, k.secret)
	return k
}

// made is a new key that may call a model, with what else is asked of it.
func (s *system) made(t *testing.T, more string) key {
	t.Helper()
	return s.kept(s.asks(t, http.MethodPost, "/api-keys", fmt.Sprintf(`{"name": "journey", "modelIds": [%q]%s}`, ours, more)).is(http.StatusCreated))
}

// calls is a request for a model, to LiteLLM.
func (s *system) calls(t *testing.T, k key, model string) reply {
	t.Helper()
	body := fmt.Sprintf(`{"model": %q, "messages": [{"role": "user", "content": "Hello"}]}`, model)
	return send(t, http.MethodPost, s.litellm+"/v1/chat/completions", k.secret, body)
}

// judged is what a gateway is told of the same call, and the reason that an admin reads.
func (s *system) judged(t *testing.T, k key, model string) (status int, reason string) {
	t.Helper()
	status = send(t, http.MethodPost, s.url+"/ext-authz/v1/chat/completions", k.secret, fmt.Sprintf(`{"model": %q}`, model),
		"X-LiteMaaS-Gateway", gatewaySecret).status
	said := s.orders(t, http.MethodPost, "/api-keys/validate", fmt.Sprintf(`{"key": %q, "model": %q}`, k.secret, model)).is(http.StatusOK)
	require.Equal(t, fmt.Sprint(status == http.StatusOK), said.at("isValid"), "one verdict: %s", said.body)
	return status, said.at("reason")
}

// require requires LiteLLM to answer a call so now, and us to judge it likewise, for that reason.
func (s *system) require(t *testing.T, step string, k key, model string, status int, reason string) {
	t.Helper()
	at := s.calls(t, k, model)
	require.Equal(t, status, at.status, "%s: %s", step, at.body)
	if status == http.StatusOK {
		require.Contains(t, string(at.body), "Hello from "+model, step)
	}
	said, why := s.judged(t, k, model)
	require.Equal(t, []any{status, reason}, []any{said, why}, step)
}

// refused waits until LiteLLM and we refuse a call, which neither does before shortly before the
// end, and returns when each did first.
func (s *system) refused(t *testing.T, k key, end time.Time) (there, here time.Time) {
	t.Helper()
	time.Sleep(time.Until(end.Add(-3 * time.Second)))
	s.require(t, "shortly before its end", k, ours, http.StatusOK, "valid")
	for giveUp := time.Now().Add(patience); there.IsZero() || here.IsZero(); time.Sleep(20 * time.Millisecond) {
		require.Less(t, time.Now(), giveUp, "it is not refused")
		if there.IsZero() {
			if at := s.calls(t, k, ours); at.status != http.StatusOK {
				there = time.Now()
				at.is(http.StatusUnauthorized)
			}
		}
		if here.IsZero() {
			if status, _ := s.judged(t, k, ours); status != http.StatusOK {
				here = time.Now()
				require.Equal(t, http.StatusUnauthorized, status)
			}
		}
	}
	return there, here
}

// An API key is made, called with, changed, blocked, rotated and revoked, and one expires: LiteLLM
// takes it exactly as long as we say, and what we say to gateways is the same all the way.
func TestJourneyOfAKey(t *testing.T) {
	s := start(t)
	s.syncs(t)
	s.signIn(t)
	for _, model := range []string{ours, others} {
		require.Equal(t, "active", s.asks(t, http.MethodPost, "/subscriptions", fmt.Sprintf(`{"modelId": %q}`, model)).is(http.StatusCreated).at("status"))
	}
	k := s.made(t, "")
	s.require(t, "made", k, ours, http.StatusOK, "valid")
	s.require(t, "a model that is not on it", k, others, http.StatusForbidden, "model_not_allowed")
	s.require(t, "no key", key{secret: k.secret + "x"}, ours, http.StatusUnauthorized, "key_unknown")
	path := "/api-keys/" + k.id
	s.asks(t, http.MethodPatch, path, fmt.Sprintf(`{"modelIds": [%q, %q]}`, ours, others)).is(http.StatusOK)
	s.require(t, "changed", k, others, http.StatusOK, "valid")

	s.blocks(t, k)
	k = s.rotates(t, k)
	s.ends(t, k)
	s.expires(t)
}

// syncs has all that LiteLLM offers be in the catalogue.
func (s *system) syncs(t *testing.T) {
	t.Helper()
	require.Equal(t, "true", s.orders(t, http.MethodPost, "/models/sync", "").is(http.StatusOK).at("success"))
	var there, here struct{ Data, Models []struct{ ID string } }
	list := send(t, http.MethodGet, s.litellm+"/v1/models", s.masterKey, "").is(http.StatusOK)
	require.NoError(t, json.Unmarshal(list.body, &there))
	list = s.orders(t, http.MethodGet, "/models?limit=1000", "").is(http.StatusOK)
	require.NoError(t, json.Unmarshal(list.body, &here), "%s", list.body)
	require.NotEmpty(t, there.Data)
	for _, llm := range there.Data {
		require.True(t, slices.Contains(append(here.Data, here.Models...), llm), llm.ID)
	}
	t.Logf("a full sync: %d models", len(there.Data))
}

// blocks has everything taken from ada, and given back.
func (s *system) blocks(t *testing.T, k key) {
	t.Helper()
	at := "/admin/users/" + s.asks(t, http.MethodGet, "/auth/me", "").is(http.StatusOK).at("id")
	s.orders(t, http.MethodPost, at+"/deactivate", `{"reason": "she leaves"}`).is(http.StatusOK)
	s.require(t, "blocked", k, ours, http.StatusUnauthorized, "owner_inactive")
	s.orders(t, http.MethodPost, at+"/reinstate", `{"reason": "she is back"}`).is(http.StatusOK)
	s.require(t, "released", k, ours, http.StatusOK, "valid")
	s.require(t, "released, also for the other model", k, others, http.StatusOK, "valid")
	s.signIn(t)
}

// rotates gives a key a successor twice: one has it retired, and one waits for the grace to end.
func (s *system) rotates(t *testing.T, k key) key {
	t.Helper()
	path := "/api-keys/" + k.id + "/rotate"
	heir := s.kept(s.asks(t, http.MethodPost, path, `{"gracePeriod": "1h"}`).is(http.StatusOK))
	s.require(t, "rotated, the old one", k, others, http.StatusOK, "valid")
	s.require(t, "rotated, the new one", heir, others, http.StatusOK, "valid")
	require.Equal(t, "revoked", s.asks(t, http.MethodPost, path+"/retire", "").is(http.StatusOK).at("status"))
	s.require(t, "retired", k, ours, http.StatusUnauthorized, "key_revoked")
	s.require(t, "alone", heir, ours, http.StatusOK, "valid")

	k = heir
	rotated := s.asks(t, http.MethodPost, "/api-keys/"+k.id+"/rotate", `{"gracePeriod": "8s"}`).is(http.StatusOK)
	heir = s.kept(rotated)
	until, err := time.Parse(time.RFC3339, rotated.at("graceUntil"))
	require.NoError(t, err)
	s.require(t, "in its grace", k, ours, http.StatusOK, "valid")
	s.require(t, "beside the old one", heir, ours, http.StatusOK, "valid")
	there, here := s.refused(t, k, until)
	t.Logf("the end of a grace: refused by LiteLLM %s after it, by us %s", there.Sub(until), here.Sub(until))
	require.WithinRange(t, there, until, until.Add(5*time.Second), "of which a busy machine needs most")
	require.WithinRange(t, here, until, until.Add(time.Second))
	s.require(t, "alone again", heir, others, http.StatusOK, "valid")
	return heir
}

// ends revokes a key. From the answer on it is good for nothing.
func (s *system) ends(t *testing.T, k key) {
	t.Helper()
	asked := time.Now()
	require.Equal(t, "revoked", s.asks(t, http.MethodDelete, "/api-keys/"+k.id, "").is(http.StatusOK).at("status"))
	answered := time.Now()
	s.require(t, "revoked", k, ours, http.StatusUnauthorized, "key_revoked")
	took := time.Since(answered)
	t.Logf("a revocation: answered after %s, seen to be refused by LiteLLM and by us %s after that", answered.Sub(asked), took)
	require.Less(t, took, time.Second)
}

// expires lets a key live for some seconds.
func (s *system) expires(t *testing.T) {
	t.Helper()
	end := time.Now().Add(10 * time.Second).Truncate(time.Millisecond)
	k := s.made(t, fmt.Sprintf(`, "expiresAt": %q`, end.UTC().Format(time.RFC3339Nano)))
	s.require(t, "short-lived", k, ours, http.StatusOK, "valid")
	there, here := s.refused(t, k, end)
	t.Logf("the end of a short life: refused by LiteLLM %s after it, by us %s", there.Sub(end), here.Sub(end))
	require.WithinRange(t, there, end.Add(-time.Second), end.Add(2*time.Second), "LiteLLM counts in seconds")
	require.WithinRange(t, here, end, end.Add(time.Second))
	var status string
	require.Eventually(t, func() bool {
		at := s.asks(t, http.MethodGet, "/api-keys/"+k.id, "").is(http.StatusOK)
		status = at.at("status")
		return at.at("settled") == "true" && at.at("revokedAt") != "<nil>"
	}, 5*time.Second, 50*time.Millisecond, "it is revoked by our clock, which looks once a minute otherwise")
	require.Equal(t, "expired", status)
	s.require(t, "expired", k, ours, http.StatusUnauthorized, "key_expired")
}
