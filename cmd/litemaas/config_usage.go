package main

import (
	"time"

	"github.com/litemaas/litemaas/api"
)

// usageConfig says how usage comes into the ledger, and how long it stays there.
type usageConfig struct {
	api.UsageConfig `mapstructure:",squash"` // how LiteLLM pushes it

	CollectEvery   time.Duration `mapstructure:"collect_every"`   // how often LiteLLM's log is read
	CollectLag     time.Duration `mapstructure:"collect_lag"`     // up to how long ago
	CollectOverlap time.Duration `mapstructure:"collect_overlap"` // how far back it is read again
	Retention      time.Duration `mapstructure:"retention"`       // 0: for ever
}
