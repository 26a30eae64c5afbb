//! The rules of the timetables, over whatever gives their points in time (Airflow 3.3.2,
//! `airflow/timetables/{trigger,interval,simple}.py`).

use std::time::Duration;

use super::{Interval, NextRun, Restriction, Timetable, grid::Grid};
use crate::{
    dag::{Delta, RunImmediately},
    time::Timestamp,
};

impl Timetable {
    /// The next run by the rules that are known here; a custom timetable has none.
    pub(super) fn rule(
        &self,
        last: Option<Interval>,
        bounds: Restriction,
        now: Timestamp,
    ) -> Option<NextRun> {
        match self {
            Self::None | Self::Custom(_) => None,
            Self::Once => {
                let at = bounds.earliest.unwrap_or(now);
                let due = last.is_none() && bounds.latest.is_none_or(|latest| at <= latest);
                due.then(|| NextRun::over((at, at)))
            }
            Self::Continuous => continuous(last, bounds, now),
            Self::Cron {
                crons,
                interval,
                run_immediately,
            } => {
                let of = |cron| trigger(cron, *interval, *run_immediately, last, bounds, now);
                let runs = crons.iter().filter_map(of);
                let date = NextRun::logical_date;
                if bounds.catchup {
                    return runs.min_by_key(date);
                }
                // As few as possible: the latest that is past, and only if there is none the next.
                let (past, coming): (Vec<_>, Vec<_>) = runs.partition(|run| date(run) <= now);
                let latest = past.into_iter().max_by_key(date);
                latest.or_else(|| coming.into_iter().min_by_key(date))
            }
            Self::Delta { every, interval } => {
                let first = RunImmediately::Yes;
                trigger(every, *interval, first, last, bounds, now)
            }
            Self::CronInterval(cron) => intervals(cron, |_| current(cron, now), last, bounds),
            Self::DeltaInterval(every) => {
                let step = |earliest: Option<Timestamp>| {
                    every.prev(round(*every, now, earliest.unwrap_or(now))?)
                };
                intervals(every, step, last, bounds)
            }
        }
    }

    /// What a run covers that somebody triggers.
    pub(super) fn manual(&self, at: Timestamp) -> Interval {
        let covers = match self {
            Self::None | Self::Once | Self::Continuous | Self::Custom(_) => None,
            Self::Cron { interval, .. } | Self::Delta { interval, .. } => {
                interval.prev(at).map(|start| (start, at))
            }
            Self::CronInterval(cron) => cron
                .align_prev(at)
                .and_then(|end| Some((cron.prev(end)?, end))),
            Self::DeltaInterval(every) => every.prev(at).map(|start| (start, at)),
        };
        covers.unwrap_or((at, at))
    }
}

/// From the end of the last run until now. A first run without a start date covers nothing, and the second
/// begins a microsecond later, so that no two have the same logical date.
fn continuous(last: Option<Interval>, bounds: Restriction, now: Timestamp) -> Option<NextRun> {
    let start = bounds.earliest.unwrap_or(now);
    let (start, end) = match last {
        None => (start, start.max(now)),
        // The start date was moved into the future.
        Some((from, until)) if until > now && start > until => {
            (start, start.after(until.since(from)))
        }
        Some((from, until)) => {
            let start = until.max(from.after(Duration::from_micros(1)));
            (start, start.max(now))
        }
    };
    let allowed = bounds.latest.is_none_or(|latest| end <= latest);
    allowed.then(|| NextRun::over((start, end)))
}

fn trigger(
    grid: &impl Grid,
    interval: Delta,
    run_immediately: RunImmediately,
    last: Option<Interval>,
    bounds: Restriction,
    now: Timestamp,
) -> Option<NextRun> {
    let planned = match (last, bounds.earliest) {
        (Some((_, end)), _) => Some(grid.next(end)?),
        (None, None) => Some(first(grid, run_immediately, now)?),
        (None, Some(_)) => None,
    };
    let at = match (bounds.catchup, planned, bounds.earliest) {
        (true, Some(at), _) => at,
        (_, planned, earliest) => {
            let past = (!bounds.catchup).then(|| grid.align_prev(now)).flatten();
            let start = earliest.and_then(|at| grid.align_next(at));
            [past, planned, start].into_iter().flatten().max()?
        }
    };
    let allowed = bounds.latest.is_none_or(|latest| at <= latest);
    allowed.then(|| Some(NextRun::over((interval.prev(at)?, at))))?
}

/// The first run of a DAG that has neither run nor start date.
fn first(grid: &impl Grid, run_immediately: RunImmediately, now: Timestamp) -> Option<Timestamp> {
    let (past, next) = (grid.align_prev(now)?, grid.align_next(now)?);
    let grace = match run_immediately {
        RunImmediately::Yes => return Some(past),
        RunImmediately::Within(grace) => grace,
        RunImmediately::No => (next.since(past) / 10).max(Duration::from_secs(300)),
    };
    Some(if now.since(past) <= grace { past } else { next })
}

/// `current` tells the start of the latest complete interval, given the start date.
fn intervals(
    grid: &impl Grid,
    current: impl Fn(Option<Timestamp>) -> Option<Timestamp>,
    last: Option<Interval>,
    bounds: Restriction,
) -> Option<NextRun> {
    let aligned = match bounds.earliest {
        Some(at) => Some(grid.align_next(at)?),
        None => None,
    };
    let earliest = match bounds.catchup {
        true => aligned,
        false => Some(current(bounds.earliest)?).max(aligned),
    };
    let start = match last {
        None => earliest?,
        Some((begun, end)) => {
            // The schedule may be another than that which made the last run.
            let start = Some(grid.align_prev(end)?).max(earliest)?;
            let start = if start <= begun {
                grid.next(start)?
            } else {
                start
            };
            (start > begun).then_some(start)?
        }
    };
    let allowed = bounds.latest.is_none_or(|latest| start <= latest);
    allowed.then(|| Some(NextRun::over((start, grid.next(start)?))))?
}

/// The start of the latest interval between ticks that is over.
fn current(grid: &impl Grid, now: Timestamp) -> Option<Timestamp> {
    let start = grid.prev(now)?;
    if grid.next(start)? <= now {
        Some(start)
    } else {
        grid.prev(start)
    }
}

/// The last point not after `now`: whole lengths are counted from 1970, months from the start date, since
/// they have no length of their own. A start date that is to come stays.
fn round(every: Delta, now: Timestamp, anchor: Timestamp) -> Option<Timestamp> {
    if every.months == 0 {
        let micros = i64::try_from(every.time.as_micros()).ok()?;
        let past = now.micros().checked_rem_euclid(micros)?;
        return Timestamp::from_micros(now.micros().checked_sub(past)?).ok();
    }
    let mut at = anchor;
    while let Some(next) = every.next(at).filter(|next| *next <= now) {
        at = next;
    }
    Some(at)
}
