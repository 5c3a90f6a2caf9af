package litellmtest

import (
	"net/http/httptest"
	"testing"

	"github.com/litemaas/litemaas/activities/litellm"
	"github.com/litemaas/litemaas/models"
)

// New starts a proxy with the Realistic catalogue that lives as long as the test, and a client
// that is its admin.
func New(tb testing.TB) (*Proxy, *litellm.Client) {
	tb.Helper()
	p, err := NewProxy(Options{})
	if err != nil {
		tb.Fatal(err)
	}
	return p, Serve(tb, p)
}

// Serve serves a proxy as long as the test lives, and returns a client that is its admin.
func Serve(tb testing.TB, p *Proxy) *litellm.Client {
	tb.Helper()
	srv := httptest.NewServer(p)
	tb.Cleanup(func() {
		srv.CloseClientConnections() // else Close waits for whoever still listens
		srv.Close()
	})
	return litellm.New(litellm.Config{URL: srv.URL, APIKey: models.SecretOf(p.master)})
}
