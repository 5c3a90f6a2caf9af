package api_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store/storetest"
)

// What LiteLLM tells of is in the ledger when it is answered, once however often it comes, under who
// made the call; and within a second in the figures of the last minutes, also on another replica.
func TestPushedUsageIsRecorded(t *testing.T) {
	s := idle(t)
	s.Config.Usage.PushSecret = models.SecretOf(pushSecret)
	s.handler = s.Handler()
	other := serve(s.Store, &away{}, &away{})
	s.fill(t, some(t)...)
	ada := s.as(t, "ada", user)
	key := storetest.Key(t, s.Store, s.user(t, "ada").ID, nil, "gpt-4.1")
	calls := "[" + usageCall("one", `,"metadata":{"user_api_key_hash":"`+key.Hash+`"}`) + "," +
		usageCall("two", `,"status":"failure","response_cost":0,"metadata":{"user_api_key_hash":"`+key.Hash+`"}`) + "," + usageCall("three", "") + "]"
	require.EqualValues(t, 3, s.push(t, calls).is(http.StatusOK).at("recorded"))
	r := s.push(t, calls).is(http.StatusOK)
	require.EqualValues(t, 0, r.at("recorded"))
	require.EqualValues(t, 3, r.at("known"))
	for _, replica := range []system{s, other} {
		require.Eventually(t, func() bool {
			return replica.by(t, ada, http.MethodGet, realtimePath+"?by=key", "").at("total.minute.requests") == 2.0
		}, time.Second, 50*time.Millisecond)
		r := replica.by(t, ada, http.MethodGet, realtimePath+"?by=key", "")
		require.Equal(t, key.ID.String(), r.at("items.0.id"))
		require.EqualValues(t, 1, r.at("total.hour.errors"))
		require.InDelta(t, 0.001, r.at("total.minute.cost"), 1e-9)
		require.EqualValues(t, 3, replica.get(t, realtimePath).at("total.minute.requests"))
	}
}
