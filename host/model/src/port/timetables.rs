//! Who answers for a timetable that is a bundle's own code.

use async_trait::async_trait;

use crate::{
    dag::CustomSchedule,
    id::{BundleHash, BundleName, TeamName},
    outcome::Limit,
    time::Timestamp,
    timetable::{Interval, NextRun, Restriction},
};

/// The code that is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimetableCode {
    /// Whose.
    pub team: TeamName,
    /// In which bundle.
    pub bundle: BundleName,
    /// Of which version: that of the definition.
    pub hash: BundleHash,
    /// Which, and what it is made with.
    pub schedule: CustomSchedule,
}

/// Why a timetable gave no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TimetableFailure {
    /// The component cannot be loaded, or exports no timetables. Final for these bytes and this grant.
    #[error("{0}")]
    Load(String),
    /// It trapped. Final for these bytes and this question.
    #[error("AL-0522: the timetable trapped: {0}; correct it and deploy the bundle again")]
    Trap(String),
    /// It said that it has no answer. Final for these bytes and this question.
    #[error("AL-0523: the timetable gave an error: {0}; correct it and deploy the bundle again")]
    Refused(String),
    /// What it answered makes no sense. Final for these bytes and this question.
    #[error(
        "AL-0524: the timetable's answer makes no sense: {0}; correct it and deploy the bundle again"
    )]
    Nonsense(String),
    /// It ran into a limit. Worth another attempt, later.
    #[error("{message}")]
    Limit {
        /// Which.
        limit: Limit,
        /// With its code, the value and the option that sets it.
        message: String,
    },
    /// The host could not ask now. Worth another attempt.
    #[error("AL-0525: the timetable could not be asked now: {0}")]
    Unavailable(String),
}

impl TimetableFailure {
    /// Whether the same question may have an answer later, with nothing changed.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Limit { .. } | Self::Unavailable(_))
    }
}

/// Asks timetables of bundles. Pure: the same question has the same answer.
#[async_trait]
pub trait Timetables: Send + Sync {
    /// The run after `last`, the last one that the timetable made; none when there is no further one. Its
    /// interval does not end before it begins, and begins later than that of `last`.
    async fn next_run(
        &self,
        of: &TimetableCode,
        last: Option<NextRun>,
        bounds: Restriction,
        now: Timestamp,
    ) -> Result<Option<NextRun>, TimetableFailure>;

    /// What a run covers that somebody triggers at `run_after`.
    async fn manual_interval(
        &self,
        of: &TimetableCode,
        run_after: Timestamp,
    ) -> Result<Interval, TimetableFailure>;
}
