package main

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/models"
)

// A secret that can be guessed is none.
func TestUsageSettings(t *testing.T) {
	clean(t)
	c, err := read(t)
	require.NoError(t, err)
	require.True(t, c.Usage.PushSecret.IsZero())
	c, err = read(t, "--set", "usage.push_secret=a-secret-of-litellm")
	require.NoError(t, err)
	require.Equal(t, "a-secret-of-litellm", c.Usage.PushSecret.Reveal())
	_, err = read(t, "--set", "usage.push_secret=short")
	var e *models.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, "usage.push_secret", e.Field)
	require.NotContains(t, err.Error(), "short")
}
