-- What a sync does about API keys that LiteLLM holds otherwise: whose word counts, field by field,
-- what a person has to decide, and keys at LiteLLM that are not ours.

-- +goose Up
ALTER TABLE sync_staged_keys
    ADD suspect boolean NOT NULL DEFAULT false, -- it says that we made it
    ADD own     boolean NOT NULL DEFAULT false, -- of LiteLLM's own UI
    ADD seen    json    NOT NULL DEFAULT '{}';  -- the whole key; json, as a jsonb holds less than text does

ALTER TABLE sync_key_differences
    ADD takes jsonb; -- what our row takes over from LiteLLM
-- What a run found about a key: there are no statistics yet when it is asked for.
CREATE INDEX sync_key_differences_of_key ON sync_key_differences (run_id, key_id);

ALTER TABLE sync_runs
    ADD keys_followed int  NOT NULL DEFAULT 0, -- of the different: our row followed LiteLLM in a field
    ADD keys_disputed int  NOT NULL DEFAULT 0, -- of the different: a person has to decide on a field
    ADD keys_suspect  int  NOT NULL DEFAULT 0, -- of the unknown: they claim to be ours, or are of our users
    ADD keys_wished   int  NOT NULL DEFAULT 0, -- that are written to LiteLLM again
    ADD keys_note     text NOT NULL DEFAULT '';

-- An adopted key has no known secret.
ALTER TABLE api_keys ALTER sealed DROP NOT NULL;

CREATE TABLE sync_conflicts (
    id          uuid        PRIMARY KEY,
    key_id      uuid        NOT NULL REFERENCES api_keys ON DELETE CASCADE,
    field       text        NOT NULL, -- in LiteLLM's words
    ours        jsonb       NOT NULL,
    theirs      jsonb       NOT NULL,
    run_id      uuid        NOT NULL, -- that last saw it; its report may be gone
    state       text        NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'resolved')),
    resolution  text        NOT NULL DEFAULT '' CHECK (resolution IN ('', 'ours', 'theirs', 'agreed')),
    resolved_by text        NOT NULL DEFAULT '',
    resolved_at timestamptz,
    created_at  timestamptz NOT NULL DEFAULT now(),
    seen_at     timestamptz NOT NULL DEFAULT now(),
    CHECK ((state = 'open') = (resolution = '')),
    CHECK ((state = 'open') = (resolved_at IS NULL))
);
-- One question about one thing; and what ReconcileKey leaves alone.
CREATE UNIQUE INDEX sync_conflicts_open ON sync_conflicts (key_id, field) WHERE state = 'open';
-- The list.
CREATE INDEX sync_conflicts_listed ON sync_conflicts (state, created_at DESC, id);

-- LiteLLM's keys that are not ours. The state is a wish: settled says that LiteLLM was seen to
-- follow it.
CREATE TABLE sync_orphans (
    hash         text        PRIMARY KEY CHECK (hash ~ '^[0-9a-f]{64}$'),
    alias        text        NOT NULL,
    user_id      text        NOT NULL, -- LiteLLM's word; it may be nobody
    suspect      boolean     NOT NULL, -- it claims to be ours, or is of one of our users
    was_blocked  boolean     NOT NULL, -- by somebody else, before it was quarantined
    seen         json        NOT NULL, -- the whole key, as of last_seen
    state        text        NOT NULL DEFAULT 'seen' CHECK (state IN ('seen', 'quarantined', 'adopted', 'deleted', 'released')),
    settled      boolean     NOT NULL DEFAULT true,
    failure      text        NOT NULL DEFAULT '',
    delete_after timestamptz,          -- of a quarantined one
    key_id       uuid,                 -- of an adopted one
    decided_by   text        NOT NULL DEFAULT '',
    decided_at   timestamptz,
    first_seen   timestamptz NOT NULL DEFAULT now(),
    last_seen    timestamptz NOT NULL DEFAULT now(),
    CHECK ((state = 'quarantined') = (delete_after IS NOT NULL))
);
-- The list.
CREATE INDEX sync_orphans_listed ON sync_orphans (state, first_seen DESC, hash);
-- QuarantineOrphans, and the sweep: each costs nothing when there is nothing to do.
CREATE INDEX sync_orphans_unsettled ON sync_orphans (hash) WHERE NOT settled;
CREATE INDEX sync_orphans_due ON sync_orphans (delete_after) WHERE delete_after IS NOT NULL;

-- +goose Down
DROP TABLE sync_orphans;
DROP TABLE sync_conflicts;
DELETE FROM api_keys WHERE sealed IS NULL;
ALTER TABLE api_keys ALTER sealed SET NOT NULL;
ALTER TABLE sync_runs
    DROP keys_followed, DROP keys_disputed, DROP keys_suspect, DROP keys_wished, DROP keys_note;
DROP INDEX sync_key_differences_of_key;
ALTER TABLE sync_key_differences DROP takes;
ALTER TABLE sync_staged_keys DROP suspect, DROP own, DROP seen;
