//! A sensor in the mode `defer`: the same function as in any other mode, but between two looks there is neither a slot
//! nor an instance, and the looks themselves run in the trigger phase. What they reach has to be granted for that
//! phase, too.

use airlock_sdk::prelude::*;

/// Waits for something, and uses what it found.
#[dag]
pub fn sensor_deferred() {
    evaluate(arrived());
}

/// Finds something when it has looked for two seconds.
#[task(
    sensor,
    mode = "defer",
    poke_interval = "1s",
    exponential_backoff,
    max_wait = "1m",
    timeout = "10m"
)]
fn arrived(ctx: &Context) -> Poke<String> {
    let waited = jiff::Timestamp::now().duration_since(ctx.first_started_at());
    match waited.as_secs() {
        0 | 1 => Poke::NotYet,
        _ => Poke::Done(format!("a file for {}", ctx.run_id())),
    }
}

#[task]
fn evaluate(found: &str) {
    info!("it was {found}");
}
