-- Times are UTC microseconds. A team of '' is the global scope. Texts that name a state are the model's own names.

CREATE TABLE bundle_version (
    bundle     TEXT COLLATE "C" NOT NULL,
    hash       BYTEA NOT NULL,
    team       TEXT COLLATE "C" NOT NULL,
    version    TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    active     BOOLEAN NOT NULL,
    PRIMARY KEY (bundle, hash)
);
CREATE UNIQUE INDEX bundle_version_active ON bundle_version (bundle) WHERE active;
CREATE INDEX bundle_version_hash ON bundle_version (hash);

CREATE TABLE parse_result (
    hash   BYTEA NOT NULL,
    inputs BYTEA NOT NULL,
    result TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (hash, inputs)
);

CREATE TABLE dag (
    dag_id      TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    team        TEXT COLLATE "C" NOT NULL,
    bundle      TEXT COLLATE "C" NOT NULL,
    hash        BYTEA NOT NULL,
    definition  BYTEA NOT NULL,
    is_paused   BOOLEAN NOT NULL,
    is_stale    BOOLEAN NOT NULL,
    last_parsed BIGINT NOT NULL
);
CREATE INDEX dag_bundle ON dag (bundle);

-- What imports gave, under the hash of its text: runs are pinned to it.
CREATE TABLE dag_definition (
    definition BYTEA NOT NULL PRIMARY KEY,
    spec       TEXT COLLATE "C" NOT NULL
);

-- Which tasks a definition has.
CREATE TABLE definition_task (
    definition BYTEA NOT NULL,
    task_id    TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (definition, task_id)
);

-- Which definitions a DAG's runs were ever pinned to, and the earliest time that such a run stands for.
CREATE TABLE pinned_definition (
    dag_id     TEXT COLLATE "C" NOT NULL,
    definition BYTEA NOT NULL,
    since      BIGINT NOT NULL,
    PRIMARY KEY (dag_id, definition)
);

CREATE TABLE dag_tag (
    dag_id TEXT COLLATE "C" NOT NULL,
    tag    TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (dag_id, tag)
);

CREATE TABLE dag_progress (
    dag_id         TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    interval_start BIGINT NOT NULL,
    interval_end   BIGINT NOT NULL,
    run_after      BIGINT NOT NULL
);

CREATE TABLE import_error (
    bundle   TEXT COLLATE "C" NOT NULL,
    position INTEGER NOT NULL,
    team     TEXT COLLATE "C" NOT NULL,
    hash     BYTEA,
    dag_id   TEXT COLLATE "C",
    code     TEXT COLLATE "C" NOT NULL,
    message  TEXT COLLATE "C" NOT NULL,
    at       BIGINT NOT NULL,
    PRIMARY KEY (bundle, position)
);

CREATE TABLE dag_run (
    key            UUID NOT NULL PRIMARY KEY,
    dag_id         TEXT COLLATE "C" NOT NULL,
    run_id         TEXT COLLATE "C" NOT NULL,
    team           TEXT COLLATE "C" NOT NULL,
    run_type       TEXT COLLATE "C" NOT NULL,
    state          TEXT COLLATE "C" NOT NULL,
    hash           BYTEA NOT NULL,
    definition     BYTEA NOT NULL,
    logical_date   BIGINT,
    interval_start BIGINT,
    interval_end   BIGINT,
    run_after      BIGINT NOT NULL,
    queued_at      BIGINT NOT NULL,
    started_at     BIGINT,
    ended_at       BIGINT,
    conf           TEXT COLLATE "C" NOT NULL,
    ends_as        TEXT,
    clear_number   BIGINT NOT NULL,
    backfill       BIGINT,
    note           TEXT
);
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
    run              UUID NOT NULL,
    task             INTEGER NOT NULL,
    map_index        INTEGER NOT NULL,
    task_id          TEXT COLLATE "C" NOT NULL,
    pool             TEXT COLLATE "C" NOT NULL,
    pool_slots       BIGINT NOT NULL,
    priority         BIGINT NOT NULL,
    state            TEXT COLLATE "C",
    try_number       BIGINT NOT NULL,
    max_tries        BIGINT NOT NULL,
    token            BIGINT NOT NULL,
    queued_at        BIGINT,
    started_at       BIGINT,
    ended_at         BIGINT,
    next_try_at      BIGINT,
    note             TEXT COLLATE "C",
    failure          TEXT COLLATE "C",
    first_started_at BIGINT,
    downstream       TEXT COLLATE "C",
    PRIMARY KEY (run, task, map_index)
);

-- Ended tries that a later one has superseded. The newest try stands in task_instance alone.
CREATE TABLE task_try (
    run        UUID NOT NULL,
    task       INTEGER NOT NULL,
    map_index  INTEGER NOT NULL,
    token      BIGINT NOT NULL,
    try_number BIGINT NOT NULL,
    state      TEXT COLLATE "C" NOT NULL,
    queued_at  BIGINT,
    started_at BIGINT,
    ended_at   BIGINT NOT NULL,
    note       TEXT COLLATE "C",
    failure    TEXT COLLATE "C",
    PRIMARY KEY (run, task, map_index, token)
);

-- Exactly one of value and spilled is there.
CREATE TABLE xcom (
    run       UUID NOT NULL,
    task      INTEGER NOT NULL,
    map_index INTEGER NOT NULL,
    name      TEXT COLLATE "C" NOT NULL,
    value     TEXT COLLATE "C",
    spilled   BYTEA,
    length    BIGINT,
    at        BIGINT NOT NULL,
    PRIMARY KEY (run, task, map_index, name)
);
-- Those over which something is mapped: a restart needs their lengths and not their values.
CREATE INDEX xcom_length ON xcom (run, task, map_index, name, length) WHERE length IS NOT NULL;
-- Whether anything still needs a content of which something was deleted.
CREATE INDEX xcom_spilled ON xcom (spilled) WHERE spilled IS NOT NULL;

-- Contents of XComs that went with their run. A start removes those that nothing else needs.
CREATE TABLE dropped_content (
    hash BYTEA NOT NULL PRIMARY KEY
);

CREATE TABLE backfill (
    id              BIGINT NOT NULL PRIMARY KEY,
    dag_id          TEXT COLLATE "C" NOT NULL,
    team            TEXT COLLATE "C" NOT NULL,
    from_date       BIGINT NOT NULL,
    to_date         BIGINT NOT NULL,
    reprocess       TEXT COLLATE "C" NOT NULL,
    reverse         BOOLEAN NOT NULL,
    max_active_runs BIGINT NOT NULL,
    conf            TEXT COLLATE "C" NOT NULL,
    is_paused       BOOLEAN NOT NULL,
    created_at      BIGINT NOT NULL,
    completed_at    BIGINT
);
CREATE UNIQUE INDEX backfill_active ON backfill (dag_id) WHERE completed_at IS NULL;
CREATE INDEX backfill_of_dag ON backfill (dag_id, id);
CREATE INDEX backfill_of_team ON backfill (team, id);

CREATE TABLE backfill_run (
    backfill       BIGINT NOT NULL,
    ordinal        BIGINT NOT NULL,
    logical_date   BIGINT NOT NULL,
    interval_start BIGINT NOT NULL,
    interval_end   BIGINT NOT NULL,
    run            UUID,
    skipped        TEXT COLLATE "C",
    PRIMARY KEY (backfill, ordinal)
);
CREATE INDEX backfill_run_of_run ON backfill_run (run) WHERE run IS NOT NULL;

-- A team's assets: those that DAGs declare and those that tasks made up.
CREATE TABLE asset (
    team        TEXT COLLATE "C" NOT NULL,
    name        TEXT COLLATE "C" NOT NULL,
    uri         TEXT COLLATE "C",
    asset_group TEXT COLLATE "C",
    extra       TEXT COLLATE "C",
    PRIMARY KEY (team, name)
);
CREATE INDEX asset_uri ON asset (team, uri);

-- What aliases were resolved to. Both names together may be too long for an index of PostgreSQL, so their hash
-- stands for them.
CREATE TABLE alias_asset (
    team  TEXT COLLATE "C" NOT NULL,
    pair  BYTEA NOT NULL,
    alias TEXT COLLATE "C" NOT NULL,
    name  TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (team, pair)
);
CREATE INDEX alias_asset_of_asset ON alias_asset (team, name);
CREATE INDEX alias_asset_of_alias ON alias_asset (team, alias);

-- What live DAGs have to do with assets; a task_id of '' is the DAG's own use. The kind says what the
-- reference is: a name, a URI or an alias.
CREATE TABLE asset_use (
    dag_id    TEXT COLLATE "C" NOT NULL,
    task_id   TEXT COLLATE "C" NOT NULL,
    role      TEXT COLLATE "C" NOT NULL,
    kind      TEXT COLLATE "C" NOT NULL,
    reference TEXT COLLATE "C" NOT NULL,
    team      TEXT COLLATE "C" NOT NULL,
    since     BIGINT NOT NULL,
    PRIMARY KEY (dag_id, task_id, role, kind, reference)
);
CREATE INDEX asset_use_of ON asset_use (team, kind, reference);

CREATE TABLE asset_event (
    id        UUID NOT NULL PRIMARY KEY,
    team      TEXT COLLATE "C" NOT NULL,
    name      TEXT COLLATE "C" NOT NULL,
    at        BIGINT NOT NULL,
    extra     TEXT COLLATE "C" NOT NULL,
    source    TEXT COLLATE "C" NOT NULL,
    told_by   TEXT COLLATE "C",
    dag_id    TEXT COLLATE "C",
    run_id    TEXT COLLATE "C",
    task_id   TEXT COLLATE "C",
    map_index INTEGER,
    aliases   TEXT COLLATE "C" NOT NULL
);
CREATE INDEX asset_event_of_asset ON asset_event (team, name, at, id);
CREATE INDEX asset_event_of_team ON asset_event (team, at, id);
CREATE INDEX asset_event_of_dag ON asset_event (dag_id, at, id) WHERE dag_id IS NOT NULL;

-- Which assets have changed since DAGs that wait for them had their last run.
CREATE TABLE asset_queue (
    dag_id    TEXT COLLATE "C" NOT NULL,
    team      TEXT COLLATE "C" NOT NULL,
    name      TEXT COLLATE "C" NOT NULL,
    queued_at BIGINT NOT NULL,
    PRIMARY KEY (dag_id, team, name)
);

CREATE TABLE run_asset_event (
    run   UUID NOT NULL,
    event UUID NOT NULL,
    PRIMARY KEY (run, event)
);
CREATE INDEX run_asset_event_of_event ON run_asset_event (event);

CREATE TABLE variable (
    team        TEXT COLLATE "C" NOT NULL,
    name        TEXT COLLATE "C" NOT NULL,
    sealed      BYTEA NOT NULL,
    description TEXT COLLATE "C",
    PRIMARY KEY (team, name)
);

CREATE TABLE connection (
    team        TEXT COLLATE "C" NOT NULL,
    name        TEXT COLLATE "C" NOT NULL,
    conn_type   TEXT COLLATE "C" NOT NULL,
    description TEXT COLLATE "C",
    host        TEXT COLLATE "C",
    port        INTEGER,
    login       TEXT COLLATE "C",
    db_schema   TEXT COLLATE "C",
    sealed      BYTEA NOT NULL,
    PRIMARY KEY (team, name)
);

-- configured: the configuration made the pool, and nobody changed it since.
CREATE TABLE pool (
    team             TEXT COLLATE "C" NOT NULL,
    name             TEXT COLLATE "C" NOT NULL,
    slots            INTEGER NOT NULL,
    description      TEXT COLLATE "C",
    include_deferred BOOLEAN NOT NULL,
    configured       BOOLEAN NOT NULL,
    PRIMARY KEY (team, name)
);
