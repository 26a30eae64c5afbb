//! Runs that are moved to another version of their DAG.

use airlock_model::{
    id::{DefinitionHash, MapIndex, TaskId, TaskIndex, TaskInstanceKey},
    port::*,
    state::{RunState, RunType, TaskState},
};

use crate::{expansion::instances, fixture::*, on_both};

on_both! {
    a_runs_past_moves_along_with_it,
    a_moved_run_goes_on_in_the_same_batch,
    a_move_under_somebody_elses_claim_is_refused_by_its_new_place,
    a_run_that_is_not_there_cannot_move,
    a_cleared_run_is_queued_again,
}

fn repin(run: &NewRun, moved: &[(u32, u32)], added: Vec<TaskRow>) -> Repin {
    let moved = moved.iter();
    Repin {
        run: run.run.key,
        hash: hash(8),
        definition: DefinitionHash::from_bytes([9; 32]),
        moved: moved
            .map(|&(from, to)| (TaskIndex(from), TaskIndex(to)))
            .collect(),
        added,
    }
}

fn repinning(run: &NewRun, moved: &[(u32, u32)], added: Vec<TaskRow>) -> Batch {
    Batch {
        repinned: vec![repin(run, moved, added)],
        ..Batch::default()
    }
}

fn at_place(row: &TaskRow, task: u32) -> TaskRow {
    TaskRow {
        task: TaskIndex(task),
        ..row.clone()
    }
}

fn xcom(run: &NewRun, i: u32) -> XcomWrite {
    XcomWrite {
        key: key(run, i),
        name: RETURN_VALUE.into(),
        value: Some(format!("\"of task {i}\"").into()),
        spilled: None,
        length: Some(i),
        at: at(1),
    }
}

async fn a_runs_past_moves_along_with_it(fresh: Fresh) {
    let store = &fresh.store;
    let (mut run, other) = (new_run("weather", 1, 4), new_run("weather", 2, 4));
    store
        .commit(&creating(&[run.clone(), other.clone()]))
        .await
        .unwrap();
    // Task 1 has a past try and a second one, and is mapped; all have XComs.
    for (state, ended) in [(TaskState::Queued, None), (TaskState::UpForRetry, Some(5))] {
        let change = moved(&run, 1, |fields| {
            fields.state = Some(state);
            fields.ended_at = ended.map(at);
            fields.token = fields.token.next();
        });
        run.tasks[1].fields = change.fields.clone();
        store.commit(&moving(vec![change])).await.unwrap();
    }
    let retry = claimed(&run, 1);
    run.tasks[1].fields = retry.fields.clone();
    let many = instances(&run, 2, 0..3);
    let batch = Batch {
        expanded: vec![ExpandedRows {
            run: run.run.key,
            task: TaskIndex(2),
            dropped: Some(run.tasks[2].fields.token),
            rows: many.clone(),
        }],
        xcoms: (0..4)
            .map(|i| xcom(&run, i))
            .chain([xcom(&other, 1)])
            .collect(),
        ..moving(vec![retry])
    };
    store.commit(&batch).await.unwrap();

    // Two swap, one makes a round of three with the gone, one stays; one is new.
    let added = TaskRow {
        task_id: TaskId::new("new").unwrap(),
        ..at_place(&run.tasks[0], 3)
    };
    let batch = repinning(&run, &[(1, 2), (2, 1), (3, 4), (0, 0)], vec![added.clone()]);
    store.commit(&batch).await.unwrap();

    let stored = store.stored_run(run.run.key).await.unwrap().unwrap();
    assert_eq!(stored.run.hash, hash(8));
    assert_eq!(stored.run.definition, DefinitionHash::from_bytes([9; 32]));
    let mut expected = vec![run.tasks[0].clone()];
    expected.extend(many.iter().map(|row| at_place(row, 1)));
    expected.push(at_place(&run.tasks[1], 2));
    expected.push(added);
    expected.push(at_place(&run.tasks[3], 4));
    assert_eq!(stored.tasks, expected);
    let lengths: Vec<_> = stored
        .returned
        .iter()
        .map(|(at, n)| (at.task.0, *n))
        .collect();
    assert_eq!(lengths, [(0, 0), (1, 2), (2, 1), (4, 3)]);
    let value = async |task| {
        let task = TaskIndex(task);
        let found = store.xcom_of(run.run.key, task, MapIndex::UNMAPPED, RETURN_VALUE);
        found.await.unwrap()
    };
    assert_eq!(value(2).await.as_deref(), Some("\"of task 1\""));
    assert_eq!(value(4).await.as_deref(), Some("\"of task 3\""));
    assert_eq!(value(3).await, None);
    let tries = |task| {
        store.past_tries(TaskInstanceKey {
            task: TaskIndex(task),
            ..key(&run, 0)
        })
    };
    assert_eq!(tries(1).await.unwrap(), []);
    assert_eq!(tries(2).await.unwrap().len(), 1);
    // Nothing of another run.
    let stored = store.stored_run(other.run.key).await.unwrap().unwrap();
    assert_eq!((&stored.run, &stored.tasks), (&other.run, &other.tasks));
}

async fn a_moved_run_goes_on_in_the_same_batch(fresh: Fresh) {
    let store = &fresh.store;
    let run = new_run("weather", 1, 2);
    store
        .commit(&creating(std::slice::from_ref(&run)))
        .await
        .unwrap();
    let mut claim = claimed(&run, 0);
    claim.key.task = TaskIndex(1);
    let batch = Batch {
        tasks: vec![claim.clone()],
        ..repinning(&run, &[(0, 1), (1, 0)], vec![])
    };
    store.commit(&batch).await.unwrap();
    let found = store.task_instances(run.run.key).await.unwrap();
    assert_eq!(found[0], at_place(&run.tasks[1], 0));
    assert_eq!(found[1].task_id, run.tasks[0].task_id);
    assert_eq!(found[1].fields, claim.fields);
}

async fn a_move_under_somebody_elses_claim_is_refused_by_its_new_place(fresh: Fresh) {
    let store = &fresh.store;
    let run = new_run("weather", 1, 3);
    store
        .commit(&creating(std::slice::from_ref(&run)))
        .await
        .unwrap();
    store.commit(&moving(vec![claimed(&run, 0)])).await.unwrap();
    let before = store.stored_run(run.run.key).await.unwrap();
    let at_new = |from: u32, to: u32| {
        let mut change = claimed(&run, from);
        change.key.task = TaskIndex(to);
        change
    };
    let batch = Batch {
        tasks: vec![at_new(0, 1), at_new(1, 0), at_new(2, 2)],
        ..repinning(&run, &[(0, 1), (1, 0)], vec![])
    };
    match store.commit(&batch).await {
        Err(CommitError::Fenced(keys)) => assert_eq!(keys, [key(&run, 1)]),
        unexpected => panic!("{unexpected:?}"),
    }
    assert_eq!(store.stored_run(run.run.key).await.unwrap(), before);
    // A place that is taken.
    let batch = repinning(&run, &[], vec![at_place(&run.tasks[0], 2)]);
    match store.commit(&batch).await {
        Err(CommitError::Fenced(keys)) => assert_eq!(keys, [key(&run, 2)]),
        unexpected => panic!("{unexpected:?}"),
    }
    // Two tasks to one place.
    let batch = repinning(&run, &[(0, 1)], vec![]);
    let refused = store.commit(&batch).await;
    assert!(matches!(refused, Err(CommitError::Store(_))), "{refused:?}");
    assert_eq!(store.stored_run(run.run.key).await.unwrap(), before);
}

async fn a_run_that_is_not_there_cannot_move(fresh: Fresh) {
    let run = new_run("weather", 1, 1);
    for batch in [
        repinning(&run, &[(0, 1)], vec![]),
        repinning(&run, &[], run.tasks.clone()),
    ] {
        let refused = fresh.store.commit(&batch).await;
        assert!(
            matches!(refused, Err(CommitError::Store(StoreError::Refused(_)))),
            "{refused:?}"
        );
    }
}

async fn a_cleared_run_is_queued_again(fresh: Fresh) {
    let store = &fresh.store;
    let mut run = new_run("weather", 1, 0);
    run.run.state = RunState::Failed;
    store
        .commit(&creating(std::slice::from_ref(&run)))
        .await
        .unwrap();
    let change = |state, queued_at, clear_number| Batch {
        runs: vec![RunChange {
            key: run.run.key,
            state,
            started_at: None,
            ended_at: None,
            queued_at,
            ends_as: None,
            clear_number,
            backfill: None,
            run_type: RunType::Scheduled,
        }],
        ..Batch::default()
    };
    let found = async || store.stored_run(run.run.key).await.unwrap().unwrap().run;
    store
        .commit(&change(RunState::Queued, Some(at(77)), 1))
        .await
        .unwrap();
    let cleared = RunRow {
        state: RunState::Queued,
        queued_at: at(77),
        ends_as: None,
        clear_number: 1,
        ..run.run.clone()
    };
    assert_eq!(found().await, cleared);
    store
        .commit(&change(RunState::Running, None, 1))
        .await
        .unwrap();
    assert_eq!(found().await.queued_at, at(77));
}
