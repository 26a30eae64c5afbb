//! From the sandbox's denials to rows of the audit: counted in the middle of a guest's call, written beside
//! it.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use airlock_model::{
    audit::{AuditEntry, Denials, Denied},
    port::{AuditStore, Clock, DenialLog, StoreError},
};
use tokio::sync::Notify;
use tracing::warn;

/// Rows that are written at once.
const ROWS: usize = 100;
/// Between two attempts at a database that cannot be written.
const AGAIN: Duration = Duration::from_secs(5);

/// Counts denials and writes rows of them.
pub(crate) struct DenialWriter {
    denials: Mutex<Denials>,
    /// There may be something to write, or a new time at which there will be.
    news: Notify,
    clock: Arc<dyn Clock>,
    store: Arc<dyn AuditStore>,
}

impl DenialLog for DenialWriter {
    fn denied(&self, denied: Denied) {
        if self.lock().note(&denied, self.clock.now()) {
            self.news.notify_one();
        }
    }
}

impl DenialWriter {
    pub(crate) fn new(clock: Arc<dyn Clock>, store: Arc<dyn AuditStore>) -> Self {
        Self {
            denials: Mutex::default(),
            news: Notify::new(),
            clock,
            store,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Denials> {
        self.denials.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes whatever comes, for as long as it is polled. What cannot be written is kept and tried again.
    pub(crate) async fn run(self: Arc<Self>) {
        loop {
            let (rows, due) = self.next();
            if rows.is_empty() {
                let wait = due.map(|due| due.since(self.clock.now()));
                tokio::select! {
                    () = self.news.notified() => {}
                    () = tokio::time::sleep(wait.unwrap_or(Duration::MAX)), if wait.is_some() => {}
                }
            } else if let Err(error) = self.write(&rows).await {
                warn!(%error, "denials could not be written to the audit; tried again");
                tokio::time::sleep(AGAIN).await;
            }
        }
    }

    fn next(&self) -> (Vec<AuditEntry>, Option<airlock_model::time::Timestamp>) {
        let mut denials = self.lock();
        denials.sweep(self.clock.now());
        (denials.waiting(ROWS), denials.due())
    }

    async fn write(&self, rows: &[AuditEntry]) -> Result<(), StoreError> {
        self.store.append_audit(rows).await?;
        self.lock().written(rows.len());
        Ok(())
    }

    /// Writes all that was counted, at the host's end, when [`Self::run`] is no longer polled.
    ///
    /// # Errors
    /// When the database cannot be written; what was counted is lost then.
    pub(crate) async fn finish(&self) -> Result<(), StoreError> {
        self.lock().finish(self.clock.now());
        loop {
            let rows = self.lock().waiting(ROWS);
            if rows.is_empty() {
                return Ok(());
            }
            self.write(&rows).await?;
        }
    }
}

#[cfg(test)]
mod tests;
