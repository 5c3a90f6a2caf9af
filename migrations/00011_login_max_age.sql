-- A sign-in may ask that the identity provider has seen the person just now, and has to be held
-- against that when it comes back.

-- +goose Up
ALTER TABLE login_states ADD COLUMN max_age bigint CHECK (max_age >= 0); -- nanoseconds; null: any

-- +goose Down
ALTER TABLE login_states DROP COLUMN max_age;
