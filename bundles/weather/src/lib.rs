//! minimal
use airlock_sdk::prelude::*;

/// One run per day of the archive.
#[dag(schedule = "@daily", start_date = "2012-01-01", end_date = "2015-12-31", catchup, tags = ["example"])]
fn weather() {
    let reading = observe();
    let checked = check(reading);
    write_daily(&checked);
    update_month(&checked);
}

#[task(retries = 2, retry_delay = "30s")]
fn observe(ctx: &Context) -> Result<String> {
    info!("observing {}", ctx.date()?);
    Ok(ctx.date()?.to_string())
}

#[task]
fn check(reading: String) -> Result<String> {
    println!("checked");
    Ok(reading)
}

#[task]
fn write_daily(_checked: &str) {}

#[task]
fn update_month(_checked: &str) {}

airlock_sdk::bundle!(weather);
