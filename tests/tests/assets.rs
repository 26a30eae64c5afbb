//! Which assets a bundle follows and changes is granted, in a whole host: by people, and by the configuration.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test ends where it fails"
)]

use std::{fs, path::Path};

use airlock_tests::{Host, example, examples_assets, guest_with};
use serde_json::{Value, json};
use tempfile::TempDir;

/// What the guest imports, and the asset of which it declares a watcher and by which it schedules a DAG.
const ASKS: &str = "[[request.variable]]\nkey = \"granted.name\"\nphases = [\"trigger\"]\n\
    [[request.asset]]\nname = \"flooded\"\naccess = \"consume\"\n\
    [[request.asset]]\nname = \"flooded\"\naccess = \"produce\"\n";

/// The codes of the import errors, and the DAGs that are live.
async fn imported(host: &Host) -> (Vec<String>, Vec<String>) {
    let errors = host.get("/importErrors").await;
    let code = |error: &Value| {
        let text = error["stack_trace"].as_str().unwrap_or_default();
        text.chars().take("AL-0000".len()).collect()
    };
    let errors = errors["import_errors"].as_array().unwrap().iter().map(code);
    let dags = host.get("/dags").await;
    let dags = dags["dags"].as_array().unwrap().iter();
    let dags = dags.map(|dag| dag["dag_id"].as_str().unwrap_or_default().to_owned());
    (errors.collect(), dags.collect())
}

async fn until_imported(host: &Host, what: &str, is: impl Fn(&[String], &[String]) -> bool) {
    host.until(what, async || {
        let (errors, dags) = imported(host).await;
        is(&errors, &dags).then_some(())
    })
    .await;
}

fn done(host: &Host, command: &[&str]) {
    let out = host.cli(command);
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{command:?}: {said}");
}

fn has(all: &[String], name: &str) -> bool {
    all.iter().any(|one| one == name)
}

#[tokio::test]
async fn a_dag_whose_asset_is_taken_back_is_gone_at_once_and_back_when_it_is_granted_again() {
    let (home, folder) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let manifest = format!("[bundle]\nname = \"troubles\"\nversion = \"1.0.0\"\n{ASKS}");
    let source = guest_with(folder.path(), "hostile_triggers", &manifest);
    let config = format!(
        "[[team]]\nname = \"shop\"\n[[team.bundle]]\nname = \"troubles\"\nsource = {source:?}\n"
    );
    let host = Host::start_in(home.path(), &config);
    until_imported(&host, "it waits for approval", |errors, _| {
        has(errors, "AL-0260")
    })
    .await;
    let approve = ["grants", "approve", "troubles", "--yes"];
    done(&host, &approve);
    until_imported(&host, "it serves", |errors, dags| {
        errors.is_empty() && has(dags, "flooded") && has(dags, "trouble")
    })
    .await;
    let may = |access: &str| {
        let explain = ["grants", "explain", "troubles", access, "flooded"];
        host.cli(&explain).status.success()
    };
    assert!(may("--consume") && may("--produce"));

    let less = folder.path().join("grant.toml");
    let all = "[[variable]]\nkey = \"granted.name\"\n[[asset]]\nname = \"flooded\"\naccess = \"produce\"\n";
    fs::write(&less, all).unwrap();
    let propose = ["grants", "propose", "troubles", "--file"];
    done(&host, &[&propose[..], &[less.to_str().unwrap()]].concat());
    done(&host, &approve);
    assert!(!may("--consume") && may("--produce"));
    until_imported(&host, "it is refused", |errors, dags| {
        errors.iter().all(|code| code == "AL-0417")
            && !errors.is_empty()
            && !has(dags, "flooded")
            && has(dags, "trouble")
    })
    .await;
    let audit = host.cli_json(&["audit", "list", "--action", "capability.denied"]);
    let audit = audit.to_string();
    for part in [
        "AL-0417",
        "asset `flooded`, consume",
        "\"shop\"",
        "\"flooded\"",
    ] {
        assert!(audit.contains(part), "{part} is not in {audit}");
    }

    fs::write(
        &less,
        format!("{all}[[asset]]\nname = \"flo*\"\naccess = \"consume\"\n"),
    )
    .unwrap();
    done(&host, &[&propose[..], &[less.to_str().unwrap()]].concat());
    done(&host, &approve);
    until_imported(&host, "it serves again", |errors, dags| {
        errors.is_empty() && has(dags, "flooded")
    })
    .await;
}

fn configured(folder: &Path, assets: &str) -> String {
    format!(
        "[[team]]\nname = \"demo\"\n[[team.bundle]]\nname = \"examples\"\nsource = {:?}\n\
         [[team.bundle.grant.http]]\nurl = \"http://127.0.0.1:18181/*\"\n\
         [[team.bundle.grant.directory]]\npath = \"inbox\"\nhost = {folder:?}\n\
         [[team.bundle.grant.directory]]\npath = \"outbox\"\nhost = {folder:?}\nmode = \"read-write\"\n{assets}",
        example("examples"),
    )
}

#[tokio::test]
async fn assets_that_the_configuration_does_not_grant_make_no_runs_and_cost_no_other_dag_its_place()
{
    let (home, folder) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let inbox = folder.path().join("both");
    fs::create_dir(&inbox).unwrap();
    let mut host = Host::start_in(home.path(), &configured(&inbox, ""));
    let known = [
        "produce",
        "consume",
        "either_or_daily",
        "watch_files",
        "watch_http",
    ];
    until_imported(&host, "the rest is there", |errors, dags| {
        !errors.is_empty() && !dags.is_empty() && !known.iter().any(|dag| has(dags, dag))
    })
    .await;
    let (errors, dags) = imported(&host).await;
    assert!(errors.iter().all(|code| code == "AL-0417"), "{errors:?}");
    host.kill_nine();

    // What the configuration says is read at the start.
    let host = Host::start_in(home.path(), &configured(&inbox, &examples_assets()));
    until_imported(&host, "all are there", |errors, all| {
        errors.is_empty() && all.len() == dags.len() + known.len()
    })
    .await;
    let run = host.trigger("produce", json!({"logical_date": null})).await;
    assert_eq!(host.ended("produce", &run).await, "success");
    host.until("the consumer has run", async || {
        let runs = host.get("/dags/consume/dagRuns").await;
        (runs["total_entries"] == 1).then_some(())
    })
    .await;
}
