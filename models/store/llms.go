package store

import (
	"context"
	"slices"

	"gorm.io/gorm"

	"github.com/litemaas/litemaas/models"
)

// LLM returns the model with the given ID, available or not. A model that an admin deleted
// is not found.
func (s *Store) LLM(ctx context.Context, id string) (models.LLM, error) {
	llm, err := gorm.G[models.LLM](s.db).Where("id = ? AND deleted_at IS NULL", id).Take(ctx)
	return llm, kinded("model "+id, err)
}

// LLMQuery selects a page of the catalogue.
type LLMQuery struct {
	Page, Limit  int    // both from 1
	Search       string // anywhere in id, provider or description, in any letter case
	Provider     string // exactly, in any letter case
	Capability   string // one of the Feature constants
	Availability models.Availability
}

// LLMs returns a page of the catalogue by provider and id, and how many models there are on
// all pages.
func (s *Store) LLMs(ctx context.Context, q LLMQuery) (page []models.LLM, total int, err error) {
	where := gorm.G[models.LLM](s.db).Where("availability = ? AND deleted_at IS NULL", q.Availability)
	if q.Search != "" {
		p := like(q.Search)
		where = where.Where("(id ILIKE ? OR provider ILIKE ? OR description ILIKE ?)", p, p, p)
	}
	if q.Provider != "" {
		where = where.Where("lower(provider) = lower(?)", q.Provider)
	}
	if q.Capability != "" {
		where = where.Where("features @> jsonb_build_array(?::text)", q.Capability)
	}
	n, err := where.Count(ctx, "id")
	if err != nil {
		return nil, 0, kinded("models", err)
	}
	page, err = where.Order("provider, id").Offset((q.Page - 1) * q.Limit).Limit(q.Limit).Find(ctx)
	return page, int(n), kinded("models", err)
}

// ProviderCount is a provider with its available models.
type ProviderCount struct {
	Name         string
	Models       int
	Capabilities []string `gorm:"serializer:json"` // of any of them, by name
}

// Providers returns the providers of available models, the largest first.
func (s *Store) Providers(ctx context.Context) ([]ProviderCount, error) {
	var out []ProviderCount
	err := s.scan(ctx, "providers", &out, `
		SELECT provider AS name, count(DISTINCT id) AS models, jsonb_agg(DISTINCT f ORDER BY f) AS capabilities
		FROM models, jsonb_array_elements_text(features) f
		WHERE availability = 'available' AND deleted_at IS NULL
		GROUP BY provider ORDER BY models DESC, name`)
	return out, err
}

// CapabilityCount is a feature with the number of available models that have it.
type CapabilityCount struct {
	Name   string
	Models int
}

// Capabilities returns the features of available models, the commonest first.
func (s *Store) Capabilities(ctx context.Context) ([]CapabilityCount, error) {
	var out []CapabilityCount
	err := s.scan(ctx, "capabilities", &out, `
		SELECT f AS name, count(*) AS models
		FROM models, jsonb_array_elements_text(features) f
		WHERE availability = 'available' AND deleted_at IS NULL
		GROUP BY f ORDER BY models DESC, name`)
	return out, err
}

// CatalogueStats counts the models that no admin deleted.
type CatalogueStats struct{ Total, Available, Unavailable int }

// CatalogueStats counts the catalogue.
func (s *Store) CatalogueStats(ctx context.Context) (CatalogueStats, error) {
	var out CatalogueStats
	err := s.scan(ctx, "models", &out, `
		SELECT count(*) AS total,
		       count(*) FILTER (WHERE availability = 'available') AS available,
		       count(*) FILTER (WHERE availability = 'unavailable') AS unavailable
		FROM models WHERE deleted_at IS NULL`)
	return out, err
}

// IncompleteLLMs returns the available models that lack what a user needs to choose: a
// provider, both prices, a context length.
func (s *Store) IncompleteLLMs(ctx context.Context) ([]string, error) {
	ids := []string{}
	err := s.scan(ctx, "models", &ids, `
		SELECT id FROM models
		WHERE availability = 'available' AND deleted_at IS NULL
		  AND (provider IN ('', 'unknown') OR context_length IS NULL
		       OR input_cost_per_token IS NULL OR output_cost_per_token IS NULL)
		ORDER BY id`)
	return slices.Clip(ids), err
}
