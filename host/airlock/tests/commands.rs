//! The commands as people run them: the real binary, in a home folder of its own.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Output, Stdio},
};

use serde_json::Value;
use tempfile::TempDir;

const AIRLOCK: &str = env!("CARGO_BIN_EXE_airlock");

fn airlock(home: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(AIRLOCK);
    for (name, _) in std::env::vars() {
        if name.starts_with("AIRLOCK") {
            command.env_remove(name);
        }
    }
    command
        .args(arguments)
        .env("AIRLOCK_HOME", home)
        .current_dir(home)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// What a command prints that must succeed.
fn done(home: &Path, arguments: &[&str]) -> String {
    let out = airlock(home, arguments);
    assert_eq!(
        out.status.code(),
        Some(0),
        "{arguments:?}: {}",
        text(&out.stderr)
    );
    text(&out.stdout)
}

fn json(home: &Path, arguments: &[&str]) -> Value {
    let mut all = arguments.to_vec();
    all.extend(["--output", "json"]);
    serde_json::from_str(&done(home, &all)).unwrap()
}

/// What a command says that must fail with this exit code.
fn refused(home: &Path, arguments: &[&str], code: i32) -> String {
    let out = airlock(home, arguments);
    let said = text(&out.stderr);
    assert_eq!(out.status.code(), Some(code), "{arguments:?}: {said}");
    assert_eq!(text(&out.stdout), "", "{arguments:?}");
    said
}

#[test]
fn commands_that_need_a_server_say_how_to_start_one() {
    let home = TempDir::new().unwrap();
    for command in [
        &["dags", "list"][..],
        &["dags", "trigger", "x"],
        &["tasks", "logs", "a", "b", "c"],
        &["variables", "set", "a", "b"],
        &["connections", "list"],
        &["pools", "delete", "x"],
        &["teams", "list"],
        &["dags", "delete", "x", "--yes"],
        &["tasks", "failed-deps", "a", "b", "c"],
        &["tasks", "clear", "a", "--run-id", "b", "--yes"],
        &["backfill", "list"],
        &["assets", "list"],
        &["triggers", "list"],
        &["callbacks", "retry", "x"],
        &["deadlines", "list"],
    ] {
        let said = refused(home.path(), command, 3);
        assert!(said.starts_with("error[AL-0820]: "), "{said}");
        assert!(said.contains("airlock standalone"), "{said}");
    }
    assert_eq!(
        fs::read_dir(home.path()).unwrap().count(),
        0,
        "asking leaves nothing behind"
    );
}

#[test]
fn what_is_not_understood_is_a_usage_error() {
    let home = TempDir::new().unwrap();
    for command in [
        &["dags"][..],
        &["nothing"],
        &["dags", "list", "--output", "xml"],
        &["bundle", "new", "../x"],
        &["bundle", "new", "a b"],
        &["bundle", "test", "a b"],
        &["bundle", "test", "x", "--logical-date", "tomorrow"],
        &["dags", "trigger", "x", "--conf", "[]"],
        // All runs of a DAG are never meant by leaving something out.
        &["tasks", "clear", "x"],
        &[
            "tasks",
            "clear",
            "x",
            "--run-id",
            "r",
            "--start-date",
            "2012-01-01",
        ],
        &["tasks", "clear", "x", "--run-id", "r", "--map-index", "1"],
        &["tasks", "set-state", "d", "t", "r", "running"],
        &["tasks", "test", "d", "t", "--returned", "x={"],
        &["tasks", "test", "d", "t", "--map-index", "-1"],
        &["triggers", "list", "--watchers", "--tasks"],
        &["callbacks", "list", "--state", "lost"],
        &["callbacks", "retry"],
        &["deadlines", "list", "--missed", "--ahead"],
        &["dags", "set-state", "d", "r", "queued"],
        &[
            "backfill",
            "create",
            "--from-date",
            "2012-01-01",
            "--to-date",
            "2012-01-02",
        ],
        &["backfill", "create", "d", "--from-date", "2012-01-01"],
        &[
            "backfill",
            "create",
            "d",
            "--from-date",
            "a",
            "--to-date",
            "b",
            "--max-active-runs",
            "0",
        ],
        &[
            "backfill",
            "create",
            "d",
            "--from-date",
            "a",
            "--to-date",
            "b",
            "--reprocess-behavior",
            "all",
        ],
        &[
            "backfill",
            "create",
            "d",
            "--dag-id",
            "d",
            "--from-date",
            "a",
            "--to-date",
            "b",
        ],
    ] {
        refused(home.path(), command, 2);
    }
    assert!(done(home.path(), &["--help"]).contains("Exit codes:"));
    assert!(done(home.path(), &["dags", "trigger", "--help"]).contains("--logical-date"));
}

#[test]
fn the_version_is_told() {
    let home = TempDir::new().unwrap();
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(
        done(home.path(), &["version"]),
        format!("airlock {version}\n")
    );
    assert_eq!(json(home.path(), &["version"])["version"], version);
}

#[test]
fn config_check_shows_every_mistake_at_once_and_list_where_each_value_comes_from() {
    let home = TempDir::new().unwrap();
    let file = home.path().join("airlock.toml");
    assert!(done(home.path(), &["config", "check"]).contains("no airlock.toml"));
    fs::write(&file, "[server]\nlisen = 1\n[scheduler]\nparallelism = 0\n").unwrap();
    let said = refused(home.path(), &["config", "check"], 1);
    assert_eq!(said.lines().count(), 2, "{said}");
    assert!(said.contains("error[AL-0103]: airlock.toml:2"), "{said}");
    assert!(said.contains("error[AL-0104]: airlock.toml:4"), "{said}");
    refused(home.path(), &["standalone"], 1);
    fs::write(&file, "[scheduler]\nparallelism = 7\n[[connection]]\nid = 'c'\nconn_type = 'x'\npassword = 'hunter2'\n").unwrap();
    assert!(done(home.path(), &["config", "check"]).contains("is right"));
    let listed = done(home.path(), &["config", "list"]);
    let line = |option: &str| {
        let found = listed.lines().find(|line| line.starts_with(option));
        found
            .unwrap_or_else(|| panic!("{option} is not in\n{listed}"))
            .to_owned()
    };
    assert!(
        line("scheduler.parallelism").ends_with("7               airlock.toml:2")
            || line("scheduler.parallelism").contains("airlock.toml:2")
    );
    assert!(line("server.listen").ends_with("default"));
    assert!(line("connection.c.password").contains("***") && !listed.contains("hunter2"));
    let defaults = json(home.path(), &["config", "list", "--defaults"]);
    let parallelism = defaults
        .as_array()
        .unwrap()
        .iter()
        .find(|o| o["option"] == "scheduler.parallelism");
    assert_eq!(parallelism.unwrap()["value"], "32");
    fs::write(&file, done(home.path(), &["config", "example"])).unwrap();
    done(home.path(), &["config", "check"]);
    let missing = refused(
        home.path(),
        &["config", "check", "--config", "nowhere.toml"],
        1,
    );
    assert!(missing.starts_with("error[AL-0101]"), "{missing}");
}

#[test]
fn the_database_is_made_checked_and_its_key_replaced_without_a_server() {
    let home = TempDir::new().unwrap();
    for looks in [["db", "check"], ["config", "rotate-key"]] {
        let said = refused(home.path(), &looks, 1);
        assert!(
            said.starts_with("error[AL-0606]: there is no database"),
            "{said}"
        );
        assert!(said.contains("airlock db migrate"), "{said}");
    }
    let left = fs::read_dir(home.path()).unwrap().count();
    assert_eq!(left, 0, "looking makes nothing");
    done(home.path(), &["db", "migrate"]);
    let state = json(home.path(), &["db", "check"]);
    assert_eq!(state["schema_version"], state["known_version"]);
    let first = json(home.path(), &["config", "rotate-key"]);
    let second = json(home.path(), &["config", "rotate-key"]);
    assert_ne!(first["key"], second["key"]);
}

#[test]
fn a_file_that_is_no_bundle_is_told_what_it_is() {
    let home = TempDir::new().unwrap();
    refused(home.path(), &["bundle", "inspect", "nothing.wasm"], 4);
    fs::write(home.path().join("text.wasm"), "hello\u{1b}[2J").unwrap();
    let said = refused(home.path(), &["bundle", "inspect", "text.wasm"], 1);
    assert!(said.starts_with("error[AL-0202]"), "{said}");
    refused(home.path(), &["bundle", "inspect", "."], 2);
    let said = refused(home.path(), &["bundle", "build"], 4);
    assert!(said.contains("airlock bundle new"), "{said}");
    refused(home.path(), &["bundle", "test", "x"], 4);
}

/// A server with one team and nothing to run, which ends when this does.
struct Server {
    child: Child,
    home: TempDir,
}

impl Server {
    fn start() -> Self {
        let home = TempDir::new().unwrap();
        let config = "[server]\nlisten = '127.0.0.1:0'\n[[team]]\nname = 'payments'\n[[team.variable]]\nkey = 'fixed'\nvalue = 'v'\n[[team.task_pool]]\nname = 'file'\nslots = 2\n";
        fs::write(home.path().join("airlock.toml"), config).unwrap();
        let mut child = Command::new(AIRLOCK)
            .args(["standalone", "--quiet"])
            .env("AIRLOCK_HOME", home.path())
            .current_dir(home.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(child.stdout.take().unwrap()).lines();
        let ready = said
            .by_ref()
            .map_while(Result::ok)
            .any(|line| line.contains("API http://"));
        assert!(ready, "it did not come up");
        std::thread::spawn(move || said.for_each(drop));
        Self { child, home }
    }

    fn path(&self) -> &Path {
        self.home.path()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn settings_are_changed_through_the_running_server() {
    let server = Server::start();
    let home = server.path();
    assert_eq!(json(home, &["teams", "list"])[0]["name"], "payments");

    done(
        home,
        &[
            "variables",
            "set",
            "region/eu",
            "hush",
            "--team",
            "payments",
            "--description",
            "where",
        ],
    );
    done(
        home,
        &[
            "variables",
            "set",
            "region/eu",
            "hushed",
            "--team",
            "payments",
        ],
    );
    let get = ["variables", "get", "region/eu", "--team", "payments"];
    assert_eq!(done(home, &get), "hushed\n");
    let listed = done(home, &["variables", "list", "--team", "payments"]);
    assert!(
        listed.contains("region/eu") && listed.contains("where") && !listed.contains("hushed"),
        "{listed}"
    );
    assert_eq!(
        json(home, &["variables", "list"]),
        Value::Array(Vec::new()),
        "global ones are others"
    );
    done(
        home,
        &["variables", "delete", "region/eu", "--team", "payments"],
    );
    let said = refused(home, &get, 4);
    assert!(said.starts_with("error[AL-0810]"), "{said}");
    let said = refused(
        home,
        &["variables", "set", "fixed", "x", "--team", "payments"],
        1,
    );
    assert!(said.contains("airlock.toml"), "{said}");
    refused(home, &["variables", "set", "x", "y", "--team", "nobody"], 4);

    let said = refused(home, &["connections", "set", "bank", "--password", "x"], 2);
    assert!(said.contains("--conn-type"), "{said}");
    done(
        home,
        &[
            "connections",
            "set",
            "bank",
            "--uri",
            "postgres://me:hunter2@db.example:5432/ledger?mode=ro",
        ],
    );
    let bank = json(home, &["connections", "get", "bank"]);
    assert_eq!(
        (&bank["host"], &bank["port"], &bank["has_password"]),
        (&"db.example".into(), &5432.into(), &true.into())
    );
    done(
        home,
        &["connections", "set", "bank", "--host", "db2.example"],
    );
    let listed = done(home, &["connections", "list"]);
    assert!(
        listed.contains("db2.example") && !listed.contains("hunter2"),
        "{listed}"
    );
    done(home, &["connections", "delete", "bank"]);
    refused(home, &["connections", "delete", "bank"], 4);

    done(
        home,
        &["pools", "set", "bank api", "4", "--team", "payments"],
    );
    done(
        home,
        &["pools", "set", "bank api", "-1", "--team", "payments"],
    );
    let pool = json(home, &["pools", "get", "bank api", "--team", "payments"]);
    assert_eq!(
        (&pool["slots"], &pool["occupied_slots"], &pool["open_slots"]),
        (&(-1).into(), &0.into(), &(-1).into())
    );
    let said = refused(
        home,
        &["pools", "set", "file", "5", "--team", "payments"],
        1,
    );
    assert!(said.starts_with("error[AL-0812]"), "{said}");
    assert!(done(home, &["pools", "list"]).contains("default_pool"));
    refused(
        home,
        &["pools", "delete", "default_pool", "--team", "payments"],
        1,
    );
    done(home, &["pools", "delete", "bank api", "--team", "payments"]);
}

#[test]
fn the_audit_tells_who_changed_what_is_exported_and_shows_that_somebody_touched_it() {
    let server = Server::start();
    let home = server.path();
    for (key, team) in [("a", "payments"), ("b", "payments")] {
        done(home, &["variables", "set", key, "hushed", "--team", team]);
    }
    let rows = json(home, &["audit", "list", "--action", "variable.set"]);
    let rows = rows.as_array().unwrap();
    assert_eq!(rows.len(), 2);
    assert_eq!(rows[0]["subject"], "variable b");
    let started = json(home, &["audit", "list", "--action", "host.start"]);
    assert_eq!(started[0]["sequence"], 1);
    let table = done(home, &["audit", "list", "--team", "payments"]);
    assert!(
        table.contains("person:operator") && table.contains("variable a"),
        "{table}"
    );
    assert!(!table.contains("hushed"), "{table}");

    // Beside the server that is at work.
    let whole = json(home, &["audit", "verify"]);
    let head = whole["head"].as_str().unwrap();
    assert_eq!(
        rows[0]["hash"].as_str(),
        head.split_once(':').map(|(_, hash)| hash)
    );
    done(home, &["audit", "export", "--file", "all.jsonl"]);
    let exported = fs::read_to_string(home.join("all.jsonl")).unwrap();
    assert_eq!(done(home, &["audit", "export"]), exported);
    let file = ["audit", "verify", "--file", "all.jsonl"];
    assert_eq!(json(home, &file), whole);
    assert_eq!(json(home, &[&file[..], &["--head", head]].concat()), whole);
    let said = refused(home, &["audit", "export", "--file", "all.jsonl"], 1);
    assert!(said.starts_with("error[AL-0825]"), "{said}");

    let lines: Vec<&str> = exported.lines().collect();
    let damage = |text: String, arguments: &[&str], code: &str| {
        fs::write(home.join("touched.jsonl"), text).unwrap();
        let all = [&["audit", "verify", "--file", "touched.jsonl"], arguments].concat();
        let said = refused(home, &all, 1);
        assert!(said.starts_with(&format!("error[{code}]")), "{said}");
        said
    };
    let row = rows[1]["sequence"].as_u64().unwrap();
    let said = damage(exported.replace("variable a", "variable x"), &[], "AL-0634");
    assert!(said.contains(&format!("row {row} ")), "{said}");
    let without: Vec<&str> = lines
        .iter()
        .copied()
        .filter(|line| !line.contains("variable a"))
        .collect();
    damage(without.join("\n"), &[], "AL-0632");
    let cut = lines[..lines.len() - 1].join("\n");
    damage(cut.clone(), &["--head", head], "AL-0635");
    damage("{\"sequence\": 1}\n".to_owned(), &[], "AL-0638");
    damage("x".repeat(100_000), &[], "AL-0638");
    // A part of it follows by itself, and says from where on.
    fs::write(home.join("part.jsonl"), lines[1..].join("\n")).unwrap();
    let part = json(home, &["audit", "verify", "--file", "part.jsonl"]);
    assert_eq!((&part["first"], &part["head"]), (&2.into(), &whole["head"]));
    // Without the noted end nobody can tell that there was more.
    fs::write(home.join("cut.jsonl"), cut).unwrap();
    done(home, &["audit", "verify", "--file", "cut.jsonl"]);
    refused(home, &["audit", "verify", "--head", "nonsense"], 2);
}

#[test]
fn a_running_server_answers_about_dags_and_keeps_its_home_to_itself() {
    let server = Server::start();
    let home = server.path();
    assert_eq!(json(home, &["dags", "list"]), Value::Array(Vec::new()));
    assert_eq!(
        done(home, &["dags", "list-import-errors"]),
        "everything could be imported\n"
    );
    for command in [
        &["dags", "show", "nothing"][..],
        &["dags", "pause", "nothing"],
        &["dags", "trigger", "nothing"],
        &["dags", "list-runs", "nothing"],
        &["dags", "state", "nothing", "x"],
        &["dags", "clear", "nothing", "x"],
        &["dags", "set-state", "nothing", "x", "failed", "--yes"],
        &["dags", "delete", "nothing", "--yes"],
        &["dags", "delete-run", "nothing", "x", "--yes"],
        &["tasks", "list", "nothing"],
        &["tasks", "state", "nothing", "t", "x"],
        &["tasks", "failed-deps", "nothing", "t", "x"],
        &["tasks", "clear", "nothing", "--run-id", "x"],
        &["tasks", "set-state", "nothing", "t", "x", "failed"],
        &[
            "backfill",
            "create",
            "nothing",
            "--from-date",
            "2012-01-01",
            "--to-date",
            "2012-01-02",
        ],
        &["backfill", "show", "1"],
        &["backfill", "cancel", "1", "--yes"],
        &["assets", "show", "s3://x/y z"],
        &["assets", "materialize", "nothing", "--team", "payments"],
        &["assets", "create-event", "nothing"],
        &["triggers", "show", "01981c2e-9f00-7000-8000-000000000001"],
        &["callbacks", "show", "01981c2e-9f00-7000-8000-000000000001"],
        &["callbacks", "retry", "01981c2e-9f00-7000-8000-000000000001"],
    ] {
        refused(home, command, 4);
    }
    for (list, field) in [
        ("backfill", "list"),
        ("assets", "list"),
        ("assets", "events"),
        ("triggers", "list"),
        ("callbacks", "list"),
        ("deadlines", "list"),
    ] {
        assert_eq!(json(home, &[list, field]), Value::Array(Vec::new()));
    }
    for (list, nothing) in [
        ("triggers", "no code of a bundle is being waited for\n"),
        ("callbacks", "no callbacks\n"),
        ("deadlines", "no deadlines\n"),
    ] {
        assert_eq!(done(home, &[list, "list"]), nothing);
    }
    let said = refused(home, &["callbacks", "retry", "first"], 1);
    assert!(said.starts_with("error[AL-0803]"), "{said}");
    let said = refused(home, &["dags", "show", "a b"], 1);
    assert!(said.starts_with("error[AL-0303]"), "{said}");
    for command in [
        &["db", "migrate"][..],
        &["config", "rotate-key"],
        &["standalone"],
    ] {
        let said = refused(home, command, 1);
        assert!(said.starts_with("error[AL-0620]"), "{said}");
    }
    fs::write(home.join("token"), "x".repeat(64)).unwrap();
    let said = refused(home, &["dags", "list"], 1);
    assert!(said.starts_with("error[AL-0801]"), "{said}");
}
