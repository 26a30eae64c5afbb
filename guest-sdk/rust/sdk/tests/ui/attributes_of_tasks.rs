use airlock_sdk::prelude::*;

#[task(retrys = 2)]
fn misspelt() {}

#[task(trigger_rule = "all_dun")]
fn unknown_rule() {}

#[task(retry_delay = "30")]
fn duration_without_unit() {}

#[task(retry_delay = 30)]
fn duration_as_number() {}

#[task(retries = -1, pool_slots = 0, execution_timeout = "0s", retry_exponential_backoff = -2.0)]
fn out_of_range() {}

#[task(pool = "a", pool = "b")]
fn twice() {}

#[task(task_id = "two words")]
fn bad_id() {}

fn main() {}
