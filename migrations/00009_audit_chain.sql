-- The audit log becomes a chain: each row holds the hash of the one before it, so that none
-- can be changed, taken out or moved unseen (`litemaas audit verify`; the rule of the hash is
-- that of models.AuditEntry.Chained). It is partitioned by month, so that retention drops
-- whole tables; no row is ever changed or deleted. Who inserts names no more columns than
-- before: the triggers add the rest.
--
-- One row, audit_head, is the end of the chain. A statement locks it before its first row and
-- writes it after its last; between them the end travels in a setting of the transaction, so
-- that 10,000 rows of one statement cost 10,000 hashes and one update. Transactions that write
-- the log wait for each other from there to their end, so the log is the last thing they write.

-- +goose Up
ALTER TABLE audit RENAME TO audit_before;
ALTER TABLE audit_before RENAME CONSTRAINT audit_pkey TO audit_before_pkey;
DROP INDEX audit_at, audit_resource;

CREATE TABLE audit_head (
    one  boolean     PRIMARY KEY DEFAULT true CHECK (one), -- a single row
    id   bigint      NOT NULL,
    at   timestamptz NOT NULL,
    hash bytea       NOT NULL
) WITH (fillfactor = 10);
INSERT INTO audit_head (id, at, hash) VALUES (0, 'epoch', decode(repeat('00', 32), 'hex'));

-- The time of a row: it never runs back, or retention could not drop the oldest rows alone.
-- +goose StatementBegin
CREATE FUNCTION audit_at() RETURNS timestamptz LANGUAGE sql VOLATILE AS $$
    SELECT greatest(clock_timestamp(), (nullif(current_setting('litemaas.audit_head', true), '')::audit_head).at)
$$;
-- +goose StatementEnd

CREATE TABLE audit (
    id            bigint      NOT NULL, -- without gaps
    at            timestamptz NOT NULL DEFAULT audit_at(),
    actor         text        NOT NULL, -- a user's id, an admin key's name, "system", or "anonymous"
    via           text        NOT NULL, -- api, cli, or the workflow that acted
    action        text        NOT NULL,
    resource_type text        NOT NULL,
    resource_id   text        NOT NULL,
    detail        jsonb       NOT NULL DEFAULT '{}',
    before        jsonb,
    after         jsonb,
    success       boolean     NOT NULL DEFAULT true,
    failure       text        NOT NULL DEFAULT '',
    ip            text        NOT NULL DEFAULT '',
    user_agent    text        NOT NULL DEFAULT '',
    request_id    text        NOT NULL DEFAULT '',
    session_id    uuid,
    prev_hash     bytea       NOT NULL,
    hash          bytea       NOT NULL,
    PRIMARY KEY (id, at)
) PARTITION BY RANGE (at);
-- The filters of GET /admin/audit, and a user's own activity; the newest first.
CREATE INDEX audit_actor ON audit (actor, id);
CREATE INDEX audit_action ON audit (action, id);
CREATE INDEX audit_resource ON audit (resource_type, resource_id, id);

-- What was ever done to what: the lists to filter by, without reading the log.
CREATE TABLE audit_kinds (
    resource_type text NOT NULL,
    action        text NOT NULL,
    PRIMARY KEY (resource_type, action)
);

-- +goose StatementBegin
CREATE FUNCTION open_audit() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    head audit_head;
BEGIN
    SELECT * INTO STRICT head FROM audit_head FOR UPDATE;
    PERFORM set_config('litemaas.audit_head', head::text, true);
    RETURN NULL;
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE FUNCTION audit_field(field text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT coalesce(octet_length(field) || ':' || field, '-')
$$;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE FUNCTION chain_audit() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    head audit_head := nullif(current_setting('litemaas.audit_head', true), '')::audit_head;
BEGIN
    IF head.id IS NULL THEN
        RAISE EXCEPTION 'rows of the audit log are inserted into audit, not into a partition';
    END IF;
    IF NEW.at < head.at THEN
        RAISE EXCEPTION 'the audit log is not written in the past';
    END IF;
    NEW.id := head.id + 1;
    NEW.prev_hash := head.hash;
    NEW.hash := sha256(NEW.prev_hash || convert_to(concat_ws(',',
        audit_field(NEW.id::text), audit_field(to_char(NEW.at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')),
        audit_field(NEW.actor), audit_field(NEW.via), audit_field(NEW.action), audit_field(NEW.resource_type),
        audit_field(NEW.resource_id), audit_field(NEW.detail::text), audit_field(NEW.before::text), audit_field(NEW.after::text),
        audit_field(NEW.success::text), audit_field(NEW.failure), audit_field(NEW.ip), audit_field(NEW.user_agent),
        audit_field(NEW.request_id), audit_field(NEW.session_id::text)), 'UTF8'));
    head.id := NEW.id;
    head.at := NEW.at;
    head.hash := NEW.hash;
    PERFORM set_config('litemaas.audit_head', head::text, true);
    RETURN NEW;
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE FUNCTION close_audit() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    head audit_head := current_setting('litemaas.audit_head')::audit_head;
BEGIN
    UPDATE audit_head SET id = head.id, at = head.at, hash = head.hash WHERE id < head.id;
    INSERT INTO audit_kinds (resource_type, action) SELECT DISTINCT resource_type, action FROM fresh ON CONFLICT DO NOTHING;
    PERFORM set_config('litemaas.audit_head', '', true);
    RETURN NULL;
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE FUNCTION refuse_audit() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit log is append-only';
END $$;
-- +goose StatementEnd

CREATE TRIGGER audit_opened BEFORE INSERT ON audit FOR EACH STATEMENT EXECUTE FUNCTION open_audit();
CREATE TRIGGER audit_chained BEFORE INSERT ON audit FOR EACH ROW EXECUTE FUNCTION chain_audit();
CREATE TRIGGER audit_closed AFTER INSERT ON audit REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION close_audit();
CREATE TRIGGER audit_kept BEFORE UPDATE OR DELETE ON audit FOR EACH ROW EXECUTE FUNCTION refuse_audit();
CREATE TRIGGER audit_not_emptied BEFORE TRUNCATE ON audit FOR EACH STATEMENT EXECUTE FUNCTION refuse_audit();

CREATE VIEW audit_partitions AS
SELECT c.relname::text AS name, (bound.ends)[1]::timestamptz AS first, (bound.ends)[2]::timestamptz AS until
FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid,
     LATERAL (SELECT regexp_match(pg_get_expr(c.relpartbound, c.oid), 'FROM \(''(.+)''\) TO \(''(.+)''\)') AS ends) bound
WHERE i.inhparent = 'audit'::regclass AND bound.ends IS NOT NULL;

-- +goose StatementBegin
CREATE FUNCTION make_audit_partition(first timestamptz, until timestamptz, from_default boolean) RETURNS void
LANGUAGE plpgsql SET timezone = 'UTC' AS $$
DECLARE
    part text := 'audit_' || to_char(first, 'YYYY_MM');
BEGIN
    IF from_default THEN
        ALTER TABLE audit DETACH PARTITION audit_default;
        EXECUTE format('ALTER TABLE audit_default RENAME TO %I', part);
    ELSE
        EXECUTE format('CREATE TABLE %I (LIKE audit INCLUDING DEFAULTS)', part);
        EXECUTE format('CREATE TRIGGER audit_not_emptied BEFORE TRUNCATE ON %I FOR EACH STATEMENT EXECUTE FUNCTION refuse_audit()', part);
    END IF;
    EXECUTE format('ALTER TABLE audit ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', part, first, until);
END $$;
-- +goose StatementEnd

-- Makes sure that this month and the given number of further ones have a partition, and that
-- rows which came when theirs did not have get one where they are. Returns how many it made.
-- +goose StatementBegin
CREATE FUNCTION make_audit_partitions(ahead int) RETURNS int LANGUAGE plpgsql SET timezone = 'UTC' AS $$
DECLARE
    made  int := 0;
    month timestamptz;
    stray tstzrange;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('audit partitions', 0));
    IF to_regclass('audit_default') IS NOT NULL THEN
        SELECT tstzrange(date_trunc('month', min(at)), date_trunc('month', max(at)) + interval '1 month') INTO stray
        FROM audit_default HAVING count(*) > 0;
    END IF;
    IF stray IS NOT NULL THEN
        PERFORM make_audit_partition(lower(stray), upper(stray), true);
        made := made + 1;
    END IF;
    IF to_regclass('audit_default') IS NULL THEN
        CREATE TABLE audit_default PARTITION OF audit DEFAULT;
        CREATE TRIGGER audit_not_emptied BEFORE TRUNCATE ON audit_default FOR EACH STATEMENT EXECUTE FUNCTION refuse_audit();
    END IF;
    FOR month IN SELECT generate_series(date_trunc('month', now()), date_trunc('month', now()) + make_interval(months => ahead), interval '1 month') LOOP
        IF NOT EXISTS (SELECT FROM audit_partitions p WHERE p.first <= month AND month < p.until) THEN
            PERFORM make_audit_partition(month, month + interval '1 month', false);
            made := made + 1;
        END IF;
    END LOOP;
    RETURN made;
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
DO $$
DECLARE
    month timestamptz;
BEGIN
    SET LOCAL timezone = 'UTC';
    FOR month IN SELECT generate_series(date_trunc('month', min(at)), date_trunc('month', now()), interval '1 month') FROM audit_before LOOP
        PERFORM make_audit_partition(month, month + interval '1 month', false);
    END LOOP;
    PERFORM make_audit_partitions(2);
    -- Rows were dated by the beginning of their transactions: where that runs back, the chain
    -- takes the time of the row before.
    INSERT INTO audit (at, actor, via, action, resource_type, resource_id, detail)
    SELECT max(at) OVER (ORDER BY id), actor, via, action, resource_type, resource_id, detail
    FROM audit_before ORDER BY id;
END $$;
-- +goose StatementEnd

DROP TABLE audit_before;

-- +goose Down
CREATE TABLE audit_after (
    id            bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at            timestamptz NOT NULL DEFAULT now(),
    actor         text        NOT NULL,
    via           text        NOT NULL,
    action        text        NOT NULL,
    resource_type text        NOT NULL,
    resource_id   text        NOT NULL,
    detail        jsonb       NOT NULL
);
INSERT INTO audit_after (at, actor, via, action, resource_type, resource_id, detail)
SELECT at, actor, via, action, resource_type, resource_id, detail FROM audit ORDER BY id;
DROP FUNCTION make_audit_partitions;
DROP FUNCTION make_audit_partition;
DROP VIEW audit_partitions;
DROP TABLE audit;
DROP FUNCTION refuse_audit;
DROP FUNCTION close_audit;
DROP FUNCTION chain_audit;
DROP FUNCTION audit_field;
DROP FUNCTION open_audit;
DROP TABLE audit_kinds;
DROP FUNCTION audit_at;
DROP TABLE audit_head;
ALTER TABLE audit_after RENAME TO audit;
ALTER TABLE audit RENAME CONSTRAINT audit_after_pkey TO audit_pkey;
CREATE INDEX audit_at ON audit (at DESC, id DESC);
CREATE INDEX audit_resource ON audit (resource_type, resource_id);
