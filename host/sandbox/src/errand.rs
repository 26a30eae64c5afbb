//! Why an instance runs. To a grant, a timetable is part of what a parse tells; to the sandbox it is a call
//! of its own, with its own limits, and reaches nothing at all.

/// Why an instance runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Errand {
    /// It tells its DAGs.
    Parse,
    /// It says when a DAG's next run is due.
    Timetable,
    /// It runs one try of a task.
    Task,
    /// It polls a trigger.
    Trigger,
    /// It hears of what became of a task or a run.
    Callback,
}

impl Errand {
    /// Whether its answer must not depend on when and where it runs.
    pub(crate) const fn is_pure(self) -> bool {
        matches!(self, Self::Parse | Self::Timetable)
    }
}
