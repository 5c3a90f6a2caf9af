package keyset_test

import (
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/cmd/internal/keyset"
	"github.com/litemaas/litemaas/models"
)

func generated(t *testing.T) models.Secret {
	t.Helper()
	text, err := keyset.New()
	require.NoError(t, err)
	return text
}

func parsed(t *testing.T, text models.Secret) *keyset.Sealer {
	t.Helper()
	s, err := keyset.Parse(text)
	require.NoError(t, err)
	return s
}

func sealed(t *testing.T, s *keyset.Sealer) []byte {
	t.Helper()
	out, err := s.Seal([]byte("hush"), []byte("row 1"))
	require.NoError(t, err)
	require.NotContains(t, string(out), "hush")
	return out
}

func opens(t *testing.T, s *keyset.Sealer, sealed []byte) {
	t.Helper()
	plain, err := s.Open(sealed, []byte("row 1"))
	require.NoError(t, err)
	require.Equal(t, "hush", string(plain))
}

// What was sealed opens with the same keyset, for the same row, unchanged.
func TestSealer(t *testing.T) {
	s := parsed(t, generated(t))
	out := sealed(t, s)
	opens(t, s, out)
	require.NotEqual(t, out, sealed(t, s), "no two are alike")

	changed := append([]byte(nil), out...)
	changed[len(changed)-1] ^= 1
	for name, open := range map[string]func() ([]byte, error){
		"another row":    func() ([]byte, error) { return s.Open(out, []byte("row 2")) },
		"another keyset": func() ([]byte, error) { return parsed(t, generated(t)).Open(out, []byte("row 1")) },
		"a changed bit":  func() ([]byte, error) { return s.Open(changed, []byte("row 1")) },
		"nothing":        func() ([]byte, error) { return s.Open(nil, nil) },
	} {
		t.Run(name, func(t *testing.T) {
			_, err := open()
			require.Equal(t, models.Internal, models.KindOf(err))
		})
	}
}

// A keyset is rotated in two steps, at each of which every replica opens what the others seal.
func TestRotation(t *testing.T) {
	first := generated(t)
	second, err := keyset.Widened(first)
	require.NoError(t, err)
	third, err := keyset.Promoted(second)
	require.NoError(t, err)
	old, wide, rotated := parsed(t, first), parsed(t, second), parsed(t, third)

	opens(t, wide, sealed(t, old))
	opens(t, old, sealed(t, wide))
	opens(t, rotated, sealed(t, wide))
	opens(t, wide, sealed(t, rotated))
	opens(t, rotated, sealed(t, old))
	_, err = old.Open(sealed(t, rotated), []byte("row 1"))
	require.Error(t, err, "the new key seals now")
}

// A text that is no keyset is refused, and not repeated.
func TestNoKeyset(t *testing.T) {
	for _, text := range []string{"", "hush", `{"hush"`, `{"primaryKeyId":1,"key":[]}`, `{"primaryKeyId":1,"key":[{"keyData":{"typeUrl":"hush","value":"aHVzaA=="}}]}`} {
		_, err := keyset.Parse(models.SecretOf(text))
		require.Equal(t, models.Invalid, models.KindOf(err), text)
		require.NotContains(t, err.Error(), "hush")
		_, err = keyset.Widened(models.SecretOf(text))
		require.Error(t, err)
		_, err = keyset.Promoted(models.SecretOf(text))
		require.Error(t, err)
	}
}

// A keyset that is not there is made once, for its owner alone.
func TestEnsure(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keyset.json")
	sealers := make([]*keyset.Sealer, 8)
	var wg sync.WaitGroup
	for i := range sealers {
		wg.Go(func() { sealers[i], _ = keyset.Ensure(path) })
	}
	wg.Wait()
	for _, s := range sealers {
		require.NotNil(t, s)
		opens(t, s, sealed(t, sealers[0]))
	}
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	files, err := os.ReadDir(filepath.Dir(path))
	require.NoError(t, err)
	require.Len(t, files, 1)

	again, err := keyset.Load(path)
	require.NoError(t, err)
	opens(t, again, sealed(t, sealers[0]))
}

// A file that is not there, or cannot be made, is an error of the configuration.
func TestLoad(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keyset.json")
	_, err := keyset.Load(path)
	require.Equal(t, models.Invalid, models.KindOf(err))
	_, err = keyset.Ensure(filepath.Join(path, "none"))
	require.Equal(t, models.Invalid, models.KindOf(err))
	require.NoError(t, os.WriteFile(path, nil, 0o600))
	_, err = keyset.Ensure(path)
	require.ErrorContains(t, err, "no keyset of Google Tink")
}
