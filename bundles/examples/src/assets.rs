//! Assets: runs that are made by what other tasks change, instead of by the clock. A task names the assets that
//! its success changes (`outlets`); a DAG names those that it waits for (`schedule_assets`), joined by `&` and
//! `|`. An alias stands for assets that a task knows only when it runs.

use airlock_sdk::prelude::*;
use serde::{Deserialize, Serialize};

const PRICES: Asset = Asset::new("prices")
    .uri("s3://market/prices.csv")
    .group("market");
/// An asset that is only a name.
const RATES: Asset = Asset::new("rates");
const REPORTS: AssetAlias = AssetAlias::new("reports");
const TODAY: Asset = Asset::new("report_today");

/// What is told with a change.
#[derive(Serialize, Deserialize)]
struct Rows {
    rows: u32,
}

/// Changes all of them.
#[dag]
pub fn produce() {
    fetch_prices().before((fetch_rates(), write_report()));
}

/// Says more of the change than that it happened.
#[task(outlets(PRICES))]
fn fetch_prices(ctx: &Context) -> Result<()> {
    ctx.outlet_event(PRICES, Rows { rows: 120 })
}

/// That it succeeds is all there is to say.
#[task(outlets(RATES))]
fn fetch_rates() {}

/// Finds out which asset it changes.
#[task(outlets(REPORTS))]
fn write_report(ctx: &Context) -> Result<()> {
    ctx.alias_event(REPORTS, TODAY, ())
}

/// Runs when both have changed.
#[dag(schedule_assets = PRICES & RATES)]
pub fn consume() {
    valuate();
}

/// Sees which events made its run, and the latest events of its inlets whatever made it.
#[task(inlets(PRICES))]
fn valuate(ctx: &Context) -> Result<()> {
    for event in ctx.triggering_events() {
        info!("{} changed at {}", event.asset, event.timestamp);
    }
    if let Some(last) = ctx.inlet_events().last() {
        info!("prices have {} rows", last.extra::<Rows>()?.rows);
    }
    Ok(())
}

/// Runs once a day, and besides whenever prices or any report have changed.
#[dag(schedule = "@daily", start_date = "2024-01-01", schedule_assets = PRICES | REPORTS)]
pub fn either_or_daily() {
    refresh();
}

#[task]
fn refresh(ctx: &Context) {
    match ctx.triggering_events() {
        [] => info!("it is time"),
        events => info!("{} events", events.len()),
    }
}
