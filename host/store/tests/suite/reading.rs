//! What a restart and people read.

use airlock_model::{
    id::RunId,
    port::*,
    state::{RunState, RunType, TaskState},
};

use crate::{fixture::*, on_both};

on_both! {
    a_restart_finds_what_is_unfinished_and_nothing_else,
    a_run_is_found_by_its_names_and_its_date,
    runs_are_listed_by_filter_and_page,
    runs_are_counted_by_state,
    a_note_stays_with_its_run_whatever_becomes_of_it,
}

async fn a_restart_finds_what_is_unfinished_and_nothing_else(fresh: Fresh) {
    let store = &fresh.store;
    let runs: Vec<NewRun> = (0..4).map(|i| new_run("weather", i, 3)).collect();
    store.commit(&creating(&runs)).await.unwrap();
    let end = |run: &NewRun, state| RunChange {
        key: run.run.key,
        state,
        started_at: Some(at(1)),
        ended_at: Some(at(2)),
        queued_at: None,
        ends_as: None,
        clear_number: 0,
        backfill: None,
        run_type: RunType::Scheduled,
    };
    let batch = Batch {
        tasks: vec![
            moved(&runs[2], 0, |fields| {
                fields.state = Some(TaskState::Success)
            }),
            claimed(&runs[2], 1),
        ],
        runs: vec![
            end(&runs[0], RunState::Success),
            end(&runs[1], RunState::Failed),
            RunChange {
                key: runs[2].run.key,
                state: RunState::Running,
                started_at: Some(at(1)),
                ended_at: None,
                queued_at: None,
                ends_as: None,
                clear_number: 0,
                backfill: None,
                run_type: RunType::Scheduled,
            },
        ],
        ..Batch::default()
    };
    store.commit(&batch).await.unwrap();
    let found = fresh.another().await.unfinished().await.unwrap();
    let keys: Vec<_> = found.iter().map(|run| run.run.key).collect();
    assert_eq!(keys, [runs[2].run.key, runs[3].run.key], "oldest first");
    assert_eq!(found[0].run.state, RunState::Running);
    let states: Vec<_> = found[0]
        .tasks
        .iter()
        .map(|task| task.fields.state)
        .collect();
    assert_eq!(
        states,
        [Some(TaskState::Success), Some(TaskState::Queued), None]
    );
    assert_eq!(found[1].tasks, runs[3].tasks);
}

async fn a_run_is_found_by_its_names_and_its_date(fresh: Fresh) {
    let store = &fresh.store;
    let (run, other) = (new_run("weather", 1, 1), new_run("other", 1, 1));
    store
        .commit(&creating(&[run.clone(), other]))
        .await
        .unwrap();
    let weather = dag_id("weather");
    let found = store.run(&weather, &run.run.run_id).await.unwrap();
    assert_eq!(found.as_ref(), Some(&run.run));
    assert_eq!(
        store
            .run_at(&weather, at(1_000_000))
            .await
            .unwrap()
            .as_ref(),
        Some(&run.run)
    );
    assert_eq!(store.run_at(&weather, at(2_000_000)).await.unwrap(), None);
    assert_eq!(
        store
            .run(&weather, &RunId::new("manual__1").unwrap())
            .await
            .unwrap(),
        None
    );
}

async fn runs_are_listed_by_filter_and_page(fresh: Fresh) {
    let store = &fresh.store;
    let mut runs: Vec<NewRun> = (0..10).map(|i| new_run("weather", i, 0)).collect();
    runs.extend((0..3).map(|i| {
        let mut run = new_run("ledger", i, 0);
        run.run.team = team("payments");
        run.run.state = RunState::Running;
        run
    }));
    store.commit(&creating(&runs)).await.unwrap();
    let list = async |filter: RunFilter, offset, limit| {
        let found = store.runs(&filter, Page { offset, limit }).await.unwrap();
        let names: Vec<_> = found
            .items
            .iter()
            .map(|run| format!("{}/{}", run.dag_id, run.run_id))
            .collect();
        (names, found.total)
    };
    let weather = RunFilter {
        dag_id: Some(dag_id("weather")),
        ..RunFilter::default()
    };
    let (names, total) = list(weather.clone(), 8, 5).await;
    assert_eq!(
        (names, total),
        (
            vec!["weather/scheduled__8".into(), "weather/scheduled__9".into()],
            10
        )
    );
    let (names, _) = list(
        RunFilter {
            newest_first: true,
            ..weather.clone()
        },
        0,
        1,
    )
    .await;
    assert_eq!(names, ["weather/scheduled__9"]);
    let payments = RunFilter {
        team: Some(team("payments")),
        ..RunFilter::default()
    };
    assert_eq!(list(payments, 0, 1).await.1, 3);
    let both = RunFilter {
        team: Some(team("payments")),
        ..weather.clone()
    };
    assert_eq!(list(both, 0, 10).await, (vec![], 0));
    let states = RunFilter {
        states: vec![RunState::Running, RunState::Failed],
        ..RunFilter::default()
    };
    assert_eq!(list(states.clone(), 0, 10).await.1, 3);
    assert_eq!(
        list(
            RunFilter {
                states: states.states,
                ..weather
            },
            0,
            10
        )
        .await
        .1,
        0
    );
    assert_eq!(list(RunFilter::default(), 0, 0).await, (vec![], 13));
}

async fn runs_are_counted_by_state(fresh: Fresh) {
    let store = &fresh.store;
    let mut runs: Vec<NewRun> = (0..5).map(|i| new_run("weather", i, 0)).collect();
    runs[0].run.state = RunState::Success;
    runs.push(new_run("ledger", 1, 0));
    store.commit(&creating(&runs)).await.unwrap();
    assert_eq!(
        store.run_counts().await.unwrap(),
        [
            (dag_id("ledger"), RunState::Queued, 1),
            (dag_id("weather"), RunState::Queued, 4),
            (dag_id("weather"), RunState::Success, 1),
        ]
    );
}

async fn a_note_stays_with_its_run_whatever_becomes_of_it(fresh: Fresh) {
    let store = &fresh.store;
    let mut run = new_run("weather", 1, 1);
    run.run.note = Some("for the auditors".into());
    store
        .commit(&creating(std::slice::from_ref(&run)))
        .await
        .unwrap();
    let found = async || {
        store
            .run(&run.run.dag_id, &run.run.run_id)
            .await
            .unwrap()
            .unwrap()
    };
    assert_eq!(found().await.note.as_deref(), Some("for the auditors"));
    store
        .set_note(run.run.key, Some("looked at\0"))
        .await
        .unwrap();
    let ended = RunChange {
        key: run.run.key,
        state: RunState::Success,
        started_at: Some(at(1)),
        ended_at: Some(at(2)),
        queued_at: None,
        ends_as: None,
        clear_number: 0,
        backfill: None,
        run_type: RunType::Backfill,
    };
    let batch = Batch {
        runs: vec![ended],
        ..Batch::default()
    };
    store.commit(&batch).await.unwrap();
    let row = found().await;
    assert!(row.note.is_some_and(|note| note.starts_with("looked at")));
    assert_eq!(row.run_type, RunType::Backfill, "a backfill took it over");
    store.set_note(run.run.key, None).await.unwrap();
    assert_eq!(found().await.note, None);
    let stranger = new_run("weather", 2, 1).run.key;
    let refused = store.set_note(stranger, None).await;
    assert!(
        matches!(refused, Err(StoreError::NotFound(_))),
        "{refused:?}"
    );
}
