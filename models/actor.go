package models

import "github.com/google/uuid"

// Actor is who does something, as the audit log names it: a person's or a key's id, or
// "system" with the workflow that acted.
type Actor struct {
	ID  string `json:"id"`
	Via string `json:"via"`

	Origin Origin `json:"-"` // stays out of workflow histories
}

// Origin is where a request came from, for the audit log. It is empty for what no request
// asked for.
type Origin struct {
	IP        string
	UserAgent string
	RequestID string
	SessionID uuid.UUID // the caller's; zero: none
	Deed      *Deed     // what the request does; nil: nobody wants to know
}

// System is the actor of what no person asked for.
func System(via string) Actor { return Actor{ID: "system", Via: via} }

// Nobody is the actor of a request whose sender we do not know.
func Nobody(from Origin) Actor { return Actor{ID: "anonymous", Via: "api", Origin: from} }
