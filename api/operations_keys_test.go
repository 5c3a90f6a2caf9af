package api_test

import (
	"net/http"
	"sync"
	"testing"
	"time"

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

// lost has every answer be lost: the processes died before they recorded it.
func (s shop) lost(t *testing.T) {
	t.Helper()
	s.exec(t, "UPDATE operations SET answered_at = NULL, status = NULL, body = NULL, headers = NULL")
}

// An admin who asks again for a key, after the process died that made it for a user, is given that
// key. If the process had come to the subscriptions only, the key is made now.
func TestUserKeyOutlivesItsProcess(t *testing.T) {
	s := open(t)
	ada := s.user(t, "ada@example.com").ID.String()
	path := "/api/v1/admin/users/" + ada + "/api-keys"
	ask := func(key string) reply {
		return s.keyed(t, key, http.MethodPost, path, `{"name": "lost", "modelIds": ["gpt-4o"]}`, "Authorization", s.root).is(http.StatusCreated)
	}
	op := func() reply {
		return s.by(t, s.root, http.MethodGet, "/api/v1/operations?limit=1", "").is(http.StatusOK)
	}
	made := ask("k")
	s.lost(t)
	require.Equal(t, "succeeded", op().at("data.0.status"))
	require.Equal(t, map[string]any{"type": "API_KEY", "id": id(made)}, op().at("data.0.subject"))
	require.Equal(t, made.Body.String(), ask("k").Body.String())
	require.Equal(t, "true", ask("k").Header().Get(replayed))

	s.lost(t)
	s.exec(t, "UPDATE operations SET subjects = '[]'")
	require.Equal(t, "failed", op().at("data.0.status"), "the key is not there")
	s.exec(t, "UPDATE operations SET claimed_until = now() + interval '1 minute'")
	require.Equal(t, "running", op().at("data.0.status"), "somebody works on it")
	s.exec(t, "UPDATE operations SET claimed_until = now()")
	again := ask("k")
	require.NotEqual(t, id(made), id(again))
	require.Equal(t, id(again), op().at("data.0.subject.id"))
	s.lost(t)
	require.Equal(t, again.Body.String(), ask("k").Body.String())
	require.EqualValues(t, 2, s.by(t, s.ada, http.MethodGet, keysPath, "").at("total"))
	require.EqualValues(t, 1, s.by(t, s.ada, http.MethodGet, subscriptions, "").at("total"))
}

// What is done before an admin's key is made does not count as the key.
func TestUserKeyIsRetried(t *testing.T) {
	s := open(t)
	path := "/api/v1/admin/users/" + s.user(t, "ada@example.com").ID.String() + "/api-keys"
	back := s.cut(t)
	ask := func() reply {
		return s.keyed(t, "k", http.MethodPost, path, `{"name": "later", "modelIds": ["gpt-4o"]}`, "Authorization", s.root)
	}
	ask().problem(http.StatusServiceUnavailable, "SERVICE_UNAVAILABLE")
	back()
	var made reply
	require.Eventually(t, func() bool { made = ask(); return made.Code != http.StatusServiceUnavailable }, 60*time.Second, 200*time.Millisecond)
	made.is(http.StatusCreated)
	require.EqualValues(t, 1, s.by(t, s.ada, http.MethodGet, keysPath, "").at("total"))
}

// Whoever rotates a key, retires it, or undoes that, and asks again after the process died that did
// it, is answered as he was, with the same secret; what was undone since is said to be.
func TestRotationOutlivesItsProcess(t *testing.T) {
	s := open(t)
	s.has(t, s.ada, "gpt-4o")
	ask := func(made reply, key, what string) reply {
		return s.keyed(t, key, http.MethodPost, keyLifePath+id(made)+"/rotate"+what, "", "Authorization", s.ada)
	}
	twice := func(made reply, key, what string) reply {
		t.Helper()
		first := ask(made, key, what).is(http.StatusOK)
		s.lost(t)
		require.Equal(t, first.Body.String(), ask(made, key, what).is(http.StatusOK).Body.String())
		return first
	}
	one := s.made(t, "gpt-4o")
	heir := twice(one, "rotate", "")
	op := s.by(t, s.ada, http.MethodGet, "/api/v1/operations?limit=1", "").is(http.StatusOK)
	require.Equal(t, []any{id(heir), "succeeded"}, []any{op.at("data.0.subject.id"), op.at("data.0.status")}, "it is about the new key")
	require.True(t, taken(t, s.proxy, heir.at("key").(string)))
	twice(one, "undo", "/undo")
	s.lost(t)
	gone := ask(one, "rotate", "")
	gone.problem(http.StatusConflict, "CONFLICT")
	require.Contains(t, gone.at("message"), "that was undone")

	heir = twice(one, "anew", "")
	require.Equal(t, "revoked", twice(one, "retire", "/retire").at("status"))
	s.lost(t)
	require.Equal(t, heir.at("key"), ask(one, "anew", "").is(http.StatusOK).at("key"), "also when the old key has gone")
	require.EqualValues(t, 1, s.by(t, s.ada, http.MethodGet, keysPath+"?isActive=true", "").at("total"))
	require.EqualValues(t, 3, s.by(t, s.ada, http.MethodGet, keysPath, "").at("total"))
}

// While LiteLLM is away the answers to who asks again claim no more than the first ones.
func TestRotationOutlivesItsProcessWhileLiteLLMIsAway(t *testing.T) {
	s := open(t)
	s.has(t, s.ada, "gpt-4o")
	one := s.made(t, "gpt-4o")
	back := s.cut(t)
	for _, what := range []string{"", "/retire", "/undo"} {
		ask := func() reply {
			return s.keyed(t, "k"+what, http.MethodPost, keyLifePath+id(one)+"/rotate"+what, "", "Authorization", s.ada).is(http.StatusAccepted)
		}
		first := ask()
		s.lost(t)
		require.Equal(t, first.Body.String(), ask().Body.String(), what)
	}
	back()
}
