//! What goes when a run or a DAG goes.

use airlock_model::{port::*, state::RunState};

use super::*;
use crate::on_both;

on_both! {
    a_run_takes_what_waits_for_it_and_what_would_tell_of_it,
    a_dag_takes_its_watchers_too,
    a_dag_that_is_given_away_leaves_its_watchers_and_its_deadlines_behind,
}

fn dag(name: &str) -> StoredDag {
    StoredDag {
        dag_id: dag_id(name),
        team: team("default"),
        bundle: bundle("weather"),
        hash: hash(1),
        spec: spec(name),
        is_paused: false,
        is_stale: false,
        last_parsed: at(1),
    }
}

/// Two DAGs with a run each, and of each all that waits.
async fn lived(store: &Store) -> [NewRun; 2] {
    let dags = [dag("weather"), dag("other")];
    store
        .replace(&team("default"), &bundle("weather"), &dags, &[])
        .await
        .unwrap();
    let runs = ["weather", "other"].map(|name| {
        let mut run = new_run(name, 1, 1);
        run.run.state = RunState::Failed;
        run
    });
    let deadline = |run: &NewRun| DeadlineRow {
        run: run.run.key,
        name: "by noon".into(),
        at: at(5),
        missed_at: Some(at(6)),
        request: Arc::new(callback(run, 1, 5)),
    };
    let ahead = |run: &NewRun| DeadlineRow {
        name: "by night".into(),
        at: at(50),
        missed_at: None,
        ..deadline(run)
    };
    let batch = Batch {
        new_triggers: runs
            .iter()
            .flat_map(|run| {
                let dag = run.run.dag_id.as_str();
                [trigger(run, 0, Some(1)), watcher(dag, "default", 2)]
            })
            .collect(),
        callbacks: runs
            .iter()
            .flat_map(|run| [callback(run, 9, 1), callback(run, 1, 1)])
            .collect(),
        deadlines: runs
            .iter()
            .flat_map(|run| [deadline(run), ahead(run)])
            .collect(),
        ..creating(&runs)
    };
    store.commit(&batch).await.unwrap();
    runs
}

async fn counts(fresh: &Fresh) -> [i64; 3] {
    [
        fresh.count("trigger").await,
        fresh.count("callback").await,
        fresh.count("deadline").await,
    ]
}

async fn a_run_takes_what_waits_for_it_and_what_would_tell_of_it(fresh: Fresh) {
    let store = &fresh.store;
    let [run, other] = lived(store).await;
    let held = claim_callbacks(store, host(), 10, 100).await;
    store.delete_run(run.run.key).await.unwrap();
    // The watcher is the DAG's.
    assert_eq!(counts(&fresh).await, [3, 2, 2]);
    let ends: Vec<_> = held
        .iter()
        .map(|(row, lease)| (row.id, *lease, at(11), CallbackEnd::Done))
        .collect();
    let lost = store.callbacks_ended(&ends).await.unwrap();
    let of_run = held
        .iter()
        .filter(|(row, _)| row.subject.run == run.run.key);
    assert_eq!(lost, of_run.map(|(row, _)| row.id).collect::<Vec<_>>());
    assert!(
        callbacks(store)
            .await
            .iter()
            .all(|row| row.subject.run == other.run.key)
    );
}

async fn a_dag_takes_its_watchers_too(fresh: Fresh) {
    let store = &fresh.store;
    lived(store).await;
    store.delete(&dag_id("weather")).await.unwrap();
    assert_eq!(counts(&fresh).await, [2, 2, 2]);
    let other = dag_id("other");
    assert!(triggers(store).await.iter().all(|row| row.dag_id == other));
    assert!(
        callbacks(store)
            .await
            .iter()
            .all(|row| row.subject.dag_id == other)
    );
}

async fn a_dag_that_is_given_away_leaves_its_watchers_and_its_deadlines_behind(fresh: Fresh) {
    let store = &fresh.store;
    lived(store).await;
    let (weather, storm) = (dag_id("weather"), bundle("storm"));
    store
        .transfer(&weather, &storm, &team("north"))
        .await
        .unwrap();
    // What came to pass in its runs is told by the bundle that they ran in; what comes to pass from now on is not that
    // bundle's business.
    assert_eq!(counts(&fresh).await, [2, 4, 3]);
}
