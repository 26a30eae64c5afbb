-- Waiting and reacting: triggers, callbacks, deadlines. What is taken by lease is claimed in the order of an index
-- that begins with the team, so that one team's crowd costs the others nothing.

-- What a task instance waits for, or is to go on with: JSON.
ALTER TABLE task_instance ADD COLUMN deferred TEXT;

-- How long the last successful runs of a DAG took.
CREATE INDEX dag_run_succeeded ON dag_run (dag_id, ended_at, queued_at) WHERE state = 'success';

-- Triggers that are a bundle's own code, of a task instance (run to map_index) or of a watcher (asset, watcher).
--   due_at    when somebody may claim it: its next poll's time or, while a host holds it, the end of that lease
--   woken_at  while a host holds it: something that it waits for has happened since
--   wakes_on  what also wakes it, as JSON; none where it is the clock alone
--   cpu       nanoseconds
--   pair      the hash of a watcher's name and its asset's, which together may be too long for an index of PostgreSQL
CREATE TABLE trigger (
    id           BLOB NOT NULL PRIMARY KEY,
    team         TEXT NOT NULL,
    dag_id       TEXT NOT NULL,
    bundle       TEXT NOT NULL,
    hash         BLOB NOT NULL,
    run          BLOB,
    task         INTEGER,
    map_index    INTEGER,
    task_token   INTEGER,
    run_id       TEXT,
    task_id      TEXT,
    asset        TEXT,
    watcher      TEXT,
    pair         BLOB,
    kind         TEXT NOT NULL,
    arguments    TEXT NOT NULL,
    created_at   INTEGER NOT NULL,
    state        TEXT,
    next_poll_at INTEGER,
    wakes_on     TEXT,
    polls        INTEGER NOT NULL,
    last_poll_at INTEGER,
    cpu          INTEGER NOT NULL,
    failures     INTEGER NOT NULL,
    note         TEXT,
    host         BLOB,
    lease_token  INTEGER NOT NULL DEFAULT 0,
    due_at       INTEGER,
    woken_at     INTEGER
) STRICT, WITHOUT ROWID;
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
    team  TEXT NOT NULL,
    pair  BLOB NOT NULL,
    asset TEXT NOT NULL,
    at    INTEGER NOT NULL,
    PRIMARY KEY (team, pair)
) STRICT, WITHOUT ROWID;
CREATE INDEX seen_key_at ON seen_key (at);

-- Requests for callbacks. What they tell of is JSON (subject); the run and the DAG stand there once more to be
-- found by.
--   ready   its time has come and nobody holds it
--   due_at  when its time comes or has come or, while a host holds it, when that lease is over; none once it has ended
CREATE TABLE callback (
    id              BLOB NOT NULL PRIMARY KEY,
    created_at      INTEGER NOT NULL,
    priority_weight INTEGER NOT NULL,
    kind            TEXT NOT NULL,
    message         TEXT NOT NULL,
    team            TEXT NOT NULL,
    bundle          TEXT NOT NULL,
    hash            BLOB NOT NULL,
    entry           TEXT NOT NULL,
    arguments       TEXT NOT NULL,
    run             BLOB NOT NULL,
    dag_id          TEXT NOT NULL,
    subject         TEXT NOT NULL,
    state           TEXT NOT NULL,
    tries           INTEGER NOT NULL,
    next_try_at     INTEGER NOT NULL,
    ended_at        INTEGER,
    note            TEXT,
    host            BLOB,
    lease_token     INTEGER NOT NULL DEFAULT 0,
    ready           INTEGER NOT NULL,
    due_at          INTEGER
) STRICT, WITHOUT ROWID;
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
    run       BLOB NOT NULL,
    name_hash BLOB NOT NULL,
    name      TEXT NOT NULL,
    team      TEXT NOT NULL,
    dag_id    TEXT NOT NULL,
    at        INTEGER NOT NULL,
    missed_at INTEGER,
    request   TEXT NOT NULL,
    PRIMARY KEY (run, name_hash)
) STRICT, WITHOUT ROWID;
CREATE INDEX deadline_ahead ON deadline (run, name_hash) WHERE missed_at IS NULL;
CREATE INDEX deadline_by_time ON deadline (at, run, name_hash, missed_at);
CREATE INDEX deadline_of_team ON deadline (team, at, run, name_hash, missed_at);
CREATE INDEX deadline_of_dag ON deadline (dag_id, at, run, name_hash, missed_at);
