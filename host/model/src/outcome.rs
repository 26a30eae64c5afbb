//! How a try ends.

use std::{sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    dag::{AssetRef, Location},
    time::Timestamp,
    trigger::Deferral,
};

/// What came of a try.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// It ended well, with the XComs that it pushed (key, JSON text); `return_value` is one of them.
    Success {
        /// In the order of their pushing; each key once.
        xcoms: Vec<(String, Arc<str>)>,
        /// What it decided about the tasks after it.
        downstream: Downstream,
        /// Changes of its outlets that it has more to say about than that they happened.
        events: Vec<OutletEvent>,
    },
    /// It does not want to run; the text says why.
    Skipped {
        /// For people.
        reason: String,
    },
    /// What it waits for is not there yet: it gives its slot back and goes on as the same try.
    Rescheduled {
        /// Not before.
        at: Timestamp,
    },
    /// It gives its slot back until something happens, and then goes on as the same try.
    Deferred(Box<Deferral>),
    /// It ended badly.
    Failed(Failure),
}

impl Outcome {
    /// It ended well with these XComs and has nothing more to say.
    #[must_use]
    pub fn success(xcoms: Vec<(String, Arc<str>)>) -> Self {
        Self::Success {
            xcoms,
            downstream: Downstream::Free,
            events: Vec::new(),
        }
    }
}

/// What a task decided about the tasks directly after it (Airflow 3.3.2, `airflow/sdk/bases/skipmixin.py`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Downstream {
    /// Nothing: their trigger rules speak.
    #[default]
    Free,
    /// A branch: those of these ids, tasks or groups, are followed, and the others skipped.
    Follow(Vec<String>),
    /// A short circuit.
    Skip {
        /// Skips all that comes after, not only what comes directly after: no trigger rule is asked.
        all: bool,
    },
}

/// What a task says of a change of one of its outlets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutletEvent {
    /// Which asset; of an alias, which the task resolves so.
    pub asset: AssetRef,
    /// The alias through which it was reached.
    pub alias: Option<String>,
    /// A JSON object.
    pub extra: String,
}

/// Why a try failed, and whether another is worth it.
#[derive(Debug, Clone, PartialEq)]
pub struct Failure {
    /// What ended it.
    pub kind: FailureKind,
    /// In one sentence, for people; the guest's own text where it answered.
    pub message: String,
    /// What caused it, outermost first.
    pub causes: Vec<String>,
    /// Where in the author's code.
    pub location: Option<Location>,
}

/// What ended a try. Each has a stable code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// The task answered with an error.
    Error,
    /// The task answered with an error and wants no further try.
    Final,
    /// The instance trapped: a panic, an invalid memory access, unreachable code.
    Trap,
    /// A limit of the team or the phase ended it.
    Limit(Limit),
    /// The task's `execution_timeout` passed.
    Timeout,
    /// The bundle could not be loaded or instantiated: a missing import, no such entry.
    Load,
    /// Its heartbeat stopped, or its host died.
    Zombie,
    /// It was stopped from outside.
    Killed,
}

impl FailureKind {
    /// Whether a further try may be made where the task has one left (Airflow's semantics, 3.3).
    #[must_use]
    pub const fn allows_retry(self) -> bool {
        !matches!(self, Self::Final | Self::Load)
    }
}

/// The limits that can end an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// CPU time of the phase.
    CpuTime,
    /// Wall time of the phase.
    WallTime,
    /// Memory of one instance.
    Memory,
    /// Memory of all the team's instances.
    TeamMemory,
    /// Table elements.
    TableElements,
    /// Stack depth.
    Stack,
    /// Bytes or fuel of one host call.
    HostCall,
    /// Bytes of XComs of one try.
    Xcom,
    /// Instances of the team.
    Instances,
    /// Entries of a definition: tasks of a DAG, bytes of a parse.
    Definition,
}

/// A try's end as the executor reports it.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// What came of it.
    pub outcome: Outcome,
    /// From dispatch to the start of the guest's code.
    pub waited: Duration,
    /// From the start of the guest's code to its end.
    pub ran: Duration,
}
