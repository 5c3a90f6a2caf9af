package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
)

func usageCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use: "usage", Short: "Look after the ledger of usage", GroupID: groupHelp, Args: cobra.NoArgs,
		Long: `Look after the ledger of usage: what was called, by whom, and what it cost. It fills by itself,
with what LiteLLM tells of and with LiteLLM's log, which is read every usage.collect_every.`,
		Example: `  litemaas usage windows
  litemaas usage backfill --from 2026-11-01
  litemaas usage rerate --from 2026-11-01 --dry-run`,
	}
	cmd.AddCommand(windowsCmd(), backfillCmd(), rerateCmd())
	return cmd
}

func windowsCmd() *cobra.Command {
	var limit int
	cmd := &cobra.Command{
		Use: "windows", Short: "Show what was read of LiteLLM's log, and how it compared", Args: cobra.NoArgs,
		Long: `Show the last windows that were read of LiteLLM's log, the newest first, and how each compared
with the ledger when it was read last: what was missing, because LiteLLM had not told of it;
what differed, and was corrected; and what is only in the ledger.`,
		Example: "  litemaas usage windows --limit 100",
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := load(cmd, needsDatabase)
			if err != nil {
				return err
			}
			if limit < 1 {
				return models.Errorf(models.Invalid, "--limit must be 1 or more").On("limit")
			}
			st, err := store.Open(cmd.Context(), cfg.Database)
			if err != nil {
				return err
			}
			defer st.Close()
			list, err := st.UsageWindows(cmd.Context(), limit)
			if err != nil {
				return err
			}
			return writeWindows(cmd.OutOrStdout(), list)
		},
	}
	cmd.Flags().IntVar(&limit, "limit", 20, "show so `many`")
	return cmd
}

func writeWindows(w io.Writer, list []models.UsageWindow) error {
	if len(list) == 0 {
		_, err := fmt.Fprintln(w, "LiteLLM's log was never read: a worker does it, see litemaas worker")
		return err
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "FROM\tUNTIL\tSOURCE\tAT LITELLM\tMISSING\tCORRECTED\tONLY HERE\tREAD")
	for _, u := range list {
		fmt.Fprintf(t, "%s\t%s\t%s\t%d\t%d\t%d\t%d\t%s\n", u.From.UTC().Format(time.RFC3339), u.Until.UTC().Format(time.RFC3339), u.Source,
			u.Read, u.Missing, u.Corrected, u.Extra, u.CollectedAt.UTC().Format(time.RFC3339))
	}
	return t.Flush()
}

// span is a length of time as flags give it.
type span struct{ from, until string }

func (s *span) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&s.from, "from", "", "`time` or day (UTC) where it begins, such as 2026-11-01 or 2026-11-01T08:00:00Z")
	cmd.Flags().StringVar(&s.until, "to", "", "`time` or day (UTC) before which it ends; now, if not given")
}

// read is the length of time, in whole seconds, up to latest.
func (s *span) read(latest time.Time) (from, until time.Time, err error) {
	latest = latest.UTC().Truncate(time.Second)
	if from, err = readTime("from", s.from); err != nil {
		return from, until, err
	}
	until = latest
	if s.until != "" {
		if until, err = readTime("to", s.until); err != nil {
			return from, until, err
		}
	}
	if until.After(latest) {
		until = latest
	}
	if !from.Before(until) {
		return from, until, models.Errorf(models.Invalid, "--from must be before --to, and before %s", latest.Format(time.RFC3339)).On("from")
	}
	return from, until, nil
}

func readTime(flag, text string) (time.Time, error) {
	for _, layout := range []string{time.DateOnly, time.RFC3339} {
		if t, err := time.Parse(layout, strings.TrimSpace(text)); err == nil {
			return t.UTC().Truncate(time.Second), nil
		}
	}
	return time.Time{}, models.Errorf(models.Invalid, "--%s must be a day such as 2026-11-01, or a time such as 2026-11-01T08:00:00Z", flag).On(flag)
}
