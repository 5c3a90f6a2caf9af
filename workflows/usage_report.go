package workflows

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/litemaas/litemaas/models"
)

// usageDetails says how far a walk is, and how the windows compared.
func usageDetails(w *UsageWalk) string {
	var b strings.Builder
	switch r := w.Report; {
	case w.At.Before(w.Until):
		fmt.Fprintf(&b, "LiteLLM's log is read %s, and is at **%s UTC**. While LiteLLM does not answer, the run waits for it: see *Pending Activities*.\n",
			windowName(w.From, w.Until), w.At.Format(time.DateTime))
	default:
		fmt.Fprintf(&b, "LiteLLM's log is in the ledger up to **%s UTC**: %d calls, of which **%d were missing**, %d differed.\n",
			w.Until.Format(time.DateTime), r.Read, r.Missing, r.Corrected)
	}
	if w.Days {
		b.WriteString("\n**This LiteLLM has no log of single calls** (`/spend/logs/v2`). What nobody pushed is known by its sums of days only.\n")
	}
	if w.Report.Strange > 0 {
		fmt.Fprintf(&b, "\nEntries at LiteLLM that the ledger cannot take: **%d**.\n", w.Report.Strange)
	}
	if len(w.Report.Last) == 0 {
		return b.String()
	}
	b.WriteString("\n| window (UTC) | at LiteLLM | missing | corrected | only in the ledger | push = pull |\n|---|---|---|---|---|---|\n")
	for _, u := range slices.Backward(w.Report.Last) {
		fmt.Fprintf(&b, "| %s | %d | %d | %d | %d | %s |\n", windowName(u.From.UTC(), u.Until.UTC())[len("from "):], u.Read, u.Missing, u.Corrected, u.Extra, agreement(u))
	}
	return b.String()
}

// agreement says whether what was pushed is what LiteLLM's log has.
func agreement(u models.UsageWindow) string {
	switch {
	case u.Source == models.UsageDaily:
		return "sums of a day"
	case u.Missing == 0 && u.Corrected == 0 && u.Extra == 0:
		return "yes"
	}
	return "**no**"
}
