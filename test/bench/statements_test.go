package bench_test

import (
	"bufio"
	"encoding/binary"
	"io"
	"net"
	"sync/atomic"
	"testing"

	"github.com/litemaas/litemaas/test/internal/relay"
)

// counter lies before a database, and counts the statements that pass.
type counter struct {
	url string // of the database, through the counter
	n   atomic.Int64
}

func count(b *testing.B, address string) *counter {
	b.Helper()
	c := &counter{}
	c.url = relay.To(b, address, c.carry)
	return c
}

func (c *counter) carry(client, server net.Conn) {
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
