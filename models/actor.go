package models

// Actor is who does something, as the audit log names it: a person's or a key's id, or
// "system" with the workflow that acted.
type Actor struct {
	ID  string `json:"id"`
	Via string `json:"via"`
}

// System is the actor of what no person asked for.
func System(via string) Actor { return Actor{ID: "system", Via: via} }
