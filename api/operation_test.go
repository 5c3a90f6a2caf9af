package api_test

import (
	"bufio"
	"context"
	"database/sql"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/api"
	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
	"github.com/litemaas/litemaas/models/store/storetest"
)

const (
	idempotencyKey = "Idempotency-Key"
	replayed       = "Idempotent-Replayed"
	roles          = "/api/rbac/roles"
	billing        = `{"id": "billing", "permissions": ["admin:usage"]}`
)

// idleOn is idle, with a plain connection to its database.
func idleOn(t *testing.T) (system, *sql.DB) {
	t.Helper()
	url := storetest.URL(t)
	st, err := store.Open(t.Context(), store.Config{URL: models.SecretOf(url), MaxConns: 8})
	require.NoError(t, err)
	t.Cleanup(st.Close)
	return serve(st, &away{}, &away{}), storetest.SQL(t, url)
}

// keyed sends a request under a key.
func (s system) keyed(t *testing.T, key, method, path, body string, header ...string) reply {
	t.Helper()
	return s.call(t, method, path, body, append(slices.Clip(header), idempotencyKey, key)...)
}

// atOnce sends the same request under one key n times, and requires n equal answers of which
// all but one are replayed.
func (s system) atOnce(t *testing.T, n int, method, path, body string, header ...string) reply {
	t.Helper()
	replies := make([]reply, n)
	var wg sync.WaitGroup
	for i := range replies {
		wg.Go(func() { replies[i] = s.keyed(t, "the-same", method, path, body, header...) })
	}
	wg.Wait()
	first := 0
	for _, r := range replies {
		require.Equal(t, replies[0].Code, r.Code, r.Body)
		require.Equal(t, replies[0].Body.String(), r.Body.String())
		require.Equal(t, replies[0].Header().Get("Location"), r.Header().Get("Location"))
		require.Equal(t, replies[0].Header().Get("Content-Type"), r.Header().Get("Content-Type"))
		if r.Header().Get(replayed) == "" {
			first++
		}
	}
	require.Equal(t, 1, first, "one was carried out")
	return replies[0]
}

// operations is what GET /api/v1/operations lists.
func (s system) operations(t *testing.T, query string) []any {
	t.Helper()
	return s.get(t, "/api/v1/operations"+query).is(http.StatusOK).at("data").([]any)
}

// The same request, 20 times at once under one key, is carried out once and answered the same;
// another request under the key is refused, and another caller has keys of his own.
func TestIdempotencyKey(t *testing.T) {
	s, db := idleOn(t)
	first := s.atOnce(t, 20, http.MethodPost, roles, billing).is(http.StatusCreated)
	require.Equal(t, "billing", first.at("id"))
	require.Len(t, s.entries(t, store.AuditQuery{Action: models.AuditRoleCreate}), 1)
	ops := s.operations(t, "")
	require.Len(t, ops, 1)
	op := ops[0].(map[string]any)
	for name, want := range map[string]any{
		"status": "succeeded", "request": "POST " + roles, "httpStatus": 201.0, "idempotencyKey": "the-same",
		"subject": map[string]any{"type": "ROLE", "id": "billing"}, "links": map[string]any{"self": "/api/v1/operations/" + op["id"].(string)},
	} {
		require.Equal(t, want, op[name], name)
	}
	require.NotContains(t, op, "error")
	var body []byte
	require.NoError(t, db.QueryRow("SELECT body FROM operations").Scan(&body))
	require.Equal(t, "operations/"+op["id"].(string)+"\x00"+first.Body.String(), string(body), "it is sealed, to the row")

	for _, other := range []func() reply{
		func() reply {
			return s.keyed(t, "the-same", http.MethodPost, roles, strings.Replace(billing, "billing", "other", 1))
		},
		func() reply { return s.keyed(t, "the-same", http.MethodPost, roles+"?x=1", billing) },
		func() reply { return s.keyed(t, "the-same", http.MethodPut, roles+"/billing", billing) },
		func() reply { return s.keyed(t, "the-same", http.MethodDelete, roles+"/billing", "") },
	} {
		rep := other()
		if rep.Code == http.StatusBadRequest { // the body of a PUT has no id
			continue
		}
		require.Equal(t, idempotencyKey, rep.problem(http.StatusConflict, "CONFLICT"))
		require.Contains(t, rep.at("message"), "POST "+roles)
	}
	ada := s.as(t, "ada", admin)
	s.keyed(t, "the-same", http.MethodPost, roles, billing, "Authorization", ada).problem(http.StatusConflict, "CONFLICT")
	s.keyed(t, "the-same", http.MethodDelete, roles+"/billing", "", "Authorization", "Bearer ltm_admin_another").is(http.StatusOK)
	again := s.keyed(t, "the-same", http.MethodPost, roles, billing).is(http.StatusCreated)
	require.Equal(t, "true", again.Header().Get(replayed))
	_, err := s.Store.Role(t.Context(), "billing")
	require.Equal(t, models.NotFound, models.KindOf(err), "it was not made again")
}

// A sync is started once, and all are told how it went.
func TestIdempotencyKeyOfSync(t *testing.T) {
	s, _, _ := running(t)
	first := s.atOnce(t, 20, http.MethodPost, "/api/v1/models/sync", "{}").is(http.StatusOK)
	require.EqualValues(t, 1, s.get(t, "/api/v1/sync/runs").at("pagination.total"))
	op := s.get(t, "/api/v1/operations").is(http.StatusOK)
	require.Equal(t, map[string]any{"type": "SYNC_RUN", "id": first.at("runId")}, op.at("data.0.subject"))
	require.Equal(t, "/api/v1/sync/runs/"+first.at("runId").(string), op.at("data.0.links.subject"))
	require.Equal(t, "succeeded", op.at("data.0.status"))
}

// What is not valid, or may not be, is no operation, so that its key is still free; what a
// handler refuses stays refused.
func TestIdempotencyKeyOfRefusals(t *testing.T) {
	s := idle(t)
	s.keyed(t, "a", http.MethodPost, roles, `{"id": 1}`).problem(http.StatusBadRequest, "VALIDATION_ERROR")
	s.keyed(t, "a", http.MethodPost, roles, `{`).problem(http.StatusBadRequest, "VALIDATION_ERROR")
	s.keyed(t, "a", http.MethodPost, roles, strings.Repeat(" ", 2<<20)).problem(http.StatusRequestEntityTooLarge, "PAYLOAD_TOO_LARGE")
	s.keyed(t, "a", http.MethodPost, roles, billing, "Authorization", "").problem(http.StatusUnauthorized, "UNAUTHORIZED")
	reader := s.as(t, "ada", readonly)
	s.keyed(t, "a", http.MethodPost, roles, billing, "Authorization", reader).problem(http.StatusForbidden, "FORBIDDEN")
	s.keyed(t, "a", http.MethodGet, roles, "").is(http.StatusOK)
	s.keyed(t, "a", http.MethodPost, "/api/auth/dev-token", `{}`)
	require.Empty(t, s.operations(t, "?actor=all"))

	s.keyed(t, "a", http.MethodPost, roles, billing).is(http.StatusCreated)
	s.keyed(t, "b", http.MethodPost, roles, billing).problem(http.StatusConflict, "CONFLICT")
	s.call(t, http.MethodDelete, roles+"/billing", "").is(http.StatusOK)
	rep := s.keyed(t, "b", http.MethodPost, roles, billing).is(http.StatusConflict)
	require.Equal(t, "application/problem+json", rep.Header().Get("Content-Type"))
	require.Equal(t, "true", rep.Header().Get(replayed))
	failed := s.operations(t, "?status=failed")
	require.Len(t, failed, 1)
	require.Equal(t, map[string]any{"code": "CONFLICT", "message": "role billing already exists"}, failed[0].(map[string]any)["error"])
	require.NotContains(t, failed[0], "subject", "nothing was done")
}

// A key is 1 to 255 visible characters, in quotation marks as the draft has it, or without.
func TestIdempotencyKeyForms(t *testing.T) {
	s := idle(t)
	for key, want := range map[string]int{
		"k": http.StatusCreated, `"k"`: http.StatusCreated, "k2": http.StatusConflict, `"a\"b\\"`: http.StatusConflict, `a"b\`: http.StatusConflict,
		strings.Repeat("x", 255): http.StatusConflict, strings.Repeat("x", 256): http.StatusBadRequest, " ": http.StatusBadRequest, `""`: http.StatusBadRequest,
		`"k`: http.StatusBadRequest, `"k"x`: http.StatusBadRequest, `"\k"`: http.StatusBadRequest, `"k\`: http.StatusBadRequest,
		"a b": http.StatusBadRequest, "kä": http.StatusBadRequest, "k\t1": http.StatusBadRequest,
	} {
		s.keyed(t, "k", http.MethodPost, roles, billing).is(http.StatusCreated)
		rep := s.keyed(t, key, http.MethodPost, roles, billing)
		require.Equal(t, want, rep.Code, "%q: %s", key, rep.Body)
		if want == http.StatusBadRequest {
			require.Equal(t, idempotencyKey, rep.problem(http.StatusBadRequest, "VALIDATION_ERROR"))
		}
	}
	require.Len(t, s.operations(t, ""), 4)
	req, rec := httptest.NewRequest(http.MethodPost, roles, strings.NewReader(billing)), httptest.NewRecorder()
	req.Header = http.Header{"Authorization": {"Bearer " + adminKey}, idempotencyKey: {"a", "b"}}
	s.handler.ServeHTTP(rec, req)
	require.Equal(t, idempotencyKey, reply{rec, t}.problem(http.StatusBadRequest, "VALIDATION_ERROR"))
}

// Whoever asks again after the process died that carried his request out gets its answer, made
// anew of what it did; what had not been done is done, and nothing is done twice.
func TestOperationOutlivesItsProcess(t *testing.T) {
	s, db := idleOn(t)
	dies := func(beforeItDid bool) {
		t.Helper()
		set := "UPDATE operations SET answered_at = NULL, status = NULL, body = NULL, headers = NULL"
		if beforeItDid {
			set += ", applied_at = NULL, subject_type = '', subjects = '[]'"
			_, err := db.Exec("DELETE FROM roles WHERE id = 'billing'")
			require.NoError(t, err)
		}
		_, err := db.Exec(set)
		require.NoError(t, err)
	}
	made := s.keyed(t, "post", http.MethodPost, roles, billing).is(http.StatusCreated)
	dies(false)
	require.Equal(t, "succeeded", s.operations(t, "")[0].(map[string]any)["status"], "what it did is known")
	again := s.keyed(t, "post", http.MethodPost, roles, billing).is(http.StatusCreated)
	require.Equal(t, made.Body.String(), again.Body.String())
	require.Equal(t, "true", s.keyed(t, "post", http.MethodPost, roles, billing).is(http.StatusCreated).Header().Get(replayed))
	require.Len(t, s.entries(t, store.AuditQuery{Action: models.AuditRoleCreate}), 1)

	dies(true)
	lost := s.operations(t, "")[0].(map[string]any)
	require.Equal(t, "failed", lost["status"])
	require.Equal(t, "SERVICE_UNAVAILABLE", lost["error"].(map[string]any)["code"])
	_, err := db.Exec("UPDATE operations SET idempotency_key = 'the-same'")
	require.NoError(t, err)
	s.atOnce(t, 5, http.MethodPost, roles, billing).is(http.StatusCreated)
	require.Len(t, s.entries(t, store.AuditQuery{Action: models.AuditRoleCreate}), 2, "once more, and not 5 times")

	change := `{"permissions": ["admin:audit"]}`
	put := s.keyed(t, "put", http.MethodPut, roles+"/billing", change).is(http.StatusOK)
	dies(false)
	require.Equal(t, put.Body.String(), s.keyed(t, "put", http.MethodPut, roles+"/billing", change).is(http.StatusOK).Body.String())

	s.fill(t, some(t)...)
	run := s.fill(t).ID.String()
	decide := func() reply {
		return s.keyed(t, "decide", http.MethodPost, "/api/v1/sync/runs/"+run+"/decision", `{"decision": "reject"}`)
	}
	decide().is(http.StatusOK)
	dies(false)
	for range 2 {
		rep := decide()
		rep.problem(http.StatusConflict, "CONFLICT")
		require.Contains(t, rep.at("message"), "but its answer was lost: GET /api/v1/operations/")
	}
	require.Equal(t, "succeeded", s.operations(t, "")[0].(map[string]any)["status"])
}

// Whoever comes while another carries the request out waits for his answer, or is told in the
// end where to look.
func TestOperationIsCarriedOut(t *testing.T) {
	s, db := idleOn(t)
	s.keyed(t, "k", http.MethodPost, roles, billing).is(http.StatusCreated)
	_, err := db.Exec("UPDATE operations SET answered_at = NULL, applied_at = NULL, claimed_until = now() + interval '1 minute'")
	require.NoError(t, err)
	rep := s.keyed(t, "k", http.MethodPost, roles, billing, "Prefer", "respond-async")
	rep.problem(http.StatusConflict, "CONFLICT")
	require.Contains(t, rep.at("message"), "still being carried out: GET /api/v1/operations/")
	require.Equal(t, "1", rep.Header().Get("Retry-After"))
	op := s.get(t, "/api/v1/operations/"+s.operations(t, "?status=running")[0].(map[string]any)["id"].(string)).is(http.StatusOK)
	require.Equal(t, "1", op.Header().Get("Retry-After"))

	var wg sync.WaitGroup
	wg.Go(func() { rep = s.keyed(t, "k", http.MethodPost, roles, billing) })
	time.Sleep(100 * time.Millisecond) // it waits by now
	_, err = db.Exec("UPDATE operations SET answered_at = now()")
	require.NoError(t, err)
	wg.Wait()
	require.Equal(t, "true", rep.is(http.StatusCreated).Header().Get(replayed))
}

// tries is a system with a mutation that does what the test wants.
func (s system) tries(do func(context.Context) (string, error)) system {
	return system{s.Server, api.WithMutation(s.Server, do)}
}

// A failure of ours is not kept: the same request is tried again, whether its handler returned
// or panicked. Whoever hangs up does not stop what he asked for, and may ask for the answer.
func TestOperationIsTriedAgain(t *testing.T) {
	s, n := idle(t), 0
	s = s.tries(func(ctx context.Context) (string, error) {
		switch n++; n {
		case 1:
			return "", models.Errorf(models.Unavailable, "something is away")
		case 2:
			panic("a bug")
		case 3:
			return "", models.Errorf(models.Limited, "not so fast")
		}
		return "done", ctx.Err()
	})
	for _, want := range []int{http.StatusServiceUnavailable, http.StatusInternalServerError, http.StatusTooManyRequests} {
		rep := s.keyed(t, "k", http.MethodPost, "/api/v1/tries", "").is(want)
		require.Empty(t, rep.Header().Get(replayed))
		op := s.operations(t, "")[0].(map[string]any)
		require.Equal(t, []any{"failed", float64(want)}, []any{op["status"], op["httpStatus"]})
		require.NotContains(t, op, "answeredAt")
	}
	gone, hangUp := context.WithCancel(t.Context())
	req := httptest.NewRequest(http.MethodPost, "/api/v1/tries", http.NoBody)
	req.Header = http.Header{"Authorization": {"Bearer " + adminKey}, idempotencyKey: {"k"}}
	whole := s.tries(func(ctx context.Context) (string, error) {
		hangUp()
		return "done", ctx.Err()
	})
	whole.handler.ServeHTTP(httptest.NewRecorder(), req.WithContext(gone))
	rep := s.keyed(t, "k", http.MethodPost, "/api/v1/tries", "").is(http.StatusOK)
	require.Equal(t, "true", rep.Header().Get(replayed))
	require.Equal(t, "done", rep.at("said"))
	require.Equal(t, 3, n)
}

// Who sends a body too slowly is cut off, whether it is an operation or not.
func TestSlowBody(t *testing.T) {
	srv := httptest.NewServer(idle(t).handler)
	t.Cleanup(srv.Close)
	var wg sync.WaitGroup
	for _, header := range []string{"", idempotencyKey + ": k\r\n"} {
		wg.Go(func() {
			conn, err := net.Dial("tcp", srv.Listener.Addr().String())
			require.NoError(t, err)
			defer conn.Close()
			_, err = io.WriteString(conn, "POST "+roles+" HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer "+adminKey+"\r\n"+header+"Content-Length: 100\r\n\r\n{")
			require.NoError(t, err)
			require.NoError(t, conn.SetReadDeadline(time.Now().Add(20*time.Second)))
			answer, err := bufio.NewReader(conn).ReadString('\n')
			require.NoError(t, err)
			require.Contains(t, answer, "408")
		})
	}
	wg.Wait()
}

// An answer that is too large is not kept, and one that cannot be opened is not sent.
func TestOperationWithoutAnswer(t *testing.T) {
	s, db := idleOn(t)
	large := s.tries(func(context.Context) (string, error) { return strings.Repeat("x", 256<<10), nil })
	large.keyed(t, "k", http.MethodPost, "/api/v1/tries", "").is(http.StatusOK)
	rep := large.keyed(t, "k", http.MethodPost, "/api/v1/tries", "")
	rep.problem(http.StatusConflict, "CONFLICT")
	require.Contains(t, rep.at("message"), "answered 200, but the answer was too large to be kept")

	s.keyed(t, "one", http.MethodPost, roles, billing).is(http.StatusCreated)
	_, err := db.Exec("UPDATE operations SET body = convert_to('operations/" + uuid.NewString() + "', 'UTF8') || '\\x00' || 'stolen'::bytea WHERE idempotency_key = 'one'")
	require.NoError(t, err)
	stolen := s.keyed(t, "one", http.MethodPost, roles, billing)
	stolen.problem(http.StatusConflict, "CONFLICT")
	require.NotContains(t, stolen.Body.String(), "stolen")
}
