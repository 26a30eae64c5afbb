//! Callbacks, run when they are due: the highest priority first, then the oldest, a bounded number at once and of
//! each team (Airflow's semantics, 3.11).
//!
//! Each is run at least once. One that fails is run again later; after the last try it is kept as failed, until
//! somebody asks for another.

use std::{sync::Arc, time::Duration};

use airlock_model::{
    callback::CallbackId,
    outcome::{Failure, FailureKind},
    port::{CallbackEnd, CallbackRow, CallbackWork, Lease},
    time::Timestamp,
};
use tokio::{sync::watch, task::JoinSet, time::Instant};
use tracing::{error, warn};

use super::{Claimant, FAR, FULL, STORE, backoff, until};
use crate::driver::Shutdown;

/// Bounds of callbacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallbackOptions {
    /// Callbacks at once over all teams.
    pub parallelism: u32,
    /// Callbacks at once of one team.
    pub per_team: u32,
    /// How often one is tried, the first time included.
    pub tries: u32,
    /// Before the second try; before each further one twice as long.
    pub retry_delay: Duration,
    /// The longest pause between two tries.
    pub max_retry_delay: Duration,
    /// How long a claim counts without a sign of life of its host.
    pub lease: Duration,
}

impl Default for CallbackOptions {
    fn default() -> Self {
        Self {
            parallelism: 32,
            per_team: 8,
            tries: 4,
            retry_delay: Duration::from_secs(5),
            max_retry_delay: Duration::from_secs(300),
            lease: Duration::from_secs(10),
        }
    }
}

/// Between two claims of callbacks that only the clock has made due.
const GAP: Duration = Duration::from_millis(10);

type End = (CallbackId, Lease, Timestamp, CallbackEnd);

/// Runs callbacks.
#[derive(Debug)]
pub(super) struct Calls {
    claimant: Claimant,
    options: CallbackOptions,
}

impl Calls {
    pub(super) const fn new(claimant: Claimant, options: CallbackOptions) -> Self {
        Self { claimant, options }
    }

    pub(super) async fn run(self, mut shutdown: watch::Receiver<Shutdown>) {
        let mut flights: JoinSet<(CallbackRow, Lease, Result<(), Failure>)> = JoinSet::new();
        let mut ends: Vec<End> = Vec::new();
        let mut claim_at = Some(Instant::now());
        let mut write_at = Instant::now();
        let mut renew_at = Instant::now() + self.options.lease / 3;
        loop {
            let draining = *shutdown.borrow_and_update() >= Shutdown::Drain;
            let now = Instant::now();
            if !ends.is_empty() && write_at <= now && !self.write(&mut ends).await {
                write_at = Instant::now() + STORE;
            }
            let flying = u32::try_from(flights.len()).unwrap_or(u32::MAX);
            let room = self.options.parallelism.saturating_sub(flying);
            if !draining && room > 0 && claim_at.is_some_and(|at| at <= now) {
                claim_at = self.claim(&mut flights, room).await;
            }
            if renew_at <= now {
                self.renew(!flights.is_empty()).await;
                renew_at = Instant::now() + self.options.lease / 3;
            }
            if draining && flights.is_empty() && ends.is_empty() {
                return;
            }
            let busy = !flights.is_empty();
            let full = flights.len() >= self.options.parallelism as usize;
            let wake = [
                claim_at.filter(|_| !draining && !full),
                Some(write_at).filter(|_| !ends.is_empty()),
                Some(renew_at).filter(|_| busy),
            ];
            let wake = wake.into_iter().flatten().min();
            tokio::select! {
                biased;
                Some(landed) = flights.join_next(), if busy => {
                    self.claimant.under_way.over();
                    match landed {
                        Ok((row, lease, result)) => {
                            let end = self.end(&row, result);
                            // What a full team had to leave may be taken now; the claim tells when the next is due.
                            let next = Instant::now() + GAP;
                            claim_at = Some(claim_at.map_or(next, |at| at.min(next)));
                            ends.push((row.id, lease, end.0, end.1));
                        }
                        Err(panic) => error!(%panic, "a callback was lost; it is run again when its lease is over"),
                    }
                }
                () = self.claimant.beside.callbacks.notified() => claim_at = Some(Instant::now()),
                () = until(wake) => {}
                _ = shutdown.changed() => {}
            }
        }
    }

    /// Claims what is due and runs it; tells when to claim next.
    async fn claim(
        &self,
        flights: &mut JoinSet<(CallbackRow, Lease, Result<(), Failure>)>,
        room: u32,
    ) -> Option<Instant> {
        let ports = &self.claimant.questions.ports;
        let (now, began) = (ports.clock.now(), Instant::now());
        let lease = (self.claimant.host, now.after(self.options.lease));
        let claimed = ports
            .callbacks
            .claim_callbacks(lease, now, self.options.per_team, room)
            .await;
        let claimed = match claimed {
            Ok(claimed) => claimed,
            Err(error) => {
                warn!(%error, "callbacks could not be claimed; trying again");
                return Some(began + STORE);
            }
        };
        let none = claimed.is_empty();
        for (row, lease) in claimed {
            let runner = Arc::clone(&ports.callback_runner);
            self.claimant.under_way.begun();
            flights.spawn(async move {
                let work = CallbackWork {
                    row: row.clone(),
                    token: lease.token,
                };
                let result = runner.call(work).await;
                (row, lease, result)
            });
        }
        match ports.callbacks.next_callback_due().await {
            Ok(next) => next.map(|at| {
                // What is due and was not claimed belongs to teams that have as many as they may.
                let gap = if none && at <= now { FULL } else { GAP };
                began + at.since(now).max(gap).min(FAR)
            }),
            Err(error) => {
                warn!(%error, "callbacks could not be asked for; trying again");
                Some(began + STORE)
            }
        }
    }

    async fn renew(&self, busy: bool) {
        let ports = &self.claimant.questions.ports;
        let until = ports.clock.now().after(self.options.lease);
        if busy
            && let Err(error) = ports
                .callbacks
                .renew_callbacks(self.claimant.host, until)
                .await
        {
            warn!(%error, "leases of callbacks could not be renewed");
        }
    }

    async fn write(&self, ends: &mut Vec<End>) -> bool {
        let store = &self.claimant.questions.ports.callbacks;
        match store.callbacks_ended(ends).await {
            Ok(lost) => {
                if !lost.is_empty() {
                    warn!(
                        callbacks = lost.len(),
                        "callbacks took longer than their lease; somebody else runs them again"
                    );
                }
                ends.clear();
                true
            }
            Err(error) => {
                warn!(%error, "ends of callbacks could not be written; trying again");
                false
            }
        }
    }

    fn end(&self, row: &CallbackRow, result: Result<(), Failure>) -> (Timestamp, CallbackEnd) {
        let now = self.claimant.questions.ports.clock.now();
        let Err(failure) = result else {
            self.claimant
                .beside
                .count(&row.team, |tally| tally.callbacks += 1);
            return (now, CallbackEnd::Done);
        };
        let last = failure.kind == FailureKind::Final || row.tries >= self.options.tries;
        self.claimant.beside.count(&row.team, |tally| {
            tally.failed_callback_tries += 1;
            tally.failed_callbacks += u64::from(last);
        });
        let (team, bundle, id) = (&row.team, &row.bundle, &row.id);
        let (kind, dag_id) = (row.kind, &row.subject.dag_id);
        let reason = failure.message.escape_debug().to_string();
        if last {
            error!(%team, %bundle, %dag_id, %kind, tries = row.tries, reason, "a callback has failed for the last time; `airlock callbacks retry {id}` tries it again");
            let note = failure.message;
            return (now, CallbackEnd::Failed { note });
        }
        let (first, most) = (self.options.retry_delay, self.options.max_retry_delay);
        let pause = backoff(first, row.tries, most);
        warn!(%team, %bundle, %dag_id, %kind, try_number = row.tries, reason, again_in = ?pause, "a callback has failed");
        let again = CallbackEnd::Again {
            at: now.after(pause),
            note: failure.message,
        };
        (now, again)
    }
}
