-- Settings that an admin changes while the system runs. A row is a wish: generation counts
-- its changes, observed_generation is the last one that was carried out where the setting
-- lives outside this database (a schedule lives in Temporal). And the last look at LiteLLM.

-- +goose Up
CREATE TABLE settings (
    key                 text        PRIMARY KEY,
    value               jsonb       NOT NULL,
    generation          bigint      NOT NULL DEFAULT 1 CHECK (generation > 0),
    observed_generation bigint      NOT NULL DEFAULT 0 CHECK (observed_generation <= generation),
    updated_at          timestamptz NOT NULL DEFAULT now(),
    updated_by          text        NOT NULL
);

CREATE TABLE litellm_probe (
    one        boolean     PRIMARY KEY DEFAULT true CHECK (one), -- a single row
    reachable  boolean     NOT NULL,
    latency    bigint      NOT NULL, -- nanoseconds
    version    text        NOT NULL,
    failure    text        NOT NULL,
    checked_at timestamptz NOT NULL
);

-- +goose Down
DROP TABLE litellm_probe;
DROP TABLE settings;
