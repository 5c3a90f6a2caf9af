package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/litemaas/litemaas/cmd/internal/keyset"
	"github.com/litemaas/litemaas/models"
)

func keysetCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use: "keyset", Short: "Make and rotate the keys that seal secrets in the database", GroupID: groupHelp, Args: cobra.NoArgs,
		Long: `Make and rotate the keys that seal what nobody may read in the database: API keys, the keys
that sign tokens, the tokens of the identity provider. One key of a keyset seals, all of
them open.

Keep it as you keep passwords, and give it to every replica: secrets.keyset_file, or
secrets.keyset. It may be encrypted by a key of a KMS, secrets.kms_uri: then it is of use to
those only whom the KMS lets decrypt it. All of these commands work on such a keyset, too, and
leave it encrypted. To change it, run "litemaas keyset rotate", which says what to do next each
time. It does what widen and promote do, which are for keysets that are kept elsewhere, and
then seals anew what the old key sealed.`,
		Example: `  litemaas keyset new > keyset.json
  litemaas keyset new --kms-uri hcvault://vault.example.com:8200/transit/keys/litemaas > keyset.json
  litemaas keyset rotate      # again and again, until it says that all is done
  litemaas keyset status      # which key has sealed how much`,
	}
	cmd.PersistentFlags().String("kms-uri", "", "the key of a KMS that the keyset is encrypted by")
	cmd.AddCommand(
		keysetPart("new", "Print a new keyset", "Print a new keyset, with one key.", "litemaas keyset new > keyset.json", func(*cobra.Command, secretsConfig) (models.Secret, error) {
			return keyset.New()
		}),
		keysetPart("widen", "Add a key to a keyset", `Print the keyset of standard input with a further key. It opens only, so that replicas
with the old keyset can go on: what is sealed is sealed with the old key yet.`,
			"litemaas keyset widen < keyset.json > wider.json", fromInput(keyset.Widened)),
		keysetPart("promote", "Let the last key of a keyset seal", `Print the keyset of standard input with its last key as the one that seals. All replicas
must have that key by now, or they cannot open what is sealed from then on.`,
			"litemaas keyset promote < wider.json > keyset.json", fromInput(keyset.Promoted)),
		keysetPart("narrow", "Drop the keys of a keyset that seal no more", `Print the keyset of standard input with no key but the one that seals. What another key sealed
is lost with it: see first that there is nothing, by litemaas keyset status, and keep the old
keyset for as long as you keep backups from before.`,
			"litemaas keyset narrow < keyset.json > narrow.json", fromInput(keyset.Narrowed)),
		rotateCmd(), keysetStatusCmd(), protectCmd(),
	)
	return cmd
}

// keysetPart is a command that prints a keyset, encrypted if that is configured.
func keysetPart(name, short, long, example string, keys func(*cobra.Command, secretsConfig) (models.Secret, error)) *cobra.Command {
	return &cobra.Command{Use: name, Short: short, Long: long, Example: "  " + example, Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		cfg, err := load(cmd)
		if err != nil {
			return err
		}
		text, err := keys(cmd, cfg.Secrets)
		if err != nil {
			return err
		}
		if text, err = cfg.Secrets.kept(text); err != nil {
			return err
		}
		fmt.Fprintln(cmd.OutOrStdout(), text.Reveal())
		return nil
	}}
}

// fromInput changes the keyset on standard input.
func fromInput(change func(models.Secret) (models.Secret, error)) func(*cobra.Command, secretsConfig) (models.Secret, error) {
	return func(cmd *cobra.Command, c secretsConfig) (models.Secret, error) {
		raw, err := io.ReadAll(cmd.InOrStdin())
		if err != nil {
			return models.Secret{}, err
		}
		text, err := c.decrypted(models.SecretOf(string(raw)), "standard input")
		if err != nil {
			return models.Secret{}, err
		}
		return change(text)
	}
}
