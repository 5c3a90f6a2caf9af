package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/litemaas/litemaas/models"
)

// mostDifferences is how many differences a report shows.
const mostDifferences = 20

// syncRun is a run as the API shows it.
type syncRun struct {
	ID      string             `json:"id"`
	Kind    models.SyncKind    `json:"kind"`
	Trigger models.SyncTrigger `json:"trigger"`
	Actor   string             `json:"actor"`
	ModelID string             `json:"modelId"`
	Options struct {
		DryRun          bool `json:"dryRun"`
		ForceUpdate     bool `json:"forceUpdate"`
		MarkUnavailable bool `json:"markUnavailable"`
	} `json:"options"`
	Status   models.SyncStatus `json:"status"`
	Phase    models.SyncPhase  `json:"phase"`
	Progress struct {
		Fetched  int `json:"fetched"`
		Expected int `json:"expected"`
	} `json:"progress"`
	Counts      models.SyncCounts  `json:"counts"` // its names differ from the API's by their capitals only
	Users       *models.UserCounts `json:"users"`  // nil until it has looked at them
	Keys        *models.KeyCounts  `json:"keys"`   // likewise
	KeysNote    string             `json:"keysNote"`
	Problems    []string           `json:"problems"`
	Failure     string             `json:"failure"`
	StartedAt   time.Time          `json:"startedAt"`
	FinishedAt  *time.Time         `json:"finishedAt"`
	TemporalURL string             `json:"temporalUrl"`
	ProposalID  string             `json:"proposalId"`
	Proposal    *proposal          `json:"proposal"`
	Differences struct {
		Data []struct {
			ModelID string                `json:"modelId"`
			Kind    models.DifferenceKind `json:"kind"`
			Fields  []models.FieldChange  `json:"fields"`
		} `json:"data"`
		Pagination struct {
			Total int `json:"total"`
		} `json:"pagination"`
	} `json:"differences"`
}

// proposal is a removal that waits for a person, or was answered.
type proposal struct {
	ID        string                `json:"id"`
	Status    models.ProposalStatus `json:"status"`
	Why       string                `json:"why"`
	Models    int                   `json:"models"`
	ExpiresAt time.Time             `json:"expiresAt"`
}

// syncHealth is how syncs are.
type syncHealth struct {
	Status      string   `json:"status"`
	Issues      []string `json:"issues"`
	LastSuccess *struct {
		RunID      string  `json:"runId"`
		AgeSeconds float64 `json:"ageSeconds"`
	} `json:"lastSuccess"`
	Running   *syncRun   `json:"running"`
	NextRunAt *time.Time `json:"nextRunAt"`
	LiteLLM   struct {
		Reachable bool    `json:"reachable"`
		LatencyMS float64 `json:"latencyMs"`
		Version   string  `json:"version"`
		Failure   string  `json:"failure"`
	} `json:"litellm"`
	Proposal *proposal `json:"proposal"`
}

// asks reports whether a person has to decide about what the run found.
func (r syncRun) asks() bool {
	return r.Kind == models.SyncFull && r.Proposal != nil && r.Proposal.Status == models.ProposalOpen
}

// step is what a running run is at, in words.
func (r syncRun) step() string {
	switch p := r.Progress; {
	case r.Phase == models.SyncMerging:
		return fmt.Sprintf("comparing %s with the catalogue", count(p.Fetched, "deployment"))
	case p.Expected > 0:
		return fmt.Sprintf("read %d of %s", p.Fetched, count(p.Expected, "deployment"))
	}
	return "waiting for LiteLLM's model list"
}

// title says which run it is and how it went.
func (r syncRun) title() string {
	what := map[models.SyncKind]string{
		models.SyncFull: "Sync", models.SyncOne: "Sync of " + plain(r.ModelID), models.SyncRemovals: "Removal",
	}[r.Kind]
	if r.Options.DryRun {
		what = "Dry run"
	}
	if r.FinishedAt == nil {
		return fmt.Sprintf("%s %s is running: %s", what, r.ID, r.step())
	}
	return fmt.Sprintf("%s %s %s after %s", what, r.ID, r.Status, short(r.FinishedAt.Sub(r.StartedAt)))
}

// write prints the report.
func (r syncRun) write(w io.Writer) {
	fmt.Fprintln(w, r.title())
	if r.Failure != "" {
		fmt.Fprintf(w, "\n%s\n", plain(r.Failure))
	}
	if r.Status == models.SyncCompleted {
		r.writeCounts(w)
		r.writeDifferences(w)
	}
	if len(r.Problems) > 0 {
		fmt.Fprintln(w, "\nCould not be read:")
		for _, p := range r.Problems {
			fmt.Fprintf(w, "  %s\n", plain(p))
		}
	}
	if r.asks() {
		fmt.Fprintf(w, `
A person has to decide. %s. Nothing was taken away.
Proposed for removal, until %s: %s.
  to remove them:  litemaas sync approve %s
  to keep them:    litemaas sync reject %s
`, plain(r.Proposal.Why), r.Proposal.ExpiresAt.Local().Format(time.RFC1123), count(r.Proposal.Models, "model"), r.ID, r.ID)
	}
	if r.TemporalURL != "" {
		fmt.Fprintf(w, "\nIn Temporal: %s\n", r.TemporalURL)
	}
}

func (r syncRun) writeCounts(w io.Writer) {
	fmt.Fprintf(w, "\n  %-26s %6d\n", "listed by LiteLLM", r.Counts.Listed)
	for _, l := range r.Counts.Lines() {
		fmt.Fprintf(w, "  %-26s %6d\n", l.Name, l.N)
	}
	then := ": they are being put right"
	if r.Options.DryRun {
		then = ""
	}
	if u := r.Users; u != nil && u.Missing+u.Different > 0 {
		fmt.Fprintf(w, "\nOf our users, LiteLLM lacked %d and held %d otherwise%s.\n", u.Missing, u.Different, then)
	}
	if k := r.Keys; k != nil && k.Missing+k.Different > 0 {
		fmt.Fprintf(w, "\nOf our API keys, LiteLLM lacked %d, and %d were not as they should be%s.\n", k.Missing, k.Different, then)
	}
	if k := r.Keys; k != nil && k.Disputed > 0 {
		fmt.Fprintf(w, "A person has to decide whose word counts about %d of them: GET /api/v1/sync/conflicts\n", k.Disputed)
	}
	if r.KeysNote != "" {
		fmt.Fprintf(w, "\n%s.\n", plain(r.KeysNote))
	}
}

func (r syncRun) writeDifferences(w io.Writer) {
	d := r.Differences
	if len(d.Data) == 0 {
		return
	}
	fmt.Fprintln(w, "\nWhat differed:")
	for _, one := range d.Data {
		fields := make([]string, len(one.Fields))
		for i, f := range one.Fields {
			fields[i] = fmt.Sprintf("%s %s → %s", plain(f.Field), clipped(f.Old), clipped(f.New))
		}
		fmt.Fprintln(w, strings.TrimRight(fmt.Sprintf("  %-9s %s  %s", one.Kind, plain(one.ModelID), strings.Join(fields, ", ")), " "))
	}
	if more := d.Pagination.Total - len(d.Data); more > 0 {
		fmt.Fprintf(w, "  … and %d more: GET /api/v1/sync/runs/%s\n", more, r.ID)
	}
}

// writeRuns lists runs, a line each.
func writeRuns(w io.Writer, runs []syncRun) error {
	if len(runs) == 0 {
		_, err := fmt.Fprintln(w, "There were no runs yet: litemaas sync")
		return err
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "STARTED\tRUN\tSTATUS\tKIND\tTRIGGER\tADDED\tCHANGED\tGONE\tHELD")
	for _, r := range runs {
		what := string(r.Kind)
		if r.Options.DryRun {
			what = "dry run"
		}
		c := r.Counts
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%d\t%d\t%d\t%d\n", r.StartedAt.Local().Format(time.DateTime), r.ID, r.Status, what, r.Trigger,
			c.Added, c.Changed+c.Returned, c.Gone, c.Held)
	}
	return t.Flush()
}

// write prints how syncs are.
func (h syncHealth) write(w io.Writer) {
	line := func(name, format string, args ...any) {
		fmt.Fprintf(w, "%-12s %s\n", name, fmt.Sprintf(format, args...))
	}
	line("status", "%s", plain(h.Status))
	if h.LastSuccess != nil {
		line("last sync", "%s ago (%s)", short(time.Duration(h.LastSuccess.AgeSeconds*float64(time.Second))), h.LastSuccess.RunID)
	}
	if h.Running != nil {
		line("running", "%s: %s", h.Running.ID, h.Running.step())
	}
	if h.NextRunAt != nil {
		line("next sync", "%s", h.NextRunAt.Local().Format(time.RFC1123))
	}
	if h.LiteLLM.Reachable {
		line("litellm", "%s", strings.TrimSpace(fmt.Sprintf("answers in %.1f ms %s", h.LiteLLM.LatencyMS, plain(h.LiteLLM.Version))))
	}
	for _, issue := range h.Issues {
		line("issue", "%s", plain(issue))
	}
}

// progress tells a person who waits how far a run is: on a terminal in one line that changes,
// else, if that is wanted, in a line for each step.
type progress struct {
	w        io.Writer
	terminal bool
	lines    bool
	last     string
}

func newProgress(w io.Writer, lines bool) *progress {
	f, ok := w.(*os.File)
	if ok {
		info, err := f.Stat()
		ok = err == nil && info.Mode()&os.ModeCharDevice != 0
	}
	return &progress{w: w, terminal: ok && !lines, lines: lines}
}

// wipe goes to the line's start and empties it.
const wipe = "\r\033[K"

func (p *progress) step(text string) {
	if text == p.last {
		return
	}
	p.last = text
	switch {
	case p.terminal:
		fmt.Fprint(p.w, wipe+text)
	case p.lines:
		fmt.Fprintln(p.w, text)
	}
}

// end leaves the line empty for what comes next.
func (p *progress) end() {
	if p.terminal && p.last != "" {
		fmt.Fprint(p.w, wipe)
	}
}

// plain is text from outside without what a terminal would obey.
func plain(text string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, text)
}

// clipped is a value as far as it fits into a line.
func clipped(raw json.RawMessage) string {
	const most = 60
	if r := []rune(plain(string(raw))); len(r) > most {
		return string(r[:most]) + "…"
	}
	return cmp.Or(plain(string(raw)), "-")
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// short is a length of time as a person says it.
func short(d time.Duration) string {
	if d < time.Minute {
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	return brief(d.Round(time.Second))
}
