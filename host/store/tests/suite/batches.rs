//! A batch: all of it or nothing, and never on top of somebody else's move.

use airlock_model::{
    id::{MapIndex, RunId, RunKey, TaskIndex, Token},
    outcome::{FailureKind, Limit},
    port::*,
    state::{RunState, RunType, TaskState},
};

use crate::{fixture::*, on_both};

on_both! {
    everything_of_a_batch_comes_back,
    an_empty_batch_needs_no_database,
    a_moved_task_instance_refuses_the_whole_batch,
    a_task_instance_that_does_not_exist_is_fenced,
    a_run_that_does_not_exist_refuses_the_whole_batch,
    a_task_instance_twice_in_a_batch_is_refused,
    the_same_run_id_or_logical_date_exists_already,
    two_new_runs_of_one_batch_collide_too,
    runs_without_logical_date_do_not_collide,
    a_run_and_its_first_claims_fit_in_one_batch,
    a_nul_in_a_guests_text_spoils_no_batch,
    past_tries_stay_known,
    a_large_batch_is_one_batch,
    a_batch_works_after_one_that_failed,
}

async fn everything_of_a_batch_comes_back(fresh: Fresh) {
    let store = &fresh.store;
    let mut run = new_run("weather", 1, 3);
    run.tasks[1].map_index = MapIndex(7);
    run.tasks[1].pool_slots = u32::MAX;
    run.tasks[1].priority = i64::MIN;
    run.run.conf = r#"{"city": "Seattle \u0000 ☔"}"#.into();
    let progress = DagProgress {
        dag_id: dag_id("weather"),
        last_interval: (at(1), at(2)),
        last_run_after: at(2),
    };
    let batch = Batch {
        progress: vec![progress.clone()],
        ..creating(std::slice::from_ref(&run))
    };
    store.commit(&batch).await.unwrap();
    assert_eq!(
        store.stored_run(run.run.key).await.unwrap().unwrap().run,
        run.run
    );
    assert_eq!(store.task_instances(run.run.key).await.unwrap(), run.tasks);
    assert_eq!(
        store.progress().await.unwrap(),
        std::slice::from_ref(&progress)
    );

    let mut change = moved(&run, 2, |fields| {
        fields.state = Some(TaskState::Failed);
        fields.try_number = 2;
        fields.max_tries = u32::MAX;
        fields.token = Token::stored(i64::MAX as u64);
        fields.queued_at = Some(at(-1));
        fields.started_at = Some(at(2));
        fields.ended_at = Some(at(3));
        fields.next_try_at = Some(at(4));
        fields.note = Some("memory \"limit\" ☔".into());
        fields.failure = Some(FailureKind::Limit(Limit::Memory));
    });
    let batch = Batch {
        progress: vec![DagProgress {
            last_run_after: at(9),
            ..progress.clone()
        }],
        runs: vec![RunChange {
            key: run.run.key,
            state: RunState::Failed,
            started_at: Some(at(20)),
            ended_at: Some(at(30)),
            queued_at: None,
            ends_as: None,
            clear_number: 0,
            backfill: None,
            run_type: RunType::Scheduled,
        }],
        ..moving(vec![change.clone()])
    };
    store.commit(&batch).await.unwrap();
    let stored = store.stored_run(run.run.key).await.unwrap().unwrap();
    assert_eq!(stored.tasks[2].fields, change.fields);
    assert_eq!(stored.tasks[..2], run.tasks[..2]);
    assert_eq!(
        (stored.run.state, stored.run.started_at, stored.run.ended_at),
        (RunState::Failed, Some(at(20)), Some(at(30)))
    );
    assert_eq!(store.progress().await.unwrap()[0].last_run_after, at(9));

    // Every column can be emptied again.
    change.expected = change.fields.token;
    change.fields = run.tasks[2].fields.clone();
    store.commit(&moving(vec![change])).await.unwrap();
    assert_eq!(store.task_instances(run.run.key).await.unwrap(), run.tasks);
}

async fn an_empty_batch_needs_no_database(fresh: Fresh) {
    fresh.store.close().await;
    fresh.store.commit(&Batch::default()).await.unwrap();
}

async fn a_moved_task_instance_refuses_the_whole_batch(fresh: Fresh) {
    let store = &fresh.store;
    let run = new_run("weather", 1, 3);
    store
        .commit(&creating(std::slice::from_ref(&run)))
        .await
        .unwrap();
    store.commit(&moving(vec![claimed(&run, 1)])).await.unwrap();
    let before = store.stored_run(run.run.key).await.unwrap();

    // Task 1 has moved meanwhile; the batch still takes it to be unclaimed.
    let other = new_run("weather", 2, 1);
    let batch = Batch {
        progress: vec![DagProgress {
            dag_id: dag_id("weather"),
            last_interval: (at(1), at(2)),
            last_run_after: at(2),
        }],
        tasks: vec![claimed(&run, 0), claimed(&run, 1), claimed(&run, 2)],
        xcoms: vec![XcomWrite {
            key: key(&run, 0),
            name: RETURN_VALUE.into(),
            value: Some("1".into()),
            spilled: None,
            length: None,
            at: at(1),
        }],
        runs: vec![RunChange {
            key: run.run.key,
            state: RunState::Success,
            started_at: None,
            ended_at: Some(at(1)),
            queued_at: None,
            ends_as: None,
            clear_number: 0,
            backfill: None,
            run_type: RunType::Scheduled,
        }],
        ..creating(std::slice::from_ref(&other))
    };
    match store.commit(&batch).await {
        Err(CommitError::Fenced(keys)) => assert_eq!(keys, [key(&run, 1)]),
        unexpected => panic!("{unexpected:?}"),
    }
    assert_eq!(store.stored_run(run.run.key).await.unwrap(), before);
    assert_eq!(store.stored_run(other.run.key).await.unwrap(), None);
    assert!(store.progress().await.unwrap().is_empty());
    let xcom = store
        .xcom_of(run.run.key, TaskIndex(0), MapIndex::UNMAPPED, RETURN_VALUE)
        .await;
    assert_eq!(xcom.unwrap(), None);
}

async fn a_task_instance_that_does_not_exist_is_fenced(fresh: Fresh) {
    let run = new_run("weather", 1, 1);
    match fresh.store.commit(&moving(vec![claimed(&run, 0)])).await {
        Err(CommitError::Fenced(keys)) => assert_eq!(keys, [key(&run, 0)]),
        unexpected => panic!("{unexpected:?}"),
    }
}

async fn a_run_that_does_not_exist_refuses_the_whole_batch(fresh: Fresh) {
    let store = &fresh.store;
    let run = new_run("weather", 1, 1);
    store
        .commit(&creating(std::slice::from_ref(&run)))
        .await
        .unwrap();
    let batch = Batch {
        runs: vec![RunChange {
            key: new_run("weather", 2, 0).run.key,
            state: RunState::Success,
            started_at: None,
            ended_at: None,
            queued_at: None,
            ends_as: None,
            clear_number: 0,
            backfill: None,
            run_type: RunType::Scheduled,
        }],
        ..moving(vec![claimed(&run, 0)])
    };
    let refused = store.commit(&batch).await;
    assert!(
        matches!(refused, Err(CommitError::Store(StoreError::Refused(_)))),
        "{refused:?}"
    );
    assert_eq!(store.task_instances(run.run.key).await.unwrap(), run.tasks);
}

async fn a_task_instance_twice_in_a_batch_is_refused(fresh: Fresh) {
    let store = &fresh.store;
    let run = new_run("weather", 1, 1);
    store
        .commit(&creating(std::slice::from_ref(&run)))
        .await
        .unwrap();
    let refused = store
        .commit(&moving(vec![claimed(&run, 0), claimed(&run, 0)]))
        .await;
    assert!(
        matches!(refused, Err(CommitError::Store(StoreError::Refused(_)))),
        "{refused:?}"
    );
    assert_eq!(store.task_instances(run.run.key).await.unwrap(), run.tasks);
}

async fn the_same_run_id_or_logical_date_exists_already(fresh: Fresh) {
    let store = &fresh.store;
    let run = new_run("weather", 1, 1);
    store
        .commit(&creating(std::slice::from_ref(&run)))
        .await
        .unwrap();
    let mut same_id = new_run("weather", 2, 1);
    same_id.run.run_id = run.run.run_id.clone();
    let mut same_date = new_run("weather", 3, 1);
    same_date.run.logical_date = run.run.logical_date;
    let fine = new_run("weather", 4, 1);
    let of_another_dag = new_run("other", 1, 1);
    let batch = creating(&[
        same_id.clone(),
        fine.clone(),
        same_date.clone(),
        of_another_dag,
    ]);
    match store.commit(&batch).await {
        Err(CommitError::RunExists(mut keys)) => {
            keys.sort_unstable();
            assert_eq!(keys, [same_id.run.key, same_date.run.key]);
        }
        unexpected => panic!("{unexpected:?}"),
    }
    assert_eq!(store.stored_run(fine.run.key).await.unwrap(), None);
    // Writing the very same run again is no different.
    match store.commit(&creating(std::slice::from_ref(&run))).await {
        Err(CommitError::RunExists(keys)) => assert_eq!(keys, [run.run.key]),
        unexpected => panic!("{unexpected:?}"),
    }
}

async fn two_new_runs_of_one_batch_collide_too(fresh: Fresh) {
    let (first, mut second) = (new_run("weather", 1, 1), new_run("weather", 2, 1));
    second.run.logical_date = first.run.logical_date;
    match fresh
        .store
        .commit(&creating(&[first.clone(), second.clone()]))
        .await
    {
        Err(CommitError::RunExists(keys)) => assert_eq!(keys, [second.run.key]),
        unexpected => panic!("{unexpected:?}"),
    }
    assert_eq!(fresh.store.stored_run(first.run.key).await.unwrap(), None);
}

async fn runs_without_logical_date_do_not_collide(fresh: Fresh) {
    let runs: Vec<NewRun> = (0..3)
        .map(|i| {
            let mut run = new_run("asset", i, 1);
            (run.run.logical_date, run.run.data_interval) = (None, None);
            run
        })
        .collect();
    fresh.store.commit(&creating(&runs)).await.unwrap();
    let stored = fresh
        .store
        .stored_run(runs[0].run.key)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(stored.run, runs[0].run);
}

async fn a_run_and_its_first_claims_fit_in_one_batch(fresh: Fresh) {
    let store = &fresh.store;
    let run = new_run("weather", 1, 2);
    let batch = Batch {
        tasks: vec![claimed(&run, 0)],
        runs: vec![RunChange {
            key: run.run.key,
            state: RunState::Running,
            started_at: Some(at(6)),
            ended_at: None,
            queued_at: None,
            ends_as: None,
            clear_number: 0,
            backfill: None,
            run_type: RunType::Scheduled,
        }],
        ..creating(std::slice::from_ref(&run))
    };
    store.commit(&batch).await.unwrap();
    let stored = store.stored_run(run.run.key).await.unwrap().unwrap();
    assert_eq!(stored.run.state, RunState::Running);
    assert_eq!(stored.tasks[0].fields.state, Some(TaskState::Queued));
    assert_eq!(stored.tasks[1].fields.state, None);
}

async fn a_nul_in_a_guests_text_spoils_no_batch(fresh: Fresh) {
    let store = &fresh.store;
    let run = new_run("weather", 1, 1);
    store
        .commit(&creating(std::slice::from_ref(&run)))
        .await
        .unwrap();
    let batch = Batch {
        xcoms: vec![XcomWrite {
            key: key(&run, 0),
            name: "k\0".into(),
            value: Some(r#""a\u0000b""#.into()),
            spilled: None,
            length: None,
            at: at(1),
        }],
        ..moving(vec![moved(&run, 0, |fields| {
            fields.note = Some("no\0te".into())
        })])
    };
    store.commit(&batch).await.unwrap();
    let stored = store.task_instances(run.run.key).await.unwrap();
    assert_eq!(stored[0].fields.note.as_deref(), Some("no\u{FFFD}te"));
    let xcom = store
        .xcom_of(run.run.key, TaskIndex(0), MapIndex::UNMAPPED, "k\0")
        .await
        .unwrap();
    assert_eq!(
        xcom.as_deref(),
        Some(r#""a\u0000b""#),
        "an escaped one is the value's own business"
    );
}

async fn past_tries_stay_known(fresh: Fresh) {
    let store = &fresh.store;
    let mut run = new_run("weather", 1, 1);
    store
        .commit(&creating(std::slice::from_ref(&run)))
        .await
        .unwrap();
    let mut to = async |change: &mut (dyn FnMut(&mut TaskFields) + Send)| {
        let change = moved(&run, 0, |fields| change(fields));
        run.tasks[0].fields = change.fields.clone();
        store.commit(&moving(vec![change])).await.unwrap();
    };
    let mut claim = |fields: &mut TaskFields| {
        fields.state = Some(TaskState::Queued);
        fields.token = fields.token.next();
        fields.try_number += 1;
    };
    to(&mut claim).await;
    to(&mut |fields| {
        fields.state = Some(TaskState::UpForRetry);
        fields.ended_at = Some(at(100));
        fields.failure = Some(FailureKind::Trap);
        fields.note = Some("boom".into());
    })
    .await;
    assert_eq!(
        store
            .past_tries(key(&new_run_like(store).await, 0))
            .await
            .unwrap(),
        []
    );
    to(&mut claim).await;
    to(&mut |fields| {
        fields.state = Some(TaskState::Success);
        fields.ended_at = Some(at(200));
        (fields.failure, fields.note) = (None, None);
    })
    .await;
    // Cleared, which forgets the end, and run once more.
    to(&mut |fields| (fields.state, fields.ended_at) = (None, None)).await;
    to(&mut claim).await;

    let tries = store.past_tries(key(&run, 0)).await.unwrap();
    let told: Vec<_> = tries
        .iter()
        .map(|t| (t.try_number, t.token.get(), t.state, t.ended_at))
        .collect();
    assert_eq!(
        told,
        [
            (1, 1, TaskState::Failed, at(100)),
            (2, 2, TaskState::Success, at(200))
        ]
    );
    assert_eq!(tries[0].failure, Some(FailureKind::Trap));
    assert_eq!(tries[0].note.as_deref(), Some("boom"));
}

/// Another run, whose task instances have no past.
async fn new_run_like(store: &airlock_store::Store) -> NewRun {
    let run = new_run("other", 1, 1);
    store
        .commit(&creating(std::slice::from_ref(&run)))
        .await
        .unwrap();
    run
}

async fn a_large_batch_is_one_batch(fresh: Fresh) {
    let store = &fresh.store;
    let run = new_run("wide", 1, 20_000);
    store
        .commit(&creating(std::slice::from_ref(&run)))
        .await
        .unwrap();
    let changes: Vec<TaskChange> = (0..20_000).map(|i| claimed(&run, i)).collect();
    store.commit(&moving(changes.clone())).await.unwrap();
    let stored = store.task_instances(run.run.key).await.unwrap();
    assert_eq!(stored.len(), 20_000);
    assert!(stored.iter().all(|task| task.fields == changes[0].fields));
    match store.commit(&moving(changes)).await {
        Err(CommitError::Fenced(keys)) => assert_eq!(keys.len(), 20_000),
        unexpected => panic!("{unexpected:?}"),
    }
}

async fn a_batch_works_after_one_that_failed(fresh: Fresh) {
    let store = &fresh.store;
    let run = new_run("weather", 1, 1);
    store
        .commit(&creating(std::slice::from_ref(&run)))
        .await
        .unwrap();
    for number in 0..20 {
        store
            .commit(&creating(std::slice::from_ref(&run)))
            .await
            .unwrap_err();
        let mut next = new_run("weather", 10 + number, 1);
        next.run.run_id = RunId::new(format!("manual__{number}")).unwrap();
        store.commit(&creating(&[next])).await.unwrap();
    }
    let runs = store.runs(&RunFilter::default(), Page::ALL).await.unwrap();
    assert_eq!(runs.total, 21);
    assert!(
        runs.items
            .iter()
            .all(|run| run.key != RunKey(uuid::Uuid::nil()))
    );
}
