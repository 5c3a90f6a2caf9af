package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/spf13/cobra"
	"go.temporal.io/sdk/client"

	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/temporal"
	"github.com/litemaas/litemaas/workflows"
)

func backfillCmd() *cobra.Command {
	var s span
	cmd := &cobra.Command{
		Use: "backfill", Short: "Read LiteLLM's log of a length of time into the ledger", Args: cobra.NoArgs,
		Long: `Read LiteLLM's log of a length of time into the ledger, such as of the time before there was
one. What is there already stays, and is corrected where LiteLLM says otherwise.

Workers do it, by the workflow backfill-usage/…; this command shows how far they are.
Interrupting it leaves them at work, and the same command joins them again. After an outage
they go on where they were.

Exit status: 0 when all was read, 1 when it was not, 2 when the command line or the
configuration is wrong.`,
		Example: `  litemaas usage backfill --from 2026-11-01
  litemaas usage backfill --from 2026-11-01T08:00:00Z --to 2026-11-01T09:00:00Z

Then: litemaas usage windows`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := load(cmd)
			if err != nil {
				return err
			}
			in := workflows.BackfillUsageInput{Actor: operator}
			if in.From, in.Until, err = s.read(time.Now().Add(-cfg.Usage.CollectLag)); err != nil {
				return err
			}
			c, err := temporal.Dial(cmd.Context(), cfg.Temporal, slog.Default())
			if err != nil {
				return err
			}
			defer c.Close()
			res, err := backfill(cmd.Context(), c, in, newProgress(cmd.ErrOrStderr(), false))
			if err != nil {
				return err
			}
			writeBackfilled(cmd.OutOrStdout(), res)
			return nil
		},
	}
	s.flags(cmd)
	return cmd
}

// lookForBackfill is how often the command looks at how far the workers are.
const lookForBackfill = 2 * time.Second

// backfill has the workers read, and waits for them.
func backfill(ctx context.Context, c client.Client, in workflows.BackfillUsageInput, p *progress) (workflows.UsageReport, error) {
	defer p.end()
	run, err := workflows.Start(ctx, c, workflows.BackfillUsage, in)
	for err == nil {
		var res workflows.UsageReport
		res, err = run.Wait(ctx, lookForBackfill)
		switch {
		case err == nil:
			return res, nil
		case ctx.Err() != nil:
			return res, models.Errorf(models.Pending, "the workers go on; the same command with --from %s --to %s joins them", in.From.Format(time.RFC3339), in.Until.Format(time.RFC3339))
		case models.KindOf(err) != models.Pending:
			return res, err
		}
		err = nil
		if far, asked := workflows.BackfillProgress(ctx, c, in); asked == nil {
			p.step(fmt.Sprintf("read up to %s: %s, of which %d were missing", far.Until.Format(time.RFC3339), count(far.Read, "call"), far.Missing))
		} else {
			p.step("a worker must run")
		}
	}
	return workflows.UsageReport{}, err
}

// writeBackfilled prints what was read.
func writeBackfilled(w io.Writer, r workflows.UsageReport) {
	fmt.Fprintf(w, "Read %s from %s until %s, in %s.\n\n", count(r.Read, "call"), r.From.Format(time.RFC3339), r.Until.Format(time.RFC3339), count(r.Windows, "window"))
	for _, l := range []struct {
		what string
		n    int
	}{{"were missing, and are in the ledger now", r.Missing}, {"differed, and were corrected", r.Corrected}, {"are in the ledger only", r.Extra}, {"cannot be taken by the ledger", r.Strange}} {
		fmt.Fprintf(w, "%8d  %s\n", l.n, l.what)
	}
}
