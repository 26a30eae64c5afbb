//! A short circuit returns whether to go on. If not, all that comes after it is skipped, whatever its trigger
//! rules; with `ignore_downstream_trigger_rules = false` only what comes directly after it is, and what follows
//! is left to its rules.

use airlock_sdk::prelude::*;

/// Works only where there is something to do. Try it with `--conf '{"rows": 0}'`.
#[dag(params(rows = 7))]
pub fn short_circuit() {
    let any = any_rows();
    let loaded = load();
    loaded.after(any);
    always_last().after(loaded);
}

#[task(short_circuit)]
fn any_rows(ctx: &Context) -> Result<bool> {
    Ok(ctx.param::<u64>("rows")? > 0)
}

#[task]
fn load() {}

/// Skipped too, although it would run whatever became of the tasks before it.
#[task(trigger_rule = "all_done")]
fn always_last() {}
