// Package bench measures what the system costs on this machine and writes a page about it:
// run `make bench`.
package bench_test

import (
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/models/store/storetest"
)

var (
	out   = flag.String("o", "", "the file to write; standard output if empty")
	quick = flag.Bool("quick", false, "leave out the sizes that take minutes")
	calls = flag.Int("calls", 10_000_000, "how many calls are in the ledger whose reads are measured")
)

// BenchmarkAll writes the page. It measures by itself: run it with -benchtime 1x.
func BenchmarkAll(b *testing.B) {
	slog.SetDefault(slog.New(slog.DiscardHandler))
	var page strings.Builder
	head(b, &page)
	sizes, audited, subscribed := []int{100, 1_000, 10_000, 100_000}, 1_000_000, []int{1_000, 1_000_000}
	listed, keys, purses, recorded := []int{10_000, 1_000_000}, 1_000_000, 100_000, *calls
	if *quick {
		sizes, audited, subscribed, listed, keys, purses = sizes[:3], 10_000, subscribed[:1], listed[:1], 10_000, 10_000
		recorded = min(recorded, 100_000)
	}
	benchSyncs(b, &page, sizes)
	benchReads(b, &page, []int{100, 10_000})
	benchPeople(b, &page, 100_000, audited)
	benchCreates(b, &page)
	benchSubscriptions(b, &page, subscribed)
	benchNewKeys(b, &page)
	benchKeyReads(b, &page, listed)
	benchVerify(b, &page, keys)
	benchUsage(b, &page)
	benchUsagePush(b, &page)
	benchBudgets(b, &page, purses)
	benchUsageReads(b, &page, recorded)
	if *out == "" {
		_, err := io.WriteString(os.Stdout, page.String())
		require.NoError(b, err)
		return
	}
	require.NoError(b, os.WriteFile(*out, []byte(page.String()), 0o644))
}

// progress tells the person who waits.
func progress(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }

func head(b *testing.B, w io.Writer) {
	b.Helper()
	fmt.Fprintf(w, `# Benchmarks

Written by `+"`make bench`"+` on %s: %d cores, %s of memory, %s, %s/%s. Postgres, Temporal, LiteLLM (in memory), the
program and the callers share these cores. Postgres runs with fsync %s, and Temporal keeps its data in a file, as for
`+"`make dev`"+`. Absolute figures are this machine's; the ratios are of one run and carry over.

`, time.Now().UTC().Format("2 January 2006"), runtime.NumCPU(), memory(), runtime.Version(), runtime.GOOS, runtime.GOARCH, fsync(b))
}

// fsync is on or off, as Postgres says.
func fsync(b *testing.B) (is string) {
	b.Helper()
	require.NoError(b, storetest.SQL(b, storetest.URL(b)).QueryRowContext(b.Context(), "SHOW fsync").Scan(&is))
	return is
}

func memory() string {
	raw, err := exec.Command("awk", `/MemTotal/ {printf "%.0f GiB", $2/1048576}`, "/proc/meminfo").Output()
	if err != nil || len(raw) == 0 {
		return "an unknown amount"
	}
	return string(raw)
}
