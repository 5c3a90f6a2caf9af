package workflows_test

import (
	"testing"

	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/activities"
	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/workflows"
)

var strange *activities.Orphans

// All that wait are made so, page by page, and what became of them is recorded. What is decided
// meanwhile has signalled, and is seen to before the run ends.
func TestQuarantineOrphans(t *testing.T) {
	env := environment(t)
	proof := func(hash, failure string) models.OrphanProof {
		return models.OrphanProof{Hash: hash, State: models.OrphanQuarantined, Failure: failure}
	}
	due := func(after string, hashes ...string) {
		found := env.OnActivity(strange.DueOrphans, mock.Anything, activities.DueOrphansInput{After: after, Limit: 200}).
			Return(activities.DueOrphansResult{Hashes: hashes}, nil).Once()
		if after == "b" { // somebody decides
			found.Run(func(mock.Arguments) { env.SignalWorkflow(workflows.RowChanged, nil) })
		}
	}
	apply := func(hashes []string, res activities.ApplyOrphansResult) {
		env.OnActivity(strange.ApplyOrphans, mock.Anything, activities.ApplyOrphansInput{Hashes: hashes}).Return(res, nil).Once()
		if len(res.Seen) > 0 {
			env.OnActivity(strange.ObserveOrphans, mock.Anything, activities.ObserveOrphansInput{Seen: res.Seen}).Return(nil).Once()
		}
	}
	due("", "a", "b")
	due("b", "c")
	due("c")
	due("", "a")
	due("a")
	apply([]string{"a", "b"}, activities.ApplyOrphansResult{Seen: []models.OrphanProof{proof("a", ""), proof("b", "no")}})
	apply([]string{"c"}, activities.ApplyOrphansResult{Left: 1})
	apply([]string{"a"}, activities.ApplyOrphansResult{Seen: []models.OrphanProof{proof("a", "")}})

	env.ExecuteWorkflow(workflows.QuarantineOrphans, workflows.QuarantineOrphansInput{})

	require.NoError(t, env.GetWorkflowError())
	var res workflows.QuarantineOrphansResult
	require.NoError(t, env.GetWorkflowResult(&res))
	require.Equal(t, workflows.QuarantineOrphansResult{Settled: 2, Refused: 1, Left: 1}, res)
}

// When LiteLLM goes away the walk ends: the sweep takes it up again.
func TestQuarantineOrphansStopsWhenLiteLLMIsAway(t *testing.T) {
	env := environment(t)
	env.OnActivity(strange.DueOrphans, mock.Anything, mock.Anything).Return(activities.DueOrphansResult{Hashes: []string{"a"}}, nil).Once()
	env.OnActivity(strange.ApplyOrphans, mock.Anything, mock.Anything).Return(activities.ApplyOrphansResult{Left: 1, Silent: true}, nil).Once()

	env.ExecuteWorkflow(workflows.QuarantineOrphans, workflows.QuarantineOrphansInput{})

	require.NoError(t, env.GetWorkflowError())
	var res workflows.QuarantineOrphansResult
	require.NoError(t, env.GetWorkflowResult(&res))
	require.Equal(t, workflows.QuarantineOrphansResult{Left: 1, Silent: true}, res)
}
