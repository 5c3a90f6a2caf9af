package workflows_test

import (
	"testing"

	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"

	"github.com/litemaas/litemaas/activities"
	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/workflows"
)

// A step that fails is told of, and holds up no other.
func TestClean(t *testing.T) {
	for _, failing := range []bool{false, true} {
		env := environment(t)
		var (
			sessions *activities.Sessions
			log      *activities.AuditLog
			ops      *activities.Operations
			usage    *activities.Usage
			fault    error
		)
		if failing {
			fault = temporal.NewNonRetryableApplicationError("the rows cannot be read", string(models.Invalid), nil)
		}
		env.OnActivity(log.PrepareAudit, mock.Anything, mock.Anything).Return(activities.PrepareAuditResult{Partitions: 1}, nil).Once()
		env.OnActivity(sessions.ExpireSessions, mock.Anything, mock.Anything).Return(activities.ExpireSessionsResult{Sessions: 2}, fault).Once()
		env.OnActivity(log.DropAudit, mock.Anything, mock.Anything).Return(activities.DropAuditResult{Rows: 3}, nil).Once()
		env.OnActivity(ops.ForgetOperations, mock.Anything, mock.Anything).Return(activities.ForgetOperationsResult{Operations: 4}, nil).Once()
		env.OnActivity(usage.CleanUsage, mock.Anything, mock.Anything).Return(activities.CleanUsageResult{Dropped: 5}, nil).Once()

		env.ExecuteWorkflow(workflows.Clean, workflows.CleanInput{})

		if failing {
			require.ErrorContains(t, env.GetWorkflowError(), "the rows cannot be read")
			continue
		}
		require.NoError(t, env.GetWorkflowError())
		var res workflows.CleanResult
		require.NoError(t, env.GetWorkflowResult(&res))
		require.Equal(t, workflows.CleanResult{
			Expired: activities.ExpireSessionsResult{Sessions: 2}, Made: 1, Dropped: activities.DropAuditResult{Rows: 3}, Forgotten: 4, Usage: activities.CleanUsageResult{Dropped: 5},
		}, res)
	}
}
