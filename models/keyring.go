package models

// Keyring is a Sealer of several keys, of which one seals and all open, so that they can be
// rotated.
type Keyring interface {
	Sealer
	Keys() []SealingKey // the one that seals first; none: nothing can be sealed
}

// SealingKey is one key of a keyring, without its secret.
type SealingKey struct {
	Name string
	Mark []byte // how everything begins that it seals, and nothing else; none: that cannot be told
}
