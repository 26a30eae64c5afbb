//! The engine by itself: what it is told, what it would write, and what people hear.

mod assets;
mod backfills;
mod covers;
mod reacting;
mod repairs;
mod waiting;
mod watchers;

use std::sync::Arc;

use airlock_model::{
    dag::{CustomSchedule, Dag, DagSpec, Schedule, TaskSpec},
    id::{BundleHash, BundleName, DagId, MapIndex, PoolName, RunId, RunKey, TeamName, Token},
    port::{Batch, ControlError, RunRow, StoredRun, TaskFields, TaskRow},
    state::{RunState, RunType, TaskState},
    time::Timestamp,
};
use tokio::sync::oneshot;
use uuid::Uuid;

use super::{AfterCommit, Answer, Engine, Event, LiveDag, Loaded, Options, RandomKeys, TeamSetup};

type Heard<T> = oneshot::Receiver<Result<T, ControlError>>;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn id(text: &str) -> DagId {
    DagId::new(text).unwrap()
}

/// A DAG of one task for each of these names.
fn spec(dag_id: &str, tasks: &[&str]) -> DagSpec {
    let task = |name: &&str| TaskSpec {
        task_id: (*name).into(),
        entry: (*name).into(),
        ..TaskSpec::default()
    };
    DagSpec {
        dag_id: dag_id.into(),
        tasks: tasks.iter().map(task).collect(),
        ..DagSpec::default()
    }
}

/// One whose timetable is its bundle's own.
fn custom(spec: DagSpec) -> DagSpec {
    DagSpec {
        schedule: Schedule::Custom(CustomSchedule {
            entry: "Workdays".into(),
            arguments: "{}".into(),
            ..CustomSchedule::default()
        }),
        ..spec
    }
}

/// An engine of one team.
fn engine() -> Engine {
    let team = TeamSetup {
        name: TeamName::default_team(),
        weight: 1,
        capacity: 8,
    };
    Engine::new(
        Options::default(),
        &[team],
        &[],
        vec![],
        Box::new(RandomKeys),
    )
}

/// These are the bundle's DAGs now, in the version of this number.
fn import(engine: &mut Engine, version: u8, dags: Vec<DagSpec>, now: Timestamp) {
    let bundle = BundleName::new("b").unwrap();
    let live = |spec| LiveDag {
        dag: Arc::new(Dag::new(spec).unwrap()),
        team: TeamName::default_team(),
        bundle: bundle.clone(),
        hash: BundleHash::from_bytes([version; 32]),
        paused: false,
    };
    let dags = dags.into_iter().map(live).collect();
    engine.handle(
        Event::Imported {
            bundle: bundle.clone(),
            dags,
        },
        now,
    );
}

/// Writes what is pending, as a store would that refuses nothing.
fn commit(engine: &mut Engine) -> Batch {
    let (batch, after) = engine.take_batch();
    tell(engine, after);
    batch
}

/// What follows when a batch is durable, but for the tries that would start.
fn tell(engine: &mut Engine, after: AfterCommit) {
    engine.committed(&after);
    after.answers.into_iter().for_each(Answer::tell);
    for (_, row, reply) in after.replies {
        drop(reply.send(Ok(row)));
    }
    for (told, reply) in after.backfills {
        drop(reply.send(Ok(told)));
    }
}

/// A run of a DAG as a store would give it, and the instances of its tasks, each in its state; those of tasks
/// that the DAG does not have stand behind the others.
fn loaded(spec: DagSpec, version: u8, state: RunState, rows: &[(&str, i32, TaskState)]) -> Loaded {
    let dag = Arc::new(Dag::new(spec).unwrap());
    let key = RunKey(Uuid::from_u128(version.into()));
    let run = RunRow {
        key,
        dag_id: dag.id().clone(),
        run_id: RunId::new("r").unwrap(),
        team: TeamName::default_team(),
        run_type: RunType::Manual,
        state,
        hash: BundleHash::from_bytes([version; 32]),
        definition: dag.definition(),
        logical_date: Some(at("2024-01-01")),
        data_interval: Some((at("2024-01-01"), at("2024-01-01"))),
        run_after: at("2024-01-01"),
        queued_at: at("2024-01-01"),
        started_at: Some(at("2024-01-01")),
        ended_at: Some(at("2024-01-01")),
        conf: "{}".into(),
        ends_as: None,
        clear_number: 0,
        backfill: None,
        note: None,
    };
    let mut beyond = dag.tasks().len();
    let row = |&(task, map_index, state): &(&str, i32, TaskState)| {
        let task_id = task.parse().unwrap();
        let place = dag.index_of(&task_id).unwrap_or_else(|| {
            beyond += 1;
            airlock_model::id::TaskIndex(u32::try_from(beyond - 1).unwrap())
        });
        TaskRow {
            run: key,
            task: place,
            task_id,
            map_index: MapIndex(map_index),
            pool: PoolName::default_pool(),
            pool_slots: 1,
            priority: 1,
            fields: TaskFields {
                state: Some(state),
                try_number: 1,
                token: Token::stored(1),
                ..TaskFields::untouched()
            },
        }
    };
    let mut tasks: Vec<TaskRow> = rows.iter().map(row).collect();
    tasks.sort_by_key(TaskRow::index);
    Loaded {
        stored: StoredRun {
            run,
            tasks,
            returned: vec![],
        },
        dag,
        bundle: BundleName::new("b").unwrap(),
        paused: false,
    }
}
