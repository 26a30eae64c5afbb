-- Waiting and reacting: triggers, callbacks, deadlines. What is taken by lease is claimed in the order of an index
-- that begins with the team, so that one team's crowd costs the others nothing.

-- What a task instance waits for, or is to go on with: JSON.
ALTER TABLE task_instance ADD COLUMN deferred TEXT COLLATE "C";

-- How long the last successful runs of a DAG took.
CREATE INDEX dag_run_succeeded ON dag_run (dag_id, ended_at, queued_at) WHERE state = 'success';

-- Triggers that are a bundle's own code, of a task instance (run to map_index) or of a watcher (asset, watcher).
--   due_at    when somebody may claim it: its next poll's time or, while a host holds it, the end of that lease
--   woken_at  while a host holds it: something that it waits for has happened since
--   wakes_on  what also wakes it, as JSON; none where it is the clock alone
--   cpu       nanoseconds
--   pair      the hash of a watcher's name and its asset's, which together may be too long for an index of PostgreSQL
CREATE TABLE trigger (
    id           UUID NOT NULL PRIMARY KEY,
    team         TEXT COLLATE "C" NOT NULL,
    dag_id       TEXT COLLATE "C" NOT NULL,
    bundle       TEXT COLLATE "C" NOT NULL,
    hash         BYTEA NOT NULL,
    run          UUID,
    task         INTEGER,
    map_index    INTEGER,
    task_token   BIGINT,
    run_id       TEXT COLLATE "C",
    task_id      TEXT COLLATE "C",
    asset        TEXT COLLATE "C",
    watcher      TEXT COLLATE "C",
    pair         BYTEA,
    kind         TEXT COLLATE "C" NOT NULL,
    arguments    TEXT COLLATE "C" NOT NULL,
    created_at   BIGINT NOT NULL,
    state        TEXT COLLATE "C",
    next_poll_at BIGINT,
    wakes_on     TEXT COLLATE "C",
    polls        BIGINT NOT NULL,
    last_poll_at BIGINT,
    cpu          BIGINT NOT NULL,
    failures     BIGINT NOT NULL,
    note         TEXT COLLATE "C",
    host         UUID,
    lease_token  BIGINT NOT NULL DEFAULT 0,
    due_at       BIGINT,
    woken_at     BIGINT
);
CREATE INDEX trigger_due ON trigger (team, due_at, id) WHERE due_at IS NOT NULL;
CREATE INDEX trigger_held ON trigger (host) WHERE host IS NOT NULL;
CREATE INDEX trigger_of_task ON trigger (run, task, map_index) WHERE run IS NOT NULL;
CREATE INDEX trigger_of_team ON trigger (team, id);
CREATE INDEX trigger_of_dag ON trigger (dag_id, id);
CREATE INDEX trigger_failing ON trigger (id) WHERE failures > 0;
CREATE INDEX trigger_of_watchers ON trigger (team, id) WHERE asset IS NOT NULL;
-- Of hosts that begin to watch at one moment only one does.
CREATE UNIQUE INDEX trigger_of_watcher ON trigger (team, pair) WHERE pair IS NOT NULL;

-- Which events of watchers have been told of. Asset and key together may be too long for an index of PostgreSQL,
-- so their hash stands for them.
CREATE TABLE seen_key (
    team  TEXT COLLATE "C" NOT NULL,
    pair  BYTEA NOT NULL,
    asset TEXT COLLATE "C" NOT NULL,
    at    BIGINT NOT NULL,
    PRIMARY KEY (team, pair)
);
CREATE INDEX seen_key_at ON seen_key (at);

-- Requests for callbacks. What they tell of is JSON (subject); the run and the DAG stand there once more to be
-- found by.
--   ready   its time has come and nobody holds it
--   due_at  when its time comes or has come or, while a host holds it, when that lease is over; none once it has ended
CREATE TABLE callback (
    id              UUID NOT NULL PRIMARY KEY,
    created_at      BIGINT NOT NULL,
    priority_weight BIGINT NOT NULL,
    kind            TEXT COLLATE "C" NOT NULL,
    message         TEXT COLLATE "C" NOT NULL,
    team            TEXT COLLATE "C" NOT NULL,
    bundle          TEXT COLLATE "C" NOT NULL,
    hash            BYTEA NOT NULL,
    entry           TEXT COLLATE "C" NOT NULL,
    arguments       TEXT COLLATE "C" NOT NULL,
    run             UUID NOT NULL,
    dag_id          TEXT COLLATE "C" NOT NULL,
    subject         TEXT COLLATE "C" NOT NULL,
    state           TEXT COLLATE "C" NOT NULL,
    tries           BIGINT NOT NULL,
    next_try_at     BIGINT NOT NULL,
    ended_at        BIGINT,
    note            TEXT COLLATE "C",
    host            UUID,
    lease_token     BIGINT NOT NULL DEFAULT 0,
    ready           BOOLEAN NOT NULL,
    due_at          BIGINT
);
CREATE INDEX callback_ready ON callback (team, priority_weight DESC, id) WHERE ready;
CREATE INDEX callback_due ON callback (team, ready, due_at, id) WHERE due_at IS NOT NULL;
CREATE INDEX callback_held ON callback (host) WHERE host IS NOT NULL;
CREATE INDEX callback_of_run ON callback (run);
CREATE INDEX callback_of_team ON callback (team, id, state);
CREATE INDEX callback_of_dag ON callback (dag_id, id, state);
CREATE INDEX callback_of_state ON callback (state, id);
CREATE INDEX callback_unexecuted ON callback (team, state) WHERE state <> 'success';

-- Deadlines of runs that have not succeeded, and those that were missed. The request is the callback's row as JSON;
-- the team and the DAG stand there once more to be found by. A name may be too long for an index of PostgreSQL, so its hash stands for it.
CREATE TABLE deadline (
    run       UUID NOT NULL,
    name_hash BYTEA NOT NULL,
    name      TEXT COLLATE "C" NOT NULL,
    team      TEXT COLLATE "C" NOT NULL,
    dag_id    TEXT COLLATE "C" NOT NULL,
    at        BIGINT NOT NULL,
    missed_at BIGINT,
    request   TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (run, name_hash)
);
CREATE INDEX deadline_ahead ON deadline (run, name_hash) WHERE missed_at IS NULL;
CREATE INDEX deadline_by_time ON deadline (at, run, name_hash, missed_at);
CREATE INDEX deadline_of_team ON deadline (team, at, run, name_hash, missed_at);
CREATE INDEX deadline_of_dag ON deadline (dag_id, at, run, name_hash, missed_at);
