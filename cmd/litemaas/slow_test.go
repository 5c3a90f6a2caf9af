package main

import (
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// pipes is a listener to connections within the process, on which time is a test's to let pass.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { close(p.closed); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

// connected is a connection to a server of ours; stop ends both.
func connected(h http.HandlerFunc) (client net.Conn, stop func()) {
	l, srv := &pipes{make(chan net.Conn), make(chan struct{})}, httpServer(h)
	var serving sync.WaitGroup
	serving.Go(func() { _ = srv.Serve(l) }) // it ends when it is closed
	client, server := net.Pipe()
	l.conns <- server
	return client, func() {
		_ = client.Close()
		_ = srv.Close()
		serving.Wait()
	}
}

// send writes text to a connection, unless the other side has had enough.
func send(c net.Conn, text string) { _, _ = io.WriteString(c, text) }

// drip sends a letter a second.
func drip(c net.Conn, text string) {
	for _, letter := range text {
		if _, err := io.WriteString(c, string(letter)); err != nil {
			return
		}
		time.Sleep(time.Second)
	}
}

// Who sends so slowly that he only holds a connection open is cut off; who is merely slow is
// not. The clock is the bubble's: no time passes.
func TestSlowSenders(t *testing.T) {
	const get, post = "GET / HTTP/1.1\r\nHost: x\r\n", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: "
	const linger = 500 * time.Millisecond // so that the last answer arrives
	for name, tc := range map[string]struct {
		client func(net.Conn)
		closed time.Duration // when the connection is
		answer string        // how what was answered begins
	}{
		"nothing is sent":           {func(net.Conn) {}, 5 * time.Second, ""},
		"the header drips":          {func(c net.Conn) { drip(c, get+"X-A: "+strings.Repeat("a", 1000)) }, 5 * time.Second, ""},
		"the header stops":          {func(c net.Conn) { send(c, get) }, 5 * time.Second, ""},
		"the header is endless":     {func(c net.Conn) { send(c, get+"X-A: "+strings.Repeat("a", 80<<10)) }, linger, "HTTP/1.1 431"},
		"the body drips":            {func(c net.Conn) { send(c, post+"1000\r\n\r\n"); drip(c, strings.Repeat("a", 1000)) }, 30 * time.Second, ""},
		"the body comes in 20 s":    {func(c net.Conn) { send(c, post+"20\r\n\r\n"); drip(c, strings.Repeat("a", 20)) }, 19*time.Second + 2*time.Minute, "HTTP/1.1 200"},
		"no second request is made": {func(c net.Conn) { send(c, get+"\r\n") }, 2 * time.Minute, "HTTP/1.1 200"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, stop := connected(func(_ http.ResponseWriter, r *http.Request) {
					if _, err := io.Copy(io.Discard, r.Body); err != nil {
						panic(http.ErrAbortHandler)
					}
				})
				var sending sync.WaitGroup
				defer sending.Wait()
				defer stop()
				start := time.Now()
				sending.Go(func() { tc.client(client) })
				answer, err := io.ReadAll(client)
				require.NoError(t, err, "the server ends it")
				require.Equal(t, tc.closed, time.Since(start))
				require.True(t, strings.HasPrefix(string(answer), tc.answer), "%s", answer)
				require.Equal(t, strings.HasPrefix(tc.answer, "HTTP/1.1 200"), strings.Contains(string(answer), "200 OK"), "%s", answer)
			})
		})
	}
}

// Who does not read the answer is cut off too.
func TestSlowReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended := make(chan time.Duration, 1)
		client, stop := connected(func(w http.ResponseWriter, _ *http.Request) {
			start := time.Now()
			if _, err := w.Write(make([]byte, 1<<20)); err != nil {
				ended <- time.Since(start)
			}
		})
		defer stop()
		send(client, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		require.Equal(t, time.Minute, <-ended)
	})
}
