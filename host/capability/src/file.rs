//! Files in granted directories, for those who wait for them: the host looks, and no instance runs.
//!
//! Who waits reaches no more than its own trigger could: its grant is asked at every look, in the trigger phase, so
//! that a revoked one ends the wait. A look is bounded in what it looks at, in what it finds and in how long it
//! takes, and each team has few looks at once, so that one whose disk hangs waits alone.

mod walk;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use airlock_grant::{
    Caller, Directory, Permit,
    port::{DirectoryError, Grants, GrantsError},
};
use airlock_model::{
    id::TeamName,
    port::{self, FileFailure, FileWaiter, FoundFile},
    trigger::{FileChange, FileEvent, FilePattern},
};
use async_trait::async_trait;
use tokio::sync::Semaphore;

use self::walk::{Bounds, WalkError};
use crate::directory;

/// Looks of one team at once.
const LOOKS: usize = 4;
/// How long a look may take.
const TIME: Duration = Duration::from_secs(10);

/// Looks at files in granted directories.
pub struct Files {
    grants: Arc<dyn Grants>,
    bounds: Bounds,
    time: Duration,
    looks: Mutex<HashMap<TeamName, Arc<Semaphore>>>,
}

impl Files {
    /// With this knowledge of who may reach what.
    #[must_use]
    pub fn new(grants: Arc<dyn Grants>) -> Self {
        Self {
            grants,
            bounds: Bounds::default(),
            time: TIME,
            looks: Mutex::default(),
        }
    }

    /// The team's looks.
    fn looks(&self, team: &TeamName) -> Arc<Semaphore> {
        let mut looks = self.looks.lock().unwrap_or_else(PoisonError::into_inner);
        let own = looks.entry(team.clone());
        Arc::clone(own.or_insert_with(|| Arc::new(Semaphore::new(LOOKS))))
    }

    async fn permit(
        &self,
        waiter: &FileWaiter,
        event: &FileEvent,
    ) -> Result<Permit<Directory>, FileFailure> {
        let effective = self
            .grants
            .effective(&waiter.team, &waiter.bundle, &waiter.hash)
            .await
            .map_err(|error| match error {
                GrantsError::Never(why) => FileFailure::Refused(why.to_string()),
                GrantsError::Unavailable(why) => FileFailure::Unreadable(why.to_string()),
            })?;
        let caller = Caller::trigger(waiter.dag_id.clone(), waiter.task_id.clone());
        effective
            .directory(&caller, &event.directory)
            .map_err(|denial| FileFailure::Refused(denial.to_string()))
    }
}

#[async_trait]
impl port::Files for Files {
    async fn look(
        &self,
        waiter: &FileWaiter,
        event: &FileEvent,
    ) -> Result<Vec<FoundFile>, FileFailure> {
        let pattern = FilePattern::new(&event.pattern)
            .map_err(|error| FileFailure::Refused(error.to_string()))?;
        let permit = self.permit(waiter, event).await?;
        // A task that waits for a file to be there needs to know of one.
        let all = waiter.task_id.is_none() || event.change == FileChange::Changes;
        let bounds = self.bounds;
        let look = async {
            let looks = self.looks(&waiter.team);
            // Never closed.
            let turn = looks.acquire_owned().await.ok();
            let job = tokio::task::spawn_blocking(move || {
                // Held until the disk has answered, however long nobody waits for it any more.
                let _turn = turn;
                look(&permit, &pattern, bounds, all)
            });
            job.await
        };
        let directory = event.directory.escape_debug();
        match tokio::time::timeout(self.time, look).await {
            Ok(Ok(found)) => found,
            Ok(Err(_)) => Err(FileFailure::Unreadable(format!(
                "AL-0437: the host failed while it looked into the directory `{directory}`; its log has the reason"
            ))),
            Err(_) => Err(FileFailure::Unreadable(format!(
                "AL-0437: a look into the directory `{directory}` has not ended within {} s; look whether its disk answers, and whether the team waits for files in very many places",
                self.time.as_secs_f64()
            ))),
        }
    }
}

/// Asks the file system, and so blocks.
fn look(
    permit: &Permit<Directory>,
    pattern: &FilePattern,
    bounds: Bounds,
    all: bool,
) -> Result<Vec<FoundFile>, FileFailure> {
    let directory = directory::open(permit).map_err(|error| match error {
        DirectoryError::Outside { .. } => FileFailure::Refused(error.to_string()),
        _ => FileFailure::Unreadable(error.to_string()),
    })?;
    let path = permit.item().path();
    match walk::walk(&directory, pattern, bounds) {
        (found, Ok(())) => Ok(found),
        (found, Err(WalkError::TooMany(..))) if !all && !found.is_empty() => Ok(found),
        (_, Err(WalkError::TooMany(most, what))) => Err(FileFailure::Unreadable(format!(
            "AL-0436: more than {most} {what} in the directory `{path}`; move away what is done with, or wait for a narrower pattern"
        ))),
        (_, Err(WalkError::Io(below, source))) => Err(FileFailure::Unreadable(format!(
            "AL-0437: `{}` in the directory `{path}` cannot be looked at: {source}; let Airlock's user read it",
            below.escape_debug()
        ))),
    }
}

#[cfg(test)]
mod tests;
