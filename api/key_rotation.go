package api

import (
	"context"
	"crypto/rand"
	"net/http"
	"time"

	"github.com/google/uuid"

	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/workflows"
)

// keyLifeRoutes is the part of the index that is about how API keys give way to others, end, and
// are shown again.
func (s *Server) keyLifeRoutes(r *router) {
	at := func(e endpoint) endpoint { return e.under("/api/v1/api-keys") }
	write := at(own("api_keys:write"))
	routeReplayed(r, write.post("/{id}/rotate", "rotateKey", "Give an API key a successor, and let both work for a while").or(http.StatusAccepted), s.rotateKey, s.rotated)
	routeReplayed(r, write.post("/{id}/rotate/retire", "retireKey", "Let a key that is being rotated go at once").or(http.StatusAccepted), s.retireKey, s.retired)
	routeReplayed(r, write.post("/{id}/rotate/undo", "undoRotation", "Let a key that is being rotated live on, and its successor go").or(http.StatusAccepted), s.undoRotation, s.undone)
	route(r, write.put("/{id}/rotate/policy", "setRotationPolicy", "Have a key rotated by itself, or not"), s.setRotationPolicy)
	route(r, at(own("api_keys:read")).limited(classReveal).post("/{id}/reveal", "revealKey", "Read the secret of a key again"), s.revealKey)
	route(r, at(may("admin:api_keys")).post("/admin/cleanup-expired", "cleanUpKeys", "Revoke the keys whose time is over now, not by the clock"), s.cleanUpKeys)
}

type keyLifeRequest struct {
	ID uuid.UUID `path:"id" format:"uuid"`
}

type rotateKeyRequest struct {
	ID   uuid.UUID `path:"id" format:"uuid"`
	Body *struct {
		GracePeriod         *string `json:"gracePeriod,omitempty" maxLength:"12" example:"24h" doc:"How long the old key works on, at most 90d, and never beyond its own end. 0: until the new one works."`
		RetireWhenSilentFor *string `json:"retireWhenSilentFor,omitempty" nullable:"true" maxLength:"12" example:"2h" doc:"The old key goes sooner, once it was not used for so long; at least 10m. Left out: it does not."`
	}
}

// how is how the caller wants a key to be rotated.
func (r *rotateKeyRequest) how() (models.HowToRotate, error) {
	how := models.HowToRotate{Grace: models.DefaultGrace}
	if r.Body == nil {
		return how, nil
	}
	if text := r.Body.GracePeriod; text != nil {
		var err error
		if how.Grace, err = models.ParseSpan("gracePeriod", *text); err != nil {
			return how, err
		}
	}
	if text := r.Body.RetireWhenSilentFor; text != nil {
		d, err := models.ParseSpan("retireWhenSilentFor", *text)
		if err != nil {
			return how, err
		}
		how.Silent = &d
	}
	return how, how.Check()
}

type rotateKeyResponse struct {
	Status int
	Body   struct {
		ID         uuid.UUID        `json:"id" format:"uuid" doc:"Of the new key."`
		Key        string           `json:"key" doc:"The secret of the new key."`
		KeyPrefix  string           `json:"keyPrefix"`
		RotatedAt  time.Time        `json:"rotatedAt"`
		OldID      uuid.UUID        `json:"oldId" format:"uuid"`
		OldPrefix  string           `json:"oldPrefix"`
		GraceUntil time.Time        `json:"graceUntil" doc:"Until when the old key works, if it is not retired before. Never before the new one does."`
		State      models.KeyStatus `json:"status" enum:"provisioning,active,blocked,expired,revoking,revoked,failed" doc:"Of the new key."`
	}
}

// rotateKey gives a key of the caller's a successor. It is 202 while LiteLLM does not hold that
// one yet; the old key works at least until it does.
func (s *Server) rotateKey(ctx context.Context, in *rotateKeyRequest) (*rotateKeyResponse, error) {
	how, err := in.how()
	if err != nil {
		return nil, err
	}
	until := s.deadline(ctx)
	k, err := s.ownKey(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	secret, err := models.NewSecret(rand.Reader)
	if err != nil {
		return nil, err
	}
	heir, err := models.NewHeir(k, secret, s.Sealer)
	if err != nil {
		return nil, models.Wrap(models.Internal, err, "the secret of a new API key cannot be sealed")
	}
	about(ctx, models.AuditOfKey, heir.ID.String())
	old, made, err := s.Store.RotateKey(ctx, in.ID, heir, how, actor(ctx))
	if err != nil {
		return nil, err
	}
	if made, err = s.followRotation(ctx, old, made, how, until); err != nil {
		return nil, err
	}
	return newRotation(old, made, secret), nil
}

// rotated is the answer to whoever rotated a key, from its successor's row. It is Conflict when
// the rotation was undone since.
func (s *Server) rotated(ctx context.Context, id string) (*rotateKeyResponse, error) {
	made, err := s.subjectKey(ctx, id)
	if err != nil {
		return nil, err
	}
	if made.Predecessor == nil {
		return nil, models.Errorf(models.Conflict, "The API key was rotated, and that was undone: the new key has gone")
	}
	old, err := s.Store.Key(ctx, *made.Predecessor)
	if err != nil {
		return nil, err
	}
	secret, err := made.Secret(s.Sealer)
	if err != nil {
		return nil, err
	}
	return newRotation(old, made, secret), nil
}

func newRotation(old, made models.Key, secret models.Secret) *rotateKeyResponse {
	out := &rotateKeyResponse{Status: http.StatusOK}
	if made.ObservedGeneration == 0 {
		out.Status = http.StatusAccepted
	}
	b := &out.Body
	b.ID, b.Key, b.KeyPrefix, b.RotatedAt, b.State = made.ID, secret.Reveal(), made.Prefix, made.CreatedAt.UTC(), made.Status()
	b.OldID, b.OldPrefix, b.GraceUntil = old.ID, old.Prefix, old.RetiresAt.UTC()
	return out
}

// followRotation has LiteLLM hold the successor of a key, and waits for it; where the key has no
// grace, for its end too. It is Conflict when LiteLLM refuses the successor. What else goes wrong
// behind the commit is no failure of the request's.
func (s *Server) followRotation(ctx context.Context, old, heir models.Key, how models.HowToRotate, until time.Time) (models.Key, error) {
	rotation, err := workflows.Start(ctx, s.Temporal, workflows.RotateKey, workflows.RotateKeyInput{KeyID: old.ID, Actor: actor(ctx)})
	if how.Grace == 0 {
		await(ctx, rotation, err, until)
	} else if err == nil {
		run, err := workflows.Start(ctx, s.Temporal, workflows.ReconcileKey, workflows.ReconcileKeyInput{KeyID: heir.ID, New: true})
		await(ctx, run, err, until)
	}
	heir, err = s.Store.Key(ctx, heir.ID)
	if err == nil && heir.ObservedGeneration == 0 && heir.Failure != "" {
		err = models.Errorf(models.Conflict, "LiteLLM refuses the new key, so the old one lives on: %s", heir.Failure)
	}
	return heir, err
}

type keyLifeResponse struct {
	Status int
	Body   struct {
		ID        uuid.UUID        `json:"id" format:"uuid"`
		KeyPrefix string           `json:"keyPrefix"`
		State     models.KeyStatus `json:"status" enum:"provisioning,active,blocked,expired,revoking,revoked,failed"`
		RevokedAt *time.Time       `json:"revokedAt,omitempty"`
	}
}

// newKeyLife is where a key stands; 202, while LiteLLM has yet to follow on what changed.
func newKeyLife(k models.Key, settled bool) *keyLifeResponse {
	out := &keyLifeResponse{Status: http.StatusOK}
	if !settled {
		out.Status = http.StatusAccepted
	}
	out.Body.ID, out.Body.KeyPrefix, out.Body.State = k.ID, k.Prefix, k.Status()
	if k.RevokedAt != nil {
		out.Body.RevokedAt = new(k.RevokedAt.UTC())
	}
	return out
}

// retireKey ends the grace of a key that is being rotated.
func (s *Server) retireKey(ctx context.Context, in *keyLifeRequest) (*keyLifeResponse, error) {
	until := s.deadline(ctx)
	if _, err := s.ownKey(ctx, in.ID); err != nil {
		return nil, err
	}
	if _, err := s.Store.HastenRetirement(ctx, in.ID, actor(ctx)); err != nil {
		return nil, err
	}
	run, err := workflows.Nudge(ctx, s.Temporal, workflows.RotateKey, workflows.RotateKeyInput{KeyID: in.ID, Actor: actor(ctx)})
	await(ctx, run, err, until)
	return s.retired(ctx, in.ID.String())
}

// retired is the answer to whoever let a key go.
func (s *Server) retired(ctx context.Context, id string) (*keyLifeResponse, error) {
	k, err := s.subjectKey(ctx, id)
	if err != nil {
		return nil, err
	}
	return newKeyLife(k, k.RevokedAt != nil && k.Settled()), nil
}

// undoRotation lets a key live on, and waits until LiteLLM refuses its successor.
func (s *Server) undoRotation(ctx context.Context, in *keyLifeRequest) (*keyLifeResponse, error) {
	until := s.deadline(ctx)
	if _, err := s.ownKey(ctx, in.ID); err != nil {
		return nil, err
	}
	about(ctx, models.AuditOfKey, in.ID.String())
	old, heir, err := s.Store.UndoRotation(ctx, in.ID, models.KeyEndUndone, actor(ctx))
	if err != nil {
		return nil, err
	}
	run, err := workflows.Nudge(ctx, s.Temporal, workflows.ReconcileKey, workflows.ReconcileKeyInput{KeyID: heir.ID})
	await(ctx, run, err, until)
	rotation, err := workflows.Nudge(ctx, s.Temporal, workflows.RotateKey, workflows.RotateKeyInput{KeyID: old.ID, Actor: actor(ctx)})
	await(ctx, rotation, err, until)
	if heir, err = s.Store.Key(ctx, heir.ID); err != nil {
		return nil, err
	}
	return newKeyLife(old, heir.Settled()), nil
}

// undone is the answer to whoever let a key live on. The other key that the operation is about is
// its successor.
func (s *Server) undone(ctx context.Context, id string) (*keyLifeResponse, error) {
	old, err := s.subjectKey(ctx, id)
	if err != nil {
		return nil, err
	}
	settled := true
	for _, other := range requestOf(ctx).operation.row.Subjects[1:] {
		heir, err := s.subjectKey(ctx, other.ID)
		if err != nil {
			return nil, err
		}
		settled = settled && heir.Settled()
	}
	return newKeyLife(old, settled), nil
}

type rotationPolicyRequest struct {
	ID   uuid.UUID `path:"id" format:"uuid"`
	Body struct {
		RotateEvery *string `json:"rotateEvery,omitempty" nullable:"true" maxLength:"12" example:"90d" doc:"How old the key, and each after it, gets; at least 1d. null: it is not rotated by itself."`
	}
}

type rotationPolicyResponse struct {
	Body struct {
		ID          uuid.UUID `json:"id" format:"uuid"`
		RotateEvery *string   `json:"rotateEvery" nullable:"true"`
	}
}

// setRotationPolicy has a key rotated by itself each time that it is so old. Its owner is told 30,
// 7 and 1 days before, and then; the old key works on for a day.
func (s *Server) setRotationPolicy(ctx context.Context, in *rotationPolicyRequest) (*rotationPolicyResponse, error) {
	var every *time.Duration
	if text := in.Body.RotateEvery; text != nil {
		d, err := models.ParseSpan("rotateEvery", *text)
		if err != nil {
			return nil, err
		}
		every = &d
	}
	if _, err := s.ownKey(ctx, in.ID); err != nil {
		return nil, err
	}
	if err := s.Store.SetRotationPolicy(ctx, in.ID, every, actor(ctx)); err != nil {
		return nil, err
	}
	out := &rotationPolicyResponse{}
	out.Body.ID, out.Body.RotateEvery = in.ID, in.Body.RotateEvery
	return out, nil
}

// ownKey is a key of the caller's; those of others are not there for him.
func (s *Server) ownKey(ctx context.Context, id uuid.UUID) (models.Key, error) {
	k, err := s.Store.Key(ctx, id)
	if models.KindOf(err) == models.NotFound || err == nil && k.UserID != requestOf(ctx).caller.UserID {
		return models.Key{}, models.Errorf(models.NotFound, "API key not found")
	}
	return k, err
}
