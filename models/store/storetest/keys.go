package storetest

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
)

// LLMs puts available models into the catalogue, as a refresh of each does.
func LLMs(tb testing.TB, s *store.Store, ids ...string) {
	tb.Helper()
	ctx := context.Background()
	for _, id := range ids {
		run := models.SyncRun{
			ID: uuid.New(), WorkflowID: "refresh-model/" + id, Kind: models.SyncOne, Trigger: models.SyncByPerson, Actor: "test", Subject: id,
		}
		require.NoError(tb, s.BeginSyncRun(ctx, run, time.Hour))
		require.NoError(tb, s.StageCatalogue(ctx, run.ID, models.NewCatalogue([]models.Deployment{{Name: id}})))
		_, err := s.MergeStaged(ctx, store.Merge{RunID: run.ID, Only: []string{id}, ProposalTTL: time.Hour})
		require.NoError(tb, err)
		_, err = s.CompleteSyncRun(ctx, run.ID)
		require.NoError(tb, err)
	}
}

// Key is a new key of a user, which may call models that are in the catalogue: see LLMs. edit
// changes it before it is stored; nil leaves it as it is.
func Key(tb testing.TB, s *store.Store, userID uuid.UUID, edit func(*models.Key), llms ...string) models.Key {
	tb.Helper()
	secret, err := models.NewSecret(rand.Reader)
	require.NoError(tb, err)
	k := models.Key{ID: uuid.New(), UserID: userID, Name: "test", Hash: secret.Hash(), Prefix: secret.Reveal()[:7], Models: llms}
	k.Alias = "test_" + k.ID.String()
	k.Sealed, err = Sealer{}.Seal([]byte(secret.Reveal()), k.SealContext())
	require.NoError(tb, err)
	if edit != nil {
		edit(&k)
	}
	require.NoError(tb, s.CreateKey(context.Background(), &k, models.System("test")))
	return k
}

// Secret is the plaintext of a Key.
func Secret(tb testing.TB, k models.Key) models.Secret {
	tb.Helper()
	plain, err := Sealer{}.Open(k.Sealed, k.SealContext())
	require.NoError(tb, err)
	return models.SecretOf(string(plain))
}

// Sealer is a models.Sealer whose key everybody knows.
type Sealer struct{}

var _ models.Sealer = Sealer{}

// Seal implements models.Sealer.
func (Sealer) Seal(plain, associated []byte) ([]byte, error) {
	return aead().Seal(nil, nil, plain, associated), nil //nolint:gosec // it draws its nonces itself
}

// Open implements models.Sealer.
func (Sealer) Open(sealed, associated []byte) ([]byte, error) {
	return aead().Open(nil, nil, sealed, associated)
}

func aead() cipher.AEAD {
	block, err := aes.NewCipher([]byte("the key of tests, known to all.."))
	if err != nil {
		panic(err)
	}
	a, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic(err)
	}
	return a
}
