//! The one place where the rooms are wired: from a configuration to a scheduler that runs, with the sandbox,
//! the store and the bundles behind it. `standalone` puts the API before it; `bundle test` lives in one that
//! is thrown away.

mod bundles;
mod denials;
mod figures;
mod granting;
mod pages;
mod settings;

use std::{
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use airlock_bundle::Content;
use airlock_capability as capability;
use airlock_model::{
    audit::{Actor, AuditAction, AuditEntry},
    connection::Pool,
    id::{PoolName, Scope},
    port::{AuditStore, Clock, PoolStore, RunStore, StoreError, SystemClock},
};
use airlock_sandbox::{Compiler, Sandbox};
use airlock_scheduler::{
    DagPolicy, Engine, Handle, ImportPolicy, Importer, Options, Ports, Scheduler, TeamSetup,
    driver::Shutdown, engine::RandomKeys, restart,
};
use airlock_secret::Vault;
use airlock_store::{BlobFiles, HomeLock, LogFiles, Store};
use serde_json::json;
use tokio::{sync::watch, task::JoinHandle};
use tracing::{error, info, warn};

pub(crate) use bundles::{Owners, Shelf};
use denials::DenialWriter;
pub(crate) use figures::Figures;
pub(crate) use granting::Grants;
pub(crate) use pages::Pages;
pub(crate) use settings::{Keeper, VaultError, WatchedPools, vault};

use crate::config::Config;

/// Why the house cannot be opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HouseError {
    /// The home folder cannot be made.
    #[error("AL-0832: the folder `{}` cannot be made or kept from others: {source}; set AIRLOCK_HOME to a folder that belongs to you", path.display())]
    Home {
        /// The folder.
        path: PathBuf,
        /// The system's word.
        source: std::io::Error,
    },
    /// Another host works in it.
    #[error(transparent)]
    Lock(#[from] airlock_store::HomeError),
    /// The database or a folder of the store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The vault.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The sandbox.
    #[error(transparent)]
    Sandbox(#[from] airlock_sandbox::SandboxError),
    /// A team's pool.
    #[error(transparent)]
    Team(#[from] airlock_sandbox::TeamError),
    /// The program that compiles.
    #[error("AL-0834: this program's own file cannot be found, which compiles components: {0}")]
    Compiler(#[source] std::io::Error),
    /// A thread.
    #[error("AL-0833: the scheduler's thread was not started: {0}")]
    Thread(#[source] std::io::Error),
}

/// The folder of bundles and large XComs in the home folder.
pub(crate) const CONTENT: &str = "content";

/// What a house is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To serve: schedules make runs.
    Serve,
    /// To try a DAG out: runs are made by hand only.
    Test,
}

/// The rooms, wired.
pub(crate) struct House {
    pub(crate) config: Arc<Config>,
    pub(crate) store: Arc<Store>,
    pub(crate) vault: Arc<Vault>,
    pub(crate) sandbox: Arc<Sandbox>,
    pub(crate) logs: Arc<LogFiles>,
    pub(crate) handle: Handle,
    pub(crate) shelf: Arc<Shelf>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) lock: HomeLock,
    denials: Arc<DenialWriter>,
    denials_writer: JoinHandle<()>,
    shutdown: watch::Sender<Shutdown>,
    /// Closed when the scheduler's thread has ended.
    alive: watch::Receiver<()>,
}

/// Threads of the scheduler and the store go before those of the teams when all want the machine; this is
/// how far below them the teams' are (see the sandbox).
const SCHEDULER_THREAD: &str = "scheduler";

impl House {
    /// Opens the house: locks the home folder, brings the database up to date, adopts what a host before
    /// left unfinished, and starts the scheduler. Bundles are not loaded yet.
    pub(crate) async fn open(config: Config, purpose: Purpose) -> Result<Self, HouseError> {
        let config = Arc::new(config);
        let home = config.home.clone();
        private_folder(&home)?;
        let lock = HomeLock::acquire(&home)?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let blobs = Arc::new(BlobFiles::open(home.join(CONTENT))?);
        let store = Arc::new(Store::open(config.database_url().reveal(), blobs.clone()).await?);
        store.migrate().await?;
        let removed = store.remove_dropped_contents(&blobs).await?;
        if removed > 0 {
            info!(removed, "contents that only deleted runs needed are gone");
        }
        let vault = Arc::new(settings::vault(&config, &home, &store)?);
        let logs = Arc::new(LogFiles::new(home.join("logs")));
        sync_pools(&config, &store).await?;

        let content = Arc::new(Content::new(blobs.clone(), bundles::most_bytes(&config)));
        let shelf = Arc::new(Shelf::new(&config, purpose, store.clone(), content));
        let compiler = Compiler::this_program(config.compile.limits())
            .map_err(HouseError::Compiler)?
            .confined(config.security.required());
        let connections =
            (config.teams.iter()).map(|team| (team.name.clone(), team.limits.egress_connections));
        let denials = Arc::new(DenialWriter::new(clock.clone(), store.clone()));
        let ports = airlock_sandbox::Ports {
            clock: clock.clone(),
            logs: logs.clone(),
            xcoms: store.clone(),
            variables: Arc::new(capability::Variables::new(vault.clone())),
            connections: Arc::new(capability::Connections::new(vault.clone())),
            directories: Arc::new(capability::Directories),
            egress: Arc::new(
                capability::Egress::new()
                    .bounded(connections)
                    .logging_in(vault.clone()),
            ),
            databases: Arc::new(capability::Databases::new(
                vault.clone(),
                capability::Databases::SESSIONS,
                [home.clone()],
                tokio::runtime::Handle::current(),
            )),
            denials: denials.clone(),
        };
        let cache = home.join("cache");
        let sandbox = airlock_sandbox::Options {
            cache,
            compiler,
            source: shelf.clone(),
            ports,
        };
        let sandbox = Arc::new(Sandbox::new(sandbox)?);
        for team in &config.teams {
            sandbox.add_team(team.name.clone(), team.limits.team_limits())?;
        }

        let (handle, channel) =
            Scheduler::channel(store.clone(), store.clone(), store.clone(), clock.clone());
        sandbox.set_events(Arc::new(handle.clone()));
        let options = scheduler_options(&config);
        let mut engine = engine(&config, &options, &store).await?;
        restart::adopt(&mut engine, &*store, clock.now()).await?;
        let ports = Ports {
            runs: store.clone(),
            dags: store.clone(),
            xcoms: store.clone(),
            blobs,
            assets: store.clone(),
            timetables: sandbox.clone(),
            triggers: store.clone(),
            poller: sandbox.clone(),
            callbacks: store.clone(),
            callback_runner: sandbox.clone(),
            deadlines: store.clone(),
            files: Arc::new(capability::Files::new(sandbox.clone(), denials.clone())),
            executor: sandbox.clone(),
            clock: clock.clone(),
        };
        let (shutdown, asked) = watch::channel(Shutdown::No);
        let scheduler = Scheduler::new(engine, options, ports, channel);
        let importer = Importer {
            parser: sandbox.clone(),
            bundles: store.clone(),
            dags: store.clone(),
            pools: store.clone(),
            clock: clock.clone(),
            handle: handle.clone(),
        };
        let start = AuditEntry::new(clock.now(), Actor::Host, AuditAction::HostStart, "host")
            .with(&json!({"version": env!("CARGO_PKG_VERSION")}));
        store.append_audit(&[start]).await?;
        let denials_writer = tokio::spawn(denials.clone().run());
        // Before anybody asks for a component: what was approved is not to be denied to a run that goes on.
        shelf.learn_decided().await?;
        shelf.open(
            importer,
            sandbox.clone(),
            capability::Variables::new(vault.clone()),
        );
        // Not before the shelf is open: runs that go on after a restart ask it for their components at once.
        let thread = std::thread::Builder::new().name(SCHEDULER_THREAD.into());
        let (ends, alive) = watch::channel(());
        thread
            .spawn(move || {
                drive(scheduler, asked);
                drop(ends);
            })
            .map_err(HouseError::Thread)?;
        Ok(Self {
            config,
            store,
            vault,
            sandbox,
            logs,
            handle,
            shelf,
            clock,
            lock,
            denials,
            denials_writer,
            shutdown,
            alive,
        })
    }

    /// Asks the scheduler to stop: to drain, or at once.
    pub(crate) fn ask(&self, how: Shutdown) {
        self.shutdown.send_modify(|asked| *asked = how.max(*asked));
    }

    /// Tells the audit of the end, and of the denials that it does not know of yet. Nothing runs any more.
    pub(crate) async fn tell_end(&self) {
        self.denials_writer.abort();
        let now = self.clock.now();
        let stop = AuditEntry::new(now, Actor::Host, AuditAction::HostStop, "host");
        let told = async {
            self.denials.finish().await?;
            self.store.append_audit(&[stop]).await
        };
        match tokio::time::timeout(GRACE, told).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => warn!(%error, "the end could not be told to the audit"),
            Err(_) => warn!("the end could not be told to the audit: the store does not answer"),
        }
    }

    /// Returns when the scheduler has written its last batch; may be asked again and by several.
    pub(crate) async fn stopped(&self) {
        let mut alive = self.alive.clone();
        // Nothing is ever sent: the channel closes when the thread ends.
        while alive.changed().await.is_ok() {}
    }
}

/// The scheduler's thread has a runtime of its own, so that nothing that the API does delays a task.
fn drive(scheduler: Scheduler, asked: watch::Receiver<Shutdown>) {
    match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime.block_on(scheduler.run(asked)),
        Err(error) => error!(%error, "the scheduler has no runtime"),
    }
}

/// Makes a folder that nobody else may look into.
pub(crate) fn private_folder(path: &Path) -> Result<(), HouseError> {
    let failed = |source| HouseError::Home {
        path: path.to_owned(),
        source,
    };
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(failed)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700)).map_err(failed)
}

fn scheduler_options(config: &Config) -> Options {
    Options {
        parallelism: config.scheduler.parallelism,
        zombie_detection_interval: config.scheduler.zombie_detection_interval,
        heartbeat: config.scheduler.heartbeat,
        lease: config.scheduler.lease,
        drain_timeout: config.scheduler.drain_timeout,
        spill_bytes: config.scheduler.xcom_spill_bytes.in_memory(),
        max_map_length: config.scheduler.max_map_length,
        triggers: config.triggers.options(),
        callbacks: config.callbacks.options(),
    }
}

/// What the configuration demands of a bundle's DAGs.
fn policy(config: &Config, purpose: Purpose, rules: DagPolicy) -> ImportPolicy {
    ImportPolicy {
        rules,
        max_active_runs: config.scheduler.max_active_runs_per_dag,
        max_active_tasks: config.scheduler.max_active_tasks_per_dag,
        by_hand: purpose == Purpose::Test,
    }
}

/// Pools of the configuration win over those of the database, and stand in it for all to see. One that the
/// configuration no longer names goes, so that its file says what there is; what somebody made stays.
async fn sync_pools(config: &Config, store: &Store) -> Result<(), StoreError> {
    let (mut pools, mut defaults) = (Vec::new(), Vec::new());
    for (scope, settings) in config.settings() {
        let default = Pool {
            scope,
            name: PoolName::default_pool(),
            slots: Pool::DEFAULT_SLOTS,
            description: Some("for tasks that name no pool".into()),
            include_deferred: false,
        };
        let is_team = default.scope != Scope::Global;
        if is_team && settings.pools.iter().all(|pool| pool.name != default.name) {
            defaults.push(default);
        }
        pools.extend(settings.pools.iter().cloned());
    }
    for (scope, pool) in store.configure_pools(&pools, &defaults).await? {
        let team = match &scope {
            Scope::Global => "(all teams)",
            Scope::Team(team) => team.as_str(),
        };
        info!(%pool, team, "the pool is no longer configured, and is removed");
    }
    Ok(())
}

async fn engine(config: &Config, options: &Options, store: &Store) -> Result<Engine, StoreError> {
    let teams: Vec<TeamSetup> = (config.teams.iter())
        .map(|team| TeamSetup {
            name: team.name.clone(),
            weight: team.weight,
            capacity: team.limits.instances,
        })
        .collect();
    let (pools, progress) = (store.pools().await?, store.progress().await?);
    Ok(Engine::new(
        options.clone(),
        &teams,
        &pools,
        progress,
        Box::new(RandomKeys),
    ))
}

/// How long a stop may take beyond the scheduler's own patience.
pub(crate) const GRACE: Duration = Duration::from_secs(5);
