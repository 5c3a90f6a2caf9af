package devstack

import (
	"net"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/models"
)

// Every port that cannot be had is named, with whom it is for and the flag that changes it.
func TestCheckPorts(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	taken, free := l.Addr().(*net.TCPAddr).Port, freePort(t)

	require.NoError(t, CheckPorts(Port{free, "--api-port", "the API"}))

	err = CheckPorts(
		Port{free, "--api-port", "the API"}, Port{taken, "--temporal-port", "Temporal"},
		Port{free, "--litellm-port", "LiteLLM"}, Port{70000, "--postgres-port", "Postgres"},
	)
	require.Equal(t, models.Conflict, models.KindOf(err))
	require.ErrorContains(t, err, "for Temporal, is taken: choose another with --temporal-port")
	require.ErrorContains(t, err, "for LiteLLM, is also that of --api-port: choose another with --litellm-port")
	require.ErrorContains(t, err, "port 70000, for Postgres, is none: choose one from 1 to 65535 with --postgres-port")
	require.NotContains(t, err.Error(), "the API")
}
