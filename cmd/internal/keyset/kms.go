package keyset

import (
	"bytes"
	"errors"
	"regexp"
	"strings"
	"time"

	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"

	"github.com/litemaas/litemaas/models"
)

// KMS encrypts keysets, as Tink does, by a key that never leaves a key management service.
type KMS struct {
	uri string
	kmsClient
}

// kmsClient is what one sort of KMS says and needs.
type kmsClient struct {
	key    tink.AEAD
	judge  func(error) models.Kind // of what the service answers
	rights string                  // what we need there
}

// answerWithin bounds how long a KMS may take, all tries and signing in together.
const answerWithin = 20 * time.Second

// schemes are the URIs of keys, each with what opens one.
var schemes = []struct {
	uri  *regexp.Regexp
	open func(uri, vaultRole string) (kmsClient, error)
}{
	{regexp.MustCompile(`^hcvault://[\w.\-]+(:\d+)?(/[\w.\-]+)+/keys/[\w.\-]+$`), vault},
	{regexp.MustCompile(`^aws-kms://arn:aws[\w\-]*:kms:[a-z0-9\-]+:\d+:(key|alias)/[\w/\-]+$`), aws},
}

// IsKMS reports whether that is the URI of a key, as Tink writes it.
func IsKMS(uri string) bool {
	for _, s := range schemes {
		if s.uri.MatchString(uri) {
			return true
		}
	}
	return false
}

// OpenKMS returns the KMS with the key of that URI; vaultRole is the role by which a pod signs in
// to Vault, if any. It connects to nothing by itself. It is Invalid when the URI is none, or what
// the environment says of the service is not good.
func OpenKMS(uri, vaultRole string) (*KMS, error) {
	for _, s := range schemes {
		if !s.uri.MatchString(uri) {
			continue
		}
		client, err := s.open(uri, vaultRole)
		if err != nil {
			return nil, models.Wrap(models.Invalid, err, "%s cannot be used", uri)
		}
		return &KMS{uri, client}, nil
	}
	return nil, models.Errorf(models.Invalid, "it is no key of a KMS")
}

// Encrypted reports whether a text is a keyset that a KMS encrypted.
func Encrypted(text models.Secret) bool {
	k, err := keyset.NewJSONReader(strings.NewReader(text.Reveal())).ReadEncrypted()
	return err == nil && len(k.GetEncryptedKeyset()) > 0
}

// Encrypt returns the keyset encrypted by the key, when it could be decrypted again. It is Invalid
// when it is no keyset, and else as Decrypt is.
func (k *KMS) Encrypt(text models.Secret) (models.Secret, error) {
	h, err := read(text)
	if err != nil {
		return models.Secret{}, err
	}
	var b bytes.Buffer
	key := &keptError{AEAD: k.key}
	if err := h.WriteWithAssociatedData(keyset.NewJSONWriter(&b), key, nil); err != nil {
		return models.Secret{}, k.told("encrypt", key.or(err))
	}
	encrypted := models.SecretOf(strings.TrimSpace(b.String()))
	_, err = k.Decrypt(encrypted) // or nobody could start with it
	return encrypted, err
}

// Decrypt returns the keyset in clear text. It is Unavailable when the KMS does not answer, Forbidden
// when it does not let us, and Invalid when the key is another, or not there.
func (k *KMS) Decrypt(text models.Secret) (models.Secret, error) {
	key := &keptError{AEAD: k.key}
	h, err := keyset.ReadWithAssociatedData(keyset.NewJSONReader(strings.NewReader(text.Reveal())), key, nil)
	if err != nil {
		return models.Secret{}, k.told("decrypt", key.or(err))
	}
	return write(h)
}

// keptError keeps the error of a key, of which Tink makes a text.
type keptError struct {
	tink.AEAD
	err error
}

func (k *keptError) Encrypt(plain, associated []byte) (sealed []byte, err error) {
	sealed, k.err = k.AEAD.Encrypt(plain, associated)
	return sealed, k.err
}

func (k *keptError) Decrypt(sealed, associated []byte) (plain []byte, err error) {
	plain, k.err = k.AEAD.Decrypt(sealed, associated)
	return plain, k.err
}

// or is what the key said, else what was wrong with what it gave.
func (k *keptError) or(err error) error {
	if k.err != nil {
		return k.err
	}
	return models.Wrap(models.Invalid, err, "it gave no keyset")
}

// told says what went wrong at the KMS, and what to do.
func (k *KMS) told(do string, err error) error {
	if ours, ok := errors.AsType[*models.Error](err); ok {
		return models.Errorf(ours.Kind, "%s: %s", k.uri, said(ours))
	}
	switch kind := k.judge(err); kind {
	case models.Forbidden:
		return models.Errorf(kind, "the KMS does not let us %s by %s: %s: %s", do, k.uri, said(err), k.rights)
	case models.Invalid:
		return models.Errorf(kind, "%s does not %s the keyset: %s: see that the key is there, and is the one that encrypted it", k.uri, do, said(err))
	default:
		return models.Errorf(models.Unavailable, "the KMS of %s does not answer: %s: see that it runs, and can be reached from here, and try again", k.uri, said(err))
	}
}

// said is an error on one line, which may be all that a proxy had to say.
func said(err error) string {
	line := strings.Join(strings.Fields(err.Error()), " ")
	return strings.ToValidUTF8(line[:min(len(line), 500)], "")
}
