//! Tries that leave a trace: each makes a file that is named after its run, its task and its token. The crash
//! tests read from those files what really ran, and hold it against what the host remembers.

use std::fs::OpenOptions;

use airlock_sdk::prelude::*;

/// A diamond for each day of two years.
#[dag(
    schedule = "@daily",
    start_date = "2018-01-01",
    end_date = "2019-12-31",
    catchup
)]
fn ledger() {
    let opened = open();
    let left = enter(&opened);
    let right = enter::with_id("enter_right", &opened);
    close(left, right);
}

/// Makes the file of this try; that it is there already means that two tries had one token.
fn trace(ctx: &Context) -> Result<u64> {
    let book = directory("book")?;
    let name = format!("{}.{}.{}", ctx.run_id(), ctx.task_id(), ctx.token());
    let file = book.join(name.replace([':', '+'], "-"));
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&file)
        .with_context(|| format!("the token of {name} was used before"))?;
    Ok(ctx.token())
}

#[task]
fn open(ctx: &Context) -> Result<u64> {
    trace(ctx)
}

#[task]
fn enter(ctx: &Context, opened: u64) -> Result<u64> {
    ensure!(opened > 0, "`open` had no token");
    trace(ctx)
}

#[task]
fn close(ctx: &Context, left: u64, right: u64) -> Result<u64> {
    ensure!(left > 0 && right > 0, "`enter` had no token");
    trace(ctx)
}

airlock_sdk::bundle!(ledger);
