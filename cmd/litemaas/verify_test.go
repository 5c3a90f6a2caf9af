package main

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/models"
)

// Gateways may ask only where it is said who they are; what is wrong names the setting.
func TestVerifySettings(t *testing.T) {
	clean(t)
	c, err := read(t)
	require.NoError(t, err)
	require.False(t, c.Verify.ExtAuthz)
	require.Equal(t, "/ext-authz", c.Verify.Prefix)
	for key, args := range map[string][]string{
		"":              {"--set", "verify.secret=a-secret-of-gateways"},
		"verify.secret": {},
		"verify.prefix": {"--set", "verify.secret=a-secret-of-gateways", "--set", "verify.prefix=/api"},
	} {
		c, err := read(t, append(args, "--set", "verify.ext_authz=true")...)
		if key == "" {
			require.NoError(t, err)
			require.True(t, c.Verify.ExtAuthz)
			require.Equal(t, "a-secret-of-gateways", c.Verify.Secret.Reveal())
			continue
		}
		var e *models.Error
		require.ErrorAs(t, err, &e)
		require.Equal(t, models.Invalid, e.Kind)
		require.Equal(t, key, e.Field)
		require.ErrorContains(t, err, key+": ")
	}
}
