// Command litemaas is the whole system in one binary: `dev` to try it, `serve` for people,
// `worker` for more hands, `migrate` for the schema.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/litemaas/litemaas/models"
)

// The groups of commands in the help.
const (
	groupRun  = "run"
	groupHelp = "help"
)

// The exit statuses.
const (
	exitFailed   = 1
	exitUsage    = 2 // the command line or the configuration is wrong
	exitDecision = 3 // done, but a person has to decide something
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends us at once
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run is the program, without the process around it. It returns the exit status.
func run(ctx context.Context, args []string, out, errs io.Writer) int {
	cmd, begun := rootCmd(), false
	cmd.SetArgs(args)
	cmd.SetOut(out)
	cmd.SetErr(errs)
	cmd.PersistentPreRun = func(*cobra.Command, []string) { begun = true }
	at, err := cmd.ExecuteContextC(ctx)
	if err == nil {
		return 0
	}
	if e, ok := errors.AsType[*exitError](err); ok {
		return e.status // the command has told why
	}
	fmt.Fprintln(errs, "litemaas:", err)
	switch {
	case !begun:
		fmt.Fprintf(errs, "See `%s --help`.\n", at.CommandPath())
		return exitUsage
	case aboutConfig(err):
		fmt.Fprintln(errs, "`litemaas config` shows what is set and where, `litemaas config --example` what can be set.")
		return exitUsage
	}
	return exitFailed
}

// exitError ends a command that has said what there is to say.
type exitError struct{ status int }

func (e *exitError) Error() string { return fmt.Sprintf("exit status %d", e.status) }

// aboutConfig reports whether err blames a setting or a flag.
func aboutConfig(err error) bool {
	e, ok := errors.AsType[*models.Error](err)
	return ok && e.Kind == models.Invalid && e.Field != ""
}

func rootCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use: "litemaas", Short: "Models as a service in front of a LiteLLM proxy",
		Long: `Models as a service in front of a LiteLLM proxy: a catalogue that follows LiteLLM, served
by REST and kept by workflows on Temporal that survive anything.

To try it:             litemaas dev
With your own servers: litemaas config --example > litemaas.yaml, then doctor, migrate, serve

Settings come from litemaas.yaml, the environment and flags, each over the one before.

Exit status: 0 when all is well, 1 when something went wrong, 2 when the command line or
the configuration is wrong.`,
		Version: version(), SilenceErrors: true, SilenceUsage: true,
	}
	cmd.SetVersionTemplate("litemaas {{.Version}}\n")
	f := cmd.PersistentFlags()
	f.String("config", "", "configuration file (default litemaas.yaml, if there is one; environment: LITEMAAS_CONFIG)")
	f.StringArray("set", nil, "set any `key=value` of the configuration; may be repeated")
	f.String("log-level", "", "debug, info, warn or error")
	f.String("log-format", "", "text or json")
	cmd.AddGroup(&cobra.Group{ID: groupRun, Title: "To run it:"}, &cobra.Group{ID: groupHelp, Title: "To look after it:"})
	cmd.SetHelpCommandGroupID(groupHelp)
	cmd.SetCompletionCommandGroupID(groupHelp)
	cmd.AddCommand(devCmd(), serveCmd(), workerCmd(), migrateCmd(), syncCmd(), doctorCmd(), configCmd(),
		tokenCmd(), auditCmd(), keysetCmd(), usageCmd(), versionCmd())
	return cmd
}
