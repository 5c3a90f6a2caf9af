-- Whoever remembers what keys may do (see models/store/listen.go) is told of each change that
-- matters to it, when that is committed: by triggers, so that no statement can forget it. One
-- notice names one key by its hash, or one owner; a change of very many says "all keys" instead.
-- What only counts up, as spend and use, is told when it crosses its limit.

-- +goose Up
-- +goose StatementBegin
CREATE FUNCTION tell_keys(kind text, ids text[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF cardinality(ids) > 1000 THEN
        PERFORM pg_notify('litemaas_access', 'api_keys');
    ELSE
        PERFORM pg_notify('litemaas_access', kind || ':' || id) FROM unnest(ids) id;
    END IF;
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE FUNCTION tell_of_keys() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        PERFORM tell_keys('key', ARRAY(SELECT hash FROM was));
    ELSE
        PERFORM tell_keys('key', ARRAY(
            SELECT w.hash FROM was w JOIN now_is n USING (id)
            WHERE (w.hash, w.user_id, w.team_id, w.name, w.holds, w.max_budget, w.budget_duration, w.tpm_limit, w.rpm_limit, w.max_parallel,
                   w.model_tpm, w.model_rpm, w.expires_at, w.revoked_at, w.deleted_at, w.retires_at, w.spend >= w.max_budget,
                   w.observed_generation = 0 AND w.failed_generation = w.generation)
                IS DISTINCT FROM
                  (n.hash, n.user_id, n.team_id, n.name, n.holds, n.max_budget, n.budget_duration, n.tpm_limit, n.rpm_limit, n.max_parallel,
                   n.model_tpm, n.model_rpm, n.expires_at, n.revoked_at, n.deleted_at, n.retires_at, n.spend >= n.max_budget,
                   n.observed_generation = 0 AND n.failed_generation = n.generation)));
    END IF;
    RETURN NULL;
END $$;
-- +goose StatementEnd
-- A new key nobody remembers.
CREATE TRIGGER tell_of_changed_keys AFTER UPDATE ON api_keys REFERENCING OLD TABLE AS was NEW TABLE AS now_is
    FOR EACH STATEMENT EXECUTE FUNCTION tell_of_keys();
CREATE TRIGGER tell_of_deleted_keys AFTER DELETE ON api_keys REFERENCING OLD TABLE AS was
    FOR EACH STATEMENT EXECUTE FUNCTION tell_of_keys();

-- The models of a key that the same transaction makes are no news.
-- +goose StatementBegin
CREATE FUNCTION tell_of_key_models() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM tell_keys('key', ARRAY(SELECT DISTINCT k.hash FROM changed c JOIN api_keys k ON k.id = c.api_key_id WHERE k.created_at <> now()));
    RETURN NULL;
END $$;
-- +goose StatementEnd
CREATE TRIGGER tell_of_new_key_models AFTER INSERT ON api_key_models REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION tell_of_key_models();
CREATE TRIGGER tell_of_gone_key_models AFTER DELETE ON api_key_models REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION tell_of_key_models();

-- +goose StatementBegin
CREATE FUNCTION tell_of_subscriptions() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        PERFORM tell_keys('owner', ARRAY(
            SELECT DISTINCT w.user_id::text FROM was w JOIN now_is n USING (id)
            WHERE (w.status, w.holds, w.quota_requests, w.quota_tokens, w.reset_at, w.expires_at,
                   coalesce(w.used_requests >= w.quota_requests, false) OR coalesce(w.used_tokens >= w.quota_tokens, false))
                IS DISTINCT FROM
                  (n.status, n.holds, n.quota_requests, n.quota_tokens, n.reset_at, n.expires_at,
                   coalesce(n.used_requests >= n.quota_requests, false) OR coalesce(n.used_tokens >= n.quota_tokens, false))
              AND ('active' IN (w.status, n.status) OR 'suspended' IN (w.status, n.status))));
    ELSIF TG_OP = 'INSERT' THEN
        PERFORM tell_keys('owner', ARRAY(SELECT DISTINCT user_id::text FROM now_is WHERE status IN ('active', 'suspended')));
    ELSE
        PERFORM tell_keys('owner', ARRAY(SELECT DISTINCT user_id::text FROM was WHERE status IN ('active', 'suspended')));
    END IF;
    RETURN NULL;
END $$;
-- +goose StatementEnd
CREATE TRIGGER tell_of_new_subscriptions AFTER INSERT ON subscriptions REFERENCING NEW TABLE AS now_is
    FOR EACH STATEMENT EXECUTE FUNCTION tell_of_subscriptions();
CREATE TRIGGER tell_of_changed_subscriptions AFTER UPDATE ON subscriptions REFERENCING OLD TABLE AS was NEW TABLE AS now_is
    FOR EACH STATEMENT EXECUTE FUNCTION tell_of_subscriptions();
CREATE TRIGGER tell_of_gone_subscriptions AFTER DELETE ON subscriptions REFERENCING OLD TABLE AS was
    FOR EACH STATEMENT EXECUTE FUNCTION tell_of_subscriptions();

-- Whoever remembers people is told of these, too.
-- +goose StatementBegin
CREATE FUNCTION tell_of_people() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    ids uuid[];
BEGIN
    IF TG_TABLE_NAME = 'users' THEN
        ids := ARRAY(SELECT w.id FROM was w JOIN now_is n USING (id) WHERE (w.holds, w.username) IS DISTINCT FROM (n.holds, n.username));
    ELSE
        ids := ARRAY(SELECT DISTINCT user_id FROM changed);
    END IF;
    IF cardinality(ids) > 1000 THEN
        PERFORM pg_notify('litemaas_access', 'lost'); -- forget everything
    ELSE
        PERFORM pg_notify('litemaas_access', 'user:' || id) FROM unnest(ids) id;
    END IF;
    RETURN NULL;
END $$;
-- +goose StatementEnd
CREATE TRIGGER tell_of_changed_users AFTER UPDATE ON users REFERENCING OLD TABLE AS was NEW TABLE AS now_is
    FOR EACH STATEMENT EXECUTE FUNCTION tell_of_people();
CREATE TRIGGER tell_of_new_members AFTER INSERT ON team_members REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION tell_of_people();
CREATE TRIGGER tell_of_gone_members AFTER DELETE ON team_members REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION tell_of_people();

-- A team has many keys, and changes seldom.
-- +goose StatementBegin
CREATE FUNCTION tell_of_teams() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('litemaas_access', 'api_keys');
    RETURN NULL;
END $$;
-- +goose StatementEnd
CREATE TRIGGER tell_of_teams AFTER UPDATE OR DELETE ON teams FOR EACH STATEMENT EXECUTE FUNCTION tell_of_teams();

-- +goose Down
DROP TRIGGER tell_of_teams ON teams;
DROP FUNCTION tell_of_teams;
DROP TRIGGER tell_of_gone_members ON team_members;
DROP TRIGGER tell_of_new_members ON team_members;
DROP TRIGGER tell_of_changed_users ON users;
DROP FUNCTION tell_of_people;
DROP TRIGGER tell_of_gone_subscriptions ON subscriptions;
DROP TRIGGER tell_of_changed_subscriptions ON subscriptions;
DROP TRIGGER tell_of_new_subscriptions ON subscriptions;
DROP FUNCTION tell_of_subscriptions;
DROP TRIGGER tell_of_gone_key_models ON api_key_models;
DROP TRIGGER tell_of_new_key_models ON api_key_models;
DROP FUNCTION tell_of_key_models;
DROP TRIGGER tell_of_deleted_keys ON api_keys;
DROP TRIGGER tell_of_changed_keys ON api_keys;
DROP FUNCTION tell_of_keys;
DROP FUNCTION tell_keys;
