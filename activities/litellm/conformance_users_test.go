package litellm_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/activities/litellm"
	"github.com/litemaas/litemaas/models"
)

var userCases = []conformanceCase{
	{"a new user is held as he was asked for, and gets no key", func(t *testing.T, l target) {
		want := bounded("A@Example.com")
		id := l.newUser(t, func(u *litellm.UserSpec) { *u = want })
		requireUser(t, l, want)
		p, err := l.Keys(t.Context(), litellm.KeyFilter{UserID: id}, 1, 10)
		require.NoError(t, err)
		require.Zero(t, p.TotalCount)
	}},
	{"LiteLLM makes a key for a new user unless it is told not to", func(t *testing.T, l target) {
		id := unique("user")
		l.removeUser(t, id)
		require.NoError(t, l.Call(t.Context(), http.MethodPost, "/user/new", map[string]any{"user_id": id}, nil))
		p, err := l.Keys(t.Context(), litellm.KeyFilter{UserID: id}, 1, 10)
		require.NoError(t, err)
		require.Equal(t, 1, p.TotalCount)
	}},
	{"an upsert makes a user, changes him and may be repeated", func(t *testing.T, l target) {
		want := bounded("b@example.com")
		l.removeUser(t, want.ID)
		for range 2 {
			require.NoError(t, l.UpsertUser(t.Context(), want))
			requireUser(t, l, want)
		}
		want.Alias, want.Role, want.Models, want.Metadata = "Another", models.ProxyRoleAdminViewer, []string{"m"}, map[string]any{"b": "c"}
		want.MaxBudget, want.TPM = new(3*models.Dollar/2), new(int64(1))
		require.NoError(t, l.UpsertUser(t.Context(), want))
		requireUser(t, l, want)
	}},
	{"an upsert takes limits away and leaves what is empty", func(t *testing.T, l target) {
		want := bounded("c@example.com")
		l.newUser(t, func(u *litellm.UserSpec) { *u = want })
		require.NoError(t, l.UpsertUser(t.Context(), litellm.UserSpec{ID: want.ID}))
		want.MaxBudget, want.BudgetDuration, want.TPM, want.RPM = nil, "", nil, nil
		requireUser(t, l, want)
	}},
	{"an id is one user's", func(t *testing.T, l target) {
		id := l.newUser(t, nil)
		requireRefusal(t, l.CreateUser(t.Context(), litellm.UserSpec{ID: id}), http.StatusConflict, models.Conflict, "", "id .* already exists")
	}},
	{"an e-mail address is one new user's, in any letter case", func(t *testing.T, l target) {
		want := bounded("d@example.com")
		l.newUser(t, func(u *litellm.UserSpec) { *u = want })
		other := unique("user")
		l.removeUser(t, other)
		err := l.CreateUser(t.Context(), litellm.UserSpec{ID: other, Email: strings.ToUpper(want.Email)})
		requireRefusal(t, err, http.StatusConflict, models.Conflict, "", "email .* already exists")
		_, err = l.User(t.Context(), other)
		require.Equal(t, models.NotFound, models.KindOf(err))
		require.NoError(t, l.UpsertUser(t.Context(), litellm.UserSpec{ID: other, Email: want.Email})) // unchecked there
	}},
	{"a deleted user is gone with his keys, and a second time not found", func(t *testing.T, l target) {
		id := l.newUser(t, nil)
		secret := l.newKey(t, func(k *litellm.NewKey) { k.UserID = id })
		require.NoError(t, l.DeleteUser(t.Context(), id))
		_, err := l.User(t.Context(), id)
		require.Equal(t, models.NotFound, models.KindOf(err))
		_, err = l.Key(t.Context(), secret.Hash())
		require.Equal(t, models.NotFound, models.KindOf(err))
		require.Equal(t, models.NotFound, models.KindOf(l.DeleteUser(t.Context(), id)))
	}},
	{"users are listed with the oldest first", func(t *testing.T, l target) {
		var made []string
		for range 3 {
			made = append(made, l.newUser(t, nil))
		}
		first, err := l.Users(t.Context(), 1, 2)
		require.NoError(t, err)
		require.Equal(t, (first.TotalCount+1)/2, first.TotalPages)
		var listed []string
		for page := max(1, first.TotalPages-1); page <= first.TotalPages; page++ {
			p, err := l.Users(t.Context(), page, 2)
			require.NoError(t, err)
			for _, u := range p.Users {
				listed = append(listed, u.ID)
			}
		}
		require.Equal(t, made, listed[len(listed)-3:])
		past, err := l.Users(t.Context(), first.TotalPages+1, 2)
		require.NoError(t, err)
		require.Empty(t, past.Users)
		require.Equal(t, first.TotalCount, past.TotalCount)
		_, err = l.Users(t.Context(), 1, 101)
		require.Equal(t, models.Invalid, models.KindOf(err))
	}},
	{"an unknown role and an unknown period are refused", func(t *testing.T, l target) {
		id := unique("user")
		l.removeUser(t, id)
		requireRefusal(t, l.UpsertUser(t.Context(), litellm.UserSpec{ID: id, Role: "king"}), 422, models.Invalid, "user_role", "proxy_admin")
		err := l.UpsertUser(t.Context(), litellm.UserSpec{ID: id, BudgetDuration: "fortnight"})
		requireRefusal(t, err, http.StatusBadRequest, models.Invalid, "", "Invalid budget_duration")
	}},
}

// bounded is a user with everything that there is; the address gets the user's own part.
func bounded(email string) litellm.UserSpec {
	id := unique("user")
	return litellm.UserSpec{
		ID: id, Email: id + email, Alias: "Ada L.", Role: models.ProxyRoleUser, MaxBudget: new(7 * models.Dollar), BudgetDuration: "30d",
		TPM: new(int64(100)), RPM: new(int64(10)), Models: []string{"y", "x"}, Metadata: map[string]any{"a": "b"},
	}
}

// requireUser compares a user as LiteLLM holds him with what he was to be.
func requireUser(t *testing.T, l target, want litellm.UserSpec) {
	t.Helper()
	u, err := l.User(t.Context(), want.ID)
	require.NoError(t, err)
	require.True(t, strings.EqualFold(want.Email, u.Email), u.Email)
	require.Equal(t, want.Alias, u.Alias)
	require.Equal(t, want.Role, u.Role)
	require.ElementsMatch(t, want.Models, u.Models)
	require.Equal(t, want.MaxBudget, u.MaxBudget)
	require.Equal(t, want.BudgetDuration, u.BudgetDuration)
	require.Equal(t, want.BudgetDuration == "", u.BudgetResetAt == nil)
	require.Equal(t, want.TPM, u.TPM)
	require.Equal(t, want.RPM, u.RPM)
	require.Len(t, u.Metadata, len(want.Metadata))
	for name := range want.Metadata {
		require.Contains(t, u.Metadata, name)
	}
	require.NotNil(t, u.CreatedAt)
	require.Zero(t, u.Spend)
}
