package temporal

import (
	"context"
	"errors"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/temporal"

	"github.com/litemaas/litemaas/models"
)

// errorKinds translates the error of every activity once, on the way out: its kind becomes
// the ApplicationError type, and decides whether Temporal retries. Activities therefore
// return plain errors and never mention Temporal's.
type errorKinds struct {
	interceptor.WorkerInterceptorBase
}

// InterceptActivity wraps an activity.
func (*errorKinds) InterceptActivity(_ context.Context, next interceptor.ActivityInboundInterceptor) interceptor.ActivityInboundInterceptor {
	in := &errorKindsInbound{}
	in.Next = next
	return in
}

type errorKindsInbound struct {
	interceptor.ActivityInboundInterceptorBase
}

// ExecuteActivity runs the activity and translates its error.
func (i *errorKindsInbound) ExecuteActivity(ctx context.Context, in *interceptor.ExecuteActivityInput) (any, error) {
	out, err := i.Next.ExecuteActivity(ctx, in)
	switch {
	case err == nil, ctx.Err() != nil, errors.Is(err, activity.ErrResultPending), temporal.IsApplicationError(err):
		return out, err
	}
	kind, message, delay := models.KindOf(err), err.Error(), time.Duration(0)
	if e, ok := errors.AsType[*models.Error](err); ok {
		message = e.Message // may be shown to a caller; the cause stays in the history
		delay = e.RetryAfter
	}
	return out, temporal.NewApplicationErrorWithOptions(message, string(kind), temporal.ApplicationErrorOptions{
		NonRetryable: !kind.Retryable(), Cause: err, NextRetryDelay: delay,
	})
}
