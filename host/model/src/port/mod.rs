//! The ports: what the rooms ask of each other, one small trait per subject.
//!
//! The scheduler meets the sandbox and the store, and the sandbox meets variables and XComs, only through
//! these, so that a simulated store, clock and executor can stand in. There is no trait that holds
//! everything, and none of them speaks SQL or wasm.

mod assets;
mod audit;
mod backfills;
mod batch;
mod bundles;
mod callbacks;
mod clock;
mod control;
mod dags;
mod deadlines;
mod executor;
mod files;
mod grants;
mod logs;
mod parser;
mod runs;
mod settings;
mod timetables;
mod triggers;
mod xcoms;

pub use assets::{
    AssetEvent, AssetFilter, AssetKey, AssetRole, AssetStore, AssetUse, EventFilter, EventSource,
    QueueChange, QueueRow, StoredAsset,
};
pub use audit::{AuditFilter, AuditStore, DenialLog};
pub use backfills::{Backfill, BackfillChange, BackfillFilter, BackfillRun, BackfillStore};
pub use batch::{
    Batch, CommitError, DagProgress, ExpandedRows, NewRun, Repin, RunChange, SeenKey, TaskChange,
    WatcherMove, XcomWrite,
};
pub use bundles::{BundleStore, BundleVersion, ParseKey, ParseResult};
pub use callbacks::{
    CallbackEnd, CallbackFilter, CallbackRow, CallbackRunner, CallbackStore, CallbackSubject,
    CallbackTry, CallbackWork,
};
pub use clock::{Clock, SystemClock};
pub use control::{
    BackfillOrder, Control, ControlError, FailedDep, NewAssetEvent, NewBackfill, Repair, Repaired,
    SchedulerHealth, Selection, TeamLoad, TeamTally, TriggerRun,
};
pub use dags::{DagFilter, DagStore, ImportError, StoredDag};
pub use deadlines::{DeadlineFilter, DeadlineRow, DeadlineStore};
pub use executor::{Executor, SeenEvent, TryEvents, Work};
pub use files::{FileFailure, FileWaiter, Files, FoundFile};
pub use grants::{GrantFilter, GrantStore, Verdict};
pub use logs::{LogPage, TaskLogs};
pub use parser::{ParseError, ParsedBundle, Parser, SpecError};
pub use runs::{RunFilter, RunOrder, RunRow, RunStore, StoredRun, TaskFields, TaskRow};
pub use settings::{
    ConnectionStore, PoolLoad, PoolLoads, PoolStore, Revealed, SealedConnection, SealedVariable,
    Settings, VariableStore,
};
pub use timetables::{TimetableCode, TimetableFailure, Timetables};
pub use triggers::{
    Lease, Pause, Poll, PollReport, Polled, Poller, TriggerFilter, TriggerOwner, TriggerProgress,
    TriggerRow, TriggerStore, WatchedEvent,
};
pub use xcoms::{Blobs, RETURN_VALUE, XcomAddress, XcomRow, XcomStore, Xcoms};

/// A database or file that did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It cannot be reached now, or is busy: worth another attempt.
    #[error("AL-0601: the store cannot be reached: {0}")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// No room is left to write.
    #[error("AL-0602: the disk is full; free some room, nothing is lost: {0}")]
    Full(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// What is stored contradicts itself, or is of a newer version.
    #[error("AL-0603: the store holds something that cannot be read: {0}")]
    Corrupt(String),
    /// The thing exists already.
    #[error("AL-0604: {0} exists already")]
    Exists(String),
    /// There is no such thing.
    #[error("AL-0605: {0} was not found")]
    NotFound(String),
    /// It may not be changed this way.
    #[error("AL-0606: {0}")]
    Refused(String),
    /// A statement failed for a reason that another attempt will not change.
    #[error("AL-0607: the store refused a statement: {0}")]
    Statement(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl StoreError {
    /// Whether the same call may succeed later, with nothing changed by this one.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::Full(_))
    }
}

/// Part of a long list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// How many to leave out.
    pub offset: u32,
    /// How many to give at most.
    pub limit: u32,
}

impl Page {
    /// All that a caller could want to hold at once.
    pub const ALL: Self = Self {
        offset: 0,
        limit: 1_000_000,
    };
}

/// A part, and how many there are in all.
#[derive(Debug, Clone, PartialEq)]
pub struct Paged<T> {
    /// The part.
    pub items: Vec<T>,
    /// Of all.
    pub total: u64,
}
