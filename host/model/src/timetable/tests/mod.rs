//! Timetables held against Airflow's answers, and against rules that are slow and obviously right.

mod airflow;
mod lines;
mod rules;
mod ticks;
mod vectors;

use super::{cron::Cron, *};
use crate::dag::CronLine;

pub(super) fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

pub(super) fn line(expression: &str, timezone: &str) -> CronLine {
    CronLine {
        expression: expression.into(),
        timezone: Some(timezone.into()),
    }
}

pub(super) fn schedule(schedule: Schedule) -> Timetable {
    let spec = DagSpec {
        schedule,
        max_active_runs: Some(1),
        ..DagSpec::default()
    };
    Timetable::new(&spec).unwrap()
}

pub(super) fn bounds(earliest: Option<Timestamp>, catchup: bool) -> Restriction {
    Restriction {
        earliest,
        latest: None,
        catchup,
    }
}

/// What the rules say by themselves.
pub(super) fn known<T>(answer: Answer<'_, T>) -> T {
    answer.known().unwrap()
}
