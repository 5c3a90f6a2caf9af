package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// table tells where everything is.
func (s *stack) table(outcome string) {
	api := s.address()
	key := s.cfg.API.AdminKeys[0].Reveal()
	shown := key
	if s.cfg.configured("api.admin_keys") {
		key, shown = "$ADMIN_KEY", s.configured("api.admin_keys")
	}
	rows := [][2]string{
		{"API", api + "/api/v1"},
		{"API docs", api + "/docs"},
		{"Sign in", s.signInRow()},
		{"Web UI", s.uiRow(api)},
		{"Admin key", shown},
		{"Temporal UI", s.temporalRow()},
		{"LiteLLM", s.litellmRow()},
		{"Postgres", s.postgresRow()},
		{"Logs", s.logsRow()},
	}
	var b strings.Builder
	b.WriteString("\n")
	for _, row := range rows {
		if row[1] == "" {
			continue
		}
		fmt.Fprintf(&b, "  %-12s %s\n", row[0], row[1])
	}
	fmt.Fprintf(&b, "\n%s\n", outcome)
	fmt.Fprintf(&b, "Try it:  curl -H \"Authorization: Bearer %s\" %s/api/v1/models\n", key, api)
	fmt.Fprintf(&b, "\nCtrl-C stops everything. The data is kept in %s; --reset forgets it.\n", near(s.dir.Path()))
	fmt.Fprint(s.out, b.String())
}

// configured says where a setting comes from that is used as it is.
func (s *stack) configured(key string) string {
	return fmt.Sprintf("as configured: %s (%s)", key, s.cfg.values[key].origin)
}

func (s *stack) uiRow(api string) string {
	if s.cfg.API.UIDir == "" {
		return ""
	}
	return fmt.Sprintf("%s (of %s)", api, near(s.cfg.API.UIDir))
}

func (s *stack) temporalRow() string {
	if s.temporal != nil {
		return fmt.Sprintf("%s (%s, serving at %s)", s.cfg.Temporal.UIURL, s.server, s.temporal.Address)
	}
	at := "server " + s.cfg.Temporal.Address + ", " + s.configured("temporal.address")
	if s.cfg.Temporal.UIURL == "" {
		return at
	}
	return s.cfg.Temporal.UIURL + ", " + at
}

func (s *stack) litellmRow() string {
	if s.litellm == nil {
		return s.cfg.LiteLLM.URL + ", " + s.configured("litellm.url")
	}
	key := s.cfg.LiteLLM.APIKey.Reveal()
	if s.cfg.configured("litellm.api_key") {
		key = s.configured("litellm.api_key")
	}
	return fmt.Sprintf("%s, key %s (in memory)", s.litellm.URL, key)
}

func (s *stack) postgresRow() string {
	if s.postgres == nil {
		return maskDatabase(s.cfg.Database.URL.Reveal()) + ", " + s.configured("database.url")
	}
	address, _, _ := strings.Cut(s.postgres.URL, "?")
	row := fmt.Sprintf("%s (%s)", address, s.programs)
	if place := s.postgres.Place; filepath.Dir(place) != s.dir.Path() {
		row += fmt.Sprintf("\n  %-12s its data is in %s: it cannot run as root, and no other user can enter %s", "", place, near(s.dir.Path()))
	}
	return row
}

func (s *stack) logsRow() string {
	logs := near(s.dir.File("litemaas.log"))
	if s.temporal != nil {
		logs += ", temporal.log"
	}
	if s.postgres != nil {
		logs += ", postgres.log"
	}
	return logs
}

// near is path as one would write it here.
func near(path string) string {
	here, err := os.Getwd()
	if err != nil {
		return path
	}
	if rel, err := filepath.Rel(here, path); err == nil && filepath.IsLocal(rel) {
		return rel
	}
	return path
}
