//! Whose a DAG is, and what becomes of it when its bundle is not there, goes from the configuration, or gives it
//! away; and what the configuration demands of it.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on is to fail"
)]

use std::path::Path;

use airlock_tests::{Host, guest_with};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A team of this name with a bundle of the same name, which has the DAGs of the guest `noop`.
fn team(folder: &Path, name: &str, more: &str) -> String {
    let own = folder.join(name);
    std::fs::create_dir_all(&own).unwrap();
    let manifest = format!("[bundle]\nname = \"{name}\"\nversion = \"0.1.0\"\n");
    let source = guest_with(&own, "noop", &manifest);
    format!(
        "[[team]]\nname = \"{name}\"\n[[team.bundle]]\nname = \"{name}\"\nsource = \"{}\"\n{more}",
        source.display()
    )
}

/// The import error with this code, once there is one.
async fn error(host: &Host, code: &str) -> Value {
    host.until("the import error", async || {
        let errors = host.get("/importErrors").await;
        let errors = errors["import_errors"].as_array()?.clone();
        errors.into_iter().find(|error| error["code"] == code)
    })
    .await
}

async fn no_errors(host: &Host) {
    host.until("no import error", async || {
        let errors = host.get("/importErrors").await;
        (errors["total_entries"] == 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_bundle_whose_file_is_not_there_at_the_start_has_stale_dags_until_it_is_back() {
    let (home, folder) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let config = team(folder.path(), "research", "");
    let file = folder.path().join("research/noop.wasm");
    let host = Host::start_in(home.path(), &config);
    host.dag("single").await;
    drop(host);
    let wasm = std::fs::read(&file).unwrap();
    std::fs::remove_file(&file).unwrap();

    let host = Host::start_in(home.path(), &config);
    let error = error(&host, "AL-0223").await;
    let text = error["stack_trace"].as_str().unwrap();
    assert!(text.contains(file.to_str().unwrap()), "{text}");
    assert_eq!(error["bundle_name"], "research");
    let dag = host.get("/dags/single").await;
    assert_eq!(dag["is_stale"], true, "{dag}");
    assert_eq!(host.get("/dags").await["total_entries"], 0);
    std::fs::write(&file, wasm).unwrap();
    host.until("the DAG", async || {
        let dag = host.get("/dags/single").await;
        (dag["is_stale"] == false).then_some(())
    })
    .await;
    no_errors(&host).await;
    let run = host.trigger("single", json!({"logical_date": null})).await;
    assert_eq!(host.ended("single", &run).await, "success");
}

#[tokio::test]
async fn a_bundle_that_is_taken_out_of_the_configuration_leaves_only_its_own_dags_stale() {
    let (home, folder) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let research = team(folder.path(), "research", "");
    let other = format!(
        "[[team]]\nname = \"calendar\"\n[[team.bundle]]\nname = \"calendar-000000\"\nsource = \"{}\"\n",
        airlock_tests::guest("calendar").display()
    );
    let host = Host::start_in(home.path(), &format!("{research}{other}"));
    host.dag("single").await;
    let dags = |all: Value| -> Vec<String> {
        let dags = all["dags"].as_array().unwrap().iter();
        dags.map(|dag| dag["team_name"].as_str().unwrap().to_owned())
            .collect()
    };
    host.until("the other bundle's DAGs", async || {
        dags(host.get("/dags").await)
            .contains(&"calendar".to_owned())
            .then_some(())
    })
    .await;
    drop(host);
    let host = Host::start_in(home.path(), &other);
    let live = dags(host.get("/dags").await);
    assert!(
        !live.is_empty() && live.iter().all(|team| team == "calendar"),
        "{live:?}"
    );
    assert_eq!(host.get("/dags/single").await["is_stale"], true);
}

#[tokio::test]
async fn a_dag_goes_to_another_teams_bundle_when_an_operator_gives_it() {
    let folder = TempDir::new().unwrap();
    let config = ["first", "second"].map(|name| team(folder.path(), name, ""));
    let host = Host::start(&config.concat());
    host.dag("single").await;
    let error = error(&host, "AL-0333").await;
    assert_eq!(error["team_name"], "second");
    assert_eq!(host.get("/dags/single").await["team_name"], "first");
    let run = host.trigger("single", json!({"logical_date": null})).await;
    assert_eq!(host.ended("single", &run).await, "success");

    let given = host.cli_json(&[
        "dags",
        "transfer",
        "single",
        "--to-bundle",
        "second",
        "--yes",
    ]);
    assert_eq!(given["team_name"], "second", "{given}");
    host.until("the DAG of its new owner", async || {
        let dag = host.get("/dags/single").await;
        (dag["bundle_name"] == "second" && dag["is_stale"] == false).then_some(())
    })
    .await;
    let run = host.trigger("single", json!({"logical_date": null})).await;
    assert_eq!(host.ended("single", &run).await, "success");
    let runs = host.get("/dags/single/dagRuns?team=second").await;
    assert_eq!(runs["total_entries"], 1, "past runs stay: {runs}");
    let nobody = host.cli(&[
        "dags",
        "transfer",
        "single",
        "--to-bundle",
        "third",
        "--yes",
    ]);
    let text = String::from_utf8_lossy(&nobody.stderr).into_owned();
    assert!(
        !nobody.status.success() && text.contains("AL-0706"),
        "{text}"
    );
}

#[tokio::test]
async fn what_the_configuration_demands_of_a_bundles_dags_is_an_import_error_by_name() {
    let folder = TempDir::new().unwrap();
    let demands = "[team.bundle.policy]\nrequired_tags = [\"reviewed\"]\nmax_active_runs = 4\n";
    let strict = team(folder.path(), "research", demands);
    let host = Host::start(&strict);
    let told = host
        .until("an import error that names the rule", async || {
            let errors = host.get("/importErrors").await.to_string();
            errors.contains("required_tags").then_some(errors)
        })
        .await;
    assert!(
        told.contains("reviewed") && told.contains("single"),
        "{told}"
    );
    assert_eq!(host.get("/dags").await["total_entries"], 0);
}
