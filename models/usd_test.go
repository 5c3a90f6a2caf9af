package models_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/models"
)

func TestUSD(t *testing.T) {
	t.Run("an amount is read exactly, however it is written", func(t *testing.T) {
		for text, want := range map[string]models.USD{
			"0": 0, "12.5": 12_500_000_000, "10.0": 10 * models.Dollar, "2.2e-05": 22_000,
			"0.00022000000000001": 220_000, "-1": -models.Dollar, "0.0000000005": 1, "0.0000000004": 0,
		} {
			got, err := models.ParseUSD(text)
			require.NoError(t, err, text)
			require.Equal(t, want, got, text)
		}
	})
	t.Run("what is no amount, or too large, is Invalid", func(t *testing.T) {
		for _, text := range []string{"", "lots", "NaN", "Infinity", "1e300", "9300000000", "1e999999999", "1e-999999999"} {
			_, err := models.ParseUSD(text)
			require.Equal(t, models.Invalid, models.KindOf(err), text)
		}
	})
	t.Run("JSON holds a number of dollars and gives back the same amount", func(t *testing.T) {
		raw, err := json.Marshal(models.USD(10_000_000_001))
		require.NoError(t, err)
		require.JSONEq(t, "10.000000001", string(raw))
		var numbers []models.USD
		require.NoError(t, json.Unmarshal([]byte(`[10.000000001, "0.5", 0.00022]`), &numbers))
		require.Equal(t, []models.USD{10_000_000_001, 500_000_000, 220_000}, numbers)
		require.Error(t, json.Unmarshal([]byte(`["much"]`), &numbers))
	})
}
