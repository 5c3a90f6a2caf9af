package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
)

func configCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use: "config", Short: "Show what is configured, and where", GroupID: groupHelp, Args: cobra.NoArgs,
		Long: `Show every setting as it counts, secrets masked, with where its value came from:
default, a file, a name in the environment, or a flag.

A setting comes from litemaas.yaml (or the file of --config), from the environment as
LITEMAAS_ and its key in capitals with _ for the dots, or as a name that LiteMaaS uses,
and from the command line, each over the one before. An empty value counts as not set.`,
		Example: `  litemaas config
  litemaas config --example > litemaas.yaml
  LITEMAAS_LITELLM_TIMEOUT=1m litemaas config --set sync.interval=2h

Then: litemaas doctor, which checks what the settings point at.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if example, err := cmd.Flags().GetBool("example"); err != nil || example {
				writeExample(cmd.OutOrStdout())
				return err
			}
			cfg, err := load(cmd)
			if err != nil {
				return err
			}
			cfg.write(cmd.OutOrStdout())
			return nil
		},
	}
	cmd.Flags().Bool("example", false, "print a litemaas.yaml with every setting, its default and its names")
	return cmd
}

// write lists every setting with its value and where that came from.
func (c config) write(w io.Writer) {
	for _, s := range settings {
		v := c.values[s.key]
		text := s.kind.shown(v.text)
		if text == "" {
			text = "-"
		}
		fmt.Fprintf(w, "%-26s %-34s # %s\n", s.key+":", text, v.origin)
	}
	for _, s := range strays() {
		fmt.Fprintf(w, "# %s\n", s)
	}
}

// writeExample writes a file that sets every setting to its default; those without one are
// comments.
func writeExample(w io.Writer) {
	fmt.Fprint(w, `# Configuration of LiteMaaS on Temporal. Every value below is the default; a line that begins
# with # is not set. Each setting can be given in the environment too, by the names in capitals,
# which count more than this file; after them is said what it must be.
`)
	section := ""
	for _, s := range settings {
		of, name, ok := strings.Cut(s.key, ".")
		indent := "  "
		if !ok {
			of, name, indent = "", s.key, ""
		}
		fmt.Fprintln(w)
		if of != section {
			fmt.Fprintf(w, "%s:\n", of)
			section = of
		}
		for line := range strings.SplitSeq(s.what, "\n") {
			fmt.Fprintf(w, "%s# %s\n", indent, line)
		}
		names := []string{s.env()}
		for _, a := range s.aliases {
			names = append(names, a.name)
		}
		fmt.Fprintf(w, "%s# %s: %s.\n", indent, strings.Join(names, ", "), s.kind.right)
		if s.def == "" {
			fmt.Fprintf(w, "%s# %s:\n", indent, name)
			continue
		}
		fmt.Fprintf(w, "%s%s: %s\n", indent, name, quote(s.def))
	}
}

// quote is text as YAML takes it for nothing but text, where it has to be.
func quote(text string) string {
	if strings.ContainsAny(text[:1], ":#&*!|>'\"%@`{[-?") {
		return `"` + text + `"`
	}
	return text
}
