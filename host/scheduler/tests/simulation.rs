//! The engine in a simulated world: a clock that jumps, a store that fails, an executor that answers in any
//! order, and hosts that die at any moment. Whatever happens, every run that is due is made once, every run
//! ends, no try is doubled or lost, what is written as ended stays as it is, and no bound is exceeded.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on is to fail"
)]

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use airlock_model::{
    connection::Pool,
    dag::{Argument, Dag, DagSpec, Schedule, TaskSpec},
    id::{
        BundleHash, BundleName, DagId, PoolName, RunKey, Scope, TaskInstanceKey, TeamName, Token,
    },
    outcome::{Failure, FailureKind, Outcome, Report},
    port::{Batch, DagProgress, RunRow, StoredRun, TaskRow},
    state::{RunState, TaskState},
    time::Timestamp,
    trigger_rule::TriggerRule,
};
use airlock_scheduler::{
    Engine, LiveDag, Options, TeamSetup,
    engine::{AfterCommit, Ending, Event, KeySource},
};
use proptest::prelude::*;

const PARALLELISM: u32 = 6;
const MAX_ACTIVE_RUNS: u32 = 3;
const MAX_ACTIVE_TASKS: u32 = 2;
const POOL_SLOTS: i32 = 2;
const DAYS: u32 = 6;

#[derive(Debug)]
struct Keys(u128);

impl KeySource for Keys {
    fn next(&mut self, _: Timestamp) -> RunKey {
        self.0 += 1;
        RunKey(uuid::Uuid::from_u128(self.0))
    }
}

/// What survives a crash.
#[derive(Debug, Default)]
struct Database {
    runs: BTreeMap<RunKey, (RunRow, Vec<TaskRow>)>,
    progress: HashMap<DagId, DagProgress>,
}

impl Database {
    /// Applies a batch as a real store would, all or nothing, and checks that nothing that has ended moves.
    fn commit(&mut self, batch: &Batch) -> Result<(), TestCaseError> {
        for change in &batch.tasks {
            let row = self
                .row(change.key)
                .ok_or_else(|| TestCaseError::fail("a change of an unknown task"))?;
            prop_assert_eq!(
                row.fields.token,
                change.expected,
                "a batch was fenced though nobody else writes"
            );
        }
        for new in &batch.new_runs {
            let same = |run: &RunRow| {
                run.dag_id == new.run.dag_id && run.logical_date == new.run.logical_date
            };
            prop_assert!(
                !self.runs.values().any(|(run, _)| same(run)),
                "a run was made twice: {:?}",
                new.run.run_id
            );
            self.runs
                .insert(new.run.key, (new.run.clone(), new.tasks.clone()));
        }
        for progress in &batch.progress {
            self.progress
                .insert(progress.dag_id.clone(), progress.clone());
        }
        for expanded in &batch.expanded {
            let Some((_, rows)) = self.runs.get_mut(&expanded.run) else {
                return Err(TestCaseError::fail("an expansion of an unknown run"));
            };
            if expanded.dropped.is_some() {
                rows.retain(|row| row.task != expanded.task);
            }
            rows.extend(expanded.rows.iter().cloned());
        }
        for change in &batch.tasks {
            if let Some(row) = self.row(change.key) {
                let ended = row.fields.state.is_some_and(TaskState::is_terminal);
                prop_assert!(
                    !ended || row.fields.state == change.fields.state,
                    "an ended task instance moved"
                );
                row.fields = change.fields.clone();
            }
        }
        for change in &batch.runs {
            let (run, _) = self
                .runs
                .get_mut(&change.key)
                .ok_or_else(|| TestCaseError::fail("an unknown run"))?;
            prop_assert!(!run.state.is_terminal(), "an ended run moved");
            run.state = change.state;
            (run.started_at, run.ended_at) = (change.started_at, change.ended_at);
        }
        Ok(())
    }

    fn row(&mut self, key: TaskInstanceKey) -> Option<&mut TaskRow> {
        let rows = &mut self.runs.get_mut(&key.run)?.1;
        rows.iter_mut().find(|row| row.index() == key.index())
    }
}

/// The living host and the tries that are out.
struct World {
    engine: Engine,
    database: Database,
    write: Option<(Batch, AfterCommit)>,
    /// Tries that this host's executor runs.
    running: Vec<(TaskInstanceKey, Token)>,
    /// Tries that an earlier host started and that may still report.
    ghosts: Vec<(TaskInstanceKey, Token)>,
    dispatched: HashSet<(TaskInstanceKey, Token)>,
    now: Timestamp,
    dags: Vec<Arc<Dag>>,
    keys: u128,
}

fn team() -> TeamName {
    TeamName::default_team()
}

fn engine(progress: Vec<DagProgress>, keys: u128) -> Engine {
    let options = Options {
        parallelism: PARALLELISM,
        ..Options::default()
    };
    let teams = [TeamSetup {
        name: team(),
        weight: 1,
        capacity: 5,
    }];
    let pool = Pool {
        scope: Scope::Team(team()),
        name: PoolName::new("narrow").unwrap(),
        slots: POOL_SLOTS,
        description: None,
        include_deferred: false,
    };
    Engine::new(options, &teams, &[pool], progress, Box::new(Keys(keys)))
}

impl World {
    fn new(dags: Vec<Arc<Dag>>) -> Self {
        let mut world = Self {
            engine: engine(vec![], 0),
            database: Database::default(),
            write: None,
            running: vec![],
            ghosts: vec![],
            dispatched: HashSet::new(),
            now: "2012-01-01".parse().unwrap(),
            dags,
            keys: 0,
        };
        world.import();
        world
    }

    fn import(&mut self) {
        let live = self.dags.iter().map(|dag| LiveDag {
            dag: Arc::clone(dag),
            team: team(),
            bundle: BundleName::new("b").unwrap(),
            hash: BundleHash::from_bytes([0; 32]),
            paused: false,
        });
        let event = Event::Imported {
            bundle: BundleName::new("b").unwrap(),
            dags: live.collect(),
        };
        self.engine.handle(event, self.now);
    }

    /// The host dies: what was not written is gone, its tries go on as ghosts.
    fn crash(&mut self) {
        self.write = None;
        self.ghosts.append(&mut self.running);
        self.keys += 1_000_000;
        self.engine = engine(
            self.database.progress.values().cloned().collect(),
            self.keys,
        );
        for (run, tasks) in self
            .database
            .runs
            .values()
            .filter(|(run, _)| !run.state.is_terminal())
        {
            let dag = self
                .dags
                .iter()
                .find(|dag| *dag.id() == run.dag_id)
                .unwrap();
            let stored = StoredRun {
                run: run.clone(),
                tasks: tasks.clone(),
                returned: vec![],
            };
            self.engine.restore(
                stored,
                Arc::clone(dag),
                BundleName::new("b").unwrap(),
                false,
                self.now,
            );
        }
        self.import();
    }

    fn begin_write(&mut self) {
        self.engine.tick(self.now);
        self.engine.admit(self.now);
        if self.write.is_none() && self.engine.batch_due().is_some() {
            self.write = Some(self.engine.take_batch());
        }
    }

    fn finish_write(&mut self) -> Result<(), TestCaseError> {
        let Some((batch, after)) = self.write.take() else {
            return Ok(());
        };
        self.database.commit(&batch)?;
        self.engine.committed(&after.ended);
        for claim in after.claims {
            let Some(dispatch) = self.engine.dispatch(claim, self.now) else {
                continue;
            };
            let id = (dispatch.work.key, dispatch.work.token);
            prop_assert!(
                self.dispatched.insert(id),
                "a try was started twice under one token: {:?}",
                id
            );
            prop_assert!(
                !self.running.iter().any(|(key, _)| *key == id.0),
                "two tries of a task instance at once"
            );
            let stored = self.database.row(id.0).map(|row| row.fields.token);
            prop_assert_eq!(
                stored,
                Some(id.1),
                "a try was started before its claim was durable"
            );
            self.running.push(id);
        }
        self.check_bounds()
    }

    fn end(&mut self, pick: usize, choice: u8, ghost: bool) {
        let from = if ghost {
            &mut self.ghosts
        } else {
            &mut self.running
        };
        if from.is_empty() {
            return;
        }
        let (key, token) = from.swap_remove(pick % from.len());
        let failed = |kind| {
            Outcome::Failed(Failure {
                kind,
                message: "no".into(),
                causes: vec![],
                location: None,
            })
        };
        let outcome = match choice % 6 {
            0..=2 => Outcome::success(vec![("return_value".into(), "1".into())]),
            3 => Outcome::Skipped {
                reason: "no".into(),
            },
            4 => failed(FailureKind::Error),
            _ => failed(FailureKind::Final),
        };
        let report = Report {
            outcome,
            waited: Duration::ZERO,
            ran: Duration::ZERO,
        };
        let ending = Ending {
            key,
            token,
            at: self.now,
            report,
            spilled: vec![],
        };
        self.engine.handle(Event::Ended(Box::new(ending)), self.now);
    }

    /// An executor that has lost tries: the reaper must find them.
    fn lose_and_reap(&mut self) {
        self.running.clear();
        self.now = self.now.after(Duration::from_secs(31));
        self.engine.renew(self.now, |_, _| false);
        self.engine.reap(self.now);
    }

    fn check_bounds(&mut self) -> Result<(), TestCaseError> {
        prop_assert!(self.running.len() <= 5, "the team's capacity was exceeded");
        let mut per_run: HashMap<RunKey, u32> = HashMap::new();
        let mut narrow = 0;
        for &(key, _) in &self.running {
            *per_run.entry(key.run).or_default() += 1;
            narrow += self
                .database
                .row(key)
                .filter(|row| row.pool.as_str() == "narrow")
                .map_or(0, |r| r.pool_slots);
        }
        prop_assert!(
            per_run.values().all(|&n| n <= MAX_ACTIVE_TASKS),
            "max_active_tasks was exceeded"
        );
        prop_assert!(
            narrow <= u32::try_from(POOL_SLOTS).unwrap(),
            "the pool was exceeded"
        );
        for dag in &self.dags {
            let active = |(run, _): &&(RunRow, Vec<TaskRow>)| {
                run.dag_id == *dag.id() && run.state == RunState::Running
            };
            let active = self.database.runs.values().filter(active).count();
            prop_assert!(
                active <= MAX_ACTIVE_RUNS as usize,
                "max_active_runs was exceeded"
            );
        }
        Ok(())
    }
}

#[derive(Debug, Clone)]
enum Step {
    Wait(u64),
    BeginWrite,
    FinishWrite,
    End(usize, u8),
    Ghost(usize, u8),
    Crash,
    Lose,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => (1..100_000_u64).prop_map(Step::Wait),
        6 => Just(Step::BeginWrite),
        6 => Just(Step::FinishWrite),
        8 => (any::<usize>(), any::<u8>()).prop_map(|(i, c)| Step::End(i, c)),
        2 => (any::<usize>(), any::<u8>()).prop_map(|(i, c)| Step::Ghost(i, c)),
        1 => Just(Step::Crash),
        1 => Just(Step::Lose),
    ]
}

fn task(index: usize, (rule, retries, ups, narrow): (usize, u32, Vec<usize>, bool)) -> TaskSpec {
    let ups: Vec<String> = ups
        .iter()
        .filter(|_| index > 0)
        .map(|up| format!("t{}", up % index.max(1)))
        .collect();
    TaskSpec {
        task_id: format!("t{index}"),
        entry: "t".into(),
        arguments: ups
            .first()
            .map(|up| Argument::Output(up.clone()))
            .into_iter()
            .collect(),
        upstream: ups,
        trigger_rule: TriggerRule::ALL[rule],
        retries,
        retry_delay: Duration::from_secs(60),
        pool: narrow.then(|| "narrow".to_owned()),
        ..TaskSpec::default()
    }
}

fn dag(name: &'static str) -> impl Strategy<Value = Arc<Dag>> {
    let task_shape = (
        0..TriggerRule::ALL.len(),
        0..3_u32,
        proptest::collection::vec(any::<usize>(), 0..3),
        any::<bool>(),
    );
    proptest::collection::vec(task_shape, 1..8).prop_map(move |shapes| {
        let spec = DagSpec {
            dag_id: name.into(),
            schedule: Schedule::cron("@daily", None),
            start_date: Some("2012-01-01".parse().unwrap()),
            end_date: Some(format!("2012-01-0{DAYS}").parse().unwrap()),
            catchup: true,
            max_active_runs: Some(MAX_ACTIVE_RUNS),
            max_active_tasks: Some(MAX_ACTIVE_TASKS),
            tasks: shapes
                .into_iter()
                .enumerate()
                .map(|(i, shape)| task(i, shape))
                .collect(),
            ..DagSpec::default()
        };
        Arc::new(Dag::new(spec).unwrap())
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn every_due_run_is_made_once_and_ends_whatever_happens(
        a in dag("a"),
        b in dag("b"),
        steps in proptest::collection::vec(step(), 0..250),
    ) {
        let mut world = World::new(vec![a, b]);
        for step in steps {
            match step {
                Step::Wait(seconds) => world.now = world.now.after(Duration::from_secs(seconds)),
                Step::BeginWrite => world.begin_write(),
                Step::FinishWrite => world.finish_write()?,
                Step::End(pick, choice) => world.end(pick, choice, false),
                Step::Ghost(pick, choice) => world.end(pick, choice, true),
                Step::Crash => world.crash(),
                Step::Lose => world.lose_and_reap(),
            }
        }
        // From here on nothing goes wrong, and everything must come to its end.
        world.now = world.now.after(Duration::from_secs(86_400 * u64::from(DAYS)));
        for _ in 0..5_000 {
            world.begin_write();
            world.finish_write()?;
            world.end(0, 0, false);
            world.now = world.now.after(Duration::from_secs(61));
            let all = world.database.runs.len() == 2 * DAYS as usize;
            if all && world.database.runs.values().all(|(run, _)| run.state.is_terminal()) {
                break;
            }
        }
        for (run, _) in world.database.runs.values() {
            prop_assert!(run.state.is_terminal(), "a run is stuck: {:?}", run);
        }
        prop_assert_eq!(world.database.runs.len(), 2 * DAYS as usize);
        prop_assert_eq!(world.engine.in_flight(), 0);
    }
}
