//! What is decided, without I/O: runs planned, tasks made ready, tries claimed, ends taken in.
//!
//! The engine's memory is the truth between two commits. Every change is noted as pending, from which
//! one [`airlock_model::port::Batch`] is made; the claims in it are dispatched when it is durable.

pub(crate) mod arguments;
mod assets;
pub mod backfill;
mod callbacks;
mod custom;
mod dags;
mod deadlines;
mod deferral;
pub mod event;
mod gate;
mod past;
mod pending;
mod repair;
mod repin;
mod restore;
mod runs;
mod tries;
mod turn;
mod waits;
mod watchers;
mod why;
mod work;

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use airlock_model::{
    admission::{Admission, Admitted, PoolIndex, TeamIndex},
    connection::Pool,
    dag::Dag,
    id::{
        BackfillId, BundleHash, BundleName, DagId, InstanceIndex, PoolName, RunKey, Scope,
        TeamName, Token,
    },
    port::{DagProgress, RunRow, SchedulerHealth, TeamLoad, TeamTally},
    run::Run,
    time::Timestamp,
};
pub use custom::{CoverQuestion, TimetableQuestion};
pub use deadlines::AverageQuestion;
pub use deferral::TriggerEnd;
pub use event::{Ending, Event};
pub use past::{Past, PastQuestion};
use pending::Pending;
pub use pending::{AfterCommit, Answer, Claim};
pub use repair::{Loaded, RepairOrder};
use uuid::Uuid;
pub use waits::{FileOrder, StateFound, StateQuestion, Waiter};
pub use watchers::{Sighting, WatcherKey};
pub use work::Dispatch;

/// Bounds of the scheduler.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Tries at once over all teams.
    pub parallelism: u32,
    /// How often tries without a sign of life are looked for.
    pub zombie_detection_interval: Duration,
    /// How often tries in flight are asked for a sign of life.
    pub heartbeat: Duration,
    /// How long a try without a sign of life is believed to live.
    pub lease: Duration,
    /// How long a shutdown waits for tries in flight.
    pub drain_timeout: Duration,
    /// XComs with more bytes go to the content store.
    pub spill_bytes: usize,
    /// The most elements that a task may return for others to be mapped over.
    pub max_map_length: u32,
    /// Triggers and watchers.
    pub triggers: crate::TriggerOptions,
    /// Callbacks.
    pub callbacks: crate::CallbackOptions,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            parallelism: 32,
            zombie_detection_interval: Duration::from_secs(30),
            heartbeat: Duration::from_secs(10),
            lease: Duration::from_secs(30),
            drain_timeout: Duration::from_secs(30),
            spill_bytes: 64 << 10,
            max_map_length: 1024,
            triggers: crate::TriggerOptions::default(),
            callbacks: crate::CallbackOptions::default(),
        }
    }
}

/// A team as the scheduler sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TeamSetup {
    /// Its name.
    pub name: TeamName,
    /// Its share against other teams.
    pub weight: u32,
    /// Tries at once in its instance pool.
    pub capacity: u32,
}

/// A DAG that may run.
#[derive(Debug, Clone)]
pub struct LiveDag {
    /// Its definition.
    pub dag: Arc<Dag>,
    /// Whose it is.
    pub team: TeamName,
    /// From which bundle.
    pub bundle: BundleName,
    /// In which version.
    pub hash: BundleHash,
    /// No new runs, no new tries.
    pub paused: bool,
}

#[derive(Debug)]
struct Team {
    index: TeamIndex,
    /// Task instances that wait for a trigger.
    deferred: u64,
    tally: TeamTally,
}

/// A DAG and the runs of it that have not ended.
#[derive(Debug)]
struct DagState {
    live: LiveDag,
    /// The interval of the last run that the timetable made.
    last: Option<(Timestamp, Timestamp)>,
    /// When that run could start.
    last_run_after: Option<Timestamp>,
    /// How far the bundle's own timetable has been asked, where it has one.
    asked: Option<custom::Asked>,
    /// Runs that have started, those of backfills left out.
    running: u32,
    /// Runs that wait until fewer have, oldest first; those of backfills left out.
    waiting: std::collections::VecDeque<RunKey>,
    /// For when a timer is set, so that planning again does not set another.
    timer: Option<Timestamp>,
}

/// A run that has not ended.
#[derive(Debug)]
struct Active {
    row: RunRow,
    run: Run,
    bundle: BundleName,
    team: TeamIndex,
    /// Return values that a later task of this run takes, where they are small.
    outputs: HashMap<InstanceIndex, Arc<str>>,
    /// The same, split into the elements that tasks are mapped over.
    elements: HashMap<InstanceIndex, Arc<[Arc<str>]>>,
    /// Tries in flight: their claim, the slots that they hold, and until when they are believed to live.
    in_flight: HashMap<InstanceIndex, InFlight>,
    /// Instances that have passed the gates of their task.
    inside: HashSet<InstanceIndex>,
    /// It has started, and counts against what may run at once.
    has_turn: bool,
    /// The backfill against whose limit it counts; none: against its DAG's.
    turn_of: Option<BackfillId>,
    /// Some task of it has a gate.
    has_gates: bool,
    /// Instances of tasks that its version does not have: they are kept as removed.
    gone: HashMap<InstanceIndex, repin::Gone>,
    /// The tokens that the database holds (or will, when the batch on its way is written), but for those
    /// that were never claimed.
    stored: HashMap<InstanceIndex, Token>,
}

#[derive(Debug, Clone, Copy)]
struct InFlight {
    token: Token,
    admitted: Admitted,
    lease_until: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    Plan(DagId),
    Wake(RunKey, InstanceIndex),
    RunTimeout(RunKey),
    Deadline(RunKey, Arc<str>),
    Watcher(WatcherKey),
}

/// The scheduler's memory and its decisions.
#[derive(Debug)]
pub struct Engine {
    options: Options,
    admission: Admission,
    pools: HashMap<(Scope, PoolName), PoolIndex>,
    teams: HashMap<TeamName, Team>,
    dags: HashMap<DagId, DagState>,
    progress: HashMap<DagId, DagProgress>,
    runs: HashMap<RunKey, Active>,
    timers: BinaryHeap<Reverse<(Timestamp, Timer)>>,
    pending: Pending,
    /// Gives the keys of new runs: time-ordered and unique.
    keys: Box<dyn KeySource>,
    gates: gate::Gates,
    assets: assets::Assets,
    /// Pools whose slots deferred task instances keep.
    counting_deferred: HashSet<PoolIndex>,
    deferrals: deferral::Deferrals,
    waits: waits::Waits,
    watchers: watchers::Watchers,
    deadlines: deadlines::Deadlines,
    /// Backfills that are not completed.
    backfills: HashMap<BackfillId, backfill::BackfillState>,
    next_backfill: BackfillId,
    /// What the database has to be asked.
    questions: Vec<PastQuestion>,
    /// What timetables of bundles are to be asked.
    timetable_questions: Vec<TimetableQuestion>,
    cover_questions: Vec<CoverQuestion>,
    /// Instances of runs that stand for no time, which wait for an answer that is always yes.
    unasked: Vec<(RunKey, InstanceIndex)>,
    /// Who waits for which run to move.
    waiting_for_past: HashMap<RunKey, Vec<PastQuestion>>,
    /// Tries that nobody wants any more.
    kills: Vec<Claim>,
    draining: bool,
    commits: u64,
}

/// Where keys of new runs come from; the simulation has its own.
pub trait KeySource: Send + std::fmt::Debug {
    /// A new key.
    fn next(&mut self, now: Timestamp) -> RunKey;
}

/// UUIDv7 from the machine's randomness.
#[derive(Debug, Default)]
pub struct RandomKeys;

impl KeySource for RandomKeys {
    fn next(&mut self, _: Timestamp) -> RunKey {
        RunKey(Uuid::now_v7())
    }
}

impl Engine {
    /// An engine that knows the teams and pools and how far the timetables have come, and no DAG yet.
    /// Every team has a default pool, also where `pools` does not list it.
    #[must_use]
    pub fn new(
        options: Options,
        teams: &[TeamSetup],
        pools: &[Pool],
        progress: Vec<DagProgress>,
        keys: Box<dyn KeySource>,
    ) -> Self {
        let mut engine = Self {
            admission: Admission::new(options.parallelism),
            options,
            pools: HashMap::new(),
            teams: HashMap::new(),
            dags: HashMap::new(),
            progress: progress
                .into_iter()
                .map(|p| (p.dag_id.clone(), p))
                .collect(),
            runs: HashMap::new(),
            timers: BinaryHeap::new(),
            pending: Pending::default(),
            keys,
            gates: gate::Gates::default(),
            assets: assets::Assets::default(),
            counting_deferred: HashSet::new(),
            deferrals: deferral::Deferrals::default(),
            waits: waits::Waits::default(),
            watchers: watchers::Watchers::default(),
            deadlines: deadlines::Deadlines::new(),
            backfills: HashMap::new(),
            next_backfill: BackfillId(1),
            questions: Vec::new(),
            timetable_questions: Vec::new(),
            cover_questions: Vec::new(),
            unasked: Vec::new(),
            waiting_for_past: HashMap::new(),
            kills: Vec::new(),
            draining: false,
            commits: 0,
        };
        for team in teams {
            let index = engine.admission.team(team.weight, team.capacity);
            engine.teams.insert(
                team.name.clone(),
                Team {
                    index,
                    deferred: 0,
                    tally: TeamTally::default(),
                },
            );
            let pool = engine.admission.pool(Pool::DEFAULT_SLOTS);
            engine.pools.insert(
                (Scope::Team(team.name.clone()), PoolName::default_pool()),
                pool,
            );
        }
        engine.set_pools(pools);
        engine
    }

    /// The pools have changed: sizes follow at once. One that is gone has no slots any more.
    pub fn set_pools(&mut self, pools: &[Pool]) {
        let mut gone: HashSet<(Scope, PoolName)> = self
            .pools
            .keys()
            .filter(|(_, name)| *name != PoolName::default_pool())
            .cloned()
            .collect();
        for pool in pools {
            let key = (pool.scope.clone(), pool.name.clone());
            gone.remove(&key);
            let index = match self.pools.get(&key) {
                Some(&index) => {
                    self.admission.resize(index, pool.slots);
                    index
                }
                None => {
                    let index = self.admission.pool(pool.slots);
                    self.pools.insert(key, index);
                    index
                }
            };
            match pool.include_deferred {
                true => self.counting_deferred.insert(index),
                false => self.counting_deferred.remove(&index),
            };
        }
        for key in gone {
            if let Some(&index) = self.pools.get(&key) {
                self.admission.resize(index, 0);
            }
        }
        self.count_deferred_anew();
    }

    /// The pool that a name means for a team: its own first, then the global one.
    fn pool(&self, team: &TeamName, name: &PoolName) -> Option<PoolIndex> {
        let own = (Scope::Team(team.clone()), name.clone());
        self.pools
            .get(&own)
            .or_else(|| self.pools.get(&(Scope::Global, name.clone())))
            .copied()
    }

    /// Claims what may start now, until nothing more may.
    pub fn admit(&mut self, now: Timestamp) {
        if self.draining {
            return;
        }
        while let Some(admitted) = self.admission.admit() {
            self.claim(admitted, now);
        }
    }

    /// What has come due by now.
    pub fn tick(&mut self, now: Timestamp) {
        while self.next_timer().is_some_and(|at| at <= now) {
            let Some(Reverse((at, timer))) = self.timers.pop() else {
                break;
            };
            match timer {
                Timer::Plan(dag) => {
                    if let Some(state) = self.dags.get_mut(&dag) {
                        state.timer.take_if(|set| *set <= at);
                    }
                    self.start_waiting(&dag, now);
                    self.plan(&dag, now);
                }
                Timer::Wake(run, at) => self.wake(run, at, now),
                Timer::RunTimeout(run) => self.time_out(run, now),
                Timer::Deadline(run, name) => self.look_at_deadline(run, name, now),
                Timer::Watcher(key) => self.watcher_due(&key, at, now),
            }
        }
        self.tell_heard(now);
    }

    /// When [`Engine::tick`] next has something to do.
    #[must_use]
    pub fn next_timer(&self) -> Option<Timestamp> {
        self.timers.peek().map(|Reverse((at, _))| *at)
    }

    /// No new tries from now on, because the host is about to stop.
    pub const fn drain(&mut self) {
        self.draining = true;
    }

    /// Tries in flight.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.runs
            .values()
            .map(|active| active.in_flight.len())
            .sum()
    }

    /// Runs that have not ended.
    #[must_use]
    pub fn active_runs(&self) -> usize {
        self.runs.len()
    }

    /// How it is, for people.
    #[must_use]
    pub fn health(&self, now: Timestamp, store_ok: bool) -> SchedulerHealth {
        let load = |(name, team): (&TeamName, &Team)| {
            let (running, scheduled) = self.admission.load(team.index);
            TeamLoad {
                team: name.clone(),
                running,
                scheduled,
                deferred: team.deferred,
                tally: team.tally,
            }
        };
        let mut teams: Vec<_> = self.teams.iter().map(load).collect();
        teams.sort_by(|a, b| a.team.cmp(&b.team));
        let active_runs = self.runs.len() as u64;
        SchedulerHealth {
            last_heartbeat: now,
            store_ok,
            active_runs,
            commits: self.commits,
            teams,
        }
    }
}

#[cfg(test)]
mod tests;
