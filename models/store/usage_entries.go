package store

// nobody is the id of a user, team, key or subscription that is not known.
const nobody = "'00000000-0000-0000-0000-000000000000'::uuid"

// priceAt is SQL for the price of model m.model_id at the time m.at, as price: what was in force
// then, or else the first that is known. It is looked up where sought holds.
const priceAt = `(
	SELECT p.input_cost_per_token AS input, p.output_cost_per_token AS output FROM model_prices p WHERE p.model_id = m.model_id AND m.sought
	ORDER BY p.from_at <= m.at DESC, CASE WHEN p.from_at <= m.at THEN p.from_at END DESC, p.from_at LIMIT 1) price`

// mostCost bounds what we compute for one entry, in billionths: a million dollars. Where a price
// is so wrong, sums have to be able to hold it all the same.
const mostCost = "1000000000000000"

// priced is SQL for whether that price says what the tokens of m cost, and computed for how much.
// What is missing is missed only where there are tokens of its kind.
const (
	priced   = "(m.prompt_tokens = 0 OR price.input IS NOT NULL) AND (m.completion_tokens = 0 OR price.output IS NOT NULL)"
	computed = `least(round((m.prompt_tokens * coalesce(price.input, 0) + m.completion_tokens * coalesce(price.output, 0)) * 1000000000), ` + mostCost + `)::bigint`
)

// tellSQL says of what came in whose it is, and what it cost: into usage_told. A key of ours is
// its owner's, also when it has ended; else LiteLLM's word counts, if it is a user whom we know.
const tellSQL = `
	INSERT INTO usage_told
	WITH used AS MATERIALIZED (
		SELECT k.hash, k.id, k.user_id, coalesce(k.team_id, ` + nobody + `) AS team_id
		FROM (SELECT DISTINCT key_hash FROM usage_incoming) i JOIN api_keys k ON k.hash = i.key_hash
	), m AS (
		SELECT i.id, i.at, i.request_id, i.call_id, i.key_hash,
		       coalesce(k.user_id, (SELECT u.id FROM users u WHERE u.id = i.user_id), ` + nobody + `) AS user_id,
		       coalesce(k.team_id, (SELECT t.id FROM teams t WHERE t.id = i.team_id), ` + nobody + `) AS team_id,
		       coalesce(k.id, ` + nobody + `) AS api_key_id, i.model_id,
		       coalesce(nullif(l.provider, ''), i.provider) AS provider,
		       i.requests, i.failed, i.prompt_tokens, i.completion_tokens, i.cost, i.cost IS NULL AS sought, i.latency_ms
		FROM usage_incoming i LEFT JOIN used k ON k.hash = i.key_hash LEFT JOIN models l ON l.id = i.model_id
	)
	SELECT m.id, m.at, NULL, @source, m.request_id, m.call_id, m.key_hash, m.user_id, m.team_id, m.api_key_id,
	       coalesce((SELECT s.id FROM subscriptions s WHERE s.user_id = m.user_id AND s.model_id = m.model_id), ` + nobody + `),
	       m.model_id, m.provider, m.requests, m.failed, m.prompt_tokens, m.completion_tokens,
	       CASE WHEN m.cost IS NOT NULL THEN m.cost WHEN ` + priced + ` THEN ` + computed + ` ELSE 0 END,
	       CASE WHEN m.cost IS NOT NULL THEN 'reported' WHEN ` + priced + ` THEN 'computed' ELSE 'unknown' END,
	       m.latency_ms, now()
	FROM m LEFT JOIN LATERAL ` + priceAt + ` ON true`

// nearby is SQL for whether an entry e is where one of call t may be. The first bound is for the
// partitions, the second for the rows.
const nearby = `e.at BETWEEN @first AND @last AND e.at BETWEEN t.at - @slack * interval '1 second' AND t.at + @slack * interval '1 second'`

// newUsageSQL puts the calls into usage_new that the ledger has not got.
const newUsageSQL = `
	INSERT INTO usage_new
	SELECT t.* FROM usage_told t
	WHERE t.at >= ` + usageKeptFrom + ` AND NOT EXISTS (SELECT FROM usage_events e WHERE e.id = t.id AND ` + nearby + `)`

// standing is SQL for what the ledger says of calls now, all their entries together, from the rows
// that follow it, of entries e with the id of their call: face is the entry that says whose a call
// is, priced how its cost was found, and rerated whether that was corrected since.
const standing = `
	SELECT call, sum(requests) AS requests, sum(failed) AS failed, sum(prompt_tokens) AS prompt_tokens,
	       sum(completion_tokens) AS completion_tokens, sum(cost) AS cost, sum(latency_ms) AS latency_ms,
	       (array_agg(id ORDER BY recorded_at DESC) FILTER (WHERE requests > 0))[1] AS face,
	       (array_agg(priced ORDER BY recorded_at DESC) FILTER (WHERE source <> 'rerate'))[1] AS priced,
	       (array_agg(source ORDER BY recorded_at DESC))[1] = 'rerate' AS rerated, min(at) AS at`

// correctSQL puts the entries into usage_new by which what the ledger says of calls becomes what
// LiteLLM's log says, and answers of how many calls. Where LiteLLM names another key or model, or
// another user of a key that is not ours, the call is taken from the one and given to the other.
// A cost that we computed stands against none, and one that was corrected against any, as long as
// the tokens are the same.
const correctSQL = `
	WITH entries AS (
		SELECT t.id AS call, e.* FROM usage_told t JOIN usage_events e ON e.id = t.id AND ` + nearby + `
		UNION ALL
		SELECT t.id, e.* FROM usage_told t JOIN usage_events e ON e.corrects = t.id AND ` + nearby + `
	), now AS (` + standing + ` FROM entries GROUP BY call
	), judged AS (
		SELECT now.*, f.key_hash, f.user_id, f.team_id, f.api_key_id, f.subscription_id, f.model_id, f.provider,
		       t.key_hash <> '' AND t.model_id <> '' AND (t.key_hash <> f.key_hash OR t.model_id <> f.model_id
		           OR f.api_key_id = ` + nobody + ` AND t.user_id <> ` + nobody + ` AND t.user_id <> f.user_id) AS moved,
		       (t.requests, t.failed, t.prompt_tokens, t.completion_tokens) IS DISTINCT FROM (now.requests, now.failed, now.prompt_tokens, now.completion_tokens) AS recounted
		FROM now JOIN entries f ON f.call = now.call AND f.id = now.face JOIN usage_told t ON t.id = now.call
	), wanted AS (
		SELECT j.*, CASE WHEN recounted OR moved THEN CASE WHEN t.priced = 'reported' OR j.priced <> 'reported' THEN t.cost ELSE j.cost END
		                 WHEN t.priced = 'reported' AND NOT rerated THEN t.cost ELSE j.cost END AS costs
		FROM judged j JOIN usage_told t ON t.id = j.call
	), put AS (
		INSERT INTO usage_new
		SELECT gen_random_uuid(), w.at, w.call, @source, t.request_id, t.call_id,
		       CASE WHEN p.taken = 0 THEN t.key_hash ELSE w.key_hash END, CASE WHEN p.taken = 0 THEN t.user_id ELSE w.user_id END,
		       CASE WHEN p.taken = 0 THEN t.team_id ELSE w.team_id END, CASE WHEN p.taken = 0 THEN t.api_key_id ELSE w.api_key_id END,
		       CASE WHEN p.taken = 0 THEN t.subscription_id ELSE w.subscription_id END,
		       CASE WHEN p.taken = 0 THEN t.model_id ELSE w.model_id END, CASE WHEN p.taken = 0 THEN t.provider ELSE w.provider END,
		       p.given * t.requests - p.taken * w.requests, p.given * t.failed - p.taken * w.failed,
		       p.given * t.prompt_tokens - p.taken * w.prompt_tokens, p.given * t.completion_tokens - p.taken * w.completion_tokens,
		       p.given * w.costs - p.taken * w.cost, CASE WHEN t.priced = 'reported' THEN t.priced ELSE w.priced END,
		       (p.given - p.taken) * w.latency_ms, now()
		FROM wanted w JOIN usage_told t ON t.id = w.call
		CROSS JOIN LATERAL (VALUES (1, 0, w.moved), (0, 1, w.moved), (1, 1, NOT w.moved AND (w.recounted OR w.costs <> w.cost))) p (taken, given, applies)
		WHERE p.applies
		RETURNING corrects
	)
	SELECT count(DISTINCT corrects) FROM put`

// enterSQL writes the entries. They are dated after the lock, so that of one call the later is the
// later.
const enterSQL = `
	INSERT INTO usage_events
	SELECT id, at, corrects, source, request_id, call_id, key_hash, user_id, team_id, api_key_id, subscription_id, model_id, provider,
	       requests, failed, prompt_tokens, completion_tokens, cost, priced, latency_ms, statement_timestamp() FROM usage_new`
