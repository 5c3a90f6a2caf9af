package models_test

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/models"
)

// A secret leaves through Reveal and in no other way.
func TestSecretDoesNotLeak(t *testing.T) {
	s, err := models.NewSecret(rand.Reader)
	require.NoError(t, err)
	var buf bytes.Buffer
	slog.New(slog.NewJSONHandler(&buf, nil)).Info("minted", "secret", s)
	fmt.Fprintf(&buf, "%v %+v %#v %s", s, s, s, s)
	require.NotContains(t, buf.String(), s.Reveal())
	_, err = json.Marshal(struct{ S models.Secret }{s})
	require.Error(t, err)
}
