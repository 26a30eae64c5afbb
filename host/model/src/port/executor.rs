//! Who runs tries.

use std::{sync::Arc, time::Duration};

use super::AssetEvent;
use crate::{
    dag::AssetRef,
    id::{BundleHash, BundleName, TaskInstanceKey, TeamName, Token},
    log::TryKey,
    outcome::Report,
    state::RunType,
    time::Timestamp,
    trigger::Deferred,
};

/// One try, ready to run: all that an executor needs, so that it asks nobody.
#[derive(Debug, Clone)]
pub struct Work {
    /// The task instance.
    pub key: TaskInstanceKey,
    /// The claim under which it runs.
    pub token: Token,
    /// Names for people, for the guest and for the log.
    pub names: TryKey,
    /// The bundle.
    pub bundle: BundleName,
    /// The version that the run is pinned to.
    pub hash: BundleHash,
    /// Which code, as the definition named it.
    pub entry: Arc<str>,
    /// JSON texts, in order.
    pub arguments: Vec<Arc<str>>,
    /// Why the run exists.
    pub run_type: RunType,
    /// The last try's number.
    pub max_tries: u32,
    /// The time that the run stands for.
    pub logical_date: Option<Timestamp>,
    /// The interval that it covers.
    pub data_interval: Option<(Timestamp, Timestamp)>,
    /// When it could start.
    pub run_after: Timestamp,
    /// A JSON object.
    pub params: Arc<str>,
    /// Wall time for this try.
    pub execution_timeout: Option<Duration>,
    /// When this try began, where it gave its slot back since; none: it begins now.
    pub first_started_at: Option<Timestamp>,
    /// Whether the schedule has no later run whose time has come.
    pub is_latest: bool,
    /// The asset events that made the run, oldest first.
    pub triggering_events: Vec<SeenEvent>,
    /// The latest events of the task's inlets, oldest first.
    pub inlet_events: Vec<SeenEvent>,
    /// The assets and aliases whose events it wants to see.
    pub inlets: Vec<AssetRef>,
    /// The assets and aliases that its success changes.
    pub outlets: Vec<AssetRef>,
    /// Where it goes on and with what, if it was deferred.
    pub resume: Option<Arc<Deferred>>,
}

/// An asset event as a try sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenEvent {
    /// The event.
    pub event: AssetEvent,
    /// What the asset stands for.
    pub uri: Option<String>,
}

impl Work {
    /// Whose pool runs it.
    #[must_use]
    pub const fn team(&self) -> &TeamName {
        &self.names.team
    }
}

/// Runs tries, each exactly once, and tells a [`TryEvents`] of each.
pub trait Executor: Send + Sync {
    /// Takes a try. Never blocks; the end is always told, also when the bundle cannot be loaded.
    fn dispatch(&self, work: Work);
    /// Ends a try if it is still there; its end is told as [`crate::outcome::FailureKind::Killed`].
    fn kill(&self, key: TaskInstanceKey, token: Token);
    /// Whether this try is still waiting or running here: what renews its lease. False once its end has
    /// been told.
    fn holds(&self, key: TaskInstanceKey, token: Token) -> bool;
}

/// Hears of tries. Called from the executor's threads; must not block.
pub trait TryEvents: Send + Sync {
    /// An instance has begun to run it.
    fn started(&self, key: TaskInstanceKey, token: Token, at: Timestamp);
    /// It has ended.
    fn ended(&self, key: TaskInstanceKey, token: Token, at: Timestamp, report: Report);
}
