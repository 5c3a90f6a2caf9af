package main

import (
	"bytes"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// What is set is used as it is, and the command's exit status is ours.
func TestRunUsesWhatIsSet(t *testing.T) {
	t.Setenv(databaseVar, "postgres://elsewhere")
	t.Setenv(temporalVar, "elsewhere:7233")
	var out, errs bytes.Buffer
	require.Equal(t, 7, run([]string{"sh", "-c", "echo $TEST_DATABASE_URL $TEST_TEMPORAL_ADDRESS; exit 7"}, false, &out, &errs))
	require.Equal(t, "postgres://elsewhere elsewhere:7233\n", out.String())
	require.Zero(t, run([]string{"true"}, false, &out, &errs))
	require.Empty(t, errs.String())
}

// What is not set is started, and gone when the command has ended.
func TestRunStartsWhatIsMissing(t *testing.T) {
	t.Setenv(databaseVar, "")
	t.Setenv(temporalVar, "elsewhere:7233")
	var out, errs bytes.Buffer
	require.Equal(t, 3, run([]string{"sh", "-c", "echo $TEST_DATABASE_URL; exit 3"}, false, &out, &errs), errs.String())
	require.Regexp(t, `^postgres://litemaas:[0-9a-f]+@127\.0\.0\.1:\d+/litemaas\?sslmode=disable\n$`, out.String())
}

// A signal reaches the command, and how it ended is told as a shell does.
func TestRunForwardsSignals(t *testing.T) {
	t.Setenv(databaseVar, "postgres://elsewhere")
	t.Setenv(temporalVar, "elsewhere:7233")
	r, w := io.Pipe()
	go func() {
		_, _ = r.Read(make([]byte, 16)) // it runs
		_ = syscall.Kill(os.Getpid(), syscall.SIGTERM)
		_, _ = io.Copy(io.Discard, r)
	}()
	require.Equal(t, 128+int(syscall.SIGTERM), run([]string{"sh", "-c", "echo running; exec sleep 1000"}, false, w, io.Discard))
}

func TestRunWithoutSuchACommand(t *testing.T) {
	t.Setenv(databaseVar, "postgres://elsewhere")
	t.Setenv(temporalVar, "elsewhere:7233")
	var errs strings.Builder
	require.Equal(t, exitNoStart, run([]string{"no-such-command-here"}, false, io.Discard, &errs))
	require.Contains(t, errs.String(), "no-such-command-here")
}
