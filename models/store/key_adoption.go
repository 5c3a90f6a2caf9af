package store

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/litemaas/litemaas/models"
)

// AdoptOrphan makes an orphan one of our keys, of a user, who is the one that LiteLLM names unless
// another is given. Its row has the limits that the sync saw, and those of its models that the
// user has an active subscription to; nobody here knows its secret. It is Invalid, on userId, when
// the user is none of ours, and Conflict when no model would be left, or something else was
// decided.
func (s *Store) AdoptOrphan(ctx context.Context, hash string, userID uuid.UUID, by models.Actor) (models.Key, error) {
	var k models.Key
	err := s.InTx(ctx, func(tx *Store) error {
		o, err := tx.KeyOrphan(ctx, hash)
		if err != nil {
			return err
		}
		switch {
		case o.State == models.OrphanAdopted && o.KeyID != nil:
			k, err = tx.Key(ctx, *o.KeyID)
			return err
		case o.State == models.OrphanDeleted:
			return models.Errorf(models.Conflict, "the key is deleted already")
		case !o.Settled:
			return models.Errorf(models.Conflict, "LiteLLM is being told about the key just now: try again in a moment")
		}
		if k, err = tx.adopted(ctx, o, userID); err != nil {
			return err
		}
		if err := tx.insertAdopted(ctx, &k, by); err != nil {
			return err
		}
		n, err := tx.affect(ctx, "a key that is not ours", `
			UPDATE sync_orphans SET state = 'adopted', delete_after = NULL, key_id = ?, decided_by = ?, decided_at = now()
			WHERE hash = ? AND state = ? AND settled`, k.ID, by.ID, hash, o.State)
		if err == nil && n == 0 {
			err = models.Errorf(models.Conflict, "somebody decided about the key meanwhile")
		}
		if err != nil {
			return err
		}
		return tx.Audit(ctx, by, models.Event{
			Action: models.AuditOrphanAdopt, ResourceType: models.AuditOfKey, ResourceID: k.ID.String(),
			Detail: map[string]any{"hash": hash, "userId": k.UserID, "alias": k.Alias, "models": k.Models, "ownerThere": o.UserID},
		})
	})
	return k, err
}

// adopted is the row that an orphan gets.
func (s *Store) adopted(ctx context.Context, o models.KeyOrphan, userID uuid.UUID) (models.Key, error) {
	var seen models.ProxyKey
	if err := json.Unmarshal(o.Seen, &seen); err != nil {
		return models.Key{}, models.Wrap(models.Internal, err, "key %s", o.Hash)
	}
	if userID == uuid.Nil {
		id, err := uuid.Parse(o.UserID)
		if err != nil {
			return models.Key{}, models.Errorf(models.Invalid, "LiteLLM does not say whose the key is: say it").On("userId")
		}
		userID = id
	}
	owner, err := s.affect(ctx, "user", "SELECT id FROM users WHERE id = ? AND id <> ? FOR SHARE", userID, models.SystemUserID)
	switch {
	case err != nil:
		return models.Key{}, err
	case owner == 0:
		return models.Key{}, models.Errorf(models.Invalid, "user %s not found", userID).On("userId")
	case seen.ExpiresAt != nil && !time.Now().Before(*seen.ExpiresAt):
		return models.Key{}, models.Errorf(models.Conflict, "the key's time is over: adopted, it would be deleted")
	}
	k := models.Key{
		ID: uuid.New(), UserID: userID, Name: cmp.Or(text(strings.TrimSpace(o.Alias), 200), "Adopted key"),
		Hash: o.Hash, Prefix: text(seen.Hint, 20), Spend: seen.Spend, ExpiresAt: seen.ExpiresAt,
	}
	for _, field := range models.KeyFieldsOfLiteLLM() {
		k, _ = k.Take(seen, field)
	}
	if o.WasBlocked {
		k.Holds = []models.Hold{models.HoldAdmin}
	}
	if err := s.freeAlias(ctx, &k, o.Alias); err != nil {
		return k, err
	}
	var subscribed []string
	err = s.scan(ctx, "subscriptions", &subscribed, `
		SELECT model_id FROM subscriptions WHERE user_id = ? AND status = 'active' ORDER BY id FOR SHARE`, userID)
	for _, id := range subscribed {
		if len(seen.Models) == 0 || slices.Contains(seen.Models, id) { // to LiteLLM no models are all
			k.Models = append(k.Models, id)
		}
	}
	slices.Sort(k.Models)
	if err == nil && len(k.Models) == 0 {
		err = models.Errorf(models.Conflict, "the user has no active subscription to a model of the key: without one it would have to be deleted")
	}
	return k, err
}

// freeAlias gives the key the alias, or one made of its hash when another key of ours has it.
func (s *Store) freeAlias(ctx context.Context, k *models.Key, alias string) error {
	var taken bool
	if err := s.scan(ctx, "API keys", &taken, "SELECT EXISTS (SELECT FROM api_keys WHERE alias = ?)", alias); err != nil {
		return err
	}
	if k.Alias = alias; alias == "" || taken {
		k.Alias = "adopted_" + k.Hash[:16]
	}
	return nil
}

// insertAdopted stores the row, without a secret, and reads it back.
func (s *Store) insertAdopted(ctx context.Context, k *models.Key, by models.Actor) error {
	fields, err := json.Marshal(newTakenFields(*k))
	if err != nil {
		return models.Wrap(models.Internal, err, "API key")
	}
	holds, err := json.Marshal(append([]models.Hold{}, k.Holds...))
	if err != nil {
		return models.Wrap(models.Internal, err, "API key")
	}
	list, err := json.Marshal(k.Models)
	if err != nil {
		return models.Wrap(models.Internal, err, "API key")
	}
	err = s.named(ctx, "API key", `
		INSERT INTO api_keys (id, user_id, name, alias, hash, prefix, holds, expires_at, created_by,
		                      max_budget, budget_duration, tpm_limit, rpm_limit, max_parallel, model_tpm, model_rpm, metadata)
		SELECT @id, @user, @name, @alias, @hash, @prefix, CAST(@holds AS jsonb), @expires, @by, t.*
		FROM jsonb_to_record(CAST(@fields AS jsonb)) AS t (max_budget bigint, budget_duration text, tpm_limit bigint, rpm_limit bigint,
		                                                   max_parallel bigint, model_tpm jsonb, model_rpm jsonb, metadata jsonb)`, map[string]any{
		"id": k.ID, "user": k.UserID, "name": k.Name, "alias": k.Alias, "hash": k.Hash, "prefix": k.Prefix,
		"holds": string(holds), "expires": k.ExpiresAt, "fields": string(fields), "by": by.ID,
	})
	if err != nil {
		return err
	}
	err = s.named(ctx, "the models of the API key", `
		INSERT INTO api_key_models (api_key_id, model_id) SELECT @id, jsonb_array_elements_text(CAST(@models AS jsonb))`,
		map[string]any{"id": k.ID, "models": string(list)})
	if err != nil {
		return err
	}
	if err := s.bindKey(ctx, k.ID, k.Spend); err != nil {
		return err
	}
	*k, err = s.Key(ctx, k.ID)
	return err
}
