//! What a batch says to SQLite. The numbers are places of the arrays that [`super::super::encode`] makes.
//!
//! `jsonb_each` and not `json_each`: the latter renders each row as text, to be parsed again for its columns,
//! which makes a thousand rows take about twice as long.

pub(super) const NEW_RUNS: &str = "
INSERT INTO dag_run (key, dag_id, run_id, team, run_type, state, hash, logical_date, interval_start,
                     interval_end, run_after, queued_at, started_at, ended_at, conf, definition,
                     clear_number, backfill, note, ends_as)
SELECT unhex(value ->> 0), value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5,
       unhex(value ->> 6), value ->> 7, value ->> 8, value ->> 9, value ->> 10, value ->> 11,
       value ->> 12, value ->> 13, value ->> 14, unhex(value ->> 15), value ->> 16,
       value ->> 17, value ->> 18, value ->> 19
FROM jsonb_each(?);
";

/// Materialised, because a column of `jsonb_each` is made anew each time it is looked at, and this one is
/// as long as the run.
pub(super) const NEW_TASKS: &str = "
WITH r AS MATERIALIZED (SELECT unhex(value ->> 0) AS key, jsonb_extract(value, '$[1]') AS tasks FROM jsonb_each(?))
INSERT INTO task_instance (run, task, map_index, task_id, pool, pool_slots, priority, state, try_number,
                           max_tries, token, queued_at, started_at, ended_at, next_try_at, note, failure,
                           first_started_at, downstream, deferred)
SELECT r.key, t.value ->> 0, t.value ->> 1, t.value ->> 2, t.value ->> 3, t.value ->> 4,
       t.value ->> 5, t.value ->> 6, t.value ->> 7, t.value ->> 8, t.value ->> 9, t.value ->> 10,
       t.value ->> 11, t.value ->> 12, t.value ->> 13, t.value ->> 14, t.value ->> 15,
       t.value ->> 16, t.value ->> 17, t.value ->> 18
FROM r CROSS JOIN jsonb_each(r.tasks) AS t;
";

/// Only a run's rows at these positions move, and first to where none is, so that no two meet on the way.
pub(super) const MOVE_TASKS: &str = "
UPDATE task_instance SET task = -1 - (n.value ->> 2) FROM jsonb_each(?) AS n
WHERE task_instance.run = unhex(n.value ->> 0) AND task_instance.task = n.value ->> 1;
";
pub(super) const MOVE_TRIES: &str = "
UPDATE task_try SET task = -1 - (n.value ->> 2) FROM jsonb_each(?) AS n
WHERE task_try.run = unhex(n.value ->> 0) AND task_try.task = n.value ->> 1;
";
pub(super) const MOVE_XCOMS: &str = "
UPDATE xcom SET task = -1 - (n.value ->> 2) FROM jsonb_each(?) AS n
WHERE xcom.run = unhex(n.value ->> 0) AND xcom.task = n.value ->> 1;
";
pub(super) const LAND_TASKS: &str = "
UPDATE task_instance SET task = -1 - task
WHERE task < 0 AND run IN (SELECT unhex(value ->> 0) FROM jsonb_each(?));
";
pub(super) const LAND_TRIES: &str = "
UPDATE task_try SET task = -1 - task
WHERE task < 0 AND run IN (SELECT unhex(value ->> 0) FROM jsonb_each(?));
";
pub(super) const LAND_XCOMS: &str = "
UPDATE xcom SET task = -1 - task
WHERE task < 0 AND run IN (SELECT unhex(value ->> 0) FROM jsonb_each(?));
";

pub(super) const REPIN: &str = "
UPDATE dag_run SET hash = n.hash, definition = n.definition
FROM (SELECT unhex(value ->> 0) AS key, unhex(value ->> 1) AS hash, unhex(value ->> 2) AS definition
      FROM jsonb_each(?)) AS n
WHERE dag_run.key = n.key;
";

/// Task instances of runs that are there, at places that are free.
pub(super) const ADDED_TASKS: &str = "
WITH r AS MATERIALIZED (SELECT unhex(value ->> 0) AS key, jsonb_extract(value, '$[1]') AS tasks FROM jsonb_each(?))
INSERT INTO task_instance (run, task, map_index, task_id, pool, pool_slots, priority, state, try_number,
                           max_tries, token, queued_at, started_at, ended_at, next_try_at, note, failure,
                           first_started_at, downstream, deferred)
SELECT r.key, t.value ->> 0, t.value ->> 1, t.value ->> 2, t.value ->> 3, t.value ->> 4,
       t.value ->> 5, t.value ->> 6, t.value ->> 7, t.value ->> 8, t.value ->> 9, t.value ->> 10,
       t.value ->> 11, t.value ->> 12, t.value ->> 13, t.value ->> 14, t.value ->> 15,
       t.value ->> 16, t.value ->> 17, t.value ->> 18
FROM r CROSS JOIN dag_run AS d ON d.key = r.key CROSS JOIN jsonb_each(r.tasks) AS t WHERE TRUE
ON CONFLICT (run, task, map_index) DO NOTHING;
";

/// The earliest time counts.
pub(super) const PINNED: &str = "
INSERT INTO pinned_definition (dag_id, definition, since)
SELECT d.dag_id, d.definition, d.logical_date FROM jsonb_each(?) AS n
CROSS JOIN dag_run AS d ON d.key = unhex(n.value ->> 0) WHERE d.logical_date IS NOT NULL
ON CONFLICT (dag_id, definition) DO UPDATE SET since = excluded.since WHERE excluded.since < since;
";

/// The outer key finds the row, the inner one looks at its token.
pub(super) const DROPPED: &str = "
DELETE FROM task_instance WHERE (run, task, map_index) IN
    (SELECT t.run, t.task, t.map_index FROM jsonb_each(?) AS n CROSS JOIN task_instance AS t
         ON t.run = unhex(n.value ->> 0) AND t.task = n.value ->> 1 AND t.map_index = n.value ->> 2
     WHERE t.token = n.value ->> 3);
";

pub(super) const PROGRESS: &str = "
INSERT INTO dag_progress (dag_id, interval_start, interval_end, run_after)
SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3 FROM jsonb_each(?) WHERE TRUE
ON CONFLICT (dag_id) DO UPDATE SET interval_start = excluded.interval_start,
    interval_end = excluded.interval_end, run_after = excluded.run_after;
";

pub(super) const FORGET_XCOMS: &str = "
DELETE FROM xcom WHERE (run, task, map_index) IN
    (SELECT unhex(value ->> 0), value ->> 1, value ->> 2 FROM jsonb_each(?));
";

pub(super) const PAST_TRIES: &str = "
INSERT INTO task_try (run, task, map_index, token, try_number, state, queued_at, started_at, ended_at,
                      note, failure)
SELECT t.run, t.task, t.map_index, t.token, t.try_number, iif(t.state = 'up_for_retry', 'failed', t.state),
       t.queued_at, t.started_at, t.ended_at, t.note, t.failure
FROM jsonb_each(?) AS n CROSS JOIN task_instance AS t
    ON t.run = unhex(n.value ->> 0) AND t.task = n.value ->> 1 AND t.map_index = n.value ->> 2
WHERE t.state IN ('success', 'failed', 'skipped', 'up_for_retry') AND t.token > 0 AND t.ended_at IS NOT NULL
ON CONFLICT (run, task, map_index, token) DO NOTHING;
";

pub(super) const TASKS: &str = "
UPDATE task_instance SET state = n.state, try_number = n.try_number, max_tries = n.max_tries,
    token = n.token, queued_at = n.queued_at, started_at = n.started_at, ended_at = n.ended_at,
    next_try_at = n.next_try_at, note = n.note, failure = n.failure,
    first_started_at = n.first_started_at, downstream = n.downstream, deferred = n.deferred
FROM (SELECT unhex(value ->> 0) AS run, value ->> 1 AS task, value ->> 2 AS map_index,
             value ->> 3 AS expected, value ->> 4 AS state, value ->> 5 AS try_number,
             value ->> 6 AS max_tries, value ->> 7 AS token, value ->> 8 AS queued_at,
             value ->> 9 AS started_at, value ->> 10 AS ended_at, value ->> 11 AS next_try_at,
             value ->> 12 AS note, value ->> 13 AS failure,
             value ->> 14 AS first_started_at, value ->> 15 AS downstream,
             value ->> 16 AS deferred FROM jsonb_each(?)) AS n
WHERE task_instance.run = n.run AND task_instance.task = n.task
    AND task_instance.map_index = n.map_index AND task_instance.token = n.expected;
";

pub(super) const XCOMS: &str = "
INSERT INTO xcom (run, task, map_index, name, value, spilled, at, length)
SELECT unhex(value ->> 0), value ->> 1, value ->> 2, value ->> 3, value ->> 4, unhex(value ->> 5),
       value ->> 6, value ->> 7
FROM jsonb_each(?) WHERE TRUE
ON CONFLICT (run, task, map_index, name) DO UPDATE SET value = excluded.value,
    spilled = excluded.spilled, at = excluded.at, length = excluded.length;
";

pub(super) const RUNS: &str = "
UPDATE dag_run SET state = n.state, started_at = n.started_at, ended_at = n.ended_at,
    queued_at = COALESCE(n.queued_at, dag_run.queued_at), clear_number = n.clear_number, backfill = n.backfill,
    run_type = n.run_type, ends_as = n.ends_as
FROM (SELECT unhex(value ->> 0) AS key, value ->> 1 AS state, value ->> 2 AS started_at,
             value ->> 3 AS ended_at, value ->> 4 AS queued_at, value ->> 5 AS clear_number,
             value ->> 6 AS backfill, value ->> 7 AS run_type, value ->> 8 AS ends_as FROM jsonb_each(?)) AS n
WHERE dag_run.key = n.key;
";

pub(super) const NEW_BACKFILLS: &str = "
INSERT INTO backfill (id, dag_id, team, from_date, to_date, reprocess, reverse, max_active_runs, conf,
                      is_paused, created_at, completed_at)
SELECT value ->> 0, value ->> 1, value ->> 2, value ->> '$[3][0]', value ->> '$[3][1]', value ->> 4,
       value ->> 5, value ->> 6, value ->> 7, value ->> 8, value ->> 9, value ->> 10
FROM jsonb_each(?);
";

pub(super) const BACKFILL_RUNS: &str = "
INSERT INTO backfill_run (backfill, ordinal, logical_date, interval_start, interval_end, run, skipped)
SELECT value ->> 0, value ->> 1, value ->> 2, value ->> '$[3][0]', value ->> '$[3][1]', unhex(value ->> 4),
       value ->> 5
FROM jsonb_each(?);
";

pub(super) const BACKFILLS: &str = "
UPDATE backfill SET is_paused = n.is_paused, completed_at = n.completed_at
FROM (SELECT value ->> 0 AS id, value ->> 1 AS is_paused, value ->> 2 AS completed_at
      FROM jsonb_each(?)) AS n
WHERE backfill.id = n.id;
";

pub(super) const ASSETS: &str = "
INSERT INTO asset (team, name, uri, asset_group, extra)
SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4 FROM jsonb_each(?) WHERE TRUE
ON CONFLICT (team, name) DO NOTHING;
";

pub(super) const ASSET_EVENTS: &str = "
INSERT INTO asset_event (id, team, name, at, extra, source, told_by, dag_id, run_id, task_id, map_index,
                         aliases)
SELECT unhex(value ->> 0), value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6,
       value ->> '$[7][0]', value ->> '$[7][1]', value ->> '$[7][2]', value ->> '$[7][3]', value -> 8
FROM jsonb_each(?);
";

pub(super) const RESOLUTIONS: &str = "
INSERT INTO alias_asset (team, pair, alias, name)
SELECT value ->> 0, unhex(value ->> 1), value ->> 2, value ->> 3 FROM jsonb_each(?) WHERE TRUE
ON CONFLICT (team, pair) DO NOTHING;
";

pub(super) const QUEUED: &str = "
INSERT INTO asset_queue (dag_id, team, name, queued_at)
SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3 FROM jsonb_each(?) WHERE TRUE
ON CONFLICT (dag_id, team, name) DO UPDATE SET queued_at = excluded.queued_at;
";

pub(super) const UNQUEUED: &str = "
DELETE FROM asset_queue WHERE (dag_id, team, name) IN
    (SELECT value ->> 0, value ->> 1, value ->> 2 FROM jsonb_each(?));
";

pub(super) const CONSUMED: &str = "
INSERT INTO run_asset_event (run, event)
SELECT unhex(n.value ->> 0), unhex(e.value) FROM jsonb_each(?) AS n
CROSS JOIN jsonb_each(n.value, '$[1]') AS e WHERE TRUE
ON CONFLICT (run, event) DO NOTHING;
";

/// Fails unless the statement before it changed this many rows.
pub(super) const FENCE: &str = "INSERT INTO fence (broken) SELECT 'count' WHERE changes() <> ?;";

pub(super) const COLLISIONS: &str = "
SELECT unhex(n.value ->> 0) FROM jsonb_each(?) AS n CROSS JOIN dag_run AS r
WHERE r.key = unhex(n.value ->> 0)
    OR (r.dag_id = n.value ->> 1 AND r.run_id = n.value ->> 2)
    OR (r.dag_id = n.value ->> 1 AND r.logical_date = n.value ->> 7)";

/// Places of the array: what is there and should not be, or is not and should.
pub(super) const FENCED: &str = "
SELECT n.key FROM jsonb_each(?) AS n
WHERE (n.value ->> 3 IS NULL) = EXISTS (SELECT 1 FROM task_instance AS t
    WHERE t.run = unhex(n.value ->> 0) AND t.task = n.value ->> 1 AND t.map_index = n.value ->> 2
        AND (n.value ->> 3 IS NULL OR t.token = n.value ->> 3))";

/// New backfills that meet others, but for those that the batch itself completes (the second array).
pub(super) const BACKFILL_COLLISIONS: &str = "
SELECT n.value ->> 0 FROM jsonb_each(?1) AS n
WHERE EXISTS (SELECT 1 FROM backfill AS b WHERE b.id = n.value ->> 0)
    OR (n.value ->> 10 IS NULL AND EXISTS (SELECT 1 FROM backfill AS b
        WHERE b.dag_id = n.value ->> 1 AND b.completed_at IS NULL
            AND b.id NOT IN (SELECT value ->> 0 FROM jsonb_each(?2) WHERE value ->> 2 IS NOT NULL)))";

/// All of them, to be looked at: none may scan anything but its parameters.
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
        NEW_BACKFILLS,
        BACKFILL_RUNS,
        BACKFILLS,
        ASSETS,
        ASSET_EVENTS,
        RESOLUTIONS,
        QUEUED,
        UNQUEUED,
        CONSUMED,
        FENCE,
        COLLISIONS,
        FENCED,
        BACKFILL_COLLISIONS,
    ]
}
