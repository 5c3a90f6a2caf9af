-- Sessions may be kept in Redis, which takes no part in a transaction. So a user's row says from
-- when on sessions of his count: who is deactivated loses all that he has, wherever they are, and
-- none of them comes back when he is reinstated.

-- +goose Up
ALTER TABLE users ADD sessions_since timestamptz; -- null: all count

-- +goose Down
ALTER TABLE users DROP sessions_since;
