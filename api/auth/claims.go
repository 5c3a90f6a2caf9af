package auth

import (
	"maps"
	"strings"

	"github.com/litemaas/litemaas/models"
)

// claims is what an OpenID provider says of a person.
type claims map[string]any

// with returns the claims with more of them, which win. Whether an address is verified says
// the source of the address alone.
func (c claims) with(more claims) claims {
	out := maps.Clone(c)
	if email := more.text("email"); email != "" && email != c.text("email") {
		delete(out, "email_verified")
	}
	maps.Copy(out, more)
	return out
}

// text is a claim that is a string; empty, if it is none.
func (c claims) text(name string) string {
	s, _ := c[name].(string)
	return strings.TrimSpace(s)
}

// first is the first of these claims that is there.
func (c claims) first(names ...string) string {
	for _, name := range names {
		if s := c.text(name); s != "" {
			return s
		}
	}
	return ""
}

// identity is the person whom the claims are about.
func (c claims) identity(cfg Config) models.Identity {
	name := c.text("name")
	if name == "" {
		name = strings.TrimSpace(c.text("given_name") + " " + c.text("family_name"))
	}
	verified := c["email_verified"]
	return models.Identity{
		Provider: ProviderOIDC, Subject: c.text("sub"),
		Email:         c.text("email"),
		EmailVerified: verified == true || verified == "true", // some send it as a string
		Username:      c.first("preferred_username", "email", "sub"),
		FullName:      name,
		Roles:         cfg.GroupRoles.Roles(c.groups(cfg.GroupsClaim)),
	}
}

// groups are the groups in a claim: that of the name, else the one that the name leads to, as
// in realm_access.roles.
func (c claims) groups(name string) []string {
	at, ok := c[name]
	if !ok {
		at = map[string]any(c)
		for step := range strings.SplitSeq(name, ".") {
			object, _ := at.(map[string]any)
			at = object[step]
		}
	}
	switch at := at.(type) {
	case string:
		return []string{at}
	case []any:
		var groups []string
		for _, g := range at {
			if s, ok := g.(string); ok {
				groups = append(groups, s)
			}
		}
		return groups
	}
	return nil
}
