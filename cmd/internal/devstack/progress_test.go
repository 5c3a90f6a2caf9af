package devstack

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// What is quick is not worth a line, and what fails says so by its error.
func TestProgressIsQuiet(t *testing.T) {
	var out bytes.Buffer
	p := NewProgress(&out)
	require.NoError(t, p.During("Quick", func(say func(string)) error { say("half"); return nil }))
	require.EqualError(t, p.During("Broken", func(func(string)) error { return errors.New("why") }), "why")
	require.Empty(t, out.String())
}

func TestBrief(t *testing.T) {
	for d, text := range map[time.Duration]string{
		420 * time.Millisecond: "0.4 s", 12400 * time.Millisecond: "12 s", 59900 * time.Millisecond: "1 min 0 s", 8*time.Minute + 31*time.Second: "8 min 31 s",
	} {
		require.Equal(t, text, brief(d))
	}
}
