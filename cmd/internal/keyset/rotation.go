package keyset

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/keyset"

	"github.com/litemaas/litemaas/models"
)

// Step is what comes next when a keyset is rotated.
type Step string

// The steps, in their order. After StepReseal the keyset may be Narrowed.
const (
	StepWiden   Step = "widen"   // it has one key: see Widened
	StepPromote Step = "promote" // its last key opens only: see Promoted
	StepReseal  Step = "reseal"  // its last key seals; others may have sealed what there is
)

// NextStep says how far the rotation of a keyset has come.
func NextStep(text models.Secret) (Step, error) {
	h, err := read(text)
	if err != nil {
		return "", err
	}
	info := h.KeysetInfo()
	switch keys := info.GetKeyInfo(); {
	case keys[len(keys)-1].GetKeyId() != info.GetPrimaryKeyId():
		return StepPromote, nil
	case len(keys) > 1:
		return StepReseal, nil
	}
	return StepWiden, nil
}

// Widened returns the keyset with a further key, which opens only. To rotate a keyset, give all
// replicas this first, and then what Promoted makes of it.
func Widened(text models.Secret) (models.Secret, error) {
	h, err := read(text)
	if err != nil {
		return models.Secret{}, err
	}
	m := keyset.NewManagerFromHandle(h)
	if _, err := m.Add(aead.AES256GCMKeyTemplate()); err != nil {
		return models.Secret{}, err
	}
	return managed(m)
}

// Promoted returns the keyset with its last key as the one that seals.
func Promoted(text models.Secret) (models.Secret, error) {
	h, err := read(text)
	if err != nil {
		return models.Secret{}, err
	}
	last, err := h.Entry(h.Len() - 1)
	if err != nil {
		return models.Secret{}, err
	}
	m := keyset.NewManagerFromHandle(h)
	if err := m.SetPrimary(last.KeyID()); err != nil {
		return models.Secret{}, err
	}
	return managed(m)
}

// Narrowed returns the keyset with no key but the one that seals. What others sealed cannot be
// opened with it.
func Narrowed(text models.Secret) (models.Secret, error) {
	h, err := read(text)
	if err != nil {
		return models.Secret{}, err
	}
	m, info := keyset.NewManagerFromHandle(h), h.KeysetInfo()
	for _, k := range info.GetKeyInfo() {
		if k.GetKeyId() == info.GetPrimaryKeyId() {
			continue
		}
		if err := m.Delete(k.GetKeyId()); err != nil {
			return models.Secret{}, err
		}
	}
	return managed(m)
}

func managed(m *keyset.Manager) (models.Secret, error) {
	h, err := m.Handle()
	if err != nil {
		return models.Secret{}, err
	}
	return write(h)
}

// Replace puts a keyset into a file that there is, whole or not at all; who may read it stays as
// it is. It is Invalid when that cannot be done.
func Replace(path string, text models.Secret) error {
	path, err := filepath.EvalSymlinks(path)
	if err == nil {
		err = written(path, text, func(from, to string) error {
			if err := alike(from, to); err != nil {
				return err
			}
			return os.Rename(from, to)
		})
	}
	if err != nil {
		return models.Wrap(models.Invalid, err, "the keyset cannot be written")
	}
	return nil
}

// written has a file with the keyset, which nobody else may read, put in its place.
func written(path string, text models.Secret, put func(from, to string) error) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".keyset-*") // which nobody else may read
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }()
	_, err = f.WriteString(text.Reveal() + "\n")
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return put(f.Name(), path)
}

// alike lets those read a file who may read the other.
func alike(path, other string) error {
	info, err := os.Stat(other)
	if err != nil {
		return err
	}
	if owner, ok := info.Sys().(*syscall.Stat_t); ok {
		if err := os.Chown(path, int(owner.Uid), int(owner.Gid)); err != nil {
			return err
		}
	}
	return os.Chmod(path, info.Mode().Perm())
}
