package api

// Routes returns the method and path of every route of a server.
func Routes(s *Server) []string {
	var out []string
	for _, r := range s.router().engine.Routes() {
		out = append(out, r.Method+" "+r.Path)
	}
	return out
}
