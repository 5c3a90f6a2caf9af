package models

import "github.com/google/uuid"

// KeyProof says that LiteLLM was seen to hold a key as it was at that generation.
type KeyProof struct {
	ID         uuid.UUID
	Generation int64
}
