package devstack

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/enums/v1"

	"github.com/litemaas/litemaas/temporal/temporaltest"
)

// The CLI is preferred when it is there; it is started with what it understands, is ready when
// it serves the namespace, and is stopped when its parent was killed.
func TestTemporalCLI(t *testing.T) {
	self, err := os.Executable()
	require.NoError(t, err)
	bin := t.TempDir()
	require.NoError(t, os.Symlink(self, filepath.Join(bin, "temporal")))
	t.Setenv("PATH", bin+string(os.PathListSeparator)+os.Getenv("PATH"))
	d := newDir(t)
	args := d.File("mine.txt")
	t.Setenv("FAKE_TEMPORAL_ARGS", args)

	program, err := FindTemporal(t.Context(), NewProgress(os.Stderr))
	require.NoError(t, err)
	require.Equal(t, "temporal CLI 1.5.0 (Server 1.29.0, UI 2.40.0)", program.What)
	o := TemporalOptions{
		Port: freePort(t), UIPort: 8233, Namespace: temporaltest.Config(t).Namespace,
		SearchAttributes: map[string]enums.IndexedValueType{"Colour": enums.INDEXED_VALUE_TYPE_KEYWORD},
	}
	first, err := d.StartTemporal(t.Context(), program, o)
	require.NoError(t, err)
	got, err := os.ReadFile(args)
	require.NoError(t, err)
	require.Regexp(t, "^server start-dev --ip 127.0.0.1 --port [0-9]+ --namespace test-[-0-9a-f]+ --ui-port 8233 "+
		"--db-filename "+d.File("temporal.db")+" --search-attribute Colour=Keyword --dynamic-config-value history.transferProcessorMaxPollRPS=200$", string(got))

	require.True(t, d.StopLeftovers())
	<-first.Exited()
	require.Error(t, first.Failure())
	require.False(t, d.StopLeftovers())

	second, err := d.StartTemporal(t.Context(), program, o)
	require.NoError(t, err)
	second.Stop()
	<-second.Exited()
}

// Our own server also ends when its standard input does.
func TestTemporalOfOurs(t *testing.T) {
	args := TemporalProgram{ours: true}.arguments(&Dir{path: "/data"}, TemporalOptions{Port: 7233, Namespace: "default", InMemory: true})
	require.Equal(t, []string{"server", "start-dev", "--ip", "127.0.0.1", "--port", "7233", "--namespace", "default", "--headless", "--stop-with-stdin"}, args)
}
