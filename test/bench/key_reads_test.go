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
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store/storetest"
)

// benchKeyReads measures the list of a user's API keys beside a bare Gin and pgx handler that
// answers the same bytes.
func benchKeyReads(b *testing.B, w io.Writer, sizes []int) {
	fmt.Fprintf(w, `## Reading API keys

`+"`GET /api-keys`"+`, of users who have %d each, with two models; callers, users and *bare* are as for the subscriptions. The two
are measured in turn, %d times %s each; medians.

| rows in the table | bytes | ours | bare | ratio |
|---:|---:|---:|---:|---:|
`, keysEach, turns, lasting/4)
	for _, n := range sizes {
		b.Run(fmt.Sprintf("key-reads-%d", n), func(b *testing.B) { benchKeyRead(b, w, n) })
	}
	fmt.Fprintln(w)
}

const keysPath = "/api/v1/api-keys"

func benchKeyRead(b *testing.B, w io.Writer, n int) {
	progress("reads of %d API keys", n)
	address := storetest.URL(b)
	st, _ := known(b, address)
	defer st.Close()
	fill(b, st, 2*perUser)
	crowd := newCrowd(b, address, n/keysEach*models.MaxSessions, 1_000)
	giveKeys(b, address)
	ours, stop := crowd.serve(b, address, true)
	defer stop()
	pool := barePool(b, address)
	defer pool.Close()
	bare := httptest.NewServer(crowd.bareKeys(pool))
	defer bare.Close()
	want, got := load(b, bare.URL+keysPath, 0, crowd.headers[0]), load(b, ours+keysPath, 0, crowd.headers[0])
	require.Equal(b, string(want.body), string(got.body), "the same bytes")
	var us, them []float64
	for range turns {
		them = append(them, load(b, bare.URL+keysPath, lasting/4, crowd.headers...).perSecond)
		us = append(us, load(b, ours+keysPath, lasting/4, crowd.headers...).perSecond)
	}
	fmt.Fprintf(w, "| %d | %d | %.0f/s | %.0f/s | %.0f %% |\n", n, len(got.body), median(us), median(them), 100*median(us)/median(them))
}

// giveKeys gives every person of a crowd his keys, past the triggers that would take minutes.
func giveKeys(b *testing.B, address string) {
	b.Helper()
	conn, err := storetest.SQL(b, address).Conn(b.Context())
	require.NoError(b, err)
	defer conn.Close()
	for _, sql := range []string{
		"SET session_replication_role = replica",
		fmt.Sprintf(`
			INSERT INTO api_keys (id, user_id, name, alias, hash, prefix, sealed, observed_generation, max_budget, budget_duration, tpm_limit, rpm_limit,
			                      tags, metadata, created_by, last_used_at, created_at)
			SELECT id, user_id, 'key ' || n, 'key_' || id, encode(sha256(id::text::bytea), 'hex'), 'sk-benc', '', 1, 100000000000, '30d', 100000, 1000,
			       '["bench"]', '{"project": "bench"}', user_id::text, now(), now() - n * interval '1 hour'
			FROM (SELECT gen_random_uuid() AS id, u.id AS user_id, n FROM users u, generate_series(1, %d) n WHERE u.is_active) k`, keysEach),
		`INSERT INTO budgets (subject_type, subject_id, amount, period, spent, ends_at)
			SELECT 'key', id, max_budget, budget_duration, 12345678900, now() + interval '1 month' FROM api_keys`,
		`INSERT INTO api_key_models (api_key_id, model_id)
			SELECT k.id, m.id FROM api_keys k, (SELECT id FROM models WHERE availability = 'available' ORDER BY id LIMIT 2) m`,
		"VACUUM ANALYZE",
	} {
		_, err := conn.ExecContext(b.Context(), sql)
		require.NoError(b, err)
	}
}

// bareKey is an API key as our API answers it.
type bareKey struct {
	ID             string          `json:"id"`
	Name           string          `json:"name"`
	KeyAlias       string          `json:"keyAlias"`
	KeyPrefix      string          `json:"keyPrefix"`
	Prefix         string          `json:"prefix"`
	Models         []string        `json:"models"`
	ModelDetails   []bareKeyModel  `json:"modelDetails"`
	SubscriptionID *string         `json:"subscriptionId,omitempty"`
	TeamID         *string         `json:"teamId,omitempty"`
	Status         string          `json:"status"`
	Failure        string          `json:"failure,omitempty"`
	Settled        bool            `json:"settled"`
	IsActive       bool            `json:"isActive"`
	Holds          json.RawMessage `json:"holds,omitempty"`
	LastUsedAt     *time.Time      `json:"lastUsedAt,omitempty"`
	CreatedAt      time.Time       `json:"createdAt"`
	UpdatedAt      time.Time       `json:"updatedAt"`
	ExpiresAt      *time.Time      `json:"expiresAt,omitempty"`
	RevokedAt      *time.Time      `json:"revokedAt,omitempty"`
	MaxBudget      *models.USD     `json:"maxBudget,omitempty"`
	CurrentSpend   models.USD      `json:"currentSpend"`
	Utilization    *float64        `json:"budgetUtilization,omitempty"`
	BudgetDuration string          `json:"budgetDuration"`
	SoftBudget     *models.USD     `json:"softBudget,omitempty"`
	TPM            *int64          `json:"tpmLimit,omitempty"`
	RPM            *int64          `json:"rpmLimit,omitempty"`
	MaxParallel    *int64          `json:"maxParallelRequests,omitempty"`
	ModelMaxBudget json.RawMessage `json:"modelMaxBudget"`
	ModelRPM       json.RawMessage `json:"modelRpmLimit"`
	ModelTPM       json.RawMessage `json:"modelTpmLimit"`
	Tags           []string        `json:"tags,omitempty"`
	Metadata       json.RawMessage `json:"metadata"`
}

type bareKeyModel struct {
	ID            string `json:"id"`
	Name          string `json:"name"`
	Provider      string `json:"provider"`
	ContextLength *int64 `json:"contextLength,omitempty"`
	Embeddings    bool   `json:"supportsEmbeddings"`
	Convert       bool   `json:"supportsConvert"`
}

const bareKeysSQL = `SELECT (SELECT count(*) FROM api_keys WHERE user_id = $1 AND deleted_at IS NULL),
	k.id::text, k.name, k.alias, k.prefix, k.subscription_id::text, k.team_id::text, k.failure, k.generation, k.observed_generation, k.holds,
	k.last_used_at, k.created_at, k.updated_at, k.expires_at, k.revoked_at, k.max_budget, (SELECT b.spent FROM budgets b WHERE b.subject_id = k.id AND b.subject_type = 'key'), k.budget_duration, k.soft_budget,
	k.tpm_limit, k.rpm_limit, k.max_parallel, k.model_max_budget, k.model_rpm, k.model_tpm, k.tags, k.metadata,
	l.ids, l.providers, l.contexts, l.embeddings, l.converts
	FROM api_keys k CROSS JOIN LATERAL (
		SELECT array_agg(m.id ORDER BY m.id COLLATE "C") AS ids, array_agg(m.provider ORDER BY m.id COLLATE "C") AS providers,
		       array_agg(m.context_length ORDER BY m.id COLLATE "C") AS contexts,
		       array_agg(m.features ? 'embeddings' ORDER BY m.id COLLATE "C") AS embeddings, array_agg(m.features ? 'convert' ORDER BY m.id COLLATE "C") AS converts
		FROM api_key_models km JOIN models m ON m.id = km.model_id WHERE km.api_key_id = k.id) l
	WHERE k.user_id = $1 AND k.deleted_at IS NULL ORDER BY k.created_at DESC, k.id LIMIT 20 OFFSET 0`

// scanBareKey reads a row of bareKeysSQL.
func scanBareKey(row pgx.Row, k *bareKey, total *int) error {
	var providers []string
	var contexts []*int64
	var embeddings, converts []bool
	var generation, observed int64
	err := row.Scan(total, &k.ID, &k.Name, &k.KeyAlias, &k.KeyPrefix, &k.SubscriptionID, &k.TeamID, &k.Failure, &generation, &observed, &k.Holds,
		&k.LastUsedAt, &k.CreatedAt, &k.UpdatedAt, &k.ExpiresAt, &k.RevokedAt, &k.MaxBudget, &k.CurrentSpend, &k.BudgetDuration, &k.SoftBudget,
		&k.TPM, &k.RPM, &k.MaxParallel, &k.ModelMaxBudget, &k.ModelRPM, &k.ModelTPM, &k.Tags, &k.Metadata,
		&k.Models, &providers, &contexts, &embeddings, &converts)
	for i, id := range k.Models {
		k.ModelDetails = append(k.ModelDetails, bareKeyModel{id, id, providers[i], contexts[i], embeddings[i], converts[i]})
	}
	k.Prefix, k.Settled, k.IsActive = k.KeyPrefix, observed == generation, observed > 0 && string(k.Holds) == "[]"
	if k.Status = "blocked"; k.IsActive {
		k.Status, k.Holds = "active", nil
	}
	if k.MaxBudget != nil {
		used := math.Round(float64(k.CurrentSpend)/float64(*k.MaxBudget)*1e4) / 100
		k.Utilization = &used
	}
	if k.LastUsedAt != nil {
		at := k.LastUsedAt.UTC()
		k.LastUsedAt = &at
	}
	k.CreatedAt, k.UpdatedAt = k.CreatedAt.UTC(), k.UpdatedAt.UTC()
	return err
}

// bareKeys answers the request with as little as can be.
func (c *crowd) bareKeys(pool *pgxpool.Pool) http.Handler {
	r := gin.New()
	r.GET(keysPath, func(g *gin.Context) {
		rows, err := pool.Query(g, bareKeysSQL, c.people[g.GetHeader("Authorization")].ID)
		if err != nil {
			g.String(http.StatusInternalServerError, err.Error())
			return
		}
		defer rows.Close()
		var total int
		page := []bareKey{}
		for rows.Next() {
			page = append(page, bareKey{})
			if err := scanBareKey(rows, &page[len(page)-1], &total); err != nil {
				g.String(http.StatusInternalServerError, err.Error())
				return
			}
		}
		write(g, struct {
			Data       []bareKey      `json:"data"`
			Total      int            `json:"total"`
			Pagination barePagination `json:"pagination"`
		}{page, total, barePagination{1, 20, total, (total + 19) / 20}})
	})
	return r
}
