//! What is asked about requests for callbacks.
//!
//! The order in which they are taken, by priority, is not the one in which their times come. So those whose
//! time has come are marked, each once, and an index holds the marked ones in the order of their priority.

use crate::leases::teams;

macro_rules! sqlite_teams {
    () => {
        teams!(
            "callback",
            " INDEXED BY callback_due",
            "team, ready, due_at"
        )
    };
}
macro_rules! postgres_teams {
    () => {
        teams!("callback", "", "team, ready, due_at")
    };
}

/// Marks those whose time has come, and those whose lease is over: whoever held one may still write how it
/// ended, until somebody else has claimed it. At most so many of a team at a time, that a claim takes a bounded
/// time; it is more than any claim takes.
pub(super) const READY_SQLITE: &str = concat!(
    "UPDATE callback SET ready = TRUE WHERE id IN (",
    sqlite_teams!(),
    "SELECT c.id FROM r CROSS JOIN callback AS c ON c.id IN (
     SELECT t.id FROM callback AS t INDEXED BY callback_due
     WHERE t.team = r.team AND t.ready = FALSE AND t.due_at <= $1 ORDER BY t.due_at, t.id LIMIT $2))"
);
pub(super) const READY_POSTGRES: &str = concat!(
    postgres_teams!(),
    ", due AS MATERIALIZED (SELECT c.id FROM r CROSS JOIN LATERAL (
     SELECT t.id FROM callback AS t WHERE t.team = r.team AND t.ready = FALSE AND t.due_at <= $1
     ORDER BY t.due_at, t.id LIMIT $2 FOR UPDATE SKIP LOCKED) AS c)
     UPDATE callback AS t SET ready = TRUE FROM due WHERE t.id = due.id"
);

/// What may be claimed, of each team the highest priority first, then the oldest.
pub(super) const CLAIMABLE_SQLITE: &str = concat!(
    sqlite_teams!(),
    "SELECT c.id, c.priority_weight FROM r CROSS JOIN callback AS c ON c.id IN (
     SELECT t.id FROM callback AS t INDEXED BY callback_ready WHERE t.team = r.team AND t.ready
     ORDER BY t.priority_weight DESC, t.id LIMIT $1)"
);
pub(super) const CLAIMABLE_POSTGRES: &str = concat!(
    postgres_teams!(),
    "SELECT c.id, c.priority_weight FROM r CROSS JOIN LATERAL (
     SELECT t.id, t.priority_weight FROM callback AS t WHERE t.team = r.team AND t.ready
     ORDER BY t.priority_weight DESC, t.id LIMIT $1 FOR UPDATE SKIP LOCKED) AS c"
);

pub(super) const CLAIM_SQLITE: &str = "
UPDATE callback SET state = 'running', tries = tries + 1, host = $2, lease_token = lease_token + 1,
    ready = FALSE, due_at = $3
WHERE id IN (SELECT unhex(value ->> 0) FROM jsonb_each($1)) RETURNING *";
pub(super) const CLAIM_POSTGRES: &str = "
UPDATE callback AS t SET state = 'running', tries = tries + 1, host = $2, lease_token = lease_token + 1,
    ready = FALSE, due_at = $3
FROM jsonb_array_elements($1::text::jsonb) AS n(value) WHERE t.id = (n.value ->> 0)::uuid RETURNING t.*";

pub(super) const ENDED_SQLITE: &str = "
UPDATE callback SET state = n.state, ended_at = n.ended_at, next_try_at = COALESCE(n.at, callback.next_try_at),
    due_at = n.at, note = n.note, ready = FALSE, host = NULL
FROM (SELECT unhex(value ->> 0) AS id, unhex(value ->> 1) AS host, value ->> 2 AS token, value ->> 3 AS state,
             value ->> 4 AS ended_at, value ->> 5 AS at, value ->> 6 AS note FROM jsonb_each($1)) AS n
WHERE callback.id = n.id AND callback.host = n.host AND callback.lease_token = n.token RETURNING id";
pub(super) const ENDED_POSTGRES: &str = "
UPDATE callback AS t SET state = value ->> 3, ended_at = (value ->> 4)::bigint,
    next_try_at = COALESCE((value ->> 5)::bigint, t.next_try_at), due_at = (value ->> 5)::bigint,
    note = value ->> 6, ready = FALSE, host = NULL
FROM jsonb_array_elements($1::text::jsonb) AS n(value)
WHERE t.id = (value ->> 0)::uuid AND t.host = (value ->> 1)::uuid AND t.lease_token = (value ->> 2)::bigint
RETURNING t.id";

/// On PostgreSQL a row that somebody writes at this moment is passed over: it is being given free, or taken.
pub(super) const RENEW_SQLITE: &str =
    "UPDATE callback SET due_at = $2, ready = FALSE WHERE host = $1";
pub(super) const RENEW_POSTGRES: &str = "
UPDATE callback SET due_at = $2, ready = FALSE
WHERE id IN (SELECT id FROM callback WHERE host = $1 FOR UPDATE SKIP LOCKED)";

/// The first of those that are marked, and of those that are not.
pub(super) const NEXT_SQLITE: &str = concat!(
    sqlite_teams!(),
    "SELECT MIN((SELECT t.due_at FROM callback AS t INDEXED BY callback_due
     WHERE t.team = r.team AND t.ready = TRUE AND t.due_at IS NOT NULL ORDER BY t.due_at LIMIT 1)),
     MIN((SELECT t.due_at FROM callback AS t INDEXED BY callback_due
     WHERE t.team = r.team AND t.ready = FALSE AND t.due_at IS NOT NULL ORDER BY t.due_at LIMIT 1)) FROM r"
);
pub(super) const NEXT_POSTGRES: &str = concat!(
    postgres_teams!(),
    "SELECT MIN((SELECT t.due_at FROM callback AS t
     WHERE t.team = r.team AND t.ready = TRUE AND t.due_at IS NOT NULL ORDER BY t.due_at LIMIT 1)),
     MIN((SELECT t.due_at FROM callback AS t
     WHERE t.team = r.team AND t.ready = FALSE AND t.due_at IS NOT NULL ORDER BY t.due_at LIMIT 1)) FROM r"
);

pub(super) const RETRY: &str = "
UPDATE callback SET state = 'pending', ready = TRUE, due_at = $2, next_try_at = $2
WHERE id = $1 AND state = 'failed'";
/// The condition is, word for word, that of the partial index, which holds just these.
macro_rules! counts {
    ($index:literal) => {
        concat!(
            "SELECT team, state, COUNT(*) FROM callback",
            $index,
            " WHERE state <> 'success' GROUP BY team, state ORDER BY team, state"
        )
    };
}
pub(super) const COUNTS_SQLITE: &str = counts!(" INDEXED BY callback_unexecuted");
pub(super) const COUNTS_POSTGRES: &str = counts!("");
pub(super) const BY_ID: &str = "SELECT * FROM callback WHERE id = $1";

/// What is asked on SQLite.
#[cfg(test)]
pub(crate) fn sqlite_plans() -> Vec<&'static str> {
    vec![
        READY_SQLITE,
        CLAIMABLE_SQLITE,
        CLAIM_SQLITE,
        ENDED_SQLITE,
        RENEW_SQLITE,
        NEXT_SQLITE,
        RETRY,
        BY_ID,
        COUNTS_SQLITE,
    ]
}

/// The same on PostgreSQL.
#[cfg(test)]
pub(crate) fn postgres_plans() -> Vec<&'static str> {
    vec![
        READY_POSTGRES,
        CLAIMABLE_POSTGRES,
        CLAIM_POSTGRES,
        ENDED_POSTGRES,
        RENEW_POSTGRES,
        NEXT_POSTGRES,
        RETRY,
        BY_ID,
        COUNTS_POSTGRES,
    ]
}
