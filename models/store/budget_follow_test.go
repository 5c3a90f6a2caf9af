package store_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
)

// followed has rows follow a budget.
func (w world) followed(b models.Budget) store.FollowedBudget {
	w.t.Helper()
	f, err := w.s.FollowBudget(w.t.Context(), b.ID, machine)
	require.NoError(w.t, err)
	return f
}

// used is a budget of which all is spent, judged and followed.
func (w world) used(of models.BudgetSubject, id uuid.UUID, e store.Spending) models.Budget {
	w.t.Helper()
	b := w.limited(of, id, 10)
	w.spend(10, e)
	w.judge()
	w.followed(b)
	return b
}

// raise gives a budget more, for a while or until it is ended.
func (w world) raise(b models.Budget, amount models.USD, until time.Time) models.BudgetRaise {
	w.t.Helper()
	r, err := w.s.RequestRaise(w.t.Context(), models.BudgetRaise{BudgetID: b.ID, Amount: amount, Reason: "a demo", UntilAt: until}, false, machine)
	require.NoError(w.t, err)
	return r
}

// left is what LiteLLM has yet to follow of a budget.
func (w world) left(b models.Budget) store.BudgetLeft {
	w.t.Helper()
	left, err := w.s.BudgetLeft(w.t.Context(), b.ID, 2)
	require.NoError(w.t, err)
	return left
}

// A key is held as long as any budget holds that concerns it, whatever else holds it; and following
// twice changes nothing.
func TestKeysFollowTheirBudgets(t *testing.T) {
	w := newWorld(t)
	u, other, team := w.user("ada"), w.user("bob"), uuid.New()
	w.exec("INSERT INTO teams (id, name, litellm_alias) VALUES ($1, 'red', 'red')", team)
	key, second, apart := w.key(u, "open"), w.key(u, "open"), w.key(other, "open")
	w.exec("UPDATE api_keys SET team_id = $2, holds = '[\"admin\"]' WHERE id = $1", key, team)
	hold := func() string {
		return w.heldBy(key) + "/" + w.heldBy(second) + "/" + w.heldBy(apart)
	}
	require.Equal(t, `["admin"]/[]/[]`, hold())
	ofUser := w.used(models.BudgetOfUser, u, store.Spending{UserID: u})
	require.Equal(t, `["admin", "budget"]/["budget"]/[]`, hold())
	require.Zero(t, w.followed(ofUser).Keys)
	ofTeam := w.used(models.BudgetOfTeam, team, store.Spending{TeamID: team})
	require.Equal(t, `["admin", "budget"]/["budget"]/[]`, hold())
	left := w.left(ofUser)
	require.Len(t, left.Keys, 2)
	require.False(t, left.User, "nothing changed for him")
	require.False(t, left.None())

	require.Equal(t, 1, counted(t, w.db, "SELECT generation FROM api_keys WHERE id = $1", apart))
	w.raise(ofUser, 5, time.Now().Add(time.Hour))
	require.True(t, w.judge()[0].Released)
	require.Equal(t, 1, w.followed(ofUser).Keys)
	require.Equal(t, `["admin", "budget"]/[]/[]`, hold(), "its team's still holds")
	require.True(t, w.left(ofUser).User, "LiteLLM is told that he was raised")
	require.EqualValues(t, 5, w.userOf(u).Raised)
	w.exec("UPDATE budgets SET ends_at = starts_at + interval '1 microsecond', period = 'daily' WHERE id = $1", ofTeam.ID)
	require.True(t, w.judge()[0].Released)
	w.followed(ofTeam)
	require.Equal(t, `["admin"]/[]/[]`, hold())

	w.exec("UPDATE api_keys SET observed_generation = generation; UPDATE users SET observed_generation = generation")
	require.True(t, w.left(ofUser).None())
	b := w.budget(models.BudgetOfUser, u, "")
	for _, generation := range []int64{b.Generation + 1, b.Generation, 1} {
		require.NoError(t, w.s.ObserveBudget(t.Context(), b.ID, generation))
	}
	require.Equal(t, b.Generation, w.budget(models.BudgetOfUser, u, "").ObservedGeneration)
	unsettled, err := w.s.UnsettledBudgets(t.Context(), 0, 10)
	require.NoError(t, err)
	require.Len(t, unsettled, 1)
	require.Equal(t, ofTeam.ID, unsettled[0].ID)
}

func (w world) userOf(id uuid.UUID) models.User {
	w.t.Helper()
	u, err := w.s.User(w.t.Context(), id)
	require.NoError(w.t, err)
	return u
}

func (w world) keyOf(id uuid.UUID) models.Key {
	w.t.Helper()
	k, err := w.s.Key(w.t.Context(), id)
	require.NoError(w.t, err)
	return k
}

// The budget of a model takes it off the key's list, and one of the key slows it; what LiteLLM
// counted is reset with the period.
func TestKeyFollowsItsOwnBudgets(t *testing.T) {
	w := newWorld(t)
	u := w.user("ada")
	key := w.key(u, "open", "closed")
	w.exec(`UPDATE api_keys SET max_budget = 10, rpm_limit = 100, model_max_budget = '{"open": {"budgetLimit": 0.000000005}}' WHERE id = $1`, key)
	own, ofModel := w.budget(models.BudgetOfKey, key, ""), w.budget(models.BudgetOfKeyModel, key, "open")
	w.exec(`UPDATE budgets SET thresholds = '[{"percent": 50, "actions": ["throttle"]}, {"percent": 100, "actions": ["hold"]}]', throttle_rpm = 3 WHERE id = $1`, own.ID)
	w.judge()
	w.spend(5, store.Spending{KeyID: key, ModelID: "open"})
	require.Len(t, w.judge(), 2)
	require.Equal(t, 1, w.followed(own).Keys)
	require.Zero(t, w.followed(ofModel).Keys, "the other has seen to it")
	k := w.keyOf(key)
	require.Equal(t, []string{"open"}, k.BlockedModels)
	require.Equal(t, []string{"closed"}, k.Proxy().Models)
	require.Equal(t, int64(3), *k.Proxy().RPM)
	require.EqualValues(t, 5, k.Spend)
	require.False(t, k.Resets())
	view, err := w.s.UserKey(t.Context(), u, key)
	require.NoError(t, err)
	require.Equal(t, k.BlockedModels, view.BlockedModels)
	require.EqualValues(t, 5, view.Spend)

	w.spend(5, store.Spending{KeyID: key, ModelID: "closed"})
	w.judge()
	w.followed(own)
	require.Equal(t, []models.Hold{models.HoldBudget}, w.keyOf(key).Holds)
	w.exec("UPDATE api_keys SET budget_duration = 'daily' WHERE id = $1", key)
	w.exec("UPDATE budgets SET ends_at = starts_at + interval '1 microsecond' WHERE id = $1", own.ID)
	require.Zero(t, w.keyOf(key).Spend, "the period is over")
	w.judge()
	require.Equal(t, 1, w.followed(own).Keys)
	require.Zero(t, w.followed(own).Keys)
	k = w.keyOf(key)
	require.Empty(t, k.Holds)
	require.Nil(t, k.ThrottleRPM)
	require.True(t, k.Resets())
	require.Equal(t, k.Generation, k.ResetGeneration)
}

// The reset of a user's budget is one at LiteLLM too.
func TestUserFollowsHisBudget(t *testing.T) {
	w := newWorld(t)
	u := w.user("ada")
	w.exec("UPDATE users SET max_budget = 10, budget_duration = 'daily' WHERE id = $1", u)
	w.judge()
	b := w.used(models.BudgetOfUser, u, store.Spending{UserID: u})
	require.EqualValues(t, 1, w.userOf(u).Generation)
	w.exec("UPDATE budgets SET starts_at = '2025-01-01', ends_at = '2025-01-02' WHERE id = $1", b.ID)
	w.judge()
	for range 2 {
		w.followed(b)
		require.EqualValues(t, 2, w.userOf(u).Generation)
	}
	require.True(t, w.userOf(u).Resets())
	require.True(t, w.left(b).User)
	_, err := w.s.ObserveUser(t.Context(), u, 2)
	require.NoError(t, err)
	require.False(t, w.userOf(u).Resets())
	require.True(t, w.left(b).None())
}

// A thousand keys of a team follow at once, and a key that is made meanwhile is held from the start,
// whoever comes first.
func TestKeysOfATeamFollow(t *testing.T) {
	w := newWorld(t)
	u, team := w.user("ada"), uuid.New()
	w.sub(u, "open", models.SubscriptionActive)
	w.exec("INSERT INTO teams (id, name, litellm_alias) VALUES ($1, 'red', 'red')", team)
	w.exec("INSERT INTO team_members (team_id, user_id) VALUES ($1, $2)", team, u)
	w.exec(`INSERT INTO api_keys (id, user_id, team_id, name, alias, hash, prefix, sealed)
		SELECT gen_random_uuid(), $1, $2, 'key', 'k' || n, repeat('0', 60) || lpad(n::text, 4, '0'), 'sk-', '' FROM generate_series(1, 1000) n`, u, team)
	b := w.limited(models.BudgetOfTeam, team, 10)
	w.spend(10, store.Spending{TeamID: team})
	made := make([]models.Key, 8)
	for i := range made {
		made[i] = w.asked(u, "open")
		made[i].TeamID = &team
	}
	for _, err := range atOnce(len(made)+1, func(i int) error {
		if i < len(made) {
			return w.s.IssueKey(t.Context(), &made[i], true, machine)
		}
		if _, err := w.s.JudgeBudgets(t.Context(), 10, nil, machine); err != nil {
			return err
		}
		began := time.Now()
		f, err := w.s.FollowBudget(t.Context(), b.ID, machine)
		t.Logf("%d keys in %s", f.Keys, time.Since(began))
		return err
	}) {
		require.NoError(t, err)
	}
	require.Equal(t, 1008, counted(t, w.db, "SELECT count(*) FROM api_keys WHERE holds = '[\"budget\"]'"))
	late := w.asked(u, "open")
	late.TeamID = &team
	require.NoError(t, w.s.IssueKey(t.Context(), &late, true, machine))
	require.Equal(t, []models.Hold{models.HoldBudget}, late.Holds)
	require.EqualValues(t, 1, late.Generation)
}

// A subscription is suspended by its budget, and resumed with it, beside all other reasons.
func TestSubscriptionFollowsItsBudget(t *testing.T) {
	w := newWorld(t)
	u := w.user("ada")
	id := w.in(u, "active")
	key := w.key(u, "open")
	spending := store.Spending{SubscriptionID: id, UserID: u, ModelID: "open"}
	b := w.limited(models.BudgetOfSubscription, id, 10)
	w.spend(10, spending)
	w.judge()
	f := w.followed(b)
	require.Len(t, f.Cascades, 1)
	require.Equal(t, models.CauseBudget, f.Cascades[0].Cause)
	require.Equal(t, []models.Hold{models.HoldBudget}, w.read(id).Holds)
	w.holds(key, false)
	require.Len(t, w.left(b).Cascades, 1)
	w.follow(f.Cascades[0])
	require.True(t, w.left(b).None())
	require.Empty(t, w.followed(b).Cascades)

	r := w.raise(b, 5, time.Now().Add(time.Hour))
	w.judge()
	f = w.followed(b)
	require.Len(t, f.Cascades, 1)
	require.Equal(t, models.SubscriptionActive, w.read(id).Status)
	w.holds(key, false, "open")

	_, err := w.s.RecordUsage(t.Context(), []models.Usage{{UserID: u, ModelID: "open", Requests: 10, At: time.Now()}}, machine)
	require.NoError(t, err)
	_, err = w.s.EndRaise(t.Context(), r.ID, true, machine)
	require.NoError(t, err)
	w.judge()
	w.followed(b)
	require.Equal(t, []models.Hold{models.HoldQuota, models.HoldBudget}, w.read(id).Holds)
	_, _, err = w.s.ResetUserQuotas(t.Context(), &u, machine)
	require.NoError(t, err)
	require.Equal(t, []models.Hold{models.HoldBudget}, w.read(id).Holds)
	w.sound()
}

// Who counts, judges, follows and makes keys at once waits for nobody in a circle, and loses nothing.
func TestBudgetsAtOnce(t *testing.T) {
	w := newWorld(t)
	const people, charges = 5, 25
	users, ids := make([]uuid.UUID, people), []uuid.UUID{}
	for i := range users {
		users[i] = w.user("user " + string(rune('a'+i)))
		w.sub(users[i], "open", models.SubscriptionActive)
		ids = append(ids, w.limited(models.BudgetOfUser, users[i], 1000).ID)
	}
	charge := func(i, n int) error {
		var batch []store.Spending
		for k := range people {
			batch = append(batch, store.Spending{At: time.Now(), UserID: users[(i+n*k)%people], Cost: 10})
		}
		_, err := w.s.Charge(t.Context(), batch...)
		return err
	}
	for _, err := range atOnce(8, func(i int) error {
		for n := range charges {
			var err error
			switch i % 4 {
			case 0, 1:
				err = charge(i, n)
			case 2:
				if _, err = w.s.JudgeBudgets(t.Context(), 3, nil, machine); err == nil {
					_, err = w.s.FollowBudget(t.Context(), ids[n%people], machine)
				}
			case 3:
				if n%5 == 0 {
					k := w.asked(users[(i+n)%people], "open")
					err = w.s.IssueKey(t.Context(), &k, true, machine)
				}
			}
			if err != nil {
				return err
			}
		}
		return nil
	}) {
		require.NoError(t, err)
	}
	require.Equal(t, 4*charges*people*10, counted(t, w.db, "SELECT sum(spent) FROM budgets WHERE subject_type = 'user'"))
	w.judge()
	for _, id := range ids {
		_, err := w.s.FollowBudget(t.Context(), id, machine)
		require.NoError(t, err)
	}
	require.Equal(t, 0, counted(t, w.db, "SELECT count(*) FROM api_keys k JOIN budgets b ON b.subject_id = k.user_id WHERE b.held <> jsonb_exists(k.holds, 'budget')"))
	require.Equal(t, 0, counted(t, w.db, "SELECT count(*) FROM (SELECT FROM outbox WHERE type = 'budget.threshold' GROUP BY subject_id, data ->> 'percent' HAVING count(*) > 1) twice"))
}
