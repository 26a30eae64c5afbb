//! The task that lets only the latest run go on.

use crate::Output;

/// A task that skips the tasks directly after it, unless the run is the latest: while the past is made up
/// for, what follows runs once, for the present. A run that was triggered by hand always goes on (Airflow
/// 3.3.2, `LatestOnlyOperator`).
///
/// ```
/// # use airlock_sdk::prelude::*;
/// # #[task] fn load() {}
/// # #[task] fn notify() {}
/// #[dag(schedule = "@daily", start_date = "2024-01-01", catchup)]
/// fn figures() {
///     let loaded = load();
///     let latest = latest_only();
///     notify().after((loaded, latest)); // once, not for each day of the past
/// }
/// ```
#[track_caller]
pub fn latest_only() -> Output<bool> {
    task::latest_only()
}

mod task {
    use crate::Context;

    #[crate::task(short_circuit, ignore_downstream_trigger_rules = false)]
    pub(super) fn latest_only(ctx: &Context) -> bool {
        ctx.run_type() == "manual" || ctx.is_latest()
    }
}
