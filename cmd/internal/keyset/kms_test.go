package keyset_test

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/cmd/internal/keyset"
	"github.com/litemaas/litemaas/cmd/internal/keyset/vaulttest"
	"github.com/litemaas/litemaas/models"
)

func kms(t *testing.T, uri, role string) *keyset.KMS {
	t.Helper()
	k, err := keyset.OpenKMS(uri, role)
	require.NoError(t, err)
	return k
}

func encrypted(t *testing.T, k *keyset.KMS, text models.Secret) models.Secret {
	t.Helper()
	out, err := k.Encrypt(text)
	require.NoError(t, err)
	return out
}

// refused is what the KMS says instead of decrypting.
func refused(t *testing.T, kind models.Kind, k *keyset.KMS, text models.Secret, say ...string) {
	t.Helper()
	_, err := k.Decrypt(text)
	require.Equal(t, kind, models.KindOf(err), err)
	for _, s := range say {
		require.ErrorContains(t, err, s)
	}
	require.NotContains(t, err.Error(), "\n")
	require.NotContains(t, err.Error(), vaulttest.Token)
}

// An encrypted keyset shows which keys it has and nothing of them; Vault gives back what it was.
func TestVault(t *testing.T) {
	v := vaulttest.Start(t, "transit/litemaas", "transit/other")
	k, text := kms(t, v.URI("transit/litemaas"), ""), generated(t)
	out := encrypted(t, k, text)
	require.Equal(t, []string{"transit/encrypt/litemaas", "transit/decrypt/litemaas"}, v.Calls())
	require.True(t, keyset.Encrypted(out))
	require.False(t, keyset.Encrypted(text))
	var inClear struct {
		Key []struct{ KeyData struct{ Value string } }
	}
	require.NoError(t, json.Unmarshal([]byte(text.Reveal()), &inClear))
	require.NotContains(t, out.Reveal(), inClear.Key[0].KeyData.Value)
	_, err := keyset.Parse(out)
	require.Equal(t, models.Invalid, models.KindOf(err))

	again, err := k.Decrypt(out)
	require.NoError(t, err)
	opens(t, parsed(t, again), sealed(t, parsed(t, text)))

	t.Run("another key", func(t *testing.T) {
		refused(t, models.Invalid, kms(t, v.URI("transit/other"), ""), out,
			v.URI("transit/other")+" does not decrypt the keyset", "message authentication failed", "see that the key is there, and is the one that encrypted it")
	})
	t.Run("another key of an old Vault", func(t *testing.T) {
		v.Old()
		refused(t, models.Invalid, kms(t, v.URI("transit/other"), ""), out, "does not decrypt the keyset", "message authentication failed")
	})
	t.Run("no such key", func(t *testing.T) {
		refused(t, models.Invalid, kms(t, v.URI("transit/none"), ""), out, "encryption key not found")
	})
	t.Run("no such mount", func(t *testing.T) {
		refused(t, models.Invalid, kms(t, v.URI("none/litemaas"), ""), out, "see that the key is there")
	})
	t.Run("another token", func(t *testing.T) {
		t.Setenv("VAULT_TOKEN", "hvs.other")
		refused(t, models.Forbidden, kms(t, v.URI("transit/litemaas"), ""), out, "does not let us decrypt", "permission denied",
			"has the capability update on transit/encrypt/litemaas and transit/decrypt/litemaas")
	})
	t.Run("a certificate that nobody knows", func(t *testing.T) {
		t.Setenv("VAULT_SKIP_VERIFY", "")
		refused(t, models.Unavailable, kms(t, v.URI("transit/litemaas"), ""), out, "certificate")
	})
	t.Run("at VAULT_ADDR", func(t *testing.T) {
		t.Setenv("VAULT_ADDR", v.URL)
		_, err := kms(t, "hcvault://vault.example/transit/keys/litemaas", "").Decrypt(out)
		require.NoError(t, err)
		t.Setenv("VAULT_ADDR", ":")
		_, err = keyset.OpenKMS(v.URI("transit/litemaas"), "")
		require.Equal(t, models.Invalid, models.KindOf(err))
	})
	t.Run("what nobody could decrypt is not given out", func(t *testing.T) {
		v.Deny("decrypt")
		defer v.Deny("")
		_, err := k.Encrypt(text)
		require.Equal(t, models.Forbidden, models.KindOf(err))
	})
	t.Run("what is no keyset", func(t *testing.T) {
		_, err := k.Encrypt(models.SecretOf("hush"))
		require.Equal(t, models.Invalid, models.KindOf(err))
		require.NotContains(t, err.Error(), "hush")
	})
	t.Run("sealed", func(t *testing.T) {
		v.Seal()
		refused(t, models.Unavailable, k, out, "does not answer", "Vault is sealed", "try again")
	})
	t.Run("away", func(t *testing.T) {
		v.Close()
		refused(t, models.Unavailable, kms(t, v.URI("transit/litemaas"), ""), out, "connection refused", "can be reached from here")
	})
}

// A pod signs in by its service account, once; a token in the environment counts more.
func TestVaultRole(t *testing.T) {
	v := vaulttest.Start(t, "transit/litemaas")
	out := encrypted(t, kms(t, v.URI("transit/litemaas"), "ignored"), generated(t))
	t.Setenv("VAULT_TOKEN", "")
	pod := filepath.Join(t.TempDir(), "token")
	keyset.AsPod(t, pod)
	refused(t, models.Invalid, kms(t, v.URI("transit/litemaas"), "litemaas"), out, "secrets.vault_role is for pods")

	require.NoError(t, os.WriteFile(pod, []byte("pod\n"), 0o600))
	v.Calls()
	for role, method := range map[string]string{"litemaas": "kubernetes", "openshift/litemaas": "openshift"} {
		k := kms(t, v.URI("transit/litemaas"), role)
		for range 2 {
			_, err := k.Decrypt(out)
			require.NoError(t, err)
		}
		require.Equal(t, []string{"auth/" + method + "/login", "transit/decrypt/litemaas", "transit/decrypt/litemaas"}, v.Calls())
	}
	refused(t, models.Forbidden, kms(t, v.URI("transit/litemaas"), "admin"), out, "does not take us for the role", "invalid role name")
	refused(t, models.Forbidden, kms(t, v.URI("transit/litemaas"), "none/litemaas"), out, "permission denied")
	require.NoError(t, os.WriteFile(pod, []byte("another"), 0o600))
	refused(t, models.Forbidden, kms(t, v.URI("transit/litemaas"), "litemaas"), out, "permission denied")
	v.Seal()
	refused(t, models.Unavailable, kms(t, v.URI("transit/litemaas"), "litemaas"), out, "Vault is sealed")
}

// AWS KMS does the same, by its own client.
func TestAWS(t *testing.T) {
	const uri = "aws-kms://arn:aws:kms:eu-central-1:123456789012:key/1234abcd-12ab"
	refuse := ""
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		var in struct {
			KeyID                     string `json:"KeyId"`
			Plaintext, CiphertextBlob []byte
		}
		body, err := io.ReadAll(r.Body)
		require.NoError(t, err)
		require.NoError(t, json.Unmarshal(body, &in))
		require.Equal(t, "arn:aws:kms:eu-central-1:123456789012:key/1234abcd-12ab", in.KeyID)
		turned := make([]byte, 0, len(in.Plaintext)+len(in.CiphertextBlob))
		for _, b := range append(in.Plaintext, in.CiphertextBlob...) {
			turned = append(turned, ^b)
		}
		answer := map[string]string{"Plaintext": base64.StdEncoding.EncodeToString(turned)}
		switch {
		case refuse != "":
			w.WriteHeader(http.StatusBadRequest)
			answer = map[string]string{"__type": refuse, "message": "no"}
		case r.Header.Get("X-Amz-Target") == "TrentService.Encrypt":
			answer = map[string]string{"CiphertextBlob": answer["Plaintext"]}
		}
		require.NoError(t, json.NewEncoder(w).Encode(answer))
	}))
	defer server.Close()
	for name, value := range map[string]string{
		"AWS_ENDPOINT_URL_KMS": server.URL, "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_MAX_ATTEMPTS": "1",
		"AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull, "AWS_EC2_METADATA_DISABLED": "true",
	} {
		t.Setenv(name, value)
	}
	text := generated(t)
	k := kms(t, uri, "")
	out := encrypted(t, k, text)
	again, err := k.Decrypt(out)
	require.NoError(t, err)
	opens(t, parsed(t, again), sealed(t, parsed(t, text)))

	refuse = "AccessDeniedException"
	refused(t, models.Forbidden, k, out, "does not let us decrypt", "allow kms:Encrypt and kms:Decrypt")
	refuse = "IncorrectKeyException"
	refused(t, models.Invalid, k, out, "does not decrypt the keyset")
	refuse = "KMSInternalException"
	refused(t, models.Unavailable, k, out, "try again")
	server.Close()
	refused(t, models.Unavailable, k, out, "does not answer")
	t.Setenv("AWS_ACCESS_KEY_ID", "")
	refused(t, models.Unavailable, kms(t, uri, ""), out)
}

// What is the key of a KMS is told by its URI alone.
func TestIsKMS(t *testing.T) {
	for uri, want := range map[string]bool{
		"hcvault://vault.example:8200/transit/keys/litemaas":                true,
		"hcvault://vault/team/a/transit/keys/litemaas":                      true,
		"hcvault://vault.example:8200/transit/litemaas":                     false,
		"hcvault://vault.example:8200/keys/litemaas":                        false,
		"hcvault://ada:hush@vault.example/transit/keys/litemaas":            false,
		"hcvault://vault.example/transit/keys/litemaas?x=y":                 false,
		"https://vault.example/transit/keys/litemaas":                       false,
		"aws-kms://arn:aws:kms:eu-central-1:123456789012:key/1234abcd-12ab": true,
		"aws-kms://arn:aws-us-gov:kms:us-gov-east-1:123456789012:alias/a/b": true,
		"aws-kms://alias/a": false,
		"gcp-kms://projects/p/locations/global/keyRings/r/cryptoKeys/litemaas": false,
		"": false,
	} {
		require.Equal(t, want, keyset.IsKMS(uri), uri)
		_, err := keyset.OpenKMS(uri, "")
		require.Equal(t, want, err == nil, uri)
	}
}
