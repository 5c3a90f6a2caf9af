package store

import (
	"context"
	"slices"

	"github.com/google/uuid"

	"github.com/litemaas/litemaas/models"
)

// Grants returns the roles of a user with who gave them, by name.
func (s *Store) Grants(ctx context.Context, userID uuid.UUID) ([]models.Grant, error) {
	grants := []models.Grant{}
	err := s.scan(ctx, "grants", &grants, `
		SELECT user_id, role_id, source, granted_by, granted_at FROM user_roles WHERE user_id = ? ORDER BY role_id, source`, userID)
	return grants, err
}

// AssignRole gives a user a role for good; to whom has it already nothing happens. The errors
// are those of SetUserRoles.
func (s *Store) AssignRole(ctx context.Context, userID uuid.UUID, role string, by models.Actor, may models.Permissions) (models.User, error) {
	return s.changeRoles(ctx, userID, by, may, func(has []string) []string { return append(has, role) })
}

// UnassignRole takes a role from a user now, whoever gave it. One that his groups at the
// identity provider give comes back when he signs in again. The errors are those of
// SetUserRoles.
func (s *Store) UnassignRole(ctx context.Context, userID uuid.UUID, role string, by models.Actor, may models.Permissions) (models.User, error) {
	return s.changeRoles(ctx, userID, by, may, func(has []string) []string {
		return slices.DeleteFunc(has, func(r string) bool { return r == role })
	})
}

// SetUserRoles makes the roles of a user exactly these, by assigning and unassigning. It is
// Forbidden to give or take what exceeds the actor's own permissions, and to take the role of
// admin from oneself; Conflict to take it from the last active admin; Invalid when there is no
// such role.
func (s *Store) SetUserRoles(ctx context.Context, userID uuid.UUID, roles []string, by models.Actor, may models.Permissions) (models.User, error) {
	return s.changeRoles(ctx, userID, by, may, func([]string) []string { return slices.Clone(roles) })
}

// changeRoles lets want say which roles a user is to have, of those he has.
func (s *Store) changeRoles(ctx context.Context, userID uuid.UUID, by models.Actor, may models.Permissions, want func([]string) []string) (models.User, error) {
	var u models.User
	err := s.InTx(ctx, func(tx *Store) error {
		before, err := tx.lockedUser(ctx, userID)
		if err != nil {
			return err
		}
		if userID == models.SystemUserID {
			return models.Errorf(models.Forbidden, "only people have roles")
		}
		wanted := want(slices.Clone(before.Roles))
		slices.Sort(wanted)
		wanted = slices.Compact(wanted)
		add, drop := without(wanted, before.Roles), without(before.Roles, wanted)
		if u = before; len(add)+len(drop) == 0 {
			return nil
		}
		if err := tx.judgeRoles(ctx, before, add, drop, by, may); err != nil {
			return err
		}
		if err := tx.regrant(ctx, userID, models.GrantManual, add, drop, by); err != nil {
			return err
		}
		if u, err = tx.User(ctx, userID); err != nil {
			return err
		}
		return tx.Audit(ctx, by, models.Event{
			Action: models.AuditUserUpdate, ResourceType: models.AuditOfUser, ResourceID: userID.String(),
			Before: map[string]any{"roles": before.Roles}, After: map[string]any{"roles": u.Roles},
		})
	})
	return u, err
}

// without is the elements of list that are not in other.
func without(list, other []string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(x string) bool { return slices.Contains(other, x) })
}

// judgeRoles is what a person must not do with roles.
func (s *Store) judgeRoles(ctx context.Context, u models.User, add, drop []string, by models.Actor, may models.Permissions) error {
	roles, err := s.Roles(ctx)
	if err != nil {
		return err
	}
	for _, id := range slices.Concat(add, drop) {
		if _, known := roles.Role(id); !known {
			return models.Errorf(models.Invalid, "there is no role %q", id).On("roles")
		}
		if !may.Cover(roles.Permissions(id)) {
			return models.Errorf(models.Forbidden, "the role %s may more than you may yourself", id)
		}
	}
	if !slices.Contains(drop, models.RoleAdmin) {
		return nil
	}
	if u.ID.String() == by.ID {
		return models.Errorf(models.Forbidden, "you cannot take the role of admin from yourself")
	}
	if !u.Active() {
		return nil
	}
	return s.keepAnAdmin(ctx, u.ID)
}

// keepAnAdmin is Conflict when no other active admin than this user is left. Whoever may cost
// an admin asks it, and waits for the others who do.
func (s *Store) keepAnAdmin(ctx context.Context, userID uuid.UUID) error {
	if err := s.lock(ctx, "admins"); err != nil {
		return err
	}
	var others bool
	err := s.scan(ctx, "admins", &others, `
		SELECT EXISTS (SELECT FROM user_roles r JOIN users u ON u.id = r.user_id
		               WHERE r.role_id = ? AND u.is_active AND u.id <> ?)`, models.RoleAdmin, userID)
	if err == nil && !others {
		return models.Errorf(models.Conflict, "this is the last active admin")
	}
	return err
}

// regrant gives a user roles from a source, and takes roles from him: what an admin takes is
// taken whoever gave it. Each is told and audited.
func (s *Store) regrant(ctx context.Context, userID uuid.UUID, from models.GrantSource, add, drop []string, by models.Actor) error {
	var gone, given []struct {
		RoleID string
		Source models.GrantSource
	}
	if len(drop) > 0 {
		err := s.scan(ctx, "grants", &gone, `
			DELETE FROM user_roles WHERE user_id = ? AND role_id IN ? AND (source = ? OR ? = 'manual') RETURNING role_id, source`,
			userID, drop, from, from)
		if err != nil {
			return err
		}
	}
	if len(add) > 0 {
		err := s.scan(ctx, "grants", &given, `
			INSERT INTO user_roles (user_id, role_id, source, granted_by) SELECT ?, id, ?, ? FROM roles WHERE id IN ?
			ON CONFLICT DO NOTHING RETURNING role_id, source`, userID, from, by.ID, add)
		if err != nil {
			return err
		}
	}
	event := models.Event{ResourceType: models.AuditOfUser, ResourceID: userID.String()}
	for _, g := range gone {
		event.Action, event.Detail = models.AuditRoleRevoke, map[string]any{"role": g.RoleID, "source": g.Source}
		if err := s.Audit(ctx, by, event); err != nil {
			return err
		}
	}
	for _, g := range given {
		event.Action, event.Detail = models.AuditRoleGrant, map[string]any{"role": g.RoleID, "source": g.Source}
		if err := s.Audit(ctx, by, event); err != nil {
			return err
		}
	}
	if len(gone)+len(given) == 0 {
		return nil
	}
	return s.tellUser(ctx, userID)
}
