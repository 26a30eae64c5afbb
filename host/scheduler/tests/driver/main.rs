//! The loop around the engine, with a store that can be told to fail and an executor that answers at once.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on is to fail"
)]

mod fuzz;
mod imports;
mod memory;
mod reacting;
mod waiting;

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, atomic::Ordering::SeqCst},
    time::Duration,
};

use airlock_model::{
    dag::{Argument, AssetRef, Dag, DagSpec, TaskSpec},
    id::{BundleHash, BundleName, DagId, RunId, RunKey, TaskInstanceKey, TeamName, Token},
    outcome::{Downstream, Outcome, OutletEvent, Report},
    port::{
        Clock, Control, ControlError, Executor, RunRow, StoredDag, SystemClock, TriggerRun,
        TryEvents, Work,
    },
    state::{RunState, TaskState},
};
use airlock_scheduler::{
    CallbackOptions, Engine, Handle, LiveDag, Options, Ports, Scheduler, TeamSetup, TriggerOptions,
    driver::Shutdown, engine::RandomKeys,
};
use memory::Memory;
use tokio::sync::watch;
use waiting::Answers;

/// What comes of a try; none: it goes on.
type Answer = Box<dyn Fn(&Work) -> Option<Outcome> + Send + Sync>;

/// Ends every try at once with what the test says, or keeps it.
struct Instant {
    events: Handle,
    answer: Answer,
    held: Mutex<HashSet<(TaskInstanceKey, Token)>>,
    seen: Mutex<Vec<Work>>,
}

impl Executor for Instant {
    fn dispatch(&self, work: Work) {
        self.events.started(work.key, work.token, SystemClock.now());
        match (self.answer)(&work) {
            Some(outcome) => {
                let report = Report {
                    outcome,
                    waited: Duration::ZERO,
                    ran: Duration::ZERO,
                };
                self.events
                    .ended(work.key, work.token, SystemClock.now(), report);
            }
            None => drop(self.held.lock().unwrap().insert((work.key, work.token))),
        }
        self.seen.lock().unwrap().push(work);
    }
    fn kill(&self, _: TaskInstanceKey, _: Token) {}
    fn holds(&self, key: TaskInstanceKey, token: Token) -> bool {
        self.held.lock().unwrap().contains(&(key, token))
    }
}

struct Bench {
    memory: Arc<Memory>,
    handle: Handle,
    executor: Arc<Instant>,
    shutdown: watch::Sender<Shutdown>,
    scheduler: tokio::task::JoinHandle<()>,
}

fn value(text: &str) -> Outcome {
    Outcome::success(vec![("return_value".into(), text.into())])
}

fn chain(length: usize) -> DagSpec {
    let tasks = (0..length).map(|i| TaskSpec {
        task_id: format!("t{i}"),
        entry: "t".into(),
        arguments: if i > 0 {
            vec![Argument::Output(format!("t{}", i - 1))]
        } else {
            vec![]
        },
        retry_delay: Duration::from_secs(1),
        ..TaskSpec::default()
    });
    DagSpec {
        dag_id: "chain".into(),
        tasks: tasks.collect(),
        ..DagSpec::default()
    }
}

fn start(
    length: usize,
    answer: impl Fn(&Work) -> Option<Outcome> + Send + Sync + 'static,
) -> Bench {
    start_dag(chain(length), answer, Answers::none())
}

fn start_dag(
    spec: DagSpec,
    answer: impl Fn(&Work) -> Option<Outcome> + Send + Sync + 'static,
    answers: Answers,
) -> Bench {
    let answers = Arc::new(answers);
    let memory = Arc::new(Memory::default());
    let team = TeamName::default_team();
    let (handle, events) = Scheduler::channel(
        memory.clone(),
        memory.clone(),
        memory.clone(),
        Arc::new(SystemClock),
    );
    let answer = Box::new(answer);
    let executor = Arc::new(Instant {
        events: handle.clone(),
        answer,
        held: Mutex::default(),
        seen: Mutex::default(),
    });
    let options = Options {
        spill_bytes: 100,
        drain_timeout: Duration::from_millis(200),
        triggers: TriggerOptions {
            retry_delay: Duration::from_millis(1),
            ..TriggerOptions::default()
        },
        callbacks: CallbackOptions {
            retry_delay: Duration::from_millis(1),
            tries: 3,
            ..CallbackOptions::default()
        },
        ..Options::default()
    };
    let setup = TeamSetup {
        name: team.clone(),
        weight: 1,
        capacity: 8,
    };
    let engine = Engine::new(options.clone(), &[setup], &[], vec![], Box::new(RandomKeys));
    let ports = Ports {
        runs: memory.clone(),
        dags: memory.clone(),
        xcoms: memory.clone(),
        assets: memory.clone(),
        timetables: memory.clone(),
        triggers: memory.clone(),
        callbacks: memory.clone(),
        deadlines: memory.clone(),
        poller: answers.clone(),
        callback_runner: answers.clone(),
        files: answers,
        blobs: memory.clone(),
        executor: executor.clone(),
        clock: Arc::new(SystemClock),
    };
    let (shutdown, asked) = watch::channel(Shutdown::No);
    let scheduler = Scheduler::new(engine, options, ports, events);
    let scheduler = tokio::spawn(scheduler.run(asked));
    let (bundle, hash) = (
        BundleName::new("b").unwrap(),
        BundleHash::from_bytes([1; 32]),
    );
    memory.dags.lock().unwrap().push(StoredDag {
        dag_id: DagId::new("chain").unwrap(),
        team: team.clone(),
        bundle: bundle.clone(),
        hash,
        spec: spec.clone(),
        is_paused: false,
        is_stale: false,
        last_parsed: SystemClock.now(),
    });
    let dag = Arc::new(Dag::new(spec).unwrap());
    handle.imported(
        bundle.clone(),
        vec![LiveDag {
            dag,
            team,
            bundle,
            hash,
            paused: false,
        }],
    );
    Bench {
        memory,
        handle,
        executor,
        shutdown,
        scheduler,
    }
}

impl Bench {
    async fn trigger(&self, run_id: &str) -> Result<RunRow, ControlError> {
        self.handle
            .trigger(TriggerRun {
                run_id: Some(RunId::new(run_id).unwrap()),
                ..TriggerRun::now(DagId::new("chain").unwrap())
            })
            .await
    }

    async fn until(&self, what: impl Fn(&Self) -> bool) {
        let waiting = async {
            while !what(self) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), waiting)
            .await
            .expect("it comes to pass");
    }

    fn run_state(&self, run: RunKey) -> Option<RunState> {
        self.memory
            .rows
            .lock()
            .unwrap()
            .get(&run)
            .map(|(run, _)| run.state)
    }
}

#[tokio::test]
async fn one_step_of_a_chain_is_one_commit() {
    let bench = start(50, |_| Some(value("1")));
    let run = bench.trigger("r").await.unwrap();
    bench
        .until(|b| b.run_state(run.key) == Some(RunState::Success))
        .await;
    // One that makes the run, and one for each end.
    assert_eq!(bench.memory.commits.load(SeqCst), 51);
}

#[tokio::test]
async fn a_full_disk_stops_everything_and_loses_nothing() {
    let bench = start(3, |_| Some(value("1")));
    bench.memory.full.store(true, SeqCst);
    let mut asked = std::pin::pin!(bench.trigger("r"));
    let early = tokio::time::timeout(Duration::from_millis(150), asked.as_mut()).await;
    assert!(
        early.is_err(),
        "nobody is told of a run that is not durable"
    );
    assert!(
        bench.executor.seen.lock().unwrap().is_empty(),
        "nothing is started"
    );
    assert!(!bench.handle.health().store_ok);
    bench.memory.full.store(false, SeqCst);
    let run = asked.await.unwrap();
    bench
        .until(|b| b.run_state(run.key) == Some(RunState::Success))
        .await;
    assert!(bench.handle.health().store_ok);
}

#[tokio::test]
async fn an_event_of_what_names_no_asset_fails_its_try_and_never_reaches_the_store() {
    let bench = start(1, |_| {
        Some(Outcome::Success {
            xcoms: vec![],
            downstream: Downstream::Free,
            events: vec![OutletEvent {
                asset: AssetRef::Name("x".repeat(10_000)),
                alias: Some("a".into()),
                extra: "{}".into(),
            }],
        })
    });
    let run = bench.trigger("r").await.unwrap();
    bench
        .until(|b| b.run_state(run.key) == Some(RunState::Failed))
        .await;
}

#[tokio::test]
async fn a_run_that_exists_is_refused_and_its_neighbours_go_on() {
    let bench = start(2, |_| Some(value("1")));
    let first = bench.trigger("same").await.unwrap();
    let (again, other) = tokio::join!(bench.trigger("same"), bench.trigger("other"));
    assert!(
        matches!(again, Err(ControlError::RunExists { .. })),
        "{again:?}"
    );
    let other = other.unwrap();
    for run in [first.key, other.key] {
        bench
            .until(|b| b.run_state(run) == Some(RunState::Success))
            .await;
    }
    bench.until(|b| b.handle.health().active_runs == 0).await;
}

#[tokio::test]
async fn a_run_that_somebody_else_moved_is_read_again_and_ends() {
    let bench = start(3, |_| Some(value("1")));
    let run = bench.trigger("r0").await.unwrap();
    bench
        .until(|b| b.run_state(run.key) == Some(RunState::Success))
        .await;
    let held = start(3, |work| {
        (work.names.try_number > 1 || work.token.get() > 1).then(|| value("1"))
    });
    let run = held.trigger("r").await.unwrap();
    held.until(|b| !b.executor.seen.lock().unwrap().is_empty())
        .await;
    *held.memory.fence.lock().unwrap() = Some(run.key);
    let work = held.executor.seen.lock().unwrap()[0].clone();
    let report = Report {
        outcome: value("1"),
        waited: Duration::ZERO,
        ran: Duration::ZERO,
    };
    held.handle
        .ended(work.key, work.token, SystemClock.now(), report);
    held.until(|b| b.executor.seen.lock().unwrap().len() > 1)
        .await;
    let again = held.executor.seen.lock().unwrap()[1].clone();
    assert_eq!(again.key, work.key);
    assert!(again.token > work.token, "the same try under a new token");
}

#[tokio::test]
async fn a_large_value_goes_round_by_the_content_store_and_arrives_whole() {
    let large = format!("\"{}\"", "x".repeat(1000));
    let answer = large.clone();
    let bench = start(2, move |work| {
        Some(if work.arguments.is_empty() {
            value(&answer)
        } else {
            value("1")
        })
    });
    let run = bench.trigger("r").await.unwrap();
    bench
        .until(|b| b.run_state(run.key) == Some(RunState::Success))
        .await;
    assert_eq!(bench.memory.blobs.lock().unwrap().len(), 1);
    let seen = bench.executor.seen.lock().unwrap();
    assert_eq!(*seen[1].arguments[0], *large);
}

#[tokio::test]
async fn a_drain_waits_for_tries_in_flight_and_starts_no_others() {
    let bench = start(2, |_| None);
    let run = bench.trigger("r").await.unwrap();
    bench
        .until(|b| b.executor.seen.lock().unwrap().len() == 1)
        .await;
    bench.shutdown.send(Shutdown::Drain).unwrap();
    bench.until(|b| !b.scheduler.is_finished()).await;
    let work = bench.executor.seen.lock().unwrap()[0].clone();
    let report = Report {
        outcome: value("1"),
        waited: Duration::ZERO,
        ran: Duration::ZERO,
    };
    bench
        .handle
        .ended(work.key, work.token, SystemClock.now(), report);
    bench.until(|b| b.scheduler.is_finished()).await;
    let rows = bench.memory.rows.lock().unwrap();
    let states: Vec<_> = rows[&run.key]
        .1
        .iter()
        .map(|task| task.fields.state)
        .collect();
    assert_eq!(
        states,
        [Some(TaskState::Success), Some(TaskState::Scheduled)]
    );
    assert_eq!(bench.executor.seen.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_drain_does_not_wait_for_ever() {
    let bench = start(1, |_| None);
    bench.trigger("r").await.unwrap();
    bench
        .until(|b| b.executor.seen.lock().unwrap().len() == 1)
        .await;
    bench.shutdown.send(Shutdown::Drain).unwrap();
    bench.until(|b| b.scheduler.is_finished()).await;
}
