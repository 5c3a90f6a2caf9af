package workflows

import (
	"fmt"
	"strings"

	"go.temporal.io/sdk/workflow"

	"github.com/litemaas/litemaas/activities"
	"github.com/litemaas/litemaas/models"
)

// ResealSecretsInput says which key of the keyset shall have sealed everything.
type ResealSecretsInput struct {
	Key   string // its name; it must be the one that seals, on every worker
	Actor models.Actor

	At   ResealPlace         // where a run before this one left off
	Done ResealSecretsResult // and what it had done
}

// ResealPlace is how far a walk over everything that is sealed has come.
type ResealPlace struct {
	Place int    // the first that is not done, by its number in the result
	After string // the last row there that was looked at
}

// WorkflowID keeps one run open at a time.
func (ResealSecretsInput) WorkflowID() string { return "reseal-secrets" }

// Summary is the run's line in the Temporal UI.
func (in ResealSecretsInput) Summary() string {
	return "Seal by key " + in.Key + " what other keys of the keyset sealed"
}

// ResealSecretsResult says what was done, and what is left.
type ResealSecretsResult struct {
	Key    string
	Walks  int // over everything
	Places []activities.ResealedPlace
}

// Left is how many values another key of the keyset sealed; Lost how many no key opens.
func (r ResealSecretsResult) Left() (left, lost int) {
	for _, p := range r.Places {
		left, lost = left+max(p.Left-p.Lost, 0), lost+p.Lost
	}
	return left, lost
}

const (
	// sealedAtOnce is how many values make a page: some milliseconds of work.
	sealedAtOnce = 500

	// mostWalks is how often everything is walked over, as long as something is left. Once is
	// enough if every replica seals by the key.
	mostWalks = 5

	// mostNamed is how many rows of a place are named whose value is lost.
	mostNamed = 10
)

// ResealSecrets seals anew what other keys of the keyset sealed, so that they can be dropped. A
// value that somebody changes meanwhile is left alone, and one that no key opens is counted. It
// is Conflict when a worker has another keyset: then some replicas have not got it yet.
func ResealSecrets(ctx workflow.Context, in ResealSecretsInput) (ResealSecretsResult, error) {
	in.Done.Key = in.Key
	err := resealAll(ctx, &in)
	if workflow.IsContinueAsNewError(err) {
		return in.Done, err
	}
	workflow.SetCurrentDetails(ctx, resealedDetails(in.Done, err))
	told := activities.AuditResealInput{Run: runID(ctx).String(), Actor: in.Actor, Key: in.Key, Places: in.Done.Places}
	if err != nil {
		told.Failure = kinded(err).Message
	}
	aside, done := workflow.NewDisconnectedContext(ctx) // who cancels the run has not undone it
	defer done()
	if failed := localRun(aside, "Record what was done in the audit log", sealedValues.AuditReseal, told); err == nil {
		err = failed
	}
	return in.Done, err
}

// resealAll walks over everything until nothing is left that can be opened.
func resealAll(ctx workflow.Context, in *ResealSecretsInput) error {
	for {
		if err := countSealed(ctx, in); err != nil {
			return err
		}
		if left, _ := in.Done.Left(); left <= 0 || in.Done.Walks == mostWalks {
			return nil
		}
		for ; in.At.Place < len(in.Done.Places); in.At = (ResealPlace{Place: in.At.Place + 1}) {
			if err := resealPlace(ctx, in); err != nil {
				return err
			}
		}
		in.At = ResealPlace{}
		in.Done.Walks++
	}
}

// resealPlace goes through the pages of one place.
func resealPlace(ctx workflow.Context, in *ResealSecretsInput) error {
	to := &in.Done.Places[in.At.Place]
	if to.Left <= to.Lost {
		return nil
	}
	if in.At.After == "" {
		to.Lost, to.Rows = 0, nil // as the walk before this one found
	}
	for more := true; more; {
		workflow.SetCurrentDetails(ctx, resealingDetails(*in))
		page, err := bulk(ctx, "Seal values of "+to.Place+" anew", sealedValues.ResealPage, activities.ResealPageInput{
			Key: in.Key, Place: to.Place, After: in.At.After, Limit: sealedAtOnce,
		})
		if err != nil {
			return err
		}
		to.Resealed += page.Resealed
		to.Lost += page.Lost
		to.Rows = append(to.Rows, page.Rows[:min(len(page.Rows), mostNamed-len(to.Rows))]...)
		in.At.After, more = page.Last, page.More
		if more && workflow.GetInfo(ctx).GetCurrentHistoryLength() > manyEvents {
			return workflow.NewContinueAsNewError(ctx, ResealSecrets, *in)
		}
	}
	return nil
}

// countSealed looks at how much there is.
func countSealed(ctx workflow.Context, in *ResealSecretsInput) error {
	now, err := bulk(ctx, "Count what is sealed", sealedValues.CountSealed, activities.CountSealedInput{Key: in.Key})
	if err != nil {
		return err
	}
	if in.Done.Places == nil {
		in.Done.Places = make([]activities.ResealedPlace, len(now.Places))
	}
	for i, p := range now.Places[:min(len(now.Places), len(in.Done.Places))] {
		to := &in.Done.Places[i]
		to.Place, to.Total, to.Left = p.Place, p.Total, p.Foreign
	}
	return nil
}

func resealingDetails(in ResealSecretsInput) string {
	return fmt.Sprintf("**Sealing everything by key %s**, walk %d, at `%s`.\n\n", in.Key, in.Done.Walks+1, in.Done.Places[in.At.Place].Place) +
		resealTable(in.Done)
}

func resealedDetails(r ResealSecretsResult, err error) string {
	left, lost := r.Left()
	var text string
	switch {
	case err != nil:
		text = "**Failed**: " + escape(kinded(err).Message) + ".\n\nWhat was sealed anew stays so: `litemaas keyset rotate` does the rest.\n\n"
	case left > 0:
		text = fmt.Sprintf("**%d values are still sealed by other keys**: a replica seals by one of them. Give it the keyset, restart it, and run `litemaas keyset rotate` again.\n\n", left)
	default:
		text = fmt.Sprintf("**Key %s has sealed everything that can be opened.** The others are of use for old backups only.\n\n", r.Key)
	}
	if lost > 0 {
		text += fmt.Sprintf("**%d values cannot be opened**, by no key of the keyset. They are as they were.\n\n", lost)
	}
	return text + resealTable(r)
}

func resealTable(r ResealSecretsResult) string {
	var b strings.Builder
	b.WriteString("| place | values | sealed anew | by other keys | cannot be opened |\n|---|---|---|---|---|\n")
	for _, p := range r.Places {
		lost := fmt.Sprint(p.Lost)
		if len(p.Rows) > 0 {
			lost += ": `" + strings.Join(p.Rows, "`, `") + "`"
		}
		fmt.Fprintf(&b, "| %s | %d | %d | %d | %s |\n", p.Place, p.Total, p.Resealed, max(p.Left-p.Lost, 0), lost)
	}
	return b.String()
}
