package store_test

import (
	"database/sql"
	"fmt"
	stdsync "sync" // sync is a helper here
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
	"github.com/litemaas/litemaas/models/store/storetest"
)

// request is one under a key.
func request(key, hash string) models.Operation {
	return models.Operation{ID: uuid.New(), Actor: "ada", IdempotencyKey: &key, Request: "POST /things", RequestHash: []byte(hash)}
}

// in is an actor whose request carries that operation out.
func in(op models.Operation) models.Actor {
	return models.Actor{ID: op.Actor, Via: "test", Origin: models.Origin{Deed: &models.Deed{Operation: op.ID, Attempt: op.Attempt}}}
}

// state is how far an operation is, as everybody sees it.
func state(t *testing.T, s *store.Store, id uuid.UUID) models.OperationState {
	t.Helper()
	op, err := s.Operation(t.Context(), id)
	require.NoError(t, err)
	return op.State
}

// Of many who claim one key at once, one is let, until he answers, releases it, or his time is
// over; another request never is. Keys of others are others, and no key is none.
func TestClaimOperation(t *testing.T) {
	s := storetest.New(t)
	var claims atomic.Int32
	for _, err := range atOnce(20, func(int) error {
		_, mine, err := s.ClaimOperation(t.Context(), request("k", "a"), time.Minute)
		if mine {
			claims.Add(1)
		}
		return err
	}) {
		require.NoError(t, err)
	}
	require.EqualValues(t, 1, claims.Load())

	claim := func(in models.Operation) (models.Operation, bool) {
		op, mine, err := s.ClaimOperation(t.Context(), in, time.Minute)
		require.NoError(t, err)
		return op, mine
	}
	first, mine := claim(request("k", "a"))
	require.False(t, mine)
	require.Equal(t, 1, first.Attempt)
	require.Equal(t, []byte("a"), first.RequestHash)
	require.NoError(t, s.ReleaseOperation(t.Context(), &models.Deed{Operation: first.ID, Attempt: 1}, models.OperationAnswer{Status: 503, Code: "X", Failure: "away"}))
	failed, err := s.Operation(t.Context(), first.ID)
	require.NoError(t, err)
	require.Equal(t, models.OperationFailed, failed.State)
	require.Equal(t, "away", failed.Failure)

	_, mine = claim(request("k", "b"))
	require.False(t, mine, "another request")
	again, mine := claim(request("k", "a"))
	require.True(t, mine)
	require.Equal(t, []any{first.ID, 2}, []any{again.ID, again.Attempt})
	require.Equal(t, models.OperationRunning, state(t, s, first.ID))
	require.NoError(t, s.AnswerOperation(t.Context(), &models.Deed{Operation: first.ID, Attempt: 1}, models.OperationAnswer{Status: 200}))
	require.Equal(t, models.OperationRunning, state(t, s, first.ID), "whose time is over says nothing")
	answer := models.OperationAnswer{Status: 201, Headers: map[string][]string{"Location": {"/things/1"}}, Body: []byte{0, 1}}
	require.NoError(t, s.AnswerOperation(t.Context(), &models.Deed{Operation: first.ID, Attempt: 2}, answer))
	last, mine := claim(request("k", "a"))
	require.False(t, mine)
	require.NotNil(t, last.AnsweredAt)
	require.Equal(t, answer, last.OperationAnswer)
	require.Equal(t, models.OperationSucceeded, state(t, s, first.ID))

	others := request("k", "a")
	others.Actor = "bob"
	_, mine = claim(others)
	require.True(t, mine)
	for range 2 {
		_, mine = claim(models.Operation{ID: uuid.New(), Actor: "ada", Request: "POST /things", RequestHash: []byte("a")})
		require.True(t, mine)
	}
}

// What an operation does is noted by the transaction that does it; who lost it to another
// attempt cannot do anything any more, nor what failed on the way.
func TestStampOperation(t *testing.T) {
	s := storetest.New(t)
	op, _, err := s.ClaimOperation(t.Context(), request("k", "a"), 0)
	require.NoError(t, err)
	require.Equal(t, models.OperationFailed, state(t, s, op.ID), "nobody works on it, and nothing was done")
	_, err = s.CreateRole(t.Context(), models.Role{ID: "admin"}, in(op), everything)
	refused(t, models.Conflict, err)
	require.NoError(t, s.Audit(t.Context(), in(op), models.Event{Action: models.AuditDenied, ResourceType: models.AuditOfSecurity, Failure: "no"}))
	seen, err := s.Operation(t.Context(), op.ID)
	require.NoError(t, err)
	require.Nil(t, seen.AppliedAt)

	second, mine, err := s.ClaimOperation(t.Context(), request("k", "a"), time.Minute)
	require.NoError(t, err)
	require.True(t, mine)
	_, err = s.CreateRole(t.Context(), models.Role{ID: "late"}, in(op), everything)
	refused(t, models.Conflict, err)
	_, err = s.Role(t.Context(), "late")
	refused(t, models.NotFound, err)
	require.Empty(t, audited(t, s, "late"))

	by := in(second)
	_, err = s.CreateRole(t.Context(), models.Role{ID: "one"}, by, everything)
	require.NoError(t, err)
	_, err = s.CreateRole(t.Context(), models.Role{ID: "two"}, by, everything)
	require.NoError(t, err)
	seen, err = s.Operation(t.Context(), op.ID)
	require.NoError(t, err)
	require.Equal(t, []any{models.AuditOfRole, []models.OperationSubject{{ID: "one"}, {ID: "two"}}, models.OperationSucceeded}, []any{seen.SubjectType, seen.Subjects, seen.State})
	require.NotNil(t, seen.AppliedAt)
}

// Whoever takes an operation over waits for what is just being committed for it, and sees it.
func TestClaimOperationWhileItIsStamped(t *testing.T) {
	s := storetest.New(t)
	op, _, err := s.ClaimOperation(t.Context(), request("k", "a"), 0)
	require.NoError(t, err)
	var taken models.Operation
	var wg stdsync.WaitGroup
	require.NoError(t, s.InTx(t.Context(), func(tx *store.Store) error {
		by := in(op).Origin.Deed
		by.Note("THING", "x")
		require.NoError(t, tx.StampOperation(t.Context(), by))
		wg.Go(func() { taken, _, err = s.ClaimOperation(t.Context(), request("k", "a"), time.Minute) })
		time.Sleep(100 * time.Millisecond) // it waits by now
		return nil
	}))
	wg.Wait()
	require.NoError(t, err)
	require.Equal(t, 2, taken.Attempt)
	require.NotNil(t, taken.AppliedAt)
	require.Equal(t, []models.OperationSubject{{ID: "x"}}, taken.Subjects)
}

// followed looks at operations that go on.
type followed struct {
	*testing.T
	store *store.Store
	db    *sql.DB
}

func (f followed) run(sql string, args ...any) {
	f.Helper()
	_, err := f.db.Exec(sql, args...)
	require.NoError(f, err)
}

// accept is an operation that did something to that.
func (f followed) accept(to models.AuditResource, ids ...string) uuid.UUID {
	f.Helper()
	op := models.Operation{ID: uuid.New(), Actor: "ada", Request: "POST /x", OperationAnswer: models.OperationAnswer{Status: 202}}
	deed := &models.Deed{}
	for _, id := range ids {
		deed.Note(to, id)
	}
	require.NoError(f, f.store.AcceptOperation(f.Context(), op, deed))
	return op.ID
}

func (f followed) is(want models.OperationState, id uuid.UUID) {
	f.Helper()
	require.Equal(f, want, state(f.T, f.store, id))
}

// An operation that goes on is what its subject proves: of the wish that it recorded, not of a
// later one.
func TestOperationState(t *testing.T) {
	s, db := opened(t)
	u := signedIn(t, s, "ada")
	for name, test := range map[string]func(followed){
		"user": func(f followed) {
			first := f.accept(models.AuditOfUser, u.ID.String())
			f.is(models.OperationRunning, first)
			f.run("UPDATE users SET failed_generation = generation, failure = 'no' WHERE id = $1", u.ID)
			f.is(models.OperationFailed, first)
			failed, err := s.Operation(f.Context(), first)
			require.NoError(f, err)
			require.Equal(f, "no", failed.Failure)
			f.run("UPDATE users SET observed_generation = generation, generation = generation + 1 WHERE id = $1", u.ID)
			f.is(models.OperationSucceeded, first)
			f.is(models.OperationRunning, f.accept(models.AuditOfUser, u.ID.String()))
			f.is(models.OperationSucceeded, f.accept(models.AuditOfUser, uuid.NewString()))
		},
		"setting": func(f followed) {
			f.run(`INSERT INTO settings (key, value, updated_by) VALUES ('k', '{}', 'ada')`)
			id := f.accept("SYSTEM_SETTINGS", "k")
			f.is(models.OperationRunning, id)
			f.run("UPDATE settings SET observed_generation = generation")
			f.is(models.OperationSucceeded, id)
		},
		"sync": func(f followed) {
			r := models.SyncRun{ID: uuid.New(), WorkflowID: "full-sync", Kind: models.SyncFull, Trigger: models.SyncByPerson}
			id := f.accept(models.SubjectSyncRun, r.ID.String())
			f.is(models.OperationRunning, id)
			require.NoError(f, s.BeginSyncRun(f.Context(), r, time.Hour))
			f.is(models.OperationRunning, id)
			require.NoError(f, s.FailSyncRun(f.Context(), r.ID, "no luck"))
			f.is(models.OperationFailed, id)
			f.run("UPDATE sync_runs SET status = 'completed' WHERE id = $1", r.ID)
			f.is(models.OperationSucceeded, id)
		},
		"proposal": func(f followed) {
			p := uuid.New()
			f.run(`INSERT INTO sync_proposals (id, status, model_ids, why, expires_at) VALUES ($1, 'approved', '[]', 'x', now())`, p)
			id := f.accept("MODEL", p.String())
			f.is(models.OperationRunning, id)
			f.run("UPDATE sync_proposals SET applied_at = now()")
			f.is(models.OperationSucceeded, id)
		},
		"several": func(f followed) {
			var ids []string
			for range 3 {
				r := models.SyncRun{ID: uuid.New(), WorkflowID: uuid.NewString(), Kind: models.SyncFull, Trigger: models.SyncByPerson}
				require.NoError(f, s.BeginSyncRun(f.Context(), r, time.Hour))
				ids = append(ids, r.ID.String())
			}
			id := f.accept(models.SubjectSyncRun, ids...)
			f.run("UPDATE sync_runs SET status = 'completed' WHERE id = $1", ids[0])
			require.NoError(f, s.FailSyncRun(f.Context(), uuid.MustParse(ids[1]), "no luck"))
			f.is(models.OperationRunning, id)
			f.run("UPDATE sync_runs SET status = 'completed' WHERE id = $1", ids[2])
			f.is(models.OperationFailed, id)
		},
		"something else": func(f followed) {
			f.is(models.OperationSucceeded, f.accept("THING", "x", "y"))
			f.is(models.OperationSucceeded, f.accept(""))
		},
	} {
		t.Run(name, func(t *testing.T) { test(followed{t, s, db}) })
	}
}

// The same for subscriptions: an operation that wished one to be active, and one that ended it.
func TestOperationStateOfSubscriptions(t *testing.T) {
	s, db := opened(t)
	f, u := followed{t, s, db}, signedIn(t, s, "ada")
	model := sync(t, s, []models.Deployment{deployment("m")}, models.SyncOptions{})
	require.Equal(t, 1, model.Counts.Added)
	sub, key, cause := uuid.New(), uuid.New(), uuid.New()
	f.run(`INSERT INTO subscriptions (id, user_id, model_id, status, status_changed_by, wanted, reset_at)
		VALUES ($1, $2, 'm', 'pending', 'ada', 'active', now())`, sub, u.ID)
	made := f.accept("SUBSCRIPTION", sub.String())
	f.is(models.OperationRunning, made)
	f.run("UPDATE subscriptions SET wanted = '', status = 'inactive', status_reason = 'LiteLLM refuses'")
	f.is(models.OperationFailed, made)
	refused, err := s.Operation(t.Context(), made)
	require.NoError(t, err)
	require.Equal(t, "LiteLLM refuses", refused.Failure)
	f.run(`INSERT INTO subscription_status_history (subscription_id, new_status, reason, changed_by) VALUES ($1, 'active', '', 'ada')`, sub)
	f.is(models.OperationSucceeded, made)

	ended := f.accept("SUBSCRIPTION", sub.String())
	f.is(models.OperationSucceeded, ended)
	f.run(`INSERT INTO api_keys (id, user_id, name, alias, hash, prefix, sealed) VALUES ($1, $2, 'k', 'k', $3, 'sk-', '')`, key, u.ID, fmt.Sprintf("%064d", 1))
	f.run(`INSERT INTO cascades (id, cause, model_id, reason, by) VALUES ($1, 'model_restricted', 'm', '', 'ada')`, cause)
	f.run(`INSERT INTO cascade_subscriptions (cascade_id, subscription_id, old_status, new_status, changed_at) VALUES ($1, $2, 'active', 'inactive', now())`, cause, sub)
	f.run(`INSERT INTO cascade_keys (cascade_id, api_key_id, model_id) VALUES ($1, $2, 'm')`, cause, key)
	f.is(models.OperationRunning, ended)
	edited := f.accept("MODEL", "m")
	f.is(models.OperationRunning, edited)
	f.run("DELETE FROM subscriptions")
	f.is(models.OperationRunning, ended)
	f.run("UPDATE api_keys SET observed_generation = generation")
	f.is(models.OperationSucceeded, ended)
	f.run("UPDATE cascades SET observed_generation = generation")
	f.is(models.OperationSucceeded, edited)
}

// The list is the newest first, by actor and state, with all that fit counted.
func TestOperations(t *testing.T) {
	s := storetest.New(t)
	for i := range 5 {
		op, _, err := s.ClaimOperation(t.Context(), request(fmt.Sprint(i), "a"), time.Minute)
		require.NoError(t, err)
		if i > 1 {
			require.NoError(t, s.AnswerOperation(t.Context(), in(op).Origin.Deed, models.OperationAnswer{Status: 100 * i}))
		}
	}
	bobs := request("k", "a")
	bobs.Actor = "bob"
	_, _, err := s.ClaimOperation(t.Context(), bobs, time.Minute)
	require.NoError(t, err)
	for _, tc := range []struct {
		q     store.OperationQuery
		total int
		keys  []string
	}{
		{store.OperationQuery{Page: 1, Limit: 2, Actor: "ada"}, 5, []string{"4", "3"}},
		{store.OperationQuery{Page: 3, Limit: 2, Actor: "ada"}, 5, []string{"0"}},
		{store.OperationQuery{Page: 2, Limit: 1, Actor: "ada", State: models.OperationRunning}, 2, []string{"0"}},
		{store.OperationQuery{Page: 1, Limit: 9, Actor: "ada", State: models.OperationSucceeded}, 2, []string{"3", "2"}},
		{store.OperationQuery{Page: 1, Limit: 9, State: models.OperationFailed}, 1, []string{"4"}},
		{store.OperationQuery{Page: 1, Limit: 1}, 6, []string{"k"}},
		{store.OperationQuery{Page: 1, Limit: 9, State: models.OperationRunning}, 3, []string{"k", "1", "0"}},
		{store.OperationQuery{Page: 9, Limit: 9, State: models.OperationRunning}, 3, nil},
	} {
		page, total, err := s.Operations(t.Context(), tc.q)
		require.NoError(t, err)
		var keys []string
		for _, op := range page {
			keys = append(keys, *op.IdempotencyKey)
		}
		require.Equal(t, tc.keys, keys, tc.q)
		require.Equal(t, tc.total, total, tc.q)
	}
}

// What is old is forgotten, answered or not, unless it still runs.
func TestForgetOperations(t *testing.T) {
	s, db := opened(t)
	_, err := db.Exec(`
		INSERT INTO operations (id, actor, request, request_hash, claimed_until, created_at, subject_type, subjects, status, answered_at)
		SELECT gen_random_uuid(), 'ada', 'POST /x', '', now(), now() - old, subject, jsonb_build_array(jsonb_build_object('id', id, 'wish', '')), status, at
		FROM (VALUES ('23 h'::interval, '', '', 200, now()), ('25 h', '', '', 200, now()), ('25 h', '', '', null, null),
			('25 h', 'SYNC_RUN', $1, 202, now()), ('31 d', 'SYNC_RUN', $1, 202, now())) v(old, subject, id, status, at), generate_series(1, 600)`, uuid.NewString())
	require.NoError(t, err)
	n, err := s.ForgetOperations(t.Context(), models.OperationKept, models.OperationFollowed)
	require.NoError(t, err)
	require.Equal(t, 3*600, n)
	_, left, err := s.Operations(t.Context(), store.OperationQuery{Page: 1, Limit: 9})
	require.NoError(t, err)
	require.Equal(t, 2*600, left)
}
