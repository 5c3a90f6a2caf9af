-- The people, and the team that all of them are in. A user's row is the wish: generation
-- counts what changed of what LiteLLM holds too, observed_generation is the last one that
-- LiteLLM was seen to agree with, failed_generation the last one that it refuses for good.
-- And what a full sync finds about LiteLLM's users.

-- +goose Up
CREATE TABLE users (
    id                  uuid        PRIMARY KEY,
    username            text        NOT NULL UNIQUE CHECK (username <> ''),
    email               text        NOT NULL DEFAULT '', -- '' when the identity provider gave none
    email_verified      boolean     NOT NULL DEFAULT false,
    full_name           text        NOT NULL DEFAULT '',
    named_here          boolean     NOT NULL DEFAULT false,
    oauth_provider      text        NOT NULL,
    oauth_id            text        NOT NULL,
    holds               jsonb       NOT NULL DEFAULT '[]', -- why he may do nothing: admin, offboarded, system
    is_active           boolean     NOT NULL GENERATED ALWAYS AS (holds = '[]') STORED,
    max_budget          bigint      CHECK (max_budget >= 0), -- billionths of a dollar; null: unlimited
    budget_duration     text        NOT NULL DEFAULT '',
    tpm_limit           bigint      CHECK (tpm_limit >= 0),
    rpm_limit           bigint      CHECK (rpm_limit >= 0),
    generation          bigint      NOT NULL DEFAULT 1 CHECK (generation > 0),
    observed_generation bigint      NOT NULL DEFAULT 0 CHECK (observed_generation <= generation),
    failed_generation   bigint      NOT NULL DEFAULT 0 CHECK (failed_generation <= generation),
    failure             text        NOT NULL DEFAULT '',
    last_login_at       timestamptz,
    created_at          timestamptz NOT NULL DEFAULT now(),
    updated_at          timestamptz NOT NULL DEFAULT now(),
    UNIQUE (oauth_provider, oauth_id)
);
-- Of two people with one address, one would get the other's account.
CREATE UNIQUE INDEX users_email ON users (lower(email)) WHERE email <> '';
-- GET /users, page by page.
CREATE INDEX users_listed ON users (created_at DESC, id);
-- Sweep: nothing to read when nothing is unsettled.
CREATE INDEX users_unsettled ON users (updated_at) WHERE observed_generation < generation AND failed_generation < generation;

INSERT INTO users (id, username, email, full_name, oauth_provider, oauth_id, holds, observed_generation)
VALUES ('00000000-0000-0000-0000-000000000001', 'system', 'system@litemaas.internal', 'System', 'system', 'system', '["system"]', 1);

CREATE TABLE teams (
    id              uuid        PRIMARY KEY,
    name            text        NOT NULL CHECK (name <> ''),
    litellm_alias   text        NOT NULL UNIQUE,
    description     text        NOT NULL DEFAULT '',
    max_budget      bigint      CHECK (max_budget >= 0),
    budget_duration text        NOT NULL DEFAULT 'monthly',
    tpm_limit       bigint      CHECK (tpm_limit >= 0),
    rpm_limit       bigint      CHECK (rpm_limit >= 0),
    allowed_models  jsonb       NOT NULL DEFAULT '[]', -- empty: all
    created_at      timestamptz NOT NULL DEFAULT now(),
    updated_at      timestamptz NOT NULL DEFAULT now()
);
INSERT INTO teams (id, name, litellm_alias, description, max_budget, tpm_limit, rpm_limit)
VALUES ('a0000000-0000-4000-8000-000000000001', 'Default Team', 'default-team', 'Everybody', 10000000000000, 50000, 1000);

CREATE TABLE team_members (
    team_id   uuid        NOT NULL REFERENCES teams ON DELETE CASCADE,
    user_id   uuid        NOT NULL REFERENCES users ON DELETE CASCADE,
    role      text        NOT NULL DEFAULT 'member' CHECK (role IN ('admin', 'member', 'viewer')),
    joined_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (team_id, user_id)
);
CREATE INDEX team_members_of_user ON team_members (user_id);

ALTER TABLE sync_runs
    ADD users_listed      int NOT NULL DEFAULT 0,
    ADD users_missing     int NOT NULL DEFAULT 0,
    ADD users_different   int NOT NULL DEFAULT 0,
    ADD users_unknown     int NOT NULL DEFAULT 0,
    ADD users_compared_at timestamptz;

-- LiteLLM's users as they were read; they live from the fetch to the comparison.
CREATE TABLE sync_staged_users (
    run_id          uuid   NOT NULL REFERENCES sync_runs ON DELETE CASCADE,
    id              text   NOT NULL,
    email           text   NOT NULL,
    alias           text   NOT NULL,
    role            text   NOT NULL,
    max_budget      bigint,
    budget_duration text   NOT NULL,
    tpm_limit       bigint,
    rpm_limit       bigint,
    PRIMARY KEY (run_id, id)
);

CREATE TABLE sync_user_differences (
    run_id  uuid  NOT NULL REFERENCES sync_runs ON DELETE CASCADE,
    user_id text  NOT NULL,
    kind    text  NOT NULL CHECK (kind IN ('missing', 'different', 'unknown')),
    fields  jsonb NOT NULL, -- [{field, old, new}]
    PRIMARY KEY (run_id, user_id)
);

-- +goose Down
DROP TABLE sync_user_differences;
DROP TABLE sync_staged_users;
ALTER TABLE sync_runs
    DROP users_listed, DROP users_missing, DROP users_different, DROP users_unknown, DROP users_compared_at;
DROP TABLE team_members;
DROP TABLE teams;
DROP TABLE users;
