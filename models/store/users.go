package store

import (
	"context"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/litemaas/litemaas/models"
)

// userColumns are the columns of a user u, with the roles that he holds.
const userColumns = `u.*, (SELECT coalesce(jsonb_agg(DISTINCT r.role_id ORDER BY r.role_id), '[]') FROM user_roles r WHERE r.user_id = u.id) AS roles`

// User returns one user.
func (s *Store) User(ctx context.Context, id uuid.UUID) (models.User, error) {
	return s.oneUser(ctx, "user "+id.String(), "u.id = ?", id)
}

// UserNamed returns the user with that username.
func (s *Store) UserNamed(ctx context.Context, username string) (models.User, error) {
	return s.oneUser(ctx, "user "+username, "u.username = ?", username)
}

// lockedUser returns one user, who stays as he is until the transaction ends.
func (s *Store) lockedUser(ctx context.Context, id uuid.UUID) (models.User, error) {
	return s.oneUser(ctx, "user "+id.String(), "u.id = ? FOR NO KEY UPDATE OF u", id)
}

// oneUser returns the user whom a condition selects; NotFound, named by what, if there is none.
func (s *Store) oneUser(ctx context.Context, what, where string, args ...any) (models.User, error) {
	var rows []models.User
	if err := s.scan(ctx, what, &rows, "SELECT "+userColumns+" FROM users u WHERE "+where, args...); err != nil {
		return models.User{}, err
	}
	if len(rows) == 0 {
		return models.User{}, models.Errorf(models.NotFound, "%s not found", what)
	}
	return rows[0], nil
}

// UserQuery selects a page of the users.
type UserQuery struct {
	Page, Limit int    // both from 1
	Search      string // anywhere in username, e-mail or full name, in any letter case
	Role        string // that they hold
	Active      *bool
}

// Users returns a page of the users, the newest first, and how many there are on all pages.
func (s *Store) Users(ctx context.Context, q UserQuery) (page []models.User, total int, err error) {
	where, args := []string{"true"}, map[string]any{"limit": q.Limit, "offset": (q.Page - 1) * q.Limit}
	if q.Search != "" {
		where = append(where, "(u.username ILIKE @search OR u.email ILIKE @search OR u.full_name ILIKE @search)")
		args["search"] = like(q.Search)
	}
	if q.Role != "" {
		where = append(where, "EXISTS (SELECT FROM user_roles r WHERE r.role_id = @role AND r.user_id = u.id)")
		args["role"] = q.Role
	}
	if q.Active != nil {
		where = append(where, "u.is_active = @active")
		args["active"] = *q.Active
	}
	from := " FROM users u WHERE " + strings.Join(where, " AND ")
	if err := s.scan(ctx, "users", &total, "SELECT count(*)"+from, args); err != nil {
		return nil, 0, err
	}
	err = s.scan(ctx, "users", &page, "SELECT "+userColumns+from+" ORDER BY u.created_at DESC, u.id LIMIT @limit OFFSET @offset", args)
	return page, total, err
}

// UserName is what a user is called, for lists to choose from.
type UserName struct {
	ID              uuid.UUID
	Username, Email string
}

// UserNames returns all people by username, also those who are not active.
func (s *Store) UserNames(ctx context.Context) ([]UserName, error) {
	names := []UserName{}
	err := s.scan(ctx, "users", &names, "SELECT id, username, email FROM users WHERE id <> ? ORDER BY username", models.SystemUserID)
	return names, err
}

// RenameUser gives a user the full name that he chose. Later sign-ins leave it alone.
func (s *Store) RenameUser(ctx context.Context, id uuid.UUID, fullName string, by models.Actor) (models.User, error) {
	var u models.User
	err := s.InTx(ctx, func(tx *Store) error {
		before, err := tx.lockedUser(ctx, id)
		if err != nil {
			return err
		}
		err = tx.exec(ctx, "user", "UPDATE users SET full_name = ?, named_here = true, updated_at = now() WHERE id = ?", fullName, id)
		if err != nil {
			return err
		}
		if u, err = tx.User(ctx, id); err != nil {
			return err
		}
		if err := tx.tellUser(ctx, id); err != nil {
			return err
		}
		return tx.Audit(ctx, by, models.Event{
			Action: models.AuditProfileUpdate, ResourceType: models.AuditOfUser, ResourceID: id.String(),
			Before: map[string]string{"fullName": before.FullName}, After: map[string]string{"fullName": fullName},
		})
	})
	return u, err
}

// ObserveUser records that LiteLLM was seen to hold the user as he was at generation. An older
// observation never replaces a newer.
func (s *Store) ObserveUser(ctx context.Context, id uuid.UUID, generation int64) (models.User, error) {
	err := s.exec(ctx, "user", `
		UPDATE users SET observed_generation = ?, failure = CASE WHEN generation = ? THEN '' ELSE failure END
		WHERE id = ? AND observed_generation < ? AND generation >= ?`, generation, generation, id, generation, generation)
	if err != nil {
		return models.User{}, err
	}
	return s.User(ctx, id)
}

// FailUser records that LiteLLM refuses the user as he was at generation, and why, in words. A
// newer wish is not touched by it.
func (s *Store) FailUser(ctx context.Context, id uuid.UUID, generation int64, why string, by models.Actor) error {
	return s.InTx(ctx, func(tx *Store) error {
		n, err := tx.affect(ctx, "user", `
			UPDATE users SET failed_generation = ?, failure = ?
			WHERE id = ? AND failed_generation < ? AND observed_generation < ? AND generation >= ?`,
			generation, why, id, generation, generation, generation)
		if err != nil || n == 0 {
			return err
		}
		return tx.Audit(ctx, by, models.Event{
			Action: models.AuditUserRefused, ResourceType: models.AuditOfUser, ResourceID: id.String(),
			Detail: map[string]any{"generation": generation}, Failure: why,
		})
	})
}

// UnsettledUsers returns up to limit users whom LiteLLM has neither followed nor refused for
// at least age, the longest waiting first.
func (s *Store) UnsettledUsers(ctx context.Context, age time.Duration, limit int) ([]uuid.UUID, error) {
	ids, _, err := s.UnsettledUsersAfter(ctx, age, models.Place{}, limit)
	return ids, err
}
