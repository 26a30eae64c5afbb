//! The adapters: for each interface that a guest may import, the way from its call to the port behind it.
//!
//! They are thin. An adapter asks the grant first, and hands the permit that it got to the port; what is
//! denied becomes the typed error of the call, and a line in the try's log with the text that would allow
//! it. Whatever a port reveals is masked from then on. Nothing here traps.

mod clocks;
mod connections;
mod directories;
mod http;
mod logging;
pub(crate) mod sql;
mod variables;
mod xcom;

use std::sync::Arc;

use airlock_grant::{
    Caller, Denial, Effective,
    port::{Connections, Directories, Egress, Variables, sql::Databases},
};
use airlock_model::{
    audit::Denied,
    id::RunId,
    log::Level,
    port::{Clock, DenialLog, StoreError, TaskLogs, Xcoms},
};

pub(crate) use self::{
    clocks::{Clocks, FrozenClock},
    http::Http,
    xcom::Pushed,
};
use crate::{
    bindings::errors, call::bounded, errand::Errand, log::TryLog, metrics::TeamMetrics,
    reach::Reach,
};

/// What the audit keeps of a guest's own name for something.
const ITEM_BYTES: usize = 200;

/// What stands behind the adapters.
#[derive(Clone)]
pub struct Ports {
    /// Tells the time of log lines and of a try's begin and end.
    pub clock: Arc<dyn Clock>,
    /// Takes tries' logs.
    pub logs: Arc<dyn TaskLogs>,
    /// Gives XComs.
    pub xcoms: Arc<dyn Xcoms>,
    /// Gives variables.
    pub variables: Arc<dyn Variables>,
    /// Gives connections.
    pub connections: Arc<dyn Connections>,
    /// Opens directories.
    pub directories: Arc<dyn Directories>,
    /// Sends HTTP requests.
    pub egress: Arc<dyn Egress>,
    /// Asks databases.
    pub databases: Arc<dyn Databases>,
    /// Hears of what was denied.
    pub denials: Arc<dyn DenialLog>,
}

/// On whose behalf an instance runs, and what it may reach.
pub(crate) struct Standing {
    pub(crate) reach: Arc<Reach>,
    pub(crate) caller: Caller,
    pub(crate) errand: Errand,
    /// The run, in the task phase.
    pub(crate) run_id: Option<RunId>,
    pub(crate) log: Arc<TryLog>,
    pub(crate) ports: Arc<Ports>,
    pub(crate) metrics: Arc<TeamMetrics>,
}

impl Standing {
    /// What it may reach, as it is now.
    pub(crate) fn effective(&self) -> Arc<Effective> {
        self.reach.now()
    }

    /// A denial, told to the guest, the log, the audit and the figures.
    pub(crate) fn denied(&self, denial: &Denial) -> errors::Error {
        let text = denial.to_string();
        self.log.host(Level::Warn, &text);
        self.tell(denial.item().kind().as_str(), denial.for_audit());
        if denial.is_malformed() {
            errors::Error::Invalid(text)
        } else {
            errors::Error::Denied(text)
        }
    }

    /// A denial that no grant could lift, because of why the instance runs; `item` may hold a guest's words.
    fn out_of_place(
        &self,
        capability: &str,
        code: &'static str,
        item: &str,
        text: &str,
    ) -> errors::Error {
        let text = format!("{code}: {text}");
        self.log.host(Level::Warn, &text);
        self.tell(capability, self.wanted(code, item));
        errors::Error::Denied(text)
    }

    /// Something that this instance wanted, as the audit names it.
    fn wanted(&self, code: &'static str, item: &str) -> Denied {
        let (effective, caller) = (self.effective(), &self.caller);
        let item = self.log.mask(item);
        Denied {
            team: effective.team().clone(),
            bundle: effective.bundle().name.clone(),
            code,
            item: bounded(&item, ITEM_BYTES).escape_debug().to_string(),
            phase: caller.phase.as_str(),
            dag_id: caller.dag_id.clone(),
            task_id: caller.task_id.clone(),
        }
    }

    /// Counts a denial, and tells the audit of it. Its rows are never deleted, so what the instance was told in
    /// confidence is masked in them as it is in its log.
    fn tell(&self, capability: &str, denied: Denied) {
        self.metrics.denied(capability);
        let item = self.log.mask(&denied.item);
        self.ports.denials.denied(Denied { item, ..denied });
    }

    /// A port that cannot answer now. The guest learns that much; the cause is for the log.
    fn unavailable(&self, what: &str, error: &StoreError) -> errors::Error {
        self.log
            .host(Level::Error, &format!("{what} could not be read: {error}"));
        errors::Error::Unavailable(format!("{what} cannot be read now"))
    }
}

/// The host's side of one instance's calls.
pub(crate) struct Call {
    pub(crate) standing: Arc<Standing>,
    pub(crate) pushed: Pushed,
}
