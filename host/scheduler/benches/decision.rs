//! What a decision costs, and what waiting costs: the engine alone, without a store or a sandbox.
//!
//! `cargo bench -p airlock-scheduler --bench decision`. The first table is the time from the end of a try until
//! all that may start because of it is claimed; the second the live heap of tasks that wait for a slot, counted
//! by the allocator.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "figures that cannot be had end the program, and they are its output"
)]

use std::{
    alloc::System,
    sync::Arc,
    time::{Duration, Instant},
};

use airlock_model::{
    dag::{Argument, Dag, DagSpec, MappedParameter, Mapping, Source, TaskSpec},
    id::{BundleHash, BundleName, DagId, RunKey, TeamName},
    outcome::{Outcome, Report},
    port::TriggerRun,
    time::Timestamp,
};
use airlock_scheduler::{
    Engine, LiveDag, Options, TeamSetup,
    engine::{AfterCommit, Claim, Ending, Event, KeySource},
};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static HEAP: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const TASKS: usize = 1000;
const WAITING: usize = 10_000;
/// Tries at once: as many as there can be, so that deciding is all that there is to do.
const AT_ONCE: u32 = 64;
const ROUNDS: usize = 30;

#[derive(Debug)]
struct Keys(u128);

impl KeySource for Keys {
    fn next(&mut self, _: Timestamp) -> RunKey {
        self.0 += 1;
        RunKey(uuid::Uuid::from_u128(self.0))
    }
}

fn now() -> Timestamp {
    "2024-01-01".parse().unwrap()
}

fn task(id: usize, upstream: impl Iterator<Item = usize>) -> TaskSpec {
    TaskSpec {
        task_id: format!("t{id}"),
        entry: "t".into(),
        upstream: upstream.map(|up| format!("t{up}")).collect(),
        ..TaskSpec::default()
    }
}

fn dag(tasks: Vec<TaskSpec>) -> Arc<Dag> {
    let spec = DagSpec {
        dag_id: "d".into(),
        max_active_tasks: Some(AT_ONCE),
        tasks,
        ..DagSpec::default()
    };
    Arc::new(Dag::new(spec).unwrap())
}

/// An engine with one run of a DAG, whose first tries are claimed.
fn begun(dag: &Arc<Dag>) -> (Engine, Vec<Claim>) {
    let options = Options {
        parallelism: AT_ONCE,
        max_map_length: 100_000,
        ..Options::default()
    };
    let team = TeamSetup {
        name: TeamName::default_team(),
        weight: 1,
        capacity: AT_ONCE,
    };
    let mut engine = Engine::new(options, &[team], &[], vec![], Box::new(Keys(0)));
    let live = LiveDag {
        dag: Arc::clone(dag),
        team: TeamName::default_team(),
        bundle: BundleName::new("b").unwrap(),
        hash: BundleHash::from_bytes([0; 32]),
        paused: false,
    };
    let imported = Event::Imported {
        bundle: BundleName::new("b").unwrap(),
        dags: vec![live],
    };
    engine.handle(imported, now());
    let run = TriggerRun::now(DagId::new("d").unwrap());
    let (reply, _) = tokio::sync::oneshot::channel();
    engine.handle(Event::Trigger(Box::new(run), reply), now());
    engine.admit(now());
    let claims = written(&mut engine);
    (engine, claims)
}

/// What is pending becomes durable, and its claims are dispatched.
fn written(engine: &mut Engine) -> Vec<Claim> {
    let (batch, after): (_, AfterCommit) = engine.take_batch();
    drop(batch);
    engine.committed(&after);
    after.claims
}

fn ending(claim: Claim, value: Option<&Arc<str>>) -> Event {
    let xcoms = value.map(|value| ("return_value".into(), Arc::clone(value)));
    Event::Ended(Box::new(Ending {
        key: airlock_model::id::TaskInstanceKey {
            run: claim.run,
            task: claim.at.task,
            map_index: claim.at.map_index,
        },
        token: claim.token,
        at: now(),
        report: Report {
            outcome: Outcome::success(xcoms.into_iter().collect()),
            waited: Duration::ZERO,
            ran: Duration::ZERO,
        },
        spilled: vec![],
    }))
}

#[derive(Debug, Default)]
struct Costs {
    deciding: Vec<Duration>,
    batch: Duration,
    dispatch: Duration,
    tries: u32,
}

/// Runs the whole DAG, one end after the other, and notes what each decision took.
fn run_whole(dag: &Arc<Dag>, costs: &mut Costs) {
    let (mut engine, mut claims) = begun(dag);
    while !claims.is_empty() {
        for &claim in &claims {
            let began = Instant::now();
            let dispatch = engine.dispatch(claim, now());
            costs.dispatch += began.elapsed();
            assert!(dispatch.is_some(), "a claim holds");
        }
        costs.tries += u32::try_from(claims.len()).unwrap();
        for claim in claims {
            let event = ending(claim, None);
            let began = Instant::now();
            engine.handle(event, now());
            engine.admit(now());
            costs.deciding.push(began.elapsed());
        }
        let began = Instant::now();
        claims = written(&mut engine);
        costs.batch += began.elapsed();
    }
    assert_eq!(engine.active_runs(), 0, "the run has ended");
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

fn deciding(name: &str, tasks: Vec<TaskSpec>) {
    let dag = dag(tasks);
    run_whole(&dag, &mut Costs::default());
    let mut costs = Costs::default();
    for _ in 0..ROUNDS {
        run_whole(&dag, &mut costs);
    }
    costs.deciding.sort_unstable();
    let quantile = |per_mille: usize| {
        let at = (costs.deciding.len() - 1) * per_mille / 1000;
        costs.deciding.get(at).copied().unwrap_or_default()
    };
    let mean = costs.deciding.iter().sum::<Duration>() / costs.tries;
    println!(
        "| {name} | {:.2} | {:.2} | {:.2} | {:.2} | {:.2} |",
        micros(quantile(500)),
        micros(mean),
        micros(quantile(990)),
        micros(costs.batch / costs.tries),
        micros(costs.dispatch / costs.tries),
    );
}

/// Live heap in bytes.
fn live() -> usize {
    let stats = HEAP.stats();
    stats
        .bytes_allocated
        .saturating_sub(stats.bytes_deallocated)
}

/// A list that a task returned, and ten thousand instances mapped over it.
fn waiting() {
    let mapped = TaskSpec {
        mapping: Some(Mapping::Product(vec![MappedParameter {
            name: "x".into(),
            source: Source::Output("t0".into()),
        }])),
        arguments: vec![Argument::Mapped("x".into())],
        ..task(1, [0].into_iter())
    };
    let dag = dag(vec![task(0, [].into_iter()), mapped]);
    let (mut engine, claims) = begun(&dag);
    let numbers: Vec<usize> = (0..WAITING).collect();
    let list: Arc<str> = serde_json::to_string(&numbers).unwrap().into();
    drop(numbers);
    let before = live();
    for claim in claims {
        engine.handle(ending(claim, Some(&list)), now());
    }
    engine.admit(now());
    let begun = written(&mut engine);
    for &claim in &begun {
        drop(engine.dispatch(claim, now()));
    }
    let pending = WAITING - begun.len();
    let per_task = (live() - before) / pending;
    println!("\n{pending} mapped tasks wait for a slot: {per_task} bytes of live heap each.");
}

fn main() {
    println!("µs per end of a try, {TASKS} tasks, {ROUNDS} runs each:\n");
    println!(
        "| shape | deciding, median | mean | p99 | batch | dispatch |\n|---|---|---|---|---|---|"
    );
    let chain = |i: usize| task(i, i.checked_sub(1).into_iter());
    deciding("a chain", (0..TASKS).map(chain).collect());
    let parallel = |i: usize| task(i, [].into_iter());
    deciding("side by side", (0..TASKS).map(parallel).collect());
    let layer = |i: usize| {
        let above = (i / 10)
            .checked_sub(1)
            .map(|above| above * 10..above * 10 + 10);
        task(i, above.into_iter().flatten())
    };
    deciding(
        "layers of ten, each after all of the one before",
        (0..TASKS).map(layer).collect(),
    );
    let fan = |i: usize| match i {
        0 => task(0, [].into_iter()),
        999 => task(999, 1..999),
        _ => task(i, [0].into_iter()),
    };
    deciding("one, then 998, then one", (0..TASKS).map(fan).collect());
    waiting();
}
