-- What each sync was asked, found and did; what it could not decide alone (proposals); and
-- LiteLLM's list as it was read (staged), which lives from the fetch to the merge of a run.

-- +goose Up
CREATE TABLE sync_proposals (
    id         uuid        PRIMARY KEY, -- the run that made it
    status     text        NOT NULL CHECK (status IN ('open', 'approved', 'rejected', 'lapsed', 'withdrawn')),
    model_ids  jsonb       NOT NULL,
    why        text        NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    renewed_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    decided_at timestamptz,
    decided_by text        NOT NULL DEFAULT '',
    reason     text        NOT NULL DEFAULT '',
    applied_at timestamptz
);
CREATE UNIQUE INDEX sync_proposals_one_open ON sync_proposals (status) WHERE status = 'open';
CREATE INDEX sync_proposals_to_apply ON sync_proposals (decided_at) WHERE status = 'approved' AND applied_at IS NULL;

CREATE TABLE sync_runs (
    id           uuid        PRIMARY KEY, -- the run ID of its workflow
    workflow_id  text        NOT NULL,
    kind         text        NOT NULL CHECK (kind IN ('full', 'model', 'removals')),
    trigger      text        NOT NULL CHECK (trigger IN ('manual', 'schedule', 'startup')),
    actor        text        NOT NULL,
    dry_run      boolean     NOT NULL,
    force        boolean     NOT NULL,
    keep_missing boolean     NOT NULL,
    subject      text        NOT NULL DEFAULT '',
    status       text        NOT NULL DEFAULT 'running' CHECK (status IN ('running', 'completed', 'failed')),
    phase        text        NOT NULL DEFAULT 'fetching' CHECK (phase IN ('fetching', 'merging', 'done')),
    expected     int         NOT NULL DEFAULT 0,
    fetched      int         NOT NULL DEFAULT 0,
    staged       int         NOT NULL DEFAULT 0,
    list         jsonb       NOT NULL DEFAULT '{}', -- how well LiteLLM's list could be read
    listed       int         NOT NULL DEFAULT 0,
    added        int         NOT NULL DEFAULT 0,
    changed      int         NOT NULL DEFAULT 0,
    unchanged    int         NOT NULL DEFAULT 0,
    returned     int         NOT NULL DEFAULT 0,
    gone         int         NOT NULL DEFAULT 0,
    held         int         NOT NULL DEFAULT 0,
    kept         int         NOT NULL DEFAULT 0,
    deleted      int         NOT NULL DEFAULT 0,
    proposal_id  uuid        REFERENCES sync_proposals,
    failure      text        NOT NULL DEFAULT '',
    started_at   timestamptz NOT NULL DEFAULT now(),
    merged_at    timestamptz,
    finished_at  timestamptz
);
CREATE INDEX sync_runs_started ON sync_runs (started_at DESC, id DESC);
CREATE INDEX sync_runs_running ON sync_runs (workflow_id) WHERE status = 'running';
CREATE INDEX sync_runs_succeeded ON sync_runs (finished_at DESC) WHERE status = 'completed' AND kind = 'full' AND NOT dry_run;

CREATE TABLE sync_differences (
    run_id   uuid  NOT NULL REFERENCES sync_runs ON DELETE CASCADE,
    model_id text  NOT NULL,
    kind     text  NOT NULL CHECK (kind IN ('added', 'changed', 'returned', 'gone', 'held', 'kept')),
    fields   jsonb NOT NULL, -- [{field, old, new}]
    PRIMARY KEY (run_id, model_id)
);

CREATE TABLE sync_staged_models (
    run_id                uuid    NOT NULL REFERENCES sync_runs ON DELETE CASCADE,
    id                    text    NOT NULL,
    provider              text    NOT NULL,
    backend_model_name    text    NOT NULL,
    context_length        bigint,
    max_tokens            bigint,
    input_cost_per_token  numeric,
    output_cost_per_token numeric,
    api_base              text    NOT NULL,
    tpm                   bigint,
    rpm                   bigint,
    litellm_model_id      text    NOT NULL,
    deployment_ids        jsonb   NOT NULL,
    features              jsonb   NOT NULL,
    model_info            jsonb   NOT NULL,
    litellm_params        jsonb   NOT NULL,
    PRIMARY KEY (run_id, id)
);

-- +goose Down
DROP TABLE sync_staged_models;
DROP TABLE sync_differences;
DROP TABLE sync_runs;
DROP TABLE sync_proposals;
