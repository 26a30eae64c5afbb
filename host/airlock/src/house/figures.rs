//! The instance pools' figures, for the metrics.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use airlock_sandbox::{CAPABILITIES, ENDS, Sandbox};
use airlock_server::{InstancePools, PoolFigures};

use crate::config::Config;

/// Reads the sandbox's counters.
pub(crate) struct Figures {
    pub(crate) sandbox: Arc<Sandbox>,
    pub(crate) config: Arc<Config>,
}

/// Each name with its counter's figure.
fn counted(names: &[&'static str], counters: &[AtomicU64]) -> Vec<(&'static str, u64)> {
    let figures = counters.iter().map(|counter| counter.load(Relaxed));
    names.iter().copied().zip(figures).collect()
}

impl InstancePools for Figures {
    fn figures(&self) -> Vec<PoolFigures> {
        let counters = self.sandbox.metrics();
        let figures = |team: &crate::config::Team| {
            let (_, metrics) = counters.iter().find(|(name, _)| *name == team.name)?;
            let limits = team.limits.team_limits();
            Some(PoolFigures {
                team: team.name.clone(),
                instances: metrics.active.load(Relaxed),
                instances_limit: u64::from(limits.instances),
                waiting: metrics.waiting.load(Relaxed),
                memory: metrics.memory.load(Relaxed),
                memory_limit: limits.memory as u64,
                cpu_micros: metrics.cpu_micros.load(Relaxed),
                denials: counted(&CAPABILITIES, &metrics.denials),
                ends: counted(&ENDS, &metrics.ends),
            })
        };
        self.config.teams.iter().filter_map(figures).collect()
    }
}
