package faults_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/activities/litellm/litellmtest"
	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/workflows"
)

// drifted is how many users LiteLLM lacks: some batches.
const drifted = 1_000

// Workers that are killed while they bring users to LiteLLM, whose answers get lost besides, leave
// each user there once, as his row says, and proved.
func TestUsersSurviveKilledWorkers(t *testing.T) {
	s := start(t)
	_, err := s.db.ExecContext(t.Context(), `
		INSERT INTO users (id, username, email, oauth_provider, oauth_id, observed_generation, max_budget)
		SELECT gen_random_uuid(), 'user-' || i, 'user-' || i || '@example.com', 'oidc', i, 1, 1000000000 FROM generate_series(1, $1) i`, drifted)
	require.NoError(t, err)
	slow := s.proxy.Inject(litellmtest.Fault{Path: "/user/new", Delay: 50 * time.Millisecond, Done: true})
	run, err := workflows.Start(t.Context(), s.client, workflows.FullSync, workflows.FullSyncInput{Trigger: models.SyncByPerson, Actor: models.System("test")})
	require.NoError(t, err)
	for _, made := range []int{drifted / 10, drifted / 3} {
		kill := s.worker(t)
		require.Eventually(t, func() bool { return s.proxy.Calls("/user/new") >= made }, patience, 10*time.Millisecond)
		kill()
	}
	slow()
	s.proxy.Inject(litellmtest.Fault{Path: "/user/new", Times: 20, Kind: litellmtest.FaultStatus, Status: http.StatusInternalServerError, Done: true})
	s.worker(t)
	res, err := run.Wait(t.Context(), patience)
	require.NoError(t, err)
	require.Equal(t, models.UserCounts{Missing: drifted}, res.Users)
	require.Eventually(t, func() bool {
		return s.count(t, "SELECT count(*) FROM users WHERE observed_generation < generation") == 0
	}, patience, 100*time.Millisecond)

	again, err := workflows.Start(t.Context(), s.client, workflows.FullSync, workflows.FullSyncInput{Trigger: models.SyncByPerson, Actor: models.System("test")})
	require.NoError(t, err)
	res, err = again.Wait(t.Context(), patience)
	require.NoError(t, err)
	require.Equal(t, models.UserCounts{Listed: drifted}, res.Users, "as their rows say, and nobody else")
	require.Equal(t, drifted, s.count(t, "SELECT count(*) FROM audit WHERE action = 'USER_DRIFT'"), "recorded once")
}
