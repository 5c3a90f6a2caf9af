package devstack

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/litemaas/litemaas/activities/litellm/litellmtest"
	"github.com/litemaas/litemaas/models"
)

// LiteLLM is a LiteLLM in this process.
type LiteLLM struct {
	URL    string
	proxy  *litellmtest.Proxy
	server *http.Server
}

// LiteLLMOptions says how a LiteLLM runs.
type LiteLLMOptions struct {
	Port int
	Key  models.Secret
	Push litellmtest.Push // where it tells of calls
}

// StartLiteLLM serves a LiteLLM that keeps what is written to it in the directory. It listens
// on 127.0.0.1 only.
func (d *Dir) StartLiteLLM(ctx context.Context, o LiteLLMOptions) (*LiteLLM, error) {
	proxy, err := litellmtest.NewProxy(litellmtest.Options{MasterKey: o.Key.Reveal(), StateFile: d.File("litellm.json"), Push: o.Push})
	if err != nil {
		return nil, models.Wrap(models.Invalid, err, "the data of LiteLLM cannot be read: forget it with --reset")
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(o.Port)))
	if err != nil {
		return nil, models.Wrap(models.Conflict, err, "LiteLLM cannot listen")
	}
	s := &http.Server{
		Handler: proxy, ReadHeaderTimeout: 5 * time.Second,
		ErrorLog: slog.NewLogLogger(slog.Default().Handler(), slog.LevelWarn),
	}
	go func() {
		if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			slog.Error("LiteLLM ended", "error", err)
		}
	}()
	return &LiteLLM{URL: fmt.Sprintf("http://localhost:%d", o.Port), proxy: proxy, server: s}, nil
}

// Stop stops serving, and keeps what was written.
func (l *LiteLLM) Stop() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if l.server.Shutdown(ctx) != nil {
		_ = l.server.Close()
	}
	if err := l.proxy.Close(); err != nil {
		slog.Error("the data of LiteLLM is not kept", "error", err)
	}
}
