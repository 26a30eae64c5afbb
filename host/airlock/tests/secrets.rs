//! Secrets as operators keep them: in files, out of Airflow, and under keys that are replaced while the power fails.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Child, Command, Output, Stdio},
};

use serde_json::Value;
use tempfile::TempDir;

const AIRLOCK: &str = env!("CARGO_BIN_EXE_airlock");

fn command(home: &Path, arguments: &[&str]) -> Command {
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
        .stdin(Stdio::null());
    command
}

/// What a command says, on both streams, that ends with this exit code.
fn said(home: &Path, arguments: &[&str], code: i32) -> String {
    let Output {
        status,
        stdout,
        stderr,
    } = command(home, arguments).output().unwrap();
    let said = format!(
        "{}{}",
        String::from_utf8(stdout).unwrap(),
        String::from_utf8(stderr).unwrap()
    );
    assert_eq!(status.code(), Some(code), "{arguments:?}: {said}");
    said
}

fn json(home: &Path, arguments: &[&str]) -> Value {
    let arguments = [arguments, &["--output", "json"]].concat();
    let out = command(home, &arguments).output().unwrap();
    assert!(out.status.success(), "{arguments:?}: {out:?}");
    serde_json::from_slice(&out.stdout).unwrap()
}

/// A server in this home folder, which ends when this does.
struct Server(Child);

impl Server {
    fn start(home: &Path, config: &str) -> Self {
        let config =
            format!("[server]\nlisten = '127.0.0.1:0'\n{config}[[team]]\nname = 'payments'\n");
        fs::write(home.join("airlock.toml"), config).unwrap();
        let mut child = command(home, &["standalone", "--quiet"])
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut lines = said.by_ref().map_while(Result::ok);
        assert!(
            lines.any(|line| line.contains("API http://")),
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

fn put(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    // A complete one takes the place of the old, as an agent does it.
    let beside = path.with_extension("new");
    fs::write(&beside, text).unwrap();
    fs::set_permissions(&beside, fs::Permissions::from_mode(0o600)).unwrap();
    fs::rename(&beside, path).unwrap();
}

#[test]
fn a_running_host_that_restricts_itself_reads_secrets_from_files_as_they_are_now() {
    let (home, elsewhere) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let key = elsewhere.path().join("payments/variables/api.key");
    put(&key, "first\n");
    let config = format!("[secrets]\nfiles = '{}'\n", elsewhere.path().display());
    let _server = Server::start(home.path(), &config);
    let get = ["variables", "get", "api.key", "--team", "payments"];
    assert_eq!(said(home.path(), &get, 0), "first\n");
    put(&key, "second\n");
    assert_eq!(said(home.path(), &get, 0), "second\n");
    let told = said(
        home.path(),
        &["variables", "set", "api.key", "x", "--team", "payments"],
        1,
    );
    assert!(
        told.contains("AL-0812") && told.contains("[secrets]"),
        "{told}"
    );
    fs::set_permissions(&key, fs::Permissions::from_mode(0o622)).unwrap();
    let told = said(home.path(), &get, 1);
    assert!(!told.contains("second"), "{told}");
    let bank = elsewhere.path().join("_global/connections/bank");
    put(&bank, "http://me:hunter2@bank.example/");
    let told = said(home.path(), &["connections", "list"], 0);
    assert!(
        told.contains("bank.example") && !told.contains("hunter2"),
        "{told}"
    );
}

#[test]
fn connections_come_from_airflow_and_go_back_without_their_secrets() {
    let home = TempDir::new().unwrap();
    let home = home.path();
    let _server = Server::start(home, "");
    let airflow = r#"{"bank": {"conn_type": "http", "host": "bank.example", "password": "hunter2", "extra": "{\"token\": \"hunter2\"}"},
        "db": "postgres://me:hunter2@db.example:5432/ledger"}"#;
    fs::write(home.join("airflow.json"), airflow).unwrap();
    let import = [
        "connections",
        "import",
        "airflow.json",
        "--team",
        "payments",
    ];
    let told = said(home, &[&import[..], &["--dry-run"]].concat(), 0);
    assert!(told.contains("would be created"), "{told}");
    let list = ["connections", "list", "--team", "payments"];
    assert_eq!(json(home, &list), serde_json::json!([]));
    said(home, &import, 0);
    // One that is there is in the way of all.
    fs::write(
        home.join("more.env"),
        "new=http://new.example\nbank=http://other.example\n",
    )
    .unwrap();
    let more = ["connections", "import", "more.env", "--team", "payments"];
    let told = said(home, &more, 1);
    assert!(
        told.contains("AL-0915") && told.contains("`bank` is there"),
        "{told}"
    );
    assert_eq!(json(home, &list).as_array().unwrap().len(), 2);
    let told = said(home, &[&more[..], &["--overwrite"]].concat(), 0);
    assert!(
        told.contains("created") && told.contains("changed"),
        "{told}"
    );
    let bank = json(home, &["connections", "get", "bank", "--team", "payments"]);
    assert_eq!(bank["host"], "other.example");
    assert_eq!(bank["has_password"], true, "what the file leaves out stays");

    let export = ["connections", "export", "out.json", "--team", "payments"];
    let told = said(home, &export, 0);
    assert!(told.contains("2 connections are left out"), "{told}");
    let mode = fs::metadata(home.join("out.json"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    let out: Value = serde_json::from_slice(&fs::read(home.join("out.json")).unwrap()).unwrap();
    assert_eq!(
        (&out["db"]["port"], &out["db"]["login"]),
        (&5432.into(), &"me".into())
    );
    assert!(!out.to_string().contains("hunter2"));
    assert!(said(home, &export, 1).contains("AL-0914"));
    let form = ["--form", "env", "--team", "payments"];
    said(
        home,
        &[&["connections", "export", "out.env"][..], &form].concat(),
        0,
    );
    let env = fs::read_to_string(home.join("out.env")).unwrap();
    assert!(
        env.contains("db=postgres://me@db.example:5432/ledger\n") && !env.contains("hunter2"),
        "{env}"
    );
    said(home, &["connections", "import", "out.env"], 0);

    let rows = json(home, &["audit", "list"]).to_string();
    assert!(
        rows.contains("connection.set") && !rows.contains("hunter2"),
        "{rows}"
    );
}

#[test]
fn a_rotation_that_is_killed_at_any_moment_loses_no_secret() {
    let home = TempDir::new().unwrap();
    let home = home.path();
    let server = Server::start(home, "");
    let count = 200;
    let many: String = (0..count)
        .map(|n| format!("c{n}=http://me:secret-{n}@h{n}.example\n"))
        .collect();
    fs::write(home.join("many.env"), many).unwrap();
    said(home, &["connections", "import", "many.env"], 0);
    drop(server);
    let keyring = home.join("keyring");
    let mut killed = 0;
    for moment in 0..12u32 {
        let before = fs::read(&keyring).unwrap();
        let mut rotation = command(home, &["config", "rotate-key"])
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        // From when both keys are in the file to when the old one is gone, a little later each time.
        while fs::read(&keyring).unwrap() == before && rotation.try_wait().unwrap().is_none() {
            std::hint::spin_loop();
        }
        for _ in 0..moment * 400 {
            std::hint::black_box(fs::metadata(&keyring).unwrap());
        }
        rotation.kill().unwrap();
        killed += u32::from(!rotation.wait().unwrap().success());
    }
    assert!(
        killed > 0,
        "every rotation was done before it could be killed"
    );
    // It opens every value on its way, and fails if one does not open.
    let last = json(home, &["config", "rotate-key"]);
    assert_eq!(last["resealed"], count);
    let keys = fs::read_to_string(&keyring).unwrap();
    assert_eq!(
        keys.lines().filter(|line| !line.starts_with('#')).count(),
        1
    );
    let beside = fs::read_dir(home)
        .unwrap()
        .map(|entry| entry.unwrap().file_name());
    let beside = beside.filter(|name| name.to_string_lossy().starts_with("keyring"));
    assert_eq!(beside.count(), 1, "no keys are left lying about");
    let again = json(home, &["config", "rotate-key"]);
    assert_eq!(
        (&again["resealed"], &again["resumed"]),
        (&count.into(), &false.into())
    );
}
