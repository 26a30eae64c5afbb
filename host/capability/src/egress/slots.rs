//! How many connections a team may have open at once.
//!
//! Each costs the host a descriptor and buffers, and a guest can leave as many responses unread as it likes. The
//! bound is the team's, so that one that waits for its own keeps no other waiting.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use airlock_model::id::TeamName;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A team's connections where nobody says otherwise.
pub(super) const DEFAULT_CONNECTIONS: usize = 64;

/// The slots of all teams.
#[derive(Debug, Default)]
pub(super) struct Slots(Mutex<HashMap<TeamName, Team>>);

#[derive(Debug, Clone)]
struct Team {
    most: usize,
    free: Arc<Semaphore>,
}

impl Team {
    fn new(most: usize) -> Self {
        let most = most.min(Semaphore::MAX_PERMITS);
        Self {
            most,
            free: Arc::new(Semaphore::new(most)),
        }
    }
}

/// What a connection holds while it is open.
pub(super) type Slot = OwnedSemaphorePermit;

impl Slots {
    /// With bounds for these teams.
    pub(super) fn new(bounds: impl IntoIterator<Item = (TeamName, usize)>) -> Self {
        let teams = bounds.into_iter();
        let teams = teams.map(|(team, most)| (team, Team::new(most)));
        Self(Mutex::new(teams.collect()))
    }

    /// The team's bound, and a slot when one is free: whoever asked first gets it first. None where no slot
    /// will ever be free again.
    pub(super) fn take(
        &self,
        team: &TeamName,
    ) -> (usize, impl Future<Output = Option<Slot>> + use<>) {
        let mut teams = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let team = teams
            .entry(team.clone())
            .or_insert_with(|| Team::new(DEFAULT_CONNECTIONS))
            .clone();
        (team.most, async { team.free.acquire_owned().await.ok() })
    }
}
