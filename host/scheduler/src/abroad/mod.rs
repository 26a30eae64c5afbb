//! Those who work beside the scheduler's loop: they poll triggers, run callbacks, and look for files.
//!
//! None of them decides. Rows are taken by lease, so that several hosts on one database share them and those of
//! one that died come free; what came of a poll is told to the engine, whose commit is the truth.

mod calls;
mod files;
mod polls;

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use airlock_model::{
    id::{HostId, TeamName, TriggerId},
    port::{TeamLoad, TeamTally},
};
use tokio::{
    sync::{Notify, mpsc, watch},
    task::AbortHandle,
    time::Instant,
};
use uuid::Uuid;

pub use self::{calls::CallbackOptions, polls::TriggerOptions};
use crate::{
    driver::Shutdown,
    engine::{FileOrder, Options},
    questions::Questions,
};

/// What the scheduler's loop, and whoever holds its handle, share with those beside it.
#[derive(Debug)]
pub(crate) struct Beside {
    /// There are triggers that are due.
    pub(crate) triggers: Notify,
    /// There are callbacks to run.
    pub(crate) callbacks: Notify,
    /// Watchers that may be polled.
    pub(crate) active: watch::Sender<Arc<HashSet<TriggerId>>>,
    tallies: Mutex<HashMap<TeamName, TeamTally>>,
}

impl Default for Beside {
    fn default() -> Self {
        Self {
            triggers: Notify::new(),
            callbacks: Notify::new(),
            active: watch::channel(Arc::default()).0,
            tallies: Mutex::default(),
        }
    }
}

impl Beside {
    fn count(&self, team: &TeamName, what: impl FnOnce(&mut TeamTally)) {
        let mut tallies = self.tallies.lock().unwrap_or_else(PoisonError::into_inner);
        what(tallies.entry(team.clone()).or_default());
    }

    /// Adds what was counted here.
    pub(crate) fn add_to(&self, teams: &mut [TeamLoad]) {
        let tallies = self.tallies.lock().unwrap_or_else(PoisonError::into_inner);
        for load in teams {
            if let Some(tally) = tallies.get(&load.team) {
                load.tally.polls += tally.polls;
                load.tally.failed_polls += tally.failed_polls;
                load.tally.callbacks += tally.callbacks;
                load.tally.failed_callback_tries += tally.failed_callback_tries;
                load.tally.failed_callbacks += tally.failed_callbacks;
            }
        }
    }
}

/// All of them.
#[derive(Debug)]
pub(crate) struct Abroad {
    polls: Option<polls::Polls>,
    calls: Option<calls::Calls>,
    files: Option<(files::Looks, mpsc::UnboundedReceiver<FileOrder>)>,
    orders: mpsc::UnboundedSender<FileOrder>,
    /// Polls and callbacks on their way.
    under_way: Arc<AtomicUsize>,
    running: Vec<AbortHandle>,
}

impl Abroad {
    pub(crate) fn new(questions: Questions, options: &Options, beside: Arc<Beside>) -> Self {
        let host = HostId(Uuid::now_v7());
        let under_way = Arc::new(AtomicUsize::new(0));
        let (orders, received) = mpsc::unbounded_channel();
        let looks = files::Looks::new(questions.clone(), options.triggers.file_interval);
        let claimant = || Claimant {
            questions: questions.clone(),
            beside: Arc::clone(&beside),
            under_way: UnderWay(Arc::clone(&under_way)),
            host,
        };
        Self {
            polls: Some(polls::Polls::new(claimant(), options.triggers.clone())),
            calls: Some(calls::Calls::new(claimant(), options.callbacks.clone())),
            files: Some((looks, received)),
            orders,
            under_way,
            running: Vec::new(),
        }
    }

    /// They work from now on, until they are dropped or a shutdown ends them.
    pub(crate) fn start(&mut self, shutdown: &watch::Receiver<Shutdown>) {
        if let Some(polls) = self.polls.take() {
            let task = tokio::spawn(polls.run(shutdown.clone()));
            self.running.push(task.abort_handle());
        }
        if let Some(calls) = self.calls.take() {
            let task = tokio::spawn(calls.run(shutdown.clone()));
            self.running.push(task.abort_handle());
        }
        if let Some((looks, orders)) = self.files.take() {
            let task = tokio::spawn(looks.run(orders));
            self.running.push(task.abort_handle());
        }
    }

    /// Somebody waits for files, or no longer does.
    pub(crate) fn files(&self, order: FileOrder) {
        // Nobody looks any more when the host stops.
        let _ = self.orders.send(order);
    }

    /// No poll and no callback is on its way.
    pub(crate) fn is_idle(&self) -> bool {
        self.under_way.load(Ordering::Acquire) == 0
    }
}

impl Drop for Abroad {
    fn drop(&mut self) {
        for task in &self.running {
            task.abort();
        }
    }
}

/// After the store did not answer.
const STORE: Duration = Duration::from_secs(1);
/// Between two claims when all that is due belongs to teams that have as many as they may.
const FULL: Duration = Duration::from_millis(250);
/// Nobody sleeps longer than this, so that a clock that was set is noticed.
const FAR: Duration = Duration::from_secs(3600);

/// Who takes rows by lease.
#[derive(Debug)]
struct Claimant {
    questions: Questions,
    beside: Arc<Beside>,
    under_way: UnderWay,
    host: HostId,
}

/// How many of what is claimed is on its way.
#[derive(Debug)]
struct UnderWay(Arc<AtomicUsize>);

impl UnderWay {
    fn begun(&self) {
        self.0.fetch_add(1, Ordering::AcqRel);
    }

    fn over(&self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// How long to wait after so many failures: the first pause, doubled with each, and at most the last.
fn backoff(first: Duration, failures: u32, most: Duration) -> Duration {
    let factor = 2_u32.saturating_pow(failures.saturating_sub(1));
    first.saturating_mul(factor).min(most)
}

/// Until then, or for ever.
async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
