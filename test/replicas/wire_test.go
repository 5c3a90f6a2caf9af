package replicas_test

import (
	"bytes"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/litemaas/litemaas/test/internal/relay"
)

// wire is what lies between the replicas and their database. It can go dead one way, as when a
// firewall forgets a connection: nobody is told, nothing comes any more.
type wire struct {
	url   string
	hears chan struct{} // something comes each time that a new listener has heard itself

	mu        sync.Mutex
	listeners []*listener
}

// listener is a connection that listens.
type listener struct{ heard, deaf atomic.Bool }

// tap puts a wire before the database at address.
func tap(t *testing.T, address string) *wire {
	t.Helper()
	w := &wire{hears: make(chan struct{}, 100)}
	w.url = relay.To(t, address, w.carry)
	return w
}

// deafen lets the listeners of now hear nothing more; those that come later will.
func (w *wire) deafen() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, l := range w.listeners {
		l.deaf.Store(true)
	}
	w.listeners = nil
}

func (w *wire) carry(client, server net.Conn) {
	var here listener
	go func() {
		pass(server, client, func(said []byte) bool {
			if bytes.Contains(said, []byte("LISTEN litemaas_access")) {
				w.mu.Lock()
				defer w.mu.Unlock()
				w.listeners = append(w.listeners, &here)
			}
			return true
		})
		_ = server.Close() // the other way ends, too
	}()
	pass(client, server, func(said []byte) bool {
		if bytes.Contains(said, []byte("litemaas_beat_")) && !here.heard.Swap(true) {
			w.hears <- struct{}{}
		}
		return !here.deaf.Load()
	})
}

// pass hands on what comes, where that is to be let through.
func pass(to io.Writer, from io.Reader, through func([]byte) bool) {
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 && through(buf[:n]) {
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}
