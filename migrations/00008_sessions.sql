-- Sign-ins: those under way (login states), those that are in use (sessions) with what keeps
-- them in use (refresh tokens), and the keys that sign access tokens. Of tokens and states
-- only hashes are kept; keys and the provider's tokens are sealed before they get here.

-- +goose Up
CREATE TABLE login_states (
    state_hash   text        PRIMARY KEY,
    browser_hash text        NOT NULL,
    provider     text        NOT NULL,
    nonce        text        NOT NULL,
    verifier     text        NOT NULL,
    redirect     text        NOT NULL,
    expires_at   timestamptz NOT NULL
);
-- The clean-up.
CREATE INDEX login_states_expire ON login_states (expires_at);

CREATE TABLE sessions (
    id              uuid        PRIMARY KEY,
    user_id         uuid        NOT NULL REFERENCES users ON DELETE CASCADE,
    provider        text        NOT NULL,
    provider_tokens bytea,
    auth_time       timestamptz NOT NULL,
    ip              text        NOT NULL,
    user_agent      text        NOT NULL,
    created_at      timestamptz NOT NULL,
    last_seen_at    timestamptz NOT NULL,
    expires_at      timestamptz NOT NULL,
    revoked_at      timestamptz,
    revoked_why     text        NOT NULL DEFAULT ''
) WITH (fillfactor = 80); -- last_seen_at changes often, in place
-- A user's live sessions, the oldest of too many.
CREATE INDEX sessions_of_user ON sessions (user_id, created_at) WHERE revoked_at IS NULL;
-- The clean-up.
CREATE INDEX sessions_expire ON sessions (expires_at);
CREATE INDEX sessions_revoked ON sessions (revoked_at) WHERE revoked_at IS NOT NULL;

CREATE TABLE refresh_tokens (
    hash       text        PRIMARY KEY,
    session_id uuid        NOT NULL REFERENCES sessions ON DELETE CASCADE,
    issued_at  timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    used_at    timestamptz -- a used one is kept, so that a second use is noticed
);
CREATE INDEX refresh_tokens_of_session ON refresh_tokens (session_id);

CREATE TABLE signing_keys (
    kid        text        PRIMARY KEY,
    algorithm  text        NOT NULL,
    private    bytea       NOT NULL,
    public     jsonb       NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    retires_at timestamptz, -- after it, the key signs no more
    expires_at timestamptz  -- after it, what the key signed is no longer believed
);

-- +goose Down
DROP TABLE signing_keys;
DROP TABLE refresh_tokens;
DROP TABLE sessions;
DROP TABLE login_states;
