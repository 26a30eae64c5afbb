//! What an operator sees of what waits and reacts, and what can be done about it: by the commands, against a host that
//! runs the examples.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::path::Path;

use airlock_tests::{Host, escape, example, examples_assets, guest_with};
use serde_json::{Value, json};

/// The examples, with the directories that they ask for in this folder, and leave to call an address for which none
/// asks: the one that they ask for is denied.
fn configuration(folder: &Path) -> String {
    let directory = |path: &str, mode: &str| {
        let host = folder.join(path);
        format!(
            "[[team.bundle.grant.directory]]\npath = \"{path}\"\nhost = \"{}\"\nmode = \"{mode}\"\n",
            host.display()
        )
    };
    format!(
        "[callbacks]\ntries = 1\n[[team]]\nname = \"research\"\n[[team.bundle]]\nname = \"examples\"\n\
         source = \"{}\"\n{}{}[[team.bundle.grant.http]]\nurl = \"http://127.0.0.1:18181/nothing/*\"\nmethods = [\"GET\"]\n{}",
        example("examples").display(),
        directory("inbox", "read"),
        directory("outbox", "read-write"),
        examples_assets(),
    )
}

/// A host with an inbox, and nothing where the outbox should be.
fn host(folder: &Path) -> Host {
    std::fs::create_dir(folder.join("inbox")).unwrap();
    Host::start(&configuration(folder))
}

fn names(list: &Value, field: &str) -> Vec<String> {
    let items = list.as_array().unwrap();
    let name = |item: &Value| item[field].as_str().unwrap_or_default().to_owned();
    items.iter().map(name).collect()
}

#[tokio::test]
async fn a_callback_that_failed_for_good_is_shown_and_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    let host = host(folder.path());
    let run = host
        .trigger("callbacks_of_success", json!({"logical_date": null}))
        .await;
    assert_eq!(host.ended("callbacks_of_success", &run).await, "success");
    let in_state = async |state: &str| {
        let path = format!("/callbacks?dag_id=callbacks_of_success&state={state}");
        host.get(&path).await["total_entries"].as_u64().unwrap()
    };
    host.until("three failures", async || {
        (in_state("failed").await == 3).then_some(())
    })
    .await;
    let failed = host.cli_json(&["callbacks", "list", "--state", "failed"]);
    let mut kinds = names(&failed, "kind");
    kinds.sort();
    assert_eq!(kinds, ["dag_success", "task_execute", "task_success"]);
    let id = failed[0]["id"].as_str().unwrap();
    let one = host.cli_json(&["callbacks", "show", id]);
    assert_eq!(one["bundle_name"], "examples");
    let note = one["note"].as_str().unwrap();
    assert!(note.contains("outbox"), "{note}");
    let metrics = host.metrics().await;
    for line in [
        r#"airlock_callbacks{team="research",state="failed"} 3"#,
        r#"airlock_callbacks_failed_total{team="research"} 3"#,
    ] {
        assert!(metrics.contains(line), "{line}\nis not in\n{metrics}");
    }

    let outbox = folder.path().join("outbox");
    std::fs::create_dir(&outbox).unwrap();
    let ids = names(&failed, "id");
    let mut retry = vec!["callbacks", "retry"];
    retry.extend(ids.iter().map(String::as_str));
    let retried = host.cli_json(&retry);
    assert_eq!(names(&retried, "id"), ids);
    host.until("three successes", async || {
        (in_state("success").await == 3).then_some(())
    })
    .await;
    assert_eq!(std::fs::read_dir(&outbox).unwrap().count(), 3);
    let refused = host.cli(&["callbacks", "retry", id]);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(said.contains("AL-0706"), "{said}");
}

#[tokio::test]
async fn who_waits_for_what_is_shown_and_the_wait_can_be_ended() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("inbox")).unwrap();
    // Its trigger never fires.
    let manifest = "[bundle]\nname = \"troubles\"\nversion = \"0.1.0\"\n\
        [[request.variable]]\nkey = \"granted.name\"\nphases = [\"trigger\"]\n";
    let troubles = guest_with(folder.path(), "hostile_triggers", manifest);
    let config = format!(
        "{}[[team.bundle]]\nname = \"troubles\"\nsource = \"{}\"\n\
         [[team.bundle.grant.variable]]\nkey = \"granted.name\"\n",
        configuration(folder.path()),
        troubles.display()
    );
    let host = Host::start(&config);
    let body = json!({"logical_date": null, "conf": {"kind": "busy"}});
    let run = host.trigger("trouble", body).await;
    let polled = host
        .until("two polls", async || {
            let triggers = host.get("/triggers?dag_id=trouble&watchers=false").await;
            let trigger = triggers["triggers"][0].clone();
            (trigger["polls"].as_u64()? > 1).then_some(trigger)
        })
        .await;
    assert_eq!(
        (&polled["task_id"], &polled["dag_run_id"]),
        (&json!("waits"), &json!(run))
    );
    assert!(polled["cpu_seconds"].as_f64().unwrap() > 0.0, "{polled}");
    let path = format!("/dags/trouble/dagRuns/{}/taskInstances/waits", escape(&run));
    let task = host.get(&path).await;
    let wait = &task["deferred"]["waits_for"];
    assert_eq!(
        (&task["state"], &wait["kind"], &wait["what"]),
        (&json!("deferred"), &json!("own"), &polled["kind"])
    );
    let states = host.cli(&["tasks", "states-for-dag-run", "trouble", &run]);
    let states = String::from_utf8_lossy(&states.stdout).into_owned();
    assert!(
        states.contains(polled["kind"].as_str().unwrap()),
        "{states}"
    );
    let metrics = host.metrics().await;
    let line = r#"airlock_tasks_deferred{team="research"} 1"#;
    assert!(metrics.contains(line), "{metrics}");
    let ended = host.cli(&["dags", "set-state", "trouble", &run, "failed", "--yes"]);
    assert!(ended.status.success(), "{ended:?}");
    let of_tasks = ["triggers", "list", "--tasks"];
    assert_eq!(host.cli_json(&of_tasks), json!([]), "its wait is over");

    // Watchers live as long as their DAGs; one that is denied its source is shown as failing.
    let watchers = host.cli_json(&["triggers", "list", "--watchers"]);
    assert!(
        names(&watchers, "asset_id").contains(&"research:inbox".to_owned()),
        "{watchers}"
    );
    host.until("a failing watcher", async || {
        let failing = host.get("/triggers?failing=true&dag_id=watch_http").await;
        (failing["total_entries"].as_u64()? > 0).then_some(())
    })
    .await;
    let failing = host.cli_json(&["triggers", "list", "--failing", "--dag-id", "watch_http"]);
    assert_eq!(names(&failing, "watcher_name"), ["feed"]);
    let id = failing[0]["id"].as_str().unwrap();
    let one = host.cli_json(&["triggers", "show", id]);
    assert!(
        one["note"].is_string() && one["arguments"].is_object(),
        "{one}"
    );
    let metrics = host.metrics().await;
    let named = r#"airlock_trigger_failures{team="research",bundle="examples","#;
    assert!(metrics.contains(named), "{metrics}");
}

#[tokio::test]
async fn a_deadline_is_ahead_until_it_is_missed_and_then_names_the_callback_that_tells_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let host = host(folder.path());
    let run = host
        .trigger("deadline_example", json!({"logical_date": null}))
        .await;
    let ahead = host
        .until("deadlines ahead", async || {
            let ahead = host
                .get("/deadlines?dag_id=deadline_example&missed=false")
                .await;
            let ahead = ahead["deadlines"].clone();
            names(&ahead, "name")
                .contains(&"within the hour".to_owned())
                .then_some(ahead)
        })
        .await;
    assert!(
        names(&ahead, "name").contains(&"this century".to_owned()),
        "{ahead}"
    );
    assert_eq!(host.ended("deadline_example", &run).await, "success");
    let all = host.cli_json(&["deadlines", "list", "--dag-id", "deadline_example"]);
    assert_eq!(
        names(&all, "name"),
        ["at once"],
        "those that were met are gone"
    );
    assert_eq!(
        (&all[0]["missed"], &all[0]["dag_run_id"]),
        (&json!(true), &json!(run))
    );
    let told = host.cli_json(&["callbacks", "show", all[0]["callback_id"].as_str().unwrap()]);
    assert_eq!(
        (&told["kind"], &told["deadline_name"]),
        (&json!("deadline"), &json!("at once"))
    );
    let metrics = host.metrics().await;
    let line = r#"airlock_deadlines_missed_total{team="research"} 1"#;
    assert!(metrics.contains(line), "{metrics}");
}
