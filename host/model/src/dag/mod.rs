//! DAG definitions: what a parse gives ([`DagSpec`]), and the same once it is known to be right ([`Dag`]).
//!
//! A spec is plain data from a guest and may hold any nonsense. [`Dag::new`] is the one way to a `Dag`, so
//! that everything behind it relies on unique ids, upstream tasks that exist, and no cycle. All mistakes
//! are reported at once, each with its task, field and fix.

mod check;
pub mod mapping;
mod mistake;
mod order;
mod relations;
mod schedule;
mod spec;
mod valid;

#[cfg(test)]
pub(crate) mod tests;

pub use check::asset::asset_name;
pub use mapping::{Mapped, Part, Values};
pub use mistake::{DefinitionError, Mistake};
pub use schedule::{CronLine, CustomSchedule, Delta, RunImmediately, Schedule};
pub use spec::{
    Argument, AssetCondition, AssetRef, AssetSpec, DagSpec, GroupSpec, Location, MappedParameter,
    Mapping, ParamSpec, Role, Source, TaskSpec, WatcherSpec, WeightRule,
};
pub use valid::{Dag, GroupIndex, Input, MappedGroup, Task};

use crate::id::TaskIndex;

/// The most tasks that one DAG may have.
pub const MAX_TASKS: usize = 20_000;
/// The most instances that one mapped task may have.
pub const MAX_INSTANCES: u32 = 100_000;
/// Active runs of a DAG that does not say how many (Airflow 3.3.2, `[core] max_active_runs_per_dag`).
pub const DEFAULT_MAX_ACTIVE_RUNS: u32 = 16;
/// Tasks at once in a run of a DAG that does not say how many (Airflow 3.3.2, `[core] max_active_tasks_per_dag`).
pub const DEFAULT_MAX_ACTIVE_TASKS: u32 = 16;

#[expect(
    clippy::cast_possible_truncation,
    reason = "a DAG has at most MAX_TASKS tasks"
)]
pub(crate) const fn index(i: usize) -> TaskIndex {
    TaskIndex(i as u32)
}
