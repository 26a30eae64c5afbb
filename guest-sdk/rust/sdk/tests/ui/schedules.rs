use airlock_sdk::prelude::*;

const PRICES: Asset = Asset::new("prices");

#[dag(schedule = ["@daily", "every 1h"])]
fn mixed() {}

#[dag(schedule = ["0 6 * * *", "0 25 * * *"])]
fn one_is_wrong() {}

#[dag(schedule = ["0 6 * * *", "0 7 * * *"], data_interval)]
fn no_one_interval() {}

#[dag(schedule = "@once", data_interval = "1d")]
fn no_interval() {}

#[dag(schedule = "every 1h", run_immediately)]
fn no_ticks() {}

#[dag(schedule = "@continuous")]
fn many_at_once() {}

#[dag(schedule = "@daily", timetable = 3)]
fn two_of_them() {}

#[dag(timetable = 3)]
fn no_timetable() {}

#[dag(schedule_assets = PRICES + PRICES)]
fn added() {}

#[dag(schedule_assets = "prices")]
fn no_constant() {}

#[dag(params(limit(defualt = 3)))]
fn misspelt_param() {}

fn main() {}
