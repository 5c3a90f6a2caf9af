// Package keyset encrypts what must not be readable in the database, with the keys that an
// operator keeps elsewhere: in a file, or in the environment.
//
// A keyset is JSON as Google Tink writes it. One of its keys seals, all of them open, so that a
// keyset can be rotated. Everything here is about keysets in clear text, but for KMS, which
// encrypts them.
package keyset

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	tinkpb "github.com/tink-crypto/tink-go/v2/proto/tink_go_proto"
	"github.com/tink-crypto/tink-go/v2/tink"

	"github.com/litemaas/litemaas/models"
)

// Sealer seals with a keyset. It is safe for use by many goroutines.
type Sealer struct {
	aead tink.AEAD
	keys []models.SealingKey
}

var _ models.Keyring = (*Sealer)(nil)

// New draws a keyset of one key.
func New() (models.Secret, error) {
	h, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	if err != nil {
		return models.Secret{}, err
	}
	return write(h)
}

// Parse returns a sealer with that keyset. It is Invalid when the text is none.
func Parse(text models.Secret) (*Sealer, error) {
	h, err := read(text)
	if err != nil {
		return nil, err
	}
	a, err := aead.New(h)
	if err != nil {
		return nil, models.Errorf(models.Invalid, "the keyset has no keys that seal")
	}
	return &Sealer{a, keysOf(h.KeysetInfo())}, nil
}

// keysOf lists the keys that are in use, the one that seals first.
func keysOf(info *tinkpb.KeysetInfo) []models.SealingKey {
	var keys []models.SealingKey
	for _, k := range info.GetKeyInfo() {
		if k.GetStatus() != tinkpb.KeyStatusType_ENABLED {
			continue
		}
		key := models.SealingKey{Name: strconv.FormatUint(uint64(k.GetKeyId()), 10), Mark: mark(k)}
		if k.GetKeyId() == info.GetPrimaryKeyId() {
			keys = slices.Insert(keys, 0, key)
		} else {
			keys = append(keys, key)
		}
	}
	return keys
}

// mark is how Tink begins what a key seals: a byte for the way, and the number of the key.
func mark(k *tinkpb.KeysetInfo_KeyInfo) []byte {
	way := byte(1)
	switch k.GetOutputPrefixType() {
	case tinkpb.OutputPrefixType_TINK:
	case tinkpb.OutputPrefixType_LEGACY, tinkpb.OutputPrefixType_CRUNCHY:
		way = 0
	default:
		return nil
	}
	return binary.BigEndian.AppendUint32([]byte{way}, k.GetKeyId())
}

// Load returns a sealer with the keyset in a file.
func Load(path string) (*Sealer, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, models.Wrap(models.Invalid, err, "the keyset cannot be read")
	}
	return Parse(models.SecretOf(string(text)))
}

// Ensure returns a sealer with the keyset in a file, which it makes if there is none. Several
// processes at once make one together.
func Ensure(path string) (*Sealer, error) {
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		if err := create(path); err != nil {
			return nil, models.Wrap(models.Invalid, err, "the keyset cannot be written")
		}
	}
	return Load(path)
}

// create writes a new keyset, whole or not at all, unless there is one already.
func create(path string) error {
	text, err := New()
	if err != nil {
		return err
	}
	if err := written(path, text, os.Link); !errors.Is(err, os.ErrExist) {
		return err
	}
	return nil
}

// Keys implements models.Keyring.
func (s *Sealer) Keys() []models.SealingKey { return s.keys }

// Seal implements models.Sealer.
func (s *Sealer) Seal(plain, associated []byte) ([]byte, error) {
	return s.aead.Encrypt(plain, associated)
}

// Open implements models.Sealer. It is Internal when the keyset does not open what was sealed.
func (s *Sealer) Open(sealed, associated []byte) ([]byte, error) {
	plain, err := s.aead.Decrypt(sealed, associated)
	if err != nil {
		return nil, models.Errorf(models.Internal, "it was sealed with another keyset, or for something else")
	}
	return plain, nil
}

// read says nothing of what is wrong with a keyset but that it is: the words would be those of
// the secret.
func read(text models.Secret) (*keyset.Handle, error) {
	h, err := insecurecleartextkeyset.Read(keyset.NewJSONReader(strings.NewReader(text.Reveal())))
	if err != nil {
		return nil, models.Errorf(models.Invalid, "the keyset is no keyset of Google Tink in JSON")
	}
	return h, nil
}

func write(h *keyset.Handle) (models.Secret, error) {
	var b bytes.Buffer
	if err := insecurecleartextkeyset.Write(h, keyset.NewJSONWriter(&b)); err != nil {
		return models.Secret{}, err
	}
	return models.SecretOf(strings.TrimSpace(b.String())), nil
}
