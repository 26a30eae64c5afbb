//! Where runs for the past are made up for, some tasks make sense for the present only: a notification, a
//! cache. `latest_only()` skips what comes directly after it in all runs but the latest. A run that was
//! triggered by hand counts as such.

use airlock_sdk::prelude::*;

/// Loads each day since 2024, and announces only today's figures.
#[dag(schedule = "@daily", start_date = "2024-01-01", catchup, tags = ["example"])]
pub fn latest_only_example() {
    let loaded = load_day();
    announce().after((loaded, latest_only()));
}

#[task]
fn load_day(ctx: &Context) -> Result<()> {
    info!("loading {}", ctx.date()?);
    Ok(())
}

#[task]
fn announce() {
    info!("there are new figures");
}
