//! The DAG runs that Airflow itself made, as DAGs: each task ends as it is planned to, if it gets to run.

use hostile_raw::{
    airlock::bundle::definitions::{Dag, Parsed, TriggerRule, WeightRule},
    dag,
    exports::airlock::bundle::{dags, tasks},
    parsed, success, task,
};
use serde::Deserialize;

const RUNS: &str = include_str!("../../../../host/model/tests/vectors/dag_runs.json");

#[derive(Deserialize)]
struct PlannedTask {
    task_id: String,
    trigger_rule: String,
    outcome: String,
}

#[derive(Deserialize)]
struct PlannedRun {
    dag_id: String,
    tasks: Vec<PlannedTask>,
    edges: Vec<(String, String)>,
}

fn rule(name: &str) -> TriggerRule {
    match name {
        "all_failed" => TriggerRule::AllFailed,
        "all_done" => TriggerRule::AllDone,
        "all_skipped" => TriggerRule::AllSkipped,
        "one_success" => TriggerRule::OneSuccess,
        "one_failed" => TriggerRule::OneFailed,
        "one_done" => TriggerRule::OneDone,
        "none_failed" => TriggerRule::NoneFailed,
        "none_failed_min_one_success" => TriggerRule::NoneFailedMinOneSuccess,
        "none_skipped" => TriggerRule::NoneSkipped,
        "all_done_min_one_success" => TriggerRule::AllDoneMinOneSuccess,
        "all_done_setup_success" => TriggerRule::AllDoneSetupSuccess,
        "always" => TriggerRule::Always,
        _ => TriggerRule::AllSuccess,
    }
}

/// How many tasks lie one after the other before this one, at the most.
fn depth(edges: &[(String, String)], task: &str) -> i32 {
    let ups = edges.iter().filter(|(_, to)| to == task);
    ups.map(|(from, _)| depth(edges, from) + 1)
        .max()
        .unwrap_or(0)
}

fn planned(run: PlannedRun) -> Dag {
    let tasks = run.tasks.iter().map(|planned| {
        let ups = run.edges.iter().filter(|(_, to)| *to == planned.task_id);
        let ups: Vec<&str> = ups.map(|(from, _)| from.as_str()).collect();
        let mut task = task(&planned.task_id, &planned.outcome, &ups);
        task.trigger_rule = rule(&planned.trigger_rule);
        task.weight_rule = WeightRule::Absolute;
        task.priority_weight = -depth(&run.edges, &planned.task_id);
        task
    });
    let tasks = tasks.collect();
    Dag {
        // What the rules say may depend on which of two tasks that are ready ends first: one at a time, those
        // nearer to the beginning first.
        max_active_tasks: Some(1),
        ..dag(&run.dag_id, tasks)
    }
}

struct Rules;

impl dags::Guest for Rules {
    fn parse() -> Parsed {
        let runs: Vec<PlannedRun> = serde_json::from_str(RUNS).unwrap_or_default();
        parsed(runs.into_iter().map(planned).collect())
    }
}

impl tasks::Guest for Rules {
    fn run(
        entry: String,
        _: tasks::Context,
        _: Vec<String>,
    ) -> Result<tasks::Outcome, tasks::Failure> {
        match entry.as_str() {
            "success" => Ok(success(None)),
            "skipped" => Ok(tasks::Outcome::Skipped("as planned".to_owned())),
            _ => Err(tasks::Failure {
                message: "as planned".to_owned(),
                causes: Vec::new(),
                retry: false,
                location: None,
            }),
        }
    }
}

hostile_raw::export!(Rules with_types_in hostile_raw);
