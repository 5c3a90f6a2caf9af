package api

import "net/http"

// keyRoutes is the part of the index that is about API keys.
func (s *Server) keyRoutes(r *router) {
	at := func(e endpoint) endpoint { return e.under("/api/v1/api-keys") }
	read, write, end := at(own("api_keys:read")), at(own("api_keys:write")), at(own("api_keys:delete"))
	route(r, read.get("", "listKeys", "List your API keys, the newest first"), s.listKeys)
	routeReplayed(r, write.post("", "createKey", "Make an API key").created().or(http.StatusAccepted), s.createKey, s.recreated)
	route(r, read.get("/stats", "keyStats", "Count your API keys"), s.keyStats)
	route(r, read.get("/{id}", "getKey", "Read an API key"), s.getKey)
	route(r, write.patch("/{id}", "updateKey", "Change an API key").or(http.StatusAccepted), s.updateKey)
	route(r, end.delete("/{id}", "deleteKey", "Revoke and delete an API key").or(http.StatusAccepted), s.deleteKey)
	route(r, write.post("/{id}/reset-spend", "resetKeySpend", "Count what an API key spent from zero, where that is allowed").or(http.StatusAccepted).repeatable(), s.resetKeySpend)

	route(r, may("admin:usage").get("/api/v1/admin/api-keys", "listKeyNames", "List the API keys of everybody by name"), s.listKeyNames)
	admin := func(e endpoint) endpoint { return e.under("/api/v1/admin/users/{id}/api-keys") }
	change := admin(may("users:write"))
	route(r, admin(may("users:read")).get("", "listUserKeys", "List a user's API keys"), s.listUserKeys)
	routeReplayed(r, change.post("", "createUserKey", "Make an API key for a user").created().or(http.StatusAccepted).repeatable(), s.createUserKey, s.recreated)
	route(r, change.patch("/{keyId}", "updateUserKey", "Change an API key of a user").or(http.StatusAccepted), s.updateUserKey)
	route(r, change.delete("/{keyId}", "deleteUserKey", "Revoke an API key of a user").or(http.StatusAccepted), s.deleteUserKey)
	route(r, change.post("/{keyId}/reset-spend", "resetUserKeySpend", "Count what an API key of a user spent from zero").or(http.StatusAccepted).repeatable(), s.resetUserKeySpend)
}
