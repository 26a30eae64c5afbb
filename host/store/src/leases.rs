//! Rows that are claimed by lease: who may take which of them next.
//!
//! What is due is asked team by team, from one end of an index that begins with the team: a team whose crowd
//! waits costs the others nothing, and what is not due is not looked at. A recursion walks from team to team.
//! What is found is held until the claim is written: on SQLite by the one writer's transaction, on PostgreSQL
//! row by row, where what another claimant holds is passed over.

use std::collections::{HashMap, HashSet};

use uuid::Uuid;

/// The teams of a table with something that is or will be due, as `r`. The order is that of the index, which
/// nothing else gives without sorting.
macro_rules! teams {
    ($table:literal, $index:literal, $order:literal) => {
        concat!(
            "WITH RECURSIVE r (team) AS (SELECT (SELECT team FROM ",
            $table,
            $index,
            " WHERE due_at IS NOT NULL AND team > '' ORDER BY ",
            $order,
            " LIMIT 1) UNION ALL ",
            "SELECT (SELECT t.team FROM ",
            $table,
            " AS t",
            $index,
            " WHERE t.due_at IS NOT NULL AND t.team > r.team ORDER BY ",
            $order,
            " LIMIT 1)",
            " FROM r WHERE r.team IS NOT NULL) "
        )
    };
}
pub(crate) use teams;

/// What was claimed, in the order in which it was found.
pub(crate) fn in_order<R>(found: &[Uuid], rows: Vec<R>, id: impl Fn(&R) -> Uuid) -> Vec<R> {
    let mut rows: HashMap<Uuid, R> = rows.into_iter().map(|row| (id(&row), row)).collect();
    found.iter().filter_map(|id| rows.remove(id)).collect()
}

/// Those of `given` that are not among `written`.
pub(crate) fn lost<K: Copy>(
    given: impl IntoIterator<Item = K>,
    id: impl Fn(K) -> Uuid,
    written: &[Uuid],
) -> Vec<K> {
    let written: HashSet<&Uuid> = written.iter().collect();
    given
        .into_iter()
        .filter(|key| !written.contains(&id(*key)))
        .collect()
}
