-- Grants that people propose, approve, refuse and take back. Revisions are never deleted.
CREATE TABLE bundle_grant (
    team        TEXT COLLATE "C" NOT NULL,
    bundle      TEXT COLLATE "C" NOT NULL,
    revision    BIGINT NOT NULL,
    state       TEXT COLLATE "C" NOT NULL,
    hash        BYTEA NOT NULL,
    version     TEXT COLLATE "C" NOT NULL,
    request     TEXT COLLATE "C" NOT NULL,
    granted     TEXT COLLATE "C" NOT NULL,
    only_hash   BOOLEAN NOT NULL,
    note        TEXT COLLATE "C",
    proposed_by TEXT COLLATE "C" NOT NULL,
    proposed_at BIGINT NOT NULL,
    decided_by  TEXT COLLATE "C",
    decided_at  BIGINT,
    reason      TEXT COLLATE "C",
    PRIMARY KEY (team, bundle, revision)
);

-- One is in force.
CREATE UNIQUE INDEX bundle_grant_in_force ON bundle_grant (team, bundle) WHERE state = 'approved';
