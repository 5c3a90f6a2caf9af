package main

import (
	"fmt"
	"net"
	"net/netip"
	"strings"

	"github.com/litemaas/litemaas/api/auth"
	"github.com/litemaas/litemaas/cmd/internal/keyset"
)

// devOrigin is where a web UI is developed, as LiteMaaS's.
const devOrigin = "http://localhost:3000"

// signIn lets people sign in: as whoever they say they are, unless the configuration names an
// identity provider, or others than this machine can reach us.
func (s *stack) signIn() {
	a := &s.cfg.Auth
	if s.brings("api.cors_origins") {
		s.cfg.API.CORSOrigins = []string{devOrigin}
	}
	if s.brings("auth.callback_url") {
		a.CallbackURL = s.address() + "/api/auth/callback"
		if s.brings("auth.frontend_url") {
			a.FrontendURL = s.address()
		}
	}
	if a.Provider == "" && s.cfg.Environment == "development" && s.alone() {
		a.Provider = auth.ProviderMock
	}
	s.cfg.completeAuth()
}

// alone reports whether only this machine can reach the API.
func (s *stack) alone() bool {
	host, _, err := net.SplitHostPort(s.cfg.API.Listen)
	at, notAddress := netip.ParseAddr(host)
	return err == nil && (host == "localhost" || notAddress == nil && at.IsLoopback())
}

// address is where browsers on this machine reach the API.
func (s *stack) address() string {
	return strings.Replace(localURL(s.cfg.API.Listen), "127.0.0.1", "localhost", 1)
}

// keysetFile is the keyset in the data directory.
const keysetFile = "keyset.json"

// lasting is what a reset leaves: a database that it leaves has things that our keyset sealed.
func (s *stack) lasting() []string {
	if s.brings("database.url") {
		return nil
	}
	return []string{keysetFile}
}

// keepKeyset makes sure that there is a keyset.
func (s *stack) keepKeyset() error {
	if !s.cfg.Secrets.Keyset.IsZero() || s.cfg.Secrets.KeysetFile != "" {
		return nil
	}
	s.cfg.Secrets.KeysetFile = s.dir.File(keysetFile)
	_, err := keyset.Ensure(s.cfg.Secrets.KeysetFile)
	return err
}

// signInRow says how one signs in.
func (s *stack) signInRow() string {
	switch {
	case s.cfg.Auth.Provider == auth.ProviderMock:
		return fmt.Sprintf("as admin@example.com, user@example.com or readonly@example.com, in the web UI, or by\n  %-12s curl --json '{\"username\": \"admin@example.com\"}' %s/api/auth/dev-token", "", s.address())
	case s.brings("auth.provider") && s.cfg.Auth.Provider != "":
		return s.cfg.Auth.Provider + ", " + s.configured("auth.client_id")
	case s.cfg.Auth.Provider != "":
		return s.cfg.Auth.Provider + ", " + s.configured("auth.provider")
	}
	return "nobody can: --set auth.provider=mock lets everybody who reaches the API be an admin"
}
