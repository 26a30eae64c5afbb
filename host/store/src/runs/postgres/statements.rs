//! What a batch says to PostgreSQL. The numbers are places of the arrays that [`super::super::encode`] makes.

pub(super) const NEW_RUNS: &str = "
WITH made AS (
INSERT INTO dag_run (key, dag_id, run_id, team, run_type, state, hash, logical_date, interval_start,
                     interval_end, run_after, queued_at, started_at, ended_at, conf, definition,
                     clear_number, backfill, note, ends_as)
SELECT (value ->> 0)::uuid, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5,
       decode(value ->> 6, 'hex'), (value ->> 7)::bigint, (value ->> 8)::bigint, (value ->> 9)::bigint,
       (value ->> 10)::bigint, (value ->> 11)::bigint, (value ->> 12)::bigint, (value ->> 13)::bigint,
       value ->> 14, decode(value ->> 15, 'hex'), (value ->> 16)::bigint, (value ->> 17)::bigint,
       value ->> 18, value ->> 19
FROM jsonb_array_elements($1::text::jsonb) AS n(value)
ON CONFLICT DO NOTHING RETURNING key)
SELECT COALESCE(array_agg(key), '{}'), pg_current_xact_id()::text FROM made";

pub(super) const NEW_TASKS: &str = "
INSERT INTO task_instance (run, task, map_index, task_id, pool, pool_slots, priority, state, try_number,
                           max_tries, token, queued_at, started_at, ended_at, next_try_at, note, failure,
                           first_started_at, downstream, deferred)
SELECT (r.value ->> 0)::uuid, (t.value ->> 0)::int, (t.value ->> 1)::int, t.value ->> 2, t.value ->> 3,
       (t.value ->> 4)::bigint, (t.value ->> 5)::bigint, t.value ->> 6, (t.value ->> 7)::bigint,
       (t.value ->> 8)::bigint, (t.value ->> 9)::bigint, (t.value ->> 10)::bigint,
       (t.value ->> 11)::bigint, (t.value ->> 12)::bigint, (t.value ->> 13)::bigint, t.value ->> 14,
       t.value ->> 15, (t.value ->> 16)::bigint, t.value ->> 17, t.value ->> 18
FROM jsonb_array_elements($1::text::jsonb) AS r(value),
     jsonb_array_elements(r.value -> 1) AS t(value)";

/// Only a run's rows at these positions move, and first to where none is, so that no two meet on the way.
pub(super) const MOVE_TASKS: &str = "
UPDATE task_instance AS t SET task = -1 - (n.value ->> 2)::int FROM jsonb_array_elements($1::text::jsonb) AS n(value)
WHERE t.run = (n.value ->> 0)::uuid AND t.task = (n.value ->> 1)::int";
pub(super) const MOVE_TRIES: &str = "
UPDATE task_try AS t SET task = -1 - (n.value ->> 2)::int FROM jsonb_array_elements($1::text::jsonb) AS n(value)
WHERE t.run = (n.value ->> 0)::uuid AND t.task = (n.value ->> 1)::int";
pub(super) const MOVE_XCOMS: &str = "
UPDATE xcom AS t SET task = -1 - (n.value ->> 2)::int FROM jsonb_array_elements($1::text::jsonb) AS n(value)
WHERE t.run = (n.value ->> 0)::uuid AND t.task = (n.value ->> 1)::int";
pub(super) const LAND_TASKS: &str = "
UPDATE task_instance AS t SET task = -1 - task FROM jsonb_array_elements($1::text::jsonb) AS n(value)
WHERE t.run = (n.value ->> 0)::uuid AND t.task < 0";
pub(super) const LAND_TRIES: &str = "
UPDATE task_try AS t SET task = -1 - task FROM jsonb_array_elements($1::text::jsonb) AS n(value)
WHERE t.run = (n.value ->> 0)::uuid AND t.task < 0";
pub(super) const LAND_XCOMS: &str = "
UPDATE xcom AS t SET task = -1 - task FROM jsonb_array_elements($1::text::jsonb) AS n(value)
WHERE t.run = (n.value ->> 0)::uuid AND t.task < 0";

pub(super) const REPIN: &str = "
UPDATE dag_run AS r SET hash = decode(value ->> 1, 'hex'), definition = decode(value ->> 2, 'hex')
FROM jsonb_array_elements($1::text::jsonb) AS n(value) WHERE r.key = (value ->> 0)::uuid";

/// Task instances of runs that are there, at places that are free.
pub(super) const ADDED_TASKS: &str = "
INSERT INTO task_instance (run, task, map_index, task_id, pool, pool_slots, priority, state, try_number,
                           max_tries, token, queued_at, started_at, ended_at, next_try_at, note, failure,
                           first_started_at, downstream, deferred)
SELECT d.key, (t.value ->> 0)::int, (t.value ->> 1)::int, t.value ->> 2, t.value ->> 3,
       (t.value ->> 4)::bigint, (t.value ->> 5)::bigint, t.value ->> 6, (t.value ->> 7)::bigint,
       (t.value ->> 8)::bigint, (t.value ->> 9)::bigint, (t.value ->> 10)::bigint,
       (t.value ->> 11)::bigint, (t.value ->> 12)::bigint, (t.value ->> 13)::bigint, t.value ->> 14,
       t.value ->> 15, (t.value ->> 16)::bigint, t.value ->> 17, t.value ->> 18
FROM jsonb_array_elements($1::text::jsonb) AS r(value)
JOIN dag_run AS d ON d.key = (r.value ->> 0)::uuid
CROSS JOIN LATERAL jsonb_array_elements(r.value -> 1) AS t(value)
ON CONFLICT (run, task, map_index) DO NOTHING";

/// The earliest time counts.
pub(super) const PINNED: &str = "
INSERT INTO pinned_definition AS p (dag_id, definition, since)
SELECT d.dag_id, d.definition, MIN(d.logical_date) FROM jsonb_array_elements($1::text::jsonb) AS n(value)
JOIN dag_run AS d ON d.key = (value ->> 0)::uuid WHERE d.logical_date IS NOT NULL
GROUP BY d.dag_id, d.definition
ON CONFLICT (dag_id, definition) DO UPDATE SET since = excluded.since WHERE excluded.since < p.since";

pub(super) const DROPPED: &str = "
DELETE FROM task_instance USING jsonb_array_elements($1::text::jsonb) AS n(value)
WHERE run = (n.value ->> 0)::uuid AND task = (n.value ->> 1)::int AND map_index = (n.value ->> 2)::int
    AND token = (n.value ->> 3)::bigint";

pub(super) const PROGRESS: &str = "
INSERT INTO dag_progress (dag_id, interval_start, interval_end, run_after)
SELECT value ->> 0, (value ->> 1)::bigint, (value ->> 2)::bigint, (value ->> 3)::bigint
FROM jsonb_array_elements($1::text::jsonb) AS n(value)
ON CONFLICT (dag_id) DO UPDATE SET interval_start = excluded.interval_start,
    interval_end = excluded.interval_end, run_after = excluded.run_after";

pub(super) const FORGET_XCOMS: &str = "
DELETE FROM xcom USING jsonb_array_elements($1::text::jsonb) AS n(value)
WHERE run = (n.value ->> 0)::uuid AND task = (n.value ->> 1)::int AND map_index = (n.value ->> 2)::int";

pub(super) const PAST_TRIES: &str = "
INSERT INTO task_try (run, task, map_index, token, try_number, state, queued_at, started_at, ended_at,
                      note, failure)
SELECT t.run, t.task, t.map_index, t.token, t.try_number,
       CASE t.state WHEN 'up_for_retry' THEN 'failed' ELSE t.state END,
       t.queued_at, t.started_at, t.ended_at, t.note, t.failure
FROM jsonb_array_elements($1::text::jsonb) AS n(value) JOIN task_instance AS t
    ON t.run = (value ->> 0)::uuid AND t.task = (value ->> 1)::int AND t.map_index = (value ->> 2)::int
WHERE t.state IN ('success', 'failed', 'skipped', 'up_for_retry') AND t.token > 0 AND t.ended_at IS NOT NULL
ON CONFLICT (run, task, map_index, token) DO NOTHING";

pub(super) const TASKS: &str = "
WITH moved AS (
UPDATE task_instance AS t SET state = value ->> 4, try_number = (value ->> 5)::bigint,
    max_tries = (value ->> 6)::bigint, token = (value ->> 7)::bigint, queued_at = (value ->> 8)::bigint,
    started_at = (value ->> 9)::bigint, ended_at = (value ->> 10)::bigint,
    next_try_at = (value ->> 11)::bigint, note = value ->> 12, failure = value ->> 13,
    first_started_at = (value ->> 14)::bigint, downstream = value ->> 15, deferred = value ->> 16
FROM jsonb_array_elements($1::text::jsonb) AS n(value)
WHERE t.run = (value ->> 0)::uuid AND t.task = (value ->> 1)::int AND t.map_index = (value ->> 2)::int
    AND t.token = (value ->> 3)::bigint
RETURNING 1)
SELECT COUNT(*), pg_current_xact_id()::text FROM moved";

pub(super) const XCOMS: &str = "
INSERT INTO xcom (run, task, map_index, name, value, spilled, at, length)
SELECT (value ->> 0)::uuid, (value ->> 1)::int, (value ->> 2)::int, value ->> 3, value ->> 4,
       decode(value ->> 5, 'hex'), (value ->> 6)::bigint, (value ->> 7)::bigint
FROM jsonb_array_elements($1::text::jsonb) AS n(value)
ON CONFLICT (run, task, map_index, name) DO UPDATE SET value = excluded.value,
    spilled = excluded.spilled, at = excluded.at, length = excluded.length";

pub(super) const RUNS: &str = "
UPDATE dag_run AS r SET state = value ->> 1, started_at = (value ->> 2)::bigint,
    ended_at = (value ->> 3)::bigint, queued_at = COALESCE((value ->> 4)::bigint, queued_at),
    clear_number = (value ->> 5)::bigint, backfill = (value ->> 6)::bigint, run_type = value ->> 7,
    ends_as = value ->> 8
FROM jsonb_array_elements($1::text::jsonb) AS n(value) WHERE r.key = (value ->> 0)::uuid";

/// Places of the array: what is there and should not be, or is not and should.
pub(super) const FENCED: &str = "
SELECT n.place - 1 FROM jsonb_array_elements($1::text::jsonb) WITH ORDINALITY AS n(value, place)
WHERE (n.value ->> 3 IS NULL) = EXISTS (SELECT 1 FROM task_instance AS t
    WHERE t.run = (n.value ->> 0)::uuid AND t.task = (n.value ->> 1)::int
        AND t.map_index = (n.value ->> 2)::int
        AND (n.value ->> 3 IS NULL OR t.token = (n.value ->> 3)::bigint))";

pub(super) const NEW_BACKFILLS: &str = "
WITH made AS (
INSERT INTO backfill (id, dag_id, team, from_date, to_date, reprocess, reverse, max_active_runs, conf,
                      is_paused, created_at, completed_at)
SELECT (value ->> 0)::bigint, value ->> 1, value ->> 2, (value -> 3 ->> 0)::bigint,
       (value -> 3 ->> 1)::bigint, value ->> 4, (value ->> 5)::boolean, (value ->> 6)::bigint, value ->> 7,
       (value ->> 8)::boolean, (value ->> 9)::bigint, (value ->> 10)::bigint
FROM jsonb_array_elements($1::text::jsonb) AS n(value)
ON CONFLICT DO NOTHING RETURNING id)
SELECT COALESCE(array_agg(id), '{}') FROM made";

pub(super) const BACKFILL_RUNS: &str = "
INSERT INTO backfill_run (backfill, ordinal, logical_date, interval_start, interval_end, run, skipped)
SELECT (value ->> 0)::bigint, (value ->> 1)::bigint, (value ->> 2)::bigint, (value -> 3 ->> 0)::bigint,
       (value -> 3 ->> 1)::bigint, (value ->> 4)::uuid, value ->> 5
FROM jsonb_array_elements($1::text::jsonb) AS n(value)";

pub(super) const BACKFILLS: &str = "
UPDATE backfill AS b SET is_paused = (value ->> 1)::boolean, completed_at = (value ->> 2)::bigint
FROM jsonb_array_elements($1::text::jsonb) AS n(value) WHERE b.id = (value ->> 0)::bigint";

pub(super) const ASSETS: &str = "
INSERT INTO asset (team, name, uri, asset_group, extra)
SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4
FROM jsonb_array_elements($1::text::jsonb) AS n(value)
ON CONFLICT (team, name) DO NOTHING";

pub(super) const ASSET_EVENTS: &str = "
INSERT INTO asset_event (id, team, name, at, extra, source, told_by, dag_id, run_id, task_id, map_index,
                         aliases)
SELECT (value ->> 0)::uuid, value ->> 1, value ->> 2, (value ->> 3)::bigint, value ->> 4, value ->> 5,
       value ->> 6, value -> 7 ->> 0, value -> 7 ->> 1, value -> 7 ->> 2, (value -> 7 ->> 3)::int,
       value ->> 8
FROM jsonb_array_elements($1::text::jsonb) AS n(value)";

pub(super) const RESOLUTIONS: &str = "
INSERT INTO alias_asset (team, pair, alias, name)
SELECT value ->> 0, decode(value ->> 1, 'hex'), value ->> 2, value ->> 3
FROM jsonb_array_elements($1::text::jsonb) AS n(value)
ON CONFLICT (team, pair) DO NOTHING";

pub(super) const QUEUED: &str = "
INSERT INTO asset_queue (dag_id, team, name, queued_at)
SELECT value ->> 0, value ->> 1, value ->> 2, (value ->> 3)::bigint
FROM jsonb_array_elements($1::text::jsonb) AS n(value)
ON CONFLICT (dag_id, team, name) DO UPDATE SET queued_at = excluded.queued_at";

pub(super) const UNQUEUED: &str = "
DELETE FROM asset_queue AS q USING jsonb_array_elements($1::text::jsonb) AS n(value)
WHERE q.dag_id = n.value ->> 0 AND q.team = n.value ->> 1 AND q.name = n.value ->> 2";

pub(super) const CONSUMED: &str = "
INSERT INTO run_asset_event (run, event)
SELECT (n.value ->> 0)::uuid, e.value::uuid FROM jsonb_array_elements($1::text::jsonb) AS n(value)
CROSS JOIN LATERAL jsonb_array_elements_text(n.value -> 1) AS e(value)
ON CONFLICT (run, event) DO NOTHING";

/// Names a transaction, so that it can be asked about later.
pub(super) const NAME: &str = "SELECT pg_current_xact_id()::text";

/// All of them, to be looked at.
#[cfg(test)]
pub(crate) fn plans() -> Vec<&'static str> {
    vec![
        NEW_RUNS,
        NEW_TASKS,
        MOVE_TASKS,
        MOVE_TRIES,
        MOVE_XCOMS,
        LAND_TASKS,
        LAND_TRIES,
        LAND_XCOMS,
        REPIN,
        ADDED_TASKS,
        PINNED,
        DROPPED,
        PROGRESS,
        FORGET_XCOMS,
        PAST_TRIES,
        TASKS,
        XCOMS,
        RUNS,
        FENCED,
        NEW_BACKFILLS,
        BACKFILL_RUNS,
        BACKFILLS,
        ASSETS,
        ASSET_EVENTS,
        RESOLUTIONS,
        QUEUED,
        UNQUEUED,
        CONSUMED,
        NAME,
    ]
}
