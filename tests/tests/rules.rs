//! Whole runs, from the guest's definition to the last state in the API, end as Airflow's did.

use std::collections::BTreeMap;

use airlock_tests::{Host, checkout, escape, guest_with};
use serde_json::{Value, json};
use tempfile::TempDir;

#[tokio::test]
async fn every_run_that_airflow_made_ends_here_as_it_did_there() {
    let folder = TempDir::new().unwrap();
    let manifest = "[bundle]\nname = \"rules\"\nversion = \"0.1.0\"\n";
    let bundle = guest_with(folder.path(), "rules", manifest);
    let config = format!(
        "[[team]]\nname = \"rules\"\n[[team.bundle]]\nname = \"rules\"\nsource = \"{}\"\n",
        bundle.display()
    );
    let host = Host::start(&config);
    let file = checkout().join("host/model/tests/vectors/dag_runs.json");
    let cases: Vec<Value> = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    assert!(cases.len() >= 300);
    let mut runs = Vec::new();
    for case in &cases {
        let dag = case["dag_id"].as_str().unwrap();
        runs.push(host.trigger(dag, json!({"logical_date": null})).await);
    }
    let mut wrong: Vec<String> = vec![];
    for (case, run) in cases.iter().zip(runs) {
        let dag = case["dag_id"].as_str().unwrap();
        let ended = host.ended(dag, &run).await;
        let expected = &case["expected"];
        if ended != expected["run_state"].as_str().unwrap() {
            wrong.push(format!("{dag}: {ended}"));
        }
        let path = format!("/dags/{dag}/dagRuns/{}/taskInstances", escape(&run));
        let told = host.get(&path).await;
        let state = |task: &Value| {
            (
                task["task_id"].as_str().unwrap().to_owned(),
                task["state"].clone(),
            )
        };
        let told: BTreeMap<String, Value> = told["task_instances"]
            .as_array()
            .unwrap()
            .iter()
            .map(state)
            .collect();
        let expected: BTreeMap<String, Value> =
            serde_json::from_value(expected["task_states"].clone()).unwrap();
        if told != expected {
            wrong.push(format!("{dag}: {told:?} {expected:?}"));
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}
