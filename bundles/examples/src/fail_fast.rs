//! `fail_fast`: the first failure ends the run. What runs is stopped and fails, what has not begun is skipped,
//! and teardowns still run. `max_consecutive_failed_dag_runs` pauses a DAG that fails again and again.

use airlock_sdk::prelude::*;

/// Fails on purpose.
#[dag(fail_fast, max_consecutive_failed_dag_runs = 3)]
pub fn fail_fast() {
    let opened = open();
    let failing = fails();
    failing.after(&opened);
    let never = never_begins();
    never.after(waits_long(&opened));
    close().as_teardown(opened).after((failing, never));
}

#[task(setup)]
fn open() -> u32 {
    1
}

#[task]
fn fails() -> Result<()> {
    Err(fail("on purpose"))
}

/// Still looks when the other task fails.
#[task(sensor, mode = "reschedule", poke_interval = "1m", timeout = "1h")]
fn waits_long(opened: u32) -> bool {
    opened == 0
}

#[task]
fn never_begins() {}

#[task(teardown)]
fn close() {
    info!("closed");
}
