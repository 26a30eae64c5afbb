//! Triggers that are bundles' own code, polled when they are due.
//!
//! A poll that fails for want of time or memory, or that traps, is made again later, and after the last attempt
//! its wait is over as failed; one that says itself that it has failed is over at once. A watcher lives as long as
//! its DAG, so it is only slowed. What was polled is written for all at once, as many as have come by then.

mod answers;

use std::{sync::Arc, time::Duration};

use airlock_model::{
    id::TriggerId,
    port::{Lease, Poll, PollReport, TriggerOwner, TriggerProgress, TriggerRow},
    time::Timestamp,
};
use tokio::{sync::watch, task::JoinSet, time::Instant};
use tracing::{error, warn};

use super::{Claimant, FAR, FULL, STORE, until};
use crate::driver::Shutdown;

/// Bounds of triggers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TriggerOptions {
    /// Polls at once over all teams.
    pub parallelism: u32,
    /// Polls at once of one team.
    pub per_team: u32,
    /// How long a claim counts without a sign of life of its host.
    pub lease: Duration,
    /// After a poll that failed; after each further one in a row twice as long.
    pub retry_delay: Duration,
    /// Between two looks at files for which somebody waits.
    pub file_interval: Duration,
    /// How long it is remembered which changes watchers have told of.
    pub remember: Duration,
}

impl Default for TriggerOptions {
    fn default() -> Self {
        Self {
            parallelism: 64,
            per_team: 16,
            lease: Duration::from_secs(10),
            retry_delay: Duration::from_secs(1),
            file_interval: Duration::from_secs(1),
            remember: Duration::from_secs(90 * 24 * 3600),
        }
    }
}

/// Between two claims of triggers that only the clock has made due: those that come due meanwhile go together.
const GAP: Duration = Duration::from_millis(50);
/// Before what had to be left is claimed after a poll has made room: others that end meanwhile make room too.
const BREATH: Duration = Duration::from_millis(2);
/// How long what was polled waits for company before it is written.
const GATHER: Duration = Duration::from_millis(20);
/// A watcher that rests is looked at again after this, should nobody wake it.
const REST: Duration = Duration::from_secs(60);
/// Between two times that old keys of watchers' events are forgotten.
const FORGET: Duration = Duration::from_secs(24 * 3600);

type Done = (TriggerId, Lease, TriggerProgress);

/// Polls triggers.
#[derive(Debug)]
pub(super) struct Polls {
    claimant: Claimant,
    options: TriggerOptions,
}

/// What is on its way.
struct State {
    flights: JoinSet<(TriggerRow, Lease, Timestamp, PollReport)>,
    done: Vec<Done>,
    /// When the oldest of these has to be written.
    write_at: Option<Instant>,
    /// When to claim; none: when somebody says so.
    claim_at: Option<Instant>,
    /// Something is due that could not be claimed: its team, or the host, has as many as it may.
    left: bool,
    renew_at: Instant,
    forget_at: Instant,
}

impl Polls {
    pub(super) const fn new(claimant: Claimant, options: TriggerOptions) -> Self {
        Self { claimant, options }
    }

    pub(super) async fn run(self, mut shutdown: watch::Receiver<Shutdown>) {
        let mut state = State {
            flights: JoinSet::new(),
            done: Vec::new(),
            write_at: None,
            claim_at: Some(Instant::now()),
            left: false,
            renew_at: Instant::now() + self.options.lease / 3,
            forget_at: Instant::now(),
        };
        loop {
            let draining = *shutdown.borrow_and_update() >= Shutdown::Drain;
            let now = Instant::now();
            let room = self.room(&state);
            let claims = !draining && room > 0 && state.claim_at.is_some_and(|at| at <= now);
            let alone = state.flights.is_empty();
            // What is not written counts as held, and keeps its team from more.
            if state
                .write_at
                .is_some_and(|at| alone || claims || at <= now)
            {
                self.write(&mut state).await;
            }
            if claims {
                state.claim_at = self.claim(&mut state, room).await;
            }
            if state.renew_at <= now {
                self.renew(&mut state).await;
            }
            if state.forget_at <= now {
                self.forget().await;
                state.forget_at = now + FORGET;
            }
            if draining && state.flights.is_empty() && state.done.is_empty() {
                return;
            }
            let claim_at = state
                .claim_at
                .filter(|_| !draining && self.room(&state) > 0);
            let busy = !state.flights.is_empty();
            let renew_at = Some(state.renew_at).filter(|_| busy);
            let forget_at = Some(state.forget_at);
            let wake = [claim_at, state.write_at, renew_at, forget_at];
            let wake = wake.into_iter().flatten();
            let wake = wake.min();
            tokio::select! {
                biased;
                Some(landed) = state.flights.join_next(), if busy => {
                    self.claimant.under_way.over();
                    if state.left {
                        let next = Instant::now() + BREATH;
                        state.claim_at = state.claim_at.map(|at| at.min(next));
                    }
                    match landed {
                        Ok((row, lease, since, report)) => self.landed(&mut state, row, lease, since, report),
                        Err(panic) => error!(%panic, "a poll was lost; its trigger is polled again when its lease is over"),
                    }
                }
                () = self.claimant.beside.triggers.notified() => state.claim_at = Some(Instant::now()),
                () = until(wake) => {}
                _ = shutdown.changed() => {}
            }
        }
    }

    fn room(&self, state: &State) -> u32 {
        let flying = u32::try_from(state.flights.len()).unwrap_or(u32::MAX);
        self.options.parallelism.saturating_sub(flying)
    }

    /// Claims what is due and sends it out; tells when to claim next.
    async fn claim(&self, state: &mut State, room: u32) -> Option<Instant> {
        let ports = &self.claimant.questions.ports;
        let (now, began) = (ports.clock.now(), Instant::now());
        let lease = (self.claimant.host, now.after(self.options.lease));
        let claimed = ports
            .triggers
            .claim_triggers(lease, now, self.options.per_team, room)
            .await;
        let claimed = match claimed {
            Ok(claimed) => claimed,
            Err(error) => {
                warn!(%error, "triggers could not be claimed; trying again");
                return Some(began + STORE);
            }
        };
        let none = claimed.is_empty();
        let active = Arc::clone(&self.claimant.beside.active.borrow());
        for (row, lease) in claimed {
            let watches = matches!(row.owner, TriggerOwner::Watcher { .. });
            if watches && !active.contains(&row.id) {
                let note = "it rests: its bundle is not there, or all DAGs that wait for its asset are paused";
                let progress = TriggerProgress {
                    next_poll_at: Some(now.after(REST)),
                    note: Some(note.into()),
                    ..row.progress
                };
                self.put(state, (row.id, lease, progress));
                continue;
            }
            let poller = Arc::clone(&ports.poller);
            self.claimant.under_way.begun();
            state.flights.spawn(async move {
                let poll = Poll {
                    trigger: row.clone(),
                    token: lease.token,
                };
                let report = poller.poll(poll).await;
                (row, lease, now, report)
            });
        }
        match ports.triggers.next_trigger_due().await {
            Ok(next) => {
                state.left = next.is_some_and(|at| at <= now);
                let gap = if none && state.left { FULL } else { GAP };
                next.map(|at| began + at.since(now).max(gap).min(FAR))
            }
            Err(error) => {
                warn!(%error, "triggers could not be asked for; trying again");
                Some(began + STORE)
            }
        }
    }

    fn put(&self, state: &mut State, done: Done) {
        if let Some(next) = done.2.next_poll_at {
            let now = self.claimant.questions.ports.clock.now();
            let next = Instant::now() + next.since(now).max(GAP).min(FAR);
            state.claim_at = Some(state.claim_at.map_or(next, |at| at.min(next)));
        }
        state.done.push(done);
        state
            .write_at
            .get_or_insert_with(|| Instant::now() + GATHER);
    }

    async fn write(&self, state: &mut State) {
        let store = &self.claimant.questions.ports.triggers;
        match store.polled(&state.done).await {
            Ok(lost) => {
                if !lost.is_empty() {
                    warn!(
                        triggers = lost.len(),
                        "polls took longer than their lease; somebody else makes them again"
                    );
                }
                state.done.clear();
                state.write_at = None;
            }
            Err(error) => {
                warn!(%error, "polls could not be written; trying again");
                state.write_at = Some(Instant::now() + STORE);
            }
        }
    }

    async fn renew(&self, state: &mut State) {
        let ports = &self.claimant.questions.ports;
        let until = ports.clock.now().after(self.options.lease);
        if !state.flights.is_empty() || !state.done.is_empty() {
            let renewed = ports
                .triggers
                .renew_triggers(self.claimant.host, until)
                .await;
            if let Err(error) = renewed {
                warn!(%error, "leases of triggers could not be renewed");
            }
        }
        state.renew_at = Instant::now() + self.options.lease / 3;
    }

    /// Forgets what watchers told of so long ago that nobody will see it again.
    async fn forget(&self) {
        let ports = &self.claimant.questions.ports;
        let micros = i64::try_from(self.options.remember.as_micros()).unwrap_or(i64::MAX);
        let before = ports.clock.now().micros().saturating_sub(micros);
        let Ok(before) = Timestamp::from_micros(before) else {
            return;
        };
        if let Err(error) = ports.assets.forget_seen_keys(before).await {
            warn!(%error, "old keys of watchers' events could not be forgotten; the next day they are");
        }
    }
}
