//! The sandbox as the rest of the house sees it.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};

use airlock_grant::{
    Effective,
    port::{Grants, GrantsError},
};
use airlock_model::{
    id::{BundleHash, BundleName, TaskInstanceKey, TeamName, Token},
    outcome::{Failure, Outcome},
    port::{
        CallbackRunner, CallbackWork, Executor, ParseError, ParsedBundle, Parser, Poll, PollReport,
        Poller, TimetableCode, TimetableFailure, Timetables, TryEvents, Work,
    },
    time::Timestamp,
    timetable::{Interval, NextRun, Restriction},
};
use async_trait::async_trait;
use tokio::task::JoinHandle;
use wasmtime::Engine;

use crate::{
    adapter::Ports,
    cache::{CacheError, CodeCache, Edition},
    compile::Compiler,
    config,
    engine::TeamError,
    limits::TeamLimits,
    load::{ComponentSource, LoadError, Sourced},
    metrics::TeamMetrics,
    team::{House, Team},
    telling::{Telling, killed_failure, load_failure},
    ticker::Ticker,
    timetable::{Manual, Next, Question},
};

/// What is told when a job on a team's threads panicked.
const HOST_FAILED: &str = "the host failed; its log has the reason";

/// What a sandbox is made of.
pub struct Options {
    /// Where machine code is kept; made if it is not there, with access for this user only.
    pub cache: PathBuf,
    /// What compiles.
    pub compiler: Compiler,
    /// Where versions come from that nobody loaded.
    pub source: Arc<dyn ComponentSource>,
    /// What stands behind the adapters.
    pub ports: Ports,
}

/// Why there is no sandbox.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The code cache cannot be used.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// The machine cannot run guests.
    #[error("AL-0552: this machine cannot run WebAssembly: {0:#}")]
    Machine(wasmtime::Error),
    /// The thread that bounds running time cannot be started.
    #[error("AL-0553: a thread cannot be started: {0}")]
    Thread(#[source] std::io::Error),
}

/// All teams' pools.
pub struct Sandbox {
    house: Arc<House>,
    teams: RwLock<HashMap<TeamName, Arc<Team>>>,
}

impl Sandbox {
    /// A sandbox without teams.
    ///
    /// # Errors
    /// A [`SandboxError`].
    pub fn new(options: Options) -> Result<Self, SandboxError> {
        let engine = Engine::new(&config::compiler()).map_err(SandboxError::Machine)?;
        let house = House {
            cache: CodeCache::open(&options.cache, Edition::of(&engine))?,
            compiler: options.compiler,
            source: options.source,
            ports: Arc::new(options.ports),
            ticker: Ticker::start().map_err(SandboxError::Thread)?,
            events: RwLock::new(None),
            closing: AtomicBool::new(false),
        };
        Ok(Self {
            house: Arc::new(house),
            teams: RwLock::default(),
        })
    }

    /// Who hears of tries from now on.
    pub fn set_events(&self, events: Arc<dyn TryEvents>) {
        let slot = self.house.events.write();
        *slot.unwrap_or_else(PoisonError::into_inner) = Some(events);
    }

    /// Gives a team its pool and its threads.
    ///
    /// # Errors
    /// A [`TeamError`]; also when the team has a pool.
    pub fn add_team(&self, name: TeamName, limits: TeamLimits) -> Result<(), TeamError> {
        let mut teams = self.teams.write().unwrap_or_else(PoisonError::into_inner);
        if teams.contains_key(&name) {
            return Err(TeamError::Exists(name));
        }
        let team = Team::new(name.clone(), limits)?;
        self.house.ticker.register(team.engine().get());
        teams.insert(name, Arc::new(team));
        Ok(())
    }

    fn team(&self, name: &TeamName) -> Option<Arc<Team>> {
        let teams = self.teams.read().unwrap_or_else(PoisonError::into_inner);
        teams.get(name).cloned()
    }

    /// Checks a version of a bundle and takes it in; it is compiled when it is first needed. Team, name and
    /// hash are those of what it may reach. Loading a version again replaces what it may reach, also for calls
    /// that run.
    ///
    /// # Errors
    /// A [`LoadError`]; then what was loaded before stays.
    pub fn load(&self, sourced: Sourced) -> Result<(), LoadError> {
        let name = sourced.effective.team().clone();
        let bundle = sourced.effective.bundle().name.clone();
        let hash = sourced.effective.bundle().hash;
        let team = self.team(&name).ok_or(LoadError::Team(name))?;
        let loaded = self.house.check(sourced, team.limits())?;
        team.put(bundle, hash, loaded);
        Ok(())
    }

    /// Replaces what all known versions of a bundle may reach, from each one's request on: for calls that begin
    /// and for those that run, which end where a directory that they have open is not theirs any more. Versions
    /// that import what is not granted any more cannot be called. What the [`ComponentSource`] gave before and
    /// was not taken in yet is asked for again: so it has to know of the change first.
    pub fn regrant(
        &self,
        team: &TeamName,
        bundle: &BundleName,
        effective: impl Fn(&Effective) -> Arc<Effective>,
    ) {
        if let Some(team) = self.team(team) {
            team.regrant(bundle, effective);
        }
    }

    /// Whether this component's machine code is kept from an earlier compilation, which the component passed
    /// whole. It says nothing of the code itself, which is checked before it is run.
    #[must_use]
    pub fn has_compiled(&self, component: &BundleHash) -> bool {
        self.house.cache.holds(component)
    }

    /// Forgets a version. Calls that run go on; a later one asks the [`ComponentSource`].
    pub fn unload(&self, team: &TeamName, bundle: &BundleName, hash: &BundleHash) {
        if let Some(team) = self.team(team) {
            team.remove(bundle, hash);
        }
    }

    /// Compiles and links a version now, on its team's threads.
    ///
    /// # Errors
    /// A [`LoadError`].
    pub async fn prepare(
        &self,
        team: &TeamName,
        bundle: &BundleName,
        hash: &BundleHash,
    ) -> Result<(), Arc<LoadError>> {
        let team = self.known(team)?;
        let (house, bundle, hash) = (Arc::clone(&self.house), bundle.clone(), *hash);
        let threads = team.engine().threads().clone();
        let job = threads.spawn(async move {
            let prepared = team.prepared(&house, &bundle, &hash).await;
            prepared.map(|_| ())
        });
        match Job(job).ended().await {
            Some(done) => done,
            None => Err(Arc::new(LoadError::Source("the host failed".into()))),
        }
    }

    fn known(&self, team: &TeamName) -> Result<Arc<Team>, LoadError> {
        self.team(team).ok_or_else(|| LoadError::Team(team.clone()))
    }

    /// The figures of all teams.
    #[must_use]
    pub fn metrics(&self) -> Vec<(TeamName, Arc<TeamMetrics>)> {
        let teams = self.teams.read().unwrap_or_else(PoisonError::into_inner);
        teams
            .iter()
            .map(|(name, team)| (name.clone(), Arc::clone(team.metrics())))
            .collect()
    }

    async fn ask<Q: Question>(
        &self,
        of: &TimetableCode,
        question: Q,
    ) -> Result<Q::Answer, TimetableFailure> {
        let team = self
            .known(&of.team)
            .map_err(|error| TimetableFailure::Load(error.to_string()))?;
        let (house, of) = (Arc::clone(&self.house), of.clone());
        let threads = team.engine().threads().clone();
        let job = threads.spawn(async move { team.ask(&house, &of, &question).await });
        match Job(job).ended().await {
            Some(answer) => answer,
            None => Err(TimetableFailure::Unavailable(HOST_FAILED.to_owned())),
        }
    }

    fn all(&self) -> Vec<Arc<Team>> {
        let teams = self.teams.read().unwrap_or_else(PoisonError::into_inner);
        teams.values().cloned().collect()
    }

    /// Returns when no try waits or runs.
    pub async fn drain(&self) {
        for team in self.all() {
            team.drained().await;
        }
    }

    /// Stops all tries. Nothing is told of them any more: they count as running, and are run again by
    /// whoever takes over.
    pub fn shutdown(&self) {
        self.house.closing.store(true, SeqCst);
        for team in self.all() {
            team.kill_all();
        }
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.shutdown();
    }
}

impl Executor for Sandbox {
    fn dispatch(&self, work: Work) {
        match self.team(work.team()) {
            Some(team) => team.dispatch(&self.house, work),
            None => {
                let telling = Telling::new(&self.house, None, work.key, work.token);
                let failure = load_failure(&LoadError::Team(work.names.team));
                // Not from here: whoever dispatches may hold what the one who hears of it needs.
                std::thread::spawn(move || telling.tell(Outcome::Failed(failure)));
            }
        }
    }

    fn kill(&self, key: TaskInstanceKey, token: Token) {
        for team in self.all() {
            team.kill(key, token);
        }
    }

    fn holds(&self, key: TaskInstanceKey, token: Token) -> bool {
        self.all().iter().any(|team| team.holds(key, token))
    }
}

#[async_trait]
impl Parser for Sandbox {
    async fn parse(
        &self,
        team: &TeamName,
        bundle: &BundleName,
        hash: &BundleHash,
    ) -> Result<ParsedBundle, ParseError> {
        let team = self
            .known(team)
            .map_err(|error| ParseError::Load(error.to_string()))?;
        let (house, bundle, hash) = (Arc::clone(&self.house), bundle.clone(), *hash);
        let threads = team.engine().threads().clone();
        let job = threads.spawn(async move { team.parse(&house, &bundle, &hash).await });
        match Job(job).ended().await {
            Some(parsed) => parsed,
            None => Err(ParseError::Unavailable(HOST_FAILED.to_owned())),
        }
    }
}

#[async_trait]
impl Grants for Sandbox {
    async fn effective(
        &self,
        team: &TeamName,
        bundle: &BundleName,
        hash: &BundleHash,
    ) -> Result<Arc<Effective>, GrantsError> {
        let never = |error: LoadError| GrantsError::Never(error.into());
        let team = self.known(team).map_err(never)?;
        if let Some(loaded) = team.loaded(bundle, hash) {
            return Ok(loaded.effective());
        }
        let (house, bundle, hash) = (Arc::clone(&self.house), bundle.clone(), *hash);
        let threads = team.engine().threads().clone();
        let job = threads.spawn(async move { team.known(&house, &bundle, &hash).await });
        match Job(job).ended().await {
            Some(Ok(loaded)) => Ok(loaded.effective()),
            Some(Err(error)) if error.is_final() => Err(never(error)),
            Some(Err(error)) => Err(GrantsError::Unavailable(error.into())),
            None => Err(GrantsError::Unavailable(HOST_FAILED.into())),
        }
    }
}

#[async_trait]
impl Timetables for Sandbox {
    async fn next_run(
        &self,
        of: &TimetableCode,
        last: Option<NextRun>,
        bounds: Restriction,
        now: Timestamp,
    ) -> Result<Option<NextRun>, TimetableFailure> {
        self.ask(of, Next { last, bounds, now }).await
    }

    async fn manual_interval(
        &self,
        of: &TimetableCode,
        run_after: Timestamp,
    ) -> Result<Interval, TimetableFailure> {
        self.ask(of, Manual { run_after }).await
    }
}

#[async_trait]
impl Poller for Sandbox {
    async fn poll(&self, poll: Poll) -> PollReport {
        let unpolled = |failure| PollReport {
            answer: Err(failure),
            cpu: Duration::ZERO,
        };
        let team = match self.known(&poll.trigger.team) {
            Ok(team) => team,
            Err(error) => return unpolled(load_failure(&error)),
        };
        let house = Arc::clone(&self.house);
        let threads = team.engine().threads().clone();
        let job = threads.spawn(async move { team.poll(&house, &poll.trigger).await });
        match Job(job).ended().await {
            Some(report) => report,
            None => unpolled(killed_failure(HOST_FAILED)),
        }
    }
}

#[async_trait]
impl CallbackRunner for Sandbox {
    async fn call(&self, work: CallbackWork) -> Result<(), Failure> {
        let team = self
            .known(&work.row.team)
            .map_err(|error| load_failure(&error))?;
        let house = Arc::clone(&self.house);
        let threads = team.engine().threads().clone();
        let job = threads.spawn(async move { team.call(&house, &work.row).await });
        match Job(job).ended().await {
            Some(ended) => ended,
            None => Err(killed_failure(HOST_FAILED)),
        }
    }
}

/// Work on a team's threads that ends with whoever waits for it.
struct Job<T>(JoinHandle<T>);

impl<T> Job<T> {
    /// None: it panicked, or its threads are gone.
    async fn ended(mut self) -> Option<T> {
        (&mut self.0).await.ok()
    }
}

impl<T> Drop for Job<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
