package bench_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/activities/litellm/litellmtest"
	"github.com/litemaas/litemaas/api"
	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
	"github.com/litemaas/litemaas/models/store/storetest"
)

const (
	callers = 16
	rounds  = 5
	lasting = 2 * time.Second // of each measurement
)

// benchReads measures the reads of the catalogue beside a bare Gin and pgx handler that answers
// the same bytes by the same SQL: what is left is what our frame costs.
func benchReads(b *testing.B, w io.Writer, sizes []int) {
	fmt.Fprintf(w, `## Reading the catalogue

%d callers on open connections; *bare* is a Gin handler that does the same SQL with pgx and encodes the same bytes with
encoding/json, and nothing else: no request id, log line, metrics, validation or security headers. The two are measured
in turn, %d times %s each; medians.

| models | request | bytes | ours | bare | ratio |
|---:|---|---:|---:|---:|---:|
`, callers, rounds, lasting)
	for _, n := range sizes {
		b.Run(fmt.Sprintf("reads-%d", n), func(b *testing.B) { benchRead(b, w, n) })
	}
	fmt.Fprintln(w)
}

func benchRead(b *testing.B, w io.Writer, n int) {
	progress("reads of %d models", n)
	address := storetest.URL(b)
	pool, err := pgxpool.New(b.Context(), address)
	require.NoError(b, err)
	defer pool.Close()
	st, err := store.Open(b.Context(), store.Config{URL: models.SecretOf(address), MaxConns: pool.Config().MaxConns})
	require.NoError(b, err)
	defer st.Close()
	fill(b, st, n)
	_, err = pool.Exec(b.Context(), "VACUUM ANALYZE models")
	require.NoError(b, err)
	ours := httptest.NewServer((&api.Server{Store: st}).Handler())
	defer ours.Close()
	bare := httptest.NewServer(bareHandler(pool))
	defer bare.Close()

	page, _, err := st.LLMs(b.Context(), store.LLMQuery{Page: 1, Limit: 1, Availability: models.ModelAvailable})
	require.NoError(b, err)
	for _, path := range []string{"/api/v1/models?limit=20", "/api/v1/models/" + url.PathEscape(page[0].ID)} {
		want, got := load(b, bare.URL+path, 0), load(b, ours.URL+path, 0)
		require.Equal(b, string(want.body), string(got.body), "the same bytes")
		var us, them []float64
		for range rounds {
			them = append(them, load(b, bare.URL+path, lasting).perSecond)
			us = append(us, load(b, ours.URL+path, lasting).perSecond)
		}
		fmt.Fprintf(w, "| %d | `GET %s` | %d | %.0f/s | %.0f/s | %.0f %% |\n", n, path[len("/api/v1"):], len(got.body), median(us), median(them), 100*median(us)/median(them))
	}
}

func median(list []float64) float64 {
	slices.Sort(list)
	return list[len(list)/2]
}

// fill gives the catalogue n models, by a sync's own means, and returns its run.
func fill(b *testing.B, st *store.Store, n int) uuid.UUID {
	b.Helper()
	proxy, client := litellmtest.New(b)
	proxy.SetDeployments(litellmtest.Generated(n))
	list, err := client.AllDeployments(b.Context())
	require.NoError(b, err)
	run := models.SyncRun{ID: uuid.New(), WorkflowID: "bench", Kind: models.SyncFull, Trigger: models.SyncByPerson, Actor: "bench"}
	require.NoError(b, st.BeginSyncRun(b.Context(), run, time.Hour))
	require.NoError(b, st.StageCatalogue(b.Context(), run.ID, models.NewCatalogue(list)))
	_, err = st.MergeStaged(b.Context(), store.Merge{RunID: run.ID, ProposalTTL: time.Hour})
	require.NoError(b, err)
	return run.ID
}

// loaded is what a load saw.
type loaded struct {
	perSecond float64
	calls     int64
	header    http.Header
	body      []byte
}

// load asks for url again and again as long as d, at least once by every caller, with the given
// headers Authorization by turns, if any.
func load(b *testing.B, url string, d time.Duration, headers ...string) loaded {
	b.Helper()
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: callers}}
	defer client.CloseIdleConnections()
	var (
		out   loaded
		wg    sync.WaitGroup
		calls atomic.Int64
		once  sync.Once
		start = time.Now()
	)
	for caller := range callers {
		wg.Go(func() {
			req, err := http.NewRequestWithContext(b.Context(), http.MethodGet, url, http.NoBody)
			if err != nil {
				b.Error(err)
				return
			}
			for turn := caller; turn == caller || time.Since(start) < d; turn += callers {
				if len(headers) > 0 {
					req.Header["Authorization"] = []string{headers[turn%len(headers)]}
				}
				res, err := client.Do(req)
				if err != nil {
					b.Error(err)
					return
				}
				body, err := io.ReadAll(res.Body)
				_ = res.Body.Close() // it was read
				if err != nil || res.StatusCode != http.StatusOK {
					b.Errorf("%s: %d %v %s", url, res.StatusCode, err, body)
					return
				}
				calls.Add(1)
				once.Do(func() { out.header, out.body = res.Header, body })
			}
		})
	}
	wg.Wait()
	out.calls = calls.Load()
	out.perSecond = float64(out.calls) / time.Since(start).Seconds()
	return out
}

// bareModel is a model as our API answers it.
type bareModel struct {
	ID            string      `json:"id"`
	Name          string      `json:"name"`
	Provider      string      `json:"provider"`
	Description   string      `json:"description"`
	Capabilities  []string    `json:"capabilities"`
	ContextLength *int64      `json:"contextLength,omitempty"`
	Pricing       barePricing `json:"pricing"`
	IsActive      bool        `json:"isActive"`
	CreatedAt     time.Time   `json:"createdAt"`
	UpdatedAt     time.Time   `json:"updatedAt"`
	InputCost     json.Number `json:"inputCostPerToken,omitempty"`
	OutputCost    json.Number `json:"outputCostPerToken,omitempty"`
	TPM           *int64      `json:"tpm,omitempty"`
	RPM           *int64      `json:"rpm,omitempty"`
	MaxTokens     *int64      `json:"maxTokens,omitempty"`
	Vision        bool        `json:"supportsVision"`
	Functions     bool        `json:"supportsFunctionCalling"`
	Parallel      bool        `json:"supportsParallelFunctionCalling"`
	ToolChoice    bool        `json:"supportsToolChoice"`
	Chat          bool        `json:"supportsChat"`
	Embeddings    bool        `json:"supportsEmbeddings"`
	Tokenize      bool        `json:"supportsTokenize"`
	Convert       bool        `json:"supportsConvert"`
	Restricted    bool        `json:"restrictedAccess"`
}

type barePricing struct {
	Input  json.Number `json:"input,omitempty"`
	Output json.Number `json:"output,omitempty"`
	Unit   string      `json:"unit"`
}

const bareColumns = `id, provider, description, features, context_length, coalesce(input_cost_per_token::text, ''),
	coalesce(output_cost_per_token::text, ''), tpm, rpm, max_tokens, restricted_access, created_at, updated_at,
	features ? 'vision', features ? 'function_calling', features ? 'parallel_function_calling', features ? 'tool_choice',
	features ? 'chat', features ? 'embeddings', features ? 'tokenize', features ? 'convert', jsonb_array_length(deployment_ids)`

func scanBare(row pgx.Row, m *bareModel, deployments *int, before ...any) error {
	err := row.Scan(append(before, &m.ID, &m.Provider, &m.Description, &m.Capabilities, &m.ContextLength, &m.InputCost, &m.OutputCost,
		&m.TPM, &m.RPM, &m.MaxTokens, &m.Restricted, &m.CreatedAt, &m.UpdatedAt,
		&m.Vision, &m.Functions, &m.Parallel, &m.ToolChoice, &m.Chat, &m.Embeddings, &m.Tokenize, &m.Convert, deployments)...)
	m.Name, m.IsActive, m.Pricing = m.ID, true, barePricing{m.InputCost, m.OutputCost, "per_token"}
	m.CreatedAt, m.UpdatedAt = m.CreatedAt.UTC(), m.UpdatedAt.UTC()
	return err
}

// bareHandler answers the two requests with as little as can be.
func bareHandler(pool *pgxpool.Pool) http.Handler {
	r := gin.New()
	r.UseRawPath = true
	r.GET("/api/v1/models", func(c *gin.Context) {
		rows, err := pool.Query(c, "SELECT (SELECT available FROM catalogue_total), "+bareColumns+` FROM models
			WHERE deleted_at IS NULL AND availability = 'available' ORDER BY provider, id LIMIT 20 OFFSET 0`)
		if err != nil {
			c.String(http.StatusInternalServerError, err.Error())
			return
		}
		defer rows.Close()
		var total, deployments int
		page := []bareModel{}
		for rows.Next() {
			page = append(page, bareModel{})
			if err := scanBare(rows, &page[len(page)-1], &deployments, &total); err != nil {
				c.String(http.StatusInternalServerError, err.Error())
				return
			}
		}
		write(c, struct {
			Data       []bareModel    `json:"data"`
			Pagination barePagination `json:"pagination"`
		}{page, barePagination{1, 20, total, (total + 19) / 20}})
	})
	r.GET("/api/v1/models/:id", func(c *gin.Context) {
		var m struct {
			bareModel
			Metadata map[string]int `json:"metadata"`
		}
		var deployments int
		row := pool.QueryRow(c, "SELECT "+bareColumns+" FROM models WHERE id = $1 AND deleted_at IS NULL", c.Param("id"))
		if err := scanBare(row, &m.bareModel, &deployments); err != nil {
			c.String(http.StatusInternalServerError, err.Error())
			return
		}
		m.Metadata = map[string]int{"deployments": deployments}
		write(c, m)
	})
	return r
}

type barePagination struct {
	Page       int `json:"page"`
	Limit      int `json:"limit"`
	Total      int `json:"total"`
	TotalPages int `json:"totalPages"`
}

// write encodes as our API does, which leaves &, < and > alone and ends with a line break.
func write(c *gin.Context, body any) {
	c.Header("Content-Type", "application/json")
	enc := json.NewEncoder(c.Writer)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(body) // who hung up misses it
}
