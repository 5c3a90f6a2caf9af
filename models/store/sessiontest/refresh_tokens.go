package sessiontest

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
)

// rotate uses a refresh token for the next one, and says whether it was used before.
func (k Kept) rotate(t *testing.T, used models.RefreshToken) (next models.RefreshToken, again bool, err error) {
	t.Helper()
	next = Token(time.Hour)
	_, again, err = k.RotateRefreshToken(t.Context(), used.Hash, next, from)
	return next, again, err
}

// refresh uses a refresh token for the first time.
func (k Kept) refresh(t *testing.T, used models.RefreshToken) models.RefreshToken {
	t.Helper()
	next, again, err := k.rotate(t, used)
	require.NoError(t, err)
	require.False(t, again)
	return next
}

// refreshAgain uses a refresh token once more, as a client does that lost the answer.
func (k Kept) refreshAgain(t *testing.T, used models.RefreshToken) models.RefreshToken {
	t.Helper()
	next, again, err := k.rotate(t, used)
	require.NoError(t, err)
	require.True(t, again)
	return next
}

// worthless requires that a refresh token gives nothing, for that reason, and that nothing came
// of showing it.
func (k Kept) worthless(t *testing.T, token models.RefreshToken, why string) {
	t.Helper()
	next, again, err := k.rotate(t, token)
	Refused(t, models.Unauthenticated, err)
	require.ErrorContains(t, err, why)
	require.False(t, again)
	_, _, err = k.rotate(t, next)
	Refused(t, models.Unauthenticated, err)
	require.ErrorContains(t, err, "not known")
}

// stolen requires that a refresh token is taken for a copy, and that nothing is left of its
// session.
func (k Kept) stolen(t *testing.T, in models.Session, copied models.RefreshToken) {
	t.Helper()
	k.worthless(t, copied, "used before")
	k.dead(t, in)
	got, err := k.Session(t.Context(), in.ID)
	require.NoError(t, err)
	require.Equal(t, models.SessionStolen, got.RevokedWhy)
	require.Equal(t, []models.AuditAction{models.AuditFailed, models.AuditSessionRevoke, models.AuditSessionCreate}, k.Audited(t, in.ID))
}

// A refresh token gives the next one, once; who shows it after that has a copy.
func testRotate(t *testing.T, k Kept) {
	u, one, two := k.user(t, "ada"), Token(time.Hour), Token(time.Hour)
	in := Hour(u)
	in.ExpiresAt = time.Now().Add(time.Minute)
	begun, err := k.CreateSession(t.Context(), in, &one, Actor(u))
	require.NoError(t, err)
	next, again, err := k.RotateRefreshToken(t.Context(), one.Hash, two, from)
	require.NoError(t, err)
	require.False(t, again)
	require.Equal(t, begun.ID, next.ID)
	require.Equal(t, u.ID, next.UserID)
	require.Equal(t, in.ProviderTokens, next.ProviderTokens)
	require.True(t, next.ExpiresAt.After(begun.ExpiresAt), "it slides")
	three := k.refresh(t, two)

	k.worthless(t, Token(time.Hour), "not known")
	k.alive(t, begun)
	k.stolen(t, begun, one)
	k.worthless(t, three, "has ended")
	want := []models.AuditAction{models.AuditFailed, models.AuditFailed, models.AuditSessionRevoke, models.AuditSessionCreate}
	require.Equal(t, want, k.Audited(t, begun.ID))
	_, n, err := k.AuditLog(t.Context(), store.AuditQuery{Page: 1, Limit: 100, Action: models.AuditFailed})
	require.NoError(t, err)
	require.Equal(t, 6, n, "four of nobody's")

	lapsed := Token(-time.Second)
	k.alive(t, k.Begin(t, u, &lapsed))
	k.worthless(t, lapsed, "")
}

// A client that lost an answer asks again with the same token, and goes on.
func testGrace(t *testing.T, k Kept) {
	u := k.user(t, "ada")
	for name, test := range map[string]func(t *testing.T, in models.Session, first models.RefreshToken){
		"as often as answers are lost": func(t *testing.T, in models.Session, first models.RefreshToken) {
			k.refresh(t, first)
			k.refreshAgain(t, first)
			next := k.refreshAgain(t, first)
			k.refresh(t, next)
			k.refresh(t, k.refreshAgain(t, next)) // of the next one, too
			k.alive(t, in)
			require.Equal(t, []models.AuditAction{models.AuditSessionCreate}, k.Audited(t, in.ID))
		},
		"until something came of it": func(t *testing.T, in models.Session, first models.RefreshToken) {
			k.refresh(t, k.refresh(t, first))
			k.stolen(t, in, first)
		},
		"until something came of what came later": func(t *testing.T, in models.Session, first models.RefreshToken) {
			k.refresh(t, first)
			k.refresh(t, k.refreshAgain(t, first))
			k.stolen(t, in, first)
		},
		"until one of several answers is used": func(t *testing.T, in models.Session, first models.RefreshToken) {
			one, other := k.refresh(t, first), k.refreshAgain(t, first)
			k.refresh(t, one)
			k.stolen(t, in, other) // the other one has it
		},
		"for a few seconds from the first use": func(t *testing.T, in models.Session, first models.RefreshToken) {
			k.refresh(t, first)
			k.Pass(models.RefreshGrace - 2*time.Second)
			k.refreshAgain(t, first)
			k.Pass(3 * time.Second)
			k.stolen(t, in, first)
		},
		"not when the session has ended": func(t *testing.T, in models.Session, first models.RefreshToken) {
			k.refresh(t, first)
			require.NoError(t, k.RevokeSession(t.Context(), u.ID, in.ID, models.SessionLoggedOut, Actor(u)))
			k.worthless(t, first, "has ended")
		},
	} {
		t.Run(name, func(t *testing.T) {
			first := Token(time.Hour)
			test(t, k.Begin(t, u, &first), first)
		})
	}
}

// Twenty who use one token at once are one client that sent twice: all are answered, one session
// goes on. Whichever answer is used, the token and the other answers are copies from then on.
func testRotateAtOnce(t *testing.T, k Kept) {
	u := k.user(t, "ada")
	for _, copied := range []string{"the token", "another answer"} {
		t.Run(copied, func(t *testing.T) {
			first, answers, again := Token(time.Hour), make([]models.RefreshToken, 20), make([]bool, 20)
			in := k.Begin(t, u, &first)
			for _, err := range atOnce(len(answers), func(i int) (err error) {
				answers[i], again[i], err = k.rotate(t, first)
				return err
			}) {
				require.NoError(t, err)
			}
			firsts := 0
			for _, a := range again {
				if !a {
					firsts++
				}
			}
			require.Equal(t, 1, firsts, "one of them is the first")
			k.alive(t, in)

			next := k.refresh(t, answers[3])
			k.alive(t, in)
			k.stolen(t, in, map[string]models.RefreshToken{"the token": first, "another answer": answers[7]}[copied])
			k.worthless(t, next, "has ended")
		})
	}
}

// Of two who have an answer each and use it at once, one goes on, until the other's is seen to
// be a copy: that ends it for both.
func testAnswersAtOnce(t *testing.T, k Kept) {
	first := Token(time.Hour)
	in := k.Begin(t, k.user(t, "ada"), &first)
	answers := []models.RefreshToken{k.refresh(t, first), k.refreshAgain(t, first)}
	errs := atOnce(2, func(i int) error {
		_, _, err := k.rotate(t, answers[i])
		return err
	})
	require.NotEqual(t, errs[0] == nil, errs[1] == nil, "%v", errs)
	k.dead(t, in)
	got, err := k.Session(t.Context(), in.ID)
	require.NoError(t, err)
	require.Equal(t, models.SessionStolen, got.RevokedWhy)
}

// Answers are good for longer than what they were given for, and still only one of them.
func testAnswersLater(t *testing.T, k Kept) {
	first := Token(10 * time.Minute)
	in := k.Begin(t, k.user(t, "ada"), &first)
	one, other := k.refresh(t, first), k.refreshAgain(t, first)
	k.Pass(30 * time.Minute)
	k.refresh(t, one)
	k.refreshAgain(t, one)
	k.alive(t, in)
	k.stolen(t, in, other)
}
