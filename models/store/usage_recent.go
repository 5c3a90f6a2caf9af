package store

import (
	"context"
	"encoding/json"
	"time"

	"github.com/litemaas/litemaas/models"
)

// recentKept is how long usage_recent remembers: the longest that anybody counts in memory, and
// what a call may take that is told of when it has ended.
const recentKept = 70 * time.Minute

// recentSQL remembers the entries in usage_new that are of the last hour, second by second.
const recentSQL = `
	INSERT INTO usage_recent (sums)
	SELECT CAST('[' || string_agg('{"t":' || t || ',"u":"' || user_id || '","g":"' || team_id || '","k":"' || api_key_id || '","m":' || to_json(model_id) ||
	       ',"n":' || n || ',"f":' || f || ',"p":' || p || ',"c":' || c || ',"d":' || d / 1000000000 || ',"l":' || l || '}', ',') || ']' AS json)
	FROM (
		SELECT floor(extract(epoch FROM at) + latency_ms / 1000.0)::bigint AS t, user_id, team_id, api_key_id, model_id,
		       sum(requests) AS n, sum(failed) AS f, sum(prompt_tokens) AS p, sum(completion_tokens) AS c, sum(cost)::numeric(30, 9) AS d, sum(latency_ms) AS l
		FROM usage_new WHERE at > now() - interval '70 minutes' AND source IN ('push', 'pull') GROUP BY t, user_id, team_id, api_key_id, model_id
	) g HAVING count(*) > 0`

// recentRows is how many transactions one look at usage_recent reads at most.
const recentRows = 1000

// RecentUsageAfter returns what was recorded behind a place in usage_recent, up to one thousand
// rows of it, and the place of the last; since bounds how old it may be. The database counts the
// places from the beginning again when it has crashed, and what was there before is lost: then
// what is there now is returned from its beginning.
func (s *Store) RecentUsageAfter(ctx context.Context, place int64, since time.Time) (sums []models.RecentUsage, last int64, err error) {
	var rows []struct {
		ID   int64
		Sums json.RawMessage
	}
	err = s.scan(ctx, "recent usage", &rows, `
		SELECT id, sums FROM usage_recent
		WHERE id > CASE WHEN @place > (SELECT max(id) FROM usage_recent) THEN 0 ELSE CAST(@place AS bigint) END AND at >= @since
		ORDER BY id LIMIT @limit`, map[string]any{"place": place, "since": since, "limit": recentRows})
	if err != nil {
		return nil, place, err
	}
	for _, r := range rows {
		var some []models.RecentUsage
		if err := json.Unmarshal(r.Sums, &some); err != nil {
			return nil, place, models.Wrap(models.Internal, err, "recent usage")
		}
		sums, last = append(sums, some...), r.ID
	}
	if len(rows) == 0 {
		last = place
	}
	return sums, last, nil
}
