//! Every stable code has its row in `docs/errors.md`, and every row has its code.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::Path,
};

use airlock_tests::checkout;

/// What sources say when they speak of codes as such.
const NO_CODE: &str = "AL-0000";

/// All `AL-nnnn` of a text: four digits and no more.
fn codes(text: &str) -> BTreeSet<&str> {
    let digits = |code: &str| code.bytes().skip(3).all(|byte| byte.is_ascii_digit());
    let ends = |at: usize| {
        text.as_bytes()
            .get(at + 7)
            .is_none_or(|next| !next.is_ascii_digit())
    };
    text.match_indices("AL-")
        .filter_map(|(at, _)| Some((at, text.get(at..at + 7)?)))
        .filter(|(at, code)| digits(code) && ends(*at) && *code != NO_CODE)
        .map(|(_, code)| code)
        .collect()
}

/// Calls `visit` with each Rust source below a folder.
fn sources(folder: &Path, visit: &mut impl FnMut(&Path, &str)) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            if path.file_name().is_some_and(|name| name != "target") {
                sources(&path, visit)?;
            }
        } else if path.extension().is_some_and(|end| end == "rs") {
            visit(&path, &fs::read_to_string(&path)?);
        }
    }
    Ok(())
}

/// Calls `visit` with each source that can raise an error.
fn raising(mut visit: impl FnMut(&Path, &str)) -> io::Result<()> {
    for folder in ["host", "guest-sdk"] {
        sources(&checkout().join(folder), &mut visit)?;
    }
    Ok(())
}

/// The codes that begin a row of a table of `docs/errors.md`, in its order.
fn explained() -> io::Result<Vec<String>> {
    let page = fs::read_to_string(checkout().join("docs/errors.md"))?;
    let row = |line: &str| {
        let code = line.strip_prefix("| AL-")?.get(..4)?;
        Some(format!("AL-{code}"))
    };
    Ok(page.lines().filter_map(row).collect())
}

#[test]
fn every_code_is_explained_and_nothing_else_is() {
    let mut raised: BTreeMap<String, String> = BTreeMap::new();
    raising(|path, text| {
        for code in codes(text) {
            raised
                .entry(code.to_owned())
                .or_insert_with(|| path.display().to_string());
        }
    })
    .unwrap();
    let explained: BTreeSet<String> = explained().unwrap().into_iter().collect();
    let missing: Vec<_> = raised
        .iter()
        .filter(|(code, _)| !explained.contains(*code))
        .collect();
    assert!(missing.is_empty(), "docs/errors.md lacks {missing:?}");
    let gone: Vec<_> = explained
        .iter()
        .filter(|code| !raised.contains_key(*code))
        .collect();
    assert!(
        gone.is_empty(),
        "docs/errors.md explains what no source says: {gone:?}"
    );
}

#[test]
fn each_code_is_explained_once_and_in_order() {
    let codes = explained().unwrap();
    assert!(
        codes.len() > 50,
        "the page's tables are not read: {codes:?}"
    );
    for pair in codes.windows(2) {
        assert!(pair[0] < pair[1], "{} stands before {}", pair[0], pair[1]);
    }
}

/// A message begins with its code and a colon. Two files that both have such a message for one code mean two
/// things by it.
#[test]
fn a_code_belongs_to_one_file() {
    let mut owners: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    raising(|path, text| {
        let path = path.strip_prefix(checkout()).unwrap_or(path);
        let path = path.display().to_string();
        if ["tests", "examples"].iter().any(|part| path.contains(part)) {
            return;
        }
        let text = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
        for code in codes(text) {
            if text.contains(&format!("{code}: ")) {
                owners
                    .entry(code.to_owned())
                    .or_default()
                    .insert(path.clone());
            }
        }
    })
    .unwrap();
    owners.retain(|_, files| files.len() > 1);
    assert!(owners.is_empty(), "codes with two meanings: {owners:#?}");
}

#[test]
fn a_code_is_four_digits_and_no_more() {
    let text = "AL-0101: and AL-02, AL-03x4, AL-04041, `AL-0505`, AL-0000, AL-07é, ä AL-0606";
    let found: Vec<&str> = codes(text).into_iter().collect();
    assert_eq!(found, ["AL-0101", "AL-0505", "AL-0606"]);
}
