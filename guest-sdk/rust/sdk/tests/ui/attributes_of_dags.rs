use airlock_sdk::prelude::*;

#[dag(schedule = "dayly")]
fn no_schedule() {}

#[dag(schedule = "0 25 * * *")]
fn no_such_hour() {}

#[dag(schedule = "@fortnightly")]
fn no_preset() {}

#[dag(start_date = "2012-02-30", end_date = "soon")]
fn no_dates() {}

#[dag(start_date = "2012-01-02", end_date = "2012-01-01")]
fn ends_before_it_starts() {}

#[dag(schedule = "@daily", catchup)]
fn catches_up_from_nowhere() {}

#[dag(start_date = "2012-01-01", catchup)]
fn catches_up_with_nothing() {}

#[dag(timezone = "Europe/Zuerich")]
fn nowhere() {}

#[dag(tags = "a", owners = [1])]
fn owned_by_a_number() {}

#[dag(params(limit = std::f64::consts::PI))]
fn computed_default() {}

#[dag(max_active_runs = 0, owner = "me")]
fn unknown_key() {}

fn main() {}
