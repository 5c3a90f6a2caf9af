// Package relay lies between the parts of a test and their database, and sees what passes.
package relay

import (
	"net"
	"net/url"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// To listens for connections to the database at an address, and returns the address to connect
// to in its place. Each is handed to carry, with one to the database; both are closed when it
// returns. The test ends when all have been.
func To(tb testing.TB, address string, carry func(client, server net.Conn)) string {
	tb.Helper()
	u, err := url.Parse(address)
	require.NoError(tb, err)
	l, err := (&net.ListenConfig{}).Listen(tb.Context(), "tcp", "127.0.0.1:0")
	require.NoError(tb, err)
	var open sync.WaitGroup
	tb.Cleanup(func() {
		_ = l.Close() // Accept says so
		open.Wait()
	})
	database := u.Host
	open.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			open.Go(func() { connect(client, database, carry) })
		}
	})
	u.Host = l.Addr().String()
	return u.String()
}

func connect(client net.Conn, database string, carry func(client, server net.Conn)) {
	defer func() { _ = client.Close() }()
	server, err := net.Dial("tcp", database)
	if err != nil {
		return
	}
	defer func() { _ = server.Close() }()
	carry(client, server)
}
