-- Who may do what. A role has its own permissions and those of the roles it inherits; the
-- built-in ones are those of models.BuiltInRoles. A user may hold a role from the identity
-- provider and from an admin at once: the first goes when the provider no longer says so.

-- +goose Up
CREATE TABLE roles (
    id          text        PRIMARY KEY CHECK (id <> ''),
    description text        NOT NULL DEFAULT '',
    built_in    boolean     NOT NULL DEFAULT false,
    inherits    jsonb       NOT NULL DEFAULT '[]',
    permissions jsonb       NOT NULL DEFAULT '[]',
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now()
);
INSERT INTO roles (id, description, built_in, inherits, permissions) VALUES
    ('admin', 'May do everything', true, '[]', '["*"]'),
    ('admin-readonly', 'Sees everything, changes nothing', true, '["readonly"]',
     '["admin:audit", "admin:banners:read", "admin:subscriptions:read", "admin:usage", "admin:users", "usage:export", "users:read"]'),
    ('readonly', 'Sees his own things', true, '[]', '["api_keys:read", "models:read", "subscriptions:read", "usage:read"]'),
    ('user', 'Subscribes to models and holds API keys', true, '["readonly"]',
     '["api_keys:delete", "api_keys:write", "subscriptions:delete", "subscriptions:write", "usage:export"]');

CREATE TABLE user_roles (
    user_id    uuid        NOT NULL REFERENCES users ON DELETE CASCADE,
    role_id    text        NOT NULL REFERENCES roles,
    source     text        NOT NULL CHECK (source IN ('idp', 'manual')),
    granted_by text        NOT NULL,
    granted_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, role_id, source)
);
-- Who holds a role: GET /users?role=, the last admin, deleting a role.
CREATE INDEX user_roles_of_role ON user_roles (role_id, user_id);

-- +goose Down
DROP TABLE user_roles;
DROP TABLE roles;
