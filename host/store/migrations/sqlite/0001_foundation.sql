-- Times are UTC microseconds. A team of '' is the global scope. Texts that name a state are the model's own names.

CREATE TABLE bundle_version (
    bundle     TEXT NOT NULL,
    hash       BLOB NOT NULL,
    team       TEXT NOT NULL,
    version    TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    active     INTEGER NOT NULL,
    PRIMARY KEY (bundle, hash)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX bundle_version_active ON bundle_version (bundle) WHERE active;
CREATE INDEX bundle_version_hash ON bundle_version (hash);

CREATE TABLE parse_result (
    hash   BLOB NOT NULL,
    inputs BLOB NOT NULL,
    result TEXT NOT NULL,
    PRIMARY KEY (hash, inputs)
) STRICT;

CREATE TABLE dag (
    dag_id      TEXT NOT NULL PRIMARY KEY,
    team        TEXT NOT NULL,
    bundle      TEXT NOT NULL,
    hash        BLOB NOT NULL,
    definition  BLOB NOT NULL,
    is_paused   INTEGER NOT NULL,
    is_stale    INTEGER NOT NULL,
    last_parsed INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX dag_bundle ON dag (bundle);

-- What imports gave, under the hash of its text: runs are pinned to it.
CREATE TABLE dag_definition (
    definition BLOB NOT NULL PRIMARY KEY,
    spec       TEXT NOT NULL
) STRICT;

-- Which tasks a definition has.
CREATE TABLE definition_task (
    definition BLOB NOT NULL,
    task_id    TEXT NOT NULL,
    PRIMARY KEY (definition, task_id)
) STRICT, WITHOUT ROWID;

-- Which definitions a DAG's runs were ever pinned to, and the earliest time that such a run stands for.
CREATE TABLE pinned_definition (
    dag_id     TEXT NOT NULL,
    definition BLOB NOT NULL,
    since      INTEGER NOT NULL,
    PRIMARY KEY (dag_id, definition)
) STRICT, WITHOUT ROWID;

CREATE TABLE dag_tag (
    dag_id TEXT NOT NULL,
    tag    TEXT NOT NULL,
    PRIMARY KEY (dag_id, tag)
) STRICT, WITHOUT ROWID;

CREATE TABLE dag_progress (
    dag_id         TEXT NOT NULL PRIMARY KEY,
    interval_start INTEGER NOT NULL,
    interval_end   INTEGER NOT NULL,
    run_after      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE import_error (
    bundle   TEXT NOT NULL,
    position INTEGER NOT NULL,
    team     TEXT NOT NULL,
    hash     BLOB,
    dag_id   TEXT,
    code     TEXT NOT NULL,
    message  TEXT NOT NULL,
    at       INTEGER NOT NULL,
    PRIMARY KEY (bundle, position)
) STRICT, WITHOUT ROWID;

CREATE TABLE dag_run (
    key            BLOB NOT NULL PRIMARY KEY,
    dag_id         TEXT NOT NULL,
    run_id         TEXT NOT NULL,
    team           TEXT NOT NULL,
    run_type       TEXT NOT NULL,
    state          TEXT NOT NULL,
    hash           BLOB NOT NULL,
    definition     BLOB NOT NULL,
    logical_date   INTEGER,
    interval_start INTEGER,
    interval_end   INTEGER,
    run_after      INTEGER NOT NULL,
    queued_at      INTEGER NOT NULL,
    started_at     INTEGER,
    ended_at       INTEGER,
    conf           TEXT NOT NULL,
    ends_as        TEXT,
    clear_number   INTEGER NOT NULL,
    backfill       INTEGER,
    note           TEXT
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX dag_run_id ON dag_run (dag_id, run_id);
CREATE UNIQUE INDEX dag_run_logical_date ON dag_run (dag_id, logical_date);
CREATE INDEX dag_run_of_dag ON dag_run (dag_id, key, state);
CREATE INDEX dag_run_of_team ON dag_run (team, key, state);
CREATE INDEX dag_run_after ON dag_run (dag_id, run_after);
CREATE INDEX dag_run_by_date ON dag_run (dag_id, COALESCE(logical_date, run_after), key);
CREATE INDEX dag_run_of_backfill ON dag_run (backfill, key) WHERE backfill IS NOT NULL;
-- The run before, for who depends on a past that the clock made.
CREATE INDEX dag_run_by_clock ON dag_run (dag_id, logical_date) WHERE run_type NOT IN ('manual', 'asset_triggered');
-- How the last runs ended, for who gives up after too many failures.
CREATE INDEX dag_run_by_assets ON dag_run (dag_id, run_after) WHERE run_type = 'asset_triggered';
CREATE INDEX dag_run_ended ON dag_run (dag_id, COALESCE(logical_date, run_after), key, state)
    WHERE state IN ('success', 'failed') AND run_type <> 'backfill' AND backfill IS NULL;
-- What a restart asks for. It holds the unfinished runs only, so it stays small whatever the table grows to.
CREATE INDEX dag_run_unfinished ON dag_run (key) WHERE state IN ('queued', 'running');

-- Only ever reached through a run, so the primary key is its one index.
CREATE TABLE task_instance (
    run              BLOB NOT NULL,
    task             INTEGER NOT NULL,
    map_index        INTEGER NOT NULL,
    task_id          TEXT NOT NULL,
    pool             TEXT NOT NULL,
    pool_slots       INTEGER NOT NULL,
    priority         INTEGER NOT NULL,
    state            TEXT,
    try_number       INTEGER NOT NULL,
    max_tries        INTEGER NOT NULL,
    token            INTEGER NOT NULL,
    queued_at        INTEGER,
    started_at       INTEGER,
    ended_at         INTEGER,
    next_try_at      INTEGER,
    note             TEXT,
    failure          TEXT,
    first_started_at INTEGER,
    downstream       TEXT,
    PRIMARY KEY (run, task, map_index)
) STRICT, WITHOUT ROWID;

-- Ended tries that a later one has superseded. The newest try stands in task_instance alone.
CREATE TABLE task_try (
    run        BLOB NOT NULL,
    task       INTEGER NOT NULL,
    map_index  INTEGER NOT NULL,
    token      INTEGER NOT NULL,
    try_number INTEGER NOT NULL,
    state      TEXT NOT NULL,
    queued_at  INTEGER,
    started_at INTEGER,
    ended_at   INTEGER NOT NULL,
    note       TEXT,
    failure    TEXT,
    PRIMARY KEY (run, task, map_index, token)
) STRICT, WITHOUT ROWID;

-- Exactly one of value and spilled is there.
CREATE TABLE xcom (
    run       BLOB NOT NULL,
    task      INTEGER NOT NULL,
    map_index INTEGER NOT NULL,
    name      TEXT NOT NULL,
    value     TEXT,
    spilled   BLOB,
    length    INTEGER,
    at        INTEGER NOT NULL,
    PRIMARY KEY (run, task, map_index, name)
) STRICT, WITHOUT ROWID;
-- Those over which something is mapped: a restart needs their lengths and not their values.
CREATE INDEX xcom_length ON xcom (run, task, map_index, name, length) WHERE length IS NOT NULL;
-- Whether anything still needs a content of which something was deleted.
CREATE INDEX xcom_spilled ON xcom (spilled) WHERE spilled IS NOT NULL;

-- Contents of XComs that went with their run. A start removes those that nothing else needs.
CREATE TABLE dropped_content (
    hash BLOB NOT NULL PRIMARY KEY
) STRICT, WITHOUT ROWID;

CREATE TABLE backfill (
    id              INTEGER NOT NULL PRIMARY KEY,
    dag_id          TEXT NOT NULL,
    team            TEXT NOT NULL,
    from_date       INTEGER NOT NULL,
    to_date         INTEGER NOT NULL,
    reprocess       TEXT NOT NULL,
    reverse         INTEGER NOT NULL,
    max_active_runs INTEGER NOT NULL,
    conf            TEXT NOT NULL,
    is_paused       INTEGER NOT NULL,
    created_at      INTEGER NOT NULL,
    completed_at    INTEGER
) STRICT;
CREATE UNIQUE INDEX backfill_active ON backfill (dag_id) WHERE completed_at IS NULL;
CREATE INDEX backfill_of_dag ON backfill (dag_id, id);
CREATE INDEX backfill_of_team ON backfill (team, id);

CREATE TABLE backfill_run (
    backfill       INTEGER NOT NULL,
    ordinal        INTEGER NOT NULL,
    logical_date   INTEGER NOT NULL,
    interval_start INTEGER NOT NULL,
    interval_end   INTEGER NOT NULL,
    run            BLOB,
    skipped        TEXT,
    PRIMARY KEY (backfill, ordinal)
) STRICT, WITHOUT ROWID;
CREATE INDEX backfill_run_of_run ON backfill_run (run) WHERE run IS NOT NULL;

-- A team's assets: those that DAGs declare and those that tasks made up.
CREATE TABLE asset (
    team        TEXT NOT NULL,
    name        TEXT NOT NULL,
    uri         TEXT,
    asset_group TEXT,
    extra       TEXT,
    PRIMARY KEY (team, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX asset_uri ON asset (team, uri);

-- What aliases were resolved to. Both names together may be too long for an index of PostgreSQL, so their hash
-- stands for them.
CREATE TABLE alias_asset (
    team  TEXT NOT NULL,
    pair  BLOB NOT NULL,
    alias TEXT NOT NULL,
    name  TEXT NOT NULL,
    PRIMARY KEY (team, pair)
) STRICT, WITHOUT ROWID;
CREATE INDEX alias_asset_of_asset ON alias_asset (team, name);
CREATE INDEX alias_asset_of_alias ON alias_asset (team, alias);

-- What live DAGs have to do with assets; a task_id of '' is the DAG's own use. The kind says what the
-- reference is: a name, a URI or an alias.
CREATE TABLE asset_use (
    dag_id    TEXT NOT NULL,
    task_id   TEXT NOT NULL,
    role      TEXT NOT NULL,
    kind      TEXT NOT NULL,
    reference TEXT NOT NULL,
    team      TEXT NOT NULL,
    since     INTEGER NOT NULL,
    PRIMARY KEY (dag_id, task_id, role, kind, reference)
) STRICT, WITHOUT ROWID;
CREATE INDEX asset_use_of ON asset_use (team, kind, reference);

CREATE TABLE asset_event (
    id        BLOB NOT NULL PRIMARY KEY,
    team      TEXT NOT NULL,
    name      TEXT NOT NULL,
    at        INTEGER NOT NULL,
    extra     TEXT NOT NULL,
    source    TEXT NOT NULL,
    told_by   TEXT,
    dag_id    TEXT,
    run_id    TEXT,
    task_id   TEXT,
    map_index INTEGER,
    aliases   TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX asset_event_of_asset ON asset_event (team, name, at, id);
CREATE INDEX asset_event_of_team ON asset_event (team, at, id);
CREATE INDEX asset_event_of_dag ON asset_event (dag_id, at, id) WHERE dag_id IS NOT NULL;

-- Which assets have changed since DAGs that wait for them had their last run.
CREATE TABLE asset_queue (
    dag_id    TEXT NOT NULL,
    team      TEXT NOT NULL,
    name      TEXT NOT NULL,
    queued_at INTEGER NOT NULL,
    PRIMARY KEY (dag_id, team, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE run_asset_event (
    run   BLOB NOT NULL,
    event BLOB NOT NULL,
    PRIMARY KEY (run, event)
) STRICT, WITHOUT ROWID;
CREATE INDEX run_asset_event_of_event ON run_asset_event (event);

CREATE TABLE variable (
    team        TEXT NOT NULL,
    name        TEXT NOT NULL,
    sealed      BLOB NOT NULL,
    description TEXT,
    PRIMARY KEY (team, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE connection (
    team        TEXT NOT NULL,
    name        TEXT NOT NULL,
    conn_type   TEXT NOT NULL,
    description TEXT,
    host        TEXT,
    port        INTEGER,
    login       TEXT,
    db_schema   TEXT,
    sealed      BLOB NOT NULL,
    PRIMARY KEY (team, name)
) STRICT, WITHOUT ROWID;

-- configured: the configuration made the pool, and nobody changed it since.
CREATE TABLE pool (
    team             TEXT NOT NULL,
    name             TEXT NOT NULL,
    slots            INTEGER NOT NULL,
    description      TEXT,
    include_deferred INTEGER NOT NULL,
    configured       INTEGER NOT NULL,
    PRIMARY KEY (team, name)
) STRICT, WITHOUT ROWID;

-- Always empty: writing a row fails, which is how a script of statements ends itself when a count is not
-- the expected one.
CREATE TABLE fence (
    broken TEXT NOT NULL CONSTRAINT fence_holds CHECK (broken IS NULL)
) STRICT;
