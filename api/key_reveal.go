package api

import (
	"context"
	"net/http"
	"time"

	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/workflows"
)

type revealKeyResponse struct {
	Body struct {
		Key         string    `json:"key"`
		KeyType     string    `json:"keyType" enum:"litellm"`
		RetrievedAt time.Time `json:"retrievedAt"`
	}
}

// tokenTooOld is the code by which the web UI knows that somebody has to sign in anew.
const tokenTooOld = "TOKEN_TOO_OLD" //nolint:gosec // it is none

// revealKey shows the secret of a key of the caller's once more, if he has signed in not long ago.
// It is in the audit log before it is shown; so is that it was not.
func (s *Server) revealKey(ctx context.Context, in *keyLifeRequest) (*revealKeyResponse, error) {
	k, err := s.ownKey(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	secret, err := s.reveal(ctx, k)
	e := models.Event{
		Action: models.AuditUserKeyReveal, ResourceType: models.AuditOfKey, ResourceID: k.ID.String(),
		Detail: map[string]any{"userId": k.UserID, "name": k.Name, "prefix": k.Prefix},
	}
	if err != nil {
		e.Action, e.Failure = models.AuditUserKeyHidden, err.Error()
	}
	if failed := s.Store.Audit(ctx, actor(ctx), e); err == nil {
		err = failed
	}
	if err != nil {
		return nil, err
	}
	out := &revealKeyResponse{}
	out.Body.Key, out.Body.KeyType, out.Body.RetrievedAt = secret.Reveal(), "litellm", requestOf(ctx).at.UTC()
	return out, nil
}

// reveal opens the secret of a key that may be shown.
func (s *Server) reveal(ctx context.Context, k models.Key) (models.Secret, error) {
	signedIn := requestOf(ctx).caller.AuthTime
	switch {
	case s.Config.RevealMaxAge > 0 && time.Since(signedIn) > s.Config.RevealMaxAge:
		p := fail(ctx, models.Errorf(models.Forbidden, "Recent authentication required for this operation"))
		p.Code, p.Envelope.Code = tokenTooOld, tokenTooOld
		p.Details.Suggestion, p.Envelope.Details.Suggestion = "Sign in again, and try once more", "Sign in again, and try once more"
		return models.Secret{}, p
	case k.RevokedAt != nil && k.RevokedWhy != models.KeyEndExpired:
		return models.Secret{}, models.Errorf(models.NotFound, "The API key is revoked")
	case k.RevokedAt != nil, k.Expired():
		return models.Secret{}, models.Errorf(models.NotFound, "The API key has expired")
	}
	return k.Secret(s.Sealer)
}

type cleanUpKeysResponse struct {
	Status int
	Body   struct {
		Message      string `json:"message"`
		CleanedCount int    `json:"cleanedCount"`
	}
}

// cleanUpAtOnce is how many keys are revoked in one transaction.
const cleanUpAtOnce = 500

// cleanUpKeys revokes the keys whose time is over. The clock does it to the second; this is for who
// does not want to wait for a clock that was stopped. LiteLLM follows by a run of its own.
func (s *Server) cleanUpKeys(ctx context.Context, _ *struct{}) (*cleanUpKeysResponse, error) {
	out := &cleanUpKeysResponse{Status: http.StatusOK}
	for {
		ids, err := s.Store.EndDueKeys(ctx, cleanUpAtOnce, actor(ctx))
		if err != nil {
			return nil, err
		}
		if out.Body.CleanedCount += len(ids); len(ids) < cleanUpAtOnce {
			break
		}
	}
	out.Body.Message = "Expired API keys cleaned up successfully"
	if out.Body.CleanedCount > 0 {
		run, err := workflows.Start(ctx, s.Temporal, workflows.ReconcileKeys, workflows.ReconcileKeysInput{Fresh: true})
		await(ctx, run, err, s.deadline(ctx))
	}
	return out, s.Store.Audit(ctx, actor(ctx), models.Event{
		Action: models.AuditUserKeyCleanup, ResourceType: models.AuditOfKey, Detail: map[string]any{"cleanedCount": out.Body.CleanedCount},
	})
}
