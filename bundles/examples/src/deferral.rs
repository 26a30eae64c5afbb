//! Deferral: a task that starts something elsewhere, gives its slot back until that is done, and goes on in another
//! function. In between there is no instance, only the trigger's fields and state in the database.

use airlock_sdk::prelude::*;
use serde::{Deserialize, Serialize};

/// Exports two tables, one after the other, in a warehouse that is not there.
#[dag]
pub fn deferral() {
    let rows = export("orders");
    report(rows);
}

/// What the warehouse says of a job that is done.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct JobResult {
    rows: u64,
}

/// A job of the warehouse is done.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct JobDone {
    job: String,
    /// How often it has to be asked.
    steps: u32,
}

#[trigger]
impl Trigger for JobDone {
    /// How often it was asked. A real one would ask over HTTP, and remember what it needs for that.
    type State = u32;
    type Event = JobResult;

    fn poll(&self, asked: &mut u32, _: &TriggerContext) -> Result<Polled<JobResult>> {
        ensure!(!self.job.is_empty(), "a job has a name");
        *asked += 1;
        if *asked < self.steps {
            return Ok(Polled::wait(seconds(1)));
        }
        Ok(Polled::fired(JobResult { rows: 120 }))
    }
}

/// Those that come after it get what `collected` returns in the end. A wait that takes too long, or whose trigger
/// fails, fails this try; then the retries apply.
#[task(retries = 1, retry_delay = "1s")]
fn export(table: &str) -> Result<Deferred<u64>> {
    let job = format!("export of {table}");
    info!("started {job}");
    defer(JobDone { job, steps: 3 })
        .timeout(minutes(10))
        .resume(collected(table, 0))
}

/// Goes on with how the wait ended, and with what `export` gave it. It may wait again.
#[resume]
fn collected(done: Waited<JobResult>, table: &str, before: u64) -> Result<Deferred<u64>> {
    let rows = before + done?.rows;
    info!("{rows} rows, {table} included");
    if table == "customers" {
        return Ok(Deferred::done(rows));
    }
    let job = "export of customers".to_owned();
    defer(JobDone { job, steps: 1 })
        .timeout(minutes(10))
        .resume(collected("customers", rows))
}

#[task]
fn report(rows: u64) {
    info!("{rows} rows in all");
}

#[cfg(test)]
mod tests {
    use airlock_sdk::testing::{self, Outcome, Polling};

    use super::*;

    #[test]
    fn a_job_is_asked_for_until_it_is_done() -> Result<()> {
        let job = "a".to_owned();
        let mut polling = Polling::of(JobDone { job, steps: 3 })?;
        assert_eq!(polling.fires()?, JobResult { rows: 120 });
        assert_eq!(polling.waits(), [seconds(1); 2]);
        Ok(())
    }

    #[test]
    fn two_tables_are_exported_one_after_the_other() -> Result<()> {
        let ctx = Context::builder().build();
        let Ok(Outcome::Deferred(first)) = testing::run::<export>(&ctx, ("orders",)) else {
            bail!("it waits for orders")
        };
        let event = Ok(JobResult { rows: 1 });
        let Ok(Outcome::Deferred(second)) = testing::resume(&ctx, &first, event) else {
            bail!("it waits for customers")
        };
        let end = testing::resume(&ctx, &second, Ok(JobResult { rows: 2 }));
        assert!(
            matches!(&end, Ok(Outcome::Success { value: Some(rows), .. }) if rows == "3"),
            "{end:?}"
        );
        Ok(())
    }

    #[test]
    fn a_wait_that_takes_too_long_fails_the_try() {
        let failure = collected::run(Err(WaitError::TimedOut), "orders", 0);
        assert!(failure.is_err_and(|error| error.is_retryable()));
    }
}
