//! Phases: why a component is running. What is granted is granted per phase.

use airlock_model::id::{DagId, TaskId};
use serde::{Deserialize, Serialize};

/// Why a component is running.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// It tells its DAGs. Pure: of all capabilities only variables can be granted to it.
    Parse,
    /// It runs one try of a task.
    Task,
    /// It polls a trigger, for a deferred task or for a watcher.
    Trigger,
    /// It hears of what became of a task or a run.
    Callback,
}

impl Phase {
    /// Every phase.
    pub const ALL: [Self; 4] = [Self::Parse, Self::Task, Self::Trigger, Self::Callback];

    /// The word for it in `bundle.toml` and `airlock.toml`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Parse => "parse",
            Self::Task => "task",
            Self::Trigger => "trigger",
            Self::Callback => "callback",
        }
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// A set of phases; as it is written, a list that is not empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "Vec<Phase>", into = "Vec<Phase>")]
pub struct Phases(u8);

impl Phases {
    /// No phase at all.
    pub(crate) const NONE: Self = Self(0);
    /// Every phase.
    pub const ALL: Self =
        Self(Phase::Parse.bit() | Phase::Task.bit() | Phase::Trigger.bit() | Phase::Callback.bit());

    /// The set of one phase.
    #[must_use]
    pub const fn only(phase: Phase) -> Self {
        Self(phase.bit())
    }

    /// Whether `phase` is in it.
    #[must_use]
    pub const fn contains(self, phase: Phase) -> bool {
        self.0 & phase.bit() != 0
    }

    /// Whether nothing is in it.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// What is in both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// What is in either.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// This without `phase`.
    #[must_use]
    pub const fn without(self, phase: Phase) -> Self {
        Self(self.0 & !phase.bit())
    }

    /// This without those.
    #[must_use]
    pub const fn except(self, others: Self) -> Self {
        Self(self.0 & !others.0)
    }

    /// The phases in it, in their order.
    pub fn iter(self) -> impl Iterator<Item = Phase> {
        Phase::ALL
            .into_iter()
            .filter(move |phase| self.contains(*phase))
    }
}

/// Where nothing is said, a task's: what is pure stays pure unless somebody says otherwise.
impl Default for Phases {
    fn default() -> Self {
        Self::only(Phase::Task)
    }
}

impl TryFrom<Vec<Phase>> for Phases {
    type Error = &'static str;
    fn try_from(phases: Vec<Phase>) -> Result<Self, Self::Error> {
        if phases.is_empty() {
            return Err(
                "an empty list of phases allows nothing: name a phase, or leave `phases` out",
            );
        }
        Ok(phases
            .into_iter()
            .fold(Self::NONE, |set, phase| set.or(Self::only(phase))))
    }
}

impl From<Phases> for Vec<Phase> {
    fn from(phases: Phases) -> Self {
        phases.iter().collect()
    }
}

/// Who is asking: the phase, and outside of the parse phase for which DAG, and which task of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// Why the component is running.
    pub phase: Phase,
    /// The DAG that it runs for; none while parsing.
    pub dag_id: Option<DagId>,
    /// The task that it runs for; none while parsing, for a watcher and for a callback of a run.
    pub task_id: Option<TaskId>,
}

impl Caller {
    /// A component that tells its DAGs.
    #[must_use]
    pub const fn parse() -> Self {
        Self {
            phase: Phase::Parse,
            dag_id: None,
            task_id: None,
        }
    }

    /// A component that runs a try of this task.
    #[must_use]
    pub const fn task(dag_id: DagId, task_id: TaskId) -> Self {
        Self {
            phase: Phase::Task,
            dag_id: Some(dag_id),
            task_id: Some(task_id),
        }
    }

    /// A component that polls a trigger: of this deferred task, or of a watcher that this DAG declares.
    #[must_use]
    pub const fn trigger(dag_id: DagId, task_id: Option<TaskId>) -> Self {
        Self {
            phase: Phase::Trigger,
            dag_id: Some(dag_id),
            task_id,
        }
    }

    /// A component that hears of this task, or of a run of this DAG.
    #[must_use]
    pub const fn callback(dag_id: DagId, task_id: Option<TaskId>) -> Self {
        Self {
            phase: Phase::Callback,
            dag_id: Some(dag_id),
            task_id,
        }
    }
}
