// Package temporaltest gives a test its own namespace on a real Temporal server.
package temporaltest

import (
	"context"
	"log/slog"
	"os"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/litemaas/litemaas/temporal"
)

// Config returns where to find a fresh namespace that has our search attributes. A test never
// skips for want of a server: `make test` starts one.
func Config(tb testing.TB) temporal.Config {
	tb.Helper()
	address := os.Getenv("TEST_TEMPORAL_ADDRESS")
	if address == "" {
		tb.Fatal("TEST_TEMPORAL_ADDRESS is not set: run the tests through `make test`, or `go run ./cmd/testenv -- go test ./...`")
	}
	cfg := temporal.Config{Address: address, Namespace: "test-" + uuid.NewString()}
	admin, err := client.NewNamespaceClient(client.Options{HostPort: address})
	require.NoError(tb, err)
	defer admin.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	require.NoError(tb, admin.Register(ctx, &workflowservice.RegisterNamespaceRequest{
		Namespace: cfg.Namespace, WorkflowExecutionRetentionPeriod: durationpb.New(24 * time.Hour),
	}))
	c := Dial(tb, cfg)
	require.Eventually(tb, func() bool { // the server's caches learn of a new namespace within seconds
		if _, err := temporal.RegisterSearchAttributes(ctx, c, cfg.Namespace); err != nil {
			return false
		}
		missing, err := temporal.MissingSearchAttributes(ctx, c, cfg.Namespace)
		return err == nil && len(missing) == 0
	}, 30*time.Second, 50*time.Millisecond)
	return cfg
}

// New returns a client of a fresh namespace, closed when the test ends.
func New(tb testing.TB) client.Client {
	tb.Helper()
	return Dial(tb, Config(tb))
}

// Dial returns one more client of a namespace, closed when the test ends.
func Dial(tb testing.TB, cfg temporal.Config) client.Client {
	tb.Helper()
	c, err := temporal.Dial(context.Background(), cfg, slog.New(slog.DiscardHandler))
	require.NoError(tb, err)
	tb.Cleanup(c.Close)
	return c
}
