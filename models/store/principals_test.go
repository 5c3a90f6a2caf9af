package store_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
	"github.com/litemaas/litemaas/models/store/storetest"
)

// What somebody may is what his roles say now, with all they inherit, as the rules compute it.
func TestPrincipal(t *testing.T) {
	s := storetest.New(t)
	signedIn(t, s, "root", models.RoleAdmin)
	u := signedIn(t, s, "ada", models.RoleUser)
	in := session(t, s, u)
	_, err := s.CreateRole(t.Context(), models.Role{ID: "auditor", Inherits: []string{"readonly"}, Permissions: models.Permissions{"admin:audit"}}, ada, everything)
	require.NoError(t, err)
	_, err = s.CreateRole(t.Context(), models.Role{ID: "chief", Inherits: []string{"auditor", "user"}}, ada, everything)
	require.NoError(t, err)
	for _, roles := range [][]string{{"user"}, {"chief"}, {"admin", "readonly"}, {"admin-readonly", "user"}, {}} {
		_, err := s.SetUserRoles(t.Context(), u.ID, roles, ada, everything)
		require.NoError(t, err)
		all, err := s.Roles(t.Context())
		require.NoError(t, err)
		p, err := s.Principal(t.Context(), in.ID)
		require.NoError(t, err)
		require.Equal(t, roles, p.Roles)
		require.Len(t, p.Permissions, len(all.Permissions(roles...)))
		require.True(t, p.Permissions.Cover(all.Permissions(roles...)))
	}
	p, err := s.Principal(t.Context(), in.ID)
	require.NoError(t, err)
	require.Equal(t, models.Principal{
		UserID: u.ID, SessionID: in.ID, Username: "ada", Email: "ada@example.com", Name: "Full ada",
		Roles: []string{}, Permissions: models.Permissions{}, Teams: []uuid.UUID{}, Active: true, AuthTime: p.AuthTime, ExpiresAt: p.ExpiresAt, Via: "api",
	}, p)
	require.WithinDuration(t, in.AuthTime, p.AuthTime, 0)

	minted, err := s.PrincipalOfUser(t.Context(), u.ID)
	require.NoError(t, err)
	require.Equal(t, "cli", minted.Via)
	require.Equal(t, uuid.Nil, minted.SessionID)
	_, err = s.PrincipalOfUser(t.Context(), uuid.New())
	refused(t, models.Unauthenticated, err)
	_, err = s.PrincipalOfUser(t.Context(), models.SystemUserID)
	refused(t, models.Unauthenticated, err)
	_, err = s.Principal(t.Context(), uuid.New())
	refused(t, models.Unauthenticated, err)
}

// Somebody's teams are those that he is in, but for the one that everybody is in.
func TestPrincipalsTeams(t *testing.T) {
	s, db := opened(t)
	u, other := signedIn(t, s, "ada"), signedIn(t, s, "bob")
	in, theirs := session(t, s, u), session(t, s, other)
	teams := []uuid.UUID{uuid.MustParse("b0000000-0000-4000-8000-000000000001"), uuid.MustParse("b0000000-0000-4000-8000-000000000002")}
	for _, team := range teams {
		_, err := db.Exec("INSERT INTO teams (id, name, litellm_alias) VALUES ($1, 'Data', $2)", team, team.String())
		require.NoError(t, err)
		_, err = db.Exec("INSERT INTO team_members (team_id, user_id) VALUES ($1, $2)", team, u.ID)
		require.NoError(t, err)
	}
	p, err := s.Principal(t.Context(), in.ID)
	require.NoError(t, err)
	require.Equal(t, teams, p.Teams)
	p, err = s.PrincipalOfUser(t.Context(), u.ID)
	require.NoError(t, err)
	require.Equal(t, teams, p.Teams)
	p, err = s.Principal(t.Context(), theirs.ID)
	require.NoError(t, err)
	require.Empty(t, p.Teams)
}

// listening returns what a listener hears, in order.
func listening(t *testing.T, s *store.Store) <-chan store.Notice {
	t.Helper()
	heard := make(chan store.Notice, 1000)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Listen(ctx, func(n store.Notice) { heard <- n }) }()
	t.Cleanup(func() {
		stop()
		require.ErrorIs(t, <-done, context.Canceled)
	})
	return heard
}

// await reads notices until one of that kind comes, and returns it with those before it.
func await(t *testing.T, heard <-chan store.Notice, kind store.NoticeKind) (store.Notice, []store.Notice) {
	t.Helper()
	var before []store.Notice
	for {
		select {
		case n := <-heard:
			if n.Kind == kind {
				return n, before
			}
			before = append(before, n)
		case <-t.Context().Done():
			t.Fatalf("no %s came, but %v", kind, before)
		}
	}
}

// Whatever changes what somebody may is told to every listener, and told before the listener
// is proven alive for the time after it.
func TestListen(t *testing.T) {
	s := storetest.New(t)
	root, u := signedIn(t, s, "root", models.RoleAdmin), signedIn(t, s, "ada")
	in := session(t, s, u)
	one, two := listening(t, s), listening(t, s)
	await(t, one, store.NoticeAlive)
	await(t, two, store.NoticeAlive)
	for _, tc := range []struct {
		name string
		do   func() error
		want store.Notice
	}{
		{"a role given", func() error {
			_, err := s.AssignRole(t.Context(), u.ID, models.RoleAdmin, actor(root), everything)
			return err
		}, store.Notice{Kind: store.NoticeUser, ID: u.ID}},
		{"a role changed", func() error {
			_, err := s.CreateRole(t.Context(), models.Role{ID: "auditor"}, actor(root), everything)
			return err
		}, store.Notice{Kind: store.NoticeRoles}},
		{"a session ended", func() error {
			return s.RevokeSession(t.Context(), u.ID, in.ID, models.SessionRevoked, actor(u))
		}, store.Notice{Kind: store.NoticeSession, ID: in.ID}},
		{"a user deactivated", func() error {
			_, err := s.DeactivateUser(t.Context(), u.ID, models.HoldAdmin, "", actor(root))
			return err
		}, store.Notice{Kind: store.NoticeUser, ID: u.ID}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			require.NoError(t, tc.do())
			at := time.Now()
			for _, heard := range []<-chan store.Notice{one, two} {
				var before []store.Notice
				for alive := (store.Notice{}); !alive.At.After(at); {
					var some []store.Notice
					alive, some = await(t, heard, store.NoticeAlive)
					before = append(before, some...)
				}
				require.Contains(t, before, tc.want)
			}
		})
	}
}

// A refused change tells nobody.
func TestListenHearsNothingOfWhatFailed(t *testing.T) {
	s := storetest.New(t)
	root := signedIn(t, s, "root", models.RoleAdmin)
	heard := listening(t, s)
	await(t, heard, store.NoticeAlive)
	_, err := s.DeactivateUser(t.Context(), root.ID, models.HoldAdmin, "", models.System("test"))
	refused(t, models.Conflict, err)
	_, before := await(t, heard, store.NoticeAlive)
	require.Empty(t, before)
}

// A listener whose connection is cut says that something may have been missed, and is back.
func TestListenAgain(t *testing.T) {
	s, db := opened(t)
	u := signedIn(t, s, "ada")
	heard := listening(t, s)
	_, before := await(t, heard, store.NoticeAlive)
	require.Equal(t, []store.Notice{{Kind: store.NoticeLost}}, before)
	_, err := db.Exec("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'NOTIFY litemaas_beat_%' AND datname = current_database()")
	require.NoError(t, err)
	await(t, heard, store.NoticeLost)
	await(t, heard, store.NoticeAlive)
	_, err = s.RenameUser(t.Context(), u.ID, "Ada", actor(u))
	require.NoError(t, err)
	n, _ := await(t, heard, store.NoticeUser)
	require.Equal(t, u.ID, n.ID)
}
