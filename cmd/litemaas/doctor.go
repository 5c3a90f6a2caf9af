package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/litemaas/litemaas/activities/litellm"
	"github.com/litemaas/litemaas/migrations"
	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/temporal"
	"github.com/litemaas/litemaas/workflows"
)

func doctorCmd() *cobra.Command {
	return &cobra.Command{
		Use: "doctor", Short: "Check the configuration and everything it points at", GroupID: groupHelp, Args: cobra.NoArgs,
		Long: `Check the configuration and everything it points at: the identity provider, Postgres and
its schema, Redis if there is one, Temporal with its namespace and search attributes, the
sync schedule, LiteLLM and our key there. Each line says what was found, and what to do
where something is wrong.

Exit status: 0 when all is well, 1 when something is wrong, 2 when the configuration is.`,
		Example: `  litemaas doctor
  litemaas doctor --config /etc/litemaas.yaml

Then: litemaas migrate, if it says so; else litemaas serve`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := load(cmd, needsDatabase)
			if err != nil {
				return err
			}
			if n := examine(cmd.Context(), cfg, cmd.OutOrStdout()); n > 0 {
				return models.Errorf(models.Unavailable, "%s failed; each line above says what to do", count(n, "check"))
			}
			return nil
		},
	}
}

// finding is what one check saw; hint is what to do when err is set.
type finding struct {
	what, saw, hint string
	err             error
}

// examineWithin bounds each check.
const examineWithin = 5 * time.Second

// examine runs all checks and returns how many failed.
func examine(ctx context.Context, cfg config, out io.Writer) (failed int) {
	for _, check := range []func(context.Context, config) []finding{checkConfig, checkSignIn, checkDatabase, checkRedis, checkTemporal, checkLiteLLM} {
		ctx, cancel := context.WithTimeout(ctx, examineWithin)
		for _, f := range check(ctx, cfg) {
			if f.err == nil {
				fmt.Fprintf(out, "ok    %-18s %s\n", f.what, f.saw)
				continue
			}
			failed++
			fmt.Fprintf(out, "FAIL  %-18s %s\n      %-18s → %s\n", f.what, reason(f.err), "", f.hint)
		}
		cancel()
	}
	return failed
}

// reason is an error in words for an operator: with its cause, on one line.
func reason(err error) string {
	return strings.Join(strings.Fields(err.Error()), " ")
}

func checkConfig(_ context.Context, cfg config) []finding {
	out := []finding{{what: "admin keys", saw: strconv.Itoa(len(cfg.API.AdminKeys))}}
	if len(cfg.API.AdminKeys) == 0 && cfg.Auth.Provider == "" {
		out[0].err, out[0].hint = errors.New("none, so nobody can start a sync"), "set api.admin_keys (ADMIN_API_KEYS)"
	}
	for _, s := range strays() {
		out = append(out, finding{what: "environment", err: errors.New(s), hint: "`litemaas config --example` lists every name"})
	}
	return out
}

func checkDatabase(ctx context.Context, cfg config) []finding {
	db, err := openDatabase(ctx, cfg)
	if err != nil {
		return []finding{{what: "postgres", err: err, hint: "`litemaas dev` brings a server along"}}
	}
	defer db.Close()
	var server string
	if err := db.QueryRowContext(ctx, "SHOW server_version").Scan(&server); err != nil {
		return []finding{{what: "postgres", err: err, hint: "check the rights of the database user"}}
	}
	out := []finding{{what: "postgres", saw: maskDatabase(cfg.Database.URL.Reveal()) + ", version " + server}}
	has, newest, err := migrations.Version(ctx, db)
	if err == nil && has != newest {
		err = fmt.Errorf("the schema is at version %d, this program needs %d", has, newest)
	}
	return append(out, finding{what: "schema", saw: fmt.Sprintf("version %d", has), err: err, hint: "run `litemaas migrate`"})
}

func checkTemporal(ctx context.Context, cfg config) []finding {
	c, err := temporal.Dial(ctx, cfg.Temporal, slog.New(slog.DiscardHandler))
	if err != nil {
		return []finding{{what: "temporal", err: err, hint: "check temporal.api_key and temporal.tls too; `litemaas dev` brings a server along"}}
	}
	defer c.Close()
	out := []finding{{what: "temporal", saw: cfg.Temporal.Address + ", namespace " + cfg.Temporal.Namespace}}
	missing, err := temporal.MissingSearchAttributes(ctx, c, cfg.Temporal.Namespace)
	if err == nil && len(missing) > 0 {
		err = errors.New("missing: " + strings.Join(missing, ", "))
	}
	out = append(out, finding{what: "search attributes", saw: "all there", err: err, hint: "run `litemaas migrate`"})
	state, err := workflows.SyncScheduleState(ctx, c.ScheduleClient())
	f := finding{what: "sync schedule", saw: "there", err: err, hint: "start `litemaas serve` or `litemaas worker` once: it makes the schedule"}
	switch {
	case state.Paused:
		f.saw = "paused: " + state.Note
	case state.Next != nil:
		f.saw = "next run at " + state.Next.Format(time.RFC3339)
	}
	return append(out, f)
}

func checkLiteLLM(ctx context.Context, cfg config) []finding {
	proxy := litellm.New(cfg.LiteLLM.client())
	health, err := proxy.Health(ctx)
	if err != nil {
		return []finding{{what: "litellm", err: err, hint: "check litellm.url (LITELLM_API_URL), and that LiteLLM and its database run"}}
	}
	out := []finding{{what: "litellm", saw: fmt.Sprintf("%s %s, answered in %s", cfg.LiteLLM.URL, health.Version, health.Latency.Round(time.Millisecond))}}
	return append(out, finding{
		what: "litellm key", saw: "accepted as an admin's", err: proxy.CheckAdminKey(ctx),
		hint: "set litellm.api_key (LITELLM_API_KEY) to LiteLLM's master key, or to a key of a proxy admin",
	})
}
