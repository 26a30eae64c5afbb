//! The arrows between the rooms, read from their manifests: each room may know these and no others.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on is to fail")]

use std::{collections::BTreeSet, fs};

use airlock_tests::checkout;

/// What each room of the host may know.
const MAY_KNOW: [(&str, &[&str]); 9] = [
    ("model", &[]),
    ("confine", &[]),
    ("grant", &["model"]),
    ("bundle", &["model"]),
    ("secret", &["model"]),
    ("store", &["model"]),
    ("scheduler", &["model"]),
    ("capability", &["model", "grant"]),
    ("sandbox", &["model", "grant", "bundle", "confine"]),
];

/// Libraries that a room must not have.
const MUST_NOT_HAVE: [(&str, &[&str]); 9] = [
    ("confine", &["tokio", "sqlx", "wasmtime", "tracing"]),
    (
        "model",
        &["tokio", "sqlx", "wasmtime", "rand", "reqwest", "hyper"],
    ),
    ("grant", &["tokio", "sqlx", "wasmtime", "rand", "jiff"]),
    ("bundle", &["wasmtime", "sqlx"]),
    ("secret", &["wasmtime", "sqlx"]),
    ("store", &["wasmtime"]),
    ("scheduler", &["wasmtime", "sqlx"]),
    // It speaks to the teams' databases. Where Airlock's own is nobody tells it, and the store is no room that it knows.
    ("capability", &["wasmtime"]),
    ("sandbox", &["sqlx"]),
];

/// The libraries that a room is built with; those of its tests do not count.
fn dependencies(room: &str) -> BTreeSet<String> {
    let manifest = checkout().join("host").join(room).join("Cargo.toml");
    let text = fs::read_to_string(&manifest).unwrap();
    let table = text
        .split("\n[")
        .find(|table| table.starts_with("dependencies]"))
        .unwrap_or_default();
    let lines = table
        .lines()
        .skip(1)
        .filter_map(|line| line.split_once(['=', '.']));
    lines
        .map(|(name, _)| name.trim().to_owned())
        .filter(|name| !name.starts_with('#'))
        .collect()
}

#[test]
fn no_room_knows_one_that_it_may_not_know() {
    for (room, known) in MAY_KNOW {
        let ours = dependencies(room);
        let ours = ours.iter().filter_map(|name| name.strip_prefix("airlock-"));
        let extra: Vec<&str> = ours.filter(|name| !known.contains(name)).collect();
        assert!(extra.is_empty(), "host/{room} must not know {extra:?}");
    }
}

#[test]
fn no_room_has_a_library_that_would_let_it_do_what_it_must_not() {
    for (room, forbidden) in MUST_NOT_HAVE {
        let extra: Vec<String> = dependencies(room)
            .into_iter()
            .filter(|name| {
                forbidden
                    .iter()
                    .any(|bad| name == bad || name.starts_with(&format!("{bad}-")))
            })
            .collect();
        assert!(extra.is_empty(), "host/{room} must not have {extra:?}");
    }
}

#[test]
fn unsafe_code_stands_in_one_module() {
    fn walk(folder: &std::path::Path, found: &mut Vec<String>) {
        for entry in fs::read_dir(folder).unwrap().map_while(Result::ok) {
            let path = entry.path();
            if path.is_dir() && path.file_name().is_some_and(|name| name != "target") {
                walk(&path, found);
            } else if path.extension().is_some_and(|end| end == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                if text.lines().any(|line| {
                    line.trim_start().contains("unsafe {") || line.contains("unsafe fn")
                }) {
                    found.push(path.file_name().unwrap().to_string_lossy().into_owned());
                }
            }
        }
    }
    let mut found = vec![];
    walk(&checkout().join("host"), &mut found);
    assert!(found.len() <= 1, "unsafe code stands in {found:?}");
}
