//! What a reviewer does: read a bundle's page, and what a new version asks for beyond the known one.

#![expect(clippy::unwrap_used, reason = "a test ends where it fails")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use airlock_tests::{Host, airlock, guest_with};
use serde_json::Value;
use tempfile::TempDir;

const OLD: &str = "[bundle]\nname = \"tasks\"\nversion = \"1.0.0\"\n\
    [[request.connection]]\nid = \"granted\"\naccess = \"read\"\n\
    [[request.variable]]\nkey = \"granted.*\"\n\
    [[request.directory]]\npath = \"in\"\nmode = \"read\"\n";

/// The command in a home of its own, where no server runs.
fn run(home: &Path, arguments: &[&str]) -> Output {
    Command::new(airlock())
        .args(arguments)
        .env("AIRLOCK_HOME", home)
        .current_dir(home)
        .output()
        .unwrap()
}

fn said(out: &Output) -> &str {
    std::str::from_utf8(&out.stdout).unwrap()
}

fn version(folder: &Path, name: &str, manifest: &str) -> PathBuf {
    let folder = folder.join(name);
    fs::create_dir(&folder).unwrap();
    guest_with(&folder, "hostile_tasks", manifest)
}

#[test]
fn a_new_version_shows_what_it_asks_for_beyond_the_known_one_and_tells_it_by_its_exit_code() {
    let home = TempDir::new().unwrap();
    let old = version(home.path(), "old", OLD);
    let narrower = OLD
        .replace("granted.*", "granted.name")
        .replace("1.0.0", "1.1.0");
    let narrower = version(home.path(), "narrower", &narrower);
    let wider = OLD.replace(
        "mode = \"read\"",
        "mode = \"read-write\"\nreason = \"to tidy\"",
    );
    let wider = version(home.path(), "wider", &wider);
    let diff = |new: &Path, more: &[&str]| {
        let (old, new) = (old.to_str().unwrap(), new.to_str().unwrap());
        run(home.path(), &[&["bundle", "diff", old, new], more].concat())
    };
    let out = diff(&wider, &["--exit-code"]);
    assert_eq!(out.status.code(), Some(1));
    let page = said(&out);
    assert!(page.contains("asks for more"), "{page}");
    assert!(
        page.contains("+ directory `in`, read-write  in task  (to tidy)\n"),
        "{page}"
    );
    assert_eq!(
        diff(&wider, &[]).status.code(),
        Some(0),
        "asked for or not at all"
    );
    let out = diff(&narrower, &["--exit-code"]);
    assert_eq!(out.status.code(), Some(0));
    assert!(
        said(&out).contains("asks for nothing more"),
        "{}",
        said(&out)
    );
    assert!(
        said(&out).contains("- variable `granted.*`"),
        "{}",
        said(&out)
    );
    let out = diff(&old, &["--exit-code", "--output", "json"]);
    let page: Value = serde_json::from_str(said(&out)).unwrap();
    assert_eq!(
        (&page["is_wider"], &page["old"]["hash"]),
        (&Value::Bool(false), &page["new"]["hash"])
    );
    let out = diff(&home.path().join("missing.wasm"), &[]);
    assert_ne!(out.status.code(), Some(0));
    assert!(said(&out).is_empty());
}

#[test]
fn a_page_can_be_kept_as_one_file_that_asks_the_reader_for_nothing() {
    let home = TempDir::new().unwrap();
    let manifest = OLD.replace(
        "mode = \"read\"",
        "mode = \"read\"\nreason = \"<img src=x>\"",
    );
    let file = version(home.path(), "one", &manifest);
    let out = run(
        home.path(),
        &["bundle", "inspect", file.to_str().unwrap(), "--html"],
    );
    let page = said(&out);
    assert!(page.starts_with("<!doctype html>"), "{page}");
    assert!(page.contains("&lt;img src=x&gt;"), "{page}");
    for forbidden in ["<img", "<script", "<link", "src=\"", "href=", "url("] {
        assert!(!page.contains(forbidden), "{forbidden}");
    }
}

#[tokio::test]
async fn a_bundle_is_inspected_with_the_grants_of_the_server_where_no_configuration_is_at_hand() {
    let home = TempDir::new().unwrap();
    let source = guest_with(home.path(), "hostile_tasks", OLD);
    let host = Host::start_in(
        home.path(),
        &format!(
            "[[team]]\nname = \"busy\"\n[[team.bundle]]\nname = \"tasks\"\nsource = \"{}\"\n\
             [[team.bundle.grant.connection]]\nid = \"granted\"\naccess = \"read\"\n\
             [[team.bundle.grant.connection]]\nid = \"forgotten\"\naccess = \"read\"\n\
             [[team.bundle.grant.variable]]\nkey = \"granted.*\"\n\
             [[team.bundle.grant.directory]]\npath = \"in\"\nhost = \"{}\"\nmode = \"read\"\n",
            source.display(),
            home.path().display()
        ),
    );
    host.dag("hostile_busy").await;
    let elsewhere = TempDir::new().unwrap();
    let file = home.path().join("hostile_tasks.wasm");
    // The home's own configuration counts as one at hand: it is put out of sight.
    fs::rename(
        home.path().join("airlock.toml"),
        home.path().join("away.toml"),
    )
    .unwrap();
    let out = Command::new(airlock())
        .args(["bundle", "inspect", "--output", "json"])
        .arg(&file)
        .env("AIRLOCK_HOME", home.path())
        .current_dir(elsewhere.path())
        .output()
        .unwrap();
    let page: Value = serde_json::from_slice(&out.stdout).unwrap();
    assert_eq!(page["team_name"], "busy", "{page}");
    assert_eq!(
        page["unasked"],
        serde_json::json!(["connection `forgotten`, read"])
    );
    let rows = page["rows"].as_array().unwrap();
    assert!(
        !rows.is_empty() && rows.iter().all(|row| row["granted"] == "yes"),
        "{page}"
    );
}
