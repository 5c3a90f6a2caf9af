package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/litemaas/litemaas/models"
)

func syncCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use: "sync", Short: "Compare the catalogue with LiteLLM now, and show the report", GroupID: groupRun, Args: cobra.NoArgs,
		Long: `Compare the catalogue with LiteLLM now, and show the report. A running server does it, so
one must run: "litemaas serve" or "litemaas dev". If a sync is under way, it is joined.

A sync that finds much of LiteLLM's list gone takes nothing away: it asks. The report says
so, and how to answer. While LiteLLM is down, the sync waits for it. Interrupting this
command leaves the sync running.

` + serverHelp + `

Exit status: 0 when the sync completed, 1 when it failed or no server answers, 2 when the
command line or the configuration is wrong, 3 when it completed and a person has to decide.`,
		Example: `  litemaas sync
  litemaas sync --dry-run                                # change nothing
  litemaas sync --watch --url https://maas.example.com   # each step on a line of its own

Then: litemaas sync approve RUN or litemaas sync reject RUN, if it asks.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := dial(cmd)
			if err != nil {
				return err
			}
			return syncNow(cmd, s)
		},
	}
	f := cmd.Flags()
	f.Bool("dry-run", false, "compare and report, change nothing")
	f.Bool("force", false, "write every model that LiteLLM lists, changed or not")
	f.Bool("keep-missing", false, "leave models available that LiteLLM lists no more")
	f.Bool("watch", false, "print every step on a line; without it, only a terminal is shown how far the sync is")
	p := cmd.PersistentFlags()
	p.String("url", "", "`address` of the server (default: this machine, at the port of api.listen)")
	p.String("admin-key", "", "admin key; better set "+adminKeyEnv+", which other users of this machine cannot see")
	cmd.AddCommand(decideCmd(true), decideCmd(false), showCmd(), runsCmd(), statusCmd())
	return cmd
}

const serverHelp = `The server is found by --url, else by the port of api.listen on this machine. The admin key is
that of --admin-key, else of ` + adminKeyEnv + `, else the first of api.admin_keys, else the one that
"litemaas dev" left in .dev/admin-key, which is only sent to this machine.`

// syncNow starts a sync, follows it, and reports on it.
func syncNow(cmd *cobra.Command, s *server) error {
	var o models.SyncOptions
	for name, to := range map[string]*bool{"dry-run": &o.DryRun, "force": &o.Force, "keep-missing": &o.KeepMissing} {
		var err error
		if *to, err = cmd.Flags().GetBool(name); err != nil {
			return err
		}
	}
	watch, err := cmd.Flags().GetBool("watch")
	if err != nil {
		return err
	}
	id, err := s.startSync(cmd.Context(), o)
	if err != nil {
		return err
	}
	run, err := s.follow(cmd.Context(), id, newProgress(cmd.ErrOrStderr(), watch))
	if cmd.Context().Err() != nil {
		return models.Errorf(models.Pending, "the sync goes on; `litemaas sync show %s` shows how it went", id)
	}
	if err != nil {
		return err
	}
	return report(cmd.OutOrStdout(), run)
}

// report prints what came of a run; its error is the exit status that says so.
func report(w io.Writer, run syncRun) error {
	run.write(w)
	switch {
	case run.Status == models.SyncFailed:
		return &exitError{exitFailed}
	case run.asks():
		return &exitError{exitDecision}
	}
	return nil
}

func decideCmd(approve bool) *cobra.Command {
	name, does, so := "approve", "Remove the models that a sync missed and held back", "LiteLLM is looked at once more; what is still missing becomes unavailable."
	if !approve {
		name, does, so = "reject", "Keep the models that a sync missed and held back", "They stay available, and no sync asks about them again until LiteLLM has listed them."
	}
	cmd := &cobra.Command{
		Use: name + " RUN", Short: does, Args: cobra.ExactArgs(1),
		Long: does + `, as the answer to its
question. RUN is the run that asks, or any later one that still does.

` + so + "\n\n" + serverHelp,
		Example: "  litemaas sync " + name + ` 0199aa52-5b4e-7a3c-a3c4-5d0f4a6b7c8d --reason "seen in the change log"

Then: litemaas sync status`,
		RunE: func(cmd *cobra.Command, args []string) error {
			reason, err := cmd.Flags().GetString("reason")
			if err != nil {
				return err
			}
			s, err := dial(cmd)
			if err != nil {
				return err
			}
			said, err := s.decide(cmd.Context(), args[0], name, reason)
			if err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), said)
			return nil
		},
	}
	cmd.Flags().String("reason", "", "why, for the audit log")
	return cmd
}

func showCmd() *cobra.Command {
	return &cobra.Command{
		Use: "show RUN", Short: "Show the report of a run", Args: cobra.ExactArgs(1),
		Long:    "Show the report of a run, or how far it is. The exit status is that of \"litemaas sync\".\n\n" + serverHelp,
		Example: "  litemaas sync show 0199aa52-5b4e-7a3c-a3c4-5d0f4a6b7c8d",
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := dial(cmd)
			if err != nil {
				return err
			}
			run, err := s.run(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return report(cmd.OutOrStdout(), run)
		},
	}
}

func runsCmd() *cobra.Command {
	return &cobra.Command{
		Use: "runs", Short: "List the last runs", Args: cobra.NoArgs,
		Long:    "List the last 20 runs, the newest first.\n\n" + serverHelp,
		Example: "  litemaas sync runs\n\nThen: litemaas sync show RUN",
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := dial(cmd)
			if err != nil {
				return err
			}
			runs, err := s.runs(cmd.Context())
			if err != nil {
				return err
			}
			return writeRuns(cmd.OutOrStdout(), runs)
		},
	}
}

func statusCmd() *cobra.Command {
	return &cobra.Command{
		Use: "status", Short: "Show how the catalogue and LiteLLM are", Args: cobra.NoArgs,
		Long: `Show when the catalogue was last compared with LiteLLM and when it will be next, whether
LiteLLM answers, and whether something waits for a person.

` + serverHelp,
		Example: "  litemaas sync status",
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := dial(cmd)
			if err != nil {
				return err
			}
			h, err := s.health(cmd.Context())
			if err != nil {
				return err
			}
			h.write(cmd.OutOrStdout())
			if h.Proposal == nil {
				return nil
			}
			run, err := s.asking(cmd.Context(), *h.Proposal)
			if run != "" {
				fmt.Fprintf(cmd.OutOrStdout(), "%-12s litemaas sync approve %s, or reject\n", "to answer", run)
			}
			return err
		},
	}
}
