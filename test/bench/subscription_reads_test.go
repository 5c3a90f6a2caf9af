package bench_test

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store/storetest"
)

// benchSubscriptions measures the list of a user's subscriptions beside a bare Gin and pgx handler
// that answers the same bytes.
func benchSubscriptions(b *testing.B, w io.Writer, sizes []int) {
	fmt.Fprintf(w, `## Reading subscriptions

`+"`GET /subscriptions?limit=20`"+`, of users who have %d each; %d callers on open connections ask in the names of %d users by turns. *Bare*
is a Gin handler that finds the user in a map, by the header Authorization, does the same SQL with pgx and encodes the same bytes with
encoding/json, and nothing else. Measured as the catalogue is.

| rows in the table | bytes | ours | bare | ratio |
|---:|---:|---:|---:|---:|
`, perUser, callers, askers)
	for _, n := range sizes {
		b.Run(fmt.Sprintf("subscriptions-%d", n), func(b *testing.B) { benchSubscription(b, w, n) })
	}
	fmt.Fprintln(w)
}

const (
	perUser           = 20
	subscriptionsPath = "/api/v1/subscriptions?limit=20"
)

func benchSubscription(b *testing.B, w io.Writer, n int) {
	progress("%d subscriptions", n)
	address := storetest.URL(b)
	st, _ := known(b, address)
	defer st.Close()
	fill(b, st, 2*perUser)
	crowd := newCrowd(b, address, max(n/perUser, askers)*models.MaxSessions, 1_000)
	db := storetest.SQL(b, address)
	_, err := db.ExecContext(b.Context(), `
		INSERT INTO subscriptions (id, user_id, model_id, status, status_changed_by, quota_requests, quota_tokens, used_requests, used_tokens, reset_at)
		SELECT gen_random_uuid(), u.id, m.id, 'active', 'system', 10000, 1000000, 1234, 56789, date_trunc('month', now()) + interval '1 month'
		FROM (SELECT u.id FROM users u LEFT JOIN (SELECT DISTINCT user_id FROM sessions ORDER BY user_id LIMIT $3) asks ON asks.user_id = u.id
		      WHERE u.is_active ORDER BY asks.user_id LIMIT $1) u,
		     (SELECT id FROM models ORDER BY id LIMIT $2) m`, max(n/perUser, 1), perUser, askers)
	require.NoError(b, err)
	_, err = db.ExecContext(b.Context(), "VACUUM ANALYZE")
	require.NoError(b, err)
	headers := crowd.headers[:min(len(crowd.headers), max(n/perUser, 1))]

	ours, stop := crowd.serve(b, address, true)
	defer stop()
	pool := barePool(b, address)
	defer pool.Close()
	bare := httptest.NewServer(crowd.bareSubscriptions(pool))
	defer bare.Close()
	want, got := load(b, bare.URL+subscriptionsPath, 0, headers[0]), load(b, ours+subscriptionsPath, 0, headers[0])
	require.Equal(b, string(want.body), string(got.body), "the same bytes")
	var us, them []float64
	for range rounds {
		them = append(them, load(b, bare.URL+subscriptionsPath, lasting, headers...).perSecond)
		us = append(us, load(b, ours+subscriptionsPath, lasting, headers...).perSecond)
	}
	fmt.Fprintf(w, "| %d | %d | %.0f/s | %.0f/s | %.0f %% |\n", n, len(got.body), median(us), median(them), 100*median(us)/median(them))
}

// barePool has as many connections as the store of known.
func barePool(b *testing.B, address string) *pgxpool.Pool {
	b.Helper()
	cfg, err := pgxpool.ParseConfig(address)
	require.NoError(b, err)
	cfg.MaxConns = callers
	pool, err := pgxpool.NewWithConfig(b.Context(), cfg)
	require.NoError(b, err)
	return pool
}

// bareSubscription is a subscription as our API answers it.
type bareSubscription struct {
	ID                string                    `json:"id"`
	UserID            string                    `json:"userId"`
	ModelID           string                    `json:"modelId"`
	ModelName         string                    `json:"modelName"`
	Provider          string                    `json:"provider"`
	Status            models.SubscriptionStatus `json:"status"`
	StatusReason      string                    `json:"statusReason"`
	StatusChangedAt   time.Time                 `json:"statusChangedAt"`
	StatusChangedBy   string                    `json:"statusChangedBy"`
	Settled           bool                      `json:"settled"`
	Provisioning      string                    `json:"provisioning"`
	QuotaRequests     int64                     `json:"quotaRequests"`
	QuotaTokens       int64                     `json:"quotaTokens"`
	Unlimited         bool                      `json:"unlimited"`
	UsedRequests      int64                     `json:"usedRequests"`
	UsedTokens        int64                     `json:"usedTokens"`
	RemainingRequests int64                     `json:"remainingRequests"`
	RemainingTokens   int64                     `json:"remainingTokens"`
	Utilization       struct {
		Requests float64 `json:"requests"`
		Tokens   float64 `json:"tokens"`
	} `json:"utilizationPercent"`
	Pricing struct {
		Input    json.Number `json:"inputCostPerToken,omitempty"`
		Output   json.Number `json:"outputCostPerToken,omitempty"`
		Currency string      `json:"currency"`
	} `json:"pricing"`
	ResetAt       time.Time       `json:"resetAt"`
	CreatedAt     time.Time       `json:"createdAt"`
	UpdatedAt     time.Time       `json:"updatedAt"`
	Metadata      json.RawMessage `json:"metadata"`
	Description   string          `json:"modelDescription"`
	ContextLength *int64          `json:"modelContextLength,omitempty"`
	Vision        bool            `json:"modelSupportsVision"`
	Functions     bool            `json:"modelSupportsFunctionCalling"`
	Parallel      bool            `json:"modelSupportsParallelFunctionCalling"`
	ToolChoice    bool            `json:"modelSupportsToolChoice"`
}

const bareSubscriptionsSQL = `SELECT (SELECT count(*) FROM subscriptions WHERE user_id = $1 AND status <> 'inactive'),
	s.id::text, s.user_id::text, s.model_id, m.provider, s.status, s.status_reason, s.status_changed_at, s.status_changed_by,
	NOT EXISTS (SELECT FROM cascade_subscriptions cs JOIN cascades c ON c.id = cs.cascade_id AND c.observed_generation < c.generation
	            WHERE cs.subscription_id = s.id) AND s.wanted = '',
	s.quota_requests, s.quota_tokens, s.used_requests, s.used_tokens, coalesce(m.input_cost_per_token::text, ''), coalesce(m.output_cost_per_token::text, ''),
	s.reset_at, s.created_at, s.updated_at, s.metadata, m.description, m.context_length,
	m.features ? 'vision', m.features ? 'function_calling', m.features ? 'parallel_function_calling', m.features ? 'tool_choice'
	FROM subscriptions s JOIN models m ON m.id = s.model_id
	WHERE s.user_id = $1 AND s.status <> 'inactive' ORDER BY s.created_at DESC, s.id LIMIT 20 OFFSET 0`

// bareSubscriptions answers the request with as little as can be.
func (c *crowd) bareSubscriptions(pool *pgxpool.Pool) http.Handler {
	r := gin.New()
	r.GET("/api/v1/subscriptions", func(g *gin.Context) {
		rows, err := pool.Query(g, bareSubscriptionsSQL, c.people[g.GetHeader("Authorization")].ID)
		if err != nil {
			g.String(http.StatusInternalServerError, err.Error())
			return
		}
		defer rows.Close()
		var total int
		page := []bareSubscription{}
		for rows.Next() {
			var s bareSubscription
			err := rows.Scan(&total, &s.ID, &s.UserID, &s.ModelID, &s.Provider, &s.Status, &s.StatusReason, &s.StatusChangedAt, &s.StatusChangedBy,
				&s.Settled, &s.QuotaRequests, &s.QuotaTokens, &s.UsedRequests, &s.UsedTokens, &s.Pricing.Input, &s.Pricing.Output,
				&s.ResetAt, &s.CreatedAt, &s.UpdatedAt, &s.Metadata, &s.Description, &s.ContextLength, &s.Vision, &s.Functions, &s.Parallel, &s.ToolChoice)
			if err != nil {
				g.String(http.StatusInternalServerError, err.Error())
				return
			}
			s.ModelName, s.Pricing.Currency = s.ModelID, "USD"
			s.RemainingRequests, s.RemainingTokens = s.QuotaRequests-s.UsedRequests, s.QuotaTokens-s.UsedTokens
			s.Utilization.Requests = math.Round(float64(s.UsedRequests)/float64(s.QuotaRequests)*1e4) / 100
			s.Utilization.Tokens = math.Round(float64(s.UsedTokens)/float64(s.QuotaTokens)*1e4) / 100
			s.StatusChangedAt, s.ResetAt, s.CreatedAt, s.UpdatedAt = s.StatusChangedAt.UTC(), s.ResetAt.UTC(), s.CreatedAt.UTC(), s.UpdatedAt.UTC()
			page = append(page, s)
		}
		write(g, struct {
			Data       []bareSubscription `json:"data"`
			Total      int                `json:"total"`
			Pagination barePagination     `json:"pagination"`
		}{page, total, barePagination{1, 20, total, (total + 19) / 20}})
	})
	return r
}
