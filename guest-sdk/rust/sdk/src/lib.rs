//! Write Airlock DAGs and tasks as ordinary Rust functions.
//!
//! ```
//! use airlock_sdk::prelude::*;
//!
//! /// Counts the words of a text, once a day.
//! #[dag(schedule = "@daily", start_date = "2024-01-01", tags = ["example"])]
//! fn words() {
//!     let text = read();          // calling a task adds it to the graph …
//!     let count = count(text);    // … and its result is a typed XCom: wiring a wrong type
//!     report(count);              //    does not compile
//! }
//!
//! #[task(retries = 2, retry_delay = "30s")]
//! fn read(ctx: &Context) -> Result<String> {
//!     let path = directory("texts")?.join(format!("{}.txt", ctx.date()?));
//!     Ok(std::fs::read_to_string(path)?)
//! }
//!
//! #[task]
//! fn count(text: String) -> usize {
//!     text.split_whitespace().count()
//! }
//!
//! #[task]
//! fn report(count: usize) {
//!     info!("{count} words");
//! }
//!
//! airlock_sdk::bundle!(words);
//!
//! // A task's code is an ordinary function, for tests and other callers:
//! assert_eq!(count::run("to be or not to be".to_owned()), 6);
//! ```
//!
//! # DAGs
//! `#[dag(…)]` on a function without parameters makes it a DAG of that name. In the brackets, all optional:
//!
//! | key | value | default |
//! |---|---|---|
//! | `dag_id` | text | the function's name |
//! | `description` | text | the doc comment |
//! | `schedule` | `"@daily"` and Airflow's other presets, a crontab line (`"0 6 * * 1-5"`; a sixth field is seconds) or a list of such, `"every 30m"`, `"every 1mo"`, `"@once"`, `"@continuous"` | only runs by hand |
//! | `data_interval` | alone: a run covers the time between two ticks, and comes at its end. `"1d"`: it covers so much before its tick | a run covers its tick |
//! | `run_immediately` | alone, or a duration: what a DAG without a start date does first about the tick before | a run for it, if it is hardly past |
//! | `timetable` | a value whose type is a [`Timetable`] | none |
//! | `schedule_assets` | [`Asset`]s joined by `&` and `\|`: their changes make runs, besides what `schedule` says | none |
//! | `timezone` | IANA name; crontab lines and dates are read in it | UTC |
//! | `start_date`, `end_date` | `"2012-01-31"`, with a time (`T06:00`) and an offset (`Z`) if wanted | none |
//! | `catchup` | alone, or `= true` | `false` |
//! | `max_active_runs`, `max_active_tasks` | number | the host's |
//! | `dagrun_timeout` | duration | none |
//! | `tags`, `owners` | list of texts | none |
//! | `params` | `params(city = "Seattle", limit(default = 10, schema = r#"{"type": "integer"}"#, description = "rows"), must_be_given)` | none |
//! | `fail_fast` | alone: the first failure ends the run | `false` |
//! | `max_consecutive_failed_dag_runs` | number: after so many failed runs in a row the DAG is paused | never |
//! | `on_success`, `on_failure` | a [`Callback`], or a list of them | none |
//! | `deadlines` | a list of [`deadline`]s | none |
//!
//! # Tasks
//! `#[task(…)]` on a function makes it a task of that name. It may take `&Context` first; its other
//! parameters and what it returns cross between tasks as JSON, so they are types of `serde`. It returns
//! nothing, a value, or a [`Result`].
//!
//! | key | value | default |
//! |---|---|---|
//! | `task_id` | text | the function's name |
//! | `retries` | number | 0 |
//! | `retry_delay` | duration | `"5m"` |
//! | `retry_exponential_backoff` | factor, or `true` for 2 | none |
//! | `max_retry_delay` | duration | none |
//! | `execution_timeout` | duration, of one try | none |
//! | `trigger_rule` | one of Airflow's, such as `"all_done"` | `"all_success"` |
//! | `pool`, `pool_slots` | text, number | the team's default pool, 1 |
//! | `priority_weight`, `weight_rule` | number, and `"downstream"`, `"upstream"` or `"absolute"` | 1, `"downstream"` |
//! | `depends_on_past`, `wait_for_downstream` | alone: only after its instance of the run before, and what came after that | `false` |
//! | `ignore_first_depends_on_past` | whether a new task may start without one | `true` |
//! | `max_active_tis_per_dag`, `max_active_tis_per_dagrun` | number: instances at once | none |
//! | `setup`, `teardown`, `on_failure_fail_dagrun` | alone: see [`Output::as_teardown`] | |
//! | `branch`, `short_circuit` | alone: the answer says what comes after it; see [`Branch`] | |
//! | `ignore_downstream_trigger_rules` | of a short circuit: whether it skips all that comes after | `true` |
//! | `sensor` | alone: the answer is a `bool` or a [`Poke`] | |
//! | `poke_interval`, `timeout` | of a sensor: durations | `"1m"`, `"7d"` |
//! | `mode` | of a sensor: `"poke"`, or `"reschedule"` or `"defer"`, which give the slot back | `"poke"` |
//! | `soft_fail`, `exponential_backoff`, `max_wait` | of a sensor: skipped instead of failed; pauses that double, up to a bound | |
//! | `inlets`, `outlets` | `outlets(PRICES, RATES)`: [`Asset`]s that it wants to see, or changes | none |
//! | `on_execute`, `on_success`, `on_failure`, `on_retry`, `on_skip` | a [`Callback`], or a list of them | none |
//! | `doc` | text | the doc comment |
//!
//! A duration is a text of numbers with units (`ms`, `s`, `m`, `h`, `d`, `w`): `"30s"`, `"1h30m"`.
//!
//! For a task function `check`, there is
//! - `check(reading)`, in a DAG function: adds the task, and gives its [`Output`]. Each parameter takes the
//!   output of another task, or a plain value;
//! - `check::with_id("check_again", reading)`: the same, under an id of its own, which a second call in the
//!   same DAG needs;
//! - `check::expand(each(readings))`: many of it, one for each value of a list ([`each`]), and
//!   `check::expand_kwargs(objects)`;
//! - `check::ID`: its id;
//! - `check::run(reading)`: the function as it was written.
//!
//! So the function's name is that of a type too, and no module or type beside it may bear it.
//!
//! Order without data is said with [`Tasks::before`] and [`Tasks::after`]. Tasks that belong together stand in a
//! [`group`]. What holds for one call only is said of its output: [`Output::id`], [`Output::with`],
//! [`Output::as_teardown`].
//!
//! # Waiting and reacting
//! A task that returns a [`Deferred`] may give its slot back until something happens ([`defer`]): what the host sees by
//! itself ([`wait`]), or what a [`Trigger`] of the bundle says. An asset may be watched by either ([`Asset::watch`]).
//! A [`Callback`] hears of what became of tasks and runs.
//!
//! # What a task may reach
//! Nothing, until `bundle.toml` asks for it and the team grants it: [`variable`], [`connection`],
//! [`database`], [`directory`], [`http`]. Its own log (through the `log` crate, or `println!`) and its [`xcom`]s need no
//! grant.

// The macros speak of the crate by its name, and so may be used in it.
extern crate self as airlock_sdk;

mod argument;
mod asset;
mod branch;
mod callback;
pub mod capability;
#[cfg(target_arch = "wasm32")]
mod component;
mod context;
mod deferral;
pub mod definition;
mod error;
mod graph;
mod group;
mod latest;
mod length;
mod mapping;
mod outcome;
mod output;
mod registry;
mod sensor;
#[cfg(not(target_arch = "wasm32"))]
pub mod testing;
#[cfg(test)]
mod tests;
mod timetable;
mod trigger;
pub mod wait;

#[cfg(target_arch = "wasm32")]
#[path = "host/wasm.rs"]
mod host;
#[cfg(not(target_arch = "wasm32"))]
#[path = "host/native.rs"]
mod host;

#[cfg(target_arch = "wasm32")]
#[doc(hidden)]
pub mod bindings {
    wit_bindgen::generate!({
        path: ["../../../wit/capability", "../../../wit/bundle"],
        world: "airlock:bundle/full-bundle",
        pub_export_macro: true,
        export_macro_name: "export",
        default_bindings_module: "airlock_sdk::__private::bindings",
        generate_all,
    });
}

pub use airlock_sdk_macros::{callback, dag, resume, task, trigger};
pub use argument::IntoArgument;
pub use asset::{
    Asset, AssetAlias, AssetCondition, AssetEvent, AssetRef, EventSource, OutletEvent, Watcher,
};
pub use branch::{Branch, BranchAnswer, CircuitAnswer};
pub use callback::{
    Attempt, Callback, CallbackContext, CallbackKind, Deadline, DeadlineReference, DeadlineTime,
    IntoCallback, MissedDeadline, deadline,
};
pub use capability::{
    connection, directory, http, sql, sql::database, variable, variable_json, variable_or, xcom,
};
pub use context::{Context, ContextBuilder};
pub use deferral::{Defer, Deferral, Deferred, Resume, WaitError, Waited, defer};
pub use error::{Error, Result, ResultExt, fail, skip};
pub use group::{Expansion, Group, GroupOutput, TaskGroup, group};
pub use jiff;
pub use latest::latest_only;
pub use length::{days, hours, minutes, seconds};
pub use mapping::{Each, IntoMapped, IntoSource, Part, Zip, each, zip, zip_longest, zip3};
pub use output::{Output, Tasks};
pub use sensor::{Poke, SensorAnswer};
pub use timetable::{Restriction, RunInfo, Timetable};
pub use trigger::{Every, Polled, Trigger, TriggerContext, Waiting, every};
pub use wait::WaitFor;

/// What a bundle's source usually needs: `use airlock_sdk::prelude::*;`.
pub mod prelude {
    pub use crate::{
        Asset, AssetAlias, Branch, CallbackContext, Context, DeadlineReference, Deferred, Error,
        Group, Output, Part, Poke, Polled, Restriction, Result, ResultExt as _, RunInfo, TaskGroup,
        Tasks as _, Timetable, Trigger, TriggerContext, WaitError, Waited, bail, callback,
        connection, dag, database, days, deadline, defer, directory, each, ensure, every, fail,
        group, hours, http, jiff, latest_only, minutes, resume, seconds, skip, task, trigger,
        variable, variable_json, variable_or, wait, xcom, zip, zip_longest, zip3,
    };
    pub use log::{debug, error, info, trace, warn};
}

/// What the macros' code calls. Not for authors.
#[doc(hidden)]
pub mod __private {
    pub use crate::{
        argument::{Arguments, Wire, decode},
        callback::{
            CallbackCode, CallbackResult, CallbackSpec, arguments as callback_arguments, callback,
        },
        deferral::{ResumeCode, WaitEnd, arguments as resume_arguments, finish_deferred, resume},
        definition::{DagResult, TaskSource},
        graph::{add, expand, expand_kwargs},
        outcome::{Failure, Outcome, finish_branch, finish_circuit, finish_error, finish_value},
        registry::{Registered, RegisteredCallback, RegisteredResume, RegisteredTrigger},
        sensor::{PokeMode, Sensor, SensorCode, poked, poked_result, run as run_sensor},
        timetable::{custom, describe},
        trigger::{TriggerSource, code as trigger_code},
    };
    pub use inventory;
    pub use serde;

    #[cfg(target_arch = "wasm32")]
    pub use crate::{
        bindings,
        component::{Bundle, Component},
    };
}

/// Names the DAGs of the bundle and makes the crate a bundle: once, at the crate's root.
///
/// ```
/// # use airlock_sdk::prelude::*;
/// # #[dag] fn weather() {}
/// # mod finance { use airlock_sdk::prelude::*; #[dag] pub fn rates() {} }
/// airlock_sdk::bundle!(weather, finance::rates);
/// ```
#[macro_export]
macro_rules! bundle {
    ($($dag:path),+ $(,)?) => {
        const _: () = {
            const DAGS: &[&$crate::definition::DagSpec] =
                &[$(<$dag as $crate::definition::DagSource>::SPEC),+];

            // A test of the bundle's code knows its DAGs, too: what only they use is used.
            #[cfg(not(target_arch = "wasm32"))]
            const _: usize = DAGS.len();

            #[cfg(target_arch = "wasm32")]
            struct Bundle;
            #[cfg(target_arch = "wasm32")]
            impl $crate::__private::Bundle for Bundle {
                const DAGS: &'static [&'static $crate::definition::DagSpec] = DAGS;
            }
            #[cfg(target_arch = "wasm32")]
            type Component = $crate::__private::Component<Bundle>;
            #[cfg(target_arch = "wasm32")]
            $crate::__private::bindings::export!(Component with_types_in $crate::__private::bindings);
        };
    };
}
