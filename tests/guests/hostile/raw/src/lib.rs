//! The border without the SDK, for guests that do what the SDK would not.

#[expect(missing_docs, reason = "generated")]
mod generated {
    wit_bindgen::generate!({
        path: ["../../../../wit/capability", "../../../../wit/bundle"],
        world: "airlock:bundle/bundle",
        pub_export_macro: true,
        export_macro_name: "export",
        generate_all,
    });
}

pub use generated::*;

use exports::airlock::bundle::tasks;

use airlock::bundle::definitions::{Dag, Parsed, Role, Schedule, Task, TriggerRule, WeightRule};

/// A task that runs `entry` and waits for `upstream`.
#[must_use]
pub fn task(task_id: &str, entry: &str, upstream: &[&str]) -> Task {
    Task {
        task_id: task_id.to_owned(),
        entry: entry.to_owned(),
        arguments: Vec::new(),
        upstream: upstream.iter().map(|&id| id.to_owned()).collect(),
        trigger_rule: TriggerRule::AllSuccess,
        retries: 0,
        retry_delay: 0,
        retry_exponential_backoff: 0.0,
        max_retry_delay: None,
        execution_timeout: None,
        pool: None,
        pool_slots: 1,
        priority_weight: 1,
        weight_rule: WeightRule::Downstream,
        group: None,
        mapping: None,
        role: Role::Work,
        depends_on_past: false,
        wait_for_downstream: false,
        ignore_first_depends_on_past: true,
        max_active_tis_per_dag: None,
        max_active_tis_per_dagrun: None,
        inlets: Vec::new(),
        outlets: Vec::new(),
        callbacks: Vec::new(),
        doc: None,
        location: None,
    }
}

/// A DAG without schedule.
#[must_use]
pub fn dag(dag_id: &str, tasks: Vec<Task>) -> Dag {
    Dag {
        dag_id: dag_id.to_owned(),
        description: None,
        schedule: Schedule::None,
        start_date: None,
        end_date: None,
        catchup: false,
        max_active_runs: None,
        max_active_tasks: None,
        dagrun_timeout: None,
        tags: Vec::new(),
        owners: Vec::new(),
        params: Vec::new(),
        fail_fast: false,
        max_consecutive_failed_dag_runs: 0,
        assets: Vec::new(),
        asset_condition: Vec::new(),
        callbacks: Vec::new(),
        deadlines: Vec::new(),
        groups: Vec::new(),
        tasks,
        location: None,
    }
}

/// How a task ends that did what it is for.
#[must_use]
pub const fn success(return_value: Option<String>) -> tasks::Outcome {
    tasks::Outcome::Success(tasks::Success {
        return_value,
        downstream: tasks::Downstream::Free,
        outlet_events: Vec::new(),
    })
}

/// What a parse gives.
#[must_use]
pub const fn parsed(dags: Vec<Dag>) -> Parsed {
    Parsed {
        dags,
        errors: Vec::new(),
    }
}

/// Exports a guest whose parse is this function, and whose tasks do nothing.
#[macro_export]
macro_rules! parses {
    ($parse:path) => {
        struct Attack;

        impl $crate::exports::airlock::bundle::dags::Guest for Attack {
            fn parse() -> $crate::airlock::bundle::definitions::Parsed {
                $parse()
            }
        }

        impl $crate::exports::airlock::bundle::tasks::Guest for Attack {
            fn run(
                _: String,
                _: $crate::exports::airlock::bundle::tasks::Context,
                _: Vec<String>,
            ) -> Result<
                $crate::exports::airlock::bundle::tasks::Outcome,
                $crate::exports::airlock::bundle::tasks::Failure,
            > {
                Ok($crate::success(None))
            }
        }

        $crate::export!(Attack with_types_in $crate);
    };
}
