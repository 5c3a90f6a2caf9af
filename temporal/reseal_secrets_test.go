package temporal_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/models/store/storetest"
	"github.com/litemaas/litemaas/workflows"
)

// What an old key sealed is sealed anew, all of it, and nothing of it comes into the history.
func TestHistoriesOfSecrets(t *testing.T) {
	s := start(t)
	storetest.Seal(t, s.db, storetest.Keyring{"key1"}, 20)
	in := workflows.ResealSecretsInput{Key: "key2", Actor: root}
	res := run(t, s, workflows.ResealSecrets, in)
	require.Equal(t, 1, res.Walks)
	for _, p := range res.Places {
		require.Equal(t, 20, p.Resealed, p.Place)
		require.Zero(t, p.Left, p.Place)
	}
	require.Equal(t, 80, storetest.RequireSealed(t, s.db, storetest.Keyring{"key2"}))
	s.record(t, "reseal_secrets", in.WorkflowID(), "")
}
