package workflows

import (
	"fmt"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/litemaas/litemaas/activities"
	"github.com/litemaas/litemaas/models"
)

// RotateKeyInput names the API key that has a successor, and who rotated it.
type RotateKeyInput struct {
	KeyID uuid.UUID
	Actor models.Actor
}

// WorkflowID keeps one rotation of the key open at a time.
func (in RotateKeyInput) WorkflowID() string { return "rotate-key/" + in.KeyID.String() }

// Summary is the run's line in the Temporal UI.
func (RotateKeyInput) Summary() string { return "Let an API key work until its successor is alone" }

// RotateKeyResult says how the rotation ended.
type RotateKeyResult struct {
	Heir    uuid.UUID `json:",omitzero"` // zero: the rotation was undone, and the key lives on
	Retired bool
}

// RetireNow is the signal that the old key shall go at once. It carries nothing.
const RetireNow = "retire-now"

const (
	// rotatePause is how long another run that is at work on a key is left alone.
	rotatePause = 250 * time.Millisecond

	// useWithin is how long LiteLLM is asked whether a key was used, and useAgain when again.
	useWithin = time.Minute
	useAgain  = 5 * time.Minute
)

// RotateKey has LiteLLM hold the successor that a key was given, lets both work until the key's
// time is over, and has LiteLLM let go of the key. The key goes sooner by the signal retire-now,
// by its row (which signals with row-changed), or when LiteLLM says that it was silent for as long
// as it may be. It never goes before its successor works: while LiteLLM is away, the run waits. An
// undone rotation ends the run. It is a Conflict when LiteLLM refuses the successor: then the key
// lives on.
func RotateKey(ctx workflow.Context, in RotateKeyInput) (RotateKeyResult, error) {
	changed, retire := workflow.GetSignalChannel(ctx, RowChanged), workflow.GetSignalChannel(ctx, RetireNow)
	told := func() bool { return changed.Len()+retire.Len() > 0 }
	for {
		for changed.ReceiveAsync(nil) { // drained: the next look sees all of them
		}
		if err := hasten(ctx, in.KeyID, retire); err != nil {
			return RotateKeyResult{}, err
		}
		r, err := local(ctx, "See how far the rotation has come", keys.LookAtRotation, activities.KeyRef{ID: in.KeyID})
		if err != nil {
			return RotateKeyResult{}, err
		}
		workflow.SetCurrentDetails(ctx, rotationDetails(ctx, r))
		wait := r.Wait()
		switch {
		case r.Over:
			res, err := rotated(ctx, in.KeyID, r)
			if err == nil && told() {
				continue
			}
			return res, err
		case !r.Held:
			wait, err = 0, awaitHeir(ctx, in.KeyID, r)
		case wait <= 0:
			wait, err = retireKey(ctx, in.KeyID, r)
		}
		if err == nil && wait > 0 {
			both := workflow.AwaitOptions{Timeout: wait, TimerOptions: workflow.TimerOptions{Summary: "Both keys work"}}
			_, err = workflow.AwaitWithOptions(ctx, both, told)
		}
		if err == nil && workflow.GetInfo(ctx).GetCurrentHistoryLength() > manyEvents && !told() {
			err = workflow.NewContinueAsNewError(ctx, RotateKey, in)
		}
		if err != nil {
			return RotateKeyResult{}, err
		}
	}
}

// hasten has the key go now, if somebody has signalled that.
func hasten(ctx workflow.Context, id uuid.UUID, retire workflow.ReceiveChannel) error {
	for retire.ReceiveAsync(nil) {
		now := activities.HastenRetirementInput{ID: id, Actor: models.System("signal " + RetireNow)}
		if err := localRun(ctx, "Have the key go now", keys.HastenRetirement, now); err != nil {
			return err
		}
	}
	return nil
}

// rotated is the end of a rotation: a key that has gone is gone when every LiteLLM refuses it.
func rotated(ctx workflow.Context, id uuid.UUID, r models.KeyRotation) (RotateKeyResult, error) {
	if r.End == "" {
		return RotateKeyResult{}, nil
	}
	for {
		_, ended, err := follow(ctx, ReconcileKey, ReconcileKeyInput{KeyID: id}, rotatePause, "Another run is at work on the key; let it end")
		if err != nil || ended {
			return RotateKeyResult{r.Heir, true}, err
		}
	}
}

// awaitHeir has LiteLLM hold the successor. One that it refuses is given up, and that is returned.
func awaitHeir(ctx workflow.Context, id uuid.UUID, r models.KeyRotation) error {
	_, _, err := follow(ctx, ReconcileKey, ReconcileKeyInput{KeyID: r.Heir, New: true}, rotatePause, "Another run is at work on the successor; let it end")
	why := refusal(err)
	if why == "" {
		return err
	}
	if failed := localRun(ctx, "Let the key live on", keys.AbandonRotation, activities.AbandonRotationInput{ID: id, Why: why}); failed != nil {
		return failed
	}
	if failed := begin(ctx, ReconcileKey, ReconcileKeyInput{KeyID: r.Heir}); failed != nil { // whatever LiteLLM has of it goes
		return failed
	}
	workflow.SetCurrentDetails(ctx, "**LiteLLM refuses the successor**: "+escape(why)+"\n\nThe key lives on.")
	return temporal.NewNonRetryableApplicationError(why, string(models.Conflict), nil)
}

// retireKey ends the key whose time is over. If it goes because it was silent, LiteLLM is asked
// first; how long it is then left alone is returned.
func retireKey(ctx workflow.Context, id uuid.UUID, r models.KeyRotation) (again time.Duration, err error) {
	key := activities.KeyRef{ID: id}
	if r.RetireIn > 0 {
		err := regularRun(ctx, "Ask LiteLLM whether the key was used", useWithin, keys.LookAtKeyUse, key)
		switch {
		case temporal.IsCanceledError(err):
			return 0, err
		case err != nil:
			return min(useAgain, r.RetireIn), nil //nolint:nilerr // LiteLLM is away: nothing is known of a silence
		}
	}
	_, err = local(ctx, "Revoke the key, if its time is over", keys.RetireKey, key)
	return 0, err
}

func rotationDetails(ctx workflow.Context, r models.KeyRotation) string {
	switch {
	case r.Over && r.End != "":
		return fmt.Sprintf("**The key has gone** (%s); its successor is `%s`.", r.End, r.Heir)
	case r.Over:
		return "**The rotation was undone**: the key lives on."
	case !r.Held:
		return fmt.Sprintf("**Waiting until LiteLLM holds the successor**: see the run `key/%s`. The key does not go before.", r.Heir)
	}
	text := fmt.Sprintf("**Both keys work** until %s. Signal `%s` has the old one go at once.",
		workflow.Now(ctx).Add(r.RetireIn).UTC().Format(time.RFC3339), RetireNow)
	if r.SilentIn != nil {
		text += fmt.Sprintf(" Unless it is used, it goes at %s.", workflow.Now(ctx).Add(*r.SilentIn).UTC().Format(time.RFC3339))
	}
	return text
}
