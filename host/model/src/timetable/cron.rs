//! Crontab lines in a time zone, with Airflow's answers where the clocks change.
//!
//! Which local times match a line is the cron library's knowledge; what becomes of them in a zone is
//! Airflow's (3.3.2, `airflow/timetables/_cron.py`) and done here, since the library's own answers differ:
//! a line whose hour is `*` ticks by the absolute clock, through both turns of a repeated hour; any other
//! follows the wall clock, where a time in the gap moves forward by the gap and a repeated time is its
//! second occurrence.

use std::{cell::RefCell, collections::HashMap, fmt, rc::Rc, sync::Arc};

use croner::parser::{CronParser, Seconds, Year};
use jiff::{
    ToSpan,
    civil::DateTime,
    tz::{Disambiguation, TimeZone},
};

use super::{crontab::Crontab, grid::Grid};
use crate::{dag::CronLine, time::Timestamp};

/// A crontab line that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CronError {
    /// It cannot be read.
    #[error("AL-0320: `schedule` is not a crontab line: `{}`: {reason}; write minute, hour, day of month, month, day of week, or a preset such as @daily", line.escape_debug())]
    Line {
        /// What was given.
        line: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The zone is unknown.
    #[error("AL-0321: `timezone` is not an IANA time zone: `{}`; write it as Europe/Zurich", .0.escape_debug())]
    Zone(String),
}

/// A crontab line in a zone.
#[derive(Debug, Clone)]
pub struct Cron {
    /// As the author wrote it.
    line: String,
    pattern: Pattern,
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
    /// A [`CronError`]; a line such as `0 0 31 2 *`, which reads well and never ticks, is one too.
    pub fn new(line: &CronLine) -> Result<Self, CronError> {
        let CronLine {
            expression,
            timezone,
        } = line;
        let wrong = |reason: String| CronError::Line {
            line: expression.chars().take(120).collect(),
            reason,
        };
        let Crontab {
            pattern,
            both,
            every_hour,
            must_meet,
        } = Crontab::read(expression).map_err(wrong)?;
        let ticks = |pattern: &Pattern| {
            let read = pattern.read().map_err(|e| wrong(e.to_string()))?;
            let tick = walk(&read, EPOCH, Direction::Next);
            tick.ok_or_else(|| wrong("it never comes".into()))
        };
        let pattern = Pattern {
            text: pattern.into(),
            both,
        };
        if let Some(both) = must_meet {
            ticks(&Pattern {
                text: both.into(),
                both: true,
            })?;
        }
        ticks(&pattern)?;
        let zone = match timezone {
            None => TimeZone::UTC,
            Some(name) => TimeZone::get(name)
                .map_err(|_| CronError::Zone(name.chars().take(120).collect()))?,
        };
        Ok(Self {
            line: expression.trim().to_owned(),
            pattern,
            zone,
            absolute: every_hour,
        })
    }

    /// For people: `At 02:00, in Europe/Zurich`.
    #[must_use]
    pub fn describe(&self) -> String {
        let words = self.pattern.parsed().map(|pattern| pattern.describe());
        let words = words.unwrap_or_default();
        match self.zone.iana_name() {
            None | Some("UTC") => words,
            Some(zone) => format!("{words} in {zone}"),
        }
    }

    fn step(&self, at: Timestamp, direction: Direction) -> Option<Timestamp> {
        let local = self.zone.to_datetime(at.to_jiff());
        let tick = walk(&*self.pattern.parsed()?, local, direction)?;
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
}

impl Grid for Cron {
    fn next(&self, at: Timestamp) -> Option<Timestamp> {
        self.step(at, Direction::Next)
    }

    fn prev(&self, at: Timestamp) -> Option<Timestamp> {
        self.step(at, Direction::Previous)
    }

    fn align_next(&self, at: Timestamp) -> Option<Timestamp> {
        let next = self.next(at)?;
        let is_tick = self.prev(next) == Some(at);
        Some(if is_tick { at } else { next })
    }

    fn align_prev(&self, at: Timestamp) -> Option<Timestamp> {
        let prev = self.prev(at)?;
        let is_tick = self.next(prev) == Some(at);
        Some(if is_tick { at } else { prev })
    }
}

/// A line as croner reads it: as text, because what croner makes of it takes seven kilobytes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Pattern {
    text: Arc<str>,
    /// Both the day of the month and that of the week have to match.
    both: bool,
}

/// Patterns that a thread keeps read; beyond that it begins anew.
const KEPT: usize = 256;

thread_local! {
    /// Those that are in use; most installations have few, of however many DAGs.
    static READ: RefCell<HashMap<Pattern, Rc<croner::Cron>>> = RefCell::default();
}

impl Pattern {
    fn read(&self) -> Result<croner::Cron, croner::errors::CronError> {
        CronParser::builder()
            .seconds(Seconds::Required)
            .year(Year::Disallowed)
            .dom_and_dow(self.both)
            .build()
            .parse(&self.text)
    }

    /// The pattern read; it was read before, when the line was checked, so it can be.
    fn parsed(&self) -> Option<Rc<croner::Cron>> {
        READ.with_borrow_mut(|read| {
            if let Some(known) = read.get(self) {
                return Some(Rc::clone(known));
            }
            let parsed = Rc::new(self.read().ok()?);
            if read.len() >= KEPT {
                read.clear();
            }
            read.insert(self.clone(), Rc::clone(&parsed));
            Some(parsed)
        })
    }
}

/// The nearest local time that matches, before or after this one. Croner gives up after the year 5000.
fn walk(pattern: &croner::Cron, local: DateTime, direction: Direction) -> Option<DateTime> {
    match direction {
        Direction::Next => pattern.find_next_occurrence(&local, false).ok(),
        Direction::Previous => {
            // A second that has begun lies before what is left of it.
            let begun = local.subsec_nanosecond() != 0;
            let second = local
                .checked_sub(local.subsec_nanosecond().nanoseconds())
                .ok()?;
            pattern.find_previous_occurrence(&second, begun).ok()
        }
    }
}

/// In a gap this means the offset from before the change, which moves the time forward by the gap; in a
/// fold it means the second occurrence. Both are what Airflow does.
const LATER: Disambiguation = Disambiguation::Later;

/// Whether a line ever ticks is asked from here.
const EPOCH: DateTime = DateTime::constant(2000, 1, 1, 0, 0, 0, 0);

#[derive(Clone, Copy)]
enum Direction {
    Next,
    Previous,
}
