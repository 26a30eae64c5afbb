//! Tasks that wait, in great numbers, and callbacks that say when they were called.

use std::{fs, time::Duration};

use airlock_sdk::prelude::*;
use serde::{Deserialize, Serialize};

/// So many tasks, each of which waits for a moment of its own: from a time in microseconds on, spread over so many.
#[dag(max_active_tasks = 1000, params(count = 1000, from = 0, over = 0))]
fn times() {
    waits::expand(each(numbers()));
}

#[task]
fn waits(ctx: &Context, number: u32) -> Result<Deferred<()>> {
    let (count, from, over): (i64, i64, i64) =
        (ctx.param("count")?, ctx.param("from")?, ctx.param("over")?);
    let at = jiff::Timestamp::from_microsecond(from + over * i64::from(number) / count)?;
    defer(wait::at(at)).resume(goes_on())
}

#[resume]
fn goes_on(time: Waited<wait::Time>) -> Result<()> {
    time?;
    Ok(())
}

/// So many tasks, each with a trigger of its own that is polled every so many seconds until a time.
#[dag(max_active_tasks = 1000, params(count = 1000, every = 60, until = 0))]
fn polls() {
    watches::expand(each(numbers()));
}

#[task]
fn numbers(ctx: &Context) -> Result<Vec<u32>> {
    Ok((0..ctx.param("count")?).collect())
}

#[task]
fn watches(ctx: &Context, _number: u32) -> Result<Deferred<()>> {
    let (every, until) = (ctx.param("every")?, ctx.param("until")?);
    defer(Clock { every, until }).resume(seen())
}

#[resume]
fn seen(event: Waited<u64>) -> Result<()> {
    event?;
    Ok(())
}

/// One task whose trigger fires at a time.
#[dag(params(until = 0))]
fn beat() {
    listens();
}

#[task]
fn listens(ctx: &Context) -> Result<Deferred<()>> {
    let until: i64 = ctx.param("until")?;
    defer(Moment { until }).resume(seen())
}

/// Looks at the clock every so often.
#[derive(Serialize, Deserialize)]
struct Clock {
    every: u64,
    until: i64,
}

#[trigger]
impl Trigger for Clock {
    type State = u64;
    type Event = u64;

    fn poll(&self, polls: &mut u64, _: &TriggerContext) -> Result<Polled<u64>> {
        *polls += 1;
        match jiff::Timestamp::now().as_microsecond() >= self.until {
            true => Ok(Polled::fired(*polls)),
            false => Ok(Polled::wait(seconds(self.every))),
        }
    }
}

/// Fires at a time.
#[derive(Serialize, Deserialize)]
struct Moment {
    until: i64,
}

#[trigger]
impl Trigger for Moment {
    type State = ();
    type Event = u64;

    fn poll(&self, _: &mut (), context: &TriggerContext) -> Result<Polled<u64>> {
        let left = self.until - jiff::Timestamp::now().as_microsecond();
        match u64::try_from(left) {
            Ok(left) if left > 0 => Ok(Polled::wait(Duration::from_micros(left))),
            _ => Ok(Polled::fired(context.polls())),
        }
    }
}

/// Fails, and has a callback write when it was called.
#[dag]
fn tells() {
    fails();
}

#[task(on_failure = writes(0))]
fn fails() -> Result<()> {
    bail!("as planned")
}

/// The same with a callback that takes long, so that a host can be killed meanwhile.
#[dag]
fn tells_slowly() {
    fails_too();
}

#[task(on_failure = writes(20))]
fn fails_too() -> Result<()> {
    bail!("as planned")
}

/// Writes when it was called, by run and execution.
#[callback]
fn writes(what: &CallbackContext, sleep: u64) -> Result<()> {
    let now = jiff::Timestamp::now().as_microsecond();
    let name = format!("{}.{}", what.run_id(), what.execution());
    let folder = directory("out")?;
    fs::write(folder.join("new"), now.to_string())?;
    fs::rename(folder.join("new"), folder.join(name))?;
    if what.execution() == 1 {
        std::thread::sleep(seconds(sleep));
    }
    Ok(())
}

airlock_sdk::bundle!(times, polls, beat, tells, tells_slowly);
