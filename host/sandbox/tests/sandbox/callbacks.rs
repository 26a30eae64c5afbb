//! Callbacks: what they are told, how they fail, and what stops a hostile one.

use std::{sync::atomic::Ordering::Relaxed, time::Duration};

use airlock_grant::Request;
use airlock_model::{
    callback::{CallbackId, CallbackKind, CallbackSpec, CallbackState},
    id::{DagId, MapIndex, RunId, RunKey, TaskId, Token},
    outcome::{Failure, FailureKind, Limit},
    port::{CallbackRow, CallbackRunner, CallbackSubject, CallbackTry, CallbackWork},
    state::RunType,
};
use airlock_sandbox::TeamLimits;

use crate::{
    guests::guest,
    stage::{Bundle, Stage, assert_failure, grant, small},
};

fn limits() -> TeamLimits {
    TeamLimits {
        // More than a callback may have: it must be its own limit that ends it.
        task_cpu_time: Duration::from_secs(20),
        trigger_cpu_time: Duration::from_secs(20),
        ..small()
    }
}

/// The hostile callbacks of one team.
struct Ears {
    bundle: Bundle,
    /// One of its callbacks, from which the others differ by their argument.
    spec: CallbackSpec,
}

async fn ears(stage: &Stage, team: &str, limits: TeamLimits) -> Ears {
    let team = stage.add_team(team, limits);
    let variable = "[[request.variable]]\nkey = \"granted.*\"\nphases = [\"callback\"]";
    let request = Request::from_bundle_toml(variable).unwrap();
    let grant = grant("[[variable]]\nkey = \"granted.*\"");
    let bundle = stage.load(&team, guest("hostile_callbacks"), &request, &grant);
    let bundle = bundle.unwrap();
    let parsed = stage.parse(&bundle).await.unwrap();
    assert_eq!(parsed.errors, []);
    let [dag] = &parsed.dags[..] else {
        panic!("{:?}", parsed.dags)
    };
    assert_eq!(dag.callbacks.len(), 3);
    assert!(
        dag.callbacks
            .iter()
            .all(|each| each.on == CallbackKind::DagFailure)
    );
    let of_task = &dag.tasks[0].callbacks;
    assert_eq!(of_task.len(), 6);
    let spec = of_task.iter().find(|each| each.arguments.contains("works"));
    Ears {
        spec: spec.unwrap().clone(),
        bundle,
    }
}

impl Ears {
    fn request(&self, kind: &str) -> CallbackRow {
        let now = "2012-01-15".parse().unwrap();
        CallbackRow {
            id: CallbackId(uuid::Uuid::nil()),
            created_at: now,
            priority_weight: 1,
            kind: self.spec.on,
            message: "the task failed".into(),
            team: self.bundle.team.clone(),
            bundle: self.bundle.name.clone(),
            hash: self.bundle.hash,
            entry: self.spec.entry.as_str().into(),
            arguments: self.spec.arguments.replace("works", kind).into(),
            subject: CallbackSubject {
                run: RunKey(uuid::Uuid::nil()),
                dag_id: DagId::new("failing").unwrap(),
                run_id: RunId::new("run").unwrap(),
                run_type: RunType::Manual,
                logical_date: None,
                attempt: Some(CallbackTry {
                    task_id: TaskId::new("fails").unwrap(),
                    map_index: MapIndex::UNMAPPED,
                    try_number: 1,
                    max_tries: 1,
                }),
                deadline: None,
            },
            state: CallbackState::Running,
            tries: 1,
            next_try_at: now,
            ended_at: None,
            note: None,
        }
    }
}

async fn call(stage: &Stage, row: &CallbackRow) -> Result<(), Failure> {
    let work = CallbackWork {
        row: row.clone(),
        token: Token::stored(1),
    };
    stage.sandbox.call(work).await
}

/// Runs a hostile callback, and beside it harmless ones of both teams, which must all be heard.
async fn attacked(limits: TeamLimits, kind: &str) -> Result<(), Failure> {
    let stage = Stage::new();
    let hostile = ears(&stage, "hostile", limits).await;
    let other = ears(&stage, "other", small()).await;
    let neighbours = async {
        for _ in 0..5 {
            for ears in [&hostile, &other] {
                assert_eq!(call(&stage, &ears.request("works")).await, Ok(()));
            }
        }
    };
    let attack = hostile.request(kind);
    let (ended, ()) = tokio::join!(call(&stage, &attack), neighbours);
    assert_eq!(
        call(&stage, &hostile.request("works")).await,
        Ok(()),
        "the pool is whole again"
    );
    let figures = stage.metrics(&hostile.bundle.team);
    assert_eq!(figures.memory.load(Relaxed), 0);
    assert_eq!(figures.callbacks.load(Relaxed), 7);
    ended
}

async fn stopped(limits: TeamLimits, kind: &str, limit: Limit, parts: &[&str]) {
    let failure = attacked(limits, kind).await.unwrap_err();
    assert_failure(&failure, FailureKind::Limit(limit), parts);
}

#[tokio::test]
async fn a_callback_knows_which_execution_it_is() {
    let stage = Stage::new();
    let ears = ears(&stage, "a", limits()).await;
    let mut once = ears.request("once");
    let failure = call(&stage, &once).await.unwrap_err();
    assert_failure(&failure, FailureKind::Error, &["not at execution 1"]);
    once.tries = 2;
    assert_eq!(call(&stage, &once).await, Ok(()));
}

#[tokio::test]
async fn a_callback_that_gives_up_wants_no_further_try() {
    let failure = attacked(limits(), "gives up").await.unwrap_err();
    assert_failure(&failure, FailureKind::Final, &["never"]);
}

#[tokio::test]
async fn a_callback_that_never_ends_ends_with_its_own_cpu_time() {
    let parts = ["AL-0501", "0.2 s", "`callback_cpu_time`"];
    stopped(limits(), "loop", Limit::CpuTime, &parts).await;
}

#[tokio::test]
async fn a_callback_that_sleeps_ends_with_its_own_wall_time() {
    let limits = TeamLimits {
        callback_wall_time: Duration::from_millis(300),
        ..limits()
    };
    let parts = ["AL-0502", "0.3 s", "`callback_wall_time`"];
    stopped(limits, "sleeps", Limit::WallTime, &parts).await;
}

#[tokio::test]
async fn a_callback_traps_alone() {
    let failure = attacked(limits(), "trap").await.unwrap_err();
    assert_failure(&failure, FailureKind::Trap, &["AL-0514"]);
}

#[tokio::test]
async fn a_callback_that_floods_its_log_is_still_heard_and_its_words_are_cut() {
    let patient = TeamLimits {
        callback_cpu_time: Duration::from_secs(20),
        ..limits()
    };
    assert_eq!(attacked(patient, "flood").await, Ok(()));
    let failure = attacked(limits(), "talk").await.unwrap_err();
    assert_failure(&failure, FailureKind::Error, &["no no no"]);
    assert!(failure.message.len() < 8 << 10, "{}", failure.message.len());
}

#[tokio::test]
async fn a_callback_reaches_what_is_granted_to_its_phase() {
    let stage = Stage::new();
    stage.world.set_variable("a", "granted.name", "the value");
    let granted = ears(&stage, "a", limits()).await;
    let failure = call(&stage, &granted.request("variable"))
        .await
        .unwrap_err();
    assert_failure(&failure, FailureKind::Final, &["***"]);
    let team = stage.add_team("b", limits());
    let variable = "[[request.variable]]\nkey = \"granted.*\"\nphases = [\"task\", \"callback\"]";
    let request = Request::from_bundle_toml(variable).unwrap();
    let only_tasks = grant("[[variable]]\nkey = \"granted.*\"\nphases = [\"task\"]");
    let bundle = stage.load(&team, guest("hostile_callbacks"), &request, &only_tasks);
    let denied = Ears {
        bundle: bundle.unwrap(),
        ..granted
    };
    let failure = call(&stage, &denied.request("variable")).await.unwrap_err();
    let text = format!("{failure:?}");
    assert!(
        text.contains("AL-0411") && text.contains("callback, for task `fails`"),
        "{text}"
    );
}

#[tokio::test]
async fn a_bundle_without_callbacks_is_told_apart() {
    let stage = Stage::new();
    let mut row = ears(&stage, "a", limits()).await.request("works");
    let tasks = stage.hostile(&stage.add_team("b", limits()));
    (row.team, row.bundle, row.hash) = (tasks.team, tasks.name, tasks.hash);
    let failure = call(&stage, &row).await.unwrap_err();
    assert_failure(&failure, FailureKind::Load, &["AL-0560"]);
}

/// Of tasks it knows only how they fail, which is how a callback fails.
#[tokio::test]
async fn a_bundle_with_callbacks_and_without_tasks_is_heard_and_its_failures_are_cut() {
    let stage = Stage::new();
    let mut row = ears(&stage, "a", limits()).await.request("works");
    let team = stage.add_team("border", limits());
    let guest = stage.plain(&team, "hostile_border");
    (row.team, row.bundle, row.hash) = (team, guest.name, guest.hash);
    row.arguments = "{}".into();
    assert_eq!(call(&stage, &row).await, Ok(()));
    row.arguments = "[]".into();
    let failure = call(&stage, &row).await.unwrap_err();
    assert_failure(&failure, FailureKind::Error, &["[]"]);
    let told: usize = failure.causes.iter().map(String::len).sum();
    assert!(told < 256 << 10, "{told}");
}
