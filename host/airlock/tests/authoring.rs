//! From an empty folder to a component, as an author does it.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tempfile::TempDir;

/// How long a test waits for anything before it fails.
const PATIENCE: Duration = Duration::from_secs(120);

/// The binary, in an environment in which nothing is set that is meant for this test alone.
fn command(home: &Path, folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_airlock"));
    for (name, _) in std::env::vars() {
        let own = ["CARGO", "AIRLOCK", "RUSTFLAGS"];
        if own.iter().any(|prefix| name.starts_with(prefix)) && name != "CARGO_HOME" {
            command.env_remove(name);
        }
    }
    command
        .env("AIRLOCK_HOME", home)
        .env("AIRLOCK__SERVER__LISTEN", "127.0.0.1:0")
        .current_dir(folder)
        .stdin(Stdio::null());
    command
}

/// What a command prints that must succeed.
fn text(home: &Path, folder: &Path, arguments: &[&str]) -> String {
    let out = command(home, folder).args(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{arguments:?}: {said}");
    String::from_utf8(out.stdout).unwrap()
}

fn airlock(home: &Path, folder: &Path, arguments: &[&str]) -> Value {
    let mut all = arguments.to_vec();
    all.extend(["--output", "json"]);
    serde_json::from_str(&text(home, folder, &all)).unwrap()
}

/// A server that ends when this does.
struct Server(Child);

impl Server {
    fn start(home: &Path, folder: &Path, arguments: &[&str]) -> Self {
        let mut child = command(home, folder)
            .args(["standalone", "--quiet"])
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(child.stdout.take().unwrap()).lines();
        let ready = |line: String| line.contains("API http://");
        assert!(
            said.by_ref().map_while(Result::ok).any(ready),
            "it did not come up"
        );
        std::thread::spawn(move || said.for_each(drop));
        Self(child)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Asks again and again until the answer is as wanted.
fn until(what: &str, ask: impl Fn() -> bool) {
    let began = Instant::now();
    while !ask() {
        assert!(began.elapsed() < PATIENCE, "{what} did not come to pass");
    }
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
    assert_eq!(page["rows"], json!([]), "it asks for nothing");
    assert_eq!(page["refused"], json!([]), "it loads");
    let made_with = page["made_with"].to_string();
    let tools = ["Rust 1.", "airlock-sdk 0."];
    assert!(
        tools.iter().all(|tool| made_with.contains(tool)),
        "{made_with}"
    );

    let test = [
        "bundle",
        "test",
        "first_one",
        "--logical-date",
        "2024-01-15",
    ];
    // The first thing that an author tries, with nothing but the DAG's name, is green.
    let run = airlock(&home, &folder, &["bundle", "test", "first_one"]);
    assert_eq!(run["state"], "success", "{run}");
    let run = airlock(&home, &folder, &test);
    assert_eq!(run["state"], "success", "{run}");
    assert_eq!(run["tasks"].as_array().unwrap().len(), 3, "{run}");
    let told = text(&home, &folder, &test);
    assert!(told.contains("has 4 words"), "{told}");
    assert!(
        told.contains("run of first_one for 2024-01-15: success in "),
        "{told}"
    );

    one_task_alone(&home, &folder, path);
    in_a_server(&home, &folder);
}

/// A task between others, without the others: what they would have returned is said.
fn one_task_alone(home: &Path, folder: &Path, bundle: &str) {
    let test = [
        "tasks",
        "test",
        "first_one",
        "count_words",
        "--bundle",
        bundle,
    ];
    let with = |returned: &'static str| [&test[..], &["--returned", returned]].concat();
    let counted = airlock(home, folder, &with("write_text=\"a bc def\""));
    assert_eq!(counted["state"], "success", "{counted}");
    let count = json!({"words": 3, "letters": 6});
    assert_eq!(counted["xcoms"]["return_value"], count);
    // Nothing was returned, so nothing can be counted; and a stranger returns nothing.
    for (arguments, code) in [(test.to_vec(), 1), (with("nobody=1"), 4)] {
        let out = command(home, folder).args(&arguments).output().unwrap();
        assert_eq!(out.status.code(), Some(code), "{arguments:?}: {out:?}");
    }
}

/// What an author does next: `standalone` with the folder of what was built.
fn in_a_server(home: &Path, folder: &Path) {
    let _server = Server::start(home, folder, &["--bundles", "target"]);
    let ask = |arguments: &[&str]| airlock(home, folder, arguments);
    until("the import", || {
        ask(&["dags", "list"])[0]["dag_id"] == "first_one"
    });
    let shown = text(home, folder, &["dags", "show", "first_one"]);
    assert!(
        shown.contains("count_words") && shown.contains("@daily"),
        "{shown}"
    );
    let run = ask(&["dags", "trigger", "first_one", "--run-id", "mine"]);
    assert_eq!(run["dag_run_id"], "mine");
    until("the end of the run", || {
        ask(&["dags", "state", "first_one", "mine"])["state"] == "success"
    });
    assert_eq!(
        text(home, folder, &["dags", "state", "first_one", "mine"]),
        "success\n"
    );
    let tasks = ask(&["tasks", "states-for-dag-run", "first_one", "mine"]);
    let states: Vec<&Value> = tasks
        .as_array()
        .unwrap()
        .iter()
        .map(|task| &task["state"])
        .collect();
    assert_eq!(states, ["success"; 3]);
    for more in [&[][..], &["--follow"], &["--try", "1"]] {
        let mut logs = vec!["tasks", "logs", "first_one", "mine", "report_count"];
        logs.extend(more);
        let told = text(home, folder, &logs);
        assert!(
            told.contains("INFO") && told.contains("has 4 words"),
            "{told}"
        );
    }
    let ended = ask(&["dags", "list-runs", "first_one", "--state", "success"]);
    assert!(
        ended
            .as_array()
            .unwrap()
            .iter()
            .any(|run| run["dag_run_id"] == "mine")
    );
    repaired(home, folder);
    assert_eq!(ask(&["dags", "pause", "first_one"])["is_paused"], true);
    assert_eq!(ask(&["dags", "unpause", "first_one"])["is_paused"], false);
    let next = ask(&["dags", "next-execution", "first_one", "-n", "3"]);
    assert_eq!(next.as_array().unwrap().len(), 3);
    assert!(next[2]["run_after"].as_str() > next[1]["run_after"].as_str());
}

/// What an operator does about a run that has ended.
fn repaired(home: &Path, folder: &Path) {
    let ask = |arguments: &[&str]| airlock(home, folder, arguments);
    let tree = text(home, folder, &["tasks", "list", "first_one", "--tree"]);
    assert!(
        tree.starts_with("write_text\n  count_words\n    report_count\n"),
        "{tree}"
    );
    let clear = [
        "tasks",
        "clear",
        "first_one",
        "count_words",
        "--downstream",
        "--run-id",
        "mine",
    ];
    let concerned = ask(&[&clear[..], &["--dry-run"]].concat());
    assert_eq!(concerned["total_entries"], 2, "{concerned}");
    let out = command(home, folder).args(clear).output().unwrap();
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(said.contains("AL-0827") && said.contains("--yes"), "{said}");
    assert_eq!(
        ask(&["dags", "state", "first_one", "mine"])["clear_number"],
        0
    );
    let cleared = ask(&[&clear[..], &["--yes"]].concat());
    assert_eq!(cleared["total_entries"], 2, "{cleared}");
    until("the end of the run that was cleared", || {
        let run = ask(&["dags", "state", "first_one", "mine"]);
        run["state"] == "success" && run["clear_number"] == 1
    });
    let mark = [
        "tasks",
        "set-state",
        "first_one",
        "report_count",
        "mine",
        "failed",
        "--yes",
    ];
    assert_eq!(ask(&mark)["task_instances"][0]["state"], "failed");
    let task = ["tasks", "state", "first_one", "report_count", "mine"];
    assert_eq!(text(home, folder, &task), "failed\n");
}
