//! The scheduler as the others hold it: the executor tells it of tries, people ask it for runs.

use std::sync::Arc;

use airlock_model::{
    connection::Pool,
    id::{BundleName, DagId, TaskInstanceKey, TeamName, Token},
    outcome::Report,
    port::{CallbackStore, Clock, ControlError, DagStore, RunStore, SchedulerHealth, TryEvents},
    time::Timestamp,
};
use tokio::sync::{RwLock, mpsc, watch};

use crate::{
    abroad::Beside,
    engine::{Ending, Event, LiveDag},
};

/// A way to tell the scheduler something. Cheap to clone.
#[derive(Clone)]
pub struct Handle {
    pub(crate) events: mpsc::UnboundedSender<Event>,
    pub(crate) health: watch::Receiver<SchedulerHealth>,
    pub(crate) dags: Arc<dyn DagStore>,
    pub(crate) runs: Arc<dyn RunStore>,
    pub(crate) callbacks: Arc<dyn CallbackStore>,
    pub(crate) clock: Arc<dyn Clock>,
    /// Those who work beside the scheduler's loop.
    pub(crate) beside: Arc<Beside>,
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

    /// Gives a DAG to another bundle, and with it to another team. It is stale until that bundle is imported with
    /// it; both are to be imported after this, also when it fails, so that the scheduler knows what is kept.
    ///
    /// # Errors
    /// When there is no such DAG, it has runs that have not ended, or the store fails.
    pub async fn transfer(
        &self,
        dag_id: &DagId,
        bundle: &BundleName,
        team: &TeamName,
    ) -> Result<(), ControlError> {
        if self.dags.dag(dag_id).await?.is_none() {
            return Err(ControlError::NoSuchDag(dag_id.clone()));
        }
        self.ask(|reply| Event::Release(dag_id.clone(), reply))
            .await?;
        Ok(self.dags.transfer(dag_id, bundle, team).await?)
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
