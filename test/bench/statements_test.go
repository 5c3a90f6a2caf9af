package bench_test

import (
	"bufio"
	"encoding/binary"
	"io"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// counter lies before a database, and counts the statements that pass.
type counter struct {
	url    string // of the database, through the counter
	n      atomic.Int64
	server string
}

func count(b *testing.B, address string) *counter {
	b.Helper()
	u, err := url.Parse(address)
	require.NoError(b, err)
	l, err := (&net.ListenConfig{}).Listen(b.Context(), "tcp", "127.0.0.1:0")
	require.NoError(b, err)
	c := &counter{server: u.Host}
	u.Host = l.Addr().String()
	c.url = u.String()
	var open sync.WaitGroup
	b.Cleanup(func() {
		_ = l.Close() // Accept says so
		open.Wait()
	})
	open.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			open.Go(func() { c.connect(client) })
		}
	})
	return c
}

func (c *counter) connect(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", c.server)
	if err != nil {
		return
	}
	go func() {
		defer server.Close() // the other way ends, too
		_ = c.read(bufio.NewReader(io.TeeReader(client, server)))
	}()
	_, _ = io.Copy(client, server)
}

// read reads what a client of Postgres sends: a first message that has no type, then a letter
// each, with a length that counts itself.
func (c *counter) read(r *bufio.Reader) error {
	for first := true; ; first = false {
		var kind byte
		var err error
		if !first {
			if kind, err = r.ReadByte(); err != nil {
				return err
			}
		}
		var length [4]byte
		if _, err := io.ReadFull(r, length[:]); err != nil {
			return err
		}
		if kind == 'E' || kind == 'Q' { // Execute, Query
			c.n.Add(1)
		}
		if _, err := r.Discard(int(binary.BigEndian.Uint32(length[:])) - len(length)); err != nil {
			return err
		}
	}
}
