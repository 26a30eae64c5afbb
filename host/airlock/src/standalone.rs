//! `airlock standalone`: the house with the API before it, until somebody asks it to stop.
//!
//! The first signal drains: no new tries, those in flight may end. The second ends at once; what was in
//! flight then runs again at the next start.

mod progress;

use std::{collections::BTreeSet, net::SocketAddr, process::ExitCode, sync::Arc};

use airlock_confine::Report;
use airlock_model::id::{PoolName, Scope};
use airlock_scheduler::driver::Shutdown;
use airlock_server::{
    ApiState, DagDefaults, Guards, RequestFigures, Team,
    auth::{Keys, Token},
};
use tokio::{
    net::TcpListener,
    signal::unix::{Signal, SignalKind, signal},
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{
    config::Config,
    error::CliError,
    house::{Figures, GRACE, Grants, House, Keeper, Owners, Pages, Purpose, WatchedPools},
    output,
};

/// What was decided before there were threads, besides the configuration.
#[derive(Debug, Clone)]
pub(crate) struct StandaloneOptions {
    /// Show no progress, also on a terminal.
    pub(crate) quiet: bool,
    /// What this process has taken away from itself; none where it was not to.
    pub(crate) wall: Option<Report>,
}

/// The scheduler is ill when its loop has not come round for so many of its heartbeats.
const MISSED_HEARTBEATS: u32 = 3;

/// Runs the server until it is asked to stop.
///
/// # Errors
/// A [`CliError`] when it cannot start.
pub(crate) async fn run(config: Config, options: StandaloneOptions) -> Result<ExitCode, CliError> {
    let mut signals = Signals::new()?;
    let listen = config.server.listen;
    let listener = TcpListener::bind(listen).await.map_err(|error| {
        CliError::Failed(format!(
            "AL-0835: the API cannot listen on {listen}: {error}; stop what does, or set `listen` of [server] to another address"
        ))
    })?;
    let address = listener.local_addr().map_err(CliError::room)?;
    let mut house = House::open(config, Purpose::Serve)
        .await
        .map_err(CliError::room)?;
    let token = Token::read_or_create(&house.config.home).map_err(CliError::room)?;
    let stop = CancellationToken::new();
    let server = &house.config.server;
    let guards = Guards {
        allowed_hosts: server.allowed_hosts.clone(),
        public_metrics: server.public_metrics,
        body_limit: server.body_limit.in_memory(),
        request_timeout: server.request_timeout,
    };
    let router = airlock_server::router(state(&house, &token, stop.clone()), &guards);
    let api = tokio::spawn(airlock_server::serve(listener, router, stop.clone(), GRACE));
    house
        .lock
        .announce(&format!("http://{address}"))
        .map_err(CliError::room)?;
    house.shelf.fill().await.map_err(CliError::room)?;
    if let Some(wall) = &options.wall {
        info!(holds = %wall.holding(), "the host has restricted itself");
    }
    greet(&house, address)?;
    if !options.quiet {
        progress::show(&house);
    }

    signals.next().await;
    info!("asked to stop: waiting for tries in flight; a second signal ends at once");
    house.ask(Shutdown::Drain);
    let impatient = tokio::select! {
        () = house.stopped() => false,
        () = signals.next() => true,
    };
    if impatient {
        warn!("asked again: what is in flight runs again at the next start");
        house.ask(Shutdown::Now);
        if tokio::time::timeout(GRACE, house.stopped()).await.is_err() {
            warn!("the store does not answer; leaving what is decided and not written");
        }
    }
    stop.cancel();
    house.sandbox.shutdown();
    house.tell_end().await;
    if !impatient && api.await.is_err() {
        warn!("the API's task failed");
    }
    Ok(ExitCode::SUCCESS)
}

fn state(house: &House, token: &Token, shutdown: CancellationToken) -> ApiState {
    let (store, shelf) = (Arc::clone(&house.store), Arc::clone(&house.shelf));
    let config = &house.config;
    let team = |team: &crate::config::Team| Team {
        name: team.name.clone(),
        weight: team.weight,
    };
    ApiState {
        dags: store.clone(),
        runs: store.clone(),
        backfills: store.clone(),
        assets: store.clone(),
        triggers: store.clone(),
        callbacks: store.clone(),
        deadlines: store.clone(),
        timetables: house.sandbox.clone(),
        xcoms: store.clone(),
        bundles: store.clone(),
        logs: house.logs.clone(),
        pools: Arc::new(WatchedPools {
            store: store.clone(),
            handle: house.handle.clone(),
            shelf: shelf.clone(),
        }),
        pool_loads: store,
        configured_pools: Arc::new(configured_pools(config)),
        settings: Arc::new(Keeper {
            vault: house.vault.clone(),
            shelf: shelf.clone(),
        }),
        ownership: Arc::new(Owners {
            shelf: shelf.clone(),
            handle: house.handle.clone(),
        }),
        reviews: Arc::new(Pages {
            shelf: shelf.clone(),
        }),
        grants: house.store.clone(),
        shares: config.shares.clone().into(),
        granting: Arc::new(Grants {
            shelf,
            clock: house.clock.clone(),
        }),
        control: Arc::new(house.handle.clone()),
        audit: house.store.clone(),
        instances: Arc::new(Figures {
            sandbox: house.sandbox.clone(),
            config: config.clone(),
        }),
        clock: house.clock.clone(),
        teams: config.teams.iter().map(team).collect(),
        defaults: DagDefaults {
            max_active_runs: config.scheduler.max_active_runs_per_dag,
            max_active_tasks: config.scheduler.max_active_tasks_per_dag,
        },
        heartbeat_limit: config.scheduler.heartbeat * MISSED_HEARTBEATS,
        keys: Keys::new(token, &config.reviewers),
        shutdown,
        requests: RequestFigures::default(),
    }
}

/// The pools that only an editor changes.
fn configured_pools(config: &Config) -> BTreeSet<(Scope, PoolName)> {
    let pools = config.settings().flat_map(|(_, settings)| &settings.pools);
    pools
        .map(|pool| (pool.scope.clone(), pool.name.clone()))
        .collect()
}

/// Says that it is ready, and where.
fn greet(house: &House, address: SocketAddr) -> Result<(), CliError> {
    let config = &house.config;
    let teams: Vec<&str> = config.teams.iter().map(|team| team.name.as_str()).collect();
    let word = if teams.len() == 1 { "team" } else { "teams" };
    let version = env!("CARGO_PKG_VERSION");
    let database = config.database_url().shown();
    output::print_line(&format!(
        "airlock {version}  {database}  API http://{address}  {word} {}",
        teams.join(", ")
    ))?;
    if config.automatic.is_some() {
        let text = "granting what bundles ask for, since only the default team exists (set [[team]] to change that)";
        warn!("{text}");
        output::print_line(text)?;
    }
    let home = &config.home;
    info!(home = %home.display(), %address, at = %house.clock.now(), "ready");
    Ok(())
}

/// The signals that ask the server to stop.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> Result<Self, CliError> {
        let listen = |kind| signal(kind).map_err(CliError::room);
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
