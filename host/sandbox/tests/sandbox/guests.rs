//! The guests, compiled from `tests/guests` when they are older than their sources.
//!
//! Each test is a process of its own, so the first one compiles under a file lock, and the others find
//! that nothing is left to do.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
    time::SystemTime,
};

use rustix::fs::{FlockOperation, flock};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// When anything below `folder` was last written, build products aside.
fn newest_below(folder: &Path) -> SystemTime {
    let mut newest = SystemTime::UNIX_EPOCH;
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let about = entry.metadata().unwrap();
        let skipped = entry.file_name() == "target" || entry.file_name() == "Cargo.lock";
        newest = newest.max(match about.is_dir() {
            _ if skipped => continue,
            true => newest_below(&entry.path()),
            false => about.modified().unwrap(),
        });
    }
    newest
}

/// Cargo for another workspace: what concerns the host's own build does not reach it.
pub(crate) fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        let outer = ["CARGO", "RUST", "__CARGO"]
            .iter()
            .any(|start| text.starts_with(start));
        if outer && !["CARGO_HOME", "RUSTUP_HOME", "RUSTUP_TOOLCHAIN"].contains(&&*text) {
            cargo.env_remove(&name);
        }
    }
    cargo
}

fn compile() {
    let (root, guests) = (root(), root().join("tests/guests"));
    fs::create_dir_all(guests.join("target")).unwrap();
    let lock = File::create(guests.join("target/.tests.lock")).unwrap();
    flock(&lock, FlockOperation::LockExclusive).unwrap();
    let stamp = guests.join("target/.tests.stamp");
    let sources = [
        guests.clone(),
        root.join("guest-sdk/rust"),
        root.join("wit"),
    ];
    let changed = sources
        .iter()
        .map(|folder| newest_below(folder))
        .max()
        .unwrap();
    let built = fs::metadata(&stamp).and_then(|stamp| stamp.modified());
    if built.is_ok_and(|built| built >= changed) {
        return;
    }
    let status = cargo()
        .args(["build", "--release", "--target", "wasm32-wasip2"])
        .current_dir(&guests)
        .status()
        .unwrap();
    assert!(
        status.success(),
        "the guests in {} must compile",
        guests.display()
    );
    fs::write(stamp, "").unwrap();
}

/// The component of this name, such as `noop` or `hostile_tasks`.
pub(crate) fn guest(name: &str) -> Vec<u8> {
    compile();
    let file = format!("tests/guests/target/wasm32-wasip2/release/{name}.wasm");
    fs::read(root().join(file)).unwrap()
}
