//! When a DAG's runs are created by the clock, as its author writes it down. What comes of it is the
//! [`timetable`](crate::timetable)'s.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

/// When runs are created by the clock (Airflow 3.3.2, `airflow/timetables/`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Schedule {
    /// Only by hand, or by assets.
    #[default]
    None,
    /// Once: at the start date, or without one as soon as it can be.
    Once,
    /// Again as soon as the last run has ended. Allows one active run.
    Continuous,
    /// At each tick of any of some crontab lines (`CronTriggerTimetable`, `MultipleCronTriggerTimetable`).
    Cron {
        /// At least one. Ticks that coincide make one run.
        lines: Vec<CronLine>,
        /// How far before its tick a run's data interval begins; usually not at all.
        interval: Delta,
        /// The first run of a DAG that has neither a start date nor a run.
        run_immediately: RunImmediately,
    },
    /// At the end of each interval between two ticks of a crontab line (`CronDataIntervalTimetable`).
    CronInterval(CronLine),
    /// Each time this long has passed (`DeltaTriggerTimetable`).
    Delta {
        /// From run to run.
        every: Delta,
        /// How far before its time a run's data interval begins; usually not at all.
        interval: Delta,
    },
    /// At the end of each interval of this length (`DeltaDataIntervalTimetable`).
    DeltaInterval {
        /// The length.
        every: Delta,
    },
    /// When the bundle says.
    Custom(CustomSchedule),
}

/// A crontab line in a zone.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CronLine {
    /// Five fields, or six with seconds last, or a preset such as `@daily`.
    pub expression: String,
    /// An IANA zone; none means UTC.
    pub timezone: Option<String>,
}

/// A timetable in the bundle's own code, which is asked for each next run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CustomSchedule {
    /// Which code answers; opaque.
    pub entry: String,
    /// What it is made with: a JSON text, opaque to the host.
    pub arguments: String,
    /// For people.
    pub description: String,
}

/// When a DAG runs first that has neither a start date nor a run. It has no meaning for others.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunImmediately {
    /// At the last tick, if it is no longer ago than a tenth of the gap between ticks or five minutes,
    /// whichever is more; else at the next. Airflow's `None`, and its `False` too.
    #[default]
    No,
    /// At the last tick.
    Yes,
    /// At the last tick, if it is no longer ago than this; else at the next.
    Within(Duration),
}

/// A length of time that may count months, which the calendar (in UTC) gives their length. Months come
/// first: the 31st of January and a month is the last day of February, and only then comes `time`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delta {
    /// A year is twelve.
    pub months: u32,
    /// The rest, in microseconds at the finest.
    pub time: Duration,
}

impl From<Duration> for Delta {
    fn from(time: Duration) -> Self {
        Self { months: 0, time }
    }
}

impl Delta {
    /// Whether it has no length.
    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.months == 0 && self.time.as_micros() == 0
    }
}

/// `1mo 2h`.
impl fmt::Display for Delta {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = jiff::SignedDuration::try_from(self.time).unwrap_or(jiff::SignedDuration::MAX);
        match self.months {
            0 => write!(f, "{time:#}"),
            months => {
                let [years, months] = [months / 12, months % 12];
                let some = |count: u32, unit| (count > 0).then(|| format!("{count}{unit}"));
                let rest = (!self.time.is_zero()).then(|| format!("{time:#}"));
                let parts = [some(years, "y"), some(months, "mo"), rest];
                let parts: Vec<_> = parts.into_iter().flatten().collect();
                f.write_str(&parts.join(" "))
            }
        }
    }
}

impl Schedule {
    /// At each tick of a crontab line, as Airflow 3 reads a plain string.
    #[must_use]
    pub fn cron(expression: impl Into<String>, timezone: Option<&str>) -> Self {
        Self::Cron {
            lines: vec![CronLine {
                expression: expression.into(),
                timezone: timezone.map(str::to_owned),
            }],
            interval: Delta::default(),
            run_immediately: RunImmediately::No,
        }
    }

    /// Each time this long has passed, as Airflow 3 reads a plain `timedelta`.
    #[must_use]
    pub fn every(every: impl Into<Delta>) -> Self {
        Self::Delta {
            every: every.into(),
            interval: Delta::default(),
        }
    }

    /// The zone in which its (first) crontab line is read.
    #[must_use]
    pub fn timezone(&self) -> Option<&str> {
        let line = match self {
            Self::Cron { lines, .. } => lines.first(),
            Self::CronInterval(line) => Some(line),
            _ => None,
        };
        line?.timezone.as_deref()
    }
}
