//! Where tries' logs go.

use async_trait::async_trait;

use super::StoreError;
use crate::log::{Line, TryKey};

/// Part of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogPage {
    /// Whole lines.
    pub lines: Vec<Line>,
    /// Where to read on.
    pub next: u64,
}

/// Task logs.
#[async_trait]
pub trait TaskLogs: Send + Sync {
    /// Appends lines and wakes whoever follows. Blocks for a buffered write at most. What cannot be
    /// written (a full disk) is dropped, counted, and never fails the try.
    fn append(&self, of: &TryKey, lines: &[Line]);
    /// Lines from byte position `from` on; nothing where there is no log yet. At most about one MiB.
    async fn read(&self, of: &TryKey, from: u64) -> Result<LogPage, StoreError>;
    /// Returns when the log has grown past `from`, or at once when it already has.
    async fn grown(&self, of: &TryKey, from: u64);
}
