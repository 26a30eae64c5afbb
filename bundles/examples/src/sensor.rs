//! A sensor waits. Its function looks once, and says whether what it waits for is there; the attribute says how
//! often it is asked, and for how long. In the mode `poke` the try sleeps in between and keeps its slot: for
//! seconds. In the mode `reschedule` it gives the slot back: for minutes and more.

use airlock_sdk::prelude::*;

/// Waits for two things, and uses what one of them found.
#[dag]
pub fn sensor() {
    let arrived = arrived();
    evaluate(arrived).after(settled());
}

/// Finds something when it has looked for a second.
#[task(sensor, mode = "reschedule", poke_interval = "1s", timeout = "10m")]
fn arrived(ctx: &Context) -> Result<Poke<String>> {
    let waited = jiff::Timestamp::now().duration_since(ctx.first_started_at());
    Ok(match waited.as_secs() {
        0 => Poke::NotYet,
        _ => Poke::Done("a file".to_owned()),
    })
}

/// Is content at once. With `soft_fail`, a sensor whose time is over is skipped instead of failed; with
/// `exponential_backoff` each pause is twice the last, up to `max_wait`.
#[task(
    sensor,
    poke_interval = "100ms",
    timeout = "10s",
    soft_fail,
    exponential_backoff,
    max_wait = "1s"
)]
fn settled() -> bool {
    true
}

#[task]
fn evaluate(found: &str) {
    info!("it was {found}");
}
