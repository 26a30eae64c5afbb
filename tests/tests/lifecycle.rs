//! A host's life: signals, restarts, a second host in the same home, a newer version of a bundle, pausing,
//! DAG ownership.

use std::path::Path;

use airlock_tests::{Host, airlock, escape, guest, guest_with};
use rustix::process::Signal;
use serde_json::json;
use tempfile::TempDir;

fn noop() -> String {
    format!(
        "[[team]]\nname = \"measured\"\n[[team.bundle]]\nname = \"noop\"\nsource = \"{}\"\n",
        guest("noop").display()
    )
}

/// A team whose tasks never end by themselves.
fn busy(folder: &Path) -> String {
    let manifest = "[bundle]\nname = \"tasks\"\nversion = \"0.1.0\"\n[[request.connection]]\nid = \"granted\"\n\
        access = \"read\"\n[[request.variable]]\nkey = \"granted.*\"\n[[request.directory]]\npath = \"in\"\nmode = \"read\"\n";
    let source = guest_with(folder, "hostile_tasks", manifest);
    format!(
        "[scheduler]\ndrain_timeout = \"60s\"\n[[team]]\nname = \"busy\"\n[[team.bundle]]\nname = \"tasks\"\nsource = \"{}\"\n\
         [[team.bundle.grant.connection]]\nid = \"granted\"\naccess = \"read\"\n\
         [[team.bundle.grant.variable]]\nkey = \"granted.*\"\n\
         [[team.bundle.grant.directory]]\npath = \"in\"\nhost = \"{}\"\nmode = \"read\"\n",
        source.display(),
        folder.display()
    )
}

#[tokio::test]
async fn a_signal_drains_and_a_second_one_ends_at_once() {
    let home = TempDir::new().unwrap();
    let mut host = Host::start_in(home.path(), &noop());
    host.dag("single").await;
    host.signal(Signal::TERM);
    assert_eq!(
        host.wait(),
        Some(0),
        "with nothing in flight it ends by itself: {}",
        host.log()
    );

    let home = TempDir::new().unwrap();
    let config = busy(home.path());
    let mut host = Host::start_in(home.path(), &config);
    host.dag("hostile_busy").await;
    let run = host
        .trigger("hostile_busy", json!({"logical_date": null}))
        .await;
    host.until("a try in flight", async || {
        let metrics = host.metrics().await;
        metrics
            .contains("airlock_tries_running{team=\"busy\"} 1")
            .then_some(())
    })
    .await;
    host.signal(Signal::TERM);
    host.until("the draining", async || {
        host.log()
            .contains("a second signal ends at once")
            .then_some(())
    })
    .await;
    host.signal(Signal::TERM);
    assert_eq!(host.wait(), Some(0), "{}", host.log());

    // What was in flight is not lost: it is there, and runs again.
    let host = Host::start_in(home.path(), &config);
    let row = host
        .get(&format!("/dags/hostile_busy/dagRuns/{}", escape(&run)))
        .await;
    assert_eq!(row["state"], "running");
}

#[tokio::test]
async fn a_home_has_one_host() {
    let home = TempDir::new().unwrap();
    let host = Host::start_in(home.path(), &noop());
    let second = std::process::Command::new(airlock())
        .args(["standalone", "--config"])
        .arg(home.path().join("airlock.toml"))
        .env("AIRLOCK_HOME", home.path())
        .output()
        .unwrap();
    assert!(!second.status.success());
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(
        said.contains("AL-0620") && said.contains(&host.pid().to_string()),
        "{said}"
    );
}

#[tokio::test]
async fn a_restart_finds_everything_and_parses_nothing() {
    let home = TempDir::new().unwrap();
    let mut host = Host::start_in(home.path(), &noop());
    host.dag("chain50").await;
    let run = host.trigger("chain50", json!({"logical_date": null})).await;
    assert_eq!(host.ended("chain50", &run).await, "success");
    let paused = host
        .call(
            reqwest::Method::PATCH,
            "/dags/single",
            Some(json!({"is_paused": true})),
        )
        .await;
    assert_eq!(paused.0, 200, "{}", paused.1);
    host.kill_nine();
    let host = Host::start_in(home.path(), &noop());
    assert_eq!(host.ended("chain50", &run).await, "success");
    assert_eq!(host.get("/dags/single").await["is_paused"], true);
    let metrics = host.metrics().await;
    assert!(
        !metrics.contains("airlock_calls_total{team=\"measured\",end=\"success\"} 1"),
        "{metrics}"
    );
}

#[tokio::test]
async fn a_paused_dag_starts_nothing_until_it_goes_on() {
    let host = Host::start(&noop());
    host.dag("single").await;
    host.call(
        reqwest::Method::PATCH,
        "/dags/single",
        Some(json!({"is_paused": true})),
    )
    .await;
    let run = host.trigger("single", json!({"logical_date": null})).await;
    let other = host.trigger("chain50", json!({"logical_date": null})).await;
    assert_eq!(host.ended("chain50", &other).await, "success");
    let row = host
        .get(&format!("/dags/single/dagRuns/{}", escape(&run)))
        .await;
    assert_eq!(row["state"], "queued");
    host.call(
        reqwest::Method::PATCH,
        "/dags/single",
        Some(json!({"is_paused": false})),
    )
    .await;
    assert_eq!(host.ended("single", &run).await, "success");
}

#[tokio::test]
async fn a_dag_id_belongs_to_one_bundle_and_the_other_is_told_that_it_is_taken_not_by_whom() {
    let folder = TempDir::new().unwrap();
    let thief = guest_with(
        folder.path(),
        "noop",
        "[bundle]\nname = \"thief\"\nversion = \"0.1.0\"\n",
    );
    let home = TempDir::new().unwrap();
    let mut host = Host::start_in(home.path(), &noop());
    host.dag("single").await;
    host.kill_nine();
    let config = format!(
        "[[team]]\nname = \"other\"\n[[team.bundle]]\nname = \"thief\"\nsource = \"{}\"\n{}",
        thief.display(),
        noop()
    );
    let host = Host::start_in(home.path(), &config);
    let error = host
        .until("the import error", async || {
            let errors = host.get("/importErrors").await;
            errors["import_errors"]
                .as_array()?
                .iter()
                .map(ToString::to_string)
                .find(|e| e.contains("AL-0333"))
        })
        .await;
    assert!(!error.contains("measured"), "{error}");
    assert_eq!(host.get("/dags/single").await["team_name"], "measured");
}

/// A component with so many bytes at its end that mean nothing.
fn padded(mut wasm: Vec<u8>, bytes: usize) -> Vec<u8> {
    // A custom section: its number, its size in groups of seven bits, its name, and whatever else.
    wasm.push(0);
    let mut size = bytes + 4;
    while size > 0x7f {
        wasm.push(size.to_le_bytes()[0] | 0x80);
        size >>= 7;
    }
    wasm.push(size.to_le_bytes()[0]);
    wasm.extend(b"\x03pad");
    wasm.resize(wasm.len() + bytes, 0);
    wasm
}

#[tokio::test]
async fn of_two_new_bundles_the_first_in_the_configuration_gets_the_dag_id_though_it_is_read_last()
{
    let folder = TempDir::new().unwrap();
    let teams = ["large", "small"].map(|name| {
        let own = folder.path().join(name);
        std::fs::create_dir(&own).unwrap();
        let manifest = format!("[bundle]\nname = \"{name}\"\nversion = \"0.1.0\"\n");
        let source = guest_with(&own, "noop", &manifest);
        if name == "large" {
            let wasm = std::fs::read(&source).unwrap();
            std::fs::write(&source, padded(wasm, 24 << 20)).unwrap();
        }
        let source = source.display();
        format!("[[team]]\nname = \"{name}\"\n[[team.bundle]]\nname = \"{name}\"\nsource = \"{source}\"\n")
    });
    let host = Host::start(&teams.concat());
    let error = host
        .until("the import error", async || {
            let errors = host.get("/importErrors").await;
            let errors = errors["import_errors"].as_array()?.clone();
            errors
                .iter()
                .map(ToString::to_string)
                .find(|e| e.contains("AL-0333"))
        })
        .await;
    assert!(error.contains("small"), "{error}");
    assert_eq!(host.get("/dags/single").await["team_name"], "large");
}

#[tokio::test]
async fn a_bundle_file_that_changes_is_taken_in_and_a_broken_one_leaves_the_old_version_serving() {
    let folder = TempDir::new().unwrap();
    let manifest = |version: &str| format!("[bundle]\nname = \"noop\"\nversion = \"{version}\"\n");
    let source = guest_with(folder.path(), "noop", &manifest("0.1.0"));
    let config = format!(
        "[[team]]\nname = \"measured\"\n[[team.bundle]]\nname = \"noop\"\nsource = \"{}\"\n",
        source.display()
    );
    let host = Host::start(&config);
    host.dag("single").await;
    std::fs::write(&source, "no longer a bundle").unwrap();
    host.until("the import error", async || {
        let errors = host.get("/importErrors").await;
        (errors["total_entries"] != 0).then_some(())
    })
    .await;
    let run = host.trigger("single", json!({"logical_date": null})).await;
    assert_eq!(host.ended("single", &run).await, "success");
    let _same = guest_with(folder.path(), "noop", &manifest("0.2.0"));
    host.until("the new version", async || {
        let bundles = host.get("/bundles").await;
        let errors = host.get("/importErrors").await;
        (bundles.to_string().contains("0.2.0") && errors["total_entries"] == 0).then_some(())
    })
    .await;
    let run = host.trigger("single", json!({"logical_date": null})).await;
    assert_eq!(host.ended("single", &run).await, "success");
}
