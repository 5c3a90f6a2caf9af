-- Who did what to what, written in the transaction that did it. The actions and resource
-- types are the words that the LiteMaaS web UI labels (BUSINESS-RULES 16). Detail never
-- holds a secret.

-- +goose Up
CREATE TABLE audit (
    id            bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at            timestamptz NOT NULL DEFAULT now(),
    actor         text        NOT NULL, -- a user's id, an admin key's name, or "system"
    via           text        NOT NULL, -- api, cli, or the workflow that acted
    action        text        NOT NULL,
    resource_type text        NOT NULL,
    resource_id   text        NOT NULL,
    detail        jsonb       NOT NULL
);
CREATE INDEX audit_at ON audit (at DESC, id DESC);
CREATE INDEX audit_resource ON audit (resource_type, resource_id);

-- +goose Down
DROP TABLE audit;
