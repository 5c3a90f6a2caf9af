package api

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/litemaas/litemaas/models"
)

// roleResponse is a role, with what it permits in all.
type roleResponse struct {
	ID          string              `json:"id"`
	Name        string              `json:"name"`
	Description string              `json:"description"`
	Permissions []models.Permission `json:"permissions" doc:"Its own, and those of the roles that it inherits."`
	Own         []models.Permission `json:"ownPermissions" doc:"Its own; * is everything."`
	Inherits    []string            `json:"inherits"`
	IsSystem    bool                `json:"isSystem" doc:"Whether it is built in, and cannot be changed."`
}

func newRole(all models.Roles, r models.Role) roleResponse {
	return roleResponse{
		r.ID, r.ID, r.Description, spelledOut(all.Permissions(r.ID)), append([]models.Permission{}, r.Permissions...),
		append([]string{}, r.Inherits...), r.BuiltIn,
	}
}

// spelledOut is a set of permissions with each that it holds by name.
func spelledOut(ps models.Permissions) []models.Permission {
	if ps.Has(models.Everything) {
		return slices.Sorted(maps.Keys(models.Known))
	}
	return append([]models.Permission{}, ps...)
}

type listRolesResponse struct{ Body []roleResponse }

func (s *Server) listRoles(ctx context.Context, _ *struct{}) (*listRolesResponse, error) {
	roles, err := s.Store.Roles(ctx)
	if err != nil {
		return nil, err
	}
	out := &listRolesResponse{make([]roleResponse, 0, len(roles))}
	for _, r := range roles {
		out.Body = append(out.Body, newRole(roles, r))
	}
	return out, nil
}

// RoleBody is what can be said of a role. It is exported for huma; see AuditFilter.
type RoleBody struct {
	Description string              `json:"description,omitempty" maxLength:"500" pattern:"^[^\\x00]*$" patternDescription:"text"`
	Permissions []models.Permission `json:"permissions" maxItems:"200" doc:"Its own."`
	Inherits    []string            `json:"inherits,omitempty" maxItems:"50" doc:"The roles whose permissions it has too."`
}

func (b RoleBody) role(id string) models.Role {
	return models.Role{ID: id, Description: b.Description, Permissions: b.Permissions, Inherits: b.Inherits}
}

type createRoleRequest struct {
	Body struct {
		ID string `json:"id" example:"billing"`
		RoleBody
	}
}

type updateRoleRequest struct {
	ID   string `path:"id"`
	Body RoleBody
}

type getRoleResponse struct{ Body roleResponse }

func (s *Server) createRole(ctx context.Context, in *createRoleRequest) (*getRoleResponse, error) {
	r, err := s.Store.CreateRole(ctx, in.Body.role(in.Body.ID), actor(ctx), requestOf(ctx).caller.Permissions)
	return s.withAll(ctx, r, err)
}

// createdRole is the answer of createRole once more.
func (s *Server) createdRole(ctx context.Context, id string) (*getRoleResponse, error) {
	r, err := s.Store.Role(ctx, id)
	return s.withAll(ctx, r, err)
}

// updateRole replaces all that is said of a role. Who holds it may that from the answer on.
func (s *Server) updateRole(ctx context.Context, in *updateRoleRequest) (*getRoleResponse, error) {
	r, err := s.Store.UpdateRole(ctx, in.Body.role(in.ID), actor(ctx), requestOf(ctx).caller.Permissions)
	return s.withAll(ctx, r, err)
}

// withAll is a role that was written, with what it permits in all.
func (s *Server) withAll(ctx context.Context, r models.Role, err error) (*getRoleResponse, error) {
	if err != nil {
		return nil, err
	}
	roles, err := s.Store.Roles(ctx)
	return &getRoleResponse{newRole(roles, r)}, err
}

type deleteRoleRequest struct {
	ID string `path:"id"`
}

func (s *Server) deleteRole(ctx context.Context, in *deleteRoleRequest) (*messageResponse, error) {
	if err := s.Store.DeleteRole(ctx, in.ID, actor(ctx)); err != nil {
		return nil, err
	}
	return newMessage("Role " + in.ID + " deleted"), nil
}

type assignRoleRequest struct {
	Body struct {
		UserID uuid.UUID `json:"userId" format:"uuid"`
		Role   string    `json:"role" maxLength:"63"`
	}
}

// assignRole gives a user a role for good.
func (s *Server) assignRole(ctx context.Context, in *assignRoleRequest) (*profileResponse, error) {
	u, err := s.Store.AssignRole(ctx, in.Body.UserID, in.Body.Role, actor(ctx), requestOf(ctx).caller.Permissions)
	if err != nil {
		return nil, err
	}
	return newProfile(u), nil
}

// unassignRole takes a role from a user. One that the identity provider gives comes back when
// he signs in again.
func (s *Server) unassignRole(ctx context.Context, in *assignRoleRequest) (*profileResponse, error) {
	u, err := s.Store.UnassignRole(ctx, in.Body.UserID, in.Body.Role, actor(ctx), requestOf(ctx).caller.Permissions)
	if err != nil {
		return nil, err
	}
	return newProfile(u), nil
}

type permissionResponse struct {
	ID          models.Permission `json:"id" example:"admin:banners:read"`
	Name        string            `json:"name"`
	Description string            `json:"description"`
	Resource    string            `json:"resource" example:"banners"`
	Action      string            `json:"action" example:"read"`
}

type listPermissionsResponse struct{ Body []permissionResponse }

func (s *Server) listPermissions(context.Context, *struct{}) (*listPermissionsResponse, error) {
	out := &listPermissionsResponse{}
	for _, p := range slices.Sorted(maps.Keys(models.Known)) {
		parts := strings.Split(string(p), ":") // there are two at least
		out.Body = append(out.Body, permissionResponse{p, string(p), models.Known[p], parts[len(parts)-2], parts[len(parts)-1]})
	}
	return out, nil
}

type myPermissionsResponse struct {
	Body struct {
		Roles       []string            `json:"roles"`
		Permissions []models.Permission `json:"permissions"`
	}
}

func (s *Server) myPermissions(ctx context.Context, _ *struct{}) (*myPermissionsResponse, error) {
	c := requestOf(ctx).caller
	out := &myPermissionsResponse{}
	out.Body.Roles, out.Body.Permissions = append([]string{}, c.Roles...), spelledOut(c.Permissions)
	return out, nil
}

type checkPermissionRequest struct {
	Body struct {
		Permission models.Permission `json:"permission" maxLength:"100" example:"models:read"`
		ResourceID string            `json:"resourceId,omitempty" maxLength:"500" doc:"Sent back; a permission is the same for every resource."`
		Context    map[string]any    `json:"context,omitempty" doc:"Not looked at."`
	}
}

type checkPermissionResponse struct {
	Body struct {
		HasPermission bool              `json:"hasPermission"`
		Permission    models.Permission `json:"permission"`
		ResourceID    string            `json:"resourceId,omitempty"`
	}
}

// checkPermission says whether the caller has a permission now.
func (s *Server) checkPermission(ctx context.Context, in *checkPermissionRequest) (*checkPermissionResponse, error) {
	out := &checkPermissionResponse{}
	b := &out.Body
	b.Permission, b.ResourceID = in.Body.Permission, in.Body.ResourceID
	b.HasPermission = requestOf(ctx).caller.May(b.Permission)
	return out, nil
}

type checkPermissionsRequest struct {
	Body struct {
		Permissions []models.Permission `json:"permissions" maxItems:"200"`
		RequireAll  bool                `json:"requireAll,omitempty" doc:"Whether all are needed for access, not one."`
	}
}

type checkPermissionsResponse struct {
	Body struct {
		HasAccess bool                       `json:"hasAccess"`
		Results   map[models.Permission]bool `json:"results" doc:"By permission."`
	}
}

// checkPermissions says of several permissions whether the caller has them now.
func (s *Server) checkPermissions(ctx context.Context, in *checkPermissionsRequest) (*checkPermissionsResponse, error) {
	out := &checkPermissionsResponse{}
	out.Body.Results = map[models.Permission]bool{}
	some, all := false, true
	for _, p := range in.Body.Permissions {
		has := requestOf(ctx).caller.May(p)
		out.Body.Results[p] = has
		some, all = some || has, all && has
	}
	out.Body.HasAccess = some
	if in.Body.RequireAll {
		out.Body.HasAccess = all
	}
	return out, nil
}
