//go:build litellm

// Package litellm walks through LiteMaaS with a real LiteLLM.
package litellm_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/models/store/storetest"
	"github.com/litemaas/litemaas/temporal/temporaltest"
)

const (
	adminKey      = "ltm_admin_of_this_test_only"
	gatewaySecret = "a-secret-of-gateways"

	// patience bounds what a test waits for.
	patience = 30 * time.Second
)

// system is the built program with everything real behind it, and a user who is new to LiteLLM.
type system struct {
	url, litellm, masterKey string
	username, ada           string // and how she signed in last

	secrets []string // that the program may tell nobody
}

// start starts it, with settings beside the usual ones.
func start(t *testing.T, settings ...string) *system {
	t.Helper()
	s := &system{
		litellm: strings.TrimSuffix(variable(t, "LITELLM_BASE_URL"), "/"), masterKey: variable(t, "LITELLM_MASTER_KEY"),
		username: "ada-" + uuid.NewString() + "@example.com",
	}
	s.secrets = []string{s.masterKey, adminKey, gatewaySecret}
	if secret := os.Getenv(usageSecret); secret != "" {
		s.secrets = append(s.secrets, secret)
	}
	binary := filepath.Join(t.TempDir(), "litemaas")
	out, err := exec.Command("go", "build", "-o", binary, "github.com/litemaas/litemaas/cmd/litemaas").CombinedOutput()
	require.NoError(t, err, string(out))
	keyset, err := exec.Command(binary, "keyset", "new").Output()
	require.NoError(t, err)
	temporal := temporaltest.Config(t)
	s.url = s.serve(t, binary, append(settings,
		"DATABASE_URL="+storetest.URL(t), "TEMPORAL_ADDRESS="+temporal.Address, "TEMPORAL_NAMESPACE="+temporal.Namespace,
		"LITELLM_API_URL="+s.litellm, "LITELLM_API_KEY="+s.masterKey, "LITELLM_AUTO_SYNC=false", "DEFAULT_USER_RPM_LIMIT=1000",
		"NODE_ENV=development", "AUTH_PROVIDER=mock", "ADMIN_API_KEYS="+adminKey, "LITEMAAS_SECRETS_KEYSET="+string(bytes.TrimSpace(keyset)),
		"LITEMAAS_VERIFY_EXT_AUTHZ=true", "LITEMAAS_VERIFY_SECRET="+gatewaySecret, "LOG_LEVEL=debug")...)
	return s
}

// variable is one that says where the LiteLLM is.
func variable(t *testing.T, name string) string {
	t.Helper()
	value := os.Getenv(name)
	require.NotEmpty(t, value, "%s is not set: run this through `make journey`", name)
	return value
}

var listens = regexp.MustCompile(`msg="the API listens" address=(\S+)`)

// serve starts the program and returns where it listens. In the end it must have told its log no
// secret.
func (s *system) serve(t *testing.T, binary string, settings ...string) string {
	t.Helper()
	cmd := exec.Command(binary, "serve", "--listen", listenAt(t))
	cmd.Env, cmd.Dir = append(os.Environ(), settings...), t.TempDir()
	said, err := cmd.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	address, ended := make(chan string, 1), make(chan struct{})
	var log strings.Builder
	go func() {
		defer close(ended)
		lines := bufio.NewReader(said)
		for {
			line, err := lines.ReadString('\n')
			log.WriteString(line)
			if found := listens.FindStringSubmatch(line); found != nil {
				address <- found[1]
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
		for _, secret := range s.secrets {
			require.NotContains(t, log.String(), secret)
		}
	})
	select {
	case at := <-address:
		return "http://" + at
	case <-ended:
		require.Fail(t, "the program ended")
	case <-time.After(patience):
		require.Fail(t, "the program does not listen")
	}
	return ""
}

// reply is an answer, read.
type reply struct {
	status int
	body   []byte
	t      *testing.T
}

// is requires the status.
func (r reply) is(status int) reply {
	r.t.Helper()
	require.Equal(r.t, status, r.status, "%s", r.body)
	return r
}

// at is a text in the answer's JSON object.
func (r reply) at(name string) string {
	r.t.Helper()
	var out map[string]any
	require.NoError(r.t, json.Unmarshal(r.body, &out), "%s", r.body)
	return fmt.Sprint(out[name])
}

// send sends a request; header are pairs of names and values.
func send(t *testing.T, method, url, bearer, body string, header ...string) reply {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	require.NoError(t, err)
	req.Header.Set("Authorization", "Bearer "+bearer)
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer func() { _ = res.Body.Close() }()
	raw, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	return reply{res.StatusCode, raw, t}
}

// signIn makes ada somebody who is signed in.
func (s *system) signIn(t *testing.T) {
	t.Helper()
	in := send(t, http.MethodPost, s.url+"/api/auth/dev-token", "", fmt.Sprintf(`{"username": %q, "roles": ["user"]}`, s.username))
	s.ada = in.is(http.StatusOK).at("access_token")
	s.secrets = append(s.secrets, s.ada)
}

// asks is a request of ada's.
func (s *system) asks(t *testing.T, method, path, body string) reply {
	t.Helper()
	return send(t, method, s.url+"/api/v1"+path, s.ada, body)
}

// orders is a request of an admin's.
func (s *system) orders(t *testing.T, method, path, body string) reply {
	t.Helper()
	return send(t, method, s.url+"/api/v1"+path, adminKey, body)
}
