package activities

import "context"

// SigningKeys looks after the keys that sign access tokens.
type SigningKeys struct {
	// Rotate makes the next key when it is time. Nil: this process cannot seal one, and leaves
	// it to those that sign.
	Rotate func(context.Context) error
}

// RotateSigningKeysInput is empty.
type RotateSigningKeysInput struct{}

// RotateSigningKeysResult says whether this process may make keys.
type RotateSigningKeysResult struct{ Able bool }

// RotateSigningKeys makes the next signing key when the newest is old enough. Repeating it makes
// no second one.
func (a *SigningKeys) RotateSigningKeys(ctx context.Context, _ RotateSigningKeysInput) (RotateSigningKeysResult, error) {
	if a.Rotate == nil {
		return RotateSigningKeysResult{}, nil
	}
	defer beat(ctx)()
	return RotateSigningKeysResult{true}, a.Rotate(ctx)
}
