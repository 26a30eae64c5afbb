//! A team's room: its engine and threads, its bundles, and its tries, waiting and running.
//!
//! Tries wait in the order in which they were dispatched, for one of the team's instances; nobody else's
//! queue is theirs to stand in.

use std::{
    borrow::Cow,
    collections::{HashMap, hash_map::Entry},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{
            AtomicBool, AtomicU64,
            Ordering::{Relaxed, SeqCst},
        },
    },
    time::{Duration, Instant},
};

use airlock_grant::{Caller, Effective};
use airlock_model::{
    id::{BundleHash, BundleName, TaskInstanceKey, TeamName, Token},
    outcome::{Failure, FailureKind, Outcome},
    port::{
        CallbackRow, ParseError, ParsedBundle, PollReport, Polled, TimetableCode, TimetableFailure,
        TriggerRow, TryEvents, Work,
    },
};
use tokio::sync::{Notify, Semaphore, SemaphorePermit, oneshot};

use crate::{
    adapter::{Ports, Standing},
    budget::TeamMemory,
    cache::CodeCache,
    call::{End, Room},
    callback,
    compile::Compiler,
    engine::{TeamEngine, TeamError},
    errand::Errand,
    limits::{Reached, TeamLimits},
    load::{ComponentSource, LoadError, Loaded, Prepared, Sourced, Workshop},
    log::{Allowance, Destination, TryLog},
    metrics::TeamMetrics,
    parse, task,
    telling::{Telling, killed_failure, load_failure},
    ticker::Ticker,
    timetable::{self, Question},
    trigger,
};

/// What all teams share.
pub(crate) struct House {
    pub(crate) cache: CodeCache,
    pub(crate) compiler: Compiler,
    pub(crate) source: Arc<dyn ComponentSource>,
    pub(crate) ports: Arc<Ports>,
    pub(crate) ticker: Ticker,
    pub(crate) events: RwLock<Option<Arc<dyn TryEvents>>>,
    pub(crate) closing: AtomicBool,
}

impl House {
    /// Checks a version before it is taken in; imports that it is not granted are told to the audit.
    pub(crate) fn check(&self, sourced: Sourced, limits: &TeamLimits) -> Result<Loaded, LoadError> {
        let checked = Loaded::check(sourced, limits, &self.cache);
        if let Err(LoadError::Imports(imports)) = &checked {
            for import in imports {
                self.ports.denials.denied(import.for_audit());
            }
        }
        checked
    }

    /// Who hears of tries; nobody once the house closes.
    pub(crate) fn events(&self) -> Option<Arc<dyn TryEvents>> {
        if self.closing.load(SeqCst) {
            return None;
        }
        let events = self.events.read().unwrap_or_else(PoisonError::into_inner);
        events.clone()
    }
}

/// Tries whose end has not been told yet, each with what kills it.
type Tries = HashMap<(TaskInstanceKey, Token), Option<oneshot::Sender<()>>>;

/// The versions that are known, and how often grants have changed.
#[derive(Default)]
struct Bundles {
    loaded: HashMap<(BundleName, BundleHash), Arc<Loaded>>,
    regrants: u64,
}

/// One team.
pub(crate) struct Team {
    name: TeamName,
    limits: TeamLimits,
    engine: TeamEngine,
    memory: Arc<TeamMemory>,
    metrics: Arc<TeamMetrics>,
    instances: Semaphore,
    compiling: tokio::sync::Mutex<()>,
    bundles: RwLock<Bundles>,
    /// What each bundle may still say in the host's log.
    allowances: Mutex<HashMap<BundleName, Arc<Allowance>>>,
    tries: Mutex<Tries>,
    /// A try has ended.
    ended: Notify,
}

/// Counts something as long as it lives.
struct Gauge<'a>(&'a AtomicU64);

impl<'a> Gauge<'a> {
    fn of(count: &'a AtomicU64) -> Self {
        count.fetch_add(1, Relaxed);
        Self(count)
    }
}

impl Drop for Gauge<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

impl Bundles {
    fn put(&mut self, bundle: BundleName, hash: BundleHash, loaded: Loaded) -> Arc<Loaded> {
        match self.loaded.entry((bundle, hash)) {
            Entry::Occupied(mut known) => {
                let loaded = Arc::new(loaded.after(known.get()));
                known.insert(Arc::clone(&loaded));
                loaded
            }
            Entry::Vacant(free) => Arc::clone(free.insert(Arc::new(loaded))),
        }
    }
}

impl Team {
    pub(crate) fn new(name: TeamName, limits: TeamLimits) -> Result<Self, TeamError> {
        let metrics = Arc::new(TeamMetrics::default());
        Ok(Self {
            engine: TeamEngine::new(&name, &limits)?,
            memory: Arc::new(TeamMemory::new(Arc::clone(&metrics), limits.memory)),
            instances: Semaphore::new(limits.instances as usize),
            compiling: tokio::sync::Mutex::new(()),
            bundles: RwLock::default(),
            allowances: Mutex::default(),
            tries: Mutex::default(),
            ended: Notify::new(),
            metrics,
            name,
            limits,
        })
    }

    pub(crate) const fn engine(&self) -> &TeamEngine {
        &self.engine
    }

    pub(crate) const fn limits(&self) -> &TeamLimits {
        &self.limits
    }

    pub(crate) const fn metrics(&self) -> &Arc<TeamMetrics> {
        &self.metrics
    }

    fn bundles(&self) -> RwLockReadGuard<'_, Bundles> {
        self.bundles.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn bundles_mut(&self) -> RwLockWriteGuard<'_, Bundles> {
        self.bundles.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on this is what the version's name means, also to calls that run.
    pub(crate) fn put(&self, bundle: BundleName, hash: BundleHash, loaded: Loaded) {
        self.bundles_mut().put(bundle, hash, loaded);
    }

    /// Replaces what the known versions of a bundle may reach, also for calls that run; what is being fetched
    /// meanwhile is fetched again.
    pub(crate) fn regrant(
        &self,
        bundle: &BundleName,
        effective: impl Fn(&Effective) -> Arc<Effective>,
    ) {
        let mut bundles = self.bundles_mut();
        bundles.regrants += 1;
        for ((name, _), loaded) in &mut bundles.loaded {
            if name == bundle {
                let now = effective(&loaded.effective());
                *loaded = Arc::new(loaded.regranted(now));
            }
        }
    }

    pub(crate) fn remove(&self, bundle: &BundleName, hash: &BundleHash) {
        let mut bundles = self.bundles_mut();
        bundles.loaded.remove(&(bundle.clone(), *hash));
    }

    pub(crate) fn loaded(&self, bundle: &BundleName, hash: &BundleHash) -> Option<Arc<Loaded>> {
        let bundles = self.bundles();
        bundles.loaded.get(&(bundle.clone(), *hash)).cloned()
    }

    /// All versions of a bundle have the same: a new one does not make it louder.
    fn allowance(&self, bundle: &BundleName) -> Arc<Allowance> {
        let all = self.allowances.lock();
        let mut all = all.unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = all.get(bundle) {
            return Arc::clone(own);
        }
        let own = Arc::new(Allowance::new(Instant::now()));
        all.insert(bundle.clone(), Arc::clone(&own));
        own
    }

    fn tries(&self) -> MutexGuard<'_, Tries> {
        self.tries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// This version, checked; fetched from the source if nobody loaded it.
    pub(crate) async fn known(
        &self,
        house: &House,
        bundle: &BundleName,
        hash: &BundleHash,
    ) -> Result<Arc<Loaded>, LoadError> {
        loop {
            if let Some(loaded) = self.loaded(bundle, hash) {
                return Ok(loaded);
            }
            let regrants = self.bundles().regrants;
            let fetched = self.fetched(house, bundle, hash).await?;
            let mut bundles = self.bundles_mut();
            // What was fetched may hold a grant that was taken back meanwhile.
            if bundles.regrants == regrants {
                return Ok(bundles.put(bundle.clone(), *hash, fetched));
            }
        }
    }

    async fn fetched(
        &self,
        house: &House,
        bundle: &BundleName,
        hash: &BundleHash,
    ) -> Result<Loaded, LoadError> {
        let sourced = house
            .source
            .component(&self.name, bundle, hash)
            .await
            .map_err(LoadError::Source)?
            .filter(|sourced| {
                let label = sourced.effective.bundle();
                *sourced.effective.team() == self.name
                    && label.name == *bundle
                    && label.hash == *hash
            })
            .ok_or_else(|| LoadError::Unknown {
                bundle: bundle.clone(),
                hash: *hash,
            })?;
        house.check(sourced, &self.limits)
    }

    /// This version, ready to be called; fetched from the source if nobody loaded it.
    pub(crate) async fn prepared(
        &self,
        house: &House,
        bundle: &BundleName,
        hash: &BundleHash,
    ) -> Result<Arc<Prepared>, Arc<LoadError>> {
        let loaded = self.known(house, bundle, hash).await?;
        let workshop = Workshop {
            engine: &self.engine,
            metrics: &self.metrics,
            cache: &house.cache,
            compiler: &house.compiler,
            source: &*house.source,
            compiling: &self.compiling,
        };
        loaded.prepared(&workshop).await
    }

    const fn room<'a>(&'a self, house: &'a House) -> Room<'a> {
        Room {
            engine: &self.engine,
            limits: &self.limits,
            memory: &self.memory,
            ticker: &house.ticker,
        }
    }

    fn standing(&self, house: &House, prepared: &Prepared, at: At<'_>) -> Arc<Standing> {
        let house_log = |why: Cow<'static, str>| {
            let bundle = prepared.reach.now().bundle().name.clone();
            let allowance = self.allowance(&bundle);
            Destination::House(self.name.clone(), bundle, why, allowance)
        };
        let (caller, run_id, destination) = match at {
            At::Task(work) => {
                let logs = Arc::clone(&house.ports.logs);
                let destination = Destination::Try(logs, work.names.clone());
                (
                    task::caller(work),
                    Some(work.names.run_id.clone()),
                    destination,
                )
            }
            At::Parse => (Caller::parse(), None, house_log("while parsing".into())),
            // To a grant, a timetable is part of what a parse tells.
            At::Timetable => (Caller::parse(), None, house_log("from a timetable".into())),
            At::Trigger(row) => {
                let log = house_log(trigger::speaker(row).into());
                (trigger::caller(row), None, log)
            }
            At::Callback(row) => {
                let log = house_log(callback::speaker(row).into());
                (callback::caller(row), None, log)
            }
        };
        let errand = match at {
            At::Parse => Errand::Parse,
            At::Timetable => Errand::Timetable,
            At::Task(_) => Errand::Task,
            At::Trigger(_) => Errand::Trigger,
            At::Callback(_) => Errand::Callback,
        };
        let clock = Arc::clone(&house.ports.clock);
        Arc::new(Standing {
            reach: Arc::clone(&prepared.reach),
            caller,
            errand,
            run_id,
            log: Arc::new(TryLog::new(destination, clock, self.limits.log_bytes)),
            ports: Arc::clone(&house.ports),
            metrics: Arc::clone(&self.metrics),
        })
    }

    /// One of the team's instances, when it is this caller's turn.
    async fn instance(&self) -> Option<SemaphorePermit<'_>> {
        let _waiting = Gauge::of(&self.metrics.waiting);
        // The semaphore is never closed.
        self.instances.acquire().await.ok()
    }

    /// Takes a try. Its end is always told.
    pub(crate) fn dispatch(self: &Arc<Self>, house: &Arc<House>, work: Work) {
        let own = Some(Arc::clone(self));
        let mut telling = Telling::new(house, own, work.key, work.token);
        if self.tries().len()
            >= self
                .limits
                .queue
                .saturating_add(self.limits.instances as usize)
        {
            let refused = End::Reached(Reached::queue(self.limits.queue)).into_failure();
            self.engine
                .threads()
                .spawn(async move { telling.tell(Outcome::Failed(refused)) });
            return;
        }
        let (kill, killed) = oneshot::channel();
        self.tries().insert((work.key, work.token), Some(kill));
        let (team, house) = (Arc::clone(self), Arc::clone(house));
        self.engine.threads().spawn(async move {
            let outcome = tokio::select! {
                biased;
                Ok(()) = killed => Outcome::Failed(killed_failure("it was stopped from outside")),
                outcome = team.attempt(&house, &work, &mut telling) => outcome,
            };
            telling.tell(outcome);
        });
    }

    async fn attempt(&self, house: &House, work: &Work, telling: &mut Telling) -> Outcome {
        let prepared = match self.prepared(house, &work.bundle, &work.hash).await {
            Ok(prepared) => prepared,
            Err(error) => return Outcome::Failed(load_failure(&error)),
        };
        let Some(tasks) = &prepared.tasks else {
            return Outcome::Failed(load_failure(&LoadError::NoPhase));
        };
        let Some(_instance) = self.instance().await else {
            return Outcome::Failed(killed_failure("the pool is closed"));
        };
        let _active = Gauge::of(&self.metrics.active);
        self.metrics.started(Errand::Task);
        telling.started();
        let standing = self.standing(house, &prepared, At::Task(work));
        let finishing = Finishing(&standing.log);
        let outcome = task::run(&self.room(house), &standing, tasks, prepared.files, work).await;
        drop(finishing);
        outcome
    }

    /// Runs a parse, on the team's threads.
    pub(crate) async fn parse(
        &self,
        house: &House,
        bundle: &BundleName,
        hash: &BundleHash,
    ) -> Result<ParsedBundle, ParseError> {
        let prepared = match self.prepared(house, bundle, hash).await {
            Ok(prepared) => prepared,
            Err(error) if error.is_final() => return Err(ParseError::Load(error.to_string())),
            Err(error) => return Err(ParseError::Unavailable(error.to_string())),
        };
        let Some(dags) = &prepared.dags else {
            return Err(ParseError::Load(LoadError::NoPhase.to_string()));
        };
        let Some(_instance) = self.instance().await else {
            return Err(ParseError::Unavailable("the pool is closed".to_owned()));
        };
        let _active = Gauge::of(&self.metrics.active);
        let standing = self.standing(house, &prepared, At::Parse);
        self.metrics.started(Errand::Parse);
        let finishing = Finishing(&standing.log);
        let parsed = parse::run(&self.room(house), &standing, dags).await;
        drop(finishing);
        let (error, kind) = match parsed {
            Ok(parsed) => {
                self.metrics.ended(None);
                return Ok(parsed);
            }
            Err(End::Reached(Reached { limit, message })) => (
                ParseError::Limit { limit, message },
                FailureKind::Limit(limit),
            ),
            Err(End::Trap(cause, at)) => {
                let at = at.map_or_else(String::new, |at| format!(" ({at})"));
                (ParseError::Trap(format!("{cause}{at}")), FailureKind::Trap)
            }
            Err(end @ (End::Timeout(_) | End::Directory(_) | End::Withdrawn(_))) => (
                ParseError::Unavailable(end.into_failure().message),
                FailureKind::Error,
            ),
        };
        self.metrics.ended(Some(kind));
        Err(error)
    }

    /// Asks a timetable, on the team's threads.
    pub(crate) async fn ask<Q: Question>(
        &self,
        house: &House,
        code: &TimetableCode,
        question: &Q,
    ) -> Result<Q::Answer, TimetableFailure> {
        let prepared = match self.prepared(house, &code.bundle, &code.hash).await {
            Ok(prepared) => prepared,
            Err(error) if error.is_final() => {
                return Err(TimetableFailure::Load(error.to_string()));
            }
            Err(error) => return Err(TimetableFailure::Unavailable(error.to_string())),
        };
        let Some(timetables) = &prepared.timetables else {
            return Err(TimetableFailure::Load(LoadError::NoTimetables.to_string()));
        };
        let Some(_instance) = self.instance().await else {
            return Err(TimetableFailure::Unavailable(
                "the pool is closed".to_owned(),
            ));
        };
        let _active = Gauge::of(&self.metrics.active);
        let standing = self.standing(house, &prepared, At::Timetable);
        self.metrics.started(Errand::Timetable);
        let finishing = Finishing(&standing.log);
        let room = self.room(house);
        let answer = timetable::run(&room, &standing, timetables, &code.schedule, question).await;
        drop(finishing);
        self.metrics.ended(match &answer {
            Ok(_) => None,
            Err(TimetableFailure::Trap(_)) => Some(FailureKind::Trap),
            Err(TimetableFailure::Limit { limit, .. }) => Some(FailureKind::Limit(*limit)),
            Err(_) => Some(FailureKind::Error),
        });
        answer
    }

    /// Waits for an instance of this version.
    async fn turn(
        &self,
        house: &House,
        bundle: &BundleName,
        hash: &BundleHash,
    ) -> Result<Turn<'_>, Failure> {
        let prepared = self.prepared(house, bundle, hash).await;
        let prepared = prepared.map_err(|error| load_failure(&error))?;
        let instance = self.instance().await;
        Ok(Turn {
            prepared,
            _instance: instance.ok_or_else(|| killed_failure("the pool is closed"))?,
            _active: Gauge::of(&self.metrics.active),
        })
    }

    /// Polls a trigger, on the team's threads.
    pub(crate) async fn poll(&self, house: &House, row: &TriggerRow) -> PollReport {
        let mut cpu = Duration::ZERO;
        let answer = self.polled(house, row, &mut cpu).await;
        PollReport { answer, cpu }
    }

    async fn polled(
        &self,
        house: &House,
        row: &TriggerRow,
        cpu: &mut Duration,
    ) -> Result<Polled, Failure> {
        let turn = self.turn(house, &row.bundle, &row.hash).await?;
        let Some(triggers) = &turn.prepared.triggers else {
            return Err(load_failure(&LoadError::NoTriggers));
        };
        let standing = self.standing(house, &turn.prepared, At::Trigger(row));
        self.metrics.started(Errand::Trigger);
        let finishing = Finishing(&standing.log);
        let (room, files) = (self.room(house), turn.prepared.files);
        let answer = trigger::run(&room, &standing, triggers, files, row, cpu).await;
        drop(finishing);
        self.metrics
            .ended(answer.as_ref().err().map(|failure| failure.kind));
        answer
    }

    /// Runs a callback, on the team's threads.
    pub(crate) async fn call(&self, house: &House, row: &CallbackRow) -> Result<(), Failure> {
        let turn = self.turn(house, &row.bundle, &row.hash).await?;
        let Some(callbacks) = &turn.prepared.callbacks else {
            return Err(load_failure(&LoadError::NoCallbacks));
        };
        let standing = self.standing(house, &turn.prepared, At::Callback(row));
        self.metrics.started(Errand::Callback);
        let finishing = Finishing(&standing.log);
        let (room, files) = (self.room(house), turn.prepared.files);
        let answer = callback::run(&room, &standing, callbacks, files, row).await;
        drop(finishing);
        self.metrics
            .ended(answer.as_ref().err().map(|failure| failure.kind));
        answer
    }

    /// Ends a try, if it is still there.
    pub(crate) fn kill(&self, key: TaskInstanceKey, token: Token) {
        let kill = self.tries().get_mut(&(key, token)).and_then(Option::take);
        if let Some(kill) = kill {
            // It may have ended by itself in this moment.
            let _ = kill.send(());
        }
    }

    /// Whether a try's end is still to be told.
    pub(crate) fn holds(&self, key: TaskInstanceKey, token: Token) -> bool {
        self.tries().contains_key(&(key, token))
    }

    /// Ends all tries.
    pub(crate) fn kill_all(&self) {
        for kill in self.tries().values_mut().filter_map(Option::take) {
            let _ = kill.send(());
        }
    }

    /// A try's end has been told.
    pub(crate) fn forget(&self, key: TaskInstanceKey, token: Token, failure: Option<FailureKind>) {
        self.metrics.ended(failure);
        self.tries().remove(&(key, token));
        self.ended.notify_waiters();
    }

    /// Returns when no try waits or runs.
    pub(crate) async fn drained(&self) {
        loop {
            let ended = self.ended.notified();
            if self.tries().is_empty() {
                return;
            }
            ended.await;
        }
    }
}

/// In which phase an instance is to run.
#[derive(Clone, Copy)]
enum At<'a> {
    Parse,
    Timetable,
    Task(&'a Work),
    Trigger(&'a TriggerRow),
    Callback(&'a CallbackRow),
}

/// A call whose turn has come.
struct Turn<'a> {
    prepared: Arc<Prepared>,
    _instance: SemaphorePermit<'a>,
    _active: Gauge<'a>,
}

/// Hands the rest of a log on, however the call ends.
struct Finishing<'a>(&'a TryLog);

impl Drop for Finishing<'_> {
    fn drop(&mut self) {
        self.0.finish();
    }
}
