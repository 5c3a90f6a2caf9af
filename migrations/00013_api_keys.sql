-- API keys. A key's row is the wish: generation counts what changed of what LiteLLM holds too,
-- observed_generation is the last one that LiteLLM was seen to agree with, failed_generation the
-- last one that it refuses for good. The secret is kept sealed, and by its hash, which is
-- LiteLLM's name for the key. Which models it may call are rows, so that a model can be taken off
-- many keys at once.

-- +goose Up
CREATE TABLE api_keys (
    id                  uuid        PRIMARY KEY,
    user_id             uuid        NOT NULL REFERENCES users ON DELETE CASCADE,
    team_id             uuid        REFERENCES teams,
    name                text        NOT NULL CHECK (name <> ''),
    alias               text        NOT NULL UNIQUE, -- LiteLLM's key_alias
    hash                text        NOT NULL UNIQUE CHECK (hash ~ '^[0-9a-f]{64}$'),
    prefix              text        NOT NULL,        -- its first characters, for people
    sealed              bytea       NOT NULL,
    holds               jsonb       NOT NULL DEFAULT '[]', -- why it may not be used now
    max_budget          bigint      CHECK (max_budget >= 0), -- billionths of a dollar; null: unlimited
    budget_duration     text        NOT NULL DEFAULT '',
    tpm_limit           bigint      CHECK (tpm_limit >= 0),
    rpm_limit           bigint      CHECK (rpm_limit >= 0),
    max_parallel        bigint      CHECK (max_parallel >= 0),
    model_tpm           jsonb       NOT NULL DEFAULT '{}', -- {model: tokens a minute}
    model_rpm           jsonb       NOT NULL DEFAULT '{}',
    metadata            jsonb       NOT NULL DEFAULT '{}',
    spend               bigint      NOT NULL DEFAULT 0, -- billionths of a dollar, as LiteLLM last said
    expires_at          timestamptz,
    revoked_at          timestamptz,
    generation          bigint      NOT NULL DEFAULT 1 CHECK (generation > 0),
    observed_generation bigint      NOT NULL DEFAULT 0 CHECK (observed_generation <= generation),
    failed_generation   bigint      NOT NULL DEFAULT 0 CHECK (failed_generation <= generation),
    failure             text        NOT NULL DEFAULT '',
    created_at          timestamptz NOT NULL DEFAULT now(),
    updated_at          timestamptz NOT NULL DEFAULT now()
);
-- A user's keys, the newest first.
CREATE INDEX api_keys_of_user ON api_keys (user_id, created_at DESC, id);
-- Sweep: nothing to read when nothing is unsettled.
CREATE INDEX api_keys_unsettled ON api_keys (updated_at, id) WHERE observed_generation < generation AND failed_generation < generation;

CREATE TABLE api_key_models (
    api_key_id uuid NOT NULL REFERENCES api_keys ON DELETE CASCADE,
    model_id   text NOT NULL REFERENCES models,
    PRIMARY KEY (api_key_id, model_id)
);
-- Whom a model's end concerns.
CREATE INDEX api_key_models_of_model ON api_key_models (model_id);

-- +goose Down
DROP TABLE api_key_models;
DROP TABLE api_keys;
