-- Grants that people propose, approve, refuse and take back. Revisions are never deleted.
CREATE TABLE bundle_grant (
    team        TEXT NOT NULL,
    bundle      TEXT NOT NULL,
    revision    INTEGER NOT NULL,
    state       TEXT NOT NULL,
    hash        BLOB NOT NULL,
    version     TEXT NOT NULL,
    request     TEXT NOT NULL,
    granted     TEXT NOT NULL,
    only_hash   INTEGER NOT NULL,
    note        TEXT,
    proposed_by TEXT NOT NULL,
    proposed_at INTEGER NOT NULL,
    decided_by  TEXT,
    decided_at  INTEGER,
    reason      TEXT,
    PRIMARY KEY (team, bundle, revision)
) STRICT;

-- One is in force.
CREATE UNIQUE INDEX bundle_grant_in_force ON bundle_grant (team, bundle) WHERE state = 'approved';
