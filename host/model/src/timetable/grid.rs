//! The points in time of a schedule that repeats: a crontab's ticks, or the steps of a length.

use jiff::tz::TimeZone;

use crate::{dag::Delta, time::Timestamp};

/// Points in time, in order. None: the calendar ends there.
pub(super) trait Grid {
    /// The first point after `at`.
    fn next(&self, at: Timestamp) -> Option<Timestamp>;
    /// The last point before `at`.
    fn prev(&self, at: Timestamp) -> Option<Timestamp>;
    /// `at` if it is a point, else the first after it.
    fn align_next(&self, at: Timestamp) -> Option<Timestamp>;
    /// `at` if it is a point, else the last before it.
    fn align_prev(&self, at: Timestamp) -> Option<Timestamp>;
}

/// Steps of a length, which begin anywhere (Airflow 3.3.2, `airflow/timetables/_delta.py`).
impl Grid for Delta {
    fn next(&self, at: Timestamp) -> Option<Timestamp> {
        shift(at, *self, 1)
    }

    fn prev(&self, at: Timestamp) -> Option<Timestamp> {
        shift(at, *self, -1)
    }

    fn align_next(&self, at: Timestamp) -> Option<Timestamp> {
        Some(at)
    }

    fn align_prev(&self, at: Timestamp) -> Option<Timestamp> {
        Some(at)
    }
}

/// First by the months, kept within the month, then by the time.
fn shift(at: Timestamp, by: Delta, sign: i64) -> Option<Timestamp> {
    let micros = i64::try_from(by.time.as_micros()).ok()?.checked_mul(sign)?;
    let moved = match by.months {
        0 => at,
        months => {
            let months = i64::from(months).checked_mul(sign)?;
            let span = jiff::Span::new().try_months(months).ok()?;
            let date = at.to_jiff().to_zoned(TimeZone::UTC).datetime();
            let moved = date.checked_add(span).ok()?.to_zoned(TimeZone::UTC).ok()?;
            Timestamp::from_jiff(moved.timestamp())
        }
    };
    Timestamp::from_micros(moved.micros().checked_add(micros)?).ok()
}
