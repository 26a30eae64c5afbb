//! When a DAG's next run is due (Airflow 3.3.2, `airflow/timetables/`).
//!
//! A timetable is asked for one run at a time: given the last run that it made, the bounds of the DAG and
//! the time now, when is the next? It holds no state and never sees a clock, so a year of schedules is a
//! loop in a test. A timetable that is the bundle's own code cannot be asked here: its answers are
//! [`Answer::Ask`], and whoever asks has to go to the bundle.
//!
//! There are two families. A *trigger* timetable makes a run at its tick, and the run's data interval has no
//! length unless the author gave it one. A *data interval* timetable makes a run for the time between two
//! ticks, when it is over. A run's logical date is the start of its interval in both.

mod cron;
mod crontab;
mod grid;
mod rule;
mod runs;

pub use cron::{Cron, CronError};
pub use runs::Runs;

use crate::{
    dag::{CustomSchedule, DEFAULT_MAX_ACTIVE_RUNS, DagSpec, Delta, RunImmediately, Schedule},
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
    /// More than one active run at once.
    #[error(
        "AL-0323: `schedule` is @continuous, which allows one active run, but max_active_runs is {0}; set max_active_runs to 1"
    )]
    ContinuousRuns(u32),
    /// Catch-up from nowhere.
    #[error(
        "AL-0324: `catchup` is set, but there is no start_date to begin at; set start_date or drop catchup"
    )]
    CatchupWithoutStart,
    /// A crontab schedule without a line.
    #[error("AL-0325: `schedule` has no crontab line; give it at least one")]
    NoLine,
}

/// When runs are created.
#[derive(Debug, Clone)]
pub enum Timetable {
    /// Never by itself.
    None,
    /// Once, at the start date.
    Once,
    /// As soon as the last run has ended.
    Continuous,
    /// At each tick of any of these.
    Cron {
        /// At least one.
        crons: Vec<Cron>,
        /// How far before its tick a run's data interval begins.
        interval: Delta,
        /// The first run of a DAG that has no start date.
        run_immediately: RunImmediately,
    },
    /// For each time between two ticks.
    CronInterval(Cron),
    /// Each time this long has passed.
    Delta {
        /// From run to run.
        every: Delta,
        /// How far before its time a run's data interval begins.
        interval: Delta,
    },
    /// For each time of this length.
    DeltaInterval(Delta),
    /// The bundle knows.
    Custom(CustomSchedule),
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

impl From<&DagSpec> for Restriction {
    fn from(spec: &DagSpec) -> Self {
        Self {
            earliest: spec.start_date,
            latest: spec.end_date,
            catchup: spec.catchup,
        }
    }
}

/// What a run covers: from, and until before.
pub type Interval = (Timestamp, Timestamp);

/// A run to make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NextRun {
    /// What it covers; its start is the run's logical date.
    pub interval: Interval,
    /// It must not start earlier.
    pub run_after: Timestamp,
}

impl NextRun {
    /// A run that starts when what it covers is over.
    const fn over(interval: Interval) -> Self {
        Self {
            interval,
            run_after: interval.1,
        }
    }

    /// The time that the run stands for.
    #[must_use]
    pub const fn logical_date(&self) -> Timestamp {
        self.interval.0
    }
}

/// What a timetable says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Answer<'a, T> {
    /// This.
    Known(T),
    /// Only the bundle can tell: this is what it is to be asked.
    Ask(&'a CustomSchedule),
}

impl<T> Answer<'_, T> {
    /// What is known without the bundle.
    #[must_use]
    pub fn known(self) -> Option<T> {
        match self {
            Self::Known(answer) => Some(answer),
            Self::Ask(_) => None,
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
            Schedule::Once => Self::Once,
            Schedule::Continuous => {
                let runs = spec.max_active_runs.unwrap_or(DEFAULT_MAX_ACTIVE_RUNS);
                if runs > 1 {
                    return Err(TimetableError::ContinuousRuns(runs));
                }
                Self::Continuous
            }
            Schedule::Cron { lines, .. } if lines.is_empty() => return Err(TimetableError::NoLine),
            Schedule::Cron {
                lines,
                interval,
                run_immediately,
            } => Self::Cron {
                crons: lines.iter().map(Cron::new).collect::<Result<_, _>>()?,
                interval: *interval,
                run_immediately: *run_immediately,
            },
            Schedule::CronInterval(line) => Self::CronInterval(Cron::new(line)?),
            Schedule::Delta { every, .. } | Schedule::DeltaInterval { every }
                if every.is_zero() =>
            {
                return Err(TimetableError::EmptyInterval);
            }
            Schedule::Delta { every, interval } => Self::Delta {
                every: *every,
                interval: *interval,
            },
            Schedule::DeltaInterval { every } => Self::DeltaInterval(*every),
            Schedule::Custom(custom) => Self::Custom(custom.clone()),
        };
        let scheduled = !matches!(timetable, Self::None);
        if scheduled && spec.catchup && spec.start_date.is_none() {
            return Err(TimetableError::CatchupWithoutStart);
        }
        Ok(timetable)
    }

    /// Passes on what the rules say, unless they are the bundle's.
    fn answer<'a, T>(&'a self, says: impl FnOnce(&'a Self) -> T) -> Answer<'a, T> {
        match self {
            Self::Custom(custom) => Answer::Ask(custom),
            timetable => Answer::Known(says(timetable)),
        }
    }

    /// The next run after `last`, the interval of the last run that this timetable made; none when there
    /// is no further one. The run may lie in the future.
    pub fn next_run(
        &self,
        last: Option<Interval>,
        bounds: Restriction,
        now: Timestamp,
    ) -> Answer<'_, Option<NextRun>> {
        self.answer(|timetable| timetable.rule(last, bounds, now))
    }

    /// What a run covers that somebody triggers at `run_after`: the last complete interval, or as much as
    /// each run of a trigger timetable covers.
    pub fn manual_interval(&self, run_after: Timestamp) -> Answer<'_, Interval> {
        self.answer(|timetable| timetable.manual(run_after))
    }

    /// The runs that come after `last`, as things stand now. What follows a continuous run is known when it
    /// has ended, so there is one of these at most.
    pub fn next_runs(
        &self,
        last: Option<Interval>,
        bounds: Restriction,
        now: Timestamp,
    ) -> Answer<'_, Runs<'_>> {
        self.answer(|timetable| Runs::new(timetable, last, bounds, now))
    }

    /// The runs of a backfill: all whose ticks lie from `from` to `to`, both included (Airflow 3.3.2,
    /// `iter_dagrun_infos_between`). A delta's are counted from `from`. There are none for a timetable that
    /// is not [periodic](Self::is_periodic).
    pub fn between(&self, from: Timestamp, to: Timestamp) -> Answer<'_, Runs<'_>> {
        let bounds = Restriction {
            earliest: Some(from),
            latest: Some(to),
            catchup: true,
        };
        self.answer(|timetable| match timetable.is_periodic() {
            true => Runs::new(timetable, None, bounds, to),
            false => Runs::none(timetable, bounds, to),
        })
    }

    /// Whether the run that covers `interval` is still the latest: the one after it is not due yet (Airflow
    /// 3.3.2, `LatestOnlyOperator`). Runs that somebody triggered are latest whatever this says.
    pub fn is_latest(&self, interval: Interval, now: Timestamp) -> Answer<'_, bool> {
        let bounds = Restriction {
            earliest: Some(interval.1),
            latest: None,
            catchup: true,
        };
        self.answer(|timetable| {
            let next = timetable.rule(Some(interval), bounds, now);
            next.is_none_or(|next| now <= next.interval.1)
        })
    }

    /// Whether it makes run after run by the clock, so that the past can be made up for by a backfill.
    #[must_use]
    pub const fn is_periodic(&self) -> bool {
        !matches!(self, Self::None | Self::Once | Self::Continuous)
    }

    /// In a word: `0 0 * * *`, `every 30m`, `@once`, `None`.
    #[must_use]
    pub fn summary(&self) -> String {
        match self {
            Self::None => "None".into(),
            Self::Once => "@once".into(),
            Self::Continuous => "@continuous".into(),
            Self::Cron { crons, .. } => join(crons, ToString::to_string),
            Self::CronInterval(cron) => cron.to_string(),
            Self::Delta { every, .. } | Self::DeltaInterval(every) => format!("every {every}"),
            Self::Custom(custom) => custom.entry.clone(),
        }
    }

    /// In a sentence.
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            Self::None => "Never by the clock".into(),
            Self::Once => "Once, as soon as possible".into(),
            Self::Continuous => "As often as possible, one run at a time".into(),
            Self::Cron { crons, .. } => join(crons, Cron::describe),
            Self::CronInterval(cron) => {
                format!("{}, for the interval that ends then", cron.describe())
            }
            Self::Delta { every, .. } => format!("Every {every}"),
            Self::DeltaInterval(every) => format!("Every {every}, for the interval that ends then"),
            Self::Custom(custom) => custom.description.clone(),
        }
    }
}

fn join(crons: &[Cron], text: impl Fn(&Cron) -> String) -> String {
    crons.iter().map(text).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests;
