//! Who executes which callback when, and how often.

use airlock_model::{callback::CallbackState, port::*, state::RunType};

use super::*;
use crate::on_both;

on_both! {
    a_request_comes_back_as_it_was_written,
    a_request_is_written_with_what_caused_it_or_not_at_all,
    the_highest_priority_goes_first_and_then_the_oldest,
    a_claim_is_bounded_for_each_team_and_in_all,
    a_callback_that_failed_is_tried_again_at_its_time_and_in_its_order,
    after_its_last_try_a_callback_stays_until_somebody_retries_it,
    a_dead_hosts_callbacks_come_free_when_the_lease_is_over,
    an_end_under_an_older_claim_writes_nothing,
    requests_are_listed_newest_first,
    what_is_open_or_failed_is_counted_team_by_team,
    thousands_of_requests_fit_in_one_batch,
}

async fn a_request_comes_back_as_it_was_written(fresh: Fresh) {
    let store = &fresh.store;
    let run = new_run("weather", 1, 1);
    let mut row = callback(&run, i64::MIN, 5);
    row.message = "it \"rained\" ☔\n".into();
    row.subject.run_type = RunType::Manual;
    row.subject.logical_date = None;
    row.subject.attempt = Some(CallbackTry {
        task_id: run.tasks[0].task_id.clone(),
        map_index: MapIndex(7),
        try_number: 2,
        max_tries: u32::MAX,
    });
    row.subject.deadline = Some(("by noon".into(), at(-4)));
    row.note = Some("before".into());
    row.ended_at = Some(at(-1));
    call(store, vec![row.clone()]).await;
    assert_eq!(store.callback(row.id).await.unwrap(), Some(row));
    let mut row = callback(&run, 0, 5);
    assert_eq!(store.callback(row.id).await.unwrap(), None);
    row.message = "a\0b".into();
    row.arguments = "\0".into();
    call(store, vec![row.clone()]).await;
    let found = store.callback(row.id).await.unwrap().unwrap();
    assert_eq!(&*found.message, "a\u{FFFD}b");
}

async fn a_request_is_written_with_what_caused_it_or_not_at_all(fresh: Fresh) {
    let store = &fresh.store;
    let run = new_run("weather", 1, 1);
    let batch = Batch {
        callbacks: vec![callback(&run, 1, 5)],
        ..moving(vec![claimed(&run, 0)])
    };
    let refused = store.commit(&batch).await;
    assert!(
        matches!(refused, Err(CommitError::Fenced(_))),
        "{refused:?}"
    );
    assert_eq!(callbacks(store).await, []);
    store
        .commit(&creating(std::slice::from_ref(&run)))
        .await
        .unwrap();
    store.commit(&batch).await.unwrap();
    assert_eq!(callbacks(store).await, batch.callbacks);
}

fn ids(claimed: &[(CallbackRow, Lease)]) -> Vec<CallbackId> {
    claimed.iter().map(|(row, _)| row.id).collect()
}

async fn the_highest_priority_goes_first_and_then_the_oldest(fresh: Fresh) {
    let store = &fresh.store;
    let run = new_run("weather", 1, 1);
    assert_eq!(store.next_callback_due().await.unwrap(), None);
    let rows: Vec<_> = [1, 5, 1, 9, 5]
        .map(|priority| callback(&run, priority, 10))
        .into();
    call(store, rows.clone()).await;
    assert_eq!(store.next_callback_due().await.unwrap(), Some(at(10)));
    assert_eq!(claim_callbacks(store, host(), 9, 100).await, []);
    let me = host();
    let claimed = claim_callbacks(store, me, 10, 100).await;
    let order = [3, 1, 4, 0, 2].map(|i: usize| rows[i].id);
    assert_eq!(ids(&claimed), order);
    let (row, lease) = &claimed[0];
    assert_eq!((row.state, row.tries), (CallbackState::Running, 1));
    let expected = Lease {
        host: me,
        token: Token::stored(1),
        until: at(100),
    };
    assert_eq!(*lease, expected);
    assert_eq!(store.next_callback_due().await.unwrap(), Some(at(100)));
}

async fn a_claim_is_bounded_for_each_team_and_in_all(fresh: Fresh) {
    let store = &fresh.store;
    let run = new_run("weather", 1, 1);
    // One team floods with the highest priority.
    let mut rows: Vec<_> = (0..50).map(|_| callback(&run, 99, 1)).collect();
    for (priority, name) in [(3, "a"), (2, "b"), (1, "z")] {
        rows.push(of_team(name, callback(&run, priority, 1), |row| {
            &mut row.team
        }));
    }
    call(store, rows.clone()).await;
    let of = |places: &[usize]| -> Vec<_> { places.iter().map(|&i| rows[i].id).collect() };
    let lease = (host(), at(1_000));
    let claimed = store.claim_callbacks(lease, at(200), 2, 4).await.unwrap();
    assert_eq!(ids(&claimed), of(&[0, 1, 50, 51]));
    let claimed = store.claim_callbacks(lease, at(200), 3, 100).await.unwrap();
    assert_eq!(ids(&claimed), of(&[2, 3, 4, 52]));
}

async fn a_callback_that_failed_is_tried_again_at_its_time_and_in_its_order(fresh: Fresh) {
    let store = &fresh.store;
    let run = new_run("weather", 1, 1);
    let rows = [callback(&run, 9, 1), callback(&run, 1, 1)];
    call(store, rows.to_vec()).await;
    let lease = (host(), at(100));
    let claimed = store.claim_callbacks(lease, at(10), 1, 1).await.unwrap();
    let again = CallbackEnd::Again {
        at: at(50),
        note: "no answer\0".into(),
    };
    let ended = [(rows[0].id, claimed[0].1, at(12), again)];
    assert_eq!(store.callbacks_ended(&ended).await.unwrap(), []);
    let expected = CallbackRow {
        tries: 1,
        next_try_at: at(50),
        ended_at: Some(at(12)),
        note: Some("no answer\u{FFFD}".into()),
        ..rows[0].clone()
    };
    assert_eq!(store.callback(rows[0].id).await.unwrap(), Some(expected));
    // Until then it keeps nobody else waiting, whatever its priority.
    assert_eq!(store.next_callback_due().await.unwrap(), Some(at(1)));
    let claimed = store.claim_callbacks(lease, at(49), 1, 1).await.unwrap();
    assert_eq!(ids(&claimed), [rows[1].id]);
    assert_eq!(store.next_callback_due().await.unwrap(), Some(at(50)));
    let later = callback(&run, 5, 40);
    call(store, vec![later.clone()]).await;
    let claimed = claim_callbacks(store, host(), 50, 100).await;
    assert_eq!(ids(&claimed), [rows[0].id, later.id]);
    assert_eq!((claimed[0].0.tries, claimed[0].1.token.get()), (2, 2));
    let done = [(rows[0].id, claimed[0].1, at(60), CallbackEnd::Done)];
    assert_eq!(store.callbacks_ended(&done).await.unwrap(), []);
    let row = store.callback(rows[0].id).await.unwrap().unwrap();
    assert_eq!(
        (row.state, row.note, row.ended_at),
        (CallbackState::Success, None, Some(at(60)))
    );
    assert_eq!(store.next_callback_due().await.unwrap(), Some(at(100)));
}

async fn after_its_last_try_a_callback_stays_until_somebody_retries_it(fresh: Fresh) {
    let store = &fresh.store;
    let run = new_run("weather", 1, 1);
    let row = callback(&run, 1, 1);
    call(store, vec![row.clone()]).await;
    assert!(!store.retry_callback(row.id, at(1)).await.unwrap());
    let (_, lease) = claim_callbacks(store, host(), 1, 100).await.remove(0);
    let failed = CallbackEnd::Failed {
        note: "no answer".into(),
    };
    let ended = [(row.id, lease, at(3), failed)];
    assert_eq!(store.callbacks_ended(&ended).await.unwrap(), []);
    assert_eq!(store.next_callback_due().await.unwrap(), None);
    assert_eq!(claim_callbacks(store, host(), 1_000, 2_000).await, []);
    let kept = store.callback(row.id).await.unwrap().unwrap();
    assert_eq!(
        (kept.state, kept.note.as_deref()),
        (CallbackState::Failed, Some("no answer"))
    );

    assert!(store.retry_callback(row.id, at(500)).await.unwrap());
    assert!(!store.retry_callback(row.id, at(500)).await.unwrap());
    assert!(
        !store
            .retry_callback(callback(&run, 1, 1).id, at(500))
            .await
            .unwrap()
    );
    assert_eq!(store.next_callback_due().await.unwrap(), Some(at(500)));
    let (again, lease) = claim_callbacks(store, host(), 500, 600).await.remove(0);
    assert_eq!((again.tries, again.note.as_deref()), (2, Some("no answer")));
    let done = [(row.id, lease, at(501), CallbackEnd::Done)];
    assert_eq!(store.callbacks_ended(&done).await.unwrap(), []);
    assert!(!store.retry_callback(row.id, at(502)).await.unwrap());
}

async fn a_dead_hosts_callbacks_come_free_when_the_lease_is_over(fresh: Fresh) {
    let store = &fresh.store;
    let run = new_run("weather", 1, 1);
    let rows = [callback(&run, 1, 1), callback(&run, 9, 2)];
    call(store, rows.to_vec()).await;
    let (dead, alive) = (host(), host());
    let of_dead = store
        .claim_callbacks((dead, at(100)), at(5), 1, 1)
        .await
        .unwrap();
    let of_alive = store
        .claim_callbacks((alive, at(100)), at(5), 1, 1)
        .await
        .unwrap();
    store.renew_callbacks(alive, at(200)).await.unwrap();
    assert_eq!(claim_callbacks(store, host(), 99, 300).await, []);
    let taken = claim_callbacks(store, host(), 100, 300).await;
    assert_eq!(ids(&taken), ids(&of_dead));
    assert_eq!((taken[0].0.tries, taken[0].1.token.get()), (2, 2));
    // Whose lease is over may renew it while nobody else has claimed, also when it was looked at meanwhile.
    let more = callback(&run, 50, 3);
    call(store, vec![more.clone()]).await;
    let one = store
        .claim_callbacks((host(), at(900)), at(250), 1, 1)
        .await
        .unwrap();
    assert_eq!(ids(&one), [more.id]);
    store.renew_callbacks(alive, at(400)).await.unwrap();
    assert_eq!(claim_callbacks(store, host(), 299, 900).await, []);
    let done = [(of_alive[0].0.id, of_alive[0].1, at(260), CallbackEnd::Done)];
    assert_eq!(store.callbacks_ended(&done).await.unwrap(), []);
}

async fn an_end_under_an_older_claim_writes_nothing(fresh: Fresh) {
    let store = &fresh.store;
    let run = new_run("weather", 1, 1);
    let rows = [callback(&run, 9, 1), callback(&run, 1, 1)];
    call(store, rows.to_vec()).await;
    let me = host();
    let claimed = claim_callbacks(store, me, 1, 10).await;
    let again = store
        .claim_callbacks((me, at(20)), at(10), 1, 1)
        .await
        .unwrap();
    assert_eq!(ids(&again), [rows[0].id]);
    let ends: Vec<_> = claimed
        .iter()
        .map(|(row, lease)| (row.id, *lease, at(11), CallbackEnd::Done))
        .collect();
    assert_eq!(store.callbacks_ended(&ends).await.unwrap(), [rows[0].id]);
    assert_eq!(store.callbacks_ended(&[]).await.unwrap(), []);
    let states: Vec<_> = callbacks(store).await.iter().map(|row| row.state).collect();
    assert_eq!(states, [CallbackState::Running, CallbackState::Success]);
}

async fn requests_are_listed_newest_first(fresh: Fresh) {
    let store = &fresh.store;
    let (run, other) = (new_run("weather", 1, 1), new_run("other", 1, 1));
    let rows = [
        callback(&run, 9, 1),
        of_team("north", callback(&run, 1, 1), |row| &mut row.team),
        callback(&other, 1, 1),
    ];
    call(store, rows.to_vec()).await;
    let one = store
        .claim_callbacks((host(), at(9)), at(1), 1, 1)
        .await
        .unwrap();
    assert_eq!(ids(&one), [rows[0].id]);
    let list = async |team_of: Option<&str>, dag: Option<&str>, states: &[CallbackState], page| {
        let filter = CallbackFilter {
            team: team_of.map(team),
            dag_id: dag.map(dag_id),
            states: states.to_vec(),
        };
        let found = store.callbacks(&filter, page).await.unwrap();
        let place = |row: CallbackRow| rows.iter().position(|other| other.id == row.id).unwrap();
        (
            found.items.into_iter().map(place).collect::<Vec<_>>(),
            found.total,
        )
    };
    use CallbackState::{Failed, Pending, Running};
    let all = Page::ALL;
    assert_eq!(list(None, None, &[], all).await, (vec![2, 1, 0], 3));
    assert_eq!(list(Some("north"), None, &[], all).await, (vec![1], 1));
    assert_eq!(list(None, Some("weather"), &[], all).await, (vec![1, 0], 2));
    assert_eq!(list(None, None, &[Pending], all).await, (vec![2, 1], 2));
    assert_eq!(
        list(None, Some("weather"), &[Running, Failed], all).await,
        (vec![0], 1)
    );
    let page = Page {
        offset: 1,
        limit: 1,
    };
    assert_eq!(list(None, None, &[], page).await, (vec![1], 3));
}

async fn thousands_of_requests_fit_in_one_batch(fresh: Fresh) {
    let store = &fresh.store;
    let run = new_run("weather", 1, 1);
    let rows: Vec<_> = (0..5_000).map(|i| callback(&run, i % 100, 1)).collect();
    call(store, rows).await;
    let claimed = store
        .claim_callbacks((host(), at(100)), at(1), 5_000, 5_000)
        .await
        .unwrap();
    assert_eq!(claimed.len(), 5_000);
    let sorted =
        claimed.is_sorted_by_key(|(row, _)| (std::cmp::Reverse(row.priority_weight), row.id));
    assert!(sorted);
    // All of them are over at one moment.
    let taken = store
        .claim_callbacks((host(), at(900)), at(100), 5_000, 5_000)
        .await
        .unwrap();
    assert_eq!(ids(&taken), ids(&claimed));
}

async fn what_is_open_or_failed_is_counted_team_by_team(fresh: Fresh) {
    use CallbackState::{Failed, Pending, Running};
    let store = &fresh.store;
    assert_eq!(store.callback_counts().await.unwrap(), []);
    let run = new_run("weather", 1, 1);
    let of = |name| of_team(name, callback(&run, 1, 5), |row| &mut row.team);
    let rows = ["a", "a", "a", "a", "b", "b"].map(of);
    call(store, rows.to_vec()).await;
    let claimed = store.claim_callbacks((host(), at(100)), at(5), 3, 9).await;
    let ends = |(row, lease): &(CallbackRow, Lease)| {
        let end = match row.id {
            id if id == rows[0].id => CallbackEnd::Done,
            id if id == rows[1].id => CallbackEnd::Failed { note: "no".into() },
            id if id == rows[4].id => CallbackEnd::Again {
                at: at(50),
                note: "no".into(),
            },
            _ => return None,
        };
        Some((row.id, *lease, at(6), end))
    };
    let ends: Vec<_> = claimed.unwrap().iter().filter_map(ends).collect();
    store.callbacks_ended(&ends).await.unwrap();
    let of = |name, state, count| (team(name), state, count);
    assert_eq!(
        store.callback_counts().await.unwrap(),
        [
            of("a", Failed, 1),
            of("a", Pending, 1),
            of("a", Running, 1),
            of("b", Pending, 1),
            of("b", Running, 1),
        ]
    );
}
