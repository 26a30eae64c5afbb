//! Many claimants at once, each with a connection of its own.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, Ordering},
    },
};

use airlock_model::{callback::CallbackState, port::*};

use super::*;
use crate::on_both;

on_both! {
    no_two_claimants_hold_one_trigger,
    no_two_claimants_hold_one_callback,
    a_trigger_changes_hands_only_when_it_is_free,
}

const CLAIMANTS: usize = 8;

/// Several hosts of one database.
async fn hosts(fresh: &Fresh) -> Vec<Arc<Store>> {
    let mut hosts = vec![Arc::clone(&fresh.store)];
    while hosts.len() < CLAIMANTS {
        hosts.push(Arc::new(fresh.another().await));
    }
    hosts
}

async fn no_two_claimants_hold_one_trigger(fresh: Fresh) {
    let run = new_run("weather", 1, 1);
    let of = |i: i64| {
        of_team(
            ["a", "b", "c"][i as usize % 3],
            trigger(&run, 0, Some(i % 7)),
            |row| &mut row.team,
        )
    };
    let rows: Vec<_> = (0..600).map(of).collect();
    fresh.store.commit(&triggering(rows.clone())).await.unwrap();
    let claimed = Arc::new(Mutex::new(Vec::new()));
    let claimants: Vec<_> = hosts(&fresh)
        .await
        .into_iter()
        .map(|store| {
            let claimed = Arc::clone(&claimed);
            tokio::spawn(async move {
                let lease = (host(), at(1_000));
                while claimed.lock().unwrap().len() < 600 {
                    let got = store.claim_triggers(lease, at(10), 5, 7).await.unwrap();
                    assert!(got.len() <= 7);
                    let got = got.into_iter().map(|(row, lease)| (row.id, lease.token));
                    claimed.lock().unwrap().extend(got);
                }
            })
        })
        .collect();
    for claimant in claimants {
        claimant.await.unwrap();
    }
    let claimed = claimed.lock().unwrap();
    let ids: HashSet<_> = claimed.iter().map(|(id, _)| *id).collect();
    assert_eq!((claimed.len(), ids.len()), (600, 600));
    assert!(claimed.iter().all(|(_, token)| token.get() == 1));
}

async fn no_two_claimants_hold_one_callback(fresh: Fresh) {
    let run = new_run("weather", 1, 1);
    let of = |i: i64| {
        of_team(
            ["a", "b", "c"][i as usize % 3],
            callback(&run, i % 7, i),
            |row| &mut row.team,
        )
    };
    let rows: Vec<_> = (0..600).map(of).collect();
    call(&fresh.store, rows).await;
    let done = Arc::new(Mutex::new(0));
    let claimants: Vec<_> = hosts(&fresh)
        .await
        .into_iter()
        .map(|store| {
            let done = Arc::clone(&done);
            tokio::spawn(async move {
                let lease = (host(), at(10_000));
                while *done.lock().unwrap() < 600 {
                    let got = store.claim_callbacks(lease, at(1_000), 5, 7).await.unwrap();
                    assert!(got.len() <= 7);
                    let ends: Vec<_> = got
                        .iter()
                        .map(|(row, lease)| (row.id, *lease, at(1_001), CallbackEnd::Done))
                        .collect();
                    assert_eq!(store.callbacks_ended(&ends).await.unwrap(), []);
                    *done.lock().unwrap() += ends.len();
                }
            })
        })
        .collect();
    for claimant in claimants {
        claimant.await.unwrap();
    }
    assert_eq!(*done.lock().unwrap(), 600);
    for row in callbacks(&fresh.store).await {
        assert_eq!((row.state, row.tries), (CallbackState::Success, 1));
    }
}

/// What became of one claim.
struct Claimed {
    now: i64,
    until: i64,
    /// Its poll was written.
    written: bool,
}

/// Hosts that poll, are late, or die with all that they hold, while the time goes on.
async fn a_trigger_changes_hands_only_when_it_is_free(fresh: Fresh) {
    const ROWS: i64 = 40;
    let run = new_run("weather", 1, 1);
    let rows: Vec<_> = (0..ROWS).map(|_| trigger(&run, 0, Some(0))).collect();
    fresh.store.commit(&triggering(rows)).await.unwrap();
    let clock = Arc::new(AtomicI64::new(1));
    let seen: Arc<Mutex<HashMap<(TriggerId, u64), Claimed>>> = Arc::default();
    let claimants: Vec<_> = hosts(&fresh)
        .await
        .into_iter()
        .enumerate()
        .map(|(place, store)| {
            let (clock, seen) = (Arc::clone(&clock), Arc::clone(&seen));
            tokio::spawn(async move {
                for round in 0..40 {
                    let now = clock.fetch_add(3, Ordering::SeqCst);
                    let until = now + 20;
                    // A host of the same place that was started anew.
                    let got = store
                        .claim_triggers((host(), at(until)), at(now), 9, 9)
                        .await
                        .unwrap();
                    for (row, lease) in &got {
                        let claim = Claimed {
                            now,
                            until,
                            written: false,
                        };
                        let known = seen
                            .lock()
                            .unwrap()
                            .insert((row.id, lease.token.get()), claim);
                        assert!(known.is_none(), "one claim was given twice");
                    }
                    if (place + round) % 3 == 0 {
                        continue;
                    }
                    let polls: Vec<_> = got
                        .iter()
                        .map(|(row, lease)| (row.id, *lease, progress(Some(now + 1))))
                        .collect();
                    let lost = store.polled(&polls).await.unwrap();
                    let mut seen = seen.lock().unwrap();
                    for (id, lease, _) in polls.iter().filter(|(id, ..)| !lost.contains(id)) {
                        seen.get_mut(&(*id, lease.token.get())).unwrap().written = true;
                    }
                }
            })
        })
        .collect();
    for claimant in claimants {
        claimant.await.unwrap();
    }
    let seen = seen.lock().unwrap();
    let mut taken_over = 0;
    for ((id, token), before) in seen.iter() {
        let Some(after) = seen.get(&(*id, token + 1)) else {
            continue;
        };
        if !before.written {
            taken_over += 1;
            assert!(
                after.now >= before.until,
                "taken at {} of {}",
                after.now,
                before.until
            );
        }
    }
    assert!(taken_over > 0, "nobody died with a lease");
    let claims = seen.len() as i64;
    assert!(claims > ROWS, "{claims}");
}
