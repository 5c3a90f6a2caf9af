-- Subscriptions: a user's right to put one model on his keys. One row per user and model for
-- ever, whose life is the state machine in models/subscription.go. What ends subscriptions and
-- takes their models off keys is a cascade, which remembers what it took, to give it back.
-- The outbox holds what people have to be told; it is written with what it tells of.

-- +goose Up
CREATE TABLE subscriptions (
    id                uuid        PRIMARY KEY,
    user_id           uuid        NOT NULL REFERENCES users ON DELETE CASCADE,
    model_id          text        NOT NULL REFERENCES models,
    status            text        NOT NULL CHECK (status IN ('active', 'suspended', 'cancelled', 'expired', 'inactive', 'pending', 'denied')),
    status_reason     text        NOT NULL DEFAULT '',
    status_changed_at timestamptz NOT NULL DEFAULT now(),
    status_changed_by text        NOT NULL,
    -- A wish that is under way: 'active' while ProvisionSubscription makes a pending one so.
    wanted            text        NOT NULL DEFAULT '' CHECK (wanted IN ('', 'active')),
    wanted_at         timestamptz,
    wanted_by         text        NOT NULL DEFAULT '',
    wanted_reason     text        NOT NULL DEFAULT '',
    holds             jsonb       NOT NULL DEFAULT '[]', -- why it is suspended: quota, offboarded, admin
    -- A denial stands until an admin approves, whatever the owner does meanwhile.
    denied_at         timestamptz,
    denied_by         text        NOT NULL DEFAULT '',
    denied_reason     text        NOT NULL DEFAULT '',
    requested_at      timestamptz NOT NULL DEFAULT now(), -- since when it waits for an admin, while pending
    reminded_at       timestamptz,                        -- when approvers were last reminded of that
    quota_requests    bigint      CHECK (quota_requests > 0), -- each calendar month in UTC; null: unlimited
    quota_tokens      bigint      CHECK (quota_tokens > 0),
    used_requests     bigint      NOT NULL DEFAULT 0,     -- since the beginning of the month that ends at reset_at
    used_tokens       bigint      NOT NULL DEFAULT 0,
    reset_at          timestamptz NOT NULL,
    expires_at        timestamptz,
    noticed_days      int,                                -- of the last notice that it will expire: 30, 7, 1
    metadata          jsonb       NOT NULL DEFAULT '{}',
    -- Something is to be reset at reset_at. A column of its own, as counting must touch no index.
    resets            boolean     NOT NULL GENERATED ALWAYS AS (used_requests > 0 OR used_tokens > 0 OR status = 'suspended') STORED,
    created_at        timestamptz NOT NULL DEFAULT now(),
    updated_at        timestamptz NOT NULL DEFAULT now(),
    UNIQUE (user_id, model_id),
    CHECK (wanted = '' OR status = 'pending'),
    CHECK ((status = 'suspended') = (holds <> '[]'))
) WITH (fillfactor = 90); -- room to count in place
-- A user's list, the newest first, and its count without touching the rows.
CREATE INDEX subscriptions_of_user ON subscriptions (user_id, created_at DESC, id) INCLUDE (status);
-- Whom a model's end concerns.
CREATE INDEX subscriptions_of_model ON subscriptions (model_id, status);
-- The admins' list, what was never changed first.
CREATE INDEX subscriptions_changed ON subscriptions (status_changed_at DESC, id);
CREATE INDEX subscriptions_of_status ON subscriptions (status, status_changed_at DESC, id);
-- What the clock does: each costs nothing when nothing is due.
CREATE INDEX subscriptions_wanted ON subscriptions (wanted_at) WHERE wanted <> '';
CREATE INDEX subscriptions_waiting ON subscriptions (requested_at) WHERE status = 'pending' AND wanted = '';
CREATE INDEX subscriptions_expiring ON subscriptions (expires_at) WHERE status IN ('active', 'suspended', 'pending') AND expires_at IS NOT NULL;
CREATE INDEX subscriptions_noticed ON subscriptions (noticed_days, expires_at) WHERE status IN ('active', 'suspended') AND expires_at IS NOT NULL;
CREATE INDEX subscriptions_resetting ON subscriptions (reset_at) WHERE resets;

CREATE TABLE subscription_status_history (
    id              bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    subscription_id uuid        NOT NULL REFERENCES subscriptions ON DELETE CASCADE,
    old_status      text,       -- null: it was made
    new_status      text        NOT NULL,
    reason          text        NOT NULL,
    changed_by      text        NOT NULL,
    changed_at      timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX subscription_status_history_of ON subscription_status_history (subscription_id, id);

CREATE TABLE cascades (
    id              uuid        PRIMARY KEY,
    cause           text        NOT NULL CHECK (cause IN (
        'cancelled', 'denied', 'reverted', 'expired', 'lapsed', 'deleted', 'model_unavailable', 'model_restricted', 'quota', 'offboarded', 'admin')),
    model_id        text        REFERENCES models,  -- for causes of a model
    user_id         uuid        REFERENCES users ON DELETE CASCADE, -- for causes of a user
    reason          text        NOT NULL,
    by              text        NOT NULL,
    subscriptions   int         NOT NULL DEFAULT 0, -- how many it moved
    keys            int         NOT NULL DEFAULT 0, -- how many it took something from
    generation      bigint      NOT NULL DEFAULT 1, -- 1: taken; one more each time that it gave back
    observed_generation bigint  NOT NULL DEFAULT 0, -- whose keys LiteLLM was seen to follow
    created_at      timestamptz NOT NULL DEFAULT now(),
    updated_at      timestamptz NOT NULL DEFAULT now(),
    lifted_at       timestamptz -- when its cause went, and what was still wanted was given back
);
-- Sweep.
CREATE INDEX cascades_unsettled ON cascades (updated_at) WHERE observed_generation < generation;
-- What may be given back.
CREATE INDEX cascades_of_model ON cascades (model_id) WHERE lifted_at IS NULL AND cause IN ('model_unavailable', 'model_restricted');
CREATE INDEX cascades_of_user ON cascades (user_id) WHERE lifted_at IS NULL AND cause = 'offboarded';

CREATE TABLE cascade_subscriptions (
    cascade_id      uuid NOT NULL REFERENCES cascades ON DELETE CASCADE,
    subscription_id uuid NOT NULL, -- it may be deleted
    old_status      text NOT NULL,
    new_status      text NOT NULL,
    changed_at      timestamptz NOT NULL, -- status_changed_at then: it is restored only if nobody moved it since
    restored        boolean NOT NULL DEFAULT false,
    PRIMARY KEY (cascade_id, subscription_id)
);
CREATE INDEX cascade_subscriptions_of ON cascade_subscriptions (subscription_id);

-- What a cascade took from a key: a model, or, when model_id is '', the right to be used.
CREATE TABLE cascade_keys (
    cascade_id uuid NOT NULL REFERENCES cascades ON DELETE CASCADE,
    api_key_id uuid NOT NULL REFERENCES api_keys ON DELETE CASCADE,
    model_id   text NOT NULL,
    restored   boolean NOT NULL DEFAULT false,
    PRIMARY KEY (cascade_id, api_key_id, model_id)
);
CREATE INDEX cascade_keys_of ON cascade_keys (api_key_id);

CREATE TABLE outbox (
    id           bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    type         text        NOT NULL, -- such as subscription.requested
    subject_type text        NOT NULL,
    subject_id   text        NOT NULL,
    user_id      uuid,       -- whom it is about
    data         jsonb       NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT now(),
    delivered_at timestamptz
);
CREATE INDEX outbox_waiting ON outbox (id) WHERE delivered_at IS NULL;

-- When LiteLLM was last asked about a model.
CREATE INDEX sync_runs_of_model ON sync_runs (subject, finished_at DESC) WHERE status = 'completed' AND kind = 'model';

-- What a full sync finds about keys: those that LiteLLM lets call more, or other, models than
-- their owner is subscribed to.
ALTER TABLE sync_runs
    ADD keys_listed      int NOT NULL DEFAULT 0,
    ADD keys_missing     int NOT NULL DEFAULT 0,
    ADD keys_different   int NOT NULL DEFAULT 0,
    ADD keys_unknown     int NOT NULL DEFAULT 0,
    ADD keys_compared_at timestamptz;

CREATE TABLE sync_staged_keys (
    run_id  uuid    NOT NULL REFERENCES sync_runs ON DELETE CASCADE,
    hash    text    NOT NULL,
    alias   text    NOT NULL,
    user_id text    NOT NULL,
    models  jsonb   NOT NULL, -- sorted; empty: every model
    blocked boolean NOT NULL,
    PRIMARY KEY (run_id, hash)
);

CREATE TABLE sync_key_differences (
    run_id   uuid  NOT NULL REFERENCES sync_runs ON DELETE CASCADE,
    hash     text  NOT NULL,
    key_id   uuid, -- ours; null: LiteLLM alone has it
    alias    text  NOT NULL,
    kind     text  NOT NULL CHECK (kind IN ('missing', 'different', 'unknown')),
    fields   jsonb NOT NULL, -- [{field, old, new}]
    PRIMARY KEY (run_id, hash)
);

-- +goose Down
DROP INDEX sync_runs_of_model;
DROP TABLE sync_key_differences;
DROP TABLE sync_staged_keys;
ALTER TABLE sync_runs
    DROP keys_listed, DROP keys_missing, DROP keys_different, DROP keys_unknown, DROP keys_compared_at;
DROP TABLE outbox;
DROP TABLE cascade_keys;
DROP TABLE cascade_subscriptions;
DROP TABLE cascades;
DROP TABLE subscription_status_history;
DROP TABLE subscriptions;
