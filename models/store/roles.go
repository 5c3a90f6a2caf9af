package store

import (
	"context"
	"slices"

	"github.com/litemaas/litemaas/models"
)

// Roles returns all roles by name.
func (s *Store) Roles(ctx context.Context) (models.Roles, error) {
	roles := models.Roles{}
	err := s.scan(ctx, "roles", &roles, "SELECT * FROM roles ORDER BY id")
	return roles, err
}

// Role returns one role.
func (s *Store) Role(ctx context.Context, id string) (models.Role, error) {
	roles, err := s.Roles(ctx)
	if err != nil {
		return models.Role{}, err
	}
	r, ok := roles.Role(id)
	if !ok {
		return r, models.Errorf(models.NotFound, "role %s not found", id)
	}
	return r, nil
}

// CreateRole adds a role. It is Conflict when there is one of that name, Invalid when it is not
// well-formed, and Forbidden when it permits more than the actor may himself.
func (s *Store) CreateRole(ctx context.Context, r models.Role, by models.Actor, may models.Permissions) (models.Role, error) {
	return s.changeRole(ctx, r.ID, by, models.AuditRoleCreate, func(tx *Store, roles models.Roles, _ *models.Role) error {
		if _, there := roles.Role(r.ID); there {
			return models.Errorf(models.Conflict, "role %s already exists", r.ID)
		}
		if err := judgeRole(roles, r, may); err != nil {
			return err
		}
		inherits, permissions := roleLists(r)
		return tx.exec(ctx, "role "+r.ID, `
			INSERT INTO roles (id, description, inherits, permissions) VALUES (?, ?, CAST(? AS jsonb), CAST(? AS jsonb))`,
			r.ID, r.Description, inherits, permissions)
	})
}

// UpdateRole replaces what a role permits, inherits and says of itself; who holds it may that
// from the commit on. Beside the errors of CreateRole it is Forbidden to change a built-in
// role.
func (s *Store) UpdateRole(ctx context.Context, r models.Role, by models.Actor, may models.Permissions) (models.Role, error) {
	return s.changeRole(ctx, r.ID, by, models.AuditRoleUpdate, func(tx *Store, roles models.Roles, before *models.Role) error {
		if err := changeable(r.ID, before); err != nil {
			return err
		}
		if !may.Cover(roles.Permissions(r.ID)) {
			return models.Errorf(models.Forbidden, "the role %s may more than you may yourself", r.ID)
		}
		if err := judgeRole(roles, r, may); err != nil {
			return err
		}
		inherits, permissions := roleLists(r)
		return tx.exec(ctx, "role "+r.ID, `
			UPDATE roles SET description = ?, inherits = CAST(? AS jsonb), permissions = CAST(? AS jsonb), updated_at = now()
			WHERE id = ?`, r.Description, inherits, permissions, r.ID)
	})
}

// DeleteRole takes a role away. It is Forbidden for a built-in one, and Conflict while somebody
// holds it or another role inherits it.
func (s *Store) DeleteRole(ctx context.Context, id string, by models.Actor) error {
	_, err := s.changeRole(ctx, id, by, models.AuditRoleDelete, func(tx *Store, roles models.Roles, before *models.Role) error {
		if err := changeable(id, before); err != nil {
			return err
		}
		for _, r := range roles {
			if slices.Contains(r.Inherits, id) {
				return models.Errorf(models.Conflict, "the role %s inherits %s", r.ID, id)
			}
		}
		var held int
		if err := tx.scan(ctx, "grants", &held, "SELECT count(DISTINCT user_id) FROM user_roles WHERE role_id = ?", id); err != nil {
			return err
		}
		if held > 0 {
			return models.Errorf(models.Conflict, "the role %s is held by %d users: take it from them first", id, held)
		}
		return tx.exec(ctx, "role "+id, "DELETE FROM roles WHERE id = ?", id)
	})
	return err
}

// changeRole lets edit change a role (nil: there is none yet), one change of roles after the
// other, and returns it as it then is.
func (s *Store) changeRole(ctx context.Context, id string, by models.Actor, action models.AuditAction,
	edit func(*Store, models.Roles, *models.Role) error,
) (models.Role, error) {
	var after models.Role
	err := s.InTx(ctx, func(tx *Store) error {
		if err := tx.lock(ctx, "roles"); err != nil {
			return err
		}
		roles, err := tx.Roles(ctx)
		if err != nil {
			return err
		}
		event := models.Event{Action: action, ResourceType: models.AuditOfRole, ResourceID: id}
		var before *models.Role
		if r, ok := roles.Role(id); ok {
			before, event.Before = &r, described(r)
		}
		if err := edit(tx, roles, before); err != nil {
			return err
		}
		if roles, err = tx.Roles(ctx); err != nil {
			return err
		}
		var there bool
		if after, there = roles.Role(id); there {
			event.After = described(after)
		}
		if err := tx.tell(ctx, NoticeRoles, ""); err != nil {
			return err
		}
		return tx.Audit(ctx, by, event)
	})
	return after, err
}

// changeable is whether a role can be changed at all.
func changeable(id string, before *models.Role) error {
	if before == nil {
		return models.Errorf(models.NotFound, "role %s not found", id)
	}
	if before.BuiltIn {
		return models.Errorf(models.Forbidden, "the role %s is built in and cannot be changed", id)
	}
	return nil
}

// judgeRole is whether somebody with these permissions may make a role so.
func judgeRole(roles models.Roles, r models.Role, may models.Permissions) error {
	if err := roles.Check(r); err != nil {
		return err
	}
	if !may.Cover(r.Permissions) || !may.Cover(roles.Permissions(r.Inherits...)) {
		return models.Errorf(models.Forbidden, "the role %s would permit more than you may yourself", r.ID)
	}
	return nil
}

// roleLists are the lists of a role as JSON, sorted, each entry once.
func roleLists(r models.Role) (inherits, permissions *string) {
	list := make([]string, len(r.Permissions))
	for i, p := range r.Permissions {
		list[i] = string(p)
	}
	sorted := func(l []string) *string {
		l = append([]string{}, l...)
		slices.Sort(l)
		return jsonOf(slices.Compact(l))
	}
	return sorted(r.Inherits), sorted(list)
}

// described is a role as the audit log shows it.
func described(r models.Role) any {
	return map[string]any{"description": r.Description, "inherits": r.Inherits, "permissions": r.Permissions}
}
