//! DAGs of tasks that do nothing: what a run of them costs is what Airlock itself costs.

use airlock_sdk::prelude::*;

/// Fifty tasks, each waiting for the one before it.
#[dag(max_active_tasks = 16)]
fn chain50() {
    let mut last = noop::with_id("step_01");
    for step in 2..=50 {
        let next = noop::with_id(format!("step_{step:02}"));
        next.after(last);
        last = next;
    }
}

/// A thousand tasks that wait for nothing.
#[dag(max_active_tasks = 1000)]
fn wide1000() {
    for task in 1..=1000 {
        noop::with_id(format!("task_{task:04}"));
    }
}

/// One task.
#[dag]
fn single() {
    noop();
}

/// Ten thousand instances of one task.
#[dag(max_active_tasks = 1000)]
fn mapped10000() {
    noop_of::expand(each(numbers()));
}

/// Three tasks a day, with years that can be run again.
#[dag(schedule = "@daily", start_date = "2010-01-01")]
fn daily3() {
    let (first, second, third) = (
        noop::with_id("first"),
        noop::with_id("second"),
        noop::with_id("third"),
    );
    second.after(first);
    third.after(second);
}

#[task]
fn noop() {}

#[task]
fn noop_of(_number: u32) {}

#[task]
fn numbers() -> Vec<u32> {
    (0..10_000).collect()
}

airlock_sdk::bundle!(chain50, wide1000, single, mapped10000, daily3);
