package store

import (
	"cmp"
	"context"
	"encoding/hex"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/litemaas/litemaas/models"
)

// keyCheckSQL reads all that a key is judged by: itself and its models, its owner with his roles,
// with all that those inherit, and his subscriptions that count, its team, and the budgets that are
// used up. The hold that a budget has set follows those, so it is not looked at: whoever may spend
// again may do so at once. A budget of nothing begins anew with nothing.
var keyCheckSQL = `
	WITH RECURSIVE k AS (
		SELECT * FROM api_keys WHERE hash = $1
	), held (id) AS (
		SELECT r.role_id FROM user_roles r JOIN k ON r.user_id = k.user_id
		UNION
		SELECT i FROM held JOIN roles r ON r.id = held.id, jsonb_array_elements_text(r.inherits) i
	)
	SELECT k.id, k.name, k.prefix, k.holds - 'budget' <> '[]', k.observed_generation = 0 AND k.failed_generation = k.generation,
	       (SELECT jsonb_agg(jsonb_build_object('model', coalesce(s.model_id, b.model_id), 'until', CASE WHEN b.hold_at > 0 THEN b.ends_at END) ORDER BY b.id)
	        FROM budgets b LEFT JOIN subscriptions s ON s.id = b.subject_id AND b.subject_type = 'subscription'
	        WHERE b.spent >= b.hold_at AND b.subject_id = ANY (ARRAY[k.id, k.user_id, k.team_id]
	              || ARRAY(SELECT id FROM subscriptions WHERE user_id = k.user_id AND status IN ('active', 'suspended')))),
	       k.max_budget, k.budget_duration, least(k.tpm_limit, k.throttle_tpm), least(k.rpm_limit, k.throttle_rpm), k.max_parallel, k.model_tpm, k.model_rpm,
	       k.revoked_at IS NOT NULL OR k.deleted_at IS NOT NULL, k.revoked_why = '` + models.KeyEndExpired + `',
	       coalesce(least(k.expires_at, k.retires_at), 'epoch'),
	       ARRAY(SELECT model_id COLLATE "C" FROM api_key_models WHERE api_key_id = k.id ORDER BY 1),
	       u.id, u.username, u.is_active, ARRAY(SELECT DISTINCT role_id FROM user_roles WHERE user_id = u.id ORDER BY 1),
	       EXISTS (SELECT FROM held JOIN roles r ON r.id = held.id WHERE jsonb_exists_any(r.permissions, ARRAY['*', 'models:read'])),
	       (SELECT coalesce(jsonb_agg(jsonb_build_object('model', s.model_id, 'status', s.status, 'requests', s.quota_requests, 'tokens', s.quota_tokens,
	               'exhausted', coalesce(` + exceeded + `, false), 'over', jsonb_exists(s.holds, 'quota'), 'reset', s.reset_at, 'expires', s.expires_at)
	               ORDER BY s.model_id COLLATE "C"), '[]')
	        FROM subscriptions s WHERE s.user_id = u.id AND s.status IN ('active', 'suspended')),
	       t.id, coalesce(t.name, ''), EXISTS (SELECT FROM team_members m WHERE m.team_id = t.id AND m.user_id = u.id),
	       coalesce(t.allowed_models, '[]'), t.max_budget, coalesce(t.budget_duration, ''), t.tpm_limit, t.rpm_limit
	FROM k JOIN users u ON u.id = k.user_id LEFT JOIN teams t ON t.id = k.team_id`

// KeyCheck returns what a key is judged by, of which the hash of the secret is given, in one
// statement. It is NotFound when there is no such key. Not for use in a transaction.
func (s *Store) KeyCheck(ctx context.Context, hash [32]byte) (models.KeyCheck, error) {
	k, owner, team := models.KeyCheck{}, models.KeyOwner{}, models.KeyTeam{}
	var teamID *uuid.UUID
	err := s.pool.QueryRow(ctx, keyCheckSQL, hex.EncodeToString(hash[:])).Scan(
		&k.ID, &k.Name, &k.Prefix, &k.Held, &k.Refused, &k.Spent,
		&k.Limits.MaxBudget, &k.Limits.BudgetDuration, &k.Limits.TPM, &k.Limits.RPM, &k.MaxParallel, &k.ModelTPM, &k.ModelRPM,
		&k.Revoked, &k.Lapsed, &k.ExpiresAt, &k.Models,
		&owner.ID, &owner.Username, &owner.Active, &owner.Roles, &owner.Permitted, &owner.Subscriptions,
		&teamID, &team.Name, &team.Member, &team.Models, &team.Limits.MaxBudget, &team.Limits.BudgetDuration, &team.Limits.TPM, &team.Limits.RPM)
	if err != nil {
		return models.KeyCheck{}, kinded("API key", err)
	}
	if k.ExpiresAt = k.ExpiresAt.UTC(); k.ExpiresAt.Unix() == 0 {
		k.ExpiresAt = time.Time{}
	}
	for i := range owner.Subscriptions { // else the zone is that of the machine
		p := &owner.Subscriptions[i]
		if p.ResetAt = p.ResetAt.UTC(); p.ExpiresAt != nil {
			*p.ExpiresAt = p.ExpiresAt.UTC()
		}
	}
	for i := range k.Spent {
		if until := k.Spent[i].Until; until != nil {
			*until = until.UTC()
		}
	}
	if len(k.ModelTPM) == 0 { // an empty map takes room for nothing
		k.ModelTPM = nil
	}
	if len(k.ModelRPM) == 0 {
		k.ModelRPM = nil
	}
	k.Owner = &owner
	if teamID != nil {
		team.ID, k.Team = *teamID, &team
	}
	return k, nil
}

// TouchKeys records that keys were used, each at most once a minute. A key that somebody else is
// writing just now is left out: it will be used again.
func (s *Store) TouchKeys(ctx context.Context, used []models.KeyUse) error {
	used = slices.SortedFunc(slices.Values(used), func(a, b models.KeyUse) int {
		return cmp.Or(cmp.Compare(a.ID.String(), b.ID.String()), b.At.Compare(a.At))
	})
	used = slices.CompactFunc(used, func(a, b models.KeyUse) bool { return a.ID == b.ID }) // the last of each
	ids, ats := make([]uuid.UUID, len(used)), make([]time.Time, len(used))
	for i, one := range used {
		ids[i], ats[i] = one.ID, one.At
	}
	_, err := s.pool.Exec(ctx, `
		UPDATE api_keys k SET last_used_at = used.at
		FROM (SELECT l.id, v.at
		      FROM unnest($1::uuid[], $2::timestamptz[]) v(id, at) JOIN api_keys l ON l.id = v.id
		      WHERE l.last_used_at IS NULL OR v.at >= l.last_used_at + interval '1 minute'
		      FOR NO KEY UPDATE OF l SKIP LOCKED) used
		WHERE k.id = used.id`, ids, ats)
	return kinded("API keys", err)
}
