-- A refresh token says which one it was given for, so that a client which lost that answer may
-- ask again: as long as none of what it was given has been used.

-- +goose Up
ALTER TABLE refresh_tokens ADD COLUMN replaces text; -- the hash of that token; null: it is the first of its session

-- +goose Down
ALTER TABLE refresh_tokens DROP COLUMN replaces;
