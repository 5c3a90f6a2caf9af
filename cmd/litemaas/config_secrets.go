package main

import (
	"os"
	"sync"

	"github.com/litemaas/litemaas/cmd/internal/keyset"
	"github.com/litemaas/litemaas/models"
)

// secretsConfig is where the keys are that seal secrets in the database.
type secretsConfig struct {
	Keyset     models.Secret `mapstructure:"keyset"`
	KeysetFile string        `mapstructure:"keyset_file"`
	KMSURI     string        `mapstructure:"kms_uri"` // of the key that the keyset is encrypted by; empty: it is in clear text
	VaultRole  string        `mapstructure:"vault_role"`

	opened *openedKeyset
}

// openedKeyset is a keyset as it was read, and in clear text, so that a KMS is asked once.
type openedKeyset struct {
	sync.Mutex
	text, plain models.Secret
}

// needsKeyset is the need of a command that makes tokens.
func needsKeyset(c config) error {
	if !c.Secrets.given() {
		return models.Errorf(models.Invalid, "secrets.keyset is not set, which tokens and sign-ins need: `litemaas keyset new > keyset.json`, and set secrets.keyset_file to that file, on every replica").On("secrets.keyset")
	}
	return nil
}

// needsKMS is the need of a command that encrypts the keyset.
func needsKMS(c config) error {
	if c.Secrets.KMSURI == "" {
		return models.Errorf(models.Invalid, "secrets.kms_uri is not set: say which key shall encrypt the keyset, with --kms-uri").On("secrets.kms_uri")
	}
	return nil
}

// given reports whether there is a keyset.
func (c secretsConfig) given() bool { return !c.Keyset.IsZero() || c.KeysetFile != "" }

// from is the setting that the keyset comes from.
func (c secretsConfig) from() string {
	if !c.Keyset.IsZero() {
		return "secrets.keyset"
	}
	return "secrets.keyset_file"
}

// sealer seals by the keyset; without one it refuses to.
func (c secretsConfig) sealer() (models.Keyring, error) {
	if !c.given() {
		return noKeyset{}, nil
	}
	text, err := c.plain()
	if err != nil {
		return nil, err
	}
	s, err := keyset.Parse(text)
	return s, blame(c.from(), err)
}

// text is the keyset as it is configured.
func (c secretsConfig) text() (models.Secret, error) {
	if !c.Keyset.IsZero() {
		return c.Keyset, nil
	}
	raw, err := os.ReadFile(c.KeysetFile)
	if err != nil {
		return models.Secret{}, blame(c.from(), models.Wrap(models.Invalid, err, "the keyset cannot be read"))
	}
	return models.SecretOf(string(raw)), nil
}

// plain is the configured keyset in clear text.
func (c secretsConfig) plain() (models.Secret, error) {
	text, err := c.text()
	if err != nil {
		return text, err
	}
	c.opened.Lock()
	defer c.opened.Unlock()
	if c.opened.text == text {
		return c.opened.plain, nil
	}
	plain, err := c.decrypted(text, c.from())
	if err == nil {
		c.opened.text, c.opened.plain = text, plain
	}
	return plain, err
}

// decrypted is a keyset in clear text. It is Invalid when it is encrypted and no KMS is configured,
// and the other way round; from says where the keyset is from.
func (c secretsConfig) decrypted(text models.Secret, from string) (models.Secret, error) {
	switch encrypted := keyset.Encrypted(text); {
	case encrypted && c.KMSURI == "":
		return text, models.Errorf(models.Invalid, "%s: the keyset is encrypted by a KMS: set secrets.kms_uri to the key that did it", from).On("secrets.kms_uri")
	case !encrypted && c.KMSURI != "":
		return text, models.Errorf(models.Invalid, "%s: the keyset is not encrypted, and secrets.kms_uri is set: `litemaas keyset protect` encrypts it", from).On("secrets.kms_uri")
	case !encrypted:
		return text, nil
	}
	kms, err := keyset.OpenKMS(c.KMSURI, c.VaultRole)
	if err == nil {
		text, err = kms.Decrypt(text)
	}
	return text, blame("secrets.kms_uri", err)
}

// kept is a keyset as it is to be kept: encrypted, if that is configured.
func (c secretsConfig) kept(plain models.Secret) (models.Secret, error) {
	if c.KMSURI == "" {
		return plain, nil
	}
	kms, err := keyset.OpenKMS(c.KMSURI, c.VaultRole)
	if err == nil {
		plain, err = kms.Encrypt(plain)
	}
	return plain, blame("secrets.kms_uri", err)
}

// blame makes a setting the one to blame.
func blame(key string, err error) error {
	if err == nil {
		return nil
	}
	return models.Errorf(models.KindOf(err), "%s: %s", key, err).On(key)
}

// noKeyset is the sealer of who has no keyset.
type noKeyset struct{}

var errNoKeyset = models.Errorf(models.Internal, "secrets.keyset is not set")

func (noKeyset) Seal([]byte, []byte) ([]byte, error) { return nil, errNoKeyset }
func (noKeyset) Open([]byte, []byte) ([]byte, error) { return nil, errNoKeyset }
func (noKeyset) Keys() []models.SealingKey           { return nil }

var (
	keysetText = kind{
		read: func(text string) (any, bool) {
			_, err := keyset.Parse(models.SecretOf(text))
			return models.SecretOf(text), err == nil || keyset.Encrypted(models.SecretOf(text))
		},
		right: "a keyset in JSON, as `litemaas keyset new` makes one", show: hidden,
	}
	kmsURI = kind{
		read:  func(text string) (any, bool) { return text, keyset.IsKMS(text) },
		right: "the key of a KMS, such as hcvault://vault.example.com:8200/transit/keys/litemaas or aws-kms://arn:aws:kms:eu-central-1:123456789012:key/…", show: maskLogin,
	}
)
