//! XComs.

use std::sync::Arc;

use airlock_model::{
    id::{MapIndex, TaskId, TaskIndex},
    port::*,
    state::RunState,
};

use crate::{fixture::*, on_both};

on_both! {
    an_xcom_is_read_by_names_and_by_position,
    another_teams_xcom_does_not_exist,
    a_later_value_replaces_an_earlier_one,
    a_large_xcom_comes_from_the_content_store,
    a_new_try_forgets_the_last_ones_xcoms,
    contents_go_with_the_last_run_that_needs_them,
}

fn write(run: &NewRun, i: u32, name: &str, value: &str) -> XcomWrite {
    XcomWrite {
        key: key(run, i),
        name: name.into(),
        value: Some(value.into()),
        spilled: None,
        length: None,
        at: at(7),
    }
}

fn address(run: &NewRun, i: u32, name: &str) -> XcomAddress {
    XcomAddress {
        dag_id: run.run.dag_id.clone(),
        run_id: run.run.run_id.clone(),
        task_id: run.tasks[i as usize].task_id.clone(),
        map_index: MapIndex::UNMAPPED,
        key: name.into(),
    }
}

async fn with(fresh: &Fresh, xcoms: impl FnOnce(&NewRun) -> Vec<XcomWrite>) -> NewRun {
    let run = new_run("weather", 1, 3);
    let batch = Batch {
        xcoms: xcoms(&run),
        ..creating(std::slice::from_ref(&run))
    };
    fresh.store.commit(&batch).await.unwrap();
    run
}

async fn an_xcom_is_read_by_names_and_by_position(fresh: Fresh) {
    let store = &fresh.store;
    let run = with(&fresh, |run| {
        vec![
            write(run, 1, RETURN_VALUE, r#"{"ä":[1,2.50]}"#),
            write(run, 1, "other", "null"),
        ]
    })
    .await;
    let pulled = store
        .xcom(&team("default"), &address(&run, 1, RETURN_VALUE))
        .await
        .unwrap();
    assert_eq!(
        pulled.as_deref(),
        Some(r#"{"ä":[1,2.50]}"#),
        "to the letter"
    );
    let of = async |i, name| {
        store
            .xcom_of(run.run.key, TaskIndex(i), MapIndex::UNMAPPED, name)
            .await
            .unwrap()
    };
    assert_eq!(of(1, "other").await.as_deref(), Some("null"));
    assert_eq!(of(0, "other").await, None);
    assert_eq!(of(1, "missing").await, None);
    let all = store
        .xcoms(
            &run.run.dag_id,
            &run.run.run_id,
            &run.tasks[1].task_id,
            MapIndex::UNMAPPED,
        )
        .await
        .unwrap();
    let told: Vec<_> = all
        .iter()
        .map(|x| (x.key.as_str(), &*x.value, x.at))
        .collect();
    assert_eq!(
        told,
        [
            ("other", "null", at(7)),
            (RETURN_VALUE, r#"{"ä":[1,2.50]}"#, at(7))
        ]
    );
    let none = store
        .xcoms(
            &run.run.dag_id,
            &run.run.run_id,
            &TaskId::new("nobody").unwrap(),
            MapIndex(0),
        )
        .await;
    assert!(none.unwrap().is_empty());
}

async fn another_teams_xcom_does_not_exist(fresh: Fresh) {
    let run = with(&fresh, |run| vec![write(run, 0, RETURN_VALUE, "1")]).await;
    let store: Arc<dyn Xcoms> = fresh.store.clone();
    let theirs = store
        .pull(&team("payments"), &address(&run, 0, RETURN_VALUE))
        .await
        .unwrap();
    assert_eq!(theirs, None);
    let own = store
        .pull(&team("default"), &address(&run, 0, RETURN_VALUE))
        .await
        .unwrap();
    assert_eq!(own.as_deref(), Some("1"));
}

async fn a_later_value_replaces_an_earlier_one(fresh: Fresh) {
    let store = &fresh.store;
    let run = with(&fresh, |run| {
        vec![
            write(run, 0, "k", "1"),
            write(run, 0, "other", "0"),
            write(run, 0, "k", "2"),
        ]
    })
    .await;
    let of = async |name| {
        store
            .xcom_of(run.run.key, TaskIndex(0), MapIndex::UNMAPPED, name)
            .await
            .unwrap()
    };
    assert_eq!(of("k").await.as_deref(), Some("2"));
    let batch = Batch {
        xcoms: vec![write(&run, 0, "k", "3")],
        ..Batch::default()
    };
    store.commit(&batch).await.unwrap();
    assert_eq!(of("k").await.as_deref(), Some("3"));
    assert_eq!(of("other").await.as_deref(), Some("0"));
}

async fn a_large_xcom_comes_from_the_content_store(fresh: Fresh) {
    let store = &fresh.store;
    let value = format!("\"{}\"", "x".repeat(1 << 20));
    let spilled = fresh.blobs.put(value.as_bytes()).await.unwrap();
    let run = with(&fresh, |run| {
        vec![XcomWrite {
            value: None,
            spilled: Some(spilled),
            length: None,
            ..write(run, 0, RETURN_VALUE, "")
        }]
    })
    .await;
    let pulled = store
        .xcom(&team("default"), &address(&run, 0, RETURN_VALUE))
        .await
        .unwrap();
    assert_eq!(pulled.as_deref(), Some(value.as_str()));
    // One whose content is gone is an error and never an empty value.
    let lost = XcomWrite {
        value: None,
        spilled: Some(hash(9)),
        length: None,
        ..write(&run, 1, "k", "")
    };
    store
        .commit(&Batch {
            xcoms: vec![lost],
            ..Batch::default()
        })
        .await
        .unwrap();
    let lost = store
        .xcom_of(run.run.key, TaskIndex(1), MapIndex::UNMAPPED, "k")
        .await;
    assert!(matches!(lost, Err(StoreError::Corrupt(_))), "{lost:?}");
    // Small again.
    let small = XcomWrite {
        at: at(8),
        ..write(&run, 0, RETURN_VALUE, "1")
    };
    store
        .commit(&Batch {
            xcoms: vec![small],
            ..Batch::default()
        })
        .await
        .unwrap();
    let pulled = store
        .xcom(&team("default"), &address(&run, 0, RETURN_VALUE))
        .await
        .unwrap();
    assert_eq!(pulled.as_deref(), Some("1"));
}

async fn a_new_try_forgets_the_last_ones_xcoms(fresh: Fresh) {
    let store = &fresh.store;
    let run = with(&fresh, |run| {
        vec![
            write(run, 0, "k", "1"),
            write(run, 0, "l", "1"),
            write(run, 1, "k", "1"),
        ]
    })
    .await;
    // Forgetting comes before writing.
    let batch = Batch {
        forget_xcoms: vec![key(&run, 0), key(&run, 2)],
        xcoms: vec![write(&run, 0, "l", "2")],
        ..Batch::default()
    };
    store.commit(&batch).await.unwrap();
    let of = async |i, name| {
        store
            .xcom_of(run.run.key, TaskIndex(i), MapIndex::UNMAPPED, name)
            .await
            .unwrap()
    };
    assert_eq!(of(0, "k").await, None);
    assert_eq!(of(0, "l").await.as_deref(), Some("2"));
    assert_eq!(of(1, "k").await.as_deref(), Some("1"));
}

async fn contents_go_with_the_last_run_that_needs_them(fresh: Fresh) {
    let (store, blobs) = (&fresh.store, &*fresh.blobs);
    let [own, shared, unknown] = [&b"own"[..], b"shared", b"unknown"]
        .map(|bytes| async move { blobs.put(bytes).await.unwrap() });
    let (own, shared, unknown) = (own.await, shared.await, unknown.await);
    let runs: Vec<NewRun> = [("weather", 1), ("weather", 2), ("other", 3)]
        .map(|(dag, number)| {
            let mut run = new_run(dag, number, 2);
            run.run.state = RunState::Success;
            run
        })
        .into();
    let spilled = |run: &NewRun, i, hash| XcomWrite {
        value: None,
        spilled: Some(hash),
        ..write(run, i, RETURN_VALUE, "")
    };
    let batch = Batch {
        xcoms: vec![
            spilled(&runs[0], 0, own),
            spilled(&runs[0], 1, shared),
            spilled(&runs[1], 0, shared),
            spilled(&runs[2], 0, shared),
        ],
        ..creating(&runs)
    };
    store.commit(&batch).await.unwrap();
    let there = async || {
        let mut there = Vec::new();
        for hash in [own, shared, unknown] {
            there.push(blobs.get(&hash).await.unwrap().is_some());
        }
        there
    };
    let remove = async || store.remove_dropped_contents(blobs).await.unwrap();
    assert_eq!(remove().await, 0);
    store.delete_run(runs[0].run.key).await.unwrap();
    assert_eq!(there().await, [true; 3], "nothing goes while a host works");
    assert_eq!(remove().await, 1);
    assert_eq!(there().await, [false, true, true]);
    store.delete_run(runs[1].run.key).await.unwrap();
    assert_eq!(remove().await, 0, "another run needs it");
    store.delete_run(runs[2].run.key).await.unwrap();
    assert_eq!(remove().await, 1);
    assert_eq!(
        there().await,
        [false, false, true],
        "what no run ever named is not touched"
    );
    assert_eq!(remove().await, 0);
}
