package workflows_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/workflow"

	"github.com/litemaas/litemaas/activities"
	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/workflows"
)

var subs *activities.Subscriptions

// wanting is a subscription that somebody wants.
func wanting() workflows.ProvisionSubscriptionInput {
	return workflows.ProvisionSubscriptionInput{SubscriptionID: uuid.New(), Actor: models.Actor{ID: "ada", Via: "api"}}
}

// The verdicts about a subscription.
var (
	subscriber = uuid.New()
	stale      = models.Provision{Status: models.SubscriptionPending, UserID: subscriber, ModelID: "gpt", StaleModel: true}
	unsettled  = models.Provision{Status: models.SubscriptionPending, UserID: subscriber, ModelID: "gpt", UnsettledUser: true}
	active     = models.Provision{Status: models.SubscriptionActive, Reason: "approved", UserID: subscriber, ModelID: "gpt"}
)

// verdicts has ProvisionSubscription come to them, one after the other.
func verdicts(env *testsuite.TestWorkflowEnvironment, in workflows.ProvisionSubscriptionInput, list ...models.Provision) {
	for _, p := range list {
		env.OnActivity(subs.ProvisionSubscription, mock.Anything, activities.ProvisionSubscriptionInput{ID: in.SubscriptionID, Actor: in.Actor}).Return(p, nil).Once()
	}
}

var (
	refresh   = workflows.RefreshModelInput{ModelID: "gpt", Actor: models.System("ProvisionSubscription")}
	reconcile = workflows.ReconcileUserInput{UserID: subscriber}
	errOpen   = &temporal.ChildWorkflowExecutionAlreadyStartedError{}
)

func refused(words string) error {
	return temporal.NewNonRetryableApplicationError(words, string(models.Conflict), errors.New("inner"))
}

// provision runs to the end.
func provision(t *testing.T, env *testsuite.TestWorkflowEnvironment, in workflows.ProvisionSubscriptionInput) (res workflows.ProvisionSubscriptionResult) {
	t.Helper()
	env.ExecuteWorkflow(workflows.ProvisionSubscription, in)
	require.NoError(t, env.GetWorkflowError())
	require.NoError(t, env.GetWorkflowResult(&res))
	return res
}

// Where nothing is lacking, one local activity is all; what is lacking is got, in this order.
func TestProvisionSubscription(t *testing.T) {
	t.Run("nothing is lacking", func(t *testing.T) {
		env, in := environment(t), wanting()
		verdicts(env, in, active)
		require.Equal(t, workflows.ProvisionSubscriptionResult{Status: models.SubscriptionActive, Reason: "approved"}, provision(t, env, in))
	})
	t.Run("the model, then the user", func(t *testing.T) {
		env, in := environment(t), wanting()
		verdicts(env, in, stale, unsettled, active)
		asked := env.OnWorkflow(workflows.RefreshModel, mock.Anything, refresh).Return(workflows.SyncResult{}, nil).Once()
		env.OnWorkflow(workflows.ReconcileUser, mock.Anything, reconcile).Return(workflows.ReconcileUserResult{Status: models.UserSynced}, nil).Once().NotBefore(asked)
		require.Equal(t, models.SubscriptionActive, provision(t, env, in).Status)
	})
	t.Run("and its keys get it back", func(t *testing.T) {
		env, in := environment(t), wanting()
		start, back := env.Now(), active
		back.Cascades = []uuid.UUID{uuid.New(), uuid.New()}
		verdicts(env, in, back)
		env.OnWorkflow(workflows.RestoreSubscription, mock.Anything, workflows.RestoreSubscriptionInput{CascadeID: back.Cascades[0]}).Return(workflows.EndSubscriptionResult{}, errOpen).Once()
		env.OnWorkflow(workflows.RestoreSubscription, mock.Anything, workflows.RestoreSubscriptionInput{CascadeID: back.Cascades[1]}).
			Return(func(ctx workflow.Context, _ workflows.RestoreSubscriptionInput) (workflows.EndSubscriptionResult, error) {
				return workflows.EndSubscriptionResult{}, errors.Join(workflow.Sleep(ctx, time.Hour), refused("no"))
			}).Once()
		require.Equal(t, models.SubscriptionActive, provision(t, env, in).Status)
		require.GreaterOrEqual(t, env.Now().Sub(start), time.Hour)
	})
	t.Run("given up meanwhile", func(t *testing.T) {
		env, in := environment(t), wanting()
		verdicts(env, in, unsettled, models.Provision{Status: models.SubscriptionInactive, Reason: "Cancelled by user"})
		env.OnWorkflow(workflows.ReconcileUser, mock.Anything, reconcile).Return(workflows.ReconcileUserResult{Status: models.UserSynced}, nil).Once()
		require.Equal(t, workflows.ProvisionSubscriptionResult{Status: models.SubscriptionInactive, Reason: "Cancelled by user"}, provision(t, env, in))
	})
}

// While LiteLLM is away the run waits, and goes on when it is back, be it after hours.
func TestProvisionSubscriptionWaitsForLiteLLM(t *testing.T) {
	env, in := environment(t), wanting()
	start, back := env.Now(), 5*time.Hour
	verdicts(env, in, stale, unsettled, active)
	env.OnWorkflow(workflows.RefreshModel, mock.Anything, refresh).Return(func(ctx workflow.Context, _ workflows.RefreshModelInput) (workflows.SyncResult, error) {
		return workflows.SyncResult{}, workflow.Sleep(ctx, back)
	}).Once()
	env.OnWorkflow(workflows.ReconcileUser, mock.Anything, reconcile).Return(workflows.ReconcileUserResult{}, nil).Once()
	require.Equal(t, models.SubscriptionActive, provision(t, env, in).Status)
	require.GreaterOrEqual(t, env.Now().Sub(start), back)
}

// A run for the model, or the user, that is open already is let end: the row says then whether it
// has done what was needed.
func TestProvisionSubscriptionJoinsOthers(t *testing.T) {
	env, in := environment(t), wanting()
	start := env.Now()
	verdicts(env, in, stale, stale, stale, stale, unsettled, unsettled, active)
	env.OnWorkflow(workflows.RefreshModel, mock.Anything, refresh).Return(workflows.SyncResult{}, errOpen).Times(4)
	env.OnWorkflow(workflows.ReconcileUser, mock.Anything, reconcile).Return(workflows.ReconcileUserResult{}, errOpen).Times(2)
	require.Equal(t, models.SubscriptionActive, provision(t, env, in).Status)
	require.InDelta(t, 0.25+0.5+1+2+4+8, env.Now().Sub(start).Seconds(), 1)
}

// What LiteLLM refuses for good ends the wish, in LiteLLM's words.
func TestProvisionSubscriptionIsRefused(t *testing.T) {
	env, in := environment(t), wanting()
	verdicts(env, in, unsettled)
	env.OnWorkflow(workflows.ReconcileUser, mock.Anything, reconcile).Return(workflows.ReconcileUserResult{}, refused("LiteLLM refuses it: no")).Once()
	env.OnActivity(subs.RefuseSubscription, mock.Anything, activities.RefuseSubscriptionInput{ID: in.SubscriptionID, Why: "LiteLLM refuses it: no", Actor: in.Actor}).
		Return(activities.RefuseSubscriptionResult{Status: models.SubscriptionInactive}, nil).Once()

	env.ExecuteWorkflow(workflows.ProvisionSubscription, in)

	var app *temporal.ApplicationError
	require.ErrorAs(t, env.GetWorkflowError(), &app)
	require.Equal(t, string(models.Conflict), app.Type())
	require.Equal(t, "LiteLLM refuses it: no", app.Message())
}

// A word on the model that is always old already is not asked for without end; one that grew old
// while the user was waited for is.
func TestProvisionSubscriptionAsksInVain(t *testing.T) {
	env, in := environment(t), wanting()
	verdicts(env, in, stale, stale, unsettled, stale, stale, stale, stale)
	env.OnWorkflow(workflows.RefreshModel, mock.Anything, refresh).Return(workflows.SyncResult{}, nil).Times(5)
	env.OnWorkflow(workflows.ReconcileUser, mock.Anything, reconcile).Return(workflows.ReconcileUserResult{}, nil).Once()
	env.OnActivity(subs.RefuseSubscription, mock.Anything, mock.MatchedBy(func(r activities.RefuseSubscriptionInput) bool { return r.ID == in.SubscriptionID && r.Why != "" })).
		Return(activities.RefuseSubscriptionResult{Status: models.SubscriptionInactive}, nil).Once()

	env.ExecuteWorkflow(workflows.ProvisionSubscription, in)

	var app *temporal.ApplicationError
	require.ErrorAs(t, env.GetWorkflowError(), &app)
	require.Equal(t, string(models.Conflict), app.Type())
}

// That a run for the user was ended by somebody is no refusal: the subscription stays wanted, and
// the sweep starts anew.
func TestProvisionSubscriptionGivesUp(t *testing.T) {
	for name, why := range map[string]error{
		"terminated": temporal.NewNonRetryableApplicationError("gone", string(models.NotFound), nil),
		"cancelled":  temporal.NewCanceledError(),
	} {
		t.Run(name, func(t *testing.T) {
			env, in := environment(t), wanting()
			verdicts(env, in, unsettled)
			env.OnWorkflow(workflows.ReconcileUser, mock.Anything, reconcile).Return(workflows.ReconcileUserResult{}, why).Once()
			env.ExecuteWorkflow(workflows.ProvisionSubscription, in)
			require.Error(t, env.GetWorkflowError())
		})
	}
}

// An approval that comes while a run is at its end is provisioned by that run.
func TestProvisionSubscriptionLooksAgain(t *testing.T) {
	for name, before := range map[string]error{"it was done": nil, "it was refused": refused("no")} {
		t.Run(name, func(t *testing.T) {
			env, in := environment(t), wanting()
			verdicts(env, in, unsettled)
			env.OnWorkflow(workflows.ReconcileUser, mock.Anything, reconcile).Return(workflows.ReconcileUserResult{}, before).Once().After(time.Second)
			if before == nil {
				verdicts(env, in, models.Provision{Status: models.SubscriptionInactive})
			} else {
				env.OnActivity(subs.RefuseSubscription, mock.Anything, mock.Anything).Return(activities.RefuseSubscriptionResult{Status: models.SubscriptionInactive}, nil).Once()
			}
			env.RegisterDelayedCallback(func() { env.SignalWorkflow(workflows.RowChanged, nil) }, 500*time.Millisecond)
			verdicts(env, in, active)
			require.Equal(t, models.SubscriptionActive, provision(t, env, in).Status)
		})
	}
}

// A short outage of our own database is tried through.
func TestProvisionSubscriptionTriesAgain(t *testing.T) {
	env, in := environment(t), wanting()
	attempts := 0
	env.OnActivity(subs.ProvisionSubscription, mock.Anything, mock.Anything).Return(func(context.Context, activities.ProvisionSubscriptionInput) (models.Provision, error) {
		if attempts++; attempts <= 5 {
			return models.Provision{}, temporal.NewApplicationError("the database does not answer", string(models.Unavailable))
		}
		return active, nil
	})
	require.Equal(t, models.SubscriptionActive, provision(t, env, in).Status)
}

// A run that has waited for long goes on as a new one.
func TestProvisionSubscriptionGoesOnAsANewRun(t *testing.T) {
	env, in := environment(t), wanting()
	env.SetCurrentHistoryLength(1001)
	verdicts(env, in, unsettled)

	env.ExecuteWorkflow(workflows.ProvisionSubscription, in)

	var next *workflow.ContinueAsNewError
	require.ErrorAs(t, env.GetWorkflowError(), &next)
	var again workflows.ProvisionSubscriptionInput
	require.NoError(t, converter.GetDefaultDataConverter().FromPayloads(next.Input, &again))
	require.Equal(t, in, again)
}
