package workflows

import (
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/litemaas/litemaas/activities"
	"github.com/litemaas/litemaas/models"
)

// UsageWalk is a reading of LiteLLM's log, window by window, and how far it is: what a run that has
// grown long hands on to the next.
type UsageWalk struct {
	From, Until time.Time // what is to be read
	At          time.Time // up to where it was
	Days        bool      `json:",omitzero"` // LiteLLM has no log, but sums of days
	Report      UsageReport
}

// UsageReport says what was read, and how it compared with the ledger.
type UsageReport struct {
	From, Until time.Time
	Windows     int
	Read        int                  // entries at LiteLLM
	Missing     int                  // that were not in the ledger, and are now
	Corrected   int                  // that differed
	Extra       int                  // in the ledger, and not at LiteLLM
	Strange     int                  `json:",omitzero"`  // at LiteLLM, and nothing that the ledger takes
	Due         bool                 `json:",omitzero"`  // budgets had to be judged
	Cascades    int                  `json:",omitzero"`  // that LiteLLM follows now, because quotas were used up
	Last        []models.UsageWindow `json:",omitempty"` // the last that were read
}

// shownWindows is how many windows a report shows.
const shownWindows = 12

func newUsageWalk(from, until time.Time) *UsageWalk {
	return &UsageWalk{From: from, Until: until, At: from, Report: UsageReport{From: from, Until: from}}
}

// read reads on, and says whether there is more to be read in a new run.
func (w *UsageWalk) read(ctx workflow.Context) (more bool, err error) {
	workflow.SetCurrentDetails(ctx, usageDetails(w))
	step := usageStep(w.Until.Sub(w.From))
	for w.At.Before(w.Until) {
		if workflow.GetInfo(ctx).GetCurrentHistoryLength() > manyEvents {
			return true, nil
		}
		until := earlier(w.At.Truncate(step).Add(step), w.Until)
		if !w.Days {
			if err := w.readWindow(ctx, w.At, until); err != nil {
				return false, err
			}
		}
		if w.Days { // also if that was only found out just now
			if until, err = w.readDay(ctx); err != nil {
				return false, err
			}
		}
		w.At, w.Report.Until = until, until
		workflow.SetCurrentDetails(ctx, usageDetails(w))
	}
	return false, nil
}

// readWindow reads a window of LiteLLM's log; one that has too much in it in two halves.
func (w *UsageWalk) readWindow(ctx workflow.Context, from, until time.Time) error {
	res, err := bulk(ctx, "Read the calls "+windowName(from, until), usage.ReadUsage, activities.ReadUsageInput{From: from, Until: until})
	switch {
	case err != nil:
		return err
	case res.NoLog:
		w.Days = true
		return nil
	case res.Split:
		half := from.Add(until.Sub(from) / 2).Truncate(time.Second)
		if err := w.readWindow(ctx, from, half); err != nil {
			return err
		}
		return w.readWindow(ctx, half, until)
	}
	return w.follow(ctx, res)
}

// readDay reads LiteLLM's sums of the day that the walk is at, and says up to where that goes.
func (w *UsageWalk) readDay(ctx workflow.Context) (time.Time, error) {
	const day = 24 * time.Hour
	from := w.At.Truncate(day)
	until := earlier(from.Add(day), w.Until)
	res, err := bulk(ctx, "Read the sums of "+from.Format(time.DateOnly), usage.ReadUsageDay, activities.ReadUsageInput{From: from, Until: until})
	if err != nil {
		return until, err
	}
	return until, w.follow(ctx, res)
}

// follow takes note of what was read, and starts what follows from it.
func (w *UsageWalk) follow(ctx workflow.Context, res activities.ReadUsageResult) error {
	r := &w.Report
	r.Windows++
	r.Read += res.Window.Read
	r.Missing += res.Window.Missing
	r.Corrected += res.Window.Corrected
	r.Extra += res.Window.Extra
	r.Strange += res.Strange
	r.Due = r.Due || res.Due
	r.Cascades += len(res.Cascades)
	if r.Last = append(r.Last, res.Window); len(r.Last) > shownWindows {
		r.Last = r.Last[1:]
	}
	if res.Due {
		if err := judgeDueBudgets(ctx); err != nil {
			return err
		}
	}
	return startCascades(ctx, res.Cascades)
}

// judgeDueBudgets has the budgets judged that are due: by a run of its own, or by the one that is
// open, which looks once more. Should that end in this moment, the sweep finds them.
func judgeDueBudgets(ctx workflow.Context) error {
	in := EnforceBudgetsInput{}
	err := launch(ctx, EnforceBudgets, in).GetChildWorkflowExecution().Get(ctx, nil)
	if !temporal.IsWorkflowExecutionAlreadyStartedError(err) {
		return err
	}
	if err := workflow.SignalExternalWorkflow(ctx, in.WorkflowID(), "", RowChanged, nil).Get(ctx, nil); err != nil {
		workflow.GetLogger(ctx).Info("the judgement of budgets has just ended", "error", err)
	}
	return nil
}

// windowName is a window for people.
func windowName(from, until time.Time) string {
	to := until.Format("15:04:05")
	if from.Truncate(24*time.Hour) != until.Truncate(24*time.Hour) {
		to = until.Format(time.DateTime)
	}
	return "from " + from.Format(time.DateTime) + " to " + to
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
