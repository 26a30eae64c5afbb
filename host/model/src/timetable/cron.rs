//! Crontab lines in a time zone, with Airflow's answers where the clocks change.
//!
//! Which local times match a line is the cron library's knowledge; what becomes of them in a zone is
//! Airflow's (3.3.2, `airflow/timetables/_cron.py`, dialect of croniter) and done here: a line whose hour is
//! `*` ticks by the absolute clock, through both turns of a repeated hour; any other follows the wall clock,
//! where a time in the gap moves forward by the gap and a repeated time is its second occurrence.

use std::fmt;

use croner::parser::{CronParser, Seconds, Year};
use jiff::{
    civil::DateTime,
    tz::{Disambiguation, TimeZone},
};

use crate::time::Timestamp;

/// A crontab line that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CronError {
    /// It cannot be read.
    #[error("AL-0320: `schedule` is not a crontab line: `{}`: {reason}; write minute, hour, day of month, month, day of week, or a preset such as @daily", line.escape_debug())]
    Line {
        /// What was given.
        line: String,
        /// What the parser says.
        reason: String,
    },
    /// The zone is unknown.
    #[error("AL-0321: `timezone` is not an IANA time zone: `{}`; write it as Europe/Zurich", .0.escape_debug())]
    Zone(String),
}

/// The presets that expand (Airflow 3.3.2, `cron_presets`).
const PRESETS: [(&str, &str); 6] = [
    ("@hourly", "0 * * * *"),
    ("@daily", "0 0 * * *"),
    ("@weekly", "0 0 * * 0"),
    ("@monthly", "0 0 1 * *"),
    ("@quarterly", "0 0 1 */3 *"),
    ("@yearly", "0 0 1 1 *"),
];

/// A crontab line in a zone.
#[derive(Debug, Clone)]
pub struct Cron {
    /// As the author wrote it.
    line: String,
    pattern: croner::Cron,
    zone: TimeZone,
    /// The hour field is `*`.
    absolute: bool,
}

impl fmt::Display for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.line)
    }
}

impl Cron {
    /// Reads a line of five fields, of six with seconds last, or a preset.
    ///
    /// # Errors
    /// A [`CronError`].
    pub fn new(line: &str, zone: Option<&str>) -> Result<Self, CronError> {
        let wrong = |reason: String| CronError::Line {
            line: line.chars().take(120).collect(),
            reason,
        };
        let expanded = PRESETS
            .iter()
            .find(|(name, _)| *name == line.trim())
            .map_or(line, |(_, expanded)| expanded);
        let fields: Vec<&str> = expanded.split_whitespace().collect();
        // The library wants seconds first, croniter has them last.
        let (ordered, hour) = match fields.as_slice() {
            [minute, hour, rest @ ..] if rest.len() == 3 => {
                (format!("0 {minute} {hour} {}", rest.join(" ")), *hour)
            }
            [minute, hour, a, b, c, second] => {
                (format!("{second} {minute} {hour} {a} {b} {c}"), *hour)
            }
            fields => {
                return Err(wrong(format!(
                    "it has {} fields, not five or six",
                    fields.len()
                )));
            }
        };
        let parser = CronParser::builder()
            .seconds(Seconds::Required)
            .year(Year::Disallowed)
            .build();
        let pattern = parser.parse(&ordered).map_err(|e| wrong(e.to_string()))?;
        let zone = match zone {
            None => TimeZone::UTC,
            Some(name) => TimeZone::get(name)
                .map_err(|_| CronError::Zone(name.chars().take(120).collect()))?,
        };
        let cron = Self {
            line: line.to_owned(),
            pattern,
            zone,
            absolute: hour == "*",
        };
        // A line such as `0 0 31 2 *` reads well and never ticks.
        if cron
            .tick(DateTime::constant(2000, 1, 1, 0, 0, 0, 0), Direction::Next)
            .is_none()
        {
            return Err(wrong("it never comes".into()));
        }
        Ok(cron)
    }

    /// The first tick after `at`.
    #[must_use]
    pub fn next(&self, at: Timestamp) -> Option<Timestamp> {
        self.step(at, Direction::Next)
    }

    /// The last tick before `at`.
    #[must_use]
    pub fn prev(&self, at: Timestamp) -> Option<Timestamp> {
        self.step(at, Direction::Previous)
    }

    /// `at` if it is a tick, else the first after it.
    #[must_use]
    pub fn align_next(&self, at: Timestamp) -> Option<Timestamp> {
        let next = self.next(at)?;
        if self.prev(next) == Some(at) {
            Some(at)
        } else {
            Some(next)
        }
    }

    /// `at` if it is a tick, else the last before it.
    #[must_use]
    pub fn align_prev(&self, at: Timestamp) -> Option<Timestamp> {
        let prev = self.prev(at)?;
        if self.next(prev) == Some(at) {
            Some(at)
        } else {
            Some(prev)
        }
    }

    /// The first run of a DAG that has neither a start date nor catch-up: the last tick when it is no longer
    /// ago than a tenth of the gap between ticks or five minutes, whichever is more; else the next tick.
    #[must_use]
    pub fn first_without_start(&self, now: Timestamp) -> Option<Timestamp> {
        let (prev, next) = (self.align_prev(now)?, self.next(now)?);
        let grace = (next.since(prev) / 10).max(std::time::Duration::from_secs(300));
        if now.since(prev) <= grace {
            Some(prev)
        } else {
            Some(next)
        }
    }

    fn step(&self, at: Timestamp, direction: Direction) -> Option<Timestamp> {
        let local = self.zone.to_datetime(at.to_jiff());
        let tick = self.tick(local, direction)?;
        let instant = if self.absolute {
            at.to_jiff().checked_add(tick.duration_since(local)).ok()?
        } else {
            self.zone
                .to_ambiguous_timestamp(tick)
                .disambiguate(LATER)
                .ok()?
        };
        Some(Timestamp::from_jiff(instant))
    }

    fn tick(&self, local: DateTime, direction: Direction) -> Option<DateTime> {
        match direction {
            Direction::Next => self.pattern.find_next_occurrence(&local, false).ok(),
            Direction::Previous => self.pattern.find_previous_occurrence(&local, false).ok(),
        }
    }
}

/// In a gap this means the offset from before the change, which moves the time forward by the gap; in a
/// fold it means the second occurrence. Both are what Airflow does.
const LATER: Disambiguation = Disambiguation::Later;

#[derive(Clone, Copy)]
enum Direction {
    Next,
    Previous,
}
