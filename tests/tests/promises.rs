//! `SECURITY.md` names the tests that hold its promises. They are there.

use std::{collections::BTreeSet, fs, io, path::Path};

use airlock_tests::checkout;

/// The names of functions in the Rust sources below a folder.
fn functions(folder: &Path, found: &mut BTreeSet<String>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            if path.file_name().is_some_and(|name| name != "target") {
                functions(&path, found)?;
            }
        } else if path.extension().is_some_and(|end| end == "rs") {
            let text = fs::read_to_string(&path)?;
            let names = text.split("fn ").skip(1).map(|rest| {
                let is_part = |c: &char| c.is_ascii_alphanumeric() || *c == '_';
                rest.chars().take_while(is_part).collect::<String>()
            });
            found.extend(names);
        }
    }
    Ok(())
}

/// What stands in backticks in the last cell of a table's row and reads like a test.
fn named(row: &str) -> impl Iterator<Item = &str> {
    let cell = row
        .trim_end_matches('|')
        .rsplit('|')
        .next()
        .unwrap_or_default();
    let is_test = |name: &&str| {
        name.contains('_')
            && name
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    };
    cell.split('`').skip(1).step_by(2).filter(is_test)
}

#[test]
fn every_test_that_a_promise_names_is_there() {
    let page = fs::read_to_string(checkout().join("SECURITY.md")).unwrap();
    let rows = page.lines().filter(|line| line.starts_with('|'));
    let named: BTreeSet<&str> = rows.flat_map(named).collect();
    assert!(
        named.len() > 50,
        "the page's tables are not read: {named:?}"
    );
    let mut there = BTreeSet::new();
    for folder in ["host", "guest-sdk", "tests"] {
        functions(&checkout().join(folder), &mut there).unwrap();
    }
    let missing: Vec<_> = named
        .iter()
        .filter(|name| !there.contains(**name))
        .collect();
    assert!(
        missing.is_empty(),
        "SECURITY.md names tests that are not there: {missing:?}"
    );
}
