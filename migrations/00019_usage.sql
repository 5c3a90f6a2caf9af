-- The usage ledger. usage_events has one entry per call of a model, and never an update: what turns
-- out otherwise is one more entry, of the difference. Entries are in partitions by day, of which
-- old ones are dropped; usage_hours, usage_days and usage_totals keep the sums, written in the transaction
-- of the entries. Amounts are billionths of a dollar, buckets and days are UTC. Whoever is not known
-- is 00000000-0000-0000-0000-000000000000, as in LiteMaaS.

-- +goose Up
CREATE TABLE usage_events (
    id                uuid        NOT NULL, -- models.UsageEvent.ID: the same however often, and by whichever way, it comes
    at                timestamptz NOT NULL, -- when the call began
    corrects          uuid,                 -- the entry that it corrects; null: it is a call
    source            text        NOT NULL CHECK (source IN ('push', 'pull', 'daily', 'rerate')),
    request_id        text        NOT NULL, -- LiteLLM's
    call_id           text        NOT NULL,
    key_hash          text        NOT NULL, -- of whichever key was used, ours or not
    user_id           uuid        NOT NULL,
    team_id           uuid        NOT NULL,
    api_key_id        uuid        NOT NULL,
    subscription_id   uuid        NOT NULL,
    model_id          text        NOT NULL,
    provider          text        NOT NULL,
    requests          int         NOT NULL, -- 1, of a correction 0, or -1 and 1 where it was another's; more for a day's sum of an old LiteLLM
    failed            int         NOT NULL, -- of these
    prompt_tokens     bigint      NOT NULL,
    completion_tokens bigint      NOT NULL,
    cost              bigint      NOT NULL,
    priced            text        NOT NULL CHECK (priced IN ('reported', 'computed', 'unknown')), -- how the cost was found
    latency_ms        bigint      NOT NULL, -- of all its requests together
    recorded_at       timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (id, at)
) PARTITION BY RANGE (at);
-- What a user, and what an admin, did last.
CREATE INDEX usage_events_of_user ON usage_events (user_id, at);
-- An entry with all that corrected it.
CREATE INDEX usage_events_corrects ON usage_events (corrects) WHERE corrects IS NOT NULL;

-- make_usage_partitions makes the partitions of the days from first to last that are not there, and
-- says how many.
-- +goose StatementBegin
CREATE FUNCTION make_usage_partitions(first date, last date) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
    day  date;
    made int := 0;
BEGIN
    FOR day IN SELECT d::date FROM generate_series(first, last, interval '1 day') d LOOP
        IF to_regclass('usage_events_' || to_char(day, 'YYYYMMDD')) IS NULL THEN
            EXECUTE format('CREATE TABLE %I PARTITION OF usage_events FOR VALUES FROM (%L) TO (%L)',
                'usage_events_' || to_char(day, 'YYYYMMDD'), day::text || ' 00:00:00+00', (day + 1)::text || ' 00:00:00+00');
            made := made + 1;
        END IF;
    END LOOP;
    RETURN made;
END $$;
-- +goose StatementEnd
SELECT make_usage_partitions(current_date - 2, current_date + 2);

-- The sums. A subscription is what its user and model are, so it is no part of the key.
CREATE TABLE usage_hours (
    bucket            timestamptz NOT NULL,
    user_id           uuid        NOT NULL,
    team_id           uuid        NOT NULL,
    api_key_id        uuid        NOT NULL,
    subscription_id   uuid        NOT NULL,
    model_id          text        NOT NULL,
    provider          text        NOT NULL,
    requests          bigint      NOT NULL,
    failed            bigint      NOT NULL,
    prompt_tokens     bigint      NOT NULL,
    completion_tokens bigint      NOT NULL,
    cost              bigint      NOT NULL,
    latency_ms        bigint      NOT NULL,
    PRIMARY KEY (user_id, bucket, api_key_id, model_id, team_id, provider)
) WITH (fillfactor = 80); -- room to count in place
CREATE INDEX usage_hours_of_key ON usage_hours (api_key_id, bucket);
CREATE INDEX usage_hours_of_team ON usage_hours (team_id, bucket);
CREATE INDEX usage_hours_of_subscription ON usage_hours (subscription_id, bucket);
-- What is too old.
CREATE INDEX usage_hours_bucket ON usage_hours USING brin (bucket);

CREATE TABLE usage_days (LIKE usage_hours, PRIMARY KEY (user_id, bucket, api_key_id, model_id, team_id, provider)) WITH (fillfactor = 80);
CREATE INDEX usage_days_of_key ON usage_days (api_key_id, bucket);
CREATE INDEX usage_days_of_team ON usage_days (team_id, bucket);
CREATE INDEX usage_days_of_subscription ON usage_days (subscription_id, bucket);
-- Everybody's.
CREATE INDEX usage_days_of_model ON usage_days (bucket, model_id);

-- A subscription is counted with each of those transactions, many times a second: without room beside
-- it, each time writes all its indexes.
ALTER TABLE subscriptions SET (fillfactor = 50);

-- The same for everybody together.
CREATE TABLE usage_totals (
    bucket            timestamptz NOT NULL, -- an hour
    model_id          text        NOT NULL,
    provider          text        NOT NULL,
    requests          bigint      NOT NULL,
    failed            bigint      NOT NULL,
    prompt_tokens     bigint      NOT NULL,
    completion_tokens bigint      NOT NULL,
    cost              bigint      NOT NULL,
    latency_ms        bigint      NOT NULL,
    PRIMARY KEY (bucket, model_id, provider)
) WITH (fillfactor = 80);

-- What was recorded in the last hour, a row for each transaction, for those who count the last
-- minutes in memory. It may be lost with a crash.
CREATE UNLOGGED TABLE usage_recent (
    id   bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at   timestamptz NOT NULL DEFAULT now(),
    sums json        NOT NULL -- [models.RecentUsage], written and read whole
);
ALTER TABLE usage_recent ALTER sums SET STORAGE EXTERNAL; -- squeezing it costs more than its room
CREATE INDEX usage_recent_at ON usage_recent (at);

-- What was read at LiteLLM, window by window, and how it compared with what was there.
CREATE TABLE usage_windows (
    from_at      timestamptz NOT NULL,
    until_at     timestamptz NOT NULL,
    source       text        NOT NULL CHECK (source IN ('pull', 'daily')),
    read         int         NOT NULL, -- entries at LiteLLM
    missing      int         NOT NULL, -- that were not in the ledger, and are now
    corrected    int         NOT NULL, -- that differed
    extra        int         NOT NULL, -- in the ledger, and not at LiteLLM
    collected_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (from_at, until_at)
);
CREATE INDEX usage_windows_until ON usage_windows (until_at);

-- What a model cost from when on. The first price of a model counts for the time before, too.
CREATE TABLE model_prices (
    model_id              text        NOT NULL REFERENCES models ON DELETE CASCADE,
    from_at               timestamptz NOT NULL,
    input_cost_per_token  numeric,
    output_cost_per_token numeric,
    PRIMARY KEY (model_id, from_at)
);
INSERT INTO model_prices SELECT id, created_at, input_cost_per_token, output_cost_per_token FROM models;
-- +goose StatementBegin
CREATE FUNCTION keep_prices() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO model_prices VALUES (NEW.id, now(), NEW.input_cost_per_token, NEW.output_cost_per_token)
    ON CONFLICT (model_id, from_at) DO UPDATE SET input_cost_per_token = EXCLUDED.input_cost_per_token, output_cost_per_token = EXCLUDED.output_cost_per_token;
    RETURN NULL;
END $$;
-- +goose StatementEnd
CREATE TRIGGER keep_first_prices AFTER INSERT ON models FOR EACH ROW EXECUTE FUNCTION keep_prices();
CREATE TRIGGER keep_changed_prices AFTER UPDATE OF input_cost_per_token, output_cost_per_token ON models FOR EACH ROW
    WHEN ((OLD.input_cost_per_token, OLD.output_cost_per_token) IS DISTINCT FROM (NEW.input_cost_per_token, NEW.output_cost_per_token))
    EXECUTE FUNCTION keep_prices();

-- +goose Down
DROP TRIGGER keep_changed_prices ON models;
DROP TRIGGER keep_first_prices ON models;
DROP FUNCTION keep_prices;
DROP TABLE model_prices;
DROP TABLE usage_windows;
DROP TABLE usage_recent;
DROP TABLE usage_totals;
DROP TABLE usage_days;
DROP TABLE usage_hours;
DROP TABLE usage_events;
DROP FUNCTION make_usage_partitions;
ALTER TABLE subscriptions SET (fillfactor = 90);
