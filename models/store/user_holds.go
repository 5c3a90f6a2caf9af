package store

import (
	"context"
	"slices"

	"github.com/google/uuid"

	"github.com/litemaas/litemaas/models"
)

// DeactivateUser adds a reason why a user may do nothing: from the commit on, no session of
// his is good, his subscriptions are suspended and his keys held, and LiteLLM is to let him
// spend nothing; see UserCascades for what has to be followed. Adding a reason twice adds it
// once. It is Conflict for the last active admin, and Forbidden for oneself and for who is no
// person.
func (s *Store) DeactivateUser(ctx context.Context, id uuid.UUID, hold models.Hold, why string, by models.Actor) (models.User, error) {
	var u models.User
	err := s.InTx(ctx, func(tx *Store) error {
		before, err := tx.lockedUser(ctx, id)
		if u = before; err != nil || slices.Contains(before.Holds, hold) {
			return err
		}
		switch {
		case id == models.SystemUserID || hold == models.HoldSystem:
			return models.Errorf(models.Forbidden, "only people are deactivated")
		case id.String() == by.ID:
			return models.Errorf(models.Forbidden, "you cannot deactivate yourself")
		}
		if before.Active() && slices.Contains(before.Roles, models.RoleAdmin) {
			if err := tx.keepAnAdmin(ctx, id); err != nil {
				return err
			}
		}
		if err := tx.endSessions(ctx, id, by); err != nil {
			return err
		}
		if u, err = tx.setHolds(ctx, before, append(slices.Clone(before.Holds), hold), models.AuditUserDeactivate, why, by); err != nil || !before.Active() {
			return err
		}
		return tx.holdBelongings(ctx, id, by)
	})
	return u, err
}

// endSessions ends all sessions of a user whose row is locked: those that are kept here, and by
// the row those that are kept elsewhere.
func (s *Store) endSessions(ctx context.Context, userID uuid.UUID, by models.Actor) error {
	gone, err := s.revokeSessions(ctx, models.SessionDeactivated, "user_id = ?", userID)
	if err != nil {
		return err
	}
	if err := s.auditSessions(ctx, by, gone); err != nil {
		return err
	}
	// Not now(), when the transaction began: a session may have begun since.
	return s.exec(ctx, "user", "UPDATE users SET sessions_since = clock_timestamp() WHERE id = ?", userID)
}

// ReinstateUser lifts one reason why a user may do nothing; while there are others, he still
// may not. With the last, his subscriptions and keys are what they were, as far as nothing else
// holds them. What was not there is lifted without a trace. Sessions that ended do not come back.
func (s *Store) ReinstateUser(ctx context.Context, id uuid.UUID, hold models.Hold, why string, by models.Actor) (models.User, error) {
	var u models.User
	err := s.InTx(ctx, func(tx *Store) error {
		before, err := tx.lockedUser(ctx, id)
		if u = before; err != nil || !slices.Contains(before.Holds, hold) {
			return err
		}
		if hold == models.HoldSystem {
			return models.Errorf(models.Forbidden, "only people are reinstated")
		}
		left := slices.DeleteFunc(slices.Clone(before.Holds), func(h models.Hold) bool { return h == hold })
		if u, err = tx.setHolds(ctx, before, left, models.AuditUserReinstate, why, by); err != nil || !u.Active() {
			return err
		}
		return tx.freeBelongings(ctx, id, by)
	})
	return u, err
}

// setHolds stores the reasons, one generation on.
func (s *Store) setHolds(ctx context.Context, before models.User, holds []models.Hold, action models.AuditAction, why string, by models.Actor) (models.User, error) {
	words := make([]string, len(holds))
	for i, h := range holds {
		words[i] = string(h)
	}
	err := s.exec(ctx, "user", "UPDATE users SET holds = CAST(? AS jsonb), generation = generation + 1, updated_at = now() WHERE id = ?",
		jsonOf(words), before.ID)
	if err != nil {
		return before, err
	}
	if err := s.tellUser(ctx, before.ID); err != nil {
		return before, err
	}
	err = s.Audit(ctx, by, models.Event{
		Action: action, ResourceType: models.AuditOfUser, ResourceID: before.ID.String(), Detail: map[string]string{"reason": why},
		Before: map[string]any{"holds": before.Holds}, After: map[string]any{"holds": holds},
	})
	if err != nil {
		return before, err
	}
	return s.User(ctx, before.ID)
}
