package temporal_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/activities/litellm/litellmtest"
	"github.com/litemaas/litemaas/workflows"
)

// Histories of reading LiteLLM's log: see TestHistories. What was called while nobody read it, or was
// told of it, is in the ledger after one run.
func TestHistoriesOfUsage(t *testing.T) {
	s := start(t)
	at := time.Now().UTC().Add(-time.Minute)
	s.proxy.Log(litellmtest.Call{ID: "chatcmpl-1", Type: "acompletion", Group: "gpt-4o", Model: "openai/gpt-4o", Start: at, End: at, Prompt: 1, Completion: 2, Cost: 0.001})
	collected := run(t, s, workflows.CollectUsage, workflows.CollectUsageInput{})
	require.Equal(t, 1, collected.Read)
	require.Equal(t, 1, collected.Missing)
	s.record(t, "collect_usage", workflows.CollectUsageInput{}.WorkflowID(), "")
	require.Zero(t, run(t, s, workflows.CollectUsage, workflows.CollectUsageInput{}).Missing)

	long := at.Add(-24 * time.Hour).Truncate(time.Second)
	s.proxy.Log(litellmtest.Call{ID: "chatcmpl-2", Type: "acompletion", Group: "gpt-4o", Model: "openai/gpt-4o", Start: long, End: long, Prompt: 1, Completion: 2, Cost: 0.001})
	in := workflows.BackfillUsageInput{From: long.Add(-10 * time.Minute), Until: long.Add(time.Minute), Actor: root}
	filled := run(t, s, workflows.BackfillUsage, in)
	require.Equal(t, 1, filled.Missing)
	require.Equal(t, in.Until, filled.Until)
	progress, err := workflows.BackfillProgress(t.Context(), s.client, in)
	require.NoError(t, err)
	require.Equal(t, filled, progress)
	s.record(t, "backfill_usage", in.WorkflowID(), "")
}
