package store

import (
	"context"
	"time"

	"github.com/litemaas/litemaas/models"
)

// SigningKeys returns the keys whose signatures are good, the newest first. The first that is
// not retired is the one to sign with.
func (s *Store) SigningKeys(ctx context.Context) ([]models.SigningKey, error) {
	keys := []models.SigningKey{}
	err := s.scan(ctx, "signing keys", &keys, `
		SELECT * FROM signing_keys WHERE expires_at IS NULL OR expires_at > now() ORDER BY created_at DESC, kid`)
	return keys, err
}

// Rotation is when a signing key makes room for the next.
type Rotation struct {
	Age   time.Duration // at which a key retires
	Grace time.Duration // for which its signatures are good after that: the longest life of a token
}

// RotateSigningKey makes sure that there is a key to sign with which is younger than the
// rotation says, by adding the one that next makes, and returns the keys as SigningKeys does.
// Several replicas at once add one key together.
func (s *Store) RotateSigningKey(ctx context.Context, r Rotation, next func() (models.SigningKey, error), by models.Actor) ([]models.SigningKey, error) {
	var keys []models.SigningKey
	err := s.InTx(ctx, func(tx *Store) error {
		if err := tx.lock(ctx, "signing keys"); err != nil {
			return err
		}
		var fresh bool
		err := tx.scan(ctx, "signing keys", &fresh, `
			SELECT EXISTS (SELECT FROM signing_keys WHERE retires_at IS NULL AND created_at > ?)`, time.Now().Add(-r.Age))
		if err == nil && !fresh {
			err = tx.addSigningKey(ctx, r.Grace, next, by)
		}
		if err != nil {
			return err
		}
		keys, err = tx.SigningKeys(ctx)
		return err
	})
	return keys, err
}

func (s *Store) addSigningKey(ctx context.Context, grace time.Duration, next func() (models.SigningKey, error), by models.Actor) error {
	k, err := next()
	if err != nil {
		return err
	}
	err = s.exec(ctx, "signing keys", "UPDATE signing_keys SET retires_at = now(), expires_at = ? WHERE retires_at IS NULL", time.Now().Add(grace))
	if err != nil {
		return err
	}
	err = s.exec(ctx, "signing key "+k.KID, "INSERT INTO signing_keys (kid, algorithm, private, public) VALUES (?, ?, ?, CAST(? AS jsonb))",
		k.KID, k.Algorithm, k.Private, string(k.Public))
	if err != nil {
		return err
	}
	if err := s.tell(ctx, NoticeKeys, ""); err != nil {
		return err
	}
	return s.Audit(ctx, by, models.Event{
		Action: models.AuditKeyRotate, ResourceType: models.AuditOfSecurity, ResourceID: k.KID, Detail: map[string]any{"algorithm": k.Algorithm},
	})
}

// RevokeSigningKey makes a key's signatures worthless at once, as when it has leaked; whoever
// has a token of it signs in again. Somebody has to call RotateSigningKey then.
func (s *Store) RevokeSigningKey(ctx context.Context, kid, why string, by models.Actor) error {
	return s.InTx(ctx, func(tx *Store) error {
		n, err := tx.affect(ctx, "signing key", `
			UPDATE signing_keys SET retires_at = coalesce(retires_at, now()), expires_at = now()
			WHERE kid = ? AND (expires_at IS NULL OR expires_at > now())`, kid)
		if err == nil && n == 0 {
			err = models.Errorf(models.NotFound, "signing key %s not found", kid)
		}
		if err != nil {
			return err
		}
		if err := tx.tell(ctx, NoticeKeys, ""); err != nil {
			return err
		}
		return tx.Audit(ctx, by, models.Event{
			Action: models.AuditKeyRevoke, ResourceType: models.AuditOfSecurity, ResourceID: kid, Detail: map[string]string{"reason": why},
		})
	})
}
