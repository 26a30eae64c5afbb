//! Mapped tasks become many, and a restart knows how many elements there were.

use std::sync::Arc;

use airlock_model::{
    id::{InstanceIndex, MapIndex, TaskIndex, TaskInstanceKey, Token},
    outcome::Downstream,
    port::*,
    state::TaskState,
};

use crate::{fixture::*, on_both};

on_both! {
    a_mapped_task_becomes_many_in_the_place_of_its_one,
    ten_thousand_instances_are_one_batch,
    an_expansion_over_somebody_elses_is_refused_as_a_whole,
    an_expansion_of_a_run_that_is_gone_is_refused,
    a_grown_expansion_leaves_what_is_there,
    a_restart_knows_the_lengths_of_what_is_mapped_over,
    what_a_task_decided_and_when_it_first_started_is_kept,
}

/// The instances of a run's task from one map index up to another.
pub(crate) fn instances(run: &NewRun, i: u32, of: std::ops::Range<i32>) -> Vec<TaskRow> {
    of.map(|map_index| TaskRow {
        map_index: MapIndex(map_index),
        ..run.tasks[i as usize].clone()
    })
    .collect()
}

fn expanding(run: &NewRun, i: u32, dropped: Option<u64>, rows: Vec<TaskRow>) -> Batch {
    Batch {
        expanded: vec![ExpandedRows {
            run: run.run.key,
            task: TaskIndex(i),
            dropped: dropped.map(Token::stored),
            rows,
        }],
        ..Batch::default()
    }
}

async fn created(fresh: &Fresh, tasks: u32) -> NewRun {
    let run = new_run("weather", 1, tasks);
    let batch = creating(std::slice::from_ref(&run));
    fresh.store.commit(&batch).await.unwrap();
    run
}

async fn a_mapped_task_becomes_many_in_the_place_of_its_one(fresh: Fresh) {
    let store = &fresh.store;
    let run = created(&fresh, 3).await;
    let mut rows = instances(&run, 1, 0..3);
    rows[2].fields.state = Some(TaskState::Scheduled);
    // In the batch of the success that told the length, with a claim of another task.
    let batch = Batch {
        tasks: vec![claimed(&run, 2)],
        ..expanding(&run, 1, Some(0), rows.clone())
    };
    store.commit(&batch).await.unwrap();
    let found = store.task_instances(run.run.key).await.unwrap();
    assert_eq!(found.len(), 5);
    assert_eq!(found[0], run.tasks[0]);
    assert_eq!(found[1..4], rows);
    assert_eq!(found[4].fields, claimed(&run, 2).fields);
}

async fn ten_thousand_instances_are_one_batch(fresh: Fresh) {
    let store = &fresh.store;
    let run = created(&fresh, 1).await;
    let rows = instances(&run, 0, 0..10_000);
    store
        .commit(&expanding(&run, 0, Some(0), rows.clone()))
        .await
        .unwrap();
    assert_eq!(store.task_instances(run.run.key).await.unwrap(), rows);
}

async fn an_expansion_over_somebody_elses_is_refused_as_a_whole(fresh: Fresh) {
    let store = &fresh.store;
    let run = created(&fresh, 3).await;
    let unmapped = |i| key(&run, i);
    let refused = async |batch: &Batch| match store.commit(batch).await {
        Err(CommitError::Fenced(keys)) => keys,
        unexpected => panic!("{unexpected:?}"),
    };
    // Somebody else has claimed the unexpanded instance.
    store.commit(&moving(vec![claimed(&run, 1)])).await.unwrap();
    let before = store.task_instances(run.run.key).await.unwrap();
    let batch = Batch {
        tasks: vec![claimed(&run, 0)],
        ..expanding(&run, 1, Some(0), instances(&run, 1, 0..2))
    };
    assert_eq!(refused(&batch).await, [unmapped(1)]);
    assert_eq!(store.task_instances(run.run.key).await.unwrap(), before);

    // Somebody else has expanded the task already: its one is gone, and some of the many are there.
    let theirs = expanding(&run, 2, Some(0), instances(&run, 2, 0..2));
    store.commit(&theirs).await.unwrap();
    let before = store.task_instances(run.run.key).await.unwrap();
    let batch = expanding(&run, 2, Some(0), instances(&run, 2, 1..4));
    let mut mapped = unmapped(2);
    mapped.map_index = MapIndex(1);
    assert_eq!(refused(&batch).await, [unmapped(2), mapped]);
    let batch = expanding(&run, 2, None, instances(&run, 2, 1..4));
    assert_eq!(refused(&batch).await, [mapped]);
    assert_eq!(store.task_instances(run.run.key).await.unwrap(), before);
}

async fn an_expansion_of_a_run_that_is_gone_is_refused(fresh: Fresh) {
    let run = new_run("weather", 1, 1);
    let batch = expanding(&run, 0, None, instances(&run, 0, 0..2));
    let refused = fresh.store.commit(&batch).await;
    assert!(
        matches!(refused, Err(CommitError::Store(StoreError::Refused(_)))),
        "{refused:?}"
    );
    let found = fresh.store.task_instances(run.run.key).await.unwrap();
    assert_eq!(found, []);
}

async fn a_grown_expansion_leaves_what_is_there(fresh: Fresh) {
    let store = &fresh.store;
    let run = created(&fresh, 1).await;
    let rows = instances(&run, 0, 0..4);
    for batch in [
        expanding(&run, 0, Some(0), rows[..2].to_vec()),
        expanding(&run, 0, None, rows[2..].to_vec()),
        expanding(&run, 0, None, vec![]),
    ] {
        store.commit(&batch).await.unwrap();
    }
    assert_eq!(store.task_instances(run.run.key).await.unwrap(), rows);
}

async fn a_restart_knows_the_lengths_of_what_is_mapped_over(fresh: Fresh) {
    let store = &fresh.store;
    let run = created(&fresh, 3).await;
    let write = |i, name: &str, length| XcomWrite {
        key: key(&run, i),
        name: name.into(),
        value: Some("[1,2]".into()),
        spilled: None,
        length,
        at: at(1),
    };
    let mut of_instance = write(0, RETURN_VALUE, Some(1));
    of_instance.key.map_index = MapIndex(4);
    let batch = Batch {
        xcoms: vec![
            of_instance,
            write(0, RETURN_VALUE, Some(2)),
            write(1, RETURN_VALUE, None),
            write(2, "other", Some(9)),
        ],
        ..Batch::default()
    };
    store.commit(&batch).await.unwrap();
    let mapped = InstanceIndex {
        task: TaskIndex(0),
        map_index: MapIndex(4),
    };
    let unmapped = InstanceIndex::unmapped(TaskIndex(0));
    let lengths = async || {
        let one = store.stored_run(run.run.key).await.unwrap().unwrap();
        let all = store.unfinished().await.unwrap();
        assert_eq!(all, std::slice::from_ref(&one));
        one.returned
    };
    assert_eq!(lengths().await, [(unmapped, 2), (mapped, 1)]);
    // A later try returns something else; and one of which nothing is known any more.
    let batch = Batch {
        xcoms: vec![write(0, RETURN_VALUE, Some(u32::MAX))],
        forget_xcoms: vec![TaskInstanceKey {
            map_index: MapIndex(4),
            ..key(&run, 0)
        }],
        ..Batch::default()
    };
    store.commit(&batch).await.unwrap();
    assert_eq!(lengths().await, [(unmapped, u32::MAX)]);
}

async fn what_a_task_decided_and_when_it_first_started_is_kept(fresh: Fresh) {
    let store = &fresh.store;
    let mut run = new_run("weather", 1, 3);
    let followed = ["left", "gr\u{0}up"].map(String::from).to_vec();
    run.tasks[0].fields.downstream = Some(Arc::new(Downstream::Follow(followed)));
    run.tasks[1].fields.first_started_at = Some(at(-7));
    store
        .commit(&creating(std::slice::from_ref(&run)))
        .await
        .unwrap();
    assert_eq!(store.task_instances(run.run.key).await.unwrap(), run.tasks);
    for downstream in [
        Downstream::Free,
        Downstream::Skip { all: true },
        Downstream::Follow(vec![]),
    ] {
        let change = moved(&run, 2, |fields| {
            fields.downstream = Some(Arc::new(downstream));
            fields.first_started_at = Some(at(9));
        });
        store.commit(&moving(vec![change.clone()])).await.unwrap();
        let found = store.task_instances(run.run.key).await.unwrap();
        assert_eq!(found[2].fields, change.fields);
    }
}
