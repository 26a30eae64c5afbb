//! Daily and monthly weather reports from an archive of observations.
//!
//! Each run stands for one day: it reads that day's row of the archive, checks and converts it, writes the
//! day's report, and recomputes the month's from the daily ones that are there. Runs may end in any order
//! and side by side; when the last one has ended, every report is complete ([`report`] says why).

mod archive;
mod observation;
mod report;
mod storage;
#[cfg(test)]
mod tests;

use airlock_sdk::prelude::*;

use crate::{archive::Reading, observation::Checked};

/// One run per day of the archive.
#[dag(
    schedule = "@daily",
    start_date = "2012-01-01",
    end_date = "2015-12-31",
    catchup,
    tags = ["example"]
)]
fn weather() {
    let reading = observe(); // calling a task adds it to the graph …
    let checked = check(reading); // … and its result is a typed XCom
    let daily = write_daily(&checked);
    update_month(&checked).after(daily); // the month counts this day, so the day comes first
}

/// Reads the day's row of the archive.
#[task(retries = 2, retry_delay = "30s")]
fn observe(ctx: &Context) -> Result<Reading> {
    let archive = directory("archive")?;
    let reading = archive::read(
        &archive.join("seattle-weather.csv"),
        &ctx.date()?.to_string(),
    )?;
    info!("reading for {reading}");
    Ok(reading)
}

/// Refuses what cannot be, and converts the rest to the units that people use.
#[task]
fn check(reading: Reading) -> Result<Checked> {
    observation::convert(&reading)
}

/// Writes the day's report.
#[task(retries = 2, retry_delay = "30s")]
fn write_daily(ctx: &Context, checked: &Checked) -> Result<()> {
    report::write_daily(&directory("reports")?, &storage::tag(ctx), checked)
}

/// Recomputes the month's report.
#[task(retries = 2, retry_delay = "30s")]
fn update_month(ctx: &Context, checked: &Checked) -> Result<()> {
    let month = report::month_of(&checked.date);
    let days = report::update_month(&directory("reports")?, &storage::tag(ctx), month)?;
    info!("{month} has {days} days");
    Ok(())
}

airlock_sdk::bundle!(weather);
