package api_test

import (
	"net/http"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

// Whoever prefers not to wait is told where to look, as is everybody whose request goes on.
func TestRespondAsync(t *testing.T) {
	s := idle(t)
	s.as(t, "bob", user)
	bob := s.user(t, "bob")
	at := "/api/v1/admin/users/" + bob.ID.String()
	plain := s.call(t, http.MethodPost, at+"/deactivate", "").is(http.StatusAccepted)
	require.Empty(t, plain.Header().Get("Preference-Applied"))
	async := s.call(t, http.MethodPost, at+"/reinstate", "", "Prefer", "handling=lenient, Respond-Async; x=1, wait=1").is(http.StatusAccepted)
	require.Equal(t, "respond-async", async.Header().Get("Preference-Applied"))
	for _, rep := range []reply{plain, async} {
		op := s.get(t, rep.Header().Get("Location")).is(http.StatusOK)
		for name, want := range map[string]any{
			"status": "running", "httpStatus": 202.0, "subject": map[string]any{"type": "USER", "id": bob.ID.String()}, "links.subject": at,
		} {
			require.Equal(t, want, op.at(name), name)
		}
		require.NotContains(t, op.body(), "idempotencyKey")
	}
	u := s.user(t, "bob")
	_, err := s.Store.ObserveUser(t.Context(), u.ID, u.Generation)
	require.NoError(t, err)
	require.Equal(t, "succeeded", s.get(t, plain.Header().Get("Location")).at("status"))
	require.Equal(t, "succeeded", s.get(t, async.Header().Get("Location")).at("status"))

	done := s.call(t, http.MethodPost, roles, billing, "Prefer", "respond-async").is(http.StatusCreated)
	require.Empty(t, done.Header().Get("Preference-Applied"), "it was done already")
	s.call(t, http.MethodDelete, roles+"/billing", "", "Prefer", "wait=1").is(http.StatusOK)
	require.Len(t, s.operations(t, ""), 3, "one for each that was asked to be one, or goes on")
}

// A sync that goes on is an operation that ends with it.
func TestRespondAsyncOfSync(t *testing.T) {
	s, _, _ := running(t)
	rep := s.call(t, http.MethodPost, "/api/v1/models/sync", "{}", "Prefer", "respond-async", idempotencyKey, "k").is(http.StatusAccepted)
	require.Regexp(t, "^/api/v1/operations/", rep.Header().Get("Location"))
	again := s.call(t, http.MethodPost, "/api/v1/models/sync", "{}", "Prefer", "respond-async", idempotencyKey, "k").is(http.StatusAccepted)
	require.Equal(t, rep.Header().Get("Location"), again.Header().Get("Location"))
	require.Equal(t, "respond-async", again.Header().Get("Preference-Applied"))
	require.Equal(t, "completed", s.ends(t, rep.at("runId")).at("status"))
	require.Equal(t, "succeeded", s.get(t, rep.Header().Get("Location")).is(http.StatusOK).at("status"))
	waited := s.call(t, http.MethodPost, "/api/v1/models/sync", "{}", "Prefer", "respond-async, wait=20").is(http.StatusOK)
	require.Equal(t, true, waited.at("success"))
}

// One sees one's own operations; those of others are for who may read the audit log.
func TestWhoseOperations(t *testing.T) {
	s := idle(t)
	s.audits(t)
	ada, bob, reads := s.as(t, "ada", user), s.as(t, "bob", user), s.as(t, auditor)
	s.by(t, ada, http.MethodGet, "/api/v1/operations", "").is(http.StatusOK)
	s.call(t, http.MethodPatch, "/api/v1/users/me", `{"fullName": "Ada"}`, "Authorization", ada, idempotencyKey, "k").is(http.StatusOK)
	s.call(t, http.MethodPatch, "/api/v1/users/me", `{"fullName": "Bob"}`, "Authorization", bob, idempotencyKey, "k").is(http.StatusOK)
	for _, tc := range []struct {
		who, query string
		want       []string
	}{
		{ada, "", []string{"ada"}},
		{ada, "?actor=" + s.user(t, "ada").ID.String(), []string{"ada"}},
		{bob, "?status=succeeded", []string{"bob"}},
		{bob, "?status=failed", nil},
		{reads, "", nil},
		{reads, "?actor=" + s.user(t, "ada").ID.String(), []string{"ada"}},
		{reads, "?actor=all", []string{"bob", "ada"}},
		{reads, "?actor=all&page=2&limit=1", []string{"ada"}},
	} {
		rep := s.by(t, tc.who, http.MethodGet, "/api/v1/operations"+tc.query, "").is(http.StatusOK)
		var got []string
		for _, op := range rep.at("data").([]any) {
			for _, name := range []string{"ada", "bob"} {
				if s.user(t, name).ID.String() == op.(map[string]any)["actor"] {
					got = append(got, name)
				}
			}
		}
		require.Equal(t, tc.want, got, tc.query)
	}
	s.by(t, bob, http.MethodGet, "/api/v1/operations?actor="+s.user(t, "ada").ID.String(), "").problem(http.StatusForbidden, "FORBIDDEN")
	s.by(t, bob, http.MethodGet, "/api/v1/operations?actor=all", "").problem(http.StatusForbidden, "FORBIDDEN")
	its := s.by(t, ada, http.MethodGet, "/api/v1/operations", "").at("data.0.links.self").(string)
	s.by(t, ada, http.MethodGet, its, "").is(http.StatusOK)
	s.by(t, reads, http.MethodGet, its, "").is(http.StatusOK)
	s.by(t, bob, http.MethodGet, its, "").problem(http.StatusNotFound, "NOT_FOUND")
	s.get(t, "/api/v1/operations/"+uuid.NewString()).problem(http.StatusNotFound, "NOT_FOUND")
	require.Equal(t, "id", s.get(t, "/api/v1/operations/x").problem(http.StatusBadRequest, "VALIDATION_ERROR"))
	for query, field := range map[string]string{"?status=maybe": "status", "?limit=101": "limit", "?page=0": "page"} {
		require.Equal(t, field, s.get(t, "/api/v1/operations"+query).problem(http.StatusBadRequest, "VALIDATION_ERROR"))
	}
}

// A web page of another origin may send the headers of operations, and read them.
func TestOperationHeadersOfOtherOrigins(t *testing.T) {
	s := idle(t)
	asked := s.call(t, http.MethodOptions, roles, "", "Origin", "http://localhost:3000", "Access-Control-Request-Method", "POST",
		"Access-Control-Request-Headers", "idempotency-key,prefer").is(http.StatusNoContent)
	require.Contains(t, asked.Header().Get("Access-Control-Allow-Headers"), idempotencyKey)
	require.Contains(t, asked.Header().Get("Access-Control-Allow-Headers"), "Prefer")
	rep := s.call(t, http.MethodPost, roles, billing, "Origin", "http://localhost:3000")
	for _, name := range []string{"Location", "Preference-Applied", replayed} {
		require.Contains(t, rep.Header().Get("Access-Control-Expose-Headers"), name)
	}
}
