//! What a batch says to PostgreSQL about triggers, callbacks and deadlines.

use airlock_model::{
    id::TriggerId,
    port::{Batch, StoreError},
};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::{Unwritten, counted, encode, execute, failed};
use crate::triggers::POLLED_POSTGRES;

/// A trigger moves with its task instance, whose position it names, and is of its run's version.
pub(super) const MOVE_TRIGGERS: &str = "
UPDATE trigger AS t SET task = -1 - (n.value ->> 2)::int FROM jsonb_array_elements($1::text::jsonb) AS n(value)
WHERE t.run = (n.value ->> 0)::uuid AND t.task = (n.value ->> 1)::int";
pub(super) const LAND_TRIGGERS: &str = "
UPDATE trigger AS t SET task = -1 - task FROM jsonb_array_elements($1::text::jsonb) AS n(value)
WHERE t.run = (n.value ->> 0)::uuid AND t.task < 0";
pub(super) const REPIN_TRIGGERS: &str = "
UPDATE trigger AS t SET hash = decode(value ->> 1, 'hex')
FROM jsonb_array_elements($1::text::jsonb) AS n(value) WHERE t.run = (value ->> 0)::uuid";

const NEW_TRIGGERS: &str = "
INSERT INTO trigger (id, team, dag_id, bundle, hash, kind, arguments, created_at, run, task, map_index,
                     task_token, run_id, task_id, asset, watcher, pair, state, next_poll_at, due_at, wakes_on,
                     polls, last_poll_at, cpu, failures, note)
SELECT (value ->> 0)::uuid, value -> 1 ->> 0, value -> 1 ->> 1, value -> 1 ->> 2, decode(value ->> 2, 'hex'),
       value -> 3 ->> 0, value -> 3 ->> 1, (value ->> 4)::bigint, (value -> 5 -> 0 ->> 0)::uuid,
       (value -> 5 -> 0 ->> 1)::int, (value -> 5 -> 0 ->> 2)::int, (value -> 5 ->> 1)::bigint,
       value -> 5 ->> 2, value -> 5 ->> 3, value -> 6 ->> 0, value -> 6 ->> 1, decode(value -> 6 ->> 2, 'hex'),
       value -> 7 ->> 0, (value -> 7 ->> 1)::bigint, (value -> 7 ->> 1)::bigint, value -> 7 ->> 2, (value -> 7 ->> 3)::bigint,
       (value -> 7 ->> 4)::bigint, (value -> 7 ->> 5)::bigint, (value -> 7 ->> 6)::bigint, value -> 7 ->> 7
FROM jsonb_array_elements($1::text::jsonb) AS n(value)
ON CONFLICT (team, pair) WHERE pair IS NOT NULL DO NOTHING";

const GONE_TRIGGERS: &str = "
DELETE FROM trigger AS t USING jsonb_array_elements($1::text::jsonb) AS n(value)
WHERE t.id = (n.value ->> 0)::uuid";

const MOVED_WATCHERS: &str = "
UPDATE trigger AS t SET dag_id = n.value ->> 1, bundle = n.value ->> 2, hash = decode(n.value ->> 3, 'hex')
FROM jsonb_array_elements($1::text::jsonb) AS n(value) WHERE t.id = (n.value ->> 0)::uuid";

const SEEN_KEYS: &str = "
INSERT INTO seen_key (team, pair, asset, at)
SELECT value ->> 0, decode(value ->> 1, 'hex'), value ->> 2, (value ->> 3)::bigint
FROM jsonb_array_elements($1::text::jsonb) AS n(value)
ON CONFLICT (team, pair) DO NOTHING";

/// Not of runs that somebody has deleted since they were noted; one that is being deleted is waited for.
const CALLBACKS: &str = "
INSERT INTO callback (id, created_at, priority_weight, kind, message, team, bundle, hash, entry, arguments,
                      run, dag_id, subject, state, tries, next_try_at, ended_at, note, ready, due_at)
SELECT (value -> 0 ->> 0)::uuid, (value -> 0 ->> 1)::bigint, (value -> 0 ->> 2)::bigint, value -> 0 ->> 3,
       value ->> 1, value -> 2 ->> 0, value -> 2 ->> 1, decode(value -> 2 ->> 2, 'hex'),
       value -> 3 ->> 0, value -> 3 ->> 1, (value -> 4 ->> 0)::uuid, value -> 4 ->> 1,
       value ->> 5, value -> 6 ->> 0, (value -> 6 ->> 1)::bigint, (value -> 6 ->> 2)::bigint,
       (value -> 6 ->> 3)::bigint, value ->> 7, (value ->> 8)::boolean, (value ->> 9)::bigint
FROM jsonb_array_elements($1::text::jsonb) AS n(value)
WHERE EXISTS (SELECT 1 FROM dag_run WHERE key = (value -> 4 ->> 0)::uuid FOR KEY SHARE)";

/// Not of runs that somebody has deleted since they were noted; one that is being deleted is waited for.
const DEADLINES: &str = "
INSERT INTO deadline (run, name_hash, name, team, dag_id, at, missed_at, request)
SELECT (value ->> 0)::uuid, decode(value ->> 1, 'hex'), value ->> 2, value -> 3 ->> 0, value -> 3 ->> 1,
       (value ->> 4)::bigint, (value ->> 5)::bigint, value ->> 6
FROM jsonb_array_elements($1::text::jsonb) AS n(value)
WHERE EXISTS (SELECT 1 FROM dag_run WHERE key = (value ->> 0)::uuid FOR KEY SHARE)
ON CONFLICT (run, name_hash) DO UPDATE SET team = excluded.team, dag_id = excluded.dag_id, at = excluded.at,
    missed_at = excluded.missed_at, request = excluded.request";

const GONE_DEADLINES: &str = "
DELETE FROM deadline AS d USING jsonb_array_elements($1::text::jsonb) AS n(value)
WHERE d.run = (n.value ->> 0)::uuid AND d.missed_at IS NULL";

/// Those of the array whose claim is not the newest.
const LOST: &str = "
SELECT (n.value ->> 0)::uuid FROM jsonb_array_elements($1::text::jsonb) AS n(value)
WHERE NOT EXISTS (SELECT 1 FROM trigger AS t WHERE t.id = (n.value ->> 0)::uuid
    AND t.host = (n.value ->> 1)::uuid AND t.lease_token = (n.value ->> 2)::bigint)";

/// What a batch says of triggers, callbacks and deadlines.
pub(super) async fn write(db: &mut PgConnection, batch: &Batch) -> Result<(), Unwritten> {
    if !batch.gone_triggers.is_empty() {
        execute(db, GONE_TRIGGERS, &encode::gone_triggers(batch)?).await?;
    }
    if !batch.new_triggers.is_empty() {
        execute(db, NEW_TRIGGERS, &encode::new_triggers(batch)?).await?;
    }
    if !batch.moved_watchers.is_empty() {
        execute(db, MOVED_WATCHERS, &encode::moved_watchers(batch)?).await?;
    }
    if !batch.watched.is_empty() {
        let watched = encode::watched(batch)?;
        counted(db, POLLED_POSTGRES, &watched, batch.watched.len()).await?;
    }
    if !batch.seen_keys.is_empty() {
        execute(db, SEEN_KEYS, &encode::seen_keys(batch)?).await?;
    }
    if !batch.callbacks.is_empty() {
        execute(db, CALLBACKS, &encode::callbacks(batch)?).await?;
    }
    if !batch.gone_deadlines.is_empty() {
        execute(db, GONE_DEADLINES, &encode::gone_deadlines(batch)?).await?;
    }
    if !batch.deadlines.is_empty() {
        execute(db, DEADLINES, &encode::deadlines(batch)?).await?;
    }
    Ok(())
}

/// Watchers of a batch whose claims are not the newest.
pub(super) async fn lost(pool: &PgPool, batch: &Batch) -> Result<Vec<TriggerId>, StoreError> {
    let lost: Vec<Uuid> = sqlx::query_scalar(LOST)
        .bind(encode::watched(batch)?.as_ref())
        .fetch_all(pool)
        .await
        .map_err(failed)?;
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
