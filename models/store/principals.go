package store

import (
	"context"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/litemaas/litemaas/models"
)

// principalSQL reads who a user is, what he may do by all roles that he holds and that those
// inherit, and his teams. user is SQL for his id; columns and from are what is read beside.
func principalSQL(user, columns, from string) string {
	return `
	WITH RECURSIVE held (id) AS (
		SELECT role_id FROM user_roles WHERE user_id = ` + user + `
		UNION
		SELECT i FROM held JOIN roles r ON r.id = held.id, jsonb_array_elements_text(r.inherits) i)
	SELECT u.id, u.username, u.email, coalesce(nullif(u.full_name, ''), u.username), u.is_active,
	       (SELECT coalesce(array_agg(DISTINCT role_id ORDER BY role_id), '{}') FROM user_roles WHERE user_id = u.id),
	       (SELECT coalesce(array_agg(DISTINCT p ORDER BY p), '{}')
	        FROM held JOIN roles r ON r.id = held.id, jsonb_array_elements_text(r.permissions) p),
	       ARRAY(SELECT team_id FROM team_members WHERE user_id = u.id AND team_id <> '` + models.DefaultTeamID.String() + `' ORDER BY 1)` + columns + from
}

var (
	principalOfSession = principalSQL("(SELECT user_id FROM sessions WHERE id = $1)",
		", s.auth_time, s.expires_at, s.revoked_at IS NOT NULL, s.expires_at <= now()",
		" FROM sessions s JOIN users u ON u.id = s.user_id WHERE s.id = $1")
	principalOfUser  = principalSQL("$1", "", " FROM users u WHERE u.id = $1")
	principalOfSince = principalSQL("$1", ", coalesce($2 <= u.sessions_since, false)", " FROM users u WHERE u.id = $1")
)

// scanPrincipal reads what principalSQL selects, and beside.
func scanPrincipal(row pgx.Row, p *models.Principal, beside ...any) error {
	return row.Scan(append([]any{&p.UserID, &p.Username, &p.Email, &p.Name, &p.Active, &p.Roles, &p.Permissions, &p.Teams}, beside...)...)
}

// Principal returns who has that session, and what he may do now, in one statement. It is
// Unauthenticated when there is no such session, when it has ended, and when the user is not
// active. Not for use in a transaction.
func (s *Store) Principal(ctx context.Context, sessionID uuid.UUID) (models.Principal, error) {
	p := models.Principal{SessionID: sessionID, Via: "api"}
	var revoked, expired bool
	row := s.pool.QueryRow(ctx, principalOfSession, sessionID)
	err := kinded("session", scanPrincipal(row, &p, &p.AuthTime, &p.ExpiresAt, &revoked, &expired))
	switch {
	case err != nil && models.KindOf(err) == models.NotFound:
		return models.Principal{}, models.Errorf(models.Unauthenticated, "there is no such session")
	case err != nil:
		return models.Principal{}, err
	case revoked || expired:
		return models.Principal{}, models.Errorf(models.Unauthenticated, "the session has ended")
	case !p.Active:
		return models.Principal{}, models.Errorf(models.Unauthenticated, "the account is deactivated")
	}
	return p, nil
}

// PrincipalIn returns who has a session that is kept elsewhere and live there, and what he may do
// now, in one statement. It is Unauthenticated when the user is not active, and when all his
// sessions were ended after this one began. Not for use in a transaction.
func (s *Store) PrincipalIn(ctx context.Context, in models.Session) (models.Principal, error) {
	p := models.Principal{SessionID: in.ID, AuthTime: in.AuthTime, ExpiresAt: in.ExpiresAt, Via: "api"}
	var ended bool
	err := kinded("user", scanPrincipal(s.pool.QueryRow(ctx, principalOfSince, in.UserID, in.CreatedAt), &p, &ended))
	switch {
	case err != nil && models.KindOf(err) == models.NotFound:
		return models.Principal{}, models.Errorf(models.Unauthenticated, "there is no such user")
	case err != nil:
		return models.Principal{}, err
	case ended:
		return models.Principal{}, models.Errorf(models.Unauthenticated, "the session has ended")
	case !p.Active:
		return models.Principal{}, models.Errorf(models.Unauthenticated, "the account is deactivated")
	}
	return p, nil
}

// PrincipalOfUser returns a user as a principal without a session, for a token that an operator
// made. It is Unauthenticated when there is no such user, or when he is not active. Not for use
// in a transaction.
func (s *Store) PrincipalOfUser(ctx context.Context, userID uuid.UUID) (models.Principal, error) {
	p := models.Principal{Via: "cli"}
	err := kinded("user", scanPrincipal(s.pool.QueryRow(ctx, principalOfUser, userID), &p))
	switch {
	case err != nil && models.KindOf(err) == models.NotFound:
		return models.Principal{}, models.Errorf(models.Unauthenticated, "there is no such user")
	case err != nil:
		return models.Principal{}, err
	case !p.Active:
		return models.Principal{}, models.Errorf(models.Unauthenticated, "the account is deactivated")
	}
	return p, nil
}
