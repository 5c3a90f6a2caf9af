package store

import (
	"context"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"gorm.io/gorm"

	"github.com/litemaas/litemaas/models"
)

// stagedUser are the columns of sync_staged_users.
var stagedUser = []string{"run_id", "id", "email", "alias", "role", "max_budget", "budget_duration", "tpm_limit", "rpm_limit"}

// ReportUsers records how many of LiteLLM's users a run has read so far.
func (s *Store) ReportUsers(ctx context.Context, runID uuid.UUID, listed int) error {
	return s.exec(ctx, "sync run", "UPDATE sync_runs SET users_listed = ? WHERE id = ? AND users_compared_at IS NULL", listed, runID)
}

// StageUsers puts LiteLLM's users, as read, beside ours, for CompareUsers. Staging a run again
// replaces what was staged; a user who was read twice counts once. It is Conflict when the run
// has ended.
func (s *Store) StageUsers(ctx context.Context, runID uuid.UUID, users []models.ProxyUser) error {
	byID := make(map[string]models.ProxyUser, len(users))
	for _, u := range users {
		byID[u.ID] = u
	}
	rows := make([][]any, 0, len(byID))
	for id, u := range byID {
		rows = append(rows, []any{runID, id, u.Email, u.Alias, u.Role, u.MaxBudget, u.BudgetDuration, u.TPM, u.RPM})
	}
	tx, err := s.pool.Begin(ctx)
	if err != nil {
		return kinded("staged users", err)
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }() // after a commit it does nothing
	tag, err := tx.Exec(ctx, `
		UPDATE sync_runs SET users_listed = $2 WHERE id = $1 AND status = 'running' AND users_compared_at IS NULL`, runID, len(rows))
	if err != nil {
		return kinded("sync run", err)
	}
	if tag.RowsAffected() == 0 {
		return models.Errorf(models.Conflict, "sync run %s is over", runID)
	}
	if _, err := tx.Exec(ctx, "DELETE FROM sync_staged_users WHERE run_id = $1", runID); err != nil {
		return kinded("staged users", err)
	}
	if _, err := tx.CopyFrom(ctx, pgx.Identifier{"sync_staged_users"}, stagedUser, pgx.CopyFromRows(rows)); err != nil {
		return kinded("staged users", err)
	}
	return kinded("staged users", tx.Commit(ctx))
}

// compareUsersSQL stores what a run found: one row for each of our users whom LiteLLM lacks or
// holds otherwise, and for each of LiteLLM's who is not ours. It is models.User.Differences,
// set-based. Who is being written just now, or was since the run began, is left out; so is the
// user that LiteLLM has for its own master key.
const compareUsersSQL = `
	INSERT INTO sync_user_differences (run_id, user_id, kind, fields)
	SELECT run.id, coalesce(u.id::text, s.id),
	       CASE WHEN s.id IS NULL THEN 'missing' WHEN u.id IS NULL THEN 'unknown' ELSE 'different' END,
	       CASE WHEN s.id IS NULL OR u.id IS NULL THEN '[]' ELSE differs.fields END
	FROM sync_runs run
	CROSS JOIN (
		(SELECT * FROM sync_staged_users WHERE run_id = @run) s
		FULL JOIN (
			SELECT *, CASE WHEN is_active THEN max_budget + raised ELSE 0 END AS proxy_budget,
			       CASE budget_duration WHEN 'daily' THEN '1d' WHEN 'weekly' THEN '7d' WHEN 'monthly' THEN '1mo' WHEN 'yearly' THEN '365d'
			            ELSE budget_duration END AS proxy_duration
			FROM users) u ON u.id::text = s.id)
	CROSS JOIN LATERAL (
		SELECT jsonb_agg(jsonb_build_object('field', field, 'old', old, 'new', new) ORDER BY field) AS fields
		FROM (VALUES
			('user_email', to_jsonb(s.email), to_jsonb(u.email), u.email <> '' AND lower(u.email) <> lower(s.email)),
			('user_alias', to_jsonb(s.alias), to_jsonb(u.username), u.username <> s.alias),
			('user_role', to_jsonb(s.role), to_jsonb(CAST(@role AS text)), s.role <> @role),
			('max_budget', to_jsonb(trim_scale(s.max_budget / 1e9)), to_jsonb(trim_scale(u.proxy_budget / 1e9)),
			 nullif(u.proxy_budget, 1000000000 * CAST(@unlimited AS bigint)) IS DISTINCT FROM nullif(s.max_budget, 1000000000 * CAST(@unlimited AS bigint))),
			('budget_duration', to_jsonb(s.budget_duration), to_jsonb(u.proxy_duration), u.proxy_duration <> s.budget_duration),
			('tpm_limit', to_jsonb(s.tpm_limit), to_jsonb(u.tpm_limit), nullif(u.tpm_limit, @unlimited) IS DISTINCT FROM nullif(s.tpm_limit, @unlimited)),
			('rpm_limit', to_jsonb(s.rpm_limit), to_jsonb(u.rpm_limit), nullif(u.rpm_limit, @unlimited) IS DISTINCT FROM nullif(s.rpm_limit, @unlimited))
		) f (field, old, new, differs)
		WHERE f.differs) differs
	WHERE run.id = @run
	  AND CASE WHEN u.id IS NULL THEN s.id <> 'default_user_id'
	           ELSE u.id <> @system AND (s.id IS NULL OR differs.fields IS NOT NULL)
	                AND (u.observed_generation = u.generation OR u.failed_generation = u.generation) AND u.updated_at < run.started_at END`

// CompareUsers compares our users with what was staged for a run, stores the differences, and
// wishes anew for those of ours whom LiteLLM lacks or holds otherwise, so that they are written
// again; a dry run only reports. Users whom only LiteLLM has are left alone. Comparing a run
// again changes nothing.
func (s *Store) CompareUsers(ctx context.Context, runID uuid.UUID) (models.SyncRun, error) {
	var run models.SyncRun
	err := s.InTx(ctx, func(tx *Store) error {
		if err := tx.lock(ctx, "users of sync run "+runID.String()); err != nil {
			return err
		}
		var err error
		if run, err = tx.SyncRun(ctx, runID); err != nil || run.UsersComparedAt != nil {
			return err
		}
		args := map[string]any{
			"run": runID, "role": models.ProxyRoleUser, "unlimited": models.Unlimited, "system": models.SystemUserID,
		}
		steps := []string{compareUsersSQL}
		if !run.Options.DryRun {
			steps = append(steps, `
				UPDATE users u SET generation = generation + 1, updated_at = now() FROM sync_user_differences d
				WHERE d.run_id = @run AND d.kind <> 'unknown' AND u.id::text = d.user_id`)
		}
		steps = append(steps, "DELETE FROM sync_staged_users WHERE run_id = @run", `
			UPDATE sync_runs SET (users_missing, users_different, users_unknown, users_compared_at) = (
				SELECT count(*) FILTER (WHERE kind = 'missing'), count(*) FILTER (WHERE kind = 'different'),
				       count(*) FILTER (WHERE kind = 'unknown'), now()
				FROM sync_user_differences WHERE run_id = @run)
			WHERE id = @run`)
		if !run.Options.DryRun {
			steps = append(steps, `
				INSERT INTO audit (actor, via, action, resource_type, resource_id, detail)
				SELECT 'system', 'FullSync', 'USER_DRIFT', 'USER', user_id,
				       jsonb_build_object('syncRunId', run_id, 'kind', kind, 'fields', fields)
				FROM sync_user_differences WHERE run_id = @run AND kind <> 'unknown' ORDER BY user_id`)
		}
		for _, sql := range steps {
			if err := tx.named(ctx, "users of sync run", sql, args); err != nil {
				return err
			}
		}
		run, err = tx.SyncRun(ctx, runID)
		return err
	})
	return run, err
}

// UserDifferenceQuery selects a page of what a run found about users.
type UserDifferenceQuery struct {
	Page, Limit int                       // both from 1
	Kind        models.UserDifferenceKind // "": any
}

// UserDifferences returns a page of what a run found about users, by kind and user, and how
// much there is.
func (s *Store) UserDifferences(ctx context.Context, runID uuid.UUID, q UserDifferenceQuery) (page []models.UserDifference, total int, err error) {
	where := gorm.G[models.UserDifference](s.db).Where("run_id = ?", runID)
	if q.Kind != "" {
		where = where.Where("kind = ?", q.Kind)
	}
	n, err := where.Count(ctx, "user_id")
	if err != nil {
		return nil, 0, kinded("differences", err)
	}
	page, err = where.Order("kind, user_id").Offset((q.Page - 1) * q.Limit).Limit(q.Limit).Find(ctx)
	return page, int(n), kinded("differences", err)
}
