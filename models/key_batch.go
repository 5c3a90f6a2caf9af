package models

import (
	"time"

	"github.com/google/uuid"
)

// KeyPlace is a place in the line of the keys that LiteLLM does not follow, which the longest
// waiting lead. Zero is before all of them.
type KeyPlace struct {
	Since time.Time
	ID    uuid.UUID
}

// KeyProof says that LiteLLM was seen to hold a key as it was at that generation, and what it
// had spent.
type KeyProof struct {
	ID         uuid.UUID
	Generation int64
	Spend      USD
}
