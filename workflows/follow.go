package workflows

import (
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"
)

// follow runs wf as a child, and waits for its end. A run that is open already may have begun
// before what is waited for: then follow waits a while, says that nothing has ended, and the
// caller looks again. The child is not cancelled with the caller: it belongs to what it is about.
func follow[In Input, Out any](ctx workflow.Context, wf func(workflow.Context, In) (Out, error), in In, while time.Duration, summary string) (out Out, ended bool, err error) {
	own, _ := workflow.NewDisconnectedContext(ctx)
	run := launch(own, wf, in)
	if err := workflow.Await(ctx, run.IsReady); err != nil {
		return out, false, err
	}
	err = run.Get(ctx, &out)
	if !temporal.IsWorkflowExecutionAlreadyStartedError(err) {
		return out, true, err
	}
	err = workflow.NewTimerWithOptions(ctx, while, workflow.TimerOptions{Summary: summary}).Get(ctx, nil)
	return out, false, err
}
