//! Figures of a team's pool, for the server's metrics.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use airlock_model::outcome::{FailureKind, Limit};

use crate::errand::Errand;

/// How a call can end, as the figures name it.
pub const ENDS: [&str; 17] = [
    "success",
    "error",
    "trap",
    "timeout",
    "load",
    "killed",
    "cpu_time",
    "wall_time",
    "memory",
    "team_memory",
    "table_elements",
    "stack",
    "host_call",
    "xcom",
    "instances",
    "definition",
    "zombie",
];

/// What can be denied, as the figures name it.
pub const CAPABILITIES: [&str; 6] = [
    "variable",
    "connection",
    "directory",
    "http",
    "asset",
    "other",
];

/// Counters of one team. All but the first three only grow.
#[derive(Debug, Default)]
pub struct TeamMetrics {
    /// Calls that wait for an instance, now.
    pub waiting: AtomicU64,
    /// Instances, now.
    pub active: AtomicU64,
    /// Linear memory of all instances, in bytes, now.
    pub memory: AtomicU64,
    /// Parses that got an instance.
    pub parses: AtomicU64,
    /// Questions to timetables that got an instance.
    pub timetables: AtomicU64,
    /// Tries that got an instance.
    pub tries: AtomicU64,
    /// Polls of triggers that got an instance.
    pub polls: AtomicU64,
    /// Callbacks that got an instance.
    pub callbacks: AtomicU64,
    /// CPU time of instances, in microseconds.
    pub cpu_micros: AtomicU64,
    /// Components that were compiled.
    pub compiled: AtomicU64,
    /// Components that were found compiled.
    pub cached: AtomicU64,
    /// Calls of a guest that its grant did not allow, in the order of [`CAPABILITIES`].
    pub denials: [AtomicU64; CAPABILITIES.len()],
    /// Ends of calls, in the order of [`ENDS`].
    pub ends: [AtomicU64; ENDS.len()],
}

impl TeamMetrics {
    pub(crate) fn started(&self, errand: Errand) {
        match errand {
            Errand::Parse => self.parses.fetch_add(1, Relaxed),
            Errand::Timetable => self.timetables.fetch_add(1, Relaxed),
            Errand::Task => self.tries.fetch_add(1, Relaxed),
            Errand::Trigger => self.polls.fetch_add(1, Relaxed),
            Errand::Callback => self.callbacks.fetch_add(1, Relaxed),
        };
    }

    pub(crate) fn used(&self, cpu: Duration) {
        let micros = u64::try_from(cpu.as_micros()).unwrap_or(u64::MAX);
        self.cpu_micros.fetch_add(micros, Relaxed);
    }

    /// A call was denied; what is no capability of its own is `other`.
    pub(crate) fn denied(&self, capability: &str) {
        let place = CAPABILITIES.iter().position(|name| *name == capability);
        let place = place.unwrap_or(CAPABILITIES.len() - 1);
        if let Some(count) = self.denials.get(place) {
            count.fetch_add(1, Relaxed);
        }
    }

    /// None: it ended well.
    pub(crate) fn ended(&self, failure: Option<FailureKind>) {
        let name = match failure {
            None => "success",
            Some(FailureKind::Error | FailureKind::Final) => "error",
            Some(FailureKind::Trap) => "trap",
            Some(FailureKind::Timeout) => "timeout",
            Some(FailureKind::Load) => "load",
            Some(FailureKind::Killed) => "killed",
            Some(FailureKind::Zombie) => "zombie",
            Some(FailureKind::Limit(limit)) => match limit {
                Limit::CpuTime => "cpu_time",
                Limit::WallTime => "wall_time",
                Limit::Memory => "memory",
                Limit::TeamMemory => "team_memory",
                Limit::TableElements => "table_elements",
                Limit::Stack => "stack",
                Limit::HostCall => "host_call",
                Limit::Xcom => "xcom",
                Limit::Instances => "instances",
                Limit::Definition => "definition",
            },
        };
        let place = ENDS.iter().position(|end| *end == name);
        if let Some(count) = place.and_then(|at| self.ends.get(at)) {
            count.fetch_add(1, Relaxed);
        }
    }
}
