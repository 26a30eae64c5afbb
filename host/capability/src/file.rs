//! Files in granted directories, for those who wait for them: the host looks, and no instance runs.
//!
//! Who waits reaches no more than its own trigger could: its grant is asked at every look, in the trigger phase, so
//! that a revoked one ends the wait. A look is bounded in what it looks at, in what it finds and in how long it
//! takes, and each team has few looks into a directory at once, so that one whose disk hangs waits alone.

mod turns;
mod walk;

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use airlock_grant::{
    Caller, Directory, Permit,
    port::{DirectoryError, Grants, GrantsError},
};
use airlock_model::{
    id::TeamName,
    port::{self, DenialLog, FileFailure, FileWaiter, FoundFile},
    trigger::{FileChange, FileEvent, FilePattern},
};
use async_trait::async_trait;

use self::{
    turns::{Turn, Turns},
    walk::{Bounds, WalkError},
};
use crate::directory;

/// How long a look may take.
const TIME: Duration = Duration::from_secs(10);

/// Looks at files in granted directories.
pub struct Files {
    grants: Arc<dyn Grants>,
    denials: Arc<dyn DenialLog>,
    bounds: Bounds,
    time: Duration,
    /// Of each team, in each directory.
    turns: Mutex<HashMap<(TeamName, PathBuf), Arc<Turns>>>,
}

impl Files {
    /// With this knowledge of who may reach what, and telling of what is denied.
    #[must_use]
    pub fn new(grants: Arc<dyn Grants>, denials: Arc<dyn DenialLog>) -> Self {
        Self {
            grants,
            denials,
            bounds: Bounds::default(),
            time: TIME,
            turns: Mutex::default(),
        }
    }

    /// The team's looks into a directory.
    fn turns(&self, team: &TeamName, host: &Path) -> Arc<Turns> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        let own = turns.entry((team.clone(), host.to_owned()));
        Arc::clone(own.or_insert_with(|| Arc::new(Turns::new())))
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
            .map_err(|denial| {
                self.denials.denied(denial.for_audit());
                FileFailure::Refused(denial.to_string())
            })
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
        let (bounds, directory) = (self.bounds, event.directory.escape_debug());
        let turns = self.turns(&waiter.team, permit.item().host());
        if turns.is_stuck() {
            return Err(FileFailure::Unreadable(format!(
                "AL-0437: a look into the directory `{directory}` has not ended yet; look whether its disk answers"
            )));
        }
        let turn = Turn::new(Arc::clone(&turns));
        let looking = async {
            let free = turns.take().await;
            let job = turn.run(free, move || look(&permit, &pattern, bounds, all));
            tokio::task::spawn_blocking(job).await
        };
        match tokio::time::timeout(self.time, looking).await {
            Ok(Ok(Some(found))) => found,
            Ok(Ok(None) | Err(_)) => Err(FileFailure::Unreadable(format!(
                "AL-0437: the host failed while it looked into the directory `{directory}`; its log has the reason"
            ))),
            Err(_) => {
                turn.give_up();
                Err(FileFailure::Unreadable(format!(
                    "AL-0437: a look into the directory `{directory}` has not ended within {} s; look whether its disk answers, and whether the team waits for files in very many places",
                    self.time.as_secs_f64()
                )))
            }
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
