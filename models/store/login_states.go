package store

import (
	"context"
	"crypto/subtle"
	"time"

	"github.com/litemaas/litemaas/models"
)

// PutLoginState keeps what a sign-in has to come back to.
func (s *Store) PutLoginState(ctx context.Context, l models.LoginState) error {
	return s.exec(ctx, "login state", `
		INSERT INTO login_states (state_hash, browser_hash, provider, nonce, verifier, redirect, max_age, expires_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
		l.StateHash, l.BrowserHash, l.Provider, l.Nonce, l.Verifier, l.Redirect, l.MaxAge, l.ExpiresAt)
}

// TakeLoginState returns a login state once, by its hash, to the browser that began. It is
// Unauthenticated when there is none, when it has expired, and in any other browser; the state
// is gone in each case, so that none can be tried twice.
func (s *Store) TakeLoginState(ctx context.Context, stateHash, browserHash string) (models.LoginState, error) {
	var rows []models.LoginState
	err := s.scan(ctx, "login state", &rows, "DELETE FROM login_states WHERE state_hash = ? RETURNING *", stateHash)
	switch {
	case err != nil:
		return models.LoginState{}, err
	case len(rows) == 0:
		return models.LoginState{}, models.Errorf(models.Unauthenticated, "this sign-in was never begun, or is over already")
	case !time.Now().Before(rows[0].ExpiresAt):
		return models.LoginState{}, models.Errorf(models.Unauthenticated, "this sign-in took too long")
	case subtle.ConstantTimeCompare([]byte(rows[0].BrowserHash), []byte(browserHash)) != 1:
		return models.LoginState{}, models.Errorf(models.Unauthenticated, "this sign-in was begun in another browser")
	}
	return rows[0], nil
}
