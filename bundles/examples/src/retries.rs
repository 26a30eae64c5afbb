//! How a try may end other than well: it fails and is tried again, it fails for good, or it is skipped.

use airlock_sdk::prelude::*;

/// One task for each way.
#[dag]
pub fn retries() {
    flaky();
    optional();
    // Runs when it has failed for good, which is what it is there for here.
    recover().after(hopeless());
}

/// Succeeds at the third try. Each pause is twice the last, plus a part that follows from DAG, task and try.
#[task(
    retries = 2,
    retry_delay = "1s",
    retry_exponential_backoff = 2.0,
    max_retry_delay = "2s",
    execution_timeout = "1m"
)]
fn flaky(ctx: &Context) -> Result<u32> {
    ensure!(ctx.try_number() > 2, "not yet, at try {}", ctx.try_number());
    Ok(ctx.try_number())
}

/// Has tries left, and does not want them.
#[task(retries = 5)]
fn hopeless() -> Result<()> {
    Err(fail("the account is closed"))
}

#[task(trigger_rule = "one_failed")]
fn recover() {
    info!("the account was closed; nothing to do");
}

/// Skips itself.
#[task]
fn optional() -> Result<()> {
    Err(skip("there is nothing to do today"))
}
