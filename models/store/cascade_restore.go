package store

import (
	"context"
	"slices"

	"github.com/google/uuid"

	"github.com/litemaas/litemaas/models"
)

// giveBackSQL gives back to the owners of @rows, which have become active, what the locked
// cascades @cascades took from their keys, and is still wanted: from keys that were not revoked,
// and not before the last time that the subscription was given up. The keys are one generation
// on, and so are the cascades, for LiteLLM to follow.
const giveBackSQL = `
	WITH back AS (
		SELECT m.id AS subscription_id, m.user_id, m.model_id, cs.cascade_id
		FROM ` + movedRows + ` m
		JOIN cascade_subscriptions cs ON cs.subscription_id = m.id AND cs.cascade_id = ANY (CAST(@cascades AS uuid[]))
		JOIN cascades c ON c.id = cs.cascade_id
		WHERE NOT EXISTS (
			SELECT FROM cascade_subscriptions fs JOIN cascades f ON f.id = fs.cascade_id
			WHERE fs.subscription_id = m.id AND f.cause IN @final AND f.created_at > c.created_at)
	), theirs AS MATERIALIZED ( -- or it would go through all of a cascade for each of them
		SELECT back.cascade_id, back.model_id, k.id AS api_key_id FROM back
		JOIN api_keys k ON k.user_id = back.user_id AND k.revoked_at IS NULL
	), owed AS (
		SELECT ck.cascade_id, ck.api_key_id, ck.model_id FROM theirs
		JOIN cascade_keys ck USING (cascade_id, api_key_id, model_id) WHERE NOT ck.restored
	), given AS (
		INSERT INTO api_key_models (api_key_id, model_id) SELECT DISTINCT api_key_id, model_id FROM owed
		ON CONFLICT DO NOTHING RETURNING api_key_id
	), wished AS (
		UPDATE api_keys SET generation = generation + 1, updated_at = now() WHERE id IN (SELECT api_key_id FROM given)
	), keys AS (
		UPDATE cascade_keys ck SET restored = true FROM owed o
		WHERE ck.cascade_id = o.cascade_id AND ck.api_key_id = o.api_key_id AND ck.model_id = o.model_id
	), subs AS (
		UPDATE cascade_subscriptions cs SET restored = true FROM back
		WHERE cs.cascade_id = back.cascade_id AND cs.subscription_id = back.subscription_id
	)
	UPDATE cascades SET generation = generation + 1, updated_at = now() WHERE id IN (SELECT cascade_id FROM owed)`

// liftSQL closes the cascades all of whose subscriptions have become active again, save those
// that were given up since: nothing of them is to be given back any more.
const liftSQL = `
	UPDATE cascades c SET lifted_at = now() WHERE c.id = ANY (CAST(@cascades AS uuid[])) AND NOT EXISTS (
		SELECT FROM cascade_subscriptions cs JOIN subscriptions s ON s.id = cs.subscription_id
		WHERE cs.cascade_id = c.id AND NOT cs.restored AND NOT EXISTS (
			SELECT FROM cascade_subscriptions fs JOIN cascades f ON f.id = fs.cascade_id
			WHERE fs.subscription_id = s.id AND f.cause IN @final AND f.created_at > c.created_at))`

// giveBack gives back what cascades took from the keys of the owners of subscriptions that have
// become active. It returns the cascades on which LiteLLM has to follow.
func (s *Store) giveBack(ctx context.Context, rows []moved) ([]models.Cascade, error) {
	var ids []uuid.UUID
	args := map[string]any{"rows": rowsOf(rows), "final": models.FinalCauses()}
	err := s.scan(ctx, "cascades", &ids, `
		SELECT id FROM cascades WHERE lifted_at IS NULL AND cause NOT IN @final AND id IN (
			SELECT cs.cascade_id FROM `+movedRows+` m JOIN cascade_subscriptions cs ON cs.subscription_id = m.id)
		ORDER BY id FOR NO KEY UPDATE`, args)
	if err != nil || len(ids) == 0 {
		return nil, err
	}
	args["cascades"] = uuidArray(ids)
	if err := s.named(ctx, "keys", giveBackSQL, args); err != nil {
		return nil, err
	}
	if err := s.named(ctx, "cascades", liftSQL, args); err != nil {
		return nil, err
	}
	return s.cascades(ctx, "id = ANY (CAST(? AS uuid[])) AND observed_generation < generation ORDER BY created_at, id", args["cascades"])
}

// The other reasons why what has become active may not stay so.
const (
	becauseGone     = "gone"     // LiteLLM does not offer the model
	becauseInactive = "inactive" // its owner is held back
	becauseExceeded = "exceeded" // a quota is used up
	becauseSpent    = "spent"    // a budget is
)

// settleActive does what follows when subscriptions have become active: those for which another
// reason stands are held or ended again, each by that reason, so that it is undone with it; the
// owners of the others are given back what was taken from them. It returns the cascades on which
// LiteLLM has to follow.
func (s *Store) settleActive(ctx context.Context, rows []moved, by models.Actor) ([]models.Cascade, error) {
	if len(rows) == 0 {
		return nil, nil
	}
	if err := s.lockKeys(ctx, rows); err != nil {
		return nil, err
	}
	var stand []struct {
		ID      uuid.UUID
		ModelID string
		Because string
	}
	err := s.scan(ctx, "subscriptions", &stand, `
		SELECT s.id, s.model_id, CASE WHEN m.deleted_at IS NOT NULL OR m.availability <> 'available' THEN 'gone'
		                              WHEN NOT u.is_active THEN 'inactive' WHEN `+exceeded+` THEN 'exceeded' ELSE 'spent' END AS because
		FROM `+movedRows+` r JOIN subscriptions s ON s.id = r.id JOIN models m ON m.id = s.model_id JOIN users u ON u.id = s.user_id
		WHERE m.deleted_at IS NOT NULL OR m.availability <> 'available' OR NOT u.is_active OR `+exceeded+` OR `+spentUp+`
		ORDER BY s.model_id, s.id`, map[string]any{"rows": rowsOf(rows)})
	if err != nil {
		return nil, err
	}
	groups, order := map[string][]uuid.UUID{}, []string{}
	for _, r := range stand {
		group := r.Because
		if group == becauseGone {
			group += " " + r.ModelID // a cascade for each model
		}
		if groups[group] == nil {
			order = append(order, group)
		}
		groups[group] = append(groups[group], r.ID)
		rows = slices.DeleteFunc(rows, func(m moved) bool { return m.ID == r.ID })
	}
	var follow []models.Cascade
	for _, group := range order {
		c, err := s.again(ctx, group, by, groups[group])
		if err != nil {
			return nil, err
		}
		if !c.Settled() {
			follow = append(follow, c)
		}
	}
	if len(rows) == 0 {
		return follow, nil
	}
	back, err := s.giveBack(ctx, rows)
	return append(follow, back...), err
}

// again holds or ends what may not stay active.
func (s *Store) again(ctx context.Context, because string, by models.Actor, ids []uuid.UUID) (models.Cascade, error) {
	switch because {
	case becauseInactive:
		return s.cascade(ctx, models.CauseOffboarded, suspension(models.HoldOffboarded, reasonHeld, by), ids...)
	case becauseExceeded:
		return s.cascade(ctx, models.CauseQuota, suspension(models.HoldQuota, reasonExceeded, by), ids...)
	case becauseSpent:
		return s.cascade(ctx, models.CauseBudget, suspension(models.HoldBudget, reasonSpent, by), ids...)
	default:
		return s.cascade(ctx, models.CauseUnavailable, vanishing(by), ids...)
	}
}

// The reasons that subscriptions are given, for their owners to read.
const (
	reasonGone     = "The model is not available any more"
	reasonReturned = "The model is available again"
	reasonHeld     = "The user may not use anything now"
	reasonFree     = "The user may use things again"
	reasonExceeded = "The quota is used up"
	reasonReset    = "The quota counts from zero again"
	reasonRaised   = "The quota was raised"
)

// exceeded is SQL for models.Subscription.Exceeded of a subscription s.
const exceeded = "(s.used_requests >= s.quota_requests OR s.used_tokens >= s.quota_tokens)"

// spentUp is SQL for a subscription s whose budget is held.
const spentUp = "EXISTS (SELECT FROM budgets b WHERE b.subject_id = s.id AND b.subject_type = 'subscription' AND b.held)"

// suspension is the move by which a hold is set.
func suspension(hold models.Hold, reason string, by models.Actor) move {
	return move{step: models.StepSuspend, to: models.SubscriptionSuspended, hold: hold, reason: reason, by: by}
}

// vanishing is the move of a subscription whose model is gone.
func vanishing(by models.Actor) move {
	return move{step: models.StepVanish, to: models.SubscriptionInactive, reason: reasonGone, by: by}
}

// resume lifts a hold of locked subscriptions. Those that have no other become active. It
// returns the cascades on which LiteLLM has to follow.
func (s *Store) resume(ctx context.Context, hold models.Hold, reason string, by models.Actor, ids []uuid.UUID) ([]models.Cascade, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	args := map[string]any{"ids": uuidArray(ids), "hold": hold}
	err := s.named(ctx, "subscriptions", `
		UPDATE subscriptions SET holds = holds - CAST(@hold AS text), updated_at = now()
		WHERE id = ANY (CAST(@ids AS uuid[])) AND jsonb_exists(holds, @hold) AND jsonb_array_length(holds) > 1`, args)
	if err != nil {
		return nil, err
	}
	var last []uuid.UUID
	err = s.scan(ctx, "subscriptions", &last, `
		SELECT id FROM subscriptions WHERE id = ANY (CAST(@ids AS uuid[])) AND holds = jsonb_build_array(CAST(@hold AS text)) ORDER BY id`, args)
	if err != nil || len(last) == 0 {
		return nil, err
	}
	rows, err := s.move(ctx, move{step: models.StepResume, to: models.SubscriptionActive, reason: reason, by: by}, last...)
	if err != nil {
		return nil, err
	}
	return s.settleActive(ctx, rows, by)
}
