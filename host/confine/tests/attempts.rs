//! Real processes that restrict themselves and then try what they must not.
//!
//! The kernel that runs these tests decides which layers there can be: where it has no Landlock, what only Landlock
//! refuses is not asserted, and the report must say that it is missing.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{
    fs,
    os::unix::process::ExitStatusExt as _,
    path::Path,
    process::{Command, Output},
};

/// SIGSYS: what the kernel sends for a call that is fatal.
const SIGSYS: i32 = 31;
const WHOLE: &str = "no new privileges, Landlock, system call filter";

fn confined(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_airlock-confined"))
        .args(arguments)
        .env_clear()
        .output()
        .unwrap()
}

/// What a process said: all but the last line about its wall, the last about its attempt.
fn said(output: &Output) -> (String, String) {
    let text = String::from_utf8_lossy(&output.stdout);
    let lines: Vec<&str> = text.lines().collect();
    let (last, report) = lines.split_last().unwrap();
    (report.join("\n"), (*last).to_owned())
}

/// Whether this kernel has all layers as a whole.
fn is_whole() -> bool {
    said(&confined(&["host", "--", "nothing"])).0 == WHOLE
}

fn host(roots: &[String], attempt: &[&str]) -> String {
    let roots: Vec<&str> = roots.iter().map(String::as_str).collect();
    let arguments = [&["host"], roots.as_slice(), &["--"], attempt].concat();
    said(&confined(&arguments)).1
}

fn compiler(attempt: &[&str]) -> Output {
    confined(&[&["compiler", "--"], attempt].concat())
}

fn at(folder: &Path, name: &str) -> String {
    folder.join(name).display().to_string()
}

const DENIED: &str = "Permission denied (os error 13)";
const REFUSED: &str = "Operation not permitted (os error 1)";

#[test]
fn a_host_reaches_what_is_named_in_the_mode_in_which_it_is_named_and_nothing_else() {
    if !is_whole() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    for name in ["inbox", "outbox", "beside"] {
        fs::create_dir(folder.path().join(name)).unwrap();
        fs::write(folder.path().join(name).join("file"), "text").unwrap();
    }
    let place = |name: &str| at(folder.path(), name);
    let roots = [
        format!("read={}", place("inbox")),
        format!("write={}", place("outbox")),
    ];
    let ask = |attempt: &str, name: &str| host(&roots, &[attempt, &place(name)]);
    for (attempt, name, answer) in [
        ("read", "inbox/file", "done"),
        ("list", "inbox", "done"),
        ("write", "inbox/file", DENIED),
        ("write", "inbox/new", DENIED),
        ("read", "outbox/file", "done"),
        ("write", "outbox/new", "done"),
        ("move", "outbox", "done"),
        ("pipe", "outbox/pipe", DENIED),
        ("read", "beside/file", DENIED),
        ("write", "beside/file", DENIED),
        ("list", "", DENIED),
        ("list", "beside", DENIED),
        ("read", "outbox/../beside/file", DENIED),
    ] {
        assert_eq!(ask(attempt, name), answer, "{attempt} {name}");
    }
    std::os::unix::fs::symlink(place("beside/file"), place("outbox/link")).unwrap();
    assert_eq!(ask("read", "outbox/link"), DENIED, "a link leads nowhere");
    assert_eq!(
        fs::read(folder.path().join("beside/file")).unwrap(),
        b"text"
    );
    assert_eq!(host(&roots, &["list", "/root"]), DENIED);
    assert_eq!(host(&roots, &["list", "/"]), DENIED);
}

#[test]
fn a_host_still_finds_names_and_listens_and_starts_and_ends_itself_as_the_compiler() {
    for attempt in ["listen", "look-up", "run-self", "end-child", "threads"] {
        assert_eq!(host(&[], &[attempt]), "done", "{attempt}");
    }
    assert_eq!(host(&[], &["read", "/etc/hosts"]), "done");
    assert_eq!(host(&[], &["read", "/proc/self/cgroup"]), "done");
    assert_eq!(host(&[], &["write", "/dev/null"]), "done");
    // A database may listen anywhere.
    let folder = tempfile::tempdir().unwrap();
    let socket = at(folder.path(), "socket");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    assert_eq!(host(&[], &["connect", &socket]), "done");
}

#[test]
fn a_host_runs_no_other_program_and_is_nobody_else() {
    assert_eq!(host(&[], &["chroot", "/"]), REFUSED);
    assert_eq!(host(&[], &["become-nobody"]), REFUSED);
    if !is_whole() {
        return;
    }
    let shell = fs::canonicalize("/bin/sh").unwrap().display().to_string();
    assert_eq!(host(&[], &["run", &shell]), DENIED);
    assert_eq!(
        host(&[], &["signal"]),
        REFUSED,
        "processes outside are out of reach"
    );
    let folder = tempfile::tempdir().unwrap();
    fs::copy(&shell, folder.path().join("sh")).unwrap();
    let roots = [format!("write={}", folder.path().display())];
    let own = at(folder.path(), "sh");
    assert_eq!(host(&roots, &["read", &own]), "done");
    assert_eq!(
        host(&roots, &["run", &own]),
        DENIED,
        "what was written is not run"
    );
}

#[test]
fn a_host_starts_itself_also_when_its_file_was_replaced_meanwhile() {
    let folder = tempfile::tempdir().unwrap();
    let program = at(folder.path(), "program");
    fs::copy(env!("CARGO_BIN_EXE_airlock-confined"), &program).unwrap();
    let root = format!("write={}", folder.path().display());
    let attempt = ["host", &root, "--", "run-self-replaced", &program];
    let output = Command::new(&program).args(attempt).output().unwrap();
    assert_eq!(said(&output).1, "done", "{output:?}");
    assert_eq!(fs::read(&program).unwrap(), b"another program");
}

#[test]
fn what_is_created_after_the_start_is_reached_through_its_parent_and_that_is_told() {
    if !is_whole() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let later = at(folder.path(), "later");
    let root = format!("write={later}");
    // The attempt makes it: that is what whoever creates it later does from outside.
    let output = confined(&["host", &root, "--", "write", &later]);
    let (report, answer) = said(&output);
    assert_eq!(answer, "done");
    assert!(report.contains("is not there, so all of"), "{report}");
    let around = format!("write={}", folder.path().display());
    let later = at(folder.path(), "another");
    let output = confined(&["host", &around, &format!("read={later}"), "--", "nothing"]);
    assert_eq!(said(&output).0, WHOLE, "a root around it is no gap");
    let output = confined(&["host", "read=/not-there", "--", "list", "/"]);
    let (report, answer) = said(&output);
    assert!(
        report.contains("out of reach until the next start"),
        "{report}"
    );
    assert_eq!(answer, DENIED);
}

#[test]
fn a_compiler_opens_no_file_and_is_not_killed_for_asking() {
    for path in ["/etc/hosts", "/proc/self/cgroup", "/dev/null"] {
        let output = compiler(&["read", path]);
        assert_eq!(said(&output).1, DENIED, "{path}");
    }
    let output = compiler(&["list", "/"]);
    assert_eq!(said(&output).1, DENIED);
}

#[test]
fn a_compiler_that_makes_a_socket_or_a_process_or_a_folder_is_killed() {
    for attempt in [
        "socket",
        "listen",
        "fork",
        "chroot",
        "pipe",
        "signal",
        "become-nobody",
    ] {
        let output = compiler(&[attempt, "/"]);
        assert_eq!(
            output.status.signal(),
            Some(SIGSYS),
            "{attempt}: {output:?}"
        );
    }
    let folder = tempfile::tempdir().unwrap();
    let output = compiler(&["move", &folder.path().display().to_string()]);
    assert_eq!(output.status.signal(), Some(SIGSYS), "{output:?}");
    assert!(folder.path().read_dir().unwrap().next().is_none());
}

#[test]
fn a_compiler_has_threads_and_memory_and_says_why_it_ends() {
    assert_eq!(said(&compiler(&["threads"])).1, "done");
    let panicked = compiler(&["panic"]);
    assert_eq!(panicked.status.code(), Some(101), "{panicked:?}");
    assert!(String::from_utf8_lossy(&panicked.stderr).contains("a panic speaks"));
    assert_eq!(compiler(&["abort"]).status.signal(), Some(6));
}

#[test]
fn without_landlock_the_other_layers_hold_and_the_report_says_what_is_missing() {
    let output = confined(&["without-landlock", "host", "--", "chroot", "/"]);
    let (report, answer) = said(&output);
    assert!(
        report
            .starts_with("no new privileges, system call filter\nLandlock: not there: this kernel"),
        "{report}"
    );
    assert_eq!(answer, REFUSED);
    let output = confined(&["without-landlock", "compiler", "--", "read", "/etc/hosts"]);
    assert_eq!(said(&output).1, DENIED, "the filter alone keeps files away");
}
