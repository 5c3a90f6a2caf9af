package api

import "net/http"

// subscriptionRoutes is the part of the index that is about who may use which model.
func (s *Server) subscriptionRoutes(r *router) {
	at := func(e endpoint) endpoint { return e.under("/api/v1/subscriptions") }
	read, write, end := at(own("subscriptions:read")), at(own("subscriptions:write")), at(own("subscriptions:delete"))
	route(r, read.get("", "listSubscriptions", "List your subscriptions, the newest first"), s.listSubscriptions)
	routeReplayed(r, write.post("", "createSubscription", "Subscribe to a model").created().or(http.StatusAccepted), s.createSubscription, s.replay(http.StatusCreated))
	route(r, read.get("/stats", "subscriptionStats", "Count your subscriptions"), s.subscriptionStats)
	route(r, read.get("/{id}", "getSubscription", "Read a subscription"), s.getSubscription)
	route(r, write.patch("/{id}", "updateSubscription", "Change the quotas or the end of a subscription").or(http.StatusAccepted), s.updateSubscription)
	routeReplayed(r, end.post("/{id}/cancel", "cancelSubscription", "Give up a subscription").or(http.StatusAccepted), s.cancelSubscription, s.replay(http.StatusOK))
	routeReplayed(r, write.post("/{id}/request-review", "reviewSubscription", "Ask an admin to look again at what was denied"), s.reviewSubscription, s.replay(http.StatusOK))
	route(r, read.get("/{id}/quota", "getQuota", "Read what is left of a subscription's quotas"), s.getQuota)
	route(r, read.get("/{id}/history", "getHistory", "Read all that happened to a subscription"), s.getHistory)
	route(r, at(may("admin:subscriptions:read")).get("/admin/all", "listAllSubscriptions", "List the subscriptions of everybody, as older clients ask for them"), s.listAllSubscriptions)
	route(r, at(may("admin:subscriptions:write")).post("/admin/reset-quotas", "resetQuotas", "Count the use of quotas from zero again").or(http.StatusAccepted).repeatable(), s.resetQuotas)

	admin := func(e endpoint) endpoint { return e.under("/api/v1/admin/subscriptions") }
	see, decide := admin(may("admin:subscriptions:read")), admin(may("admin:subscriptions:write"))
	route(r, see.get("", "listAdminSubscriptions", "List the subscriptions of everybody, the last changed first"), s.listAdminSubscriptions)
	route(r, see.get("/stats", "approvalStats", "Count what waits for approval, and what was decided today"), s.approvalStats)
	route(r, decide.post("/approve", "approveSubscriptions", "Approve subscriptions").or(http.StatusAccepted).repeatable(), s.approveSubscriptions)
	route(r, decide.post("/deny", "denySubscriptions", "Deny subscriptions").or(http.StatusAccepted).repeatable(), s.denySubscriptions)
	routeReplayed(r, decide.post("/{id}/revert", "revertSubscription", "Take a decision back").or(http.StatusAccepted), s.revertSubscription, s.reverted)
	route(r, admin(may("admin:subscriptions:delete")).delete("/{id}", "deleteSubscription", "Delete a subscription with its history").or(http.StatusAccepted), s.deleteSubscription)

	route(r, may("users:read").get("/api/v1/admin/users/{id}/subscriptions", "listUserSubscriptions", "List a user's subscriptions"), s.listUserSubscriptions)
	route(r, may("users:write").post("/api/v1/admin/users/{id}/subscriptions", "createUserSubscriptions", "Subscribe a user to models, without an approval").created().or(http.StatusAccepted).repeatable(), s.createUserSubscriptions)
	route(r, may("admin:models").put("/api/v1/admin/models/{id}", "updateModel", "Change the description of a model, and whether it needs an approval").or(http.StatusAccepted), s.updateModel)
}
