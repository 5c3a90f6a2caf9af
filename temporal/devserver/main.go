// Command devserver is a Temporal server with its web UI in one process, for development and
// for tests. Its command line is that of `temporal server start-dev`, as far as it goes.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/temporalio/ui-server/v2/server/version"
	"go.temporal.io/server/common/headers"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // so that a second signal ends a slow stop
	if err := rootCmd().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "devserver:", err)
		os.Exit(1)
	}
}

func rootCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use: "devserver", Short: "A Temporal server for development and tests",
		Version:       fmt.Sprintf("for Temporal %s with UI %s", headers.ServerVersion, version.UIVersion),
		SilenceErrors: true, SilenceUsage: true,
	}
	cmd.CompletionOptions.DisableDefaultCmd = true
	server := &cobra.Command{
		Use: "server", Short: "Run the server", Args: cobra.NoArgs, // or a misspelt command would be no error
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	server.AddCommand(startDevCmd())
	cmd.AddCommand(server)
	return cmd
}

func startDevCmd() *cobra.Command {
	o := defaults()
	cmd := &cobra.Command{
		Use: "start-dev", Short: "Run a server and its UI until SIGINT or SIGTERM", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx := cmd.Context()
			if o.stopWithStdin {
				ctx = untilEOF(ctx, cmd.InOrStdin())
			}
			return run(ctx, o, cmd.OutOrStdout())
		},
	}
	o.register(cmd.Flags())
	return cmd
}

// run serves until ctx is done. What it writes to out ends with a line that begins with
// "Ready"; by then the server answers.
func run(ctx context.Context, o *options, out io.Writer) error {
	s, err := start(ctx, o)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "Temporal  %s\n", o.frontend())
	if !o.headless {
		fmt.Fprintf(out, "UI        http://%s\n", o.ui())
	}
	fmt.Fprintf(out, "Data      %s\nReady\n", o.data())
	<-ctx.Done()
	return s.stop()
}

// untilEOF returns a context that is also done when r ends: when r is a pipe that the parent
// holds, however the parent dies.
func untilEOF(ctx context.Context, r io.Reader) context.Context {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		defer cancel()
		_, _ = io.Copy(io.Discard, r) // an error is as good as an end
	}()
	return ctx
}
