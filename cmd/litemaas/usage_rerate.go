package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
	"github.com/litemaas/litemaas/temporal"
	"github.com/litemaas/litemaas/workflows"
)

func rerateCmd() *cobra.Command {
	var s span
	var r models.Rerate
	cmd := &cobra.Command{
		Use: "rerate", Short: "Price calls anew, with the prices that are known now", Args: cobra.NoArgs,
		Long: `Price calls anew, with the prices of the time when they were made, as they are known now: after
a price was missing, or was wrong. Calls of which LiteLLM has reported the cost keep it,
unless --reported is given. Nothing in the ledger is changed: the differences are entered.

What was done stays when it is interrupted, and doing it again finds what is left. Budgets are
judged by what the calls cost then.`,
		Example: `  litemaas usage rerate --from 2026-11-01 --dry-run
  litemaas usage rerate --from 2026-11-01 --to 2026-11-15 --model gpt-4o --reported`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := load(cmd, needsDatabase)
			if err != nil {
				return err
			}
			if r.From, r.Until, err = s.read(time.Now()); err != nil {
				return err
			}
			st, err := store.Open(cmd.Context(), cfg.Database)
			if err != nil {
				return err
			}
			defer st.Close()
			report, err := st.RerateUsage(cmd.Context(), r, operator)
			if err != nil {
				return err
			}
			if err := writeRerated(cmd.OutOrStdout(), report, r.DryRun); err != nil {
				return err
			}
			if report.Due {
				judgeNow(cmd.Context(), cfg, cmd.ErrOrStderr())
			}
			return nil
		},
	}
	s.flags(cmd)
	f := cmd.Flags()
	f.StringVar(&r.Model, "model", "", "only calls of this `model`")
	f.BoolVar(&r.Reported, "reported", false, "also calls of which LiteLLM reported the cost")
	f.BoolVar(&r.DryRun, "dry-run", false, "show what would change, and change nothing")
	return cmd
}

// judgeNow has the budgets judged at once that are due. Where that cannot be, a minute later.
func judgeNow(ctx context.Context, cfg config, w io.Writer) {
	c, err := temporal.Dial(ctx, cfg.Temporal, slog.Default())
	if err == nil {
		defer c.Close()
		_, err = workflows.Nudge(ctx, c, workflows.EnforceBudgets, workflows.EnforceBudgetsInput{})
	}
	if err != nil {
		fmt.Fprintf(w, "Budgets are judged a minute after a worker runs: %s\n", reason(err))
	}
}

// writeRerated prints what calls cost now.
func writeRerated(w io.Writer, report models.RerateReport, dry bool) error {
	if len(report.Models) == 0 {
		_, err := fmt.Fprintln(w, "All calls cost what they should.")
		return err
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "MODEL\tCALLS\tBEFORE\tAFTER\tDIFFERENCE")
	for _, m := range report.Models {
		fmt.Fprintf(t, "%s\t%d\t%s\t%s\t%s\n", plain(m.Model), m.Calls, m.Old, m.New, m.New-m.Old)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if dry {
		_, err := fmt.Fprintln(w, "\nNothing was changed (--dry-run).")
		return err
	}
	return nil
}
