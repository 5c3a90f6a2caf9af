package store_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
	"github.com/litemaas/litemaas/models/store/storetest"
)

// A session that is kept elsewhere counts until all sessions of its user are ended, and one that
// begins at that very time waits to see it.
func TestAdmitSession(t *testing.T) {
	s := storetest.New(t)
	signedIn(t, s, "root", models.RoleAdmin)
	u := signedIn(t, s, "ada")
	in, since, err := s.AdmitSession(t.Context(), hour(u))
	require.NoError(t, err)
	require.WithinDuration(t, time.Unix(0, 0), since, 0)
	require.WithinDuration(t, time.Now(), in.CreatedAt, time.Minute)
	p, err := s.PrincipalIn(t.Context(), in)
	require.NoError(t, err)
	require.Equal(t, in.ID, p.SessionID)

	deactivated, admitted := make(chan struct{}), make(chan error)
	require.NoError(t, s.InTx(t.Context(), func(tx *store.Store) error {
		_, err := tx.DeactivateUser(t.Context(), u.ID, models.HoldAdmin, "", models.System("test"))
		go func() {
			close(deactivated)
			_, _, err := s.AdmitSession(t.Context(), hour(u))
			admitted <- err
		}()
		<-deactivated
		select {
		case err := <-admitted:
			t.Errorf("it does not wait: %v", err)
		case <-time.After(100 * time.Millisecond):
		}
		return err
	}))
	refused(t, models.Forbidden, <-admitted)
	_, err = s.PrincipalIn(t.Context(), in)
	refused(t, models.Unauthenticated, err)
	_, err = s.ReinstateUser(t.Context(), u.ID, models.HoldAdmin, "", models.System("test"))
	require.NoError(t, err)
	_, err = s.PrincipalIn(t.Context(), in)
	refused(t, models.Unauthenticated, err)
	require.ErrorContains(t, err, "the session has ended")

	again, since, err := s.AdmitSession(t.Context(), hour(u))
	require.NoError(t, err)
	require.True(t, since.After(in.CreatedAt) && again.CreatedAt.After(since))
	_, err = s.PrincipalIn(t.Context(), again)
	require.NoError(t, err)
	at, err := s.SessionsSince(t.Context(), u.ID)
	require.NoError(t, err)
	require.Equal(t, since, at)
	again.CreatedAt = since
	_, err = s.PrincipalIn(t.Context(), again)
	refused(t, models.Unauthenticated, err)
}
