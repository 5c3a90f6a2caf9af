// Package workflows is the order in which things happen. A workflow decides nothing by
// itself: it sequences activities and branches on what they return.
package workflows

import (
	"context"
	"errors"
	"time"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/litemaas/litemaas/models"
)

// TaskQueue is where all our workflows and activities run.
const TaskQueue = "litemaas"

// startWithin is how long Temporal may take to accept a workflow.
const startWithin = 5 * time.Second

// Input is the argument of a workflow. Its workflow ID names the thing worked on, so
// starting the same work twice joins the run already open. Its summary is the line by which
// a person knows the run in the Temporal UI.
type Input interface {
	WorkflowID() string
	Summary() string
}

// RowChanged is the signal that a row has a new wish. It carries nothing: the row is the
// message.
const RowChanged = "row-changed"

// overruling is an Input whose run takes the place of an open one of the same ID, instead of
// joining it: what was asked for last counts.
type overruling interface{ overrules() }

// Starter is the part of client.Client that starts workflows.
type Starter interface {
	ExecuteWorkflow(ctx context.Context, o client.StartWorkflowOptions, wf any, args ...any) (client.WorkflowRun, error)
	SignalWithStartWorkflow(ctx context.Context, id, signal string, arg any, o client.StartWorkflowOptions, wf any, args ...any) (client.WorkflowRun, error)
}

// Run is a workflow that was started, or joined.
type Run[Out any] struct{ run client.WorkflowRun }

// Start starts wf on in, or joins its open run, or takes its place. It is Unavailable when Temporal cannot be
// reached: then nothing was started.
func Start[In Input, Out any](ctx context.Context, c Starter, wf func(workflow.Context, In) (Out, error), in In) (Run[Out], error) {
	ctx, cancel := context.WithTimeout(ctx, startWithin)
	defer cancel()
	r, err := c.ExecuteWorkflow(ctx, options(in), wf, in)
	return started[Out](r, err, in)
}

// Nudge is Start for a workflow that follows a row: if a run is open, the signal makes it look
// at the row once more before it may end. When it is Unavailable the row is still the wish, and
// Sweep follows it.
func Nudge[In Input, Out any](ctx context.Context, c Starter, wf func(workflow.Context, In) (Out, error), in In) (Run[Out], error) {
	ctx, cancel := context.WithTimeout(ctx, startWithin)
	defer cancel()
	r, err := c.SignalWithStartWorkflow(ctx, in.WorkflowID(), RowChanged, nil, options(in), wf, in)
	return started[Out](r, err, in)
}

func options(in Input) client.StartWorkflowOptions {
	whenOpen := enums.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING
	if _, ok := in.(overruling); ok {
		whenOpen = enums.WORKFLOW_ID_CONFLICT_POLICY_TERMINATE_EXISTING
	}
	return client.StartWorkflowOptions{
		ID:                       in.WorkflowID(),
		TaskQueue:                TaskQueue,
		WorkflowIDConflictPolicy: whenOpen,
		EnableEagerStart:         true,
		StaticSummary:            brief(in.Summary()),
	}
}

func started[Out any](r client.WorkflowRun, err error, in Input) (Run[Out], error) {
	if err != nil {
		return Run[Out]{}, models.Wrap(models.Unavailable, err, "%s was not started: the workflow engine does not answer; try again in a moment", in.WorkflowID())
	}
	return Run[Out]{r}, nil
}

// ID is Temporal's run ID.
func (r Run[Out]) ID() string { return r.run.GetRunID() }

// Wait returns the result of the run. After patience it is Pending: the work goes on without
// the caller.
func (r Run[Out]) Wait(ctx context.Context, patience time.Duration) (Out, error) {
	var out Out
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	err := r.run.Get(ctx, &out)
	switch {
	case err == nil:
		return out, nil
	case ctx.Err() != nil:
		return out, models.Wrap(models.Pending, err, "%s goes on", r.run.GetID())
	case isRPC(err):
		return out, models.Wrap(models.Pending, err, "%s goes on, but the workflow engine does not answer", r.run.GetID())
	}
	return out, kinded(err)
}

func isNotFound(err error) bool { return errors.As(err, new(*serviceerror.NotFound)) }

// isRPC reports whether err comes from the way to the server, not from the workflow.
func isRPC(err error) bool {
	_, ok := errors.AsType[serviceerror.ServiceError](err)
	return ok
}

// kinded gives a workflow's failure the kind and the words its activity gave it, through
// every layer Temporal wraps around it.
func kinded(err error) *models.Error {
	for e := err; e != nil; {
		app, ok := errors.AsType[*temporal.ApplicationError](e)
		if !ok {
			break
		}
		if k := models.Kind(app.Type()); k.Known() {
			return models.Wrap(k, err, "%s", app.Message())
		}
		e = app.Unwrap()
	}
	if errors.As(err, new(*temporal.CanceledError)) {
		return models.Wrap(models.Conflict, err, "the run was cancelled")
	}
	if errors.As(err, new(*temporal.TerminatedError)) {
		return models.Wrap(models.Conflict, err, "the run was terminated")
	}
	return models.Wrap(models.Internal, err, "the workflow failed")
}
