package workflows

import (
	"fmt"
	"strings"

	"github.com/litemaas/litemaas/activities"
	"github.com/litemaas/litemaas/models"
)

// What a person reads on a run's page in the Temporal UI, in Markdown.

func fetchingDetails(in activities.BeginSyncRunInput) string {
	return heading(in.Kind, in.Options) + "**Reading LiteLLM's model list.**\n\n" +
		"If LiteLLM does not answer, the run waits for it and tries again: the number of attempts and the last failure are under *Pending Activities*."
}

func mergingDetails(f activities.FetchResult) string {
	return fmt.Sprintf("LiteLLM lists **%d models** in %d deployments.\n\n**Comparing them with the catalogue.**", f.Listed, f.Deployments)
}

func followingModelsDetails(c models.SyncCounts) string {
	return fmt.Sprintf("The catalogue is up to date: %d models are gone, %d are back.\n\n**Moving the subscriptions to them.** Their keys follow by runs of their own, `end-subscription/…` and `restore-subscription/…`.",
		c.Gone, c.Returned)
}

const fetchingUsersDetails = "The catalogue is up to date.\n\n**Reading LiteLLM's users.**"

func comparingUsersDetails(f activities.FetchUsersResult) string {
	return fmt.Sprintf("The catalogue is up to date. LiteLLM lists **%d users**.\n\n**Comparing them with ours.**", f.Listed)
}

const fetchingKeysDetails = "The catalogue is up to date, the users are compared.\n\n**Reading LiteLLM's API keys.**"

func comparingKeysDetails(f activities.FetchKeysResult) string {
	return fmt.Sprintf("The catalogue is up to date, the users are compared. LiteLLM lists **%d API keys**.\n\n**Comparing them with ours, and with the subscriptions of their owners.**", f.Listed)
}

func failedDetails(why string) string {
	return "**Failed**: " + escape(why) + "\n\nWhat it had not yet written is as it was. Mend the cause, then start a new sync: `litemaas sync`."
}

func reportDetails(r activities.SyncReport) string {
	var b strings.Builder
	b.WriteString(heading(r.Kind, r.Options))
	c := r.Counts
	table(&b, "models", c.Listed, c.Lines())
	if len(r.Examples) > 0 {
		b.WriteString("\n**What differed**\n\n")
		for _, e := range r.Examples {
			fmt.Fprintf(&b, "- %s: %s\n", e.Kind, difference(e))
		}
		if r.Differences > len(r.Examples) {
			fmt.Fprintf(&b, "- … and %d more: `GET /api/v1/sync/runs/%s`\n", r.Differences-len(r.Examples), r.RunID)
		}
	}
	b.WriteString(usersReport(r))
	b.WriteString(keysReport(r))
	if len(r.Problems) > 0 {
		b.WriteString("\n**Could not be read**\n\n")
		for _, p := range r.Problems {
			fmt.Fprintf(&b, "- %s\n", escape(p))
		}
	}
	b.WriteString(question(r))
	return b.String()
}

// table is what there was of something.
func table(b *strings.Builder, of string, listed int, lines []models.CountLine) {
	fmt.Fprintf(b, "| %s | |\n|---|---|\n| listed by LiteLLM | %d |\n", of, listed)
	for _, l := range lines {
		fmt.Fprintf(b, "| %s | %d |\n", l.Name, l.N)
	}
}

// usersReport is the part about users; empty when the run did not look at any.
func usersReport(r activities.SyncReport) string {
	c := r.Users
	if c == (models.UserCounts{}) {
		return ""
	}
	var b strings.Builder
	b.WriteString("\n")
	table(&b, "users", c.Listed, c.Lines())
	if len(r.UserExamples) > 0 {
		b.WriteString("\n")
	}
	for _, e := range r.UserExamples {
		fmt.Fprintf(&b, "- %s: `%s` %s\n", e.Kind, strings.ReplaceAll(e.UserID, "`", "'"), escape(strings.Join(e.Fields, ", ")))
	}
	if n := r.UserDifferences - len(r.UserExamples); n > 0 {
		fmt.Fprintf(&b, "- … and %d more\n", n)
	}
	if c.Missing+c.Different > 0 && !r.Options.DryRun {
		fmt.Fprintf(&b, "\nThe missing and the different are **written to LiteLLM again**, by the run `%s`.\n", ReconcileUsersInput{}.WorkflowID())
	}
	return b.String()
}

// keysReport is the part about API keys; empty when the run did not look at any.
func keysReport(r activities.SyncReport) string {
	c := r.Keys
	if c == (models.KeyCounts{}) {
		return ""
	}
	var b strings.Builder
	b.WriteString("\n")
	table(&b, "API keys", c.Listed, c.Lines())
	if len(r.KeyExamples) > 0 {
		b.WriteString("\n")
	}
	for _, e := range r.KeyExamples {
		fmt.Fprintf(&b, "- %s: `%s` %s\n", e.Kind, strings.ReplaceAll(e.Key, "`", "'"), escape(strings.Join(e.Fields, ", ")))
	}
	if n := r.KeyDifferences - len(r.KeyExamples); n > 0 {
		fmt.Fprintf(&b, "- … and %d more: `GET /api/v1/sync/runs/%s/keys`\n", n, r.RunID)
	}
	if c.Missing+c.Different > 0 && !r.Options.DryRun {
		fmt.Fprintf(&b, "\nThe missing and the different are **written to LiteLLM again**, by the run `%s`.\n", ReconcileKeysInput{}.WorkflowID())
	}
	if c.Disputed > 0 {
		b.WriteString("\n**A person has to decide** whose word counts: `GET /api/v1/sync/conflicts`. Until then these fields stay as they are.\n")
	}
	if c.Suspect > 0 {
		b.WriteString("\nWhich keys claim to be ours, and what becomes of them: `GET /api/v1/sync/orphans`.\n")
	}
	if r.KeysNote != "" {
		fmt.Fprintf(&b, "\n**%s.**\n", escape(r.KeysNote))
	}
	return b.String()
}

// question says what a run waits for, and how to answer.
func question(r activities.SyncReport) string {
	if r.Proposal == "" {
		return ""
	}
	return fmt.Sprintf(`
**A person has to decide.** %s. Nothing was taken away; %d models are proposed for removal until %s.

- to remove them: %s
- to keep them: %s
`, escape(r.Proposal), r.Counts.Held, r.ProposalExpires.Format("2006-01-02 15:04 MST"),
		"`litemaas sync approve "+r.RunID.String()+"`", "`litemaas sync reject "+r.RunID.String()+"`")
}

func heading(kind models.SyncKind, o models.SyncOptions) string {
	title := map[models.SyncKind]string{
		models.SyncFull: "Full sync", models.SyncOne: "Sync of one model", models.SyncRemovals: "Approved removals",
	}[kind]
	var notes []string
	if o.DryRun {
		notes = append(notes, "dry run: nothing is written")
	}
	if o.Force {
		notes = append(notes, "every model is rewritten")
	}
	if o.KeepMissing {
		notes = append(notes, "missing models are kept")
	}
	if len(notes) > 0 {
		title += " (" + strings.Join(notes, ", ") + ")"
	}
	return "### " + title + "\n\n"
}

// difference is one line about one model.
func difference(d models.Difference) string {
	line := "`" + strings.ReplaceAll(d.ModelID, "`", "'") + "`"
	for i, f := range d.Fields {
		if i == 3 {
			return line + fmt.Sprintf(", and %d fields more", len(d.Fields)-i)
		}
		line += fmt.Sprintf(", %s %s → %s", escape(f.Field), escape(short(f.Old)), escape(short(f.New)))
	}
	return line
}

func short(raw []byte) string {
	if s := string(raw); len(s) <= 60 {
		return s
	}
	return strings.ToValidUTF8(string(raw[:60]), "") + "…"
}

// escape keeps text from being read as Markdown.
func escape(s string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "_", `\_`, "`", "'", "<", "&lt;", "|", `\|`, "[", `\[`, "\n", " ").Replace(s)
}

// outcome is what a person filters by.
func outcome(r activities.SyncReport) string {
	c := r.Counts
	switch {
	case c.Held > 0:
		return "waiting for a decision"
	case c.Added+c.Changed+c.Returned+c.Gone+r.Users.Missing+r.Users.Different+r.Keys.Missing+r.Keys.Different > 0:
		return "changed"
	}
	return "unchanged"
}
