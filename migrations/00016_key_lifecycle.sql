-- The life of API keys: limits that are ours alone, use, revocation and its proof, rotation; and
-- what a sync finds that a person has to settle.

-- +goose Up
ALTER TABLE api_keys
    ADD soft_budget        bigint      CHECK (soft_budget >= 0), -- billionths of a dollar
    ADD model_max_budget   jsonb       NOT NULL DEFAULT '{}',    -- {model: {budgetLimit: dollars, timePeriod}}
    ADD tags               jsonb       NOT NULL DEFAULT '[]',
    ADD permissions        jsonb       NOT NULL DEFAULT '{}',
    ADD guardrails         jsonb       NOT NULL DEFAULT '[]',
    ADD subscription_id    uuid,       -- that a caller of the old way asked for it by
    ADD created_by         text        NOT NULL DEFAULT '',
    ADD revoked_by         text        NOT NULL DEFAULT '',
    ADD revoked_why        text        NOT NULL DEFAULT '',
    ADD alarmed_at         timestamptz, -- when it was told that LiteLLM still takes the revoked key
    ADD deleted_at         timestamptz, -- lists leave it out; what it used stays its
    ADD last_used_at       timestamptz,
    ADD noticed_days       int,         -- of the last notice that it will expire: 30, 7, 1
    ADD predecessor        uuid        UNIQUE REFERENCES api_keys, -- that it replaces
    ADD reset_generation   bigint      NOT NULL DEFAULT 0, -- the last wish by which what it spent counts from zero
    ADD retires_at         timestamptz, -- rotated: when its successor is alone
    ADD retire_silent      interval,    -- rotated: retire it sooner when it was silent for so long
    ADD rotate_every       interval;    -- by policy; null: never
-- A user's active keys, for the limit.
CREATE INDEX api_keys_live ON api_keys (user_id) WHERE revoked_at IS NULL;
-- What the clock does.
CREATE INDEX api_keys_expiring ON api_keys (expires_at) WHERE revoked_at IS NULL AND expires_at IS NOT NULL;
CREATE INDEX api_keys_retiring ON api_keys (retires_at) WHERE revoked_at IS NULL AND retires_at IS NOT NULL;
CREATE INDEX api_keys_rotating ON api_keys (created_at) WHERE revoked_at IS NULL AND rotate_every IS NOT NULL;
CREATE INDEX api_keys_revoking ON api_keys (revoked_at) WHERE revoked_at IS NOT NULL AND observed_generation < generation;

-- +goose Down
ALTER TABLE api_keys
    DROP soft_budget, DROP model_max_budget, DROP tags, DROP permissions, DROP guardrails, DROP subscription_id, DROP created_by,
    DROP revoked_by, DROP revoked_why, DROP alarmed_at, DROP deleted_at, DROP last_used_at, DROP noticed_days,
    DROP predecessor, DROP reset_generation, DROP retires_at, DROP retire_silent, DROP rotate_every;
