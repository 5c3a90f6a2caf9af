package api

// usageReadRoutes is the part of the index that is about what was used.
func (s *Server) usageReadRoutes(r *router) {
	read := may("usage:read").under("/api/v1/usage")
	route(r, read.get("/metrics", "usageMetrics", "Read your usage in figures, by day and by hour of the day"), s.usageMetrics)
	route(r, read.get("/summary", "usageSummary", "Read your usage in sum, and by model"), s.usageSummary)
	route(r, read.get("/timeseries", "usageTimeseries", "Read your usage hour by hour, or by day, week or month"), s.usageTimeseries)
	route(r, read.get("/top", "usageTop", "List the models that you use most, and your last calls"), s.usageTop)
	route(r, read.get("/dashboard", "usageDashboard", "Read your usage beside that of the time before, and what is left of your quotas"), s.usageDashboard)
}
