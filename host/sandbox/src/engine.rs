//! A team's engine, its pool and its threads, which belong together and to nobody else.
//!
//! Nothing that wasmtime makes for one engine is ever given to another: components, linkers and stores are
//! made from a [`TeamEngine`] and live in its team only. The threads are a runtime of the team's own, less
//! urgent than the scheduler's and the store's, so that whatever guests do, what they wait for goes on.

use std::io;

use airlock_model::id::TeamName;
use tokio::runtime::{Builder, Handle, Runtime};
use wasmtime::Engine;

use crate::{config, limits::TeamLimits};

/// How much less urgent a team's threads are than the rest of the house.
#[cfg(target_os = "linux")]
const NICENESS: i32 = 5;
/// Threads for what cannot be done without blocking, such as looking up names.
const BLOCKING_THREADS: usize = 8;

/// Why a team has no pool.
#[derive(Debug, thiserror::Error)]
pub enum TeamError {
    /// It has one already.
    #[error("AL-0545: team `{0}` has a pool already")]
    Exists(TeamName),
    /// A limit is zero that must not be.
    #[error("AL-0546: `{option}` of the pool of team `{team}` must be at least 1")]
    Zero {
        /// Whose.
        team: TeamName,
        /// Which option.
        option: &'static str,
    },
    /// The pool cannot be made.
    #[error(
        "AL-0547: the pool of team `{team}` cannot be made: {source}; each instance reserves about 8 GiB of address space, so lower `instances`, or lift the bound on address space (`ulimit -v`)"
    )]
    Engine {
        /// Whose.
        team: TeamName,
        /// What wasmtime says.
        source: wasmtime::Error,
    },
    /// The threads cannot be started.
    #[error("AL-0548: the threads of team `{team}` cannot be started: {source}")]
    Threads {
        /// Whose.
        team: TeamName,
        /// What failed.
        #[source]
        source: io::Error,
    },
}

/// One team's engine and threads.
pub(crate) struct TeamEngine {
    engine: Engine,
    runtime: Option<Runtime>,
    handle: Handle,
}

impl TeamEngine {
    pub(crate) fn new(team: &TeamName, limits: &TeamLimits) -> Result<Self, TeamError> {
        let needed = [
            ("instances", limits.instances as usize),
            ("threads", limits.threads),
            ("queue", limits.queue),
        ];
        if let Some((option, _)) = needed.iter().find(|(_, value)| *value == 0) {
            return Err(TeamError::Zero {
                team: team.clone(),
                option,
            });
        }
        let engine =
            Engine::new(&config::engine_config(limits)).map_err(|source| TeamError::Engine {
                team: team.clone(),
                source,
            })?;
        let runtime = Builder::new_multi_thread()
            .worker_threads(limits.threads)
            .max_blocking_threads(BLOCKING_THREADS)
            .thread_name(format!("team-{team}"))
            .on_thread_start(step_back)
            .enable_all()
            .build()
            .map_err(|source| TeamError::Threads {
                team: team.clone(),
                source,
            })?;
        Ok(Self {
            engine,
            handle: runtime.handle().clone(),
            runtime: Some(runtime),
        })
    }

    pub(crate) const fn get(&self) -> &Engine {
        &self.engine
    }

    pub(crate) const fn threads(&self) -> &Handle {
        &self.handle
    }
}

/// Makes the calling thread less urgent than the rest of the house.
fn step_back() {
    // Elsewhere than on Linux this would be the whole process.
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::nice(NICENESS) {
        tracing::debug!(%error, "a team's thread keeps its urgency");
    }
}

impl Drop for TeamEngine {
    fn drop(&mut self) {
        // Waiting for the threads would be forbidden on one of them, or on any other runtime's.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
