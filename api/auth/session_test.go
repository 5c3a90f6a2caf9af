package auth_test

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/api/auth"
	"github.com/litemaas/litemaas/models"
)

// Whoever asks for it gets a refresh token: each is good once, and a copy of a used one ends it
// all.
func TestRefreshTokens(t *testing.T) {
	h := newHouse(t, newCertified(t).client())
	g, to := h.signIn(t, uma, true)
	require.Equal(t, 15*time.Minute, g.Lifetime)
	require.Regexp(t, `^ltr_[A-Za-z0-9_-]{43}$`, g.Refresh.Reveal())
	require.Contains(t, to, "&expires_in="+strconv.Itoa(15*60)+"&refresh_token="+g.Refresh.Reveal())
	for hash := range h.refresh {
		require.NotContains(t, hash, "ltr_", "it is kept as a hash")
	}
	provided := h.sessions[g.Principal.SessionID].ProviderTokens

	next, err := h.flow.Refresh(t.Context(), g.Refresh.Reveal(), from)
	require.NoError(t, err)
	require.NotEqual(t, g.Refresh, next.Refresh)
	require.NotEqual(t, g.Access, next.Access)
	require.NotEqual(t, provided, h.sessions[g.Principal.SessionID].ProviderTokens, "those of the provider are refreshed, too")
	p, err := h.who(t, next)
	require.NoError(t, err)
	require.Equal(t, g.Principal.SessionID, p.SessionID)

	last, err := h.flow.Refresh(t.Context(), next.Refresh.Reveal(), from)
	require.NoError(t, err)
	_, err = h.flow.Refresh(t.Context(), g.Refresh.Reveal(), from) // the copy
	refused(t, models.Unauthenticated, err)
	_, err = h.flow.Refresh(t.Context(), last.Refresh.Reveal(), from)
	refused(t, models.Unauthenticated, err)
	for _, g := range []auth.Grant{g, next, last} {
		_, err = h.who(t, g)
		refused(t, models.Unauthenticated, err)
	}
	require.Equal(t, models.SessionStolen, h.sessions[g.Principal.SessionID].RevokedWhy)

	h.refusals()
	for _, token := range []string{"", "nope", "ltr_", "ltr_x", g.Access.Reveal()} {
		_, err := h.flow.Refresh(t.Context(), token, from)
		refused(t, models.Unauthenticated, err)
		require.Len(t, h.refusals(), 1)
	}
}

// A client that lost the answer to a refresh, or sent it twice, goes on: whichever answer it
// has. The provider, which rotates its tokens too, is asked once, by the first.
func TestLostRefresh(t *testing.T) {
	w := &wire{}
	h := newHouse(t, w.through(newCertified(t).client()))
	t.Run("sent many times", func(t *testing.T) {
		g, _ := h.signIn(t, uma, true)
		before := w.called("/token")
		var wg sync.WaitGroup
		grants, errs := make([]auth.Grant, 20), make([]error, 20)
		for i := range grants {
			wg.Go(func() { grants[i], errs[i] = h.flow.Refresh(t.Context(), g.Refresh.Reveal(), from) })
		}
		wg.Wait()
		for i := range grants {
			require.NoError(t, errs[i])
			p, err := h.who(t, grants[i])
			require.NoError(t, err)
			require.Equal(t, g.Principal.SessionID, p.SessionID)
		}
		require.Equal(t, before+1, w.called("/token"))
		next, err := h.flow.Refresh(t.Context(), grants[7].Refresh.Reveal(), from)
		require.NoError(t, err)
		_, err = h.who(t, next)
		require.NoError(t, err)
		_, err = h.flow.Refresh(t.Context(), g.Refresh.Reveal(), from)
		refused(t, models.Unauthenticated, err)
		_, err = h.who(t, next)
		refused(t, models.Unauthenticated, err)
		require.Equal(t, models.SessionStolen, h.sessions[g.Principal.SessionID].RevokedWhy)
	})
	t.Run("the client hangs up while the provider is asked", func(t *testing.T) {
		g, _ := h.signIn(t, uma, true)
		ctx, hangUp := context.WithCancel(t.Context())
		w.set(func(w *wire) {
			w.change = func(a map[string]any) map[string]any { hangUp(); return a }
		})
		_, err := h.flow.Refresh(ctx, g.Refresh.Reveal(), from)
		require.Error(t, ctx.Err())
		require.NoError(t, err)
		w.set(func(w *wire) { w.change = nil })
		again, err := h.flow.Refresh(t.Context(), g.Refresh.Reveal(), from)
		require.NoError(t, err)
		_, err = h.flow.Refresh(t.Context(), again.Refresh.Reveal(), from)
		require.NoError(t, err, "the provider's new token was kept")
	})
	t.Run("too late", func(t *testing.T) {
		g, _ := h.signIn(t, uma, true)
		_, err := h.flow.Refresh(t.Context(), g.Refresh.Reveal(), from)
		require.NoError(t, err)
		h.now = func() time.Time { return time.Now().Add(models.RefreshGrace) }
		defer func() { h.now = time.Now }()
		_, err = h.flow.Refresh(t.Context(), g.Refresh.Reveal(), from)
		refused(t, models.Unauthenticated, err)
		require.Equal(t, models.SessionStolen, h.sessions[g.Principal.SessionID].RevokedWhy)
	})
}

// When no provider is configured any more, sessions that one has vouched for go on and end
// without it.
func TestWithoutProvider(t *testing.T) {
	c := newCertified(t).client()
	h := newHouse(t, c)
	sealer := newSealer(t)
	with, err := auth.NewFlow(c, h.provider, h, h.tokens, sealer)
	require.NoError(t, err)
	h.flow = with
	g, _ := h.signIn(t, uma, true)
	require.NotEmpty(t, h.sessions[g.Principal.SessionID].ProviderTokens)

	flow, err := auth.NewFlow(auth.Config{}, nil, h, h.tokens, sealer)
	require.NoError(t, err)
	next, err := flow.Refresh(t.Context(), g.Refresh.Reveal(), from)
	require.NoError(t, err)
	_, err = h.who(t, next)
	require.NoError(t, err)
	where, err := flow.Logout(t.Context(), next.Principal, from)
	require.NoError(t, err)
	require.Empty(t, where)
	_, err = h.who(t, next)
	refused(t, models.Unauthenticated, err)
	require.Equal(t, models.SessionLoggedOut, h.sessions[g.Principal.SessionID].RevokedWhy)
}

// journey is a person's way through it all, with two replicas: he signs in, refreshes, also while
// the provider is down, signs out at both, and comes back, until the provider disables him.
func journey(t *testing.T, at idp) {
	w := &wire{}
	both, b := houses(t, 2, w.through(at.client())), newBrowser(t)
	enter := func() auth.Grant {
		begun, err := both[0].flow.Begin(t.Context(), auth.Ask{Refresh: true}, from)
		require.NoError(t, err)
		g, _, err := both[1].flow.Finish(t.Context(), b.signIn(t, begun.URL, uma), begun.Cookie.Value, from)
		require.NoError(t, err)
		return g
	}
	everywhere := func(g auth.Grant, in bool) {
		for _, h := range both {
			if p, err := h.who(t, g); in {
				require.NoError(t, err)
				require.Equal(t, uma, p.Username)
			} else {
				refused(t, models.Unauthenticated, err)
			}
		}
	}
	g := enter()
	everywhere(g, true)
	next, err := both[0].flow.Refresh(t.Context(), g.Refresh.Reveal(), from)
	require.NoError(t, err)
	w.set(func(w *wire) { w.cut = func(*http.Request) bool { return true } })
	last, err := both[1].flow.Refresh(t.Context(), next.Refresh.Reveal(), from)
	require.NoError(t, err, "nobody is out because the provider is down")
	w.set(func(w *wire) { w.cut = nil })
	everywhere(last, true)

	where, err := both[0].flow.Logout(t.Context(), last.Principal, from)
	require.NoError(t, err)
	back, _ := b.open(t, where)
	require.Equal(t, frontend+"/login", back)
	for _, g := range []auth.Grant{g, next, last} {
		everywhere(g, false)
	}
	_, err = both[0].flow.Refresh(t.Context(), last.Refresh.Reveal(), from)
	refused(t, models.Unauthenticated, err)

	g = enter()
	require.Equal(t, last.Principal.UserID, g.Principal.UserID)
	at.disable(t, uma)
	everywhere(g, true)
	both[0].refusals()
	_, err = both[0].flow.Refresh(t.Context(), g.Refresh.Reveal(), from)
	refused(t, models.Unauthenticated, err)
	require.Len(t, both[0].refusals(), 1)
	everywhere(g, false)
}

// Who signs out is out, here at once and there when his browser goes where it is told.
func TestLogout(t *testing.T) {
	at, w := newCertified(t), &wire{}
	h := newHouse(t, w.through(at.client()))
	g, _ := h.signIn(t, uma, false)
	where, err := h.flow.Logout(t.Context(), g.Principal, from)
	require.NoError(t, err)
	u, err := url.Parse(where)
	require.NoError(t, err)
	require.Equal(t, frontend+"/login", u.Query().Get("post_logout_redirect_uri"))
	require.NotEmpty(t, u.Query().Get("id_token_hint"))
	_, err = h.who(t, g)
	refused(t, models.Unauthenticated, err)
	require.Equal(t, models.SessionLoggedOut, h.sessions[g.Principal.SessionID].RevokedWhy)
	again, err := h.flow.Logout(t.Context(), g.Principal, from)
	require.NoError(t, err)
	require.Equal(t, where, again)

	none, err := h.flow.Logout(t.Context(), models.Principal{Username: "admin-key-1"}, from)
	require.NoError(t, err)
	require.Empty(t, none, "an admin key has no session")
}

// What an operator mints is a session like any other.
func TestMint(t *testing.T) {
	h := newHouse(t, newCertified(t).client())
	g, _ := h.signIn(t, uma, false)
	flow, err := auth.NewFlow(auth.Config{}, nil, h, h.tokens, newSealer(t))
	require.NoError(t, err)
	minted, err := flow.Mint(t.Context(), h.user(g.Principal.UserID), time.Hour)
	require.NoError(t, err)
	p, err := h.who(t, minted)
	require.NoError(t, err)
	require.Equal(t, uma, p.Username)
	require.Equal(t, "cli", h.sessions[p.SessionID].Provider)
	require.NoError(t, h.RevokeSession(t.Context(), p.UserID, p.SessionID, models.SessionRevoked, models.Actor{}))
	_, err = h.who(t, minted)
	refused(t, models.Unauthenticated, err)
	_, err = h.who(t, g)
	require.NoError(t, err)
}
