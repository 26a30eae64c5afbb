//! More ready tasks than anybody should have: what stands in nobody else's way.

use airlock_sdk::prelude::*;

/// A hundred thousand instances of a task that does nothing.
#[dag(max_active_tasks = 1000)]
fn crowd() {
    nothing::expand(each(numbers()));
}

#[task]
fn nothing(_number: u32) {}

#[task]
fn numbers() -> Vec<u32> {
    (0..100_000).collect()
}

airlock_sdk::bundle!(crowd);
