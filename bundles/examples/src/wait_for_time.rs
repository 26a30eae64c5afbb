//! Waiting for a time. Nothing of the bundle runs meanwhile: a hundred thousand such waits are as many rows.

use airlock_sdk::prelude::*;

/// Waits for a moment after the run's start, and then a little more.
#[dag]
pub fn wait_for_time() {
    shout(until_soon());
}

#[task]
fn until_soon(ctx: &Context) -> Result<Deferred<String>> {
    let soon = ctx.first_started_at().checked_add(seconds(1))?;
    defer(wait::at(soon)).resume(then())
}

#[resume]
fn then(time: Waited<wait::Time>) -> Result<Deferred<String>> {
    let at = time?.at;
    defer(wait::after(seconds(1))).resume(finally(at))
}

#[resume]
fn finally(time: Waited<wait::Time>, before: jiff::Timestamp) -> Result<String> {
    Ok(format!("{before}, and then {}", time?.at))
}

#[task]
fn shout(times: &str) {
    info!("it was {times}");
}
