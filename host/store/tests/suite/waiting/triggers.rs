//! Who polls which trigger when.

use airlock_model::{port::*, trigger::OwnTrigger};

use super::*;
use crate::on_both;

on_both! {
    a_trigger_comes_back_as_it_was_written,
    what_has_been_due_longest_is_claimed_first_and_nothing_before_its_time,
    a_claim_is_bounded_for_each_team_and_in_all,
    nobody_else_holds_a_trigger_until_its_lease_is_over,
    a_renewed_lease_holds_all_that_the_host_has_claimed,
    a_poll_under_an_older_claim_writes_nothing,
    a_lease_that_is_over_still_counts_while_nobody_else_has_claimed,
    a_poll_says_when_the_next_one_is,
    what_happens_wakes_a_trigger_also_while_it_is_polled,
    triggers_whose_polls_fail_are_found,
    triggers_are_listed_oldest_first,
}

async fn a_trigger_comes_back_as_it_was_written(fresh: Fresh) {
    let store = &fresh.store;
    let run = new_run("weather", 1, 1);
    let mut rows = [trigger(&run, 0, None), watcher("weather", "default", 4)];
    rows[0].progress = TriggerProgress {
        state: Some(r#"{"line": "\u0000 \n"}"#.into()),
        next_poll_at: Some(at(-1)),
        on: vec![rain(), rain()],
        polls: 7,
        last_poll_at: Some(at(6)),
        cpu: std::time::Duration::from_nanos(1_234_567_891),
        failures: 2,
        note: Some("\"quoted\" ☔".into()),
    };
    store.commit(&triggering(rows.to_vec())).await.unwrap();
    assert_eq!(triggers(store).await, rows);
    let found = store.trigger(rows[1].id).await.unwrap();
    assert_eq!(found.as_ref(), Some(&rows[1]));
    let unknown = TriggerId(Uuid::now_v7());
    assert_eq!(store.trigger(unknown).await.unwrap(), None);
    // PostgreSQL has no NUL, and one in a guest's text spoils no batch.
    let mut row = trigger(&run, 0, None);
    row.own = OwnTrigger {
        kind: "a\0b".into(),
        arguments: "\0".into(),
    };
    row.progress.note = Some("\0".into());
    store.commit(&triggering(vec![row])).await.unwrap();
    let found = triggers(store).await.remove(2);
    assert_eq!(found.own.kind, "a\u{FFFD}b");
}

async fn what_has_been_due_longest_is_claimed_first_and_nothing_before_its_time(fresh: Fresh) {
    let store = &fresh.store;
    let run = new_run("weather", 1, 1);
    assert_eq!(store.next_trigger_due().await.unwrap(), None);
    let rows = [Some(30), None, Some(10), Some(20), Some(31)].map(|due| trigger(&run, 0, due));
    store.commit(&triggering(rows.to_vec())).await.unwrap();
    assert_eq!(store.next_trigger_due().await.unwrap(), Some(at(10)));
    assert_eq!(claim_triggers(store, host(), 9, 100).await, []);
    let me = host();
    let claimed = claim_triggers(store, me, 30, 100).await;
    let expected = [&rows[2], &rows[3], &rows[0]].map(|row| {
        let lease = Lease {
            host: me,
            token: Token::stored(1),
            until: at(100),
        };
        (row.clone(), lease)
    });
    assert_eq!(claimed, expected);
    assert_eq!(store.next_trigger_due().await.unwrap(), Some(at(31)));
}

async fn a_claim_is_bounded_for_each_team_and_in_all(fresh: Fresh) {
    let store = &fresh.store;
    let run = new_run("weather", 1, 1);
    // One team floods; the others' are due later.
    let mut rows: Vec<_> = (0..50).map(|i| trigger(&run, 0, Some(i))).collect();
    for (i, name) in (0..).zip(["a", "b", "z"]) {
        let row = trigger(&run, 0, Some(100 + i));
        rows.push(of_team(name, row, |row| &mut row.team));
    }
    store.commit(&triggering(rows.clone())).await.unwrap();
    let ids = |claimed: Vec<(TriggerRow, Lease)>| -> Vec<_> {
        claimed.into_iter().map(|(row, _)| row.id).collect()
    };
    let of = |places: &[usize]| -> Vec<_> { places.iter().map(|&i| rows[i].id).collect() };
    let lease = (host(), at(1_000));
    let claimed = store.claim_triggers(lease, at(200), 2, 4).await.unwrap();
    assert_eq!(ids(claimed), of(&[0, 1, 50, 51]));
    let claimed = store.claim_triggers(lease, at(200), 3, 100).await.unwrap();
    assert_eq!(ids(claimed), of(&[2, 3, 4, 52]));
    for (per_team, most) in [(0, 10), (10, 0)] {
        let claimed = store.claim_triggers(lease, at(200), per_team, most).await;
        assert_eq!(claimed.unwrap(), []);
    }
}

async fn nobody_else_holds_a_trigger_until_its_lease_is_over(fresh: Fresh) {
    let (store, run) = (&fresh.store, new_run("weather", 1, 1));
    let row = trigger(&run, 0, Some(1));
    store.commit(&triggering(vec![row.clone()])).await.unwrap();
    let (dead, other) = (host(), host());
    assert_eq!(claim_triggers(store, dead, 5, 100).await.len(), 1);
    assert_eq!(store.next_trigger_due().await.unwrap(), Some(at(100)));
    assert_eq!(claim_triggers(store, other, 99, 150).await, []);
    assert_eq!(claim_triggers(store, dead, 99, 150).await, []);
    let taken = claim_triggers(store, other, 100, 150).await;
    let lease = Lease {
        host: other,
        token: Token::stored(2),
        until: at(150),
    };
    assert_eq!(taken, [(row, lease)]);
}

async fn a_renewed_lease_holds_all_that_the_host_has_claimed(fresh: Fresh) {
    let (store, run) = (&fresh.store, new_run("weather", 1, 1));
    let rows: Vec<_> = (1..=4).map(|due| trigger(&run, 0, Some(due))).collect();
    store.commit(&triggering(rows)).await.unwrap();
    let (alive, dead) = (host(), host());
    assert_eq!(claim_triggers(store, alive, 2, 100).await.len(), 2);
    assert_eq!(claim_triggers(store, dead, 4, 100).await.len(), 2);
    store.renew_triggers(alive, at(200)).await.unwrap();
    let freed = claim_triggers(store, host(), 150, 300).await;
    let due: Vec<_> = freed
        .iter()
        .map(|(row, _)| row.progress.next_poll_at)
        .collect();
    assert_eq!(due, [Some(at(3)), Some(at(4))]);
    // Whoever has lost all renews nothing.
    store.renew_triggers(dead, at(900)).await.unwrap();
    assert_eq!(claim_triggers(store, host(), 300, 400).await.len(), 4);
}

async fn a_poll_under_an_older_claim_writes_nothing(fresh: Fresh) {
    let (store, run) = (&fresh.store, new_run("weather", 1, 1));
    let rows = [1, 1].map(|due| trigger(&run, 0, Some(due)));
    store.commit(&triggering(rows.to_vec())).await.unwrap();
    let me = host();
    let claimed = claim_triggers(store, me, 1, 10).await;
    // The same host again, as after a pause of its whole process.
    let again = store
        .claim_triggers((me, at(20)), at(10), 1, 1)
        .await
        .unwrap();
    let changed = TriggerProgress {
        polls: 9,
        ..progress(Some(50))
    };
    let polls: Vec<_> = claimed
        .iter()
        .map(|(row, lease)| (row.id, *lease, changed.clone()))
        .collect();
    let lost = again[0].0.id;
    assert_eq!(store.polled(&polls).await.unwrap(), [lost]);
    for row in triggers(store).await {
        assert_eq!(row.progress.polls, if row.id == lost { 0 } else { 9 });
    }
    // It is told again, and so is one that another host claims to hold, or that is gone.
    let forged = Lease {
        host: host(),
        ..again[0].1
    };
    assert_eq!(
        store
            .polled(&[(lost, forged, changed.clone())])
            .await
            .unwrap(),
        [lost]
    );
    let gone = Batch {
        gone_triggers: vec![lost],
        ..Batch::default()
    };
    store.commit(&gone).await.unwrap();
    assert_eq!(
        store.polled(&[(lost, again[0].1, changed)]).await.unwrap(),
        [lost]
    );
    assert_eq!(triggers(store).await.len(), 1);
}

async fn a_lease_that_is_over_still_counts_while_nobody_else_has_claimed(fresh: Fresh) {
    let (store, run) = (&fresh.store, new_run("weather", 1, 1));
    store
        .commit(&triggering(vec![trigger(&run, 0, Some(1))]))
        .await
        .unwrap();
    let (row, lease) = claim_triggers(store, host(), 1, 10).await.remove(0);
    assert_eq!(store.next_trigger_due().await.unwrap(), Some(at(10)));
    let late = [(row.id, lease, progress(Some(500)))];
    assert_eq!(store.polled(&late).await.unwrap(), []);
    assert_eq!(store.next_trigger_due().await.unwrap(), Some(at(500)));
}

async fn a_poll_says_when_the_next_one_is(fresh: Fresh) {
    let (store, run) = (&fresh.store, new_run("weather", 1, 1));
    let rows = [1, 2, 3].map(|due| trigger(&run, 0, Some(due)));
    store.commit(&triggering(rows.to_vec())).await.unwrap();
    let claimed = claim_triggers(store, host(), 10, 1_000).await;
    let next = [Some(70), None, Some(60)].map(|due| TriggerProgress {
        state: Some("[1]".into()),
        on: vec![rain()],
        polls: 1,
        last_poll_at: Some(at(11)),
        ..progress(due)
    });
    let polls: Vec<_> = claimed
        .iter()
        .zip(&next)
        .map(|((row, lease), next)| (row.id, *lease, next.clone()))
        .collect();
    assert_eq!(store.polled(&polls).await.unwrap(), []);
    let kept: Vec<_> = triggers(store)
        .await
        .into_iter()
        .map(|row| row.progress)
        .collect();
    assert_eq!(kept, next);
    assert_eq!(store.next_trigger_due().await.unwrap(), Some(at(60)));
    let again: Vec<_> = claim_triggers(store, host(), 70, 1_000).await;
    let ids: Vec<_> = again
        .iter()
        .map(|(row, lease)| (row.id, lease.token.get()))
        .collect();
    assert_eq!(ids, [(rows[2].id, 2), (rows[0].id, 2)]);
}

async fn what_happens_wakes_a_trigger_also_while_it_is_polled(fresh: Fresh) {
    let (store, run) = (&fresh.store, new_run("weather", 1, 1));
    let rows = [None, Some(5), Some(500), Some(1)].map(|due| trigger(&run, 0, due));
    let all: Vec<_> = rows.iter().map(|row| row.id).collect();
    store.commit(&triggering(rows.to_vec())).await.unwrap();
    let polled = claim_triggers(store, host(), 1, 900).await;
    assert_eq!(polled.len(), 1);
    store.wake_triggers(&all, at(20)).await.unwrap();
    store.wake_triggers(&[], at(20)).await.unwrap();
    let due = |rows: &[TriggerRow]| -> Vec<_> {
        rows.iter().map(|row| row.progress.next_poll_at).collect()
    };
    let now = triggers(store).await;
    assert_eq!(
        due(&now),
        [Some(at(20)), Some(at(5)), Some(at(20)), Some(at(1))]
    );
    // The one that was being polled is held still, and due once its poll has ended.
    assert_eq!(claim_triggers(store, host(), 20, 900).await.len(), 3);
    let ended = [(all[3], polled[0].1, progress(None))];
    assert_eq!(store.polled(&ended).await.unwrap(), []);
    let again = claim_triggers(store, host(), 20, 900).await;
    assert_eq!(again.len(), 1);
    assert_eq!(
        (again[0].0.id, again[0].0.progress.next_poll_at),
        (all[3], Some(at(20)))
    );
    // Once: the next poll has seen it.
    let ended = [(all[3], again[0].1, progress(Some(80)))];
    assert_eq!(store.polled(&ended).await.unwrap(), []);
    assert_eq!(store.next_trigger_due().await.unwrap(), Some(at(80)));
}

async fn triggers_whose_polls_fail_are_found(fresh: Fresh) {
    let (store, run) = (&fresh.store, new_run("weather", 1, 1));
    let mut rows = [
        trigger(&run, 0, Some(9)),
        watcher("weather", "north", 8),
        watcher("weather", "south", 7),
    ];
    for row in &mut rows[..2] {
        row.progress.failures = 3;
    }
    store.commit(&triggering(rows.to_vec())).await.unwrap();
    let failing = TriggerFilter {
        failing: true,
        ..TriggerFilter::default()
    };
    let page = Page {
        offset: 0,
        limit: 1,
    };
    let found = store.triggers(&failing, page).await.unwrap();
    assert_eq!((found.items.as_slice(), found.total), (&rows[..1], 2));
    let of_team = TriggerFilter {
        team: Some(team("north")),
        ..failing
    };
    let found = store.triggers(&of_team, Page::ALL).await.unwrap();
    assert_eq!(found.items, rows[1..2]);
}

async fn triggers_are_listed_oldest_first(fresh: Fresh) {
    let (store, run) = (&fresh.store, new_run("weather", 1, 1));
    let rows = [
        trigger(&run, 0, Some(9)),
        watcher("weather", "north", 8),
        trigger(&new_run("other", 1, 1), 0, Some(7)),
        watcher("other", "north", 6),
    ];
    store.commit(&triggering(rows.to_vec())).await.unwrap();
    let list = async |team_of: Option<&str>, dag: Option<&str>, watchers, page| {
        let filter = TriggerFilter {
            team: team_of.map(team),
            dag_id: dag.map(dag_id),
            watchers,
            failing: false,
        };
        let found = store.triggers(&filter, page).await.unwrap();
        let place = |row: TriggerRow| rows.iter().position(|other| *other == row).unwrap();
        (
            found.items.into_iter().map(place).collect::<Vec<_>>(),
            found.total,
        )
    };
    let all = Page::ALL;
    assert_eq!(list(None, None, None, all).await, (vec![0, 1, 2, 3], 4));
    assert_eq!(list(Some("north"), None, None, all).await, (vec![1, 3], 2));
    assert_eq!(list(None, Some("other"), None, all).await, (vec![2, 3], 2));
    assert_eq!(list(None, None, Some(true), all).await, (vec![1, 3], 2));
    assert_eq!(
        list(None, Some("weather"), Some(false), all).await,
        (vec![0], 1)
    );
    let page = Page {
        offset: 1,
        limit: 2,
    };
    assert_eq!(list(None, None, None, page).await, (vec![1, 2], 4));
}
