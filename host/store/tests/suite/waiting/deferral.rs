//! Task instances that wait, and triggers that fire.

use std::sync::Arc;

use airlock_model::{
    id::{DefinitionHash, TaskIndex, Token},
    port::*,
    state::TaskState,
    trigger::{Trigger, TriggerEvent},
};

use super::*;
use crate::on_both;

on_both! {
    what_a_task_instance_waits_for_comes_back,
    a_task_instance_defers_and_its_trigger_begins_together_or_not_at_all,
    a_trigger_goes_with_the_move_of_its_task_instance_or_not_at_all,
    a_trigger_moves_with_its_task_instance_to_another_version,
    thousands_of_triggers_begin_and_go_in_a_batch_each,
}

async fn what_a_task_instance_waits_for_comes_back(fresh: Fresh) {
    let store = &fresh.store;
    let mut run = new_run("weather", 1, 3);
    run.tasks[0].fields.deferred = Some(Arc::new(Deferred {
        trigger: Trigger::Time(at(77)),
        until: None,
        ..waiting()
    }));
    store
        .commit(&creating(std::slice::from_ref(&run)))
        .await
        .unwrap();
    assert_eq!(store.task_instances(run.run.key).await.unwrap(), run.tasks);

    let mut change = deferred(&run, 1);
    store.commit(&moving(vec![change.clone()])).await.unwrap();
    let stored = store.unfinished().await.unwrap();
    assert_eq!(stored[0].tasks[1].fields, change.fields);
    for event in [
        Some(TriggerEvent::Fired("{\"at\": \"\u{1b}☔\"}".into())),
        Some(TriggerEvent::TimedOut),
        Some(TriggerEvent::Failed("it\nfell".into())),
        None,
    ] {
        change.expected = change.fields.token;
        change.fields.deferred = event.map(|event| {
            Arc::new(Deferred {
                event: Some(event),
                ..waiting()
            })
        });
        store.commit(&moving(vec![change.clone()])).await.unwrap();
        let tasks = store.task_instances(run.run.key).await.unwrap();
        assert_eq!(tasks[1].fields, change.fields);
    }
}

async fn a_task_instance_defers_and_its_trigger_begins_together_or_not_at_all(fresh: Fresh) {
    let store = &fresh.store;
    let run = new_run("weather", 1, 1);
    let batch = Batch {
        new_triggers: vec![trigger(&run, 0, Some(5))],
        ..moving(vec![deferred(&run, 0)])
    };
    // There is no such task instance yet.
    let refused = store.commit(&batch).await;
    assert!(
        matches!(refused, Err(CommitError::Fenced(_))),
        "{refused:?}"
    );
    assert_eq!(triggers(store).await, []);
    store
        .commit(&creating(std::slice::from_ref(&run)))
        .await
        .unwrap();
    store.commit(&batch).await.unwrap();
    assert_eq!(triggers(store).await, batch.new_triggers);
    // A batch that was written is not written again.
    let refused = store.commit(&triggering(batch.new_triggers.clone())).await;
    assert!(
        matches!(refused, Err(CommitError::Store(StoreError::Exists(_)))),
        "{refused:?}"
    );
}

async fn a_trigger_goes_with_the_move_of_its_task_instance_or_not_at_all(fresh: Fresh) {
    let store = &fresh.store;
    let run = new_run("weather", 1, 2);
    store
        .commit(&creating(std::slice::from_ref(&run)))
        .await
        .unwrap();
    let rows = [trigger(&run, 0, Some(5)), trigger(&run, 1, Some(5))];
    let batch = Batch {
        new_triggers: rows.to_vec(),
        ..moving(vec![deferred(&run, 0), deferred(&run, 1)])
    };
    store.commit(&batch).await.unwrap();
    let fired = |token: u64| {
        let mut change = deferred(&run, 0);
        change.expected = Token::stored(token);
        change.fields.state = Some(TaskState::Scheduled);
        change.fields.deferred = Some(Arc::new(Deferred {
            event: Some(TriggerEvent::Fired("1".into())),
            ..waiting()
        }));
        Batch {
            gone_triggers: vec![rows[0].id],
            ..moving(vec![change])
        }
    };
    let refused = store.commit(&fired(7)).await;
    assert!(
        matches!(refused, Err(CommitError::Fenced(_))),
        "{refused:?}"
    );
    assert_eq!(triggers(store).await, rows);
    store.commit(&fired(1)).await.unwrap();
    assert_eq!(triggers(store).await, rows[1..]);
    let tasks = store.task_instances(run.run.key).await.unwrap();
    assert_eq!(tasks[0].fields.state, Some(TaskState::Scheduled));
    // Of one that is not there nothing is said.
    let again = Batch {
        gone_triggers: rows.iter().map(|row| row.id).collect(),
        ..Batch::default()
    };
    store.commit(&again).await.unwrap();
    assert_eq!(triggers(store).await, []);
}

async fn a_trigger_moves_with_its_task_instance_to_another_version(fresh: Fresh) {
    let store = &fresh.store;
    let (run, other) = (new_run("weather", 1, 3), new_run("weather", 2, 3));
    store
        .commit(&creating(&[run.clone(), other.clone()]))
        .await
        .unwrap();
    let rows = [
        trigger(&run, 0, None),
        trigger(&run, 1, Some(5)),
        trigger(&other, 1, Some(5)),
    ];
    store.commit(&triggering(rows.to_vec())).await.unwrap();
    let batch = Batch {
        repinned: vec![Repin {
            run: run.run.key,
            hash: hash(8),
            definition: DefinitionHash::from_bytes([9; 32]),
            moved: vec![(TaskIndex(0), TaskIndex(1)), (TaskIndex(1), TaskIndex(0))],
            added: Vec::new(),
        }],
        ..Batch::default()
    };
    store.commit(&batch).await.unwrap();
    let found = triggers(store).await;
    let place = |row: &TriggerRow| match &row.owner {
        TriggerOwner::Task { key, .. } => key.task.0,
        TriggerOwner::Watcher { .. } => panic!("{row:?}"),
    };
    assert_eq!(found.iter().map(place).collect::<Vec<_>>(), [1, 0, 1]);
    assert_eq!(
        found.iter().map(|row| row.hash).collect::<Vec<_>>(),
        [hash(8), hash(8), hash(1)]
    );
}

async fn thousands_of_triggers_begin_and_go_in_a_batch_each(fresh: Fresh) {
    let store = &fresh.store;
    let run = new_run("weather", 1, 1);
    let rows: Vec<_> = (0..5_000).map(|i| trigger(&run, 0, Some(i))).collect();
    store.commit(&triggering(rows.clone())).await.unwrap();
    assert_eq!(triggers(store).await.len(), 5_000);
    let claimed = claim_triggers(store, host(), 99, 200).await;
    let due: Vec<_> = claimed.iter().map(|(row, _)| row.id).collect();
    assert_eq!(
        due,
        rows[..100].iter().map(|row| row.id).collect::<Vec<_>>()
    );
    let gone = Batch {
        gone_triggers: rows.iter().map(|row| row.id).collect(),
        ..Batch::default()
    };
    store.commit(&gone).await.unwrap();
    assert_eq!(triggers(store).await, []);
    assert_eq!(store.next_trigger_due().await.unwrap(), None);
}
