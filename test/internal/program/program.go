// Package program runs the built program as an operator does.
package program

import (
	"bufio"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// patience bounds how long the program may take to listen.
const patience = 30 * time.Second

var listens = regexp.MustCompile(`msg="the API listens" address=(\S+)`)

// Serve starts `serve` with that environment, at an address such as 127.0.0.1:0, and returns its URL.
// It ends with the test, as by Ctrl-C; then it must have told its log none of the secrets, of which
// there may be more by then.
func Serve(t *testing.T, binary string, environment []string, address string, secrets func() []string, flags ...string) (url string) {
	t.Helper()
	cmd := exec.Command(binary, append([]string{"serve", "--listen", address}, flags...)...)
	cmd.Env, cmd.Dir = environment, t.TempDir()
	said, err := cmd.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	at, ended := make(chan string, 1), make(chan struct{})
	var log strings.Builder
	go func() {
		defer close(ended)
		lines := bufio.NewReader(said)
		for {
			line, err := lines.ReadString('\n')
			log.WriteString(line)
			if found := listens.FindStringSubmatch(line); found != nil {
				at <- found[1]
			}
			if err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt) // it may have ended
		<-ended
		_ = cmd.Wait()
		if t.Failed() {
			t.Log(log.String())
		}
		for _, secret := range secrets() {
			require.NotContains(t, log.String(), secret)
		}
	})
	select {
	case address := <-at:
		return "http://" + address
	case <-ended:
		require.Fail(t, "the program ended")
	case <-time.After(patience):
		require.Fail(t, "the program does not listen")
	}
	return ""
}
