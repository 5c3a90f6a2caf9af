//go:build litellm

// Package litellm walks through LiteMaaS with a real LiteLLM.
package litellm_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/models/store/storetest"
	"github.com/litemaas/litemaas/temporal/temporaltest"
	"github.com/litemaas/litemaas/test/internal/program"
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
	s.url = program.Serve(t, binary, append(append(os.Environ(), settings...),
		"DATABASE_URL="+storetest.URL(t), "TEMPORAL_ADDRESS="+temporal.Address, "TEMPORAL_NAMESPACE="+temporal.Namespace,
		"LITELLM_API_URL="+s.litellm, "LITELLM_API_KEY="+s.masterKey, "LITELLM_AUTO_SYNC=false", "DEFAULT_USER_RPM_LIMIT=1000",
		"NODE_ENV=development", "AUTH_PROVIDER=mock", "ADMIN_API_KEYS="+adminKey, "LITEMAAS_SECRETS_KEYSET="+string(bytes.TrimSpace(keyset)),
		"LITEMAAS_VERIFY_EXT_AUTHZ=true", "LITEMAAS_VERIFY_SECRET="+gatewaySecret, "LOG_LEVEL=debug"), listenAt(t), func() []string { return s.secrets })
	return s
}

// variable is one that says where the LiteLLM is.
func variable(t *testing.T, name string) string {
	t.Helper()
	value := os.Getenv(name)
	require.NotEmpty(t, value, "%s is not set: run this through `make journey`", name)
	return value
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
