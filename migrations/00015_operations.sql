-- Operations: mutations that their caller may want to hear of again. With an idempotency key,
-- the same request again gets the same answer, and does nothing. What an operation did is noted
-- in the transaction that does it, so that a process that dies in between cannot do it twice.

-- +goose Up
CREATE TABLE operations (
    id              uuid        PRIMARY KEY,
    actor           text        NOT NULL, -- who asked
    idempotency_key text,       -- null: none was given
    request         text        NOT NULL, -- METHOD /path
    request_hash    bytea       NOT NULL, -- of method, path, query and body
    subject_type    text        NOT NULL DEFAULT '', -- what it did something to; '': nothing yet
    subject_id      text        NOT NULL DEFAULT '',
    applied_at      timestamptz, -- when what it wishes was committed
    status          int,        -- of the answer; null: there is none yet
    headers         jsonb,
    body            bytea,
    claimed_until   timestamptz NOT NULL, -- until then a process is at work on it
    created_at      timestamptz NOT NULL DEFAULT now(),
    answered_at     timestamptz,
    UNIQUE (actor, idempotency_key)
);
-- A caller's list, the newest first; and the clean-up.
CREATE INDEX operations_of_actor ON operations (actor, created_at DESC, id);
CREATE INDEX operations_old ON operations (created_at);

-- +goose Down
DROP TABLE operations;
