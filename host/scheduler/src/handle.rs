//! The scheduler as the others hold it: the executor tells it of tries, people ask it for runs.

use std::sync::Arc;

use airlock_model::{
    connection::Pool,
    id::{BundleName, TaskInstanceKey, Token},
    outcome::Report,
    port::{DagStore, RunStore, SchedulerHealth, TryEvents},
    time::Timestamp,
};
use tokio::sync::{RwLock, mpsc, watch};

use crate::engine::{Ending, Event, LiveDag};

/// A way to tell the scheduler something. Cheap to clone.
#[derive(Clone)]
pub struct Handle {
    pub(crate) events: mpsc::UnboundedSender<Event>,
    pub(crate) health: watch::Receiver<SchedulerHealth>,
    pub(crate) dags: Arc<dyn DagStore>,
    pub(crate) runs: Arc<dyn RunStore>,
    /// Held for writing while an import stands in the store and the engine has not heard of it: whoever
    /// saw a DAG there must find the engine knowing it.
    pub(crate) announcing: Arc<RwLock<()>>,
}

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handle").finish_non_exhaustive()
    }
}

impl Handle {
    /// These are a bundle's DAGs now.
    pub fn imported(&self, bundle: BundleName, dags: Vec<LiveDag>) {
        self.tell(Event::Imported { bundle, dags });
    }

    /// How the scheduler is, with word of each change: it changes with every batch that is written.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<SchedulerHealth> {
        self.health.clone()
    }

    /// These are the pools now.
    pub fn pools(&self, pools: Vec<Pool>) {
        self.tell(Event::Pools(pools));
    }

    pub(crate) fn tell(&self, event: Event) {
        // A scheduler that is gone is a host that stops: what was in flight is adopted at the next start.
        let _ = self.events.send(event);
    }
}

impl TryEvents for Handle {
    fn started(&self, key: TaskInstanceKey, token: Token, at: Timestamp) {
        self.tell(Event::Started { key, token, at });
    }

    fn ended(&self, key: TaskInstanceKey, token: Token, at: Timestamp, report: Report) {
        self.tell(Event::Ended(Box::new(Ending {
            key,
            token,
            at,
            report,
            spilled: Vec::new(),
        })));
    }
}
