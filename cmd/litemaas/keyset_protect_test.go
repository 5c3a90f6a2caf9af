package main

import (
	"bytes"
	"context"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/cmd/internal/keyset"
	"github.com/litemaas/litemaas/cmd/internal/keyset/vaulttest"
	"github.com/litemaas/litemaas/models"
)

const transitKey = "transit/litemaas"

// opened is the keyset in the file, as the KMS gives it.
func opened(t *testing.T, uri string) *keyset.Sealer {
	t.Helper()
	raw, err := os.ReadFile("keyset.json")
	require.NoError(t, err)
	kms, err := keyset.OpenKMS(uri, "")
	require.NoError(t, err)
	text, err := kms.Decrypt(models.SecretOf(string(raw)))
	require.NoError(t, err)
	s, err := keyset.Parse(text)
	require.NoError(t, err)
	return s
}

// A keyset in clear text is put under a KMS, stays there when it is rotated, and moves to another key;
// what was sealed before can be opened all the time.
func TestKeysetProtect(t *testing.T) {
	k := vaulttest.Start(t, transitKey, "transit/next")
	v := newVault(t)
	sealed, err := v.sealer(t).Seal([]byte("hush"), nil)
	require.NoError(t, err)
	status, out, errs := v.keyset(t, "status")
	require.Zero(t, status, errs)
	require.Contains(t, out, "The keyset (secrets.keyset_file) is in clear text")
	status, _, errs = v.keyset(t, "protect")
	require.Equal(t, exitUsage, status)
	require.Contains(t, errs, "secrets.kms_uri is not set: say which key")

	status, out, errs = v.keyset(t, "protect", "--kms-uri", k.URI(transitKey), "--print")
	require.Zero(t, status, errs)
	require.True(t, keyset.Encrypted(models.SecretOf(out)))
	require.Equal(t, sealed[:5], v.sealer(t).Keys()[0].Mark, "the file is as it was")
	v.set = append(v.set, "--set", "secrets.kms_uri="+k.URI(transitKey))
	status, out, errs = v.keyset(t, "protect")
	require.Zero(t, status, errs)
	require.Contains(t, out, "The keyset is encrypted by "+k.URI(transitKey)+".\nIt is in keyset.json.")
	require.Contains(t, out, "Give it to every replica together with secrets.kms_uri")

	for _, want := range []string{"Step 1 of 3", "Step 2 of 3"} {
		status, out, errs = v.keyset(t, "rotate")
		require.Zero(t, status, errs)
		require.Contains(t, out, want)
		plain, err := opened(t, k.URI(transitKey)).Open(sealed, nil)
		require.NoError(t, err)
		require.Equal(t, "hush", string(plain))
	}
	keys := opened(t, k.URI(transitKey)).Keys()
	require.Len(t, keys, 2)
	require.Equal(t, sealed[:5], keys[1].Mark)
	status, out, errs = v.keyset(t, "status")
	require.Zero(t, status, errs)
	require.Contains(t, out, "The keyset (secrets.keyset_file) is encrypted by "+k.URI(transitKey)+".\n")
	require.Contains(t, out, keys[0].Name+" ")

	v.set = append(v.set, "--set", "secrets.kms_uri="+k.URI("transit/next"))
	status, _, errs = v.keyset(t, "protect")
	require.Equal(t, exitUsage, status)
	require.Contains(t, errs, "see that the key is there, and is the one that encrypted it")
	status, _, errs = v.keyset(t, "protect", "--from", "transit/litemaas")
	require.Equal(t, exitUsage, status)
	require.Contains(t, errs, "--from must be the key of a KMS")
	status, _, errs = v.keyset(t, "protect", "--from", k.URI(transitKey))
	require.Zero(t, status, errs)
	require.Equal(t, keys, opened(t, k.URI("transit/next")).Keys())
}

// The commands that print keysets print encrypted ones, and change such; one that is kept in the
// environment is protected by --print.
func TestKeysetUnderKMS(t *testing.T) {
	clean(t)
	k := vaulttest.Start(t, transitKey)
	status, made, errs := cli(t, "keyset", "new", "--kms-uri", k.URI(transitKey))
	require.Zero(t, status, errs)
	require.True(t, keyset.Encrypted(models.SecretOf(made)))
	t.Setenv("LITEMAAS_SECRETS_KMS_URI", k.URI(transitKey))
	change := func(part, text string) string {
		cmd := rootCmd()
		cmd.SetArgs([]string{"keyset", part})
		cmd.SetIn(strings.NewReader(text))
		var out bytes.Buffer
		cmd.SetOut(&out)
		require.NoError(t, cmd.ExecuteContext(t.Context()), part)
		require.True(t, keyset.Encrypted(models.SecretOf(out.String())))
		writeFile(t, "keyset.json", out.String())
		return out.String()
	}
	wide := change("widen", made)
	require.Len(t, opened(t, k.URI(transitKey)).Keys(), 2)
	change("narrow", change("promote", wide))
	require.Len(t, opened(t, k.URI(transitKey)).Keys(), 1)

	t.Setenv("LITEMAAS_SECRETS_KEYSET", newKeyset(t))
	status, _, errs = cli(t, "keyset", "protect")
	require.Equal(t, exitUsage, status)
	require.Contains(t, errs, "secrets.keyset is no file that could be changed: use --print")
	status, out, errs := cli(t, "keyset", "protect", "--print")
	require.Zero(t, status, errs)
	require.Contains(t, errs, "restart them all")
	t.Setenv("LITEMAAS_SECRETS_KEYSET", out)
	c, err := read(t)
	require.NoError(t, err, "an encrypted keyset is a good value")
	require.Contains(t, k.Calls(), "transit/decrypt/litemaas")
	s, err := c.Secrets.sealer()
	require.NoError(t, err)
	require.Len(t, s.Keys(), 1)
}

// A replica asks the KMS once, at its start, and not to look at the configuration.
func TestKMSIsAskedOnce(t *testing.T) {
	k := vaulttest.Start(t, transitKey)
	v := newVault(t, "secrets.kms_uri="+k.URI(transitKey), "auth.provider=oidc", "auth.issuer=https://sso.example", "auth.client_id=x")
	status, _, errs := v.keyset(t, "protect")
	require.Zero(t, status, errs)
	k.Calls()
	cfg, err := read(t, v.set...)
	require.NoError(t, err)
	status, out, _ := cli(t, append([]string{"config"}, v.set...)...)
	require.Zero(t, status)
	require.Contains(t, out, k.URI(transitKey))
	require.Empty(t, k.Calls())
	require.NoError(t, needsPeople(cfg))
	p, err := assemble(t.Context(), cfg)
	require.NoError(t, err)
	defer p.close()
	_, err = cfg.people(p.store)
	require.NoError(t, err)
	require.Equal(t, []string{"transit/decrypt/litemaas"}, k.Calls())
	k.Close()
	sealed, err := p.sealer.Seal([]byte("hush"), nil)
	require.NoError(t, err)
	plain, err := p.sealer.Open(sealed, nil)
	require.NoError(t, err)
	require.Equal(t, "hush", string(plain), "the KMS is not needed for values")
}

// Who cannot start because of the KMS is told what to do.
func TestStartWithoutKMS(t *testing.T) {
	for name, tc := range map[string]struct {
		keyset func(t *testing.T, k *vaulttest.Vault)
		uri    func(k *vaulttest.Vault) string
		status int
		want   []string
	}{
		"a keyset in clear text": {
			keyset: func(t *testing.T, _ *vaulttest.Vault) { t.Helper(); writeFile(t, "keyset.json", newKeyset(t)) },
			status: exitUsage, want: []string{"secrets.keyset_file: the keyset is not encrypted, and secrets.kms_uri is set: `litemaas keyset protect` encrypts it"},
		},
		"no KMS configured": {
			uri:    func(*vaulttest.Vault) string { return "" },
			status: exitUsage, want: []string{"secrets.keyset_file: the keyset is encrypted by a KMS: set secrets.kms_uri to the key that did it"},
		},
		"a URI that is none": {
			uri:    func(*vaulttest.Vault) string { return "vault://h/transit/keys/k" },
			status: exitUsage, want: []string{"secrets.kms_uri is not good (flag --set): it must be the key of a KMS, such as hcvault://"},
		},
		"another key": {
			uri:    func(k *vaulttest.Vault) string { return k.URI("transit/other") },
			status: exitUsage, want: []string{"secrets.kms_uri: hcvault://", "does not decrypt the keyset", "is the one that encrypted it"},
		},
		"a KMS that is away": {
			uri:    func(k *vaulttest.Vault) string { defer k.Close(); return k.URI(transitKey) },
			status: exitFailed, want: []string{"secrets.kms_uri: the KMS of hcvault://", "does not answer", "connection refused"},
		},
		"no permission": {
			uri:    func(k *vaulttest.Vault) string { k.Deny("decrypt"); return k.URI(transitKey) },
			status: exitFailed, want: []string{"secrets.kms_uri: the KMS does not let us decrypt", "see that VAULT_TOKEN, or secrets.vault_role, is good"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			clean(t)
			k := vaulttest.Start(t, transitKey, "transit/other")
			if tc.keyset == nil {
				status, made, errs := cli(t, "keyset", "new", "--kms-uri", k.URI(transitKey))
				require.Zero(t, status, errs)
				writeFile(t, "keyset.json", made)
			} else {
				tc.keyset(t, k)
			}
			uri := k.URI(transitKey)
			if tc.uri != nil {
				uri = tc.uri(k)
			}
			for _, command := range []string{"serve", "worker"} {
				var out, errs shared
				status := run(context.WithoutCancel(t.Context()), []string{command, "--set", "database.url=postgres://h/d", "--set", "secrets.keyset_file=keyset.json", "--set", "secrets.kms_uri=" + uri}, &out, &errs)
				require.Equal(t, tc.status, status, errs.String())
				for _, want := range tc.want {
					require.Contains(t, errs.String(), want)
				}
				require.NotContains(t, errs.String(), vaulttest.Token)
			}
		})
	}
}
