//! The engine by itself: what it is told, what it would write, and what people hear.

mod covers;

use std::sync::Arc;

use airlock_model::{
    dag::{CustomSchedule, Dag, DagSpec, Schedule, TaskSpec},
    id::{BundleHash, BundleName, DagId, TeamName},
    port::{Batch, ControlError},
    time::Timestamp,
};
use tokio::sync::oneshot;

use super::{AfterCommit, Answer, Engine, Event, LiveDag, Options, RandomKeys, TeamSetup};

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
    engine.committed(&after.ended);
    after.answers.into_iter().for_each(Answer::tell);
    for (_, row, reply) in after.replies {
        drop(reply.send(Ok(row)));
    }
}
