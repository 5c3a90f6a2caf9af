package store

import (
	"context"
	"strings"

	"github.com/google/uuid"

	"github.com/litemaas/litemaas/models"
)

// IssueKey is CreateKey for a key that somebody asks for: its owner must be active and have an
// active subscription to each of its models, or to the one of Terms.SubscriptionID, when no model
// is named. Nothing of that can change before the key is there, so that whatever ends a
// subscription finds it. Who makes one for himself has models.MaxLiveKeys of them at most; an
// admin, who makes it for another, is not bound. It is Forbidden when the owner is not active,
// Invalid for what he may not have, and Conflict when the alias is another key's.
func (s *Store) IssueKey(ctx context.Context, k *models.Key, admin bool, by models.Actor) error {
	action := models.AuditUserKeyCreate
	if admin {
		action = models.AuditAdminKeyCreate
	}
	return s.InTx(ctx, func(tx *Store) error {
		if err := tx.lockOwner(ctx, k.UserID); err != nil {
			return err
		}
		if !admin {
			if err := tx.roomForKey(ctx, k.UserID); err != nil {
				return err
			}
		}
		if err := tx.checkTeam(ctx, k); err != nil {
			return err
		}
		if err := tx.modelOfSubscription(ctx, k); err != nil {
			return err
		}
		active, err := tx.lockSubscribed(ctx, k.UserID, k.Models)
		if err != nil {
			return err
		}
		if missing := without(k.Models, active); len(missing) > 0 {
			return models.Errorf(models.Invalid, "You do not have active subscriptions for the following models: %s", strings.Join(missing, ", ")).On("modelIds")
		}
		return tx.createKey(ctx, k, action, by)
	})
}

// lockOwner makes those who make keys for a user wait for each other, and makes sure that he may
// use things until the transaction ends.
func (s *Store) lockOwner(ctx context.Context, userID uuid.UUID) error {
	var active []bool
	err := s.scan(ctx, "user", &active, "SELECT is_active FROM users WHERE id = ? FOR NO KEY UPDATE", userID)
	switch {
	case err != nil:
		return err
	case len(active) == 0:
		return models.Errorf(models.NotFound, "user %s not found", userID)
	case !active[0]:
		return models.Errorf(models.Forbidden, "the user is not active")
	}
	return nil
}

// liveKey is SQL for a key k that counts against the limit of its owner.
const liveKey = "k.revoked_at IS NULL AND k.retires_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > now())"

// roomForKey makes sure that a locked user may have one more key.
func (s *Store) roomForKey(ctx context.Context, userID uuid.UUID) error {
	var live int
	err := s.scan(ctx, "API keys", &live, "SELECT count(*) FROM api_keys k WHERE k.user_id = ? AND "+liveKey, userID)
	if err == nil && live >= models.MaxLiveKeys {
		err = models.Errorf(models.Invalid, "Maximum number of active API keys (%d) reached", models.MaxLiveKeys).On("apiKeys")
	}
	return err
}

// checkTeam makes sure that the owner of a new key is in its team. That of everybody is none.
func (s *Store) checkTeam(ctx context.Context, k *models.Key) error {
	if k.TeamID == nil {
		return nil
	}
	if *k.TeamID == models.DefaultTeamID {
		k.TeamID = nil
		return nil
	}
	var member int
	err := s.scan(ctx, "team", &member, "SELECT count(*) FROM team_members WHERE team_id = ? AND user_id = ?", *k.TeamID, k.UserID)
	if err == nil && member == 0 {
		err = models.Errorf(models.Invalid, "the owner of a key must be a member of its team").On("teamId")
	}
	return err
}

// modelOfSubscription puts the model of the subscription that a new key is asked for by on it.
func (s *Store) modelOfSubscription(ctx context.Context, k *models.Key) error {
	if k.Terms.SubscriptionID == nil || len(k.Models) > 0 {
		return nil
	}
	err := s.scan(ctx, "subscription", &k.Models, "SELECT model_id FROM subscriptions WHERE id = ? AND user_id = ?", *k.Terms.SubscriptionID, k.UserID)
	if err == nil && len(k.Models) == 0 {
		err = models.Errorf(models.NotFound, "Subscription not found").On("subscriptionId")
	}
	return err
}

// lockSubscribed returns to which of the models a user has an active subscription. None of his
// subscriptions to any of them changes until the transaction ends.
func (s *Store) lockSubscribed(ctx context.Context, userID uuid.UUID, llms []string) ([]string, error) {
	var rows []struct {
		ModelID string
		Status  models.SubscriptionStatus
	}
	err := s.scan(ctx, "subscriptions", &rows, `
		SELECT model_id, status FROM subscriptions
		WHERE user_id = ? AND model_id IN (SELECT jsonb_array_elements_text(CAST(? AS jsonb))) ORDER BY id FOR SHARE`, userID, rowsOf(llms))
	var active []string
	for _, r := range rows {
		if r.Status == models.SubscriptionActive {
			active = append(active, r.ModelID)
		}
	}
	return active, err
}
