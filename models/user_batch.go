package models

import (
	"time"

	"github.com/google/uuid"
)

// Place is a place in the line of the rows that LiteLLM does not follow, which the longest
// waiting lead. Zero is before all of them.
type Place struct {
	Since time.Time
	ID    uuid.UUID
}

// UserProof says that LiteLLM was seen to hold a user as he was at that generation.
type UserProof struct {
	ID         uuid.UUID
	Generation int64
}
