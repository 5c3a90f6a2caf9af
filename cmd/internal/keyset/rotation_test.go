package keyset_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/cmd/internal/keyset"
	"github.com/litemaas/litemaas/models"
)

// changed is what a step makes of a keyset.
func changed(t *testing.T, change func(models.Secret) (models.Secret, error), text models.Secret) models.Secret {
	t.Helper()
	out, err := change(text)
	require.NoError(t, err)
	return out
}

// A keyset says how far its rotation is; narrowed, it is where it began, with the new key alone.
func TestSteps(t *testing.T) {
	first := generated(t)
	second := changed(t, keyset.Widened, first)
	third := changed(t, keyset.Promoted, second)
	last := changed(t, keyset.Narrowed, third)
	for i, tc := range []struct {
		text models.Secret
		next keyset.Step
	}{{first, keyset.StepWiden}, {second, keyset.StepPromote}, {third, keyset.StepReseal}, {last, keyset.StepWiden}} {
		got, err := keyset.NextStep(tc.text)
		require.NoError(t, err)
		require.Equal(t, tc.next, got, "after step %d", i)
	}
	opens(t, parsed(t, last), sealed(t, parsed(t, third)))
	_, err := parsed(t, last).Open(sealed(t, parsed(t, first)), []byte("row 1"))
	require.Error(t, err, "the old key is gone")
	for _, text := range []string{"", "hush", `{"primaryKeyId":1,"key":[]}`} {
		_, err := keyset.NextStep(models.SecretOf(text))
		require.Equal(t, models.Invalid, models.KindOf(err))
		_, err = keyset.Narrowed(models.SecretOf(text))
		require.Equal(t, models.Invalid, models.KindOf(err))
	}
}

// Everything that a key seals begins with its mark; the key that seals is named first.
func TestKeys(t *testing.T) {
	first := generated(t)
	second := changed(t, keyset.Widened, first)
	third := changed(t, keyset.Promoted, second)
	one, two := parsed(t, first).Keys(), parsed(t, third).Keys()
	require.Len(t, one, 1)
	require.Len(t, two, 2)
	require.Equal(t, one[0], two[1])
	require.Equal(t, []models.SealingKey{one[0], two[0]}, parsed(t, second).Keys())
	for range 20 {
		require.Equal(t, one[0].Mark, sealed(t, parsed(t, second))[:5])
		require.Equal(t, two[0].Mark, sealed(t, parsed(t, third))[:5])
	}
	require.Contains(t, first.Reveal(), `"keyId":`+one[0].Name, "the name is the one in the keyset")

	raw := models.SecretOf(strings.ReplaceAll(first.Reveal(), "TINK", "RAW"))
	require.Empty(t, parsed(t, raw).Keys()[0].Mark)
	crunchy := parsed(t, models.SecretOf(strings.ReplaceAll(first.Reveal(), "TINK", "CRUNCHY")))
	require.Equal(t, crunchy.Keys()[0].Mark, sealed(t, crunchy)[:5])
	off := parsed(t, models.SecretOf(strings.Replace(third.Reveal(), `"status":"ENABLED"`, `"status":"DISABLED"`, 1)))
	require.Equal(t, two[:1], off.Keys(), "a disabled key opens nothing")
}

// A file is replaced whole, where a link leads, for those who could read it; or it stays as it is.
func TestReplace(t *testing.T) {
	dir := t.TempDir()
	file, link := filepath.Join(dir, "keyset.json"), filepath.Join(dir, "link.json")
	first, second := generated(t), generated(t)
	require.NoError(t, os.WriteFile(file, []byte(first.Reveal()), 0o640))
	require.NoError(t, os.Chmod(file, 0o640))
	require.NoError(t, os.Symlink(file, link))
	require.NoError(t, keyset.Replace(link, second))
	raw, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, second.Reveal()+"\n", string(raw))
	info, err := os.Lstat(file)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o640), info.Mode())
	files, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, files, 2)
	require.Equal(t, models.Invalid, models.KindOf(keyset.Replace(filepath.Join(dir, "none.json"), first)))
}
