//! What watchers have seen, and what of it is remembered.

use airlock_model::port::*;

use super::*;
use crate::on_both;

on_both! {
    what_a_watcher_saw_is_written_with_its_state,
    of_a_watcher_that_somebody_else_polls_nothing_is_written,
    a_key_of_an_event_is_remembered_once_and_for_its_asset,
}

fn asset(of: &str, name: &str) -> AssetKey {
    AssetKey {
        team: team(of),
        name: name.into(),
    }
}

fn seen(of: &AssetKey, key: &str) -> SeenKey {
    SeenKey {
        asset: of.clone(),
        key: key.into(),
        at: at(9),
    }
}

fn event(of: &AssetKey) -> AssetEvent {
    AssetEvent {
        id: AssetEventId(Uuid::now_v7()),
        asset: of.clone(),
        at: at(9),
        extra: "{}".into(),
        source: EventSource::Other("the watcher files".into()),
        aliases: Vec::new(),
    }
}

/// A batch that writes what these watchers saw.
fn saw(claimed: &[(TriggerRow, Lease)], key: &str) -> Batch {
    let rain = asset("default", "rain");
    let next = TriggerProgress {
        state: Some(format!("\"{key}\"")),
        polls: 1,
        ..progress(Some(70))
    };
    Batch {
        watched: claimed
            .iter()
            .map(|(row, lease)| (row.id, *lease, next.clone()))
            .collect(),
        asset_events: vec![event(&rain)],
        seen_keys: vec![seen(&rain, key)],
        ..Batch::default()
    }
}

async fn what_a_watcher_saw_is_written_with_its_state(fresh: Fresh) {
    let store = &fresh.store;
    let rows = [
        watcher("weather", "default", 1),
        watcher("weather", "default", 2),
    ];
    store.commit(&triggering(rows.to_vec())).await.unwrap();
    let claimed = claim_triggers(store, host(), 5, 100).await;
    store.wake_triggers(&[rows[1].id], at(60)).await.unwrap();
    let batch = saw(&claimed, "one");
    store.commit(&batch).await.unwrap();
    let kept: Vec<_> = triggers(store)
        .await
        .into_iter()
        .map(|row| row.progress)
        .collect();
    let next = batch.watched[0].2.clone();
    let woken = TriggerProgress {
        next_poll_at: Some(at(60)),
        ..next.clone()
    };
    assert_eq!(kept, [next, woken]);
    let events = store
        .events(&EventFilter::default(), Page::ALL)
        .await
        .unwrap();
    assert_eq!(events.items, batch.asset_events);
    // The rows are free.
    assert_eq!(claim_triggers(store, host(), 70, 100).await.len(), 2);
}

async fn of_a_watcher_that_somebody_else_polls_nothing_is_written(fresh: Fresh) {
    let store = &fresh.store;
    let rows = [1, 2].map(|due| watcher("weather", "default", due));
    store.commit(&triggering(rows.to_vec())).await.unwrap();
    let mine = claim_triggers(store, host(), 5, 10).await;
    let theirs = store
        .claim_triggers((host(), at(100)), at(10), 1, 1)
        .await
        .unwrap();
    let before = triggers(store).await;
    let run = new_run("weather", 1, 1);
    let batch = Batch {
        new_runs: vec![run.clone()],
        callbacks: vec![callback(&run, 1, 1)],
        ..saw(&mine, "one")
    };
    match store.commit(&batch).await {
        Err(CommitError::LeaseLost(lost)) => assert_eq!(lost, [theirs[0].0.id]),
        unexpected => panic!("{unexpected:?}"),
    }
    assert_eq!(triggers(store).await, before);
    assert_eq!(callbacks(store).await, []);
    assert_eq!(store.stored_run(run.run.key).await.unwrap(), None);
    let rain = asset("default", "rain");
    assert!(
        store
            .seen_keys(&rain, &["one".into()])
            .await
            .unwrap()
            .is_empty()
    );
    let events = store
        .events(&EventFilter::default(), Page::ALL)
        .await
        .unwrap();
    assert_eq!(events.total, 0);
    // A task instance that was moved is told of first: its run has to be read again anyway.
    let fenced = Batch {
        tasks: vec![claimed(&new_run("weather", 2, 1), 0)],
        ..batch
    };
    let refused = store.commit(&fenced).await;
    assert!(
        matches!(refused, Err(CommitError::Fenced(_))),
        "{refused:?}"
    );
    store.commit(&saw(&theirs, "one")).await.unwrap();
}

async fn a_key_of_an_event_is_remembered_once_and_for_its_asset(fresh: Fresh) {
    let store = &fresh.store;
    let rain = asset("default", "rain");
    let (long, odd) = ("k".repeat(10_000), "a\0b \"☔\"".to_owned());
    let keys = [
        "one".to_owned(),
        "two".to_owned(),
        long.clone(),
        odd.clone(),
    ];
    assert!(store.seen_keys(&rain, &keys).await.unwrap().is_empty());
    assert!(store.seen_keys(&rain, &[]).await.unwrap().is_empty());
    let batch = Batch {
        seen_keys: ["one", "one", &long, &odd]
            .map(|key| seen(&rain, key))
            .to_vec(),
        ..Batch::default()
    };
    store.commit(&batch).await.unwrap();
    // Known ones are no reason to refuse a batch.
    store.commit(&batch).await.unwrap();
    let mut known = store.seen_keys(&rain, &keys).await.unwrap();
    known.sort();
    let mut expected = vec!["one".to_owned(), long, odd];
    expected.sort();
    assert_eq!(known, expected);
    for other in [asset("default", "snow"), asset("north", "rain")] {
        assert!(store.seen_keys(&other, &keys).await.unwrap().is_empty());
    }
}
