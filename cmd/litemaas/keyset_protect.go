package main

import (
	"github.com/spf13/cobra"

	"github.com/litemaas/litemaas/cmd/internal/keyset"
	"github.com/litemaas/litemaas/models"
)

// afterProtect is what has to be done with a keyset that was encrypted.
const afterProtect = `Give it to every replica together with secrets.kms_uri, and restart them all ("litemaas serve",
"litemaas worker"). A copy in clear text opens everything yet: destroy all of them, and run
"litemaas keyset rotate" should somebody have seen one.`

func protectCmd() *cobra.Command {
	var toOutput bool
	var from string
	cmd := &cobra.Command{
		Use: "protect", Short: "Encrypt the keyset by a key of a KMS", Args: cobra.NoArgs,
		Long: `Encrypt the keyset by the key of a KMS that secrets.kms_uri names. The keys in it stay what they
are, so nothing has to be sealed anew. A keyset that is encrypted already is encrypted anew,
by the newest version of the key; or, with --from, by another key than before.

The keys of a KMS are written as Tink does it:

  hcvault://HOST:PORT/MOUNT/keys/NAME    HashiCorp Vault or OpenBao, secrets engine transit
  aws-kms://arn:aws:kms:REGION:ACCOUNT:key/ID

Vault is reached at HOST by HTTPS, or at VAULT_ADDR; who we are there says VAULT_TOKEN, or
secrets.vault_role for pods. It needs the capability update on MOUNT/encrypt/NAME and
MOUNT/decrypt/NAME; with create on the former, Vault makes a key of a mistyped name. Further
names in the environment are those of Vault's own command line (VAULT_CACERT,
VAULT_NAMESPACE), and those of AWS's (AWS_PROFILE, AWS_ACCESS_KEY_ID, …).

The KMS is asked at the start of a replica, and by these commands; never for a value.`,
		Example: `  vault write -f transit/keys/litemaas
  litemaas keyset protect --kms-uri hcvault://vault.example.com:8200/transit/keys/litemaas
  litemaas keyset protect --print > encrypted.json    # for a keyset that is kept elsewhere

Then: what it says, and litemaas keyset status at the end.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := load(cmd, needsKeyset, needsKMS)
			if err != nil {
				return err
			}
			if from != "" && !keyset.IsKMS(from) {
				return models.Errorf(models.Invalid, "--from must be %s", kmsURI.right).On("--from")
			}
			plain, err := cfg.Secrets.before(from)
			if err != nil {
				return err
			}
			return putKeyset(cmd, cfg.Secrets, plain, toOutput, "The keyset is encrypted by "+cfg.Secrets.KMSURI+".", afterProtect)
		},
	}
	cmd.Flags().BoolVar(&toOutput, "print", false, "print the encrypted keyset to standard output, and leave the file as it is")
	cmd.Flags().StringVar(&from, "from", "", "the key of a KMS that the keyset is encrypted by yet, if another than secrets.kms_uri")
	return cmd
}

// before is the keyset in clear text as it was before it is protected: in clear text, or encrypted by
// the key of that URI, or else by the one that shall encrypt it.
func (c secretsConfig) before(uri string) (models.Secret, error) {
	text, err := c.text()
	if err != nil || !keyset.Encrypted(text) {
		return text, err
	}
	if uri != "" {
		c.KMSURI = uri
	}
	return c.decrypted(text, c.from())
}
