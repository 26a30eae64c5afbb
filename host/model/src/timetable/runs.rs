//! Run after run of a timetable: for a backfill, and to tell what comes.

use super::{Interval, NextRun, Restriction, Timetable};
use crate::time::Timestamp;

/// The runs of a timetable one after the other, each later than the one before.
#[derive(Debug, Clone)]
pub struct Runs<'a> {
    timetable: &'a Timetable,
    last: Option<Interval>,
    bounds: Restriction,
    now: Timestamp,
    ended: bool,
}

impl<'a> Runs<'a> {
    pub(super) const fn new(
        timetable: &'a Timetable,
        last: Option<Interval>,
        bounds: Restriction,
        now: Timestamp,
    ) -> Self {
        Self {
            timetable,
            last,
            bounds,
            now,
            ended: false,
        }
    }

    pub(super) const fn none(
        timetable: &'a Timetable,
        bounds: Restriction,
        now: Timestamp,
    ) -> Self {
        Self {
            ended: true,
            ..Self::new(timetable, None, bounds, now)
        }
    }
}

impl Iterator for Runs<'_> {
    type Item = NextRun;

    fn next(&mut self) -> Option<NextRun> {
        if self.ended {
            return None;
        }
        let next = self.timetable.rule(self.last, self.bounds, self.now);
        let later = |next: &NextRun| self.last.is_none_or(|last| next.interval.0 > last.0);
        let next = next.filter(later);
        self.ended = next.is_none() || matches!(self.timetable, Timetable::Continuous);
        self.last = next.map(|next| next.interval);
        next
    }
}
