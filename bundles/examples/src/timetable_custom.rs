//! Schedules beyond one crontab line, and a timetable of the bundle's own for what no schedule can say. A
//! timetable is asked for the run after the last one. It is pure: it reaches nothing, and what it knows is in
//! its fields.

use airlock_sdk::prelude::*;
use jiff::{Timestamp, ToSpan as _, civil::Weekday, tz::TimeZone};
use serde::{Deserialize, Serialize};

/// The last working day of each month, at some hour (UTC).
#[derive(Serialize, Deserialize)]
struct LastWorkingDay {
    hour: i8,
}

impl Timetable for LastWorkingDay {
    fn next_run(
        &self,
        last: Option<&RunInfo>,
        bounds: &Restriction,
        now: Timestamp,
    ) -> Result<Option<RunInfo>> {
        let after = bounds.resume_after(last, now);
        let mut month = after.to_zoned(TimeZone::UTC).date().first_of_month();
        loop {
            let mut day = month.last_of_month();
            while matches!(day.weekday(), Weekday::Saturday | Weekday::Sunday) {
                day = day.yesterday()?;
            }
            let at = day.at(self.hour, 0, 0, 0);
            let tick = at.to_zoned(TimeZone::UTC)?.timestamp();
            if tick > after {
                return Ok(bounds.allow(RunInfo::at(tick)));
            }
            month = month.checked_add(1.month())?;
        }
    }

    fn summary(&self) -> String {
        format!("last working day, {}:00", self.hour)
    }
}

/// Closes the books.
#[dag(timetable = LastWorkingDay { hour: 18 }, start_date = "2024-01-01")]
pub fn month_end() {
    close_books();
}

/// Three crontab lines, read in one zone; each run covers the day before its tick.
#[dag(
    schedule = ["0 8 * * mon-fri", "0 17 * * mon-thu", "0 15 * * fri"],
    timezone = "Europe/Zurich",
    start_date = "2024-01-01",
    data_interval = "1d"
)]
pub fn office_hours() {
    close_books();
}

#[task]
fn close_books(ctx: &Context) -> Result<()> {
    let (from, to) = ctx.data_interval()?;
    info!("closing the books from {from} to {to}");
    Ok(())
}
