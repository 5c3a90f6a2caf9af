package models

import (
	"time"

	"github.com/google/uuid"
)

// UserPlace is a place in the line of the users whom LiteLLM does not follow, which the longest
// waiting lead. Zero is before all of them.
type UserPlace struct {
	Since time.Time
	ID    uuid.UUID
}

// UserProof says that LiteLLM was seen to hold a user as he was at that generation.
type UserProof struct {
	ID         uuid.UUID
	Generation int64
}
