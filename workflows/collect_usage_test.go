package workflows_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/workflow"

	"github.com/litemaas/litemaas/activities"
	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/workflows"
)

var (
	usage *activities.Usage
	dawn  = time.Date(2026, 11, 26, 6, 0, 0, 0, time.UTC)
)

// usageWorld is what runs about usage need.
func usageWorld(t *testing.T) *testsuite.TestWorkflowEnvironment {
	t.Helper()
	env := environment(t)
	env.RegisterWorkflow(workflows.CollectUsage)
	env.RegisterWorkflow(workflows.BackfillUsage)
	return env
}

// window is what became of one in which everything was known.
func window(in activities.ReadUsageInput, read, missing int) activities.ReadUsageResult {
	return activities.ReadUsageResult{Window: models.UsageWindow{From: in.From, Until: in.Until, Source: models.UsagePulled, Read: read, Missing: missing}}
}

func planned(env *testsuite.TestWorkflowEnvironment, from, until time.Time) {
	env.OnActivity(usage.PlanUsage, mock.Anything, mock.Anything).Return(activities.PlanUsageResult{From: from, Until: until}, nil).Once()
}

// A run reads window after window without a gap, and starts what follows from what it read.
func TestCollectUsage(t *testing.T) {
	env := usageWorld(t)
	planned(env, dawn, dawn.Add(12*time.Minute+30*time.Second))
	ended := activities.CascadeRef{ID: uuid.New(), Generation: 1}
	var read []activities.ReadUsageInput
	env.OnActivity(usage.ReadUsage, mock.Anything, mock.Anything).Return(func(_ context.Context, in activities.ReadUsageInput) (activities.ReadUsageResult, error) {
		read = append(read, in)
		res := window(in, 7, len(read)-1)
		if len(read) == 2 {
			res.Due, res.Cascades = true, []activities.CascadeRef{ended}
		}
		return res, nil
	})
	env.OnWorkflow(workflows.EnforceBudgets, mock.Anything, workflows.EnforceBudgetsInput{}).Return(workflows.EnforceBudgetsResult{}, nil).Once()
	env.OnWorkflow(workflows.EndSubscription, mock.Anything, workflows.EndSubscriptionInput{CascadeID: ended.ID}).Return(workflows.EndSubscriptionResult{}, nil).Once()

	env.ExecuteWorkflow(workflows.CollectUsage, workflows.CollectUsageInput{})

	require.NoError(t, env.GetWorkflowError())
	require.Equal(t, []activities.ReadUsageInput{
		{From: dawn, Until: dawn.Add(5 * time.Minute)},
		{From: dawn.Add(5 * time.Minute), Until: dawn.Add(10 * time.Minute)},
		{From: dawn.Add(10 * time.Minute), Until: dawn.Add(12*time.Minute + 30*time.Second)},
	}, read)
	var res workflows.UsageReport
	require.NoError(t, env.GetWorkflowResult(&res))
	require.Len(t, res.Last, 3)
	res.Last = nil
	require.Equal(t, workflows.UsageReport{
		From: dawn, Until: dawn.Add(12*time.Minute + 30*time.Second), Windows: 3, Read: 21, Missing: 3, Due: true, Cascades: 1,
	}, res)
}

// What is too full is halved until it is not, down to a second, and nothing is left out.
func TestCollectUsageSplits(t *testing.T) {
	env := usageWorld(t)
	planned(env, dawn, dawn.Add(5*time.Minute))
	at := dawn
	env.OnActivity(usage.ReadUsage, mock.Anything, mock.Anything).Return(func(_ context.Context, in activities.ReadUsageInput) (activities.ReadUsageResult, error) {
		if length := in.Until.Sub(in.From); length > 40*time.Second || in.From.Equal(dawn) && length > time.Second {
			return activities.ReadUsageResult{Split: true}, nil
		}
		require.Equal(t, at, in.From)
		at = in.Until
		return window(in, 1, 0), nil
	})

	env.ExecuteWorkflow(workflows.CollectUsage, workflows.CollectUsageInput{})

	require.NoError(t, env.GetWorkflowError())
	require.Equal(t, dawn.Add(5*time.Minute), at)
}

// While LiteLLM is away the run waits for it, and then reads all that it missed.
func TestCollectUsageOutlastsAnOutage(t *testing.T) {
	env := usageWorld(t)
	planned(env, dawn, dawn.Add(10*time.Minute))
	back := env.Now().Add(2 * time.Minute)
	at := dawn
	env.OnActivity(usage.ReadUsage, mock.Anything, mock.Anything).Return(func(_ context.Context, in activities.ReadUsageInput) (activities.ReadUsageResult, error) {
		if env.Now().Before(back) {
			return activities.ReadUsageResult{}, models.Errorf(models.Unavailable, "LiteLLM does not answer")
		}
		require.Equal(t, at, in.From)
		at = in.Until
		return window(in, 1, 1), nil
	})

	env.ExecuteWorkflow(workflows.CollectUsage, workflows.CollectUsageInput{})

	require.NoError(t, env.GetWorkflowError())
	require.Equal(t, dawn.Add(10*time.Minute), at)
	require.False(t, env.Now().Before(back))
}

// Of a LiteLLM without a log, the sums of the days are read, and it is asked for its log only once.
func TestCollectUsageByDays(t *testing.T) {
	env := usageWorld(t)
	planned(env, dawn.Add(-24*time.Hour), dawn)
	env.OnActivity(usage.ReadUsage, mock.Anything, mock.Anything).Return(activities.ReadUsageResult{NoLog: true}, nil).Once()
	midnight := dawn.Truncate(24 * time.Hour)
	for _, in := range []activities.ReadUsageInput{{From: midnight.Add(-24 * time.Hour), Until: midnight}, {From: midnight, Until: dawn}} {
		env.OnActivity(usage.ReadUsageDay, mock.Anything, in).Return(window(in, 4, 4), nil).Once()
	}

	env.ExecuteWorkflow(workflows.CollectUsage, workflows.CollectUsageInput{})

	require.NoError(t, env.GetWorkflowError())
	var res workflows.UsageReport
	require.NoError(t, env.GetWorkflowResult(&res))
	require.Equal(t, 2, res.Windows)
	require.Equal(t, dawn, res.Until)
}

// A long time is read by the hour, in as many runs as it takes, without a gap between them.
func TestBackfillUsage(t *testing.T) {
	in := workflows.BackfillUsageInput{From: dawn.Add(30 * time.Minute), Until: dawn.Add(30 * 24 * time.Hour), Actor: models.Actor{ID: "ada"}}
	require.Equal(t, "backfill-usage/20261126T063000Z-20261226T060000Z", in.WorkflowID())
	at, runs := in.From, 0
	for end := in.Until; at.Before(end); runs++ {
		env := usageWorld(t)
		env.OnActivity(usage.ReadUsage, mock.Anything, mock.Anything).Return(func(_ context.Context, in activities.ReadUsageInput) (activities.ReadUsageResult, error) {
			require.Equal(t, at, in.From)
			require.LessOrEqual(t, in.Until.Sub(in.From), time.Hour)
			if at = in.Until; at.Sub(dawn) > time.Duration(runs+1)*7*24*time.Hour {
				env.SetCurrentHistoryLength(1000)
			}
			return window(in, 10, 10), nil
		})
		env.ExecuteWorkflow(workflows.BackfillUsage, in)

		progress, err := env.QueryWorkflow("progress")
		require.NoError(t, err)
		var report workflows.UsageReport
		require.NoError(t, progress.Get(&report))
		require.Equal(t, at, report.Until)
		require.Equal(t, 10*report.Windows, report.Missing)
		var next *workflow.ContinueAsNewError
		if err := env.GetWorkflowError(); err != nil {
			require.ErrorAs(t, err, &next)
			in.Walk = nil
			require.NoError(t, converter.GetDefaultDataConverter().FromPayloads(next.Input, &in))
		}
	}
	require.Equal(t, in.Until, at)
	require.Greater(t, runs, 2)
}
