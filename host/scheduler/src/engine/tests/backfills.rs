//! Backfills: what becomes of runs that are there, and of one that comes second.

use std::collections::HashSet;

use airlock_model::{
    port::{Backfill, BackfillOrder, BackfillRun, NewBackfill},
    state::Reprocess,
};

use super::{super::backfill::BackfillRequest, *};

fn daily() -> DagSpec {
    DagSpec {
        schedule: Schedule::cron("@daily", None),
        ..spec("d", &["t"])
    }
}

fn backfill(
    engine: &mut Engine,
    existing: Vec<Loaded>,
    now: Timestamp,
) -> Heard<(Backfill, Vec<BackfillRun>)> {
    let (reply, heard) = oneshot::channel();
    let request = BackfillRequest {
        new: NewBackfill {
            dag_id: id("d"),
            from: at("2024-01-01"),
            to: at("2024-01-03"),
            reprocess: Reprocess::Completed,
            reverse: false,
            max_active_runs: 1,
            conf: serde_json::Map::new(),
            dry_run: false,
        },
        existing: existing.iter().map(|run| run.stored.run.clone()).collect(),
        loaded: existing,
    };
    engine.handle(Event::Backfill(Box::new(request), reply), now);
    heard
}

#[test]
fn a_run_that_a_backfill_runs_again_is_one_of_the_backfills() {
    let (mut engine, now) = (engine(), at("2024-02-01"));
    import(&mut engine, 1, vec![daily()], now);
    commit(&mut engine);
    let rows = [("t", -1, TaskState::Success)];
    let run = loaded(daily(), 1, RunState::Success, &rows);
    let key = run.stored.run.key;
    let mut heard = backfill(&mut engine, vec![run], now);
    let batch = commit(&mut engine);
    let (row, told) = heard.try_recv().unwrap().unwrap();
    assert_eq!(told.iter().filter(|line| line.run == Some(key)).count(), 1);
    let change = batch.runs.iter().find(|change| change.key == key).unwrap();
    assert_eq!(change.run_type, RunType::Backfill);
    assert_eq!(change.backfill, Some(row.id));
}

#[test]
fn of_two_backfills_that_race_the_second_is_refused_and_nothing_of_it_is_left() {
    let (mut engine, now) = (engine(), at("2024-02-01"));
    import(&mut engine, 1, vec![daily()], now);
    commit(&mut engine);
    let mut heard = backfill(&mut engine, vec![], now);
    let (mut batch, mut after) = engine.take_batch();
    // Another host has written one meanwhile.
    let ids: Vec<_> = batch.new_backfills.iter().map(|(new, _)| new.id).collect();
    assert!(
        heard.try_recv().is_err(),
        "nobody is told before it is written"
    );
    let runs = engine.refuse_backfills(&ids, &mut batch, &mut after);
    let runs: HashSet<RunKey> = runs.into_iter().collect();
    assert_eq!(runs.len(), 3);
    engine.evict(&runs, &mut batch, &mut after, now);
    assert!(batch.is_empty(), "{batch:?}");
    tell(&mut engine, after);
    let error = heard.try_recv().unwrap().unwrap_err().to_string();
    assert!(
        error.contains("AL-0706") && error.contains("one at a time"),
        "{error}"
    );
    assert_eq!(engine.active_runs(), 1, "the schedule's own run");
    assert!(commit(&mut engine).is_empty());
    let mut again = backfill(&mut engine, vec![], now);
    assert_eq!(
        commit(&mut engine).new_runs.len(),
        3,
        "when the other is over"
    );
    assert!(again.try_recv().unwrap().is_ok());
}

#[test]
fn a_backfill_begins_in_the_commit_that_completes_the_one_before_it_and_may_be_over_at_once() {
    let (mut engine, now) = (engine(), at("2024-02-01"));
    import(&mut engine, 1, vec![daily()], now);
    commit(&mut engine);
    let mut first = backfill(&mut engine, vec![], now);
    commit(&mut engine);
    let (first, _) = first.try_recv().unwrap().unwrap();
    let (reply, _heard) = oneshot::channel();
    let order = Event::OrderBackfill(first.id, BackfillOrder::Cancel, reply);
    engine.handle(order, now);
    // The first of the cancelled one's runs is still on its way, and ends.
    let mut runs = engine.runs.values();
    let run = runs.find(|run| run.row.backfill.is_some() && run.has_turn);
    let run = run.map(|run| run.row.key).unwrap();
    engine.end_by_hand(run, false, now);
    // All that the second would do is done already.
    let rows = [("t", -1, TaskState::Success)];
    let days = ["2024-01-01", "2024-01-02", "2024-01-03"];
    let there = (1_u8..).zip(days).map(|(key, day)| {
        let mut run = loaded(daily(), key, RunState::Running, &rows);
        run.stored.run.logical_date = Some(at(day));
        run
    });
    let _second = backfill(&mut engine, there.collect(), now);
    let batch = commit(&mut engine);
    let changes: Vec<_> = batch.backfills.iter().map(|change| change.id).collect();
    assert_eq!(changes, [first.id]);
    let (second, lines) = &batch.new_backfills[0];
    assert_eq!(second.completed_at, Some(now));
    assert!(lines.iter().all(|line| line.skipped.is_some()), "{lines:?}");
}
