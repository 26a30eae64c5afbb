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
    conf           TEXT COLLATE "C" NOT NULL
);
CREATE UNIQUE INDEX dag_run_id ON dag_run (dag_id, run_id);
CREATE UNIQUE INDEX dag_run_logical_date ON dag_run (dag_id, logical_date);
CREATE INDEX dag_run_of_dag ON dag_run (dag_id, key, state);
CREATE INDEX dag_run_of_team ON dag_run (team, key, state);
-- What a restart asks for. It holds the unfinished runs only, so it stays small whatever the table grows to.
CREATE INDEX dag_run_unfinished ON dag_run (key) WHERE state IN ('queued', 'running');

-- Only ever reached through a run, so the primary key is its one index.
CREATE TABLE task_instance (
    run         UUID NOT NULL,
    task        INTEGER NOT NULL,
    map_index   INTEGER NOT NULL,
    task_id     TEXT COLLATE "C" NOT NULL,
    pool        TEXT COLLATE "C" NOT NULL,
    pool_slots  BIGINT NOT NULL,
    priority    BIGINT NOT NULL,
    state       TEXT COLLATE "C",
    try_number  BIGINT NOT NULL,
    max_tries   BIGINT NOT NULL,
    token       BIGINT NOT NULL,
    queued_at   BIGINT,
    started_at  BIGINT,
    ended_at    BIGINT,
    next_try_at BIGINT,
    note        TEXT COLLATE "C",
    failure     TEXT COLLATE "C",
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
    at        BIGINT NOT NULL,
    PRIMARY KEY (run, task, map_index, name)
);

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
