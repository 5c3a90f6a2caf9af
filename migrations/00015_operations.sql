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
    attempt         int         NOT NULL DEFAULT 1, -- counts who worked on it; only the last may commit anything for it
    claimed_until   timestamptz NOT NULL, -- until then the last one is at work on it
    subject_type    text        NOT NULL DEFAULT '', -- what it did something to, as the audit log names it; '': nothing yet
    subjects        jsonb       NOT NULL DEFAULT '[]', -- [{id, wish}]; the wish is a generation, or the status of a subscription
    applied_at      timestamptz, -- when that was committed
    status          int,        -- of the answer; null: there is none yet
    headers         jsonb,
    body            bytea,      -- sealed; null: it is not kept
    code            text        NOT NULL DEFAULT '', -- of a failure
    failure         text        NOT NULL DEFAULT '', -- in words
    created_at      timestamptz NOT NULL DEFAULT now(),
    answered_at     timestamptz, -- null: the same request may be tried again
    UNIQUE (actor, idempotency_key)
);
-- A caller's list, the newest first; everybody's, and the clean-up.
CREATE INDEX operations_of_actor ON operations (actor, created_at DESC, id);
CREATE INDEX operations_made ON operations (created_at DESC, id);

-- +goose Down
DROP TABLE operations;
