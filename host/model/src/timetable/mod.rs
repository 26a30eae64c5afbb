//! When a DAG's next run is due (Airflow 3.3.2, `airflow/timetables/`).
//!
//! A timetable is asked for one run at a time: given the last run that it made, the bounds of the DAG and
//! the time now, when is the next? It holds no state and never sees a clock, so a year of schedules is a
//! loop in a test.
//!
//! Cron and interval schedules are Airflow 3's *trigger* timetables: a run stands for its tick, and its data
//! interval has no length.

mod cron;

use std::time::Duration;

pub use cron::{Cron, CronError};

use crate::{
    dag::{DagSpec, Schedule},
    time::Timestamp,
};

/// A schedule that cannot be one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TimetableError {
    /// The crontab line is wrong.
    #[error(transparent)]
    Cron(#[from] CronError),
    /// The interval has no length.
    #[error(
        "AL-0322: `schedule` repeats after no time at all; give an interval of at least a microsecond"
    )]
    EmptyInterval,
    /// A run at the start date, but there is none.
    #[error("AL-0323: `schedule` is @once, but there is no start_date to run at; set start_date")]
    OnceWithoutStart,
    /// Catch-up from nowhere.
    #[error(
        "AL-0324: `catchup` is set, but there is no start_date to begin at; set start_date or drop catchup"
    )]
    CatchupWithoutStart,
}

/// When runs are created.
#[derive(Debug, Clone)]
pub enum Timetable {
    /// Never by itself.
    None,
    /// Once, at the start date.
    Once,
    /// At each tick.
    Cron(Box<Cron>),
    /// Each time this long has passed.
    Interval(Duration),
}

/// The bounds within which a timetable may make runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Restriction {
    /// The DAG's start date.
    pub earliest: Option<Timestamp>,
    /// The DAG's end date.
    pub latest: Option<Timestamp>,
    /// Whether the past is made up for.
    pub catchup: bool,
}

/// A run to make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NextRun {
    /// What it covers; its start is the run's logical date.
    pub interval: (Timestamp, Timestamp),
    /// It must not start earlier.
    pub run_after: Timestamp,
}

impl NextRun {
    const fn tick(at: Timestamp) -> Self {
        Self {
            interval: (at, at),
            run_after: at,
        }
    }
}

impl Timetable {
    /// The timetable of a definition.
    ///
    /// # Errors
    /// A [`TimetableError`] that says what to change.
    pub fn new(spec: &DagSpec) -> Result<Self, TimetableError> {
        let timetable = match &spec.schedule {
            Schedule::None => Self::None,
            Schedule::Once if spec.start_date.is_none() => {
                return Err(TimetableError::OnceWithoutStart);
            }
            Schedule::Once => Self::Once,
            Schedule::Cron { lines, .. } => {
                let line = lines.first().cloned().unwrap_or_default();
                let zone = line.timezone.as_deref();
                Self::Cron(Box::new(Cron::new(&line.expression, zone)?))
            }
            Schedule::Delta { every, .. } if every.time.as_micros() == 0 => {
                return Err(TimetableError::EmptyInterval);
            }
            Schedule::Delta { every, .. } => Self::Interval(every.time),
            _ => Self::None,
        };
        let repeats = matches!(timetable, Self::Cron(_) | Self::Interval(_));
        if repeats && spec.catchup && spec.start_date.is_none() {
            return Err(TimetableError::CatchupWithoutStart);
        }
        Ok(timetable)
    }

    /// The next run after `last`, the interval of the last run that this timetable made; none when there
    /// is no further one. The run may lie in the future.
    #[must_use]
    pub fn next_run(
        &self,
        last: Option<(Timestamp, Timestamp)>,
        bounds: Restriction,
        now: Timestamp,
    ) -> Option<NextRun> {
        let at = match self {
            Self::None => None,
            Self::Once if last.is_some() => None,
            Self::Once => bounds.earliest,
            Self::Cron(cron) => {
                let after_last = last.map(|(_, end)| cron.next(end)).unwrap_or_default();
                let first = bounds.earliest.and_then(|at| cron.align_next(at));
                match (bounds.catchup, last, bounds.earliest) {
                    (true, Some(_), _) => after_last,
                    (true, None, _) => first,
                    (false, None, None) => cron.first_without_start(now),
                    (false, ..) => [cron.align_prev(now), after_last, first]
                        .into_iter()
                        .flatten()
                        .max(),
                }
            }
            Self::Interval(every) => {
                let after_last = last.map(|(_, end)| end.after(*every));
                match (bounds.catchup, after_last) {
                    (true, Some(at)) => Some(at),
                    (true, None) => bounds.earliest,
                    (false, at) => [Some(now), at, bounds.earliest].into_iter().flatten().max(),
                }
            }
        }?;
        (bounds.latest.is_none_or(|latest| at <= latest)).then(|| NextRun::tick(at))
    }

    /// For people, in words.
    #[must_use]
    pub fn describe(&self) -> String {
        self.summary()
    }

    /// For people: `0 0 * * *`, `every 30m`, `@once`, `None`.
    #[must_use]
    pub fn summary(&self) -> String {
        match self {
            Self::None => "None".into(),
            Self::Once => "@once".into(),
            Self::Cron(cron) => cron.to_string(),
            Self::Interval(every) => {
                let span =
                    jiff::SignedDuration::try_from(*every).unwrap_or(jiff::SignedDuration::MAX);
                format!("every {span:#}")
            }
        }
    }
}

#[cfg(test)]
mod tests;
