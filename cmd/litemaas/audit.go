package main

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
)

func auditCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use: "audit", Short: "Look after the audit log", GroupID: groupHelp, Args: cobra.NoArgs,
		Long:    "Look after the audit log: who did what, when, from where. It is read and exported by the API,\nGET /api/v1/admin/audit.",
		Example: "  litemaas audit verify",
	}
	cmd.AddCommand(auditVerifyCmd())
	return cmd
}

func auditVerifyCmd() *cobra.Command {
	var from string
	cmd := &cobra.Command{
		Use: "verify", Short: "See whether anybody tampered with the audit log", Args: cobra.NoArgs,
		Long: `See whether anybody tampered with the audit log. Each row holds the hash of the one before,
so that a row that was changed, taken out or moved is found. The hashes are made anew here,
not by the database.

Who can write the whole log anew can make it hold again. A mark that was kept elsewhere
shows that, too: print one from time to time, and begin with it later.

Exit status: 0 when the log holds, 1 when it does not.`,
		Example: `  litemaas audit verify
  litemaas audit verify --from 5231:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			mark, err := parseMark(from)
			if err != nil {
				return err
			}
			cfg, err := load(cmd, needsDatabase)
			if err != nil {
				return err
			}
			st, err := store.Open(cmd.Context(), cfg.Database)
			if err != nil {
				return err
			}
			defer st.Close()
			report, err := st.VerifyAudit(cmd.Context(), mark)
			if err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			for _, b := range report.Breaks {
				fmt.Fprintf(out, "row %d: %s: %s\n", b.ID, b.Kind, b.Why)
			}
			if report.More {
				fmt.Fprintln(out, "and more; the log was not read to its end")
			}
			if n := len(report.Breaks); n > 0 {
				return models.Errorf(models.Conflict, "the audit log does not hold: see the %s above", count(n, "row"))
			}
			fmt.Fprintf(out, "%s of the audit log hold together\n", count(report.Rows, "row"))
			if report.To.ID > 0 {
				fmt.Fprintf(out, "mark %d:%s\n", report.To.ID, hex.EncodeToString(report.To.Hash))
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&from, "from", "", "begin with a `mark` that was printed before")
	return cmd
}

// parseMark reads number:hash; an empty text is the beginning of the log.
func parseMark(text string) (models.AuditMark, error) {
	if text == "" {
		return models.AuditMark{}, nil
	}
	number, hash, _ := strings.Cut(text, ":")
	id, err := strconv.ParseInt(number, 10, 64)
	sum, hexErr := hex.DecodeString(hash)
	if err != nil || hexErr != nil || id < 1 || len(sum) != 32 {
		return models.AuditMark{}, models.Errorf(models.Invalid, "--from must be a mark as `litemaas audit verify` prints it: a number, a colon, and 64 hexadecimal digits").On("--from")
	}
	return models.AuditMark{ID: id, Hash: sum}, nil
}
