package main

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
)

func keysetStatusCmd() *cobra.Command {
	return &cobra.Command{
		Use: "status", Short: "Show which key has sealed how much", Args: cobra.NoArgs,
		Long: `Show how many values in the database, and in Redis if sessions are there, each key of the
keyset has sealed, as they say themselves: nothing is opened. It says by which key of a KMS the keyset is encrypted, too. A key that has sealed nothing may be dropped, unless a backup
from before may be needed. What no key of the keyset has sealed cannot be opened.`,
		Example: `  litemaas keyset status

Then: litemaas keyset rotate, if an old key has sealed something.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := load(cmd, needsDatabase, needsKeyset)
			if err != nil {
				return err
			}
			sealer, err := cfg.Secrets.sealer()
			if err != nil {
				return err
			}
			st, closed, err := cfg.openSealed(cmd.Context())
			if err != nil {
				return err
			}
			defer closed()
			counts, err := st.CountSealed(cmd.Context())
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s\n\n", cfg.Secrets.protection())
			return writeSealed(cmd.OutOrStdout(), sealer.Keys(), st.SealedPlaces(), counts)
		},
	}
}

// protection says how the keyset is kept.
func (c secretsConfig) protection() string {
	if c.KMSURI == "" {
		return "The keyset (" + c.from() + ") is in clear text: who can read it can open everything."
	}
	return "The keyset (" + c.from() + ") is encrypted by " + c.KMSURI + "."
}

// writeSealed prints a line for each key, and one for what none of them sealed.
func writeSealed(w io.Writer, keys []models.SealingKey, places []string, counts []store.SealedCount) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "KEY\tDOES\t%s\n", strings.Join(places, "\t"))
	line := func(key, does string, sealed func(head []byte) bool) (all int) {
		fmt.Fprintf(t, "%s\t%s", key, does)
		for _, place := range places {
			n := 0
			for _, c := range counts {
				if c.Place == place && sealed(c.Head) {
					n += c.N
				}
			}
			fmt.Fprintf(t, "\t%d", n)
			all += n
		}
		fmt.Fprintln(t)
		return all
	}
	idle := 0
	for i, k := range keys {
		does := "opens"
		if i == 0 {
			does = "seals"
		}
		if line(k.Name, does, func(head []byte) bool { return bytes.Equal(head, k.Mark) }) == 0 && i > 0 {
			idle++
		}
	}
	none := line("none of these", "-", func(head []byte) bool {
		for _, k := range keys {
			if bytes.Equal(head, k.Mark) {
				return false
			}
		}
		return true
	})
	if err := t.Flush(); err != nil {
		return err
	}
	if idle > 0 && idle == len(keys)-1 {
		fmt.Fprintln(w, "\nThe keys that only open have sealed nothing: litemaas keyset narrow")
	}
	if none > 0 {
		fmt.Fprintf(w, "\n%s cannot be opened: the key that sealed them is not in the keyset.\n", count(none, "value"))
	}
	return nil
}
