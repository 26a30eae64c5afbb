//! What watchers have seen, and what of it is remembered.

use airlock_model::port::*;

use super::*;
use crate::on_both;

on_both! {
    what_a_watcher_saw_is_written_with_its_state,
    of_a_watcher_that_somebody_else_polls_nothing_is_written,
    a_key_of_an_event_is_remembered_once_and_for_its_asset,
    keys_that_were_told_of_long_ago_are_forgotten,
    a_watcher_is_made_once_whoever_wants_it,
    a_watcher_may_be_replaced_in_one_batch,
    a_watcher_that_moves_to_another_version_goes_on_with_what_it_has,
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

async fn keys_that_were_told_of_long_ago_are_forgotten(fresh: Fresh) {
    let store = &fresh.store;
    let rain = asset("default", "rain");
    let keys = ["one", "two", "three"];
    let batch = Batch {
        seen_keys: (1..)
            .zip(keys)
            .map(|(time, key)| SeenKey {
                at: at(time),
                ..seen(&rain, key)
            })
            .collect(),
        ..Batch::default()
    };
    store.commit(&batch).await.unwrap();
    assert_eq!(store.forget_seen_keys(at(1)).await.unwrap(), 0);
    assert_eq!(store.forget_seen_keys(at(3)).await.unwrap(), 2);
    let known = store.seen_keys(&rain, &keys.map(Into::into)).await.unwrap();
    assert_eq!(known, ["three"]);
}

/// A watcher by name, of an asset.
fn named(of: &str, asset: &str, name: &str) -> TriggerRow {
    TriggerRow {
        owner: TriggerOwner::Watcher {
            asset: asset.into(),
            name: name.into(),
        },
        ..watcher("weather", of, 1)
    }
}

async fn a_watcher_is_made_once_whoever_wants_it(fresh: Fresh) {
    let store = &fresh.store;
    let long = "w".repeat(10_000);
    let rows = [
        named("default", "rain", "files"),
        named("default", "snow", "files"),
        named("default", "rain", &long),
        named("default", "rainf", "iles"),
        named("north", "rain", "files"),
    ];
    // Twice at once, and again: by this host, and by one that began at the same moment.
    let same = |row: &TriggerRow| TriggerRow {
        id: TriggerId(Uuid::now_v7()),
        ..row.clone()
    };
    let mut first = rows.to_vec();
    first.push(same(&rows[0]));
    store.commit(&triggering(first)).await.unwrap();
    let again: Vec<_> = rows.iter().map(same).collect();
    fresh
        .another()
        .await
        .commit(&triggering(again))
        .await
        .unwrap();
    assert_eq!(triggers(store).await, rows);
    // Task instances have as many triggers as they like.
    let run = new_run("weather", 1, 1);
    let of_tasks = [1, 1].map(|due| trigger(&run, 0, Some(due)));
    store.commit(&triggering(of_tasks.to_vec())).await.unwrap();
    assert_eq!(triggers(store).await.len(), rows.len() + 2);
}

async fn a_watcher_may_be_replaced_in_one_batch(fresh: Fresh) {
    let store = &fresh.store;
    let [old, new, stillborn] = ["files", "files", "other"].map(|n| named("default", "rain", n));
    store.commit(&triggering(vec![old.clone()])).await.unwrap();
    let batch = Batch {
        gone_triggers: vec![old.id, stillborn.id],
        ..triggering(vec![new.clone(), stillborn])
    };
    store.commit(&batch).await.unwrap();
    assert_eq!(triggers(store).await, [new]);
}

async fn a_watcher_that_moves_to_another_version_goes_on_with_what_it_has(fresh: Fresh) {
    let store = &fresh.store;
    let mut rows = ["held", "free", "other"].map(|name| named("default", "rain", name));
    rows[1].progress = TriggerProgress {
        state: Some("[7]".into()),
        polls: 3,
        ..progress(Some(50))
    };
    rows[2].progress = progress(Some(60));
    store.commit(&triggering(rows.to_vec())).await.unwrap();
    let claimed = claim_triggers(store, host(), 5, 100).await;
    assert_eq!(claimed.len(), 1);
    let to = |id| WatcherMove {
        id,
        dag_id: dag_id("storm"),
        bundle: bundle("storms"),
        hash: hash(9),
    };
    let gone = TriggerId(Uuid::now_v7());
    let batch = Batch {
        moved_watchers: vec![to(rows[1].id), to(rows[0].id), to(gone), to(rows[0].id)],
        ..Batch::default()
    };
    store.commit(&batch).await.unwrap();
    for row in &mut rows[..2] {
        let WatcherMove {
            dag_id,
            bundle,
            hash,
            ..
        } = to(row.id);
        *row = TriggerRow {
            dag_id,
            bundle,
            hash,
            ..row.clone()
        };
    }
    assert_eq!(triggers(store).await, rows);
    // Whoever was polling it writes what came of that, and the next poll is the new version's.
    assert_eq!(claim_triggers(store, host(), 5, 100).await, []);
    let saw = saw(&claimed, "one");
    store.commit(&saw).await.unwrap();
    let next = claim_triggers(store, host(), 70, 100).await;
    let next = next.iter().find(|(row, _)| row.id == rows[0].id).unwrap();
    assert_eq!(
        (next.0.hash, &next.0.progress),
        (hash(9), &saw.watched[0].2)
    );
}
