//! A host in a simulated world: the engine, driven as the driver does it, between a database and an executor.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use airlock_model::{
    connection::Pool,
    dag::Dag,
    id::{BackfillId, BundleHash, BundleName, DagId, RunKey, TaskInstanceKey, TeamName, Token},
    outcome::{Outcome, Report},
    port::{Batch, CommitError, ControlError, TriggerOwner},
    time::Timestamp,
    trigger::TriggerEvent,
};
use airlock_scheduler::{
    Engine, LiveDag, Options, TeamSetup,
    engine::{
        AfterCommit, AverageQuestion, Claim, Ending, Event, KeySource, Loaded, PastQuestion,
        StateQuestion, TriggerEnd, event::Reply,
    },
};
use tokio::sync::oneshot;

use crate::{
    database::Database,
    executor::{Executor, roll},
};

#[derive(Debug)]
struct Keys(u128);

impl KeySource for Keys {
    fn next(&mut self, _: Timestamp) -> RunKey {
        self.0 += 1;
        RunKey(uuid::Uuid::from_u128(self.0))
    }
}

/// What a host is configured with.
#[derive(Debug, Clone)]
pub(crate) struct Setup {
    pub(crate) parallelism: u32,
    pub(crate) teams: Vec<TeamSetup>,
    pub(crate) pools: Vec<Pool>,
    pub(crate) dags: Vec<(Arc<Dag>, TeamName)>,
}

impl Setup {
    fn engine(&self, database: &Database, keys: u128) -> Engine {
        let options = Options {
            parallelism: self.parallelism,
            ..Options::default()
        };
        let progress = database.progress.values().cloned().collect();
        Engine::new(
            options,
            &self.teams,
            &self.pools,
            progress,
            Box::new(Keys(keys)),
        )
    }
}

pub(crate) struct World {
    pub(crate) setup: Setup,
    pub(crate) engine: Engine,
    pub(crate) database: Database,
    pub(crate) executor: Executor,
    pub(crate) now: Timestamp,
    pub(crate) paused: BTreeSet<DagId>,
    pub(crate) by_id: HashMap<DagId, (Arc<Dag>, TeamName)>,
    write: Option<(Batch, AfterCommit)>,
    /// How often tries were admitted for the write under way: with one time, the order of its claims can be
    /// held against what was left waiting.
    admits: u32,
    /// Whether that is so of the write under way.
    exact: bool,
    /// Of how many writes the order of one is looked at, which costs time.
    pub(crate) order_every: u64,
    writes: u64,
    questions: Vec<PastQuestion>,
    states: Vec<StateQuestion>,
    averages: Vec<AverageQuestion>,
    dispatched: HashSet<(TaskInstanceKey, Token)>,
    keys: u128,
}

pub(crate) fn bundle(team: &TeamName) -> BundleName {
    BundleName::new(format!("of-{team}")).unwrap()
}

const HASH: [u8; 32] = [0; 32];

impl World {
    pub(crate) fn new(setup: Setup, seed: u64, now: Timestamp) -> Self {
        let database = Database::default();
        let by_id = setup
            .dags
            .iter()
            .map(|(dag, team)| (dag.id().clone(), (Arc::clone(dag), team.clone())));
        let mut world = Self {
            engine: setup.engine(&database, 0),
            by_id: by_id.collect(),
            setup,
            database,
            executor: Executor {
                seed,
                ..Executor::default()
            },
            now,
            paused: BTreeSet::new(),
            write: None,
            admits: 0,
            exact: false,
            order_every: 1,
            writes: 0,
            questions: vec![],
            states: vec![],
            averages: vec![],
            dispatched: HashSet::new(),
            keys: 0,
        };
        world.import();
        world
    }

    pub(crate) fn import(&mut self) {
        let mut bundles: BTreeMap<TeamName, Vec<LiveDag>> = BTreeMap::new();
        for (dag, team) in &self.setup.dags {
            bundles.entry(team.clone()).or_default().push(LiveDag {
                dag: Arc::clone(dag),
                team: team.clone(),
                bundle: bundle(team),
                hash: BundleHash::from_bytes(HASH),
                paused: self.paused.contains(dag.id()),
            });
        }
        for (team, dags) in bundles {
            let bundle = bundle(&team);
            self.engine
                .handle(Event::Imported { bundle, dags }, self.now);
        }
    }

    /// A run as it is read for a person or after a restart.
    pub(crate) fn load(&self, key: RunKey) -> Option<Loaded> {
        let stored = self.database.stored(key)?;
        let (dag, team) = &self.by_id[&stored.run.dag_id];
        Some(Loaded {
            paused: self.paused.contains(&stored.run.dag_id),
            dag: Arc::clone(dag),
            bundle: bundle(team),
            stored,
        })
    }

    fn restore(&mut self, key: RunKey) {
        let ended = |loaded: &Loaded| loaded.stored.run.state.is_terminal();
        if let Some(loaded) = self.load(key).filter(|loaded| !ended(loaded)) {
            let Loaded {
                stored,
                dag,
                bundle,
                paused,
            } = loaded;
            self.engine.restore(stored, dag, bundle, paused, self.now);
        }
    }

    /// The host dies, and another begins. What was not written is gone; of a write under way, nobody knows. Tries
    /// go on as ghosts.
    pub(crate) fn crash(&mut self, written: bool) {
        if let (Some((batch, _)), true) = (self.write.take(), written) {
            drop(self.database.commit(&batch));
        }
        self.questions.clear();
        self.states.clear();
        self.averages.clear();
        self.executor.crash();
        self.keys += 1 << 40;
        self.engine = self.setup.engine(&self.database, self.keys);
        let open = self
            .database
            .backfills
            .values()
            .filter(|b| b.completed_at.is_none());
        let next = self
            .database
            .backfills
            .keys()
            .last()
            .map_or(1, |id| id.0 + 1);
        self.engine
            .restore_backfills(open.cloned().collect(), BackfillId(next));
        let unconsumed = self.setup.dags.iter();
        let unconsumed = unconsumed.flat_map(|(dag, team)| self.database.unconsumed(dag, team));
        let unconsumed = unconsumed.collect();
        self.engine
            .restore_assets(vec![], self.database.queue_rows(), unconsumed);
        let active: Vec<RunKey> = self.database.active.iter().copied().collect();
        let waiting = &self.database.waiting;
        let triggers = waiting.triggers.values().cloned().collect();
        self.engine.restore_triggers(triggers);
        self.engine.restore_deadlines(waiting.ahead(None));
        active.into_iter().for_each(|run| self.restore(run));
        self.engine.drop_stray_triggers();
        self.import();
    }

    /// Polls a trigger, which answers; the database may be slow to hear of it, and then it is polled again.
    pub(crate) fn poll(&mut self, pick: usize) {
        let triggers = &self.database.waiting.triggers;
        let row = triggers
            .values()
            .nth(pick.checked_rem(triggers.len()).unwrap_or(0));
        let Some((id, TriggerOwner::Task { key, token, .. })) = row.map(|row| (row.id, &row.owner))
        else {
            return;
        };
        let event = match roll((pick, id.0)) % 3 {
            0 => TriggerEvent::Failed("no".into()),
            _ => TriggerEvent::Fired("1".into()),
        };
        let end = TriggerEnd {
            id,
            key: *key,
            token: *token,
            event,
        };
        self.database.waiting.ended.push(end.clone());
        self.trigger_ended(end);
    }

    /// Somebody who polled a trigger long ago says what it answered.
    pub(crate) fn echo(&mut self, pick: usize) {
        let ended = &mut self.database.waiting.ended;
        if let Some(pick) = pick.checked_rem(ended.len()) {
            let end = ended.swap_remove(pick);
            self.trigger_ended(end);
        }
    }

    fn trigger_ended(&mut self, end: TriggerEnd) {
        let event = Event::TriggerEnded(Box::new(end));
        self.engine.handle(event, self.now);
    }

    /// One round of the driver's loop up to its write.
    pub(crate) fn round(&mut self) {
        self.engine.tick(self.now);
        self.engine.admit(self.now);
        self.admits += 1;
        for kill in self.engine.take_kills() {
            self.kill(kill);
        }
        self.questions.extend(self.engine.take_questions());
        // What is admitted while a write is under way belongs to the next.
        if self.write.is_none() && self.engine.batch_due().is_some_and(|due| due <= self.now) {
            self.exact = std::mem::take(&mut self.admits) == 1;
            self.write = Some(self.engine.take_batch());
        }
    }

    pub(crate) const fn is_writing(&self) -> bool {
        self.write.is_some()
    }

    pub(crate) fn answer_questions(&mut self) {
        for question in std::mem::take(&mut self.questions) {
            let past = self.database.past(&question);
            self.engine
                .handle(Event::PastKnown(Box::new((question, past))), self.now);
        }
        for question in std::mem::take(&mut self.states) {
            let found = self.database.state(&question);
            let event = Event::StateKnown(Box::new((question, found)));
            self.engine.handle(event, self.now);
        }
        for question in std::mem::take(&mut self.averages) {
            let name = (question.run, question.name.clone());
            if question.anew || !self.database.waiting.deadlines.contains_key(&name) {
                let took = self.database.durations(&question.dag_id, question.runs);
                let event = Event::AverageKnown(Box::new(question), took);
                self.engine.handle(event, self.now);
            }
        }
    }

    fn kill(&mut self, claim: Claim) {
        let key = TaskInstanceKey {
            run: claim.run,
            task: claim.at.task,
            map_index: claim.at.map_index,
        };
        self.executor.kill(key, claim.token);
    }

    /// The write comes back: as written; refused, and made again without what was refused; or failed, and so made
    /// again as it is.
    pub(crate) fn finish_write(&mut self, fails: bool) {
        while !fails && let Some((mut batch, mut after)) = self.write.take() {
            match self.database.commit(&batch) {
                Ok(()) => {
                    self.engine.committed(&after);
                    self.follow_up(after);
                    return;
                }
                Err(CommitError::RunExists(keys)) => {
                    self.evict(keys.into_iter().collect(), &mut batch, &mut after, false);
                }
                Err(CommitError::BackfillExists(ids)) => {
                    let runs = self.engine.refuse_backfills(&ids, &mut batch, &mut after);
                    let runs = runs.into_iter().collect();
                    self.evict(runs, &mut batch, &mut after, true);
                }
                Err(CommitError::Fenced(keys)) => {
                    let runs = keys.into_iter().map(|key| key.run).collect();
                    self.evict(runs, &mut batch, &mut after, true);
                }
                Err(error @ (CommitError::Store(_) | CommitError::LeaseLost(_))) => {
                    panic!("{error}")
                }
            }
            self.write = Some((batch, after));
        }
    }

    fn evict(
        &mut self,
        runs: HashSet<RunKey>,
        batch: &mut Batch,
        after: &mut AfterCommit,
        again: bool,
    ) {
        for claim in self.engine.evict(&runs, batch, after, self.now) {
            self.kill(claim);
        }
        for run in runs.into_iter().filter(|_| again) {
            let ahead = self.database.waiting.ahead(Some(run));
            self.engine.restore_deadlines(ahead);
            self.restore(run);
        }
    }

    fn follow_up(&mut self, after: AfterCommit) {
        self.states.extend(after.states);
        self.averages.extend(after.averages);
        self.writes += 1;
        if self.exact && self.writes.is_multiple_of(self.order_every) {
            self.check_order(&after.claims);
        }
        let any = !after.claims.is_empty();
        for claim in after.claims {
            let Some(dispatch) = self.engine.dispatch(claim, self.now) else {
                continue;
            };
            let work = dispatch.work;
            let id = (work.key, work.token);
            assert!(
                self.dispatched.insert(id),
                "a try was started twice under one token: {id:?}"
            );
            let row = &self.database.runs[&work.key.run].tasks[&work.key.index()];
            assert_eq!(
                row.fields.token, work.token,
                "a try was started before its claim was durable"
            );
            let dag = Arc::clone(&self.by_id[&work.names.dag_id].0);
            self.executor.dispatch(work, dag, self.now);
        }
        after
            .answers
            .into_iter()
            .for_each(airlock_scheduler::engine::Answer::tell);
        for (_, row, reply) in after.replies {
            drop(reply.send(Ok(row)));
        }
        if any {
            self.check_bounds();
        }
    }

    /// A try ends; the host hears of it.
    pub(crate) fn end(&mut self, key: TaskInstanceKey) {
        if let Some((key, token, outcome)) = self.executor.end(key, self.now) {
            self.report(key, token, outcome);
        }
    }

    /// A try that nobody waits for any more reports.
    pub(crate) fn haunt(&mut self, pick: usize) {
        if !self.executor.ghosts.is_empty() {
            let pick = pick % self.executor.ghosts.len();
            let (key, token, outcome) = self.executor.ghosts.swap_remove(pick);
            self.report(key, token, outcome);
        }
    }

    /// A real clock does not stand still between two events.
    fn report(&mut self, key: TaskInstanceKey, token: Token, outcome: Outcome) {
        self.now = self.now.after(Duration::from_micros(1));
        let report = Report {
            outcome,
            waited: Duration::ZERO,
            ran: Duration::ZERO,
        };
        let (at, spilled) = (self.now, vec![]);
        let ending = Ending {
            key,
            token,
            at,
            report,
            spilled,
        };
        self.engine.handle(Event::Ended(Box::new(ending)), self.now);
    }

    /// An executor that has lost its tries: the reaper must find them.
    pub(crate) fn lose_and_reap(&mut self) {
        self.executor.crash();
        self.now = self.now.after(Duration::from_secs(31));
        self.engine.renew(self.now, |_, _| false);
        self.engine.reap(self.now);
    }

    pub(crate) fn pause(&mut self, dag: &DagId, paused: bool) {
        match paused {
            true => self.paused.insert(dag.clone()),
            false => self.paused.remove(dag),
        };
        // What is being written was decided before.
        self.exact = false;
        let event = Event::Paused(dag.clone(), paused);
        self.engine.handle(event, self.now);
    }

    /// Asks the engine for something, as a person does; none as long as it is not durable.
    pub(crate) fn ask<T>(
        &mut self,
        event: impl FnOnce(Reply<T>) -> Event,
    ) -> Option<Result<T, ControlError>> {
        let (reply, mut answer) = oneshot::channel();
        self.engine.handle(event(reply), self.now);
        answer.try_recv().ok()
    }
}
