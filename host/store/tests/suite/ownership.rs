//! What an operator does to a DAG as a whole.

use airlock_model::{
    dag::{AssetCondition, AssetRef},
    id::DefinitionHash,
    port::*,
    state::RunState,
};

use crate::{fixture::*, on_both};

on_both! {
    a_dag_goes_with_its_runs_and_comes_back_anew,
    a_dag_with_unfinished_runs_stays,
    a_dag_that_is_given_away_waits_for_its_new_bundle,
}

fn dag(name: &str, of: &str) -> StoredDag {
    let mut spec = spec(name);
    let asset = AssetRef::Name("rain".into());
    spec.asset_condition = Some(AssetCondition::Of(asset));
    spec.tags = vec!["wet".into()];
    StoredDag {
        dag_id: dag_id(name),
        team: team(of),
        bundle: bundle(of),
        hash: hash(1),
        spec,
        is_paused: true,
        is_stale: false,
        last_parsed: at(1),
    }
}

async fn import(store: &airlock_store::Store, dags: &[StoredDag]) -> Result<(), StoreError> {
    let error = ImportError {
        team: dags[0].team.clone(),
        bundle: dags[0].bundle.clone(),
        hash: None,
        dag_id: Some("weather".into()),
        code: "AL-0310".into(),
        message: "a warning".into(),
        at: at(1),
    };
    store
        .replace(&dags[0].team, &dags[0].bundle, dags, &[error])
        .await
}

/// A run of each DAG with all that a run can have, and what else is known of the DAG.
async fn lived(store: &airlock_store::Store, state: RunState) -> [NewRun; 2] {
    let runs = ["weather", "other"].map(|name| {
        let mut run = new_run(name, 1, 2);
        run.run.state = state;
        run.run.definition = DefinitionHash::of(&dag(name, "default").spec.text().unwrap());
        run
    });
    let queued = |run: &NewRun| QueueChange {
        dag_id: run.run.dag_id.clone(),
        asset: AssetKey {
            team: team("default"),
            name: "rain".into(),
        },
        queued_at: Some(at(1)),
    };
    let xcom = |run: &NewRun| XcomWrite {
        key: key(run, 0),
        name: RETURN_VALUE.into(),
        value: Some("1".into()),
        spilled: None,
        length: Some(1),
        at: at(1),
    };
    let progress = |run: &NewRun| DagProgress {
        dag_id: run.run.dag_id.clone(),
        last_interval: (at(1), at(2)),
        last_run_after: at(2),
    };
    let batch = Batch {
        progress: runs.iter().map(progress).collect(),
        xcoms: runs.iter().map(xcom).collect(),
        asset_queue: runs.iter().map(queued).collect(),
        ..creating(&runs)
    };
    store.commit(&batch).await.unwrap();
    runs
}

async fn a_dag_goes_with_its_runs_and_comes_back_anew(fresh: Fresh) {
    let store = &fresh.store;
    let both = [dag("weather", "default"), dag("other", "default")];
    import(store, &both).await.unwrap();
    let [run, kept] = lived(store, RunState::Success).await;
    let weather = dag_id("weather");
    store.delete(&weather).await.unwrap();

    assert_eq!(store.dag(&weather).await.unwrap(), None);
    assert_eq!(store.owner(&weather).await.unwrap(), None);
    assert_eq!(store.definition(&run.run.definition).await.unwrap(), None);
    assert_eq!(store.stored_run(run.run.key).await.unwrap(), None);
    assert_eq!(store.import_errors(None).await.unwrap(), []);
    // The other one has all of it.
    let stored = store.stored_run(kept.run.key).await.unwrap().unwrap();
    assert_eq!(
        (stored.tasks, stored.returned.len()),
        (kept.tasks.clone(), 1)
    );
    let left: Vec<_> = store.progress().await.unwrap();
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].dag_id, kept.run.dag_id);
    assert_eq!(store.queue().await.unwrap().len(), 1);
    assert_eq!(store.consumers().await.unwrap().len(), 1);
    let tagged = DagFilter {
        tag: Some("wet".into()),
        ..DagFilter::default()
    };
    assert_eq!(store.dags(&tagged, Page::ALL).await.unwrap().total, 1);
    assert!(matches!(
        store.delete(&weather).await,
        Err(StoreError::NotFound(_))
    ));

    import(store, &both).await.unwrap();
    let task = run.tasks[0].task_id.clone();
    assert_eq!(store.dag(&weather).await.unwrap(), Some(both[0].clone()));
    assert!(
        !store
            .had_task(&weather, &task, at(i64::from(u32::MAX)))
            .await
            .unwrap()
    );
    store.commit(&creating(&[run])).await.unwrap();
}

async fn a_dag_with_unfinished_runs_stays(fresh: Fresh) {
    let store = &fresh.store;
    let both = [dag("weather", "default"), dag("other", "default")];
    import(store, &both).await.unwrap();
    let [run, _] = lived(store, RunState::Running).await;
    let weather = dag_id("weather");
    let deleted = store.delete(&weather).await;
    let given = store
        .transfer(&weather, &bundle("payments"), &team("payments"))
        .await;
    for refused in [deleted, given] {
        match refused {
            Err(StoreError::Refused(why)) => assert!(why.contains("1 unfinished"), "{why}"),
            unexpected => panic!("{unexpected:?}"),
        }
    }
    assert_eq!(store.dag(&weather).await.unwrap(), Some(both[0].clone()));
    let stored = store.stored_run(run.run.key).await.unwrap().unwrap();
    assert_eq!(stored.tasks, run.tasks);
}

async fn a_dag_that_is_given_away_waits_for_its_new_bundle(fresh: Fresh) {
    let store = &fresh.store;
    let both = [dag("weather", "default"), dag("other", "default")];
    import(store, &both).await.unwrap();
    let [run, _] = lived(store, RunState::Success).await;
    let weather = dag_id("weather");
    let (theirs, whose) = (bundle("payments"), team("payments"));
    store.transfer(&weather, &theirs, &whose).await.unwrap();
    let given = StoredDag {
        bundle: theirs.clone(),
        team: whose.clone(),
        is_stale: true,
        ..both[0].clone()
    };
    assert_eq!(store.dag(&weather).await.unwrap(), Some(given));
    // Nothing runs for it meanwhile, and its old bundle can neither take it back nor lose it.
    assert_eq!(store.consumers().await.unwrap().len(), 1);
    assert_eq!(store.queued(&weather).await.unwrap(), []);
    assert!(import(store, &both).await.is_err());
    import(store, &both[1..]).await.unwrap();
    import(store, &[dag("weather", "payments")]).await.unwrap();
    let live = store.dag(&weather).await.unwrap().unwrap();
    assert_eq!(
        (live.bundle, live.is_stale, live.is_paused),
        (theirs.clone(), false, true)
    );
    // What it left behind stays with the team that made it.
    let address = XcomAddress {
        dag_id: weather,
        run_id: run.run.run_id.clone(),
        task_id: run.tasks[0].task_id.clone(),
        map_index: run.tasks[0].map_index,
        key: RETURN_VALUE.into(),
    };
    assert_eq!(store.xcom(&whose, &address).await.unwrap(), None);
    let ours = store.xcom(&team("default"), &address).await.unwrap();
    assert!(ours.is_some());
    let missing = store.transfer(&dag_id("unknown"), &theirs, &whose).await;
    assert!(matches!(missing, Err(StoreError::NotFound(_))));
}
