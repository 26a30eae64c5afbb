//! Triggers, callbacks and deadlines.

mod callbacks;
mod claims;
mod deadlines;
mod deferral;
mod going;
mod triggers;
mod watchers;

use std::{collections::HashSet, sync::Arc, time::Duration};

use airlock_model::{
    callback::{CallbackId, CallbackKind, CallbackState},
    dag::AssetRef,
    id::*,
    port::*,
    state::TaskState,
    trigger::{Deferred, HostEvent, OwnTrigger, Resume, Trigger},
};
use airlock_store::Store;
use uuid::Uuid;

use crate::fixture::*;

fn host() -> HostId {
    HostId(Uuid::now_v7())
}

fn progress(due: Option<i64>) -> TriggerProgress {
    TriggerProgress {
        state: None,
        next_poll_at: due.map(at),
        on: Vec::new(),
        polls: 0,
        last_poll_at: None,
        cpu: Duration::ZERO,
        failures: 0,
        note: None,
    }
}

/// A trigger of a run's task instance that is due at this time.
fn trigger(run: &NewRun, i: u32, due: Option<i64>) -> TriggerRow {
    TriggerRow {
        id: TriggerId(Uuid::now_v7()),
        owner: TriggerOwner::Task {
            key: key(run, i),
            token: Token::stored(1),
            run_id: run.run.run_id.clone(),
            task_id: run.tasks[i as usize].task_id.clone(),
            map_index: MapIndex::UNMAPPED,
        },
        team: run.run.team.clone(),
        dag_id: run.run.dag_id.clone(),
        bundle: bundle("weather"),
        hash: run.run.hash,
        own: OwnTrigger {
            kind: "arrived".into(),
            arguments: r#"{"station": "☔"}"#.into(),
        },
        created_at: at(1),
        progress: progress(due),
    }
}

/// A watcher of the asset `rain`, with a name of its own for each DAG and time.
fn watcher(dag: &str, of: &str, due: i64) -> TriggerRow {
    TriggerRow {
        owner: TriggerOwner::Watcher {
            asset: "rain".into(),
            name: format!("files of {dag} at {due}"),
        },
        team: team(of),
        ..trigger(&new_run(dag, 1, 1), 0, Some(due))
    }
}

/// A request that tells of a run.
fn callback(run: &NewRun, priority: i64, created: i64) -> CallbackRow {
    CallbackRow {
        id: CallbackId(Uuid::now_v7()),
        created_at: at(created),
        priority_weight: priority,
        kind: CallbackKind::DagFailure,
        message: "it rained".into(),
        team: run.run.team.clone(),
        bundle: bundle("weather"),
        hash: run.run.hash,
        entry: "tell".into(),
        arguments: "[1]".into(),
        subject: CallbackSubject {
            run: run.run.key,
            dag_id: run.run.dag_id.clone(),
            run_id: run.run.run_id.clone(),
            run_type: run.run.run_type,
            logical_date: run.run.logical_date,
            attempt: None,
            deadline: None,
        },
        state: CallbackState::Pending,
        tries: 0,
        next_try_at: at(created),
        ended_at: None,
        note: None,
    }
}

/// The same of another team.
fn of_team<T>(name: &str, mut row: T, team_of: impl Fn(&mut T) -> &mut TeamName) -> T {
    *team_of(&mut row) = team(name);
    row
}

fn triggering(new_triggers: Vec<TriggerRow>) -> Batch {
    Batch {
        new_triggers,
        ..Batch::default()
    }
}

/// Writes requests, and before them the runs that they tell of, as far as these are not there yet.
async fn call(store: &Store, callbacks: Vec<CallbackRow>) {
    let mut made = HashSet::new();
    for subject in callbacks.iter().map(|row| &row.subject) {
        let mut run = new_run(subject.dag_id.as_str(), 1, 0);
        run.run.key = subject.run;
        run.run.run_id = subject.run_id.clone();
        run.run.logical_date = None;
        if made.insert(subject.run) {
            let created = store.commit(&creating(&[run])).await;
            assert!(matches!(created, Ok(()) | Err(CommitError::RunExists(_))));
        }
    }
    let batch = Batch {
        callbacks,
        ..Batch::default()
    };
    store.commit(&batch).await.unwrap();
}

/// A task instance that has deferred under its first claim, waiting for code of its own.
fn deferred(run: &NewRun, i: u32) -> TaskChange {
    moved(run, i, |fields| {
        fields.state = Some(TaskState::Deferred);
        fields.try_number = 1;
        fields.token = fields.token.next();
        fields.deferred = Some(Arc::new(waiting()));
    })
}

fn waiting() -> Deferred {
    Deferred {
        trigger: Trigger::Own(OwnTrigger {
            kind: "arrived".into(),
            arguments: "{}".into(),
        }),
        resume: Resume {
            method: "go_on".into(),
            arguments: "{\"so far\": \"☔ \\u0000\"}".into(),
        },
        since: at(3),
        until: Some(at(900)),
        event: None,
    }
}

fn rain() -> HostEvent {
    HostEvent::Asset(AssetRef::Name("rain".into()))
}

/// All triggers that there are.
async fn triggers(store: &Store) -> Vec<TriggerRow> {
    let all = store.triggers(&TriggerFilter::default(), Page::ALL).await;
    all.unwrap().items
}

/// All requests that there are, oldest first.
async fn callbacks(store: &Store) -> Vec<CallbackRow> {
    let all = store.callbacks(&CallbackFilter::default(), Page::ALL).await;
    let mut all = all.unwrap().items;
    all.reverse();
    all
}

/// Claims as one host until a time, at another.
async fn claim_triggers(
    store: &Store,
    host: HostId,
    now: i64,
    until: i64,
) -> Vec<(TriggerRow, Lease)> {
    let claimed = store.claim_triggers((host, at(until)), at(now), 1_000, 10_000);
    claimed.await.unwrap()
}

async fn claim_callbacks(
    store: &Store,
    host: HostId,
    now: i64,
    until: i64,
) -> Vec<(CallbackRow, Lease)> {
    let claimed = store.claim_callbacks((host, at(until)), at(now), 1_000, 10_000);
    claimed.await.unwrap()
}
