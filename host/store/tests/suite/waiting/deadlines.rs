//! Deadlines of runs, and how long runs took.

use airlock_model::{port::*, state::RunState};

use super::*;
use crate::on_both;

on_both! {
    deadlines_that_are_ahead_are_there_after_a_restart,
    a_deadline_that_was_missed_stays_and_is_ahead_no_more,
    what_was_noted_of_a_run_that_is_deleted_meanwhile_is_not_written,
    deadlines_are_listed_the_earliest_first,
    how_long_runs_took_is_known_of_the_last_that_succeeded,
}

fn deadline(run: &NewRun, name: &str, due: i64) -> DeadlineRow {
    DeadlineRow {
        run: run.run.key,
        name: name.into(),
        at: at(due),
        missed_at: None,
        request: Arc::new(callback(run, 3, due)),
    }
}

async fn ahead(store: &Store) -> Vec<DeadlineRow> {
    let mut rows = store.deadlines_ahead().await.unwrap();
    rows.sort_by_key(|row| (row.at, row.name.clone()));
    rows
}

async fn deadlines_that_are_ahead_are_there_after_a_restart(fresh: Fresh) {
    let store = &fresh.store;
    let runs = [new_run("weather", 1, 1), new_run("weather", 2, 1)];
    let mut rows = vec![
        deadline(&runs[0], "by noon", 10),
        deadline(&runs[0], &"long ".repeat(2_000), 20),
        deadline(&runs[1], "by noon", 30),
    ];
    let batch = Batch {
        deadlines: rows.clone(),
        ..creating(&runs)
    };
    store.commit(&batch).await.unwrap();
    assert_eq!(ahead(&fresh.another().await).await, rows);
    // Counted anew, as when a run is cleared; of two of one name the last one counts. What is gone goes first, so
    // that a run which succeeds and is cleared in one moment has its new one.
    rows[0] = deadline(&runs[0], "by noon", 15);
    let again = Batch {
        deadlines: vec![deadline(&runs[0], "by noon", 12), rows[0].clone()],
        gone_deadlines: vec![runs[0].run.key, runs[1].run.key],
        ..Batch::default()
    };
    store.commit(&again).await.unwrap();
    assert_eq!(ahead(store).await, rows[..1]);
}

async fn a_deadline_that_was_missed_stays_and_is_ahead_no_more(fresh: Fresh) {
    let store = &fresh.store;
    let run = new_run("weather", 1, 1);
    let rows = [deadline(&run, "first", 10), deadline(&run, "second", 20)];
    let batch = Batch {
        deadlines: rows.to_vec(),
        ..creating(std::slice::from_ref(&run))
    };
    store.commit(&batch).await.unwrap();
    let missed = Batch {
        deadlines: vec![DeadlineRow {
            missed_at: Some(at(11)),
            ..rows[0].clone()
        }],
        callbacks: vec![rows[0].request.as_ref().clone()],
        ..Batch::default()
    };
    store.commit(&missed).await.unwrap();
    assert_eq!(ahead(store).await, rows[1..]);
    let met = Batch {
        gone_deadlines: vec![run.run.key],
        ..Batch::default()
    };
    store.commit(&met).await.unwrap();
    assert_eq!(ahead(store).await, []);
    assert_eq!(fresh.count("deadline").await, 1);
}

async fn what_was_noted_of_a_run_that_is_deleted_meanwhile_is_not_written(fresh: Fresh) {
    let store = &fresh.store;
    let mut runs = [new_run("weather", 1, 1), new_run("weather", 2, 1)];
    runs[0].run.state = RunState::Failed;
    store.commit(&creating(&runs)).await.unwrap();
    store.delete_run(runs[0].run.key).await.unwrap();
    let rows = [
        deadline(&runs[0], "by noon", 10),
        deadline(&runs[1], "by noon", 20),
    ];
    let late = Batch {
        deadlines: rows.to_vec(),
        callbacks: rows.iter().map(|row| (*row.request).clone()).collect(),
        ..Batch::default()
    };
    store.commit(&late).await.unwrap();
    assert_eq!(ahead(store).await, rows[1..]);
    assert_eq!(fresh.count("callback").await, 1);
}

async fn deadlines_are_listed_the_earliest_first(fresh: Fresh) {
    let store = &fresh.store;
    let mut runs = [new_run("weather", 1, 1), new_run("storm", 1, 1)];
    runs[1].run.team = team("north");
    let mut rows = [
        deadline(&runs[0], "late", 30),
        deadline(&runs[1], "first", 10),
        deadline(&runs[0], "second", 20),
        deadline(&runs[1], "last", 40),
    ];
    rows[1].missed_at = Some(at(11));
    rows[2].missed_at = Some(at(21));
    let batch = Batch {
        deadlines: rows.to_vec(),
        ..creating(&runs)
    };
    store.commit(&batch).await.unwrap();
    let list = async |of: Option<&str>, dag: Option<&str>, missed, page| {
        let filter = DeadlineFilter {
            team: of.map(team),
            dag_id: dag.map(dag_id),
            missed,
        };
        let found = store.deadlines(&filter, page).await.unwrap();
        let place = |row: DeadlineRow| rows.iter().position(|other| *other == row).unwrap();
        (
            found.items.into_iter().map(place).collect::<Vec<_>>(),
            found.total,
        )
    };
    let all = Page::ALL;
    assert_eq!(list(None, None, None, all).await, (vec![1, 2, 0, 3], 4));
    assert_eq!(list(Some("north"), None, None, all).await, (vec![1, 3], 2));
    assert_eq!(
        list(None, Some("weather"), None, all).await,
        (vec![2, 0], 2)
    );
    assert_eq!(list(None, None, Some(true), all).await, (vec![1, 2], 2));
    assert_eq!(
        list(Some("north"), None, Some(false), all).await,
        (vec![3], 1)
    );
    assert_eq!(
        list(Some("default"), Some("storm"), None, all).await,
        (vec![], 0)
    );
    let page = Page {
        offset: 1,
        limit: 2,
    };
    assert_eq!(list(None, None, None, page).await, (vec![2, 0], 4));
}

async fn how_long_runs_took_is_known_of_the_last_that_succeeded(fresh: Fresh) {
    let store = &fresh.store;
    let run = |dag: &str, number, state, queued, ended| {
        let mut run = new_run(dag, number, 0);
        run.run.state = state;
        run.run.queued_at = at(queued);
        run.run.ended_at = Some(at(ended));
        run
    };
    let runs = [
        run("weather", 5, RunState::Success, 0, 10),
        run("weather", 1, RunState::Success, 0, 40),
        run("weather", 2, RunState::Failed, 0, 41),
        run("weather", 3, RunState::Success, 20, 30),
        run("weather", 4, RunState::Success, 50, 49),
        run("other", 1, RunState::Success, 0, 99),
        new_run("weather", 9, 0),
    ];
    store.commit(&creating(&runs)).await.unwrap();
    let took = async |most| -> Vec<u128> {
        let all = store.durations(&dag_id("weather"), most).await.unwrap();
        all.iter().map(Duration::as_micros).collect()
    };
    assert_eq!(took(10).await, [0, 40, 10, 10]);
    assert_eq!(took(2).await, [0, 40]);
    assert!(took(0).await.is_empty());
}
