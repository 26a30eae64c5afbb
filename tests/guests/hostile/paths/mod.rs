//! Ways out of a granted directory, whose names are `in` (read) and `out` (read and write).

use std::{fs, io};

use crate::ask;

fn read(path: &str) -> String {
    ask::file(fs::read_to_string(path))
}

fn first(path: &str) -> io::Result<String> {
    use io::Read as _;
    let mut text = [0; 64];
    let count = fs::File::open(path)?.read(&mut text)?;
    Ok(String::from_utf8_lossy(text.get(..count).unwrap_or_default()).into_owned())
}

/// Each path that might lead out, and what was read there.
fn out() -> String {
    let paths = [
        "../secret.txt",
        "/../secret.txt",
        "/in/../secret.txt",
        "/in/../../secret.txt",
        "/in/./../secret.txt",
        "/in/a.txt/../../secret.txt",
        "/in//../secret.txt",
        "/in/up",
        "/in/away",
        "/in/folder/secret.txt",
        "/out/../in/../secret.txt",
        "in/\u{2e}\u{2e}/secret.txt",
        "/in/%2e%2e/secret.txt",
        "/in/..\\secret.txt",
        "/proc/self/environ",
        "/proc/self/root/etc/passwd",
        "/in/a.txt\0/../../secret.txt",
        "/dev/null",
        "/etc/passwd",
        "",
        "/",
        ".",
        "..",
    ];
    paths.map(read).join("|")
}

/// Links that this guest makes itself, and what is read and written through them.
fn links() -> String {
    let mut told = Vec::new();
    for (number, target) in [
        "../secret.txt",
        "/etc/passwd",
        "../in/../../secret.txt",
        "..",
    ]
    .iter()
    .enumerate()
    {
        let place = format!("/out/link{number}");
        #[expect(deprecated, reason = "the only portable way to make one")]
        let linked = fs::soft_link(target, &place).is_ok();
        let inside = format!("{place}/secret.txt");
        let (read, inside) = (read(&place), read(&inside));
        let written = fs::write(&place, "overwritten").is_ok();
        told.push(format!("{linked} {read} {inside} {written}"));
    }
    for target in ["/out/../secret.txt", "../secret.txt", "/in/a.txt"] {
        let linked = fs::hard_link(target, "/out/hard").is_ok();
        told.push(format!("hard {linked}"));
    }
    for (from, to) in [
        ("/out/own.txt", "/out/../moved.txt"),
        ("/in/a.txt", "/out/taken.txt"),
        ("/out/own.txt", "/in/put.txt"),
        ("/in/../secret.txt", "/out/taken.txt"),
    ] {
        drop(fs::write("/out/own.txt", "own"));
        told.push(format!("moved {}", fs::rename(from, to).is_ok()));
    }
    let removed = [
        fs::remove_file("/out/../secret.txt").is_ok(),
        fs::remove_file("/in/a.txt").is_ok(),
        fs::remove_dir_all("/in").is_ok(),
        fs::remove_dir_all("/out/..").is_ok(),
        fs::create_dir("/out/../made").is_ok(),
        fs::create_dir("/in/made").is_ok(),
    ];
    told.push(format!("{removed:?}"));
    told.join("|")
}

/// Reads while somebody exchanges a folder for a link to another, and back.
fn race() -> String {
    let mut seen = Vec::new();
    for _ in 0..3_000 {
        let text = read("/in/swap/secret.txt");
        if !seen.contains(&text) {
            seen.push(text);
        }
    }
    seen.join("|")
}

pub(crate) fn attack(which: &str) -> String {
    match which {
        "out" => out(),
        "links" => links(),
        "race" => race(),
        // A pipe that nobody writes to yet.
        "pipe" => ask::file(first("/in/fifo")),
        "device" => format!(
            "{}|{}",
            ask::file(first("/in/zero")),
            ask::file(fs::write("/out/full", "x").map(|()| "written"))
        ),
        other => format!("there is no path `{other}`"),
    }
}
