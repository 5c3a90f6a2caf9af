-- The catalogue: one row per model_name of LiteLLM. All but the last block is LiteLLM's
-- word and is written by syncs alone. Unit prices are numeric: exact, whatever the number
-- of places. Rows are never deleted: deleted_at keeps a sync from bringing one back.

-- +goose Up
CREATE TABLE models (
    id                    text        PRIMARY KEY CHECK (id <> ''),
    provider              text        NOT NULL,
    backend_model_name    text        NOT NULL,
    context_length        bigint,
    max_tokens            bigint,
    input_cost_per_token  numeric     CHECK (input_cost_per_token >= 0),
    output_cost_per_token numeric     CHECK (output_cost_per_token >= 0),
    api_base              text        NOT NULL,
    tpm                   bigint,
    rpm                   bigint,
    litellm_model_id      text        NOT NULL,
    deployment_ids        jsonb       NOT NULL,
    features              jsonb       NOT NULL,
    model_info            jsonb       NOT NULL,
    litellm_params        jsonb       NOT NULL,

    description           text        NOT NULL DEFAULT '',
    restricted_access     boolean     NOT NULL DEFAULT false,
    kept                  boolean     NOT NULL DEFAULT false,
    availability          text        NOT NULL DEFAULT 'available' CHECK (availability IN ('available', 'unavailable')),
    deleted_at            timestamptz,
    created_at            timestamptz NOT NULL DEFAULT now(),
    updated_at            timestamptz NOT NULL DEFAULT now()
);
-- The list, page by page in its order, and its count without touching the rows.
CREATE INDEX models_listed ON models (provider, id) WHERE availability = 'available' AND deleted_at IS NULL;

-- +goose Down
DROP TABLE models;
