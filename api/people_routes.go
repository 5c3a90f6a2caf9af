package api

import "net/http"

// peopleRoutes is the part of the index that is about who people are, what they may, and what
// they did.
func (s *Server) peopleRoutes(r *router) {
	at := public.limited(classLogin).under("/api/auth")
	route(r, at.post("/login", "login", "Begin to sign in"), s.login)
	route(r, at.get("/callback", "callback", "Come back from the identity provider").redirects(), s.callback)
	route(r, at.post("/refresh", "refreshSession", "Turn a refresh token into an access token"), s.refreshSession)
	route(r, public.limited(classLogin).post("/api/v1/auth/refresh", "refreshToken", "Turn a refresh token into an access token, as the web UI has it"), s.refreshToken)
	route(r, at.post("/validate", "validateToken", "See whose an access token is"), s.validate)
	route(r, signedIn.post("/api/auth/logout", "logout", "Sign out").repeatable(), s.logout)
	route(r, person.get("/api/auth/sessions", "listSessions", "List your sessions"), s.listSessions)
	route(r, person.delete("/api/auth/sessions", "endSessions", "End all of your sessions but this one"), s.endSessions)
	route(r, person.delete("/api/auth/sessions/{sessionId}", "endSession", "End one of your sessions"), s.endSession)
	route(r, public.limited(free).get("/.well-known/jwks.json", "jwks", "Read the keys that our access tokens are signed with"), s.jwks)

	dev := at.hidden() // in development only
	route(r, dev.get("/mock-users", "mockUsers", "List whom one can be"), s.mockUsers)
	route(r, dev.get("/mock-login", "mockLogin", "Choose who to be"), s.mockLogin)
	route(r, dev.post("/dev-token", "devToken", "Be somebody"), s.devToken)

	route(r, signedIn.get("/api/v1/auth/me", "getMe", "See who you are"), s.getMe)
	route(r, person.get("/api/v1/auth/profile", "getProfile", "Read your profile"), s.getProfile)
	route(r, person.get("/api/v1/users/me", "getMyProfile", "Read your profile"), s.getProfile)
	route(r, person.patch("/api/v1/users/me", "updateProfile", "Change your profile"), s.updateProfile)
	route(r, person.get("/api/v1/users/me/activity", "listActivity", "List what you did"), s.listActivity)
	route(r, person.get("/api/v1/users/me/stats", "getStats", "Read your numbers"), s.getStats)

	route(r, may("users:read").get("/api/v1/users", "listUsers", "List users"), s.listUsers)
	route(r, may("users:write").patch("/api/v1/users/{id}", "setUserRoles", "Change a user's roles"), s.setUserRoles)
	route(r, may("admin:usage").get("/api/v1/admin/users", "listUserNames", "List all users by name"), s.listUserNames)
	route(r, may("users:read").get("/api/v1/admin/users/{id}", "getUser", "Read a user"), s.getUser)
	route(r, may("users:write").post("/api/v1/admin/users/{id}/deactivate", "deactivateUser", "Take everything from a user, reversibly").or(http.StatusAccepted).repeatable(), s.deactivateUser)
	route(r, may("users:write").post("/api/v1/admin/users/{id}/reinstate", "reinstateUser", "Give a deactivated user back what he had").or(http.StatusAccepted).repeatable(), s.reinstateUser)

	route(r, may("admin:users").get("/api/rbac/roles", "listRoles", "List roles"), s.listRoles)
	routeReplayed(r, may("admin:roles:write").post("/api/rbac/roles", "createRole", "Make a role").created(), s.createRole, s.createdRole)
	route(r, may("admin:roles:write").put("/api/rbac/roles/{id}", "updateRole", "Change a role"), s.updateRole)
	route(r, may("admin:roles:write").delete("/api/rbac/roles/{id}", "deleteRole", "Delete a role that nobody has"), s.deleteRole)
	route(r, may("users:write").post("/api/rbac/assign", "assignRole", "Give a user a role").repeatable(), s.assignRole)
	route(r, may("users:write").post("/api/rbac/unassign", "unassignRole", "Take a role from a user").repeatable(), s.unassignRole)
	route(r, may("admin:users").get("/api/rbac/permissions", "listPermissions", "List permissions"), s.listPermissions)
	route(r, signedIn.get("/api/rbac/permissions/me", "myPermissions", "List what you may"), s.myPermissions)
	route(r, signedIn.post("/api/rbac/permissions/check", "checkPermission", "See whether you may do something").repeatable(), s.checkPermission)
	route(r, signedIn.post("/api/rbac/permissions/check-bulk", "checkPermissions", "See whether you may do several things").repeatable(), s.checkPermissions)

	route(r, may("admin:audit").get("/api/v1/admin/audit", "listAudit", "Read the audit log"), s.listAudit)
	route(r, may("admin:audit").get("/api/v1/admin/audit/actions", "listAuditActions", "List what was ever done"), s.listAuditActions)
	route(r, may("admin:audit").get("/api/v1/admin/audit/categories", "listAuditCategories", "List what it was done to"), s.listAuditCategories)
	route(r, may("admin:audit").limited(classExport).get("/api/v1/admin/audit/export", "exportAudit", "Export the audit log"), s.exportAudit)
	route(r, may("admin:usage").get("/api/v1/admin/auth/info", "authInfo", "See how people sign in"), s.authInfo)
	route(r, may("admin:users").get("/api/v1/admin/settings/api-key-defaults", "getKeySettings", "Read what new API keys get, and what bounds them"), s.getKeyDefaults)
	route(r, may("admin:users:write").put("/api/v1/admin/settings/api-key-defaults", "setKeySettings", "Set what new API keys get, and what bounds them"), s.setKeyDefaults)
}
