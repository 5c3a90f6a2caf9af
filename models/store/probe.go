package store

import (
	"context"

	"github.com/litemaas/litemaas/models"
)

// Probe returns the last look at LiteLLM; its CheckedAt is zero when there was none yet.
func (s *Store) Probe(ctx context.Context) (models.Probe, error) {
	var p models.Probe
	err := s.scan(ctx, "LiteLLM's probe", &p, "SELECT reachable, latency, version, failure, checked_at FROM litellm_probe")
	return p, err
}

// RecordProbe stores the last look at LiteLLM; an older one never replaces a newer.
func (s *Store) RecordProbe(ctx context.Context, p models.Probe) error {
	return s.exec(ctx, "LiteLLM's probe", `
		INSERT INTO litellm_probe AS o (reachable, latency, version, failure, checked_at) VALUES (?, ?, ?, ?, ?)
		ON CONFLICT (one) DO UPDATE SET reachable = excluded.reachable, latency = excluded.latency,
			version = excluded.version, failure = excluded.failure, checked_at = excluded.checked_at
		WHERE o.checked_at < excluded.checked_at`,
		p.Reachable, p.Latency, p.Version, p.Failure, p.CheckedAt)
}
