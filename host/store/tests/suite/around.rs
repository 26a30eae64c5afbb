//! What came before a run and after it, and what happens to a run that goes.

use airlock_model::{
    dag::TaskSpec,
    id::{BackfillId, DefinitionHash, TaskId},
    port::*,
    state::{RunState, RunType},
};

use crate::{fixture::*, on_both};

on_both! {
    the_run_before_and_the_run_after_are_those_of_the_nearest_dates,
    the_last_ends_are_the_newest_ones_and_no_backfills,
    a_task_that_earlier_runs_had_is_known,
    runs_are_listed_by_time_kind_and_backfill,
    a_run_goes_with_all_that_hangs_on_it,
    a_run_that_has_not_ended_stays,
}

fn ended(dag: &str, number: i64, state: RunState) -> NewRun {
    let mut run = new_run(dag, number, 0);
    run.run.state = state;
    run
}

async fn the_run_before_and_the_run_after_are_those_of_the_nearest_dates(fresh: Fresh) {
    let store = &fresh.store;
    let mut runs: Vec<NewRun> = (1..6).map(|i| new_run("weather", i, 0)).collect();
    runs[2].run.run_type = RunType::Manual;
    runs[1].run.run_type = RunType::AssetTriggered;
    let mut undated = new_run("weather", 99, 0);
    undated.run.logical_date = None;
    runs.push(undated);
    runs.push(new_run("other", 4, 0));
    // Not in the order of their dates.
    runs.reverse();
    store.commit(&creating(&runs)).await.unwrap();
    let weather = dag_id("weather");
    let name = |run: Option<RunRow>| run.map(|run| run.run_id.to_string());
    let before = async |number: i64, scheduled_only| {
        let date = at(number * 1_000_000);
        name(
            store
                .previous(&weather, date, scheduled_only)
                .await
                .unwrap(),
        )
    };
    assert_eq!(before(4, false).await.as_deref(), Some("scheduled__3"));
    assert_eq!(before(4, true).await.as_deref(), Some("scheduled__1"));
    assert_eq!(before(5, true).await.as_deref(), Some("scheduled__4"));
    assert_eq!(before(1, false).await, None);
    let after = async |number: i64| {
        let date = at(number * 1_000_000);
        name(store.next_after(&weather, date).await.unwrap())
    };
    assert_eq!(after(2).await.as_deref(), Some("scheduled__3"));
    assert_eq!(after(5).await, None);
    assert_eq!(after(-5).await.as_deref(), Some("scheduled__1"));
}

async fn the_last_ends_are_the_newest_ones_and_no_backfills(fresh: Fresh) {
    use RunState::{Failed, Running, Success};
    let store = &fresh.store;
    let mut backfilled = ended("weather", 6, Failed);
    backfilled.run.run_type = RunType::Backfill;
    let mut taken_over = ended("weather", 7, Failed);
    taken_over.run.backfill = Some(BackfillId(1));
    // It stands for no time, and could start after run 4 and before run 5.
    let mut undated = ended("weather", 3, Success);
    undated.run.logical_date = None;
    undated.run.run_after = at(4_500_000);
    undated.run.run_id = airlock_model::id::RunId::new("asset_triggered__1").unwrap();
    let runs = [
        ended("weather", 5, Failed),
        taken_over,
        ended("weather", 4, Failed),
        undated,
        ended("weather", 1, Failed),
        backfilled,
        ended("weather", 8, Running),
        ended("other", 9, Success),
    ];
    store.commit(&creating(&runs)).await.unwrap();
    let last = |limit| store.last_states(&runs[0].run.dag_id, limit);
    assert_eq!(last(2).await.unwrap(), [Failed, Success]);
    assert_eq!(last(9).await.unwrap(), [Failed, Success, Failed, Failed]);
    assert_eq!(last(0).await.unwrap(), []);
}

async fn a_task_that_earlier_runs_had_is_known(fresh: Fresh) {
    let store = &fresh.store;
    let stored = |task: &str| {
        let mut spec = spec("weather");
        spec.tasks = vec![TaskSpec {
            task_id: task.into(),
            ..TaskSpec::default()
        }];
        let definition = DefinitionHash::of(&spec.text().unwrap());
        let dag = StoredDag {
            dag_id: dag_id("weather"),
            team: team("default"),
            bundle: bundle("weather"),
            hash: hash(1),
            spec,
            is_paused: false,
            is_stale: false,
            last_parsed: at(1),
        };
        (dag, definition)
    };
    let (old, new) = (stored("observe"), stored("report"));
    for (dag, _) in [&old, &new] {
        let dags = std::slice::from_ref(dag);
        store
            .replace(&dag.team, &dag.bundle, dags, &[])
            .await
            .unwrap();
    }
    let run = |number, definition| {
        let mut run = new_run("weather", number, 1);
        run.run.definition = definition;
        run
    };
    let mut undated = run(0, new.1);
    undated.run.logical_date = None;
    let runs = [run(5, old.1), run(3, old.1), run(6, new.1), undated];
    store.commit(&creating(&runs)).await.unwrap();
    let had = async |task: &str, before: i64| {
        let (task, before) = (TaskId::new(task).unwrap(), at(before * 1_000_000));
        let weather = dag_id("weather");
        store.had_task(&weather, &task, before).await.unwrap()
    };
    assert!(had("observe", 4).await);
    assert!(!had("observe", 3).await, "no run is earlier");
    assert!(had("report", 7).await);
    assert!(!had("report", 6).await);
    assert!(!had("unknown", 9).await);
    // A run of an earlier time, and one that is moved to another version.
    store.commit(&creating(&[run(1, old.1)])).await.unwrap();
    assert!(had("observe", 2).await);
    let batch = Batch {
        repinned: vec![Repin {
            run: runs[1].run.key,
            hash: hash(1),
            definition: new.1,
            moved: vec![],
            added: vec![],
        }],
        ..Batch::default()
    };
    store.commit(&batch).await.unwrap();
    assert!(had("report", 4).await);
    assert!(!had("report", 3).await);
}

async fn runs_are_listed_by_time_kind_and_backfill(fresh: Fresh) {
    let store = &fresh.store;
    let mut runs: Vec<NewRun> = [4, 2, 3, 1].map(|i| new_run("weather", i, 0)).into();
    runs[0].run.run_type = RunType::Manual;
    runs[1].run.backfill = Some(BackfillId(7));
    runs[3].run.logical_date = None;
    runs[3].run.run_after = at(3_500_000);
    store.commit(&creating(&runs)).await.unwrap();
    let list = async |filter: RunFilter| {
        let filter = RunFilter {
            dag_id: Some(dag_id("weather")),
            ..filter
        };
        let found = store.runs(&filter, Page::ALL).await.unwrap();
        let names = found.items.iter().map(|run| run.run_id.as_str());
        assert_eq!(found.total, names.len() as u64);
        names
            .map(|name| name.trim_start_matches("scheduled__"))
            .collect::<Vec<_>>()
            .join(" ")
    };
    let by_date = RunFilter {
        order: RunOrder::LogicalDate,
        ..RunFilter::default()
    };
    assert_eq!(list(RunFilter::default()).await, "4 2 3 1");
    assert_eq!(list(by_date.clone()).await, "2 3 1 4");
    let newest = RunFilter {
        newest_first: true,
        ..by_date.clone()
    };
    assert_eq!(list(newest.clone()).await, "4 1 3 2");
    let from = RunFilter {
        logical_from: Some(at(3_000_000)),
        ..newest
    };
    assert_eq!(list(from).await, "4 3", "what stands for no time is not");
    let to = RunFilter {
        logical_to: Some(at(3_000_000)),
        ..by_date.clone()
    };
    assert_eq!(list(to).await, "2 3");
    let after = RunFilter {
        run_after_from: Some(at(3_500_000)),
        run_after_to: Some(at(4_000_000)),
        ..by_date
    };
    assert_eq!(list(after).await, "3 1");
    let kinds = RunFilter {
        run_types: vec![RunType::Manual, RunType::Backfill],
        ..RunFilter::default()
    };
    assert_eq!(list(kinds).await, "4");
    let of_backfill = RunFilter {
        backfill: Some(BackfillId(7)),
        ..RunFilter::default()
    };
    assert_eq!(list(of_backfill).await, "2");
}

async fn a_run_goes_with_all_that_hangs_on_it(fresh: Fresh) {
    let store = &fresh.store;
    let (mut run, kept) = (new_run("weather", 1, 2), new_run("weather", 2, 2));
    run.run.state = RunState::Success;
    let xcom = |run: &NewRun| XcomWrite {
        key: key(run, 0),
        name: RETURN_VALUE.into(),
        value: Some("1".into()),
        spilled: None,
        length: None,
        at: at(1),
    };
    let batch = Batch {
        xcoms: vec![xcom(&run), xcom(&kept)],
        ..creating(&[run.clone(), kept.clone()])
    };
    store.commit(&batch).await.unwrap();
    store.delete_run(run.run.key).await.unwrap();
    assert_eq!(store.stored_run(run.run.key).await.unwrap(), None);
    assert_eq!(store.task_instances(run.run.key).await.unwrap(), []);
    let value = async |run: &NewRun| {
        let key = key(run, 0);
        let found = store.xcom_of(key.run, key.task, key.map_index, RETURN_VALUE);
        found.await.unwrap()
    };
    assert_eq!(value(&run).await, None);
    assert!(value(&kept).await.is_some());
    let tasks = store.task_instances(kept.run.key).await.unwrap();
    assert_eq!(tasks, kept.tasks);
    // Its names and its time are free again.
    let mut again = new_run("weather", 1, 1);
    again.run.run_id = run.run.run_id;
    store.commit(&creating(&[again])).await.unwrap();
}

async fn a_run_that_has_not_ended_stays(fresh: Fresh) {
    let store = &fresh.store;
    let run = new_run("weather", 1, 2);
    let missing = store.delete_run(run.run.key).await;
    assert!(matches!(missing, Err(StoreError::NotFound(_))));
    store
        .commit(&creating(std::slice::from_ref(&run)))
        .await
        .unwrap();
    match store.delete_run(run.run.key).await {
        Err(StoreError::Refused(why)) => assert!(why.contains("scheduled__1"), "{why}"),
        unexpected => panic!("{unexpected:?}"),
    }
    assert_eq!(store.task_instances(run.run.key).await.unwrap(), run.tasks);
}
