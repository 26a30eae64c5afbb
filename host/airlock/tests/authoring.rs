//! From an empty folder to a component, as an author does it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{fs, path::Path, process::Command};

use serde_json::Value;
use tempfile::TempDir;

fn airlock(home: &Path, folder: &Path, arguments: &[&str]) -> Value {
    let mut command = Command::new(env!("CARGO_BIN_EXE_airlock"));
    // What cargo sets for this test is not meant for the author's build.
    for (name, _) in std::env::vars() {
        if name.starts_with("CARGO") && name != "CARGO_HOME" || name.starts_with("RUSTFLAGS") {
            command.env_remove(name);
        }
    }
    let out = command
        .args(arguments)
        .args(["--output", "json"])
        .env("AIRLOCK_HOME", home)
        .current_dir(folder)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{arguments:?}: {said}");
    serde_json::from_slice(&out.stdout).unwrap()
}

#[test]
fn a_new_bundle_builds_runs_and_shows_what_it_reaches() {
    let work = TempDir::new().unwrap();
    let home = work.path().join("home");
    let told = airlock(&home, work.path(), &["bundle", "new", "first-one"]);
    assert_eq!(told["dag_id"], "first_one");
    let folder = work.path().join("first-one");
    // As after a clone on another machine, where nobody wrote the local file.
    fs::remove_dir_all(folder.join(".cargo")).unwrap();
    let built = airlock(&home, &folder, &["bundle", "build"]);
    let path = built["path"].as_str().unwrap();
    assert_eq!(Path::new(path), folder.join("target/first-one.wasm"));
    let page = airlock(&home, &folder, &["bundle", "inspect", path]);
    assert_eq!(
        (&page["name"], &page["hash"]),
        (&built["name"], &built["hash"])
    );
    assert_eq!(
        page["rows"],
        Value::Array(Vec::new()),
        "it asks for nothing"
    );
    assert_eq!(page["refused"], Value::Array(Vec::new()), "it loads");
    let run = airlock(
        &home,
        &folder,
        &[
            "bundle",
            "test",
            "first_one",
            "--logical-date",
            "2024-01-15",
        ],
    );
    assert_eq!(run["state"], "success", "{run}");
    assert_eq!(run["tasks"].as_array().unwrap().len(), 3, "{run}");
}
