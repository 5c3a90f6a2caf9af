package api

import "net/http"

// budgetRoutes is the part of the index that is about what may be spent.
func (s *Server) budgetRoutes(r *router) {
	at := func(e endpoint) endpoint { return e.under("/api/v1/budgets") }
	see, change := at(may("admin:usage")), at(may(changesBudgets))
	route(r, see.get("", "listBudgets", "List the budgets of everybody, the newest first"), s.listBudgets)
	route(r, at(own("usage:read")).get("/mine", "listMyBudgets", "List your budgets, and those of your API keys and subscriptions"), s.listMyBudgets)
	route(r, see.get("/{id}", "getBudget", "Read a budget"), s.getBudget)
	route(r, change.patch("/{id}", "updateBudget", "Change a budget").or(http.StatusAccepted), s.updateBudget)
	route(r, see.get("/{id}/periods", "listBudgetPeriods", "List the periods of a budget that are over"), s.listBudgetPeriods)
	route(r, change.post("/{id}/pardon", "pardonBudget", "Prevent a hold, or lift it, for this period").or(http.StatusAccepted).repeatable(), s.pardonBudget)

	route(r, at(may("usage:read")).get("/{id}/raises", "listRaises", "List the temporary increases of a budget"), s.listRaises)
	routeReplayed(r, at(may("api_keys:write")).post("/{id}/raises", "createRaise", "Raise a budget for a while, or ask an admin to").created().or(http.StatusAccepted), s.createRaise, s.raiseAgain(http.StatusCreated))
	routeReplayed(r, change.post("/raises/{id}/approve", "approveRaise", "Approve a raise that waits").or(http.StatusAccepted), s.approveRaise, s.raiseAgain(http.StatusOK))
	routeReplayed(r, change.post("/raises/{id}/deny", "denyRaise", "Deny a raise that waits").or(http.StatusAccepted), s.denyRaise, s.raiseAgain(http.StatusOK))
	route(r, change.post("/raises/{id}/end", "endRaise", "End a raise before its time").or(http.StatusAccepted).repeatable(), s.endRaise)

	route(r, own("usage:read").get("/api/v1/usage/budget", "usageBudget", "See what you spent of your budget"), s.usageBudget)
	route(r, may("users:write").patch("/api/v1/admin/users/{id}/budget-limits", "setUserLimits", "Change what a user may spend, and how fast").or(http.StatusAccepted), s.setUserLimits)
	route(r, may("users:write").post("/api/v1/admin/users/{id}/reset-spend", "resetUserSpend", "Count what a user spent from zero").or(http.StatusAccepted).repeatable(), s.resetUserSpend)
}
