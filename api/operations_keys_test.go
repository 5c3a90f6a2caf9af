package api_test

import (
	"net/http"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// The same request for a key, sent twenty times at once, makes one key, and all are told its secret.
// What is kept of the answer is sealed; the operation names the key and says that it is done.
func TestKeyedKeyIsMadeOnce(t *testing.T) {
	s, _, _ := running(t)
	s.call(t, http.MethodPost, "/api/v1/models/sync", "{}").is(http.StatusOK)
	ada := s.as(t, "ada", user)
	s.by(t, ada, http.MethodPost, "/api/v1/subscriptions", `{"modelId": "gpt-4o"}`).is(http.StatusCreated)
	answers := make([]string, 20)
	var wg sync.WaitGroup
	for i := range answers {
		wg.Go(func() {
			rep := s.call(t, http.MethodPost, "/api/v1/api-keys", `{"modelIds": ["gpt-4o"], "name": "once"}`, "Authorization", ada, "Idempotency-Key", "k1")
			answers[i] = rep.is(http.StatusCreated).at("key").(string)
		})
	}
	wg.Wait()
	for _, key := range answers {
		require.Equal(t, answers[0], key)
	}
	list := s.by(t, ada, http.MethodGet, "/api/v1/api-keys", "").is(http.StatusOK)
	require.EqualValues(t, 1, list.at("total"))
	op := s.by(t, ada, http.MethodGet, "/api/v1/operations?limit=1", "").is(http.StatusOK)
	require.Equal(t, "succeeded", op.at("data.0.status"))
	require.Equal(t, "API_KEY", op.at("data.0.subject.type"))
	require.Equal(t, list.at("data.0.id"), op.at("data.0.subject.id"))
}
