package activities

import (
	"context"

	"github.com/google/uuid"

	"github.com/litemaas/litemaas/models"
)

// KeyRef names a key.
type KeyRef struct{ ID uuid.UUID }

// LookAtRotation says how far the rotation of a key has come.
func (a *Keys) LookAtRotation(ctx context.Context, in KeyRef) (models.KeyRotation, error) {
	return a.Store.KeyRotation(ctx, in.ID)
}

// LookAtKeyUse asks LiteLLM when a key was last used, and records it: our row knows only of the
// calls that came by us. Who does not know of a use must not take a key for silent.
func (a *Keys) LookAtKeyUse(ctx context.Context, in KeyRef) error {
	defer beat(ctx)()
	k, err := a.Store.Key(ctx, in.ID)
	if err != nil {
		return err
	}
	seen, err := a.Proxy.Key(ctx, k.Hash)
	if models.KindOf(err) == models.NotFound {
		return nil
	}
	if err != nil || seen.LastActiveAt == nil {
		return err
	}
	return a.Store.NoteKeyUse(ctx, k.ID, *seen.LastActiveAt)
}

// RetireKeyResult says whether the key has gone.
type RetireKeyResult struct{ Gone bool }

// RetireKey revokes a key whose successor is to be alone by now.
func (a *Keys) RetireKey(ctx context.Context, in KeyRef) (RetireKeyResult, error) {
	gone, err := a.Store.RetireKey(ctx, in.ID, models.System("RotateKey"))
	return RetireKeyResult{gone}, err
}

// HastenRetirementInput names a key, and who wants it gone.
type HastenRetirementInput struct {
	ID    uuid.UUID
	Actor models.Actor
}

// HastenRetirement has a key go now that is being rotated. One that is not, any more, is let be.
func (a *Keys) HastenRetirement(ctx context.Context, in HastenRetirementInput) error {
	_, err := a.Store.HastenRetirement(ctx, in.ID, in.Actor)
	return unlessConflict(err)
}

// AbandonRotationInput says why a key cannot have its successor, in words for its owner.
type AbandonRotationInput struct {
	ID  uuid.UUID
	Why string
}

// AbandonRotation lets a key live on whose successor LiteLLM refuses.
func (a *Keys) AbandonRotation(ctx context.Context, in AbandonRotationInput) error {
	_, _, err := a.Store.UndoRotation(ctx, in.ID, in.Why, models.System("RotateKey"))
	return unlessConflict(err)
}

// unlessConflict takes for done what is so already, or overtaken.
func unlessConflict(err error) error {
	if models.KindOf(err) == models.Conflict {
		return nil
	}
	return err
}
