package temporal

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/worker"
)

// Every recorded history still replays, so a deploy cannot strand a running workflow. If this
// fails, a workflow changed in a way that runs in progress cannot follow: guard the change
// with workflow.GetVersion (workflows/versions.go), and record the new history beside the old
// (`make histories`).
func TestReplay(t *testing.T) {
	files, err := filepath.Glob("testdata/history/*.json")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, f := range files {
		t.Run(filepath.Base(f), func(t *testing.T) {
			r := worker.NewWorkflowReplayer()
			registerWorkflows(r)
			require.NoError(t, r.ReplayWorkflowHistoryFromJSONFile(nil, f))
		})
	}
}
