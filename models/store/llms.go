package store

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/litemaas/litemaas/models"
)

// llmColumns are the columns of an LLM in the order of scanLLM: all but what LiteLLM said
// word for word, which is large and serves comparisons only. A price is read as text: by way of
// the driver's number, two prices take as long as all the rest.
const llmColumns = `id, provider, backend_model_name, context_length, max_tokens, input_cost_per_token::text, output_cost_per_token::text,
	api_base, tpm, rpm, litellm_model_id, deployment_ids, features, description, restricted_access, kept, availability, created_at, updated_at`

// scanLLM reads llmColumns, and before them what else the row holds.
func scanLLM(row pgx.Row, l *models.LLM, before ...any) error {
	return row.Scan(append(before,
		&l.ID, &l.Provider, &l.BackendModelName, &l.ContextLength, &l.MaxTokens, &l.InputCost, &l.OutputCost,
		&l.APIBase, &l.TPM, &l.RPM, &l.LiteLLMModelID, (*texts)(&l.DeploymentIDs), (*texts)(&l.Features),
		&l.Description, &l.RestrictedAccess, &l.Kept, &l.Availability, &l.CreatedAt, &l.UpdatedAt)...)
}

// texts is a jsonb list of texts. Each model has two, so what is plain is not left to reflection.
type texts []string

// ScanBytes reads the list as Postgres writes it: ["a", "b"].
func (t *texts) ScanBytes(raw []byte) error {
	list := string(raw)
	if len(list) > 4 && strings.HasPrefix(list, `["`) && !strings.Contains(list, `\`) { // so each quotation mark is a border
		*t = strings.Split(list[2:len(list)-2], `", "`)
		return nil
	}
	return json.Unmarshal(raw, (*[]string)(t))
}

// LLM returns the model with the given ID, available or not, without its ModelInfo and
// LiteLLMParams. A model that an admin deleted is not found. Not for use in a transaction.
func (s *Store) LLM(ctx context.Context, id string) (models.LLM, error) {
	var l models.LLM
	row := s.pool.QueryRow(ctx, "SELECT "+llmColumns+" FROM models WHERE id = $1 AND deleted_at IS NULL", id)
	return l, kinded("model "+id, scanLLM(row, &l))
}

// LLMQuery selects a page of the catalogue.
type LLMQuery struct {
	Page, Limit  int    // both from 1
	Search       string // anywhere in id, provider or description, in any letter case
	Provider     string // exactly, in any letter case
	Capability   string // one of the Feature constants
	Availability models.Availability
}

// sql is the condition that selects the models, with its arguments, and what counts them.
func (q LLMQuery) sql() (where, total string, args []any) {
	arg := func(v any) string {
		args = append(args, v)
		return "$" + strconv.Itoa(len(args))
	}
	where = "deleted_at IS NULL AND availability = "
	switch {
	case q == LLMQuery{Page: q.Page, Limit: q.Limit, Availability: models.ModelAvailable}:
		return where + "'available'", "(SELECT available FROM catalogue_total)", nil
	case q.Availability == models.ModelAvailable:
		where += "'available'" // written out: only then can a prepared statement use the index of these
	default:
		where += arg(q.Availability)
	}
	if q.Search != "" {
		p := arg(like(q.Search))
		where += " AND (id ILIKE " + p + " OR provider ILIKE " + p + " OR description ILIKE " + p + ")"
	}
	if q.Provider != "" {
		where += " AND lower(provider) = lower(" + arg(q.Provider) + ")"
	}
	if q.Capability != "" {
		where += " AND features @> jsonb_build_array(" + arg(q.Capability) + "::text)"
	}
	return where, "(SELECT count(*) FROM models WHERE " + where + ")", args
}

// LLMs returns a page of the catalogue by provider and id, without the models' ModelInfo and
// LiteLLMParams, and how many models there are on all pages. Not for use in a transaction.
func (s *Store) LLMs(ctx context.Context, q LLMQuery) (page []models.LLM, total int, err error) {
	where, count, args := q.sql()
	sql := "SELECT " + count + ", " + llmColumns + " FROM models WHERE " + where + " ORDER BY provider, id"
	limit := " LIMIT $" + strconv.Itoa(len(args)+1) + " OFFSET $" + strconv.Itoa(len(args)+2)
	rows, err := s.pool.Query(ctx, sql+limit, append(args, q.Limit, (q.Page-1)*q.Limit)...)
	if err != nil {
		return nil, 0, kinded("models", err)
	}
	page = make([]models.LLM, 0, min(q.Limit, 100))
	for rows.Next() {
		page = append(page, models.LLM{})
		if err := scanLLM(rows, &page[len(page)-1], &total); err != nil {
			rows.Close()
			return nil, 0, kinded("models", err)
		}
	}
	if err := rows.Err(); err != nil || len(page) > 0 || q.Page == 1 {
		return page, total, kinded("models", err)
	}
	err = s.pool.QueryRow(ctx, "SELECT "+count, args...).Scan(&total) // the page is past the end
	return page, total, kinded("models", err)
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
