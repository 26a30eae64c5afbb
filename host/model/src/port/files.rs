//! Files in granted directories, for those who wait for them.
//!
//! The host looks itself: no instance runs while a task or a watcher waits for a file.

use async_trait::async_trait;

use crate::{
    id::{BundleHash, BundleName, DagId, TaskId, TeamName},
    time::Timestamp,
    trigger::FileEvent,
};

/// On whose behalf the host looks: what is not granted to them is not looked at.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FileWaiter {
    /// Whose it is.
    pub team: TeamName,
    /// The bundle that is granted the directory.
    pub bundle: BundleName,
    /// In this version.
    pub hash: BundleHash,
    /// The DAG of the task, or the one that declares the watcher.
    pub dag_id: DagId,
    /// The task that waits; none for a watcher.
    pub task_id: Option<TaskId>,
}

/// A file that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundFile {
    /// Its path in the directory, with slashes.
    pub path: String,
    /// Its length.
    pub bytes: u64,
    /// When it was last written.
    pub modified: Timestamp,
    /// When it was last written, renamed or otherwise changed, by the clock of the host that keeps it: nobody
    /// can set it back.
    pub changed: Timestamp,
}

/// Why the host could not look.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FileFailure {
    /// The directory is not granted, or the pattern is none: the wait is over. The text says what to do.
    #[error("{0}")]
    Refused(String),
    /// The directory cannot be read now: worth another look.
    #[error("{0}")]
    Unreadable(String),
}

/// Looks at files in granted directories.
#[async_trait]
pub trait Files: Send + Sync {
    /// The files that match the event's pattern now, by path, links not followed out of the directory; at most as
    /// many as an answer may have. What about the file is waited for is the caller's to judge.
    async fn look(
        &self,
        waiter: &FileWaiter,
        event: &FileEvent,
    ) -> Result<Vec<FoundFile>, FileFailure>;
}
