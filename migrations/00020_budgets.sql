-- Budgets. There is one for each user, team, API key and subscription, and for each model of a key
-- that has a limit of its own, also where nothing limits it: it is where what was spent in its
-- period is counted, from the ledger, in the ledger's transactions. The amount and the period of
-- those of users, teams and keys are columns of their rows, which LiteLLM is told of too; triggers
-- carry them over. Judging a budget sets next_at, the spend at which it has to be judged again, and
-- hold_at, the spend from which its subject is refused, so that who counts need not know why.
-- Amounts are billionths of a dollar.

-- +goose Up
CREATE TABLE budgets (
    id           uuid        PRIMARY KEY DEFAULT gen_random_uuid(),
    subject_type text        NOT NULL CHECK (subject_type IN ('user', 'team', 'key', 'subscription', 'key_model')),
    subject_id   uuid        NOT NULL, -- of key_model the key
    model_id     text        NOT NULL DEFAULT '', -- of key_model
    amount       bigint      CHECK (amount >= 0), -- null: unlimited; 0: nothing
    soft_amount  bigint      CHECK (soft_amount >= 0),
    raised       bigint      NOT NULL DEFAULT 0 CHECK (raised >= 0), -- by the raises that are active
    period       text        NOT NULL DEFAULT '', -- as models.Limits.BudgetDuration; '': it never starts anew
    rolling      boolean     NOT NULL DEFAULT false, -- periods begin when the budget did, and not by the calendar
    time_zone    text        NOT NULL DEFAULT 'UTC', -- of that calendar
    thresholds   jsonb,      -- [{percent, actions}]; null: those of the house
    throttle_rpm bigint      CHECK (throttle_rpm >= 0), -- what a throttled key has a minute
    throttle_tpm bigint      CHECK (throttle_tpm >= 0),
    hold_after   interval    NOT NULL DEFAULT '0', -- how long a person may prevent a hold
    -- The period. It is over at ends_at, and rolled when it is next looked at.
    anchor_at    timestamptz NOT NULL DEFAULT now(), -- when the first one began, of a rolling one
    starts_at    timestamptz NOT NULL DEFAULT now(),
    counts_from  timestamptz NOT NULL DEFAULT now(), -- what was spent before does not count
    ends_at      timestamptz, -- null: never
    spent        bigint      NOT NULL DEFAULT 0,
    -- What was done about it, in this period.
    reached      int         NOT NULL DEFAULT 0, -- the highest threshold that was told of
    soft_told    boolean     NOT NULL DEFAULT false,
    hold_due_at  timestamptz, -- when a hold that can be prevented begins
    pardoned     boolean     NOT NULL DEFAULT false, -- a person prevented it
    held         boolean     NOT NULL DEFAULT false, -- the wish: its subject may spend nothing
    throttled    boolean     NOT NULL DEFAULT false, -- likewise: its subject is slowed
    next_at      bigint      DEFAULT 0, -- the spend at which it is due; null: never
    hold_at      bigint,     -- the spend from which its subject is refused; null: never
    due          boolean     NOT NULL DEFAULT false, -- it has to be judged
    generation          bigint NOT NULL DEFAULT 0, -- counts the changes of held, throttled and raised
    followed_generation bigint NOT NULL DEFAULT 0 CHECK (followed_generation <= generation), -- that the rows of keys, users and subscriptions follow
    observed_generation bigint NOT NULL DEFAULT 0 CHECK (observed_generation <= generation), -- that LiteLLM was seen to follow
    reset_generation    bigint NOT NULL DEFAULT 0, -- the last one by which LiteLLM counts from zero, too
    created_at   timestamptz NOT NULL DEFAULT now(),
    updated_at   timestamptz NOT NULL DEFAULT now(),
    -- Something is to be undone at ends_at. A column of its own, as counting must touch no index.
    resets       boolean     NOT NULL GENERATED ALWAYS AS (spent <> 0 OR reached > 0 OR held OR throttled OR pardoned) STORED,
    UNIQUE (subject_id, subject_type, model_id)
) WITH (fillfactor = 80);
-- What has to be judged, what LiteLLM has to follow, whose period is over, whose hold begins: each
-- costs nothing when there is nothing.
CREATE INDEX budgets_due ON budgets (id) WHERE due;
CREATE INDEX budgets_unsettled ON budgets (id) WHERE observed_generation < generation;
CREATE INDEX budgets_over ON budgets (ends_at) WHERE resets;
CREATE INDEX budgets_holding ON budgets (hold_due_at) WHERE hold_due_at IS NOT NULL;
-- The admins' list.
CREATE INDEX budgets_listed ON budgets (created_at DESC, id) WHERE amount IS NOT NULL;

-- Whoever remembers what keys may do (see 00017_key_notices.sql) is told when a subject may spend
-- nothing from now on, or something again, or nothing until another time. For each row, as counting
-- changes very many of which almost none crosses its limit: the others cost one comparison.
-- +goose StatementBegin
CREATE FUNCTION tell_of_budgets() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.subject_type = 'team' THEN
        PERFORM pg_notify('litemaas_access', 'api_keys'); -- a team has many keys
    ELSIF NEW.subject_type = 'user' THEN
        PERFORM tell_keys('owner', ARRAY[NEW.subject_id::text]);
    ELSIF NEW.subject_type = 'subscription' THEN
        PERFORM tell_keys('owner', ARRAY(SELECT user_id::text FROM subscriptions WHERE id = NEW.subject_id));
    ELSE
        PERFORM tell_keys('key', ARRAY(SELECT hash FROM api_keys WHERE id = NEW.subject_id AND created_at <> now()));
    END IF;
    RETURN NULL;
END $$;
-- +goose StatementEnd
CREATE TRIGGER tell_of_budgets AFTER UPDATE ON budgets FOR EACH ROW
    WHEN (coalesce(OLD.spent >= OLD.hold_at, false) <> coalesce(NEW.spent >= NEW.hold_at, false)
        OR NEW.spent >= NEW.hold_at AND OLD.ends_at IS DISTINCT FROM NEW.ends_at)
    EXECUTE FUNCTION tell_of_budgets();
-- A model of a key may be given a budget of nothing.
CREATE TRIGGER tell_of_new_budgets AFTER INSERT ON budgets FOR EACH ROW
    WHEN (NEW.spent >= NEW.hold_at) EXECUTE FUNCTION tell_of_budgets();

-- Periods that are over, of budgets of which something was spent.
CREATE TABLE budget_periods (
    budget_id uuid        NOT NULL REFERENCES budgets ON DELETE CASCADE,
    starts_at timestamptz NOT NULL,
    ends_at   timestamptz NOT NULL,
    amount    bigint,
    raised    bigint      NOT NULL,
    spent     bigint      NOT NULL, -- when it ended; what came later is in the ledger alone
    reached   int         NOT NULL,
    held      boolean     NOT NULL,
    PRIMARY KEY (budget_id, starts_at)
);

-- Temporary increases.
CREATE TABLE budget_raises (
    id           uuid        PRIMARY KEY,
    budget_id    uuid        NOT NULL REFERENCES budgets ON DELETE CASCADE,
    amount       bigint      NOT NULL CHECK (amount > 0),
    reason       text        NOT NULL,
    until_at     timestamptz NOT NULL,
    status       text        NOT NULL CHECK (status IN ('pending', 'active', 'ended', 'denied', 'withdrawn')),
    requested_by text        NOT NULL,
    decided_by   text        NOT NULL DEFAULT '',
    decided_why  text        NOT NULL DEFAULT '',
    created_at   timestamptz NOT NULL DEFAULT now(),
    decided_at   timestamptz,
    ended_at     timestamptz
);
CREATE INDEX budget_raises_of ON budget_raises (budget_id, created_at DESC);
CREATE INDEX budget_raises_over ON budget_raises (until_at) WHERE status IN ('active', 'pending');

-- What keys have by the budgets that concern them, for LiteLLM.
ALTER TABLE api_keys
    ADD raised         bigint NOT NULL DEFAULT 0, -- what max_budget is raised by
    ADD throttle_rpm   bigint,                    -- null: it is not throttled
    ADD throttle_tpm   bigint,
    ADD blocked_models jsonb  NOT NULL DEFAULT '[]'; -- whose own budget is used up
-- The keys that a team's budget concerns.
CREATE INDEX api_keys_of_team ON api_keys (team_id) WHERE team_id IS NOT NULL;
ALTER TABLE users
    ADD raised           bigint NOT NULL DEFAULT 0,
    ADD reset_generation bigint NOT NULL DEFAULT 0; -- the last wish by which what he spent counts from zero

ALTER TABLE cascades DROP CONSTRAINT cascades_cause_check;
ALTER TABLE cascades ADD CONSTRAINT cascades_cause_check CHECK (cause IN (
    'cancelled', 'denied', 'reverted', 'expired', 'lapsed', 'deleted', 'model_unavailable', 'model_restricted', 'quota', 'budget', 'offboarded', 'admin'));

-- carry_budget makes the budget of a subject, or gives it another amount or period. What changes
-- has to be judged; the new one of a subject of which nothing was spent has not, unless it may
-- spend nothing. All that a new subject spends counts, whatever LiteLLM's clock says of its first call.
-- +goose StatementBegin
CREATE FUNCTION carry_budget(of text, subject uuid, llm text, amount_now bigint, soft_now bigint, period_now text, since timestamptz) RETURNS void LANGUAGE sql AS $$
    INSERT INTO budgets (subject_type, subject_id, model_id, amount, soft_amount, period, hold_at, ends_at, counts_from, due)
    VALUES (of, subject, llm, amount_now, soft_now, period_now, amount_now, CASE WHEN period_now <> '' THEN now() END, since, coalesce(amount_now = 0, false))
    ON CONFLICT (subject_id, subject_type, model_id) DO UPDATE
    SET amount = EXCLUDED.amount, soft_amount = CASE of WHEN 'key' THEN soft_now ELSE budgets.soft_amount END, period = EXCLUDED.period,
        due = true, updated_at = now()
    WHERE (budgets.amount, budgets.period) IS DISTINCT FROM (EXCLUDED.amount, EXCLUDED.period)
       OR of = 'key' AND budgets.soft_amount IS DISTINCT FROM soft_now;
$$;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE FUNCTION carry_budget_of_owner() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM carry_budget(TG_ARGV[0], NEW.id, '', NEW.max_budget, NULL, NEW.budget_duration, 'epoch');
    RETURN NULL;
END $$;
-- +goose StatementEnd
CREATE TRIGGER carry_new_budget AFTER INSERT ON users FOR EACH ROW EXECUTE FUNCTION carry_budget_of_owner('user');
CREATE TRIGGER carry_changed_budget AFTER UPDATE OF max_budget, budget_duration ON users FOR EACH ROW
    WHEN ((OLD.max_budget, OLD.budget_duration) IS DISTINCT FROM (NEW.max_budget, NEW.budget_duration)) EXECUTE FUNCTION carry_budget_of_owner('user');
CREATE TRIGGER carry_new_budget AFTER INSERT ON teams FOR EACH ROW EXECUTE FUNCTION carry_budget_of_owner('team');
CREATE TRIGGER carry_changed_budget AFTER UPDATE OF max_budget, budget_duration ON teams FOR EACH ROW
    WHEN ((OLD.max_budget, OLD.budget_duration) IS DISTINCT FROM (NEW.max_budget, NEW.budget_duration)) EXECUTE FUNCTION carry_budget_of_owner('team');

-- +goose StatementBegin
CREATE FUNCTION carry_budget_of_key() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM carry_budget('key', NEW.id, '', NEW.max_budget, NEW.soft_budget, NEW.budget_duration, 'epoch');
    PERFORM carry_budget('key_model', NEW.id, llm, round((b ->> 'budgetLimit')::numeric * 1000000000)::bigint, NULL, coalesce(b ->> 'timePeriod', ''),
            CASE TG_OP WHEN 'INSERT' THEN 'epoch' ELSE now() END)
        FROM jsonb_each(NEW.model_max_budget) e (llm, b);
    UPDATE budgets SET amount = NULL, due = true, updated_at = now()
    WHERE subject_id = NEW.id AND subject_type = 'key_model' AND amount IS NOT NULL AND NOT jsonb_exists(NEW.model_max_budget, model_id);
    RETURN NULL;
END $$;
-- +goose StatementEnd
CREATE TRIGGER carry_new_budget AFTER INSERT ON api_keys FOR EACH ROW EXECUTE FUNCTION carry_budget_of_key();
CREATE TRIGGER carry_changed_budget AFTER UPDATE OF max_budget, budget_duration, soft_budget, model_max_budget ON api_keys FOR EACH ROW
    WHEN ((OLD.max_budget, OLD.budget_duration, OLD.soft_budget, OLD.model_max_budget)
        IS DISTINCT FROM (NEW.max_budget, NEW.budget_duration, NEW.soft_budget, NEW.model_max_budget)) EXECUTE FUNCTION carry_budget_of_key();

-- +goose StatementBegin
CREATE FUNCTION carry_budget_of_subscription() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM carry_budget('subscription', NEW.id, '', NULL, NULL, '', 'epoch');
    RETURN NULL;
END $$;
-- +goose StatementEnd
CREATE TRIGGER carry_new_budget AFTER INSERT ON subscriptions FOR EACH ROW EXECUTE FUNCTION carry_budget_of_subscription();

-- +goose StatementBegin
CREATE FUNCTION drop_budgets() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM budgets WHERE subject_id = OLD.id;
    RETURN NULL;
END $$;
-- +goose StatementEnd
CREATE TRIGGER drop_budgets AFTER DELETE ON users FOR EACH ROW EXECUTE FUNCTION drop_budgets();
CREATE TRIGGER drop_budgets AFTER DELETE ON teams FOR EACH ROW EXECUTE FUNCTION drop_budgets();
CREATE TRIGGER drop_budgets AFTER DELETE ON api_keys FOR EACH ROW EXECUTE FUNCTION drop_budgets();
CREATE TRIGGER drop_budgets AFTER DELETE ON subscriptions FOR EACH ROW EXECUTE FUNCTION drop_budgets();

INSERT INTO budgets (subject_type, subject_id, amount, soft_amount, period, hold_at, ends_at, spent)
SELECT 'user', id, max_budget, CAST(NULL AS bigint), budget_duration, max_budget, CASE WHEN budget_duration <> '' THEN now() END, 0 FROM users
UNION ALL SELECT 'team', id, max_budget, NULL, budget_duration, max_budget, CASE WHEN budget_duration <> '' THEN now() END, 0 FROM teams
UNION ALL SELECT 'key', id, max_budget, soft_budget, budget_duration, max_budget, CASE WHEN budget_duration <> '' THEN now() END, spend FROM api_keys
UNION ALL SELECT 'subscription', id, NULL, NULL, '', NULL, NULL, 0 FROM subscriptions;
INSERT INTO budgets (subject_type, subject_id, model_id, amount, period, hold_at, ends_at)
SELECT 'key_model', id, llm, round((b ->> 'budgetLimit')::numeric * 1000000000)::bigint, coalesce(b ->> 'timePeriod', ''),
       round((b ->> 'budgetLimit')::numeric * 1000000000)::bigint, CASE WHEN coalesce(b ->> 'timePeriod', '') <> '' THEN now() END
FROM api_keys, jsonb_each(model_max_budget) e (llm, b);

-- +goose Down
DROP TRIGGER drop_budgets ON subscriptions;
DROP TRIGGER drop_budgets ON api_keys;
DROP TRIGGER drop_budgets ON teams;
DROP TRIGGER drop_budgets ON users;
DROP FUNCTION drop_budgets;
DROP TRIGGER carry_new_budget ON subscriptions;
DROP FUNCTION carry_budget_of_subscription;
DROP TRIGGER carry_changed_budget ON api_keys;
DROP TRIGGER carry_new_budget ON api_keys;
DROP FUNCTION carry_budget_of_key;
DROP TRIGGER carry_changed_budget ON teams;
DROP TRIGGER carry_new_budget ON teams;
DROP TRIGGER carry_changed_budget ON users;
DROP TRIGGER carry_new_budget ON users;
DROP FUNCTION carry_budget_of_owner;
DROP FUNCTION carry_budget;
UPDATE cascades SET cause = 'admin' WHERE cause = 'budget';
ALTER TABLE cascades DROP CONSTRAINT cascades_cause_check;
ALTER TABLE cascades ADD CONSTRAINT cascades_cause_check CHECK (cause IN (
    'cancelled', 'denied', 'reverted', 'expired', 'lapsed', 'deleted', 'model_unavailable', 'model_restricted', 'quota', 'offboarded', 'admin'));
ALTER TABLE users DROP raised, DROP reset_generation;
DROP INDEX api_keys_of_team;
ALTER TABLE api_keys DROP raised, DROP throttle_rpm, DROP throttle_tpm, DROP blocked_models;
DROP TABLE budget_raises;
DROP TABLE budget_periods;
DROP TABLE budgets;
DROP FUNCTION tell_of_budgets;
