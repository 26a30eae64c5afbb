//! What a batch says to SQLite about triggers, callbacks and deadlines.

use std::sync::Arc;

use airlock_model::{
    id::TriggerId,
    port::{Batch, StoreError},
};
use sqlx::SqliteConnection;
use uuid::Uuid;

use super::{Script, encode};
use crate::{error::Error, triggers::WATCHED_SQLITE};

/// A trigger moves with its task instance, whose position it names, and is of its run's version.
pub(super) const MOVE_TRIGGERS: &str = "
UPDATE trigger SET task = -1 - (n.value ->> 2) FROM jsonb_each(?) AS n
WHERE trigger.run = unhex(n.value ->> 0) AND trigger.task = n.value ->> 1;
";
pub(super) const LAND_TRIGGERS: &str = "
UPDATE trigger SET task = -1 - task
WHERE task < 0 AND run IN (SELECT unhex(value ->> 0) FROM jsonb_each(?));
";
pub(super) const REPIN_TRIGGERS: &str = "
UPDATE trigger SET hash = n.hash
FROM (SELECT unhex(value ->> 0) AS run, unhex(value ->> 1) AS hash FROM jsonb_each(?)) AS n
WHERE trigger.run = n.run;
";

const NEW_TRIGGERS: &str = "
INSERT INTO trigger (id, team, dag_id, bundle, hash, kind, arguments, created_at, run, task, map_index,
                     task_token, run_id, task_id, asset, watcher, pair, state, next_poll_at, due_at, wakes_on,
                     polls, last_poll_at, cpu, failures, note)
SELECT unhex(value ->> 0), value ->> '$[1][0]', value ->> '$[1][1]', value ->> '$[1][2]', unhex(value ->> 2),
       value ->> '$[3][0]', value ->> '$[3][1]', value ->> 4, unhex(value ->> '$[5][0][0]'),
       value ->> '$[5][0][1]', value ->> '$[5][0][2]', value ->> '$[5][1]', value ->> '$[5][2]',
       value ->> '$[5][3]', value ->> '$[6][0]', value ->> '$[6][1]', unhex(value ->> '$[6][2]'),
       value ->> '$[7][0]', value ->> '$[7][1]', value ->> '$[7][1]', value ->> '$[7][2]', value ->> '$[7][3]',
       value ->> '$[7][4]', value ->> '$[7][5]', value ->> '$[7][6]', value ->> '$[7][7]'
FROM jsonb_each(?) WHERE TRUE
ON CONFLICT (team, pair) WHERE pair IS NOT NULL DO NOTHING;
";

const GONE_TRIGGERS: &str = "
DELETE FROM trigger WHERE id IN (SELECT unhex(value ->> 0) FROM jsonb_each(?));
";

const MOVED_WATCHERS: &str = "
UPDATE trigger SET dag_id = n.dag_id, bundle = n.bundle, hash = n.hash
FROM (SELECT unhex(value ->> 0) AS id, value ->> 1 AS dag_id, value ->> 2 AS bundle,
             unhex(value ->> 3) AS hash FROM jsonb_each(?)) AS n
WHERE trigger.id = n.id;
";

const SEEN_KEYS: &str = "
INSERT INTO seen_key (team, pair, asset, at)
SELECT value ->> 0, unhex(value ->> 1), value ->> 2, value ->> 3 FROM jsonb_each(?) WHERE TRUE
ON CONFLICT (team, pair) DO NOTHING;
";

/// Not of runs that somebody has deleted since they were noted.
const CALLBACKS: &str = "
INSERT INTO callback (id, created_at, priority_weight, kind, message, team, bundle, hash, entry, arguments,
                      run, dag_id, subject, state, tries, next_try_at, ended_at, note, ready, due_at)
SELECT unhex(value ->> '$[0][0]'), value ->> '$[0][1]', value ->> '$[0][2]', value ->> '$[0][3]',
       value ->> 1, value ->> '$[2][0]', value ->> '$[2][1]', unhex(value ->> '$[2][2]'),
       value ->> '$[3][0]', value ->> '$[3][1]', unhex(value ->> '$[4][0]'), value ->> '$[4][1]',
       value ->> 5, value ->> '$[6][0]', value ->> '$[6][1]', value ->> '$[6][2]', value ->> '$[6][3]',
       value ->> 7, value ->> 8, value ->> 9
FROM jsonb_each(?)
WHERE EXISTS (SELECT 1 FROM dag_run WHERE key = unhex(value ->> '$[4][0]'));
";

/// Not of runs that somebody has deleted since they were noted.
const DEADLINES: &str = "
INSERT INTO deadline (run, name_hash, name, team, dag_id, at, missed_at, request)
SELECT unhex(value ->> 0), unhex(value ->> 1), value ->> 2, value ->> '$[3][0]', value ->> '$[3][1]',
       value ->> 4, value ->> 5, value ->> 6
FROM jsonb_each(?) WHERE EXISTS (SELECT 1 FROM dag_run WHERE key = unhex(value ->> 0))
ON CONFLICT (run, name_hash) DO UPDATE SET team = excluded.team, dag_id = excluded.dag_id, at = excluded.at,
    missed_at = excluded.missed_at, request = excluded.request;
";

const GONE_DEADLINES: &str = "
DELETE FROM deadline WHERE missed_at IS NULL AND run IN (SELECT unhex(value ->> 0) FROM jsonb_each(?));
";

/// Those of the array whose claim is not the newest.
const LOST: &str = "
SELECT unhex(n.value ->> 0) FROM jsonb_each(?) AS n
WHERE NOT EXISTS (SELECT 1 FROM trigger AS t WHERE t.id = unhex(n.value ->> 0)
    AND t.host = unhex(n.value ->> 1) AND t.lease_token = n.value ->> 2)";

impl Script {
    /// What a batch says of triggers, callbacks and deadlines.
    pub(super) fn waiting(&mut self, batch: &Batch) -> Result<(), StoreError> {
        if !batch.gone_triggers.is_empty() {
            self.add(GONE_TRIGGERS, encode::gone_triggers(batch)?)?;
        }
        if !batch.new_triggers.is_empty() {
            self.add(NEW_TRIGGERS, encode::new_triggers(batch)?)?;
        }
        if !batch.moved_watchers.is_empty() {
            self.add(MOVED_WATCHERS, encode::moved_watchers(batch)?)?;
        }
        if !batch.watched.is_empty() {
            self.add(WATCHED_SQLITE, encode::watched(batch)?)?;
            self.fence(batch.watched.len())?;
        }
        if !batch.seen_keys.is_empty() {
            self.add(SEEN_KEYS, encode::seen_keys(batch)?)?;
        }
        if !batch.callbacks.is_empty() {
            self.add(CALLBACKS, encode::callbacks(batch)?)?;
        }
        if !batch.gone_deadlines.is_empty() {
            self.add(GONE_DEADLINES, encode::gone_deadlines(batch)?)?;
        }
        if !batch.deadlines.is_empty() {
            self.add(DEADLINES, encode::deadlines(batch)?)?;
        }
        Ok(())
    }
}

/// Watchers of a batch whose claims are not the newest.
pub(super) async fn lost(
    connection: &mut SqliteConnection,
    batch: &Batch,
) -> Result<Vec<TriggerId>, StoreError> {
    let lost: Vec<Uuid> = sqlx::query_scalar(LOST)
        .bind::<Arc<str>>(encode::watched(batch)?)
        .fetch_all(connection)
        .await
        .map_err(Error::from)?;
    Ok(lost.into_iter().map(TriggerId).collect())
}

/// All of them, to be looked at.
#[cfg(test)]
pub(super) fn plans() -> Vec<&'static str> {
    vec![
        MOVE_TRIGGERS,
        LAND_TRIGGERS,
        REPIN_TRIGGERS,
        NEW_TRIGGERS,
        GONE_TRIGGERS,
        MOVED_WATCHERS,
        SEEN_KEYS,
        CALLBACKS,
        DEADLINES,
        GONE_DEADLINES,
        LOST,
    ]
}
