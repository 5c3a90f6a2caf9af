package models

// Secret opens the key's secret. It is Internal when that cannot be, or is another key's.
func (k Key) Secret(s Sealer) (Secret, error) {
	plain, err := s.Open(k.Sealed, k.SealContext())
	if err != nil {
		return Secret{}, Wrap(Internal, err, "the secret of API key %s cannot be opened: is the keyset of secrets the one that sealed it?", k.ID)
	}
	secret := SecretOf(string(plain))
	if secret.Hash() != k.Hash { // LiteLLM would have a key that nobody knows
		return Secret{}, Errorf(Internal, "the secret of API key %s is not the one of its hash", k.ID)
	}
	return secret, nil
}
