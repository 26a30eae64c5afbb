use airlock_sdk::prelude::*;

#[callback]
fn tell(what: &CallbackContext, channel: &str) {}

#[callback(retries = 2)]
fn with_retries(what: &CallbackContext) {}

#[callback]
fn context_of_a_task(what: &Context) {}

#[callback]
fn returns_a_number(what: &CallbackContext) -> u32 {
    3
}

fn ordinary(what: &CallbackContext) {}

#[task(on_failure)]
fn names_none() {}

#[task(on_failed = tell("#a"))]
fn misspelt() {}

#[dag(on_retry = tell("#a"), deadlines = deadline("a", DeadlineReference::QueuedAt, tell("#a")))]
fn not_of_a_dag() {}

fn main() {}
