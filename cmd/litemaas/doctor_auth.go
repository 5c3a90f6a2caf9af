package main

import (
	"context"
)

// checkSignIn looks at what lets people in.
func checkSignIn(ctx context.Context, cfg config) []finding {
	f := finding{what: "sign-in", saw: "nobody can: there are only admin keys", hint: "check the settings of auth and secrets: `litemaas config`"}
	if cfg.Auth.Provider == "" {
		return []finding{f}
	}
	people, err := cfg.people(nil)
	if f.err = err; err != nil {
		return []finding{f}
	}
	f.saw = "by " + cfg.Auth.Provider
	if cfg.Auth.Issuer != "" {
		f.saw += ", " + cfg.Auth.Issuer
	}
	if cfg.Secrets.KMSURI != "" {
		f.saw += "; the keyset is opened by " + cfg.Secrets.KMSURI
	}
	if _, f.err = people.Provider.AuthURL(ctx, "", "", "", nil); f.err != nil {
		f.hint = "check auth.issuer (OAUTH_ISSUER), and that this machine reaches it"
	}
	return []finding{f}
}
