-- What the program of the first schema left of the history that the migration test tells.
INSERT INTO bundle_version (bundle, hash, team, version, created_at, active) VALUES
    ('weather', X'0101010101010101010101010101010101010101010101010101010101010101', 'default', '1.0.0', 70, TRUE);
INSERT INTO parse_result (hash, inputs, result) VALUES
    (X'0101010101010101010101010101010101010101010101010101010101010101', X'0303030303030303030303030303030303030303030303030303030303030303', '{"dags":[{"dag_id":"weather","description":"for people \u001b[31m","schedule":{"cron":{"lines":[{"expression":"@daily","timezone":null}],"interval":{"months":0,"time":{"secs":0,"nanos":0}},"run_immediately":"no"}},"start_date":0,"end_date":null,"catchup":true,"max_active_runs":null,"max_active_tasks":4,"dagrun_timeout":null,"tags":["wet"],"owners":[],"params":[],"fail_fast":false,"max_consecutive_failed_dag_runs":0,"assets":[{"name":"rain","uri":"s3://rain","group":"water","extra":"{\"owner\": \"ä\"}"}],"asset_condition":{"of":{"name":"rain"}},"groups":[],"tasks":[{"task_id":"observe","entry":"observe","arguments":[],"upstream":[],"trigger_rule":"all_success","retries":2,"retry_delay":{"secs":30,"nanos":0},"retry_exponential_backoff":0.0,"max_retry_delay":null,"execution_timeout":null,"pool":null,"pool_slots":1,"priority_weight":1,"group":null,"mapping":null,"role":"work","depends_on_past":false,"wait_for_downstream":false,"ignore_first_depends_on_past":true,"max_active_tis_per_dag":null,"max_active_tis_per_dagrun":null,"weight_rule":"downstream","inlets":[],"outlets":[],"doc":null,"location":null}],"location":null}],"errors":[]}');
INSERT INTO dag (dag_id, team, bundle, hash, definition, is_paused, is_stale, last_parsed) VALUES
    ('weather', 'default', 'weather', X'0101010101010101010101010101010101010101010101010101010101010101', X'e8d82201a867d5e4e9ed483915a750f6160a07f3ff5b3b20ff38fcba7901c147', TRUE, FALSE, 77);
INSERT INTO dag_definition (definition, spec) VALUES
    (X'e8d82201a867d5e4e9ed483915a750f6160a07f3ff5b3b20ff38fcba7901c147', '{"dag_id":"weather","description":"for people \u001b[31m","schedule":{"cron":{"lines":[{"expression":"@daily","timezone":null}],"interval":{"months":0,"time":{"secs":0,"nanos":0}},"run_immediately":"no"}},"start_date":0,"end_date":null,"catchup":true,"max_active_runs":null,"max_active_tasks":4,"dagrun_timeout":null,"tags":["wet"],"owners":[],"params":[],"fail_fast":false,"max_consecutive_failed_dag_runs":0,"assets":[{"name":"rain","uri":"s3://rain","group":"water","extra":"{\"owner\": \"ä\"}"}],"asset_condition":{"of":{"name":"rain"}},"groups":[],"tasks":[{"task_id":"observe","entry":"observe","arguments":[],"upstream":[],"trigger_rule":"all_success","retries":2,"retry_delay":{"secs":30,"nanos":0},"retry_exponential_backoff":0.0,"max_retry_delay":null,"execution_timeout":null,"pool":null,"pool_slots":1,"priority_weight":1,"group":null,"mapping":null,"role":"work","depends_on_past":false,"wait_for_downstream":false,"ignore_first_depends_on_past":true,"max_active_tis_per_dag":null,"max_active_tis_per_dagrun":null,"weight_rule":"downstream","inlets":[],"outlets":[],"doc":null,"location":null}],"location":null}');
INSERT INTO definition_task (definition, task_id) VALUES
    (X'e8d82201a867d5e4e9ed483915a750f6160a07f3ff5b3b20ff38fcba7901c147', 'observe');
INSERT INTO pinned_definition (dag_id, definition, since) VALUES
    ('weather', X'e8d82201a867d5e4e9ed483915a750f6160a07f3ff5b3b20ff38fcba7901c147', 1000000);
INSERT INTO dag_tag (dag_id, tag) VALUES
    ('weather', 'wet');
INSERT INTO dag_progress (dag_id, interval_start, interval_end, run_after) VALUES
    ('weather', 1, 2, 3);
INSERT INTO import_error (bundle, position, team, hash, dag_id, code, message, at) VALUES
    ('weather', 0, 'default', X'0101010101010101010101010101010101010101010101010101010101010101', 'storm', 'AL-0310', 'it has a cycle', 77);
INSERT INTO dag_run (key, dag_id, run_id, team, run_type, state, hash, definition, logical_date, interval_start, interval_end, run_after, queued_at, started_at, ended_at, conf, ends_as, clear_number, backfill, note) VALUES
    (X'01900000000070008000000000000001', 'weather', 'scheduled__1', 'default', 'backfill', 'success', X'0101010101010101010101010101010101010101010101010101010101010101', X'e8d82201a867d5e4e9ed483915a750f6160a07f3ff5b3b20ff38fcba7901c147', 1000000, 1000000, 2000000, 2000000, 5, 12, 90, '{"city": "☔ ''quoted''"}', NULL, 0, 1, 'first');
INSERT INTO dag_run (key, dag_id, run_id, team, run_type, state, hash, definition, logical_date, interval_start, interval_end, run_after, queued_at, started_at, ended_at, conf, ends_as, clear_number, backfill, note) VALUES
    (X'01900000000070008000000000000002', 'weather', 'scheduled__2', 'default', 'scheduled', 'running', X'0101010101010101010101010101010101010101010101010101010101010101', X'e8d82201a867d5e4e9ed483915a750f6160a07f3ff5b3b20ff38fcba7901c147', 2000000, 2000000, 3000000, 3000000, 5, 13, NULL, '{"city": "☔ ''quoted''"}', 'failed', 0, NULL, 'first');
INSERT INTO task_instance (run, task, map_index, task_id, pool, pool_slots, priority, state, try_number, max_tries, token, queued_at, started_at, ended_at, next_try_at, note, failure, first_started_at, downstream) VALUES
    (X'01900000000070008000000000000001', 0, -1, 'task_0', 'default_pool', 2, -7, 'success', 1, 3, 1, 10, 11, 20, NULL, NULL, NULL, 11, '{"follow":["task_1"]}');
INSERT INTO task_instance (run, task, map_index, task_id, pool, pool_slots, priority, state, try_number, max_tries, token, queued_at, started_at, ended_at, next_try_at, note, failure, first_started_at, downstream) VALUES
    (X'01900000000070008000000000000001', 1, -1, 'task_1', 'default_pool', 2, -7, 'success', 2, 3, 2, 10, 11, 20, NULL, NULL, NULL, 11, NULL);
INSERT INTO task_instance (run, task, map_index, task_id, pool, pool_slots, priority, state, try_number, max_tries, token, queued_at, started_at, ended_at, next_try_at, note, failure, first_started_at, downstream) VALUES
    (X'01900000000070008000000000000001', 2, -1, 'task_2', 'default_pool', 2, -7, 'failed', 1, 3, 1, 10, 11, 20, NULL, 'it took too much', 'limit.memory', 11, NULL);
INSERT INTO task_instance (run, task, map_index, task_id, pool, pool_slots, priority, state, try_number, max_tries, token, queued_at, started_at, ended_at, next_try_at, note, failure, first_started_at, downstream) VALUES
    (X'01900000000070008000000000000002', 0, -1, 'task_0', 'default_pool', 2, -7, 'up_for_reschedule', 1, 3, 1, 10, 11, 20, 500, NULL, NULL, 11, NULL);
INSERT INTO task_instance (run, task, map_index, task_id, pool, pool_slots, priority, state, try_number, max_tries, token, queued_at, started_at, ended_at, next_try_at, note, failure, first_started_at, downstream) VALUES
    (X'01900000000070008000000000000002', 1, -1, 'task_1', 'default_pool', 2, -7, NULL, 0, 3, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO task_instance (run, task, map_index, task_id, pool, pool_slots, priority, state, try_number, max_tries, token, queued_at, started_at, ended_at, next_try_at, note, failure, first_started_at, downstream) VALUES
    (X'01900000000070008000000000000002', 2, -1, 'task_2', 'default_pool', 2, -7, NULL, 0, 3, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO task_try (run, task, map_index, token, try_number, state, queued_at, started_at, ended_at, note, failure) VALUES
    (X'01900000000070008000000000000001', 1, -1, 1, 1, 'failed', 10, NULL, 15, 'no answer', 'error');
INSERT INTO xcom (run, task, map_index, name, value, spilled, length, at) VALUES
    (X'01900000000070008000000000000001', 0, -1, 'return_value', '[1, 2, 3]', NULL, 3, 20);
INSERT INTO xcom (run, task, map_index, name, value, spilled, length, at) VALUES
    (X'01900000000070008000000000000001', 1, -1, 'it''s', '{"a": "☔"}', NULL, NULL, 20);
INSERT INTO dropped_content (hash) VALUES
    (X'0909090909090909090909090909090909090909090909090909090909090909');
INSERT INTO backfill (id, dag_id, team, from_date, to_date, reprocess, reverse, max_active_runs, conf, is_paused, created_at, completed_at) VALUES
    (1, 'weather', 'default', 1, 9, 'completed', TRUE, 4, '{}', TRUE, 6, 91);
INSERT INTO backfill_run (backfill, ordinal, logical_date, interval_start, interval_end, run, skipped) VALUES
    (1, 1, 1, 1, 2, X'01900000000070008000000000000001', NULL);
INSERT INTO backfill_run (backfill, ordinal, logical_date, interval_start, interval_end, run, skipped) VALUES
    (1, 2, 2, 1, 2, NULL, 'it runs');
INSERT INTO asset (team, name, uri, asset_group, extra) VALUES
    ('default', 'rain', 's3://rain', 'water', '{"owner": "ä"}');
INSERT INTO alias_asset (team, pair, alias, name) VALUES
    ('default', X'2df6750c8ad8accda60d5fa0d940d1c7b6a6a49b059f48932325665e8349ab8f', 'any rain', 'rain');
INSERT INTO asset_use (dag_id, task_id, role, kind, reference, team, since) VALUES
    ('weather', '', 'declared', 'name', 'rain', 'default', 77);
INSERT INTO asset_use (dag_id, task_id, role, kind, reference, team, since) VALUES
    ('weather', '', 'schedule', 'name', 'rain', 'default', 77);
INSERT INTO asset_event (id, team, name, at, extra, source, told_by, dag_id, run_id, task_id, map_index, aliases) VALUES
    (X'01900000000070008000000000000065', 'default', 'rain', 30, '{"mm": 4}', 'task', NULL, 'weather', 'scheduled__1', 'task_0', 4, '["any rain"]');
INSERT INTO asset_event (id, team, name, at, extra, source, told_by, dag_id, run_id, task_id, map_index, aliases) VALUES
    (X'01900000000070008000000000000066', 'default', 'rain', 31, '{"mm": 4}', 'api', 'ada', NULL, NULL, NULL, NULL, '[]');
INSERT INTO asset_queue (dag_id, team, name, queued_at) VALUES
    ('weather', 'default', 'rain', 31);
INSERT INTO run_asset_event (run, event) VALUES
    (X'01900000000070008000000000000002', X'01900000000070008000000000000065');
INSERT INTO variable (team, name, sealed, description) VALUES
    ('', 'city', X'00ff01', NULL);
INSERT INTO connection (team, name, conn_type, description, host, port, login, db_schema, sealed) VALUES
    ('', 'bank', 'http', 'for people', 'db.example', 65535, NULL, NULL, X'07070707070707070707070707070707070707070707070707070707070707070707070707070707');
INSERT INTO pool (team, name, slots, description, include_deferred, configured) VALUES
    ('', 'narrow', 3, 'for people', TRUE, FALSE);
