//! What is asked about triggers.

use crate::leases::teams;

macro_rules! sqlite_teams {
    () => {
        teams!("trigger", " INDEXED BY trigger_due", "team, due_at")
    };
}
macro_rules! postgres_teams {
    () => {
        teams!("trigger", "", "team, due_at")
    };
}

/// What is due, of each team those first that have been due longest.
pub(super) const CLAIMABLE_SQLITE: &str = concat!(
    sqlite_teams!(),
    "SELECT c.id, c.due_at FROM r CROSS JOIN trigger AS c ON c.id IN (
     SELECT t.id FROM trigger AS t INDEXED BY trigger_due WHERE t.team = r.team AND t.due_at <= $1
     ORDER BY t.due_at, t.id LIMIT $2)"
);
pub(super) const CLAIMABLE_POSTGRES: &str = concat!(
    postgres_teams!(),
    "SELECT c.id, c.due_at FROM r CROSS JOIN LATERAL (
     SELECT t.id, t.due_at FROM trigger AS t WHERE t.team = r.team AND t.due_at <= $1
     ORDER BY t.due_at, t.id LIMIT $2 FOR UPDATE SKIP LOCKED) AS c"
);

/// What woke it before is seen by the poll that follows.
pub(super) const CLAIM_SQLITE: &str = "
UPDATE trigger SET host = $2, lease_token = lease_token + 1, due_at = $3, woken_at = NULL
WHERE id IN (SELECT unhex(value ->> 0) FROM jsonb_each($1)) RETURNING *";
pub(super) const CLAIM_POSTGRES: &str = "
UPDATE trigger AS t SET host = $2, lease_token = lease_token + 1, due_at = $3, woken_at = NULL
FROM jsonb_array_elements($1::text::jsonb) AS n(value) WHERE t.id = (n.value ->> 0)::uuid RETURNING t.*";

/// Gives the row free, for the time that the poll says; at once where something has woken it meanwhile.
macro_rules! polled_sqlite {
    ($then:literal) => {
        concat!(
            "
UPDATE trigger SET state = n.state, next_poll_at = COALESCE(MIN(woken_at, n.at), woken_at, n.at),
    due_at = COALESCE(MIN(woken_at, n.at), woken_at, n.at), wakes_on = n.wakes_on, polls = n.polls,
    last_poll_at = n.last_poll_at, cpu = n.cpu, failures = n.failures, note = n.note, host = NULL, woken_at = NULL
FROM (SELECT unhex(value ->> 0) AS id, unhex(value ->> 1) AS host, value ->> 2 AS token,
             value ->> '$[3][0]' AS state, value ->> '$[3][1]' AS at, value ->> '$[3][2]' AS wakes_on,
             value ->> '$[3][3]' AS polls, value ->> '$[3][4]' AS last_poll_at, value ->> '$[3][5]' AS cpu,
             value ->> '$[3][6]' AS failures, value ->> '$[3][7]' AS note FROM jsonb_each(?)) AS n
WHERE trigger.id = n.id AND trigger.host = n.host AND trigger.lease_token = n.token",
            $then
        )
    };
}
/// As a part of a batch.
pub(crate) const WATCHED_SQLITE: &str = polled_sqlite!(";");
pub(crate) const POLLED_SQLITE: &str = polled_sqlite!(" RETURNING id");
pub(crate) const POLLED_POSTGRES: &str = "
UPDATE trigger AS t SET state = value -> 3 ->> 0, next_poll_at = LEAST(woken_at, (value -> 3 ->> 1)::bigint),
    due_at = LEAST(woken_at, (value -> 3 ->> 1)::bigint), wakes_on = value -> 3 ->> 2,
    polls = (value -> 3 ->> 3)::bigint, last_poll_at = (value -> 3 ->> 4)::bigint,
    cpu = (value -> 3 ->> 5)::bigint, failures = (value -> 3 ->> 6)::bigint, note = value -> 3 ->> 7,
    host = NULL, woken_at = NULL
FROM jsonb_array_elements($1::text::jsonb) AS n(value)
WHERE t.id = (value ->> 0)::uuid AND t.host = (value ->> 1)::uuid AND t.lease_token = (value ->> 2)::bigint
RETURNING t.id";

/// On PostgreSQL a row that somebody writes at this moment is passed over: it is being given free, or taken.
pub(super) const RENEW_SQLITE: &str = "UPDATE trigger SET due_at = $2 WHERE host = $1";
pub(super) const RENEW_POSTGRES: &str = "
UPDATE trigger SET due_at = $2 WHERE id IN (SELECT id FROM trigger WHERE host = $1 FOR UPDATE SKIP LOCKED)";

pub(super) const NEXT_SQLITE: &str = concat!(
    sqlite_teams!(),
    "SELECT MIN((SELECT t.due_at FROM trigger AS t INDEXED BY trigger_due
     WHERE t.team = r.team AND t.due_at IS NOT NULL ORDER BY t.due_at LIMIT 1)) FROM r"
);
pub(super) const NEXT_POSTGRES: &str = concat!(
    postgres_teams!(),
    "SELECT MIN((SELECT t.due_at FROM trigger AS t
     WHERE t.team = r.team AND t.due_at IS NOT NULL ORDER BY t.due_at LIMIT 1)) FROM r"
);

/// One that is being polled may have looked before it happened, so it is remembered to be polled again.
pub(super) const WAKE_SQLITE: &str = "
UPDATE trigger SET woken_at = iif(host IS NULL, NULL, $2),
    next_poll_at = iif(host IS NULL, COALESCE(MIN(next_poll_at, $2), $2), next_poll_at),
    due_at = iif(host IS NULL, COALESCE(MIN(next_poll_at, $2), $2), due_at)
WHERE id IN (SELECT unhex(value ->> 0) FROM jsonb_each($1))";
pub(super) const WAKE_POSTGRES: &str = "
UPDATE trigger AS t SET woken_at = CASE WHEN host IS NULL THEN NULL ELSE $2::bigint END,
    next_poll_at = CASE WHEN host IS NULL THEN LEAST(next_poll_at, $2::bigint) ELSE next_poll_at END,
    due_at = CASE WHEN host IS NULL THEN LEAST(next_poll_at, $2::bigint) ELSE due_at END
FROM jsonb_array_elements($1::text::jsonb) AS n(value) WHERE t.id = (n.value ->> 0)::uuid";

pub(super) const BY_ID: &str = "SELECT * FROM trigger WHERE id = $1";

/// What is asked on SQLite.
#[cfg(test)]
pub(crate) fn sqlite_plans() -> Vec<&'static str> {
    vec![
        CLAIMABLE_SQLITE,
        CLAIM_SQLITE,
        WATCHED_SQLITE,
        POLLED_SQLITE,
        RENEW_SQLITE,
        NEXT_SQLITE,
        WAKE_SQLITE,
        BY_ID,
    ]
}

/// The same on PostgreSQL.
#[cfg(test)]
pub(crate) fn postgres_plans() -> Vec<&'static str> {
    vec![
        CLAIMABLE_POSTGRES,
        CLAIM_POSTGRES,
        POLLED_POSTGRES,
        RENEW_POSTGRES,
        NEXT_POSTGRES,
        WAKE_POSTGRES,
        BY_ID,
    ]
}
