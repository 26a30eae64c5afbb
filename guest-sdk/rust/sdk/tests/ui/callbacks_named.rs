use airlock_sdk::prelude::*;

#[callback]
fn tell(what: &CallbackContext, channel: &str) {}

fn ordinary(what: &CallbackContext) {}

#[task(on_failure = tell)]
fn without_its_argument() {}

#[task(on_failure = ordinary)]
fn no_callback() {}

#[dag(on_failure = tell(3), deadlines = [deadline("a", 10, tell("#a"))])]
fn wrong_arguments() {}

fn main() {}
