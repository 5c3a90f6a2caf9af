// Package vaulttest is HashiCorp Vault, as far as keysets need it: the secrets engine transit, and
// the auth method kubernetes. What it says when it refuses is what Vault says.
package vaulttest

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"path"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// Token is the token of who may use the keys.
const Token = "hvs.token"

// Vault is a server with keys.
type Vault struct {
	*httptest.Server

	mu     sync.Mutex
	keys   map[string]cipher.AEAD // by mount and name
	calls  []string
	denied string // the operation that nobody may
	old    bool
	sealed bool
}

// Start returns a server with these keys, such as transit/litemaas, by HTTPS, which the environment
// of the test leads to.
func Start(t *testing.T, keys ...string) *Vault {
	t.Helper()
	v := &Vault{keys: map[string]cipher.AEAD{}}
	for _, name := range keys {
		raw := make([]byte, 32)
		_, err := rand.Read(raw)
		require.NoError(t, err)
		block, err := aes.NewCipher(raw)
		require.NoError(t, err)
		v.keys[name], err = cipher.NewGCM(block)
		require.NoError(t, err)
	}
	v.Server = httptest.NewTLSServer(http.HandlerFunc(v.serve))
	t.Cleanup(v.Close)
	for _, name := range []string{"VAULT_ADDR", "VAULT_AGENT_ADDR", "VAULT_NAMESPACE"} {
		t.Setenv(name, "")
	}
	t.Setenv("VAULT_SKIP_VERIFY", "true")
	t.Setenv("VAULT_TOKEN", Token)
	t.Setenv("VAULT_MAX_RETRIES", "0")
	return v
}

// URI is how Tink calls a key.
func (v *Vault) URI(key string) string {
	return "hcvault://" + v.Listener.Addr().String() + "/" + path.Dir(key) + "/keys/" + path.Base(key)
}

// Deny lets nobody do an operation, such as encrypt; "" lets everybody do everything.
func (v *Vault) Deny(operation string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.denied = operation
}

// Seal has the server answer as one that was not unsealed.
func (v *Vault) Seal() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.sealed = true
}

// Old has the server answer to what another key encrypted as Vault 1.6 did.
func (v *Vault) Old() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.old = true
}

// Calls are the paths that were asked for since the last time.
func (v *Vault) Calls() []string {
	v.mu.Lock()
	defer v.mu.Unlock()
	calls := v.calls
	v.calls = nil
	return calls
}

func (v *Vault) serve(w http.ResponseWriter, r *http.Request) {
	v.mu.Lock()
	defer v.mu.Unlock()
	at := strings.TrimPrefix(r.URL.Path, "/v1/")
	v.calls = append(v.calls, at)
	var in map[string]string
	err := json.NewDecoder(r.Body).Decode(&in)
	operation := path.Base(path.Dir(at))
	key, known := v.keys[path.Join(path.Dir(path.Dir(at)), path.Base(at))]
	switch {
	case v.sealed:
		refuse(w, http.StatusServiceUnavailable, "Vault is sealed")
	case err != nil:
		refuse(w, http.StatusBadRequest, "error parsing JSON")
	case path.Base(at) == "login":
		login(w, at, in)
	case r.Header.Get("X-Vault-Token") != Token, v.denied == operation:
		refuse(w, http.StatusForbidden, "1 error occurred:\n\t* permission denied\n\n")
	case !known:
		refuse(w, http.StatusBadRequest, "encryption key not found")
	case operation == "encrypt":
		encrypt(w, key, in)
	case operation == "decrypt":
		v.decrypt(w, key, in)
	default:
		refuse(w, http.StatusNotFound, "no handler for route")
	}
}

func encrypt(w http.ResponseWriter, key cipher.AEAD, in map[string]string) {
	plain, err := base64.StdEncoding.DecodeString(in["plaintext"])
	if err != nil {
		refuse(w, http.StatusBadRequest, "failed to base64-decode plaintext")
		return
	}
	nonce := make([]byte, key.NonceSize())
	_, _ = rand.Read(nonce) // never fails
	answer(w, map[string]any{"data": map[string]any{"ciphertext": "vault:v1:" + base64.StdEncoding.EncodeToString(key.Seal(nonce, nonce, plain, nil)), "key_version": 1}})
}

func (v *Vault) decrypt(w http.ResponseWriter, key cipher.AEAD, in map[string]string) {
	text, ours := strings.CutPrefix(in["ciphertext"], "vault:v1:")
	sealed, err := base64.StdEncoding.DecodeString(text)
	if !ours || err != nil || len(sealed) < key.NonceSize() {
		refuse(w, http.StatusBadRequest, "invalid ciphertext: no prefix")
		return
	}
	plain, err := key.Open(nil, sealed[:key.NonceSize()], sealed[key.NonceSize():], nil)
	if err != nil && v.old {
		refuse(w, http.StatusInternalServerError, "1 error occurred:\n\t* cipher: message authentication failed\n\n")
		return
	}
	if err != nil {
		refuse(w, http.StatusBadRequest, "cipher: message authentication failed")
		return
	}
	answer(w, map[string]any{"data": map[string]any{"plaintext": base64.StdEncoding.EncodeToString(plain)}})
}

// login lets the pod with the token "pod" in, as role litemaas.
func login(w http.ResponseWriter, at string, in map[string]string) {
	switch {
	case at != "auth/kubernetes/login" && at != "auth/openshift/login":
		refuse(w, http.StatusForbidden, "permission denied")
	case in["role"] != "litemaas":
		refuse(w, http.StatusBadRequest, `invalid role name "`+in["role"]+`"`)
	case in["jwt"] != "pod":
		refuse(w, http.StatusForbidden, "permission denied")
	default:
		answer(w, map[string]any{"auth": map[string]any{"client_token": Token, "lease_duration": 3600}})
	}
}

func answer(w http.ResponseWriter, body any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(body) // or the client has gone
}

func refuse(w http.ResponseWriter, status int, errors ...string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"errors": errors}) // or the client has gone
}
