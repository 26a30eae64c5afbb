//! What runs at once, and what first: pools, slots, priorities, and bounds of a single task.

use airlock_sdk::prelude::*;

/// Reports of different weight, of which no more run at once than there are slots.
#[dag(max_active_tasks = 4, max_active_runs = 2)]
pub fn pools_priority() {
    large();
    urgent().before(small::expand(each([1, 2, 3])));
}

/// Takes two slots of its pool. Without `pool`, it is the team's default pool.
#[task(pool = "default_pool", pool_slots = 2)]
fn large() {}

/// Starts first where slots are few. Its priority is its own weight alone; otherwise what waits for it counts.
#[task(priority_weight = 100, weight_rule = "absolute")]
fn urgent() {}

/// At most two instances at once in a run, and three over all runs.
#[task(max_active_tis_per_dagrun = 2, max_active_tis_per_dag = 3)]
fn small(number: u32) -> u32 {
    number
}
