//! Sessions that are lent, and those that wait to be lent again.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use airlock_grant::port::sql::{SqlError, SqlLimits};
use airlock_model::id::TeamName;
use tokio::{
    runtime::Handle,
    sync::{Notify, Semaphore},
    time::{Instant, sleep, sleep_until, timeout_at},
};

use super::{session::Session, target::Target};

/// How long a session waits to be lent again.
const IDLE: Duration = Duration::from_secs(60);

/// Whose session it is, and of what: a connection that was changed is another.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) team: TeamName,
    pub(super) content: [u8; 32],
}

/// The sessions of all teams.
pub(super) struct Pools {
    most: usize,
    handle: Handle,
    teams: Mutex<HashMap<TeamName, Arc<Semaphore>>>,
    idle: Mutex<Idle>,
    /// Told when a session waits to be lent again.
    returned: Notify,
}

#[derive(Default)]
struct Idle {
    sessions: Vec<(Instant, Session)>,
    /// Whether somebody looks after them.
    watched: bool,
}

impl Pools {
    pub(super) fn new(most: usize, handle: Handle) -> Self {
        Self {
            most: most.clamp(1, Semaphore::MAX_PERMITS),
            handle,
            teams: Mutex::default(),
            idle: Mutex::default(),
            returned: Notify::new(),
        }
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Idle> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A session: one that waits, else a new one as soon as the team may have it.
    pub(super) async fn lend(
        &self,
        team: &TeamName,
        target: Arc<Target>,
        limits: SqlLimits,
    ) -> Result<Session, SqlError> {
        let key = Key {
            team: team.clone(),
            content: target.content(&limits),
        };
        let deadline = Instant::now() + limits.wait;
        let slots = {
            let mut teams = self.teams.lock().unwrap_or_else(PoisonError::into_inner);
            let slots = teams.entry(team.clone());
            Arc::clone(slots.or_insert_with(|| Arc::new(Semaphore::new(self.most))))
        };
        let slot = loop {
            let returned = self.returned.notified();
            tokio::pin!(returned);
            // From here on nothing that comes back is missed.
            returned.as_mut().enable();
            if let Some(session) = self.waiting(&key) {
                return Ok(session);
            }
            // One that waits for another of the team's connections makes room.
            if slots.available_permits() == 0 {
                self.close_one_of(team);
            }
            tokio::select! {
                slot = Arc::clone(&slots).acquire_owned() => break slot.ok(),
                () = returned => {}
                () = sleep_until(deadline) => break None,
            }
        };
        let slot = slot.ok_or(SqlError::Busy {
            most: self.most,
            wait: limits.wait,
        })?;
        let opened = timeout_at(deadline, target.open(&limits)).await;
        let driver = opened.unwrap_or_else(|_| {
            let reason = format!("it did not answer within {:?}", limits.wait);
            Err(target.unreachable(reason))
        })?;
        Ok(Session::new(
            key,
            driver,
            slot,
            self.handle.clone(),
            target.secrets(),
        ))
    }

    fn waiting(&self, key: &Key) -> Option<Session> {
        let mut idle = self.idle();
        let mut all = idle.sessions.iter();
        let at = all.position(|(since, session)| session.key == *key && since.elapsed() < IDLE)?;
        Some(idle.sessions.swap_remove(at).1)
    }

    fn close_one_of(&self, team: &TeamName) {
        let mut idle = self.idle();
        let at = idle.sessions.iter().position(|(_, s)| s.key.team == *team);
        let closed = at.map(|at| idle.sessions.swap_remove(at));
        drop(idle);
        drop(closed);
    }

    /// Takes a session back, which waits to be lent again once it has forgotten what was done with it.
    pub(super) fn give_back(self: &Arc<Self>, mut session: Session) {
        let pools = Arc::clone(self);
        self.handle.spawn(async move {
            if !session.reset().await {
                return;
            }
            if pools.keep(session) {
                while pools.look() {
                    sleep(IDLE / 4).await;
                }
            }
        });
    }

    /// Keeps a session for who wants it next; true where somebody has to look after those that wait.
    fn keep(&self, session: Session) -> bool {
        let mut idle = self.idle();
        idle.sessions.push((Instant::now(), session));
        let watched = std::mem::replace(&mut idle.watched, true);
        drop(idle);
        self.returned.notify_waiters();
        !watched
    }

    /// Closes what waited too long; false once nothing waits.
    fn look(&self) -> bool {
        let mut idle = self.idle();
        let all = std::mem::take(&mut idle.sessions).into_iter();
        let (waiting, old): (Vec<_>, Vec<_>) = all.partition(|(since, _)| since.elapsed() < IDLE);
        idle.watched = !waiting.is_empty();
        idle.sessions = waiting;
        let watched = idle.watched;
        drop(idle);
        drop(old);
        watched
    }
}
