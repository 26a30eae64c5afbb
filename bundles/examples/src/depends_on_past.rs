//! Runs that build on the runs before them: a task with `depends_on_past` starts when its instance in the run
//! before has succeeded or was skipped, so that days are worked off one after the other although several runs
//! are active.

use airlock_sdk::prelude::*;

/// Each day's balance is the day before's and the day's movements.
#[dag(
    schedule = "@daily",
    start_date = "2024-01-01",
    end_date = "2024-01-05",
    catchup
)]
pub fn balance() {
    let movements = movements();
    close(add(movements));
}

/// Does not mind the order of days.
#[task]
fn movements(ctx: &Context) -> Result<i64> {
    Ok(i64::from(ctx.date()?.day()))
}

/// Does. With `wait_for_downstream`, it also waits for `close` of the day before.
#[task(depends_on_past, wait_for_downstream)]
fn add(movements: i64) -> i64 {
    movements
}

#[task]
fn close(balance: i64) {
    info!("the balance is {balance}");
}
