//! Timetables of the bundle's own, for schedules that no crontab line can say.
//!
//! ```
//! use airlock_sdk::prelude::*;
//! use jiff::{Timestamp, ToSpan, tz::TimeZone};
//! use serde::{Deserialize, Serialize};
//!
//! /// Each day of a month's last three.
//! #[derive(Serialize, Deserialize)]
//! struct MonthEnd {
//!     days: i8,
//! }
//!
//! impl Timetable for MonthEnd {
//!     fn next_run(&self, last: Option<&RunInfo>, bounds: &Restriction, now: Timestamp) -> Result<Option<RunInfo>> {
//!         let after = bounds.resume_after(last, now);
//!         let mut day = after.to_zoned(TimeZone::UTC).start_of_day()?;
//!         while day.timestamp() <= after || day.date().days_in_month() - day.day() >= self.days {
//!             day = day.checked_add(1.day())?;
//!         }
//!         Ok(bounds.allow(RunInfo::at(day.timestamp())))
//!     }
//! }
//!
//! #[dag(timetable = MonthEnd { days: 3 }, start_date = "2024-01-01")]
//! fn closing() {
//!     # close();
//! }
//! # #[task] fn close() {}
//!
//! // It is an ordinary type, and tested as such:
//! let last = RunInfo::at("2024-01-31T00:00:00Z".parse()?);
//! let next = MonthEnd { days: 3 }.next_run(Some(&last), &Restriction::default(), last.run_after)?;
//! assert_eq!(next, Some(RunInfo::at("2024-02-27T00:00:00Z".parse()?)));
//! # Ok::<(), Error>(())
//! ```
//!
//! It runs in a phase of its own, which is pure: no capability is there, the clock stands still, and the
//! same question must have the same answer. So whatever it knows is in its fields, which the DAG's definition
//! keeps as JSON.

use std::fmt;

use jiff::Timestamp;
use serde::{Serialize, de::DeserializeOwned};

use crate::{Result, ResultExt as _};

/// A run that a timetable makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunInfo {
    /// Start and end of the time that the run covers. The start is the run's logical date.
    pub data_interval: (Timestamp, Timestamp),
    /// It does not start before.
    pub run_after: Timestamp,
}

impl RunInfo {
    /// A run that stands for a point in time, and starts then.
    #[must_use]
    pub const fn at(time: Timestamp) -> Self {
        Self {
            data_interval: (time, time),
            run_after: time,
        }
    }

    /// A run that covers a time, and starts at its end.
    #[must_use]
    pub const fn over(start: Timestamp, end: Timestamp) -> Self {
        Self {
            data_interval: (start, end),
            run_after: end,
        }
    }
}

/// The bounds within which a timetable makes runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Restriction {
    /// The DAG's start date.
    pub earliest: Option<Timestamp>,
    /// The DAG's end date.
    pub latest: Option<Timestamp>,
    /// Whether the past is made up for.
    pub catchup: bool,
}

impl Restriction {
    /// The moment after which the next run is to be looked for: the last run's, or else a microsecond before
    /// the start date; but now, if that is later and the past is not made up for.
    #[must_use]
    pub fn resume_after(&self, last: Option<&RunInfo>, now: Timestamp) -> Timestamp {
        let first = self.earliest.map(|at| {
            let before = jiff::SignedDuration::from_micros(-1);
            at.checked_add(before).unwrap_or(at)
        });
        let after = match (last, first) {
            (Some(last), Some(first)) => last.run_after.max(first),
            (Some(last), None) => last.run_after,
            (None, Some(first)) => first,
            (None, None) => now,
        };
        match self.catchup {
            true => after,
            false => after.max(now),
        }
    }

    /// The run, unless its time lies after the end date.
    #[must_use]
    pub fn allow(&self, run: RunInfo) -> Option<RunInfo> {
        let over = self.latest.is_some_and(|end| run.data_interval.0 > end);
        (!over).then_some(run)
    }
}

/// When a DAG's runs are due, as the bundle's own code says: `#[dag(timetable = …)]`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no timetable",
    note = "a timetable is a type of yours that implements `Timetable`, and serde's `Serialize` and `Deserialize`"
)]
pub trait Timetable: Serialize + DeserializeOwned {
    /// The run after `last`, the last one that this timetable made; none where there is no further one. It
    /// may lie in the future: it is made when its `run_after` has come.
    ///
    /// # Errors
    /// Where there is no answer; then no run is made, and the error is shown with the DAG.
    fn next_run(
        &self,
        last: Option<&RunInfo>,
        bounds: &Restriction,
        now: Timestamp,
    ) -> Result<Option<RunInfo>>;

    /// The time that a run covers which somebody triggers by hand. Unless it is written, that moment.
    ///
    /// # Errors
    /// Where there is no answer.
    fn manual_interval(&self, run_after: Timestamp) -> Result<(Timestamp, Timestamp)> {
        Ok((run_after, run_after))
    }

    /// A few words for people.
    fn summary(&self) -> String {
        let name = std::any::type_name::<Self>();
        name.rsplit("::").next().unwrap_or(name).to_owned()
    }
}

type NextRun = fn(&str, Option<&RunInfo>, &Restriction, Timestamp) -> Result<Option<RunInfo>>;

/// A [`Timetable`] as a DAG names it.
#[derive(Clone, Copy)]
pub struct CustomTimetable {
    /// Which code it is: the path of the DAG's function.
    pub entry: &'static str,
    /// Its fields as JSON text, and a few words for people.
    pub(crate) describe: fn() -> Result<(String, String)>,
    pub(crate) next_run: NextRun,
    pub(crate) manual_interval: fn(&str, Timestamp) -> Result<(Timestamp, Timestamp)>,
}

impl CustomTimetable {
    /// Its fields, as JSON text.
    ///
    /// # Errors
    /// Where they have no JSON form.
    pub fn arguments(&self) -> Result<String> {
        (self.describe)().map(|(arguments, _)| arguments)
    }

    /// Asks it for the next run as the host does, from its fields as JSON.
    ///
    /// # Errors
    /// Those of the timetable.
    pub fn next_run(
        &self,
        last: Option<&RunInfo>,
        bounds: &Restriction,
        now: Timestamp,
    ) -> Result<Option<RunInfo>> {
        (self.next_run)(&self.arguments()?, last, bounds, now)
    }

    /// Asks it for the time that a run covers which somebody triggers by hand.
    ///
    /// # Errors
    /// Those of the timetable.
    pub fn manual_interval(&self, run_after: Timestamp) -> Result<(Timestamp, Timestamp)> {
        (self.manual_interval)(&self.arguments()?, run_after)
    }
}

impl fmt::Debug for CustomTimetable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CustomTimetable({})", self.entry)
    }
}

/// What the macro makes of `timetable = …`; the type of the timetable is that of what the first function gives.
#[doc(hidden)]
pub const fn custom<T: Timetable>(
    entry: &'static str,
    _: fn() -> T,
    describe: fn() -> Result<(String, String)>,
) -> CustomTimetable {
    CustomTimetable {
        entry,
        describe,
        next_run: |arguments, last, bounds, now| {
            decode::<T>(arguments)?.next_run(last, bounds, now)
        },
        manual_interval: |arguments, run_after| decode::<T>(arguments)?.manual_interval(run_after),
    }
}

#[doc(hidden)]
pub fn describe<T: Timetable>(timetable: &T) -> Result<(String, String)> {
    let arguments = serde_json::to_string(timetable).context("the timetable has no JSON form")?;
    Ok((arguments, timetable.summary()))
}

fn decode<T: Timetable>(arguments: &str) -> Result<T> {
    serde_json::from_str(arguments).context(
        "the definition is of another version of the bundle: the timetable's fields do not fit",
    )
}
