//! The second wall, around hosts that really run.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use airlock_tests::{Host, airlock};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};

/// A team whose bundle is granted a directory; the bundle itself need not be there.
fn granted(directory: &Path) -> String {
    let folder = directory.parent().unwrap().display();
    format!(
        "[[team]]\nname = \"a\"\n[[team.bundle]]\nname = \"one\"\nsource = \"{folder}/one.wasm\"\n\
         [[team.bundle.grant.directory]]\npath = \"data\"\nhost = \"{}\"\nmode = \"read-write\"\n",
        directory.display()
    )
}

/// What a start says that must not come off.
fn refused(config: &str) -> Output {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("airlock.toml");
    fs::write(
        &file,
        format!("[server]\nlisten = \"127.0.0.1:0\"\n{config}"),
    )
    .unwrap();
    let output = Command::new(airlock())
        .args(["standalone", "--config"])
        .arg(file)
        .env("AIRLOCK_HOME", home.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    output
}

fn complaint(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// From now on, what this thread starts runs on a kernel that seems to have no Landlock, as in some containers.
fn without_landlock() {
    let filter = SeccompFilter::new(
        [(libc::SYS_landlock_create_ruleset, Vec::new())].into(),
        SeccompAction::Allow,
        SeccompAction::Errno(libc::ENOSYS.unsigned_abs()),
        std::env::consts::ARCH.try_into().unwrap(),
    );
    let program: BpfProgram = filter.unwrap().try_into().unwrap();
    seccompiler::apply_filter(&program).unwrap();
}

/// Whether this machine has all of Landlock that is asked for.
fn has_landlock() -> bool {
    let host = Host::start("");
    host.log()
        .contains("no new privileges, Landlock, system call filter")
}

#[test]
fn a_running_host_is_behind_the_second_wall_with_all_its_threads() {
    let host = Host::start("");
    assert!(
        host.log().contains("the host has restricted itself"),
        "{}",
        host.log()
    );
    let threads = fs::read_dir(format!("/proc/{}/task", host.pid())).unwrap();
    let threads: Vec<_> = threads.map(|thread| thread.unwrap().path()).collect();
    assert!(threads.len() > 3, "{threads:?}");
    for thread in threads {
        // One may have ended since.
        let Ok(status) = fs::read_to_string(thread.join("status")) else {
            continue;
        };
        for line in ["NoNewPrivs:\t1", "Seccomp:\t2"] {
            assert!(status.contains(line), "{line} is not in\n{status}");
        }
    }
}

#[test]
fn a_host_that_must_be_hardened_does_not_start_where_landlock_is_missing() {
    without_landlock();
    for required in ["partial", "full"] {
        let config = format!("[security]\nrequire_hardening = \"{required}\"\n");
        let said = complaint(&refused(&config));
        assert!(said.contains("AL-0120"), "{said}");
        assert!(
            said.contains("Landlock: not there: this kernel was built without it"),
            "{said}"
        );
    }
    let host = Host::start("");
    let log = host.log();
    assert!(
        log.contains("AL-0122") && log.contains("Landlock: not there"),
        "{log}"
    );
    assert!(
        log.contains("no new privileges, system call filter"),
        "{log}"
    );
}

#[test]
fn a_granted_directory_that_is_missing_at_the_start_is_a_gap_that_full_hardening_refuses() {
    if !has_landlock() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let later = folder.path().join("later");
    let full = "[security]\nrequire_hardening = \"full\"\n";
    let said = complaint(&refused(&format!("{full}{}", granted(&later))));
    assert!(said.contains("AL-0120"), "{said}");
    assert!(said.contains(&later.display().to_string()), "{said}");
    let host = Host::start(&granted(&later));
    assert!(host.log().contains("AL-0123"), "{}", host.log());
    let root = format!("roots = [\"{}\"]\n", folder.path().display());
    let host = Host::start(&format!("{full}{root}{}", granted(&later)));
    assert!(!host.log().contains("AL-0123"), "{}", host.log());
    fs::create_dir(&later).unwrap();
    let host = Host::start(&format!("{full}{}", granted(&later)));
    assert!(!host.log().contains("AL-012"), "{}", host.log());
}

#[test]
fn hardening_can_be_switched_off_and_the_host_warns_of_it() {
    let host = Host::start("[security]\nhardening = false\n");
    assert!(host.log().contains("AL-0121"), "{}", host.log());
    let status = fs::read_to_string(format!("/proc/{}/status", host.pid())).unwrap();
    assert!(status.contains("Seccomp:\t0"), "{status}");
    let both = "[security]\nhardening = false\nrequire_hardening = \"partial\"\n";
    let said = complaint(&refused(both));
    assert!(said.contains("AL-0108"), "{said}");
}
