package models_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/models"
)

// What LiteLLM tells of is a call of a model, by a key that is ours or nobody's, of a model that it
// knows or none.
func TestWordsOfUsage(t *testing.T) {
	require.True(t, models.CallsModel("acompletion"))
	require.True(t, models.CallsModel(""))
	require.False(t, models.CallsModel("/v1/models"))

	hash := strings.Repeat("0f", 32)
	require.Equal(t, hash, models.UsedKey(hash))
	for _, other := range []string{"", "litellm_proxy_master_key", "hunter2", strings.ToUpper(hash), hash + "0", hash[1:] + "g"} {
		require.Empty(t, models.UsedKey(other))
	}

	require.Equal(t, "gpt-4o", models.CalledModel("gpt-4o", "openai/gpt-4o", false))
	require.Equal(t, "gpt-4o", models.CalledModel("gpt-4o", "openai/gpt-4o", true))
	require.Equal(t, "openai/gpt-4o", models.CalledModel("", "openai/gpt-4o", false))
	require.Empty(t, models.CalledModel("", "whatever I want", true))
}
