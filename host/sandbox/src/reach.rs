//! What a version may reach, as it is now.
//!
//! A grant that is taken back binds the calls that are under way too: they ask here each time, and what was opened
//! for one when it began, its directories, ends it.

use std::sync::Arc;

use airlock_grant::{Caller, Directory, Effective};
use tokio::sync::watch;

/// What one version may reach, from now on and until it is replaced.
pub(crate) struct Reach(watch::Sender<Arc<Effective>>);

impl Reach {
    pub(crate) fn new(effective: Arc<Effective>) -> Self {
        Self(watch::Sender::new(effective))
    }

    /// As it is now. To be asked for each decision, not kept.
    pub(crate) fn now(&self) -> Arc<Effective> {
        Arc::clone(&self.0.borrow())
    }

    /// From now on it is this.
    pub(crate) fn replace(&self, effective: Arc<Effective>) {
        self.0.send_replace(effective);
    }

    /// Returns the first of these directories that the caller may not reach any more as it was shown it; never
    /// while all stay.
    pub(crate) async fn withdrawn(&self, caller: &Caller, shown: &[Directory]) -> Directory {
        let mut changes = self.0.subscribe();
        loop {
            let now = Arc::clone(&changes.borrow_and_update());
            let stays = |shown: &Directory| {
                let permit = now.directory(caller, shown.path().as_str());
                permit.is_ok_and(|permit| permit.item() == shown)
            };
            let gone = shown.iter().find(|shown| !stays(shown));
            if let Some(gone) = gone {
                return gone.clone();
            }
            // The sender lives as long as this borrow of it.
            if changes.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}
