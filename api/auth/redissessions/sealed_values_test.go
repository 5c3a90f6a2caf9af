package redissessions_test

import (
	"os"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/activities"
	"github.com/litemaas/litemaas/api/auth/redissessions"
	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
	"github.com/litemaas/litemaas/models/store/sessiontest"
	"github.com/litemaas/litemaas/models/store/storetest"
)

const sealedPlace = "redis.provider_tokens"

// sealed makes n sessions with tokens that a keyring seals.
func (k kept) sealed(t *testing.T, keys models.Sealer, n int) (ids []string) {
	t.Helper()
	_, err := k.client.Pipelined(t.Context(), func(p redis.Pipeliner) error {
		for range n {
			id := uuid.NewString()
			tokens, err := keys.Seal([]byte("hush "+id), []byte("sessions/"+id))
			require.NoError(t, err)
			p.HSet(t.Context(), redissessions.SessionPrefix+id, "id", id, "provider_tokens", tokens)
			p.PExpire(t.Context(), redissessions.SessionPrefix+id, time.Hour)
			ids = append(ids, id)
		}
		return nil
	})
	require.NoError(t, err)
	return ids
}

// opens requires that a keyring opens the tokens of sessions, which last as long as before.
func (k kept) opens(t *testing.T, keys models.Sealer, ids []string) {
	t.Helper()
	for _, id := range ids {
		tokens, err := k.client.HGet(t.Context(), redissessions.SessionPrefix+id, "provider_tokens").Bytes()
		require.NoError(t, err)
		plain, err := keys.Open(tokens, []byte("sessions/"+id))
		require.NoError(t, err)
		require.Equal(t, "hush "+id, string(plain))
		left, err := k.client.PTTL(t.Context(), redissessions.SessionPrefix+id).Result()
		require.NoError(t, err)
		require.Positive(t, left)
	}
}

// The tokens of sessions in Redis are counted, and sealed anew page by page, beside those in Postgres;
// what nobody can open stays, and so does what somebody changed meanwhile.
func TestResealSessions(t *testing.T) {
	t.Run("in memory", func(t *testing.T) {
		k, _ := inMemory(t)
		k.testReseal(t)
	})
	if url := os.Getenv("TEST_REDIS_URL"); url != "" {
		t.Run("real", func(t *testing.T) {
			elsewhere(t, url).testReseal(t)
		})
	}
}

func (k kept) testReseal(t *testing.T) {
	sessions, ok := k.Store.(*redissessions.Sessions)
	require.True(t, ok)
	both, old, alone := storetest.Keyring{"key2", "key1"}, storetest.Keyring{"key1"}, storetest.Keyring{"key2"}
	a := activities.SealedValues{Store: sessions, Keys: both}
	others := counted(t, a, sealedPlace) // of other tests, which nobody can open
	ids := append(k.sealed(t, old, 600), k.sealed(t, alone, 30)...)
	k.sealed(t, storetest.Keyring{"key0"}, 2)
	u := k.user(t, "ada") // with a refresh token, and no tokens of a provider
	without, first := sessiontest.Hour(u), sessiontest.Token(time.Hour)
	without.ProviderTokens = nil
	_, err := k.CreateSession(t.Context(), without, &first, sessiontest.Actor(u))
	require.NoError(t, err)
	storetest.Seal(t, k.db, old, 3)

	require.Equal(t, []int{others[0] + 632, others[1] + 602}, counted(t, a, sealedPlace))
	require.Equal(t, []int{3, 3}, counted(t, a, "sessions.provider_tokens"))
	done, after := 0, ""
	for more := true; more; {
		page, err := a.ResealPage(t.Context(), activities.ResealPageInput{Key: "key2", Place: sealedPlace, After: after, Limit: 250})
		require.NoError(t, err)
		require.Greater(t, page.Last, after)
		done, after, more = done+page.Resealed, page.Last, page.More
	}
	require.Equal(t, 600, done)
	k.opens(t, alone, ids)
	require.Equal(t, []int{others[0] + 632, others[1] + 2}, counted(t, a, sealedPlace), "the lost ones")
	again, err := a.ResealPage(t.Context(), activities.ResealPageInput{Key: "key2", Place: sealedPlace, Limit: 5000})
	require.NoError(t, err)
	require.Equal(t, []int{0, others[1] + 2}, []int{again.Resealed, again.Lost})
	inPostgres, err := a.ResealPage(t.Context(), activities.ResealPageInput{Key: "key2", Place: "sessions.provider_tokens", Limit: 500})
	require.NoError(t, err)
	require.Equal(t, 3, inPostgres.Resealed)

	stale := store.SealedValue{Key: ids[0], Sealed: []byte("as it was")}
	gone := store.SealedValue{Key: uuid.NewString(), Sealed: []byte("as it was")}
	n, err := sessions.Reseal(t.Context(), sealedPlace, []store.SealedValue{stale, gone}, [][]byte{[]byte("x"), []byte("x")})
	require.NoError(t, err)
	require.Zero(t, n)
	k.opens(t, alone, ids[:1])
	require.Zero(t, k.client.Exists(t.Context(), redissessions.SessionPrefix+gone.Key).Val(), "no session is made of it")
}

// counted is how many values a place holds, and how many of them another key sealed.
func counted(t *testing.T, a activities.SealedValues, place string) []int {
	t.Helper()
	res, err := a.CountSealed(t.Context(), activities.CountSealedInput{Key: "key2"})
	require.NoError(t, err)
	for _, p := range res.Places {
		if p.Place == place {
			return []int{p.Total, p.Foreign}
		}
	}
	require.Fail(t, "no such place", place)
	return nil
}

// While Redis is away nothing is said of what it holds.
func TestResealWithoutRedis(t *testing.T) {
	k, server := inMemory(t)
	sessions, ok := k.Store.(*redissessions.Sessions)
	require.True(t, ok)
	server.SetError("ERR away")
	_, err := sessions.CountSealed(t.Context())
	require.Equal(t, models.Unavailable, models.KindOf(err))
	_, err = sessions.ForeignSealed(t.Context(), sealedPlace, []byte("#key2"), "", 10)
	require.Equal(t, models.Unavailable, models.KindOf(err))
	_, err = sessions.Reseal(t.Context(), sealedPlace, []store.SealedValue{{Key: "x"}}, [][]byte{nil})
	require.Equal(t, models.Unavailable, models.KindOf(err))
	_, err = sessions.ForeignSealed(t.Context(), "redis.none", nil, "", 10)
	require.Equal(t, models.NotFound, models.KindOf(err))
}
