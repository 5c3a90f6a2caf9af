package temporal

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/litemaas/litemaas/models"
)

// The kind an activity gives its error decides whether Temporal tries again, and arrives in
// the workflow.
func TestErrorKinds(t *testing.T) {
	for _, kind := range []models.Kind{
		models.Invalid, models.Unauthenticated, models.Forbidden, models.NotFound, models.Conflict, models.Limited, models.Unavailable, models.Internal,
	} {
		t.Run(string(kind), func(t *testing.T) {
			calls := 0
			fail := func(context.Context) error {
				calls++
				return models.Wrap(kind, errors.New("inner"), "no")
			}
			var s testsuite.WorkflowTestSuite
			env := s.NewTestWorkflowEnvironment()
			env.SetWorkerOptions(worker.Options{Interceptors: []interceptor.WorkerInterceptor{&errorKinds{}}})
			env.RegisterActivity(fail)
			env.ExecuteWorkflow(func(ctx workflow.Context) error {
				ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{StartToCloseTimeout: time.Second, ScheduleToCloseTimeout: 20 * time.Second})
				return workflow.ExecuteActivity(ctx, fail).Get(ctx, nil)
			})
			app, ok := errors.AsType[*temporal.ApplicationError](env.GetWorkflowError())
			require.True(t, ok)
			require.Equal(t, string(kind), app.Type())
			require.Equal(t, "no", app.Message())
			require.Equal(t, kind.Retryable(), calls > 1)
		})
	}
}
