package store_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
	"github.com/litemaas/litemaas/models/store/storetest"
)

// Nothing is set until somebody sets it; what he sets is kept as it is, null as null and zero as
// zero, and audited. What cannot be leaves everything as it was.
func TestKeyDefaults(t *testing.T) {
	s := storetest.New(t)
	d, err := s.KeyDefaults(t.Context())
	require.NoError(t, err)
	require.Equal(t, models.KeyDefaults{}, d)

	ada := models.Actor{ID: "ada", Via: "test"}
	want := models.KeyDefaults{
		Defaults: models.KeyLimitDefaults{MaxBudget: new(models.USD(0)), BudgetDuration: new("monthly"), ExpirationDays: new(30)},
		Maximums: models.KeyLimitMaximums{MaxBudget: new(99*models.Dollar + 1), TPM: new(int64(0))},
	}
	require.NoError(t, s.SetKeyDefaults(t.Context(), want, ada))
	d, err = s.KeyDefaults(t.Context())
	require.NoError(t, err)
	require.Equal(t, want, d)

	wrong := want
	wrong.Defaults.TPM = new(int64(1))
	require.Equal(t, models.Invalid, models.KindOf(s.SetKeyDefaults(t.Context(), wrong, ada)))
	d, err = s.KeyDefaults(t.Context())
	require.NoError(t, err)
	require.Equal(t, want, d)

	require.NoError(t, s.SetKeyDefaults(t.Context(), models.KeyDefaults{}, ada))
	d, err = s.KeyDefaults(t.Context())
	require.NoError(t, err)
	require.Equal(t, models.KeyDefaults{}, d)

	log, n, err := s.AuditLog(t.Context(), store.AuditQuery{Action: "UPDATE_API_KEY_DEFAULTS", Page: 1, Limit: 10})
	require.NoError(t, err)
	require.Equal(t, 2, n)
	for _, e := range log {
		require.Equal(t, "ada", e.Actor)
		require.Equal(t, models.AuditResource("SYSTEM_SETTINGS"), e.ResourceType)
		require.Equal(t, "api_key_defaults", e.ResourceID)
	}
	raw, err := json.Marshal(want)
	require.NoError(t, err)
	require.JSONEq(t, string(raw), string(log[1].Detail), "the newest comes first")
}
