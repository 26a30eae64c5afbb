//! Mistakes in `bundle.toml` and in grants, and how they are told.

use super::*;
use crate::grant::Grant;

fn mistake(text: &str) -> String {
    Request::from_bundle_toml(text).unwrap_err().to_string()
}

#[test]
fn a_mistake_is_told_with_its_line_and_what_would_be_right() {
    for (text, line, word) in [
        ("[[request.conection]]\nid = \"a\"\n", 1, "conection"),
        (
            "[[request.connection]]\nid = \"a\"\nacess = \"read\"\n",
            3,
            "acess",
        ),
        ("[[request.connection]]\nid = \"a b\"\n", 2, "connection id"),
        (
            "[[request.connection]]\nid = \"a\"\naccess = \"own\"\n",
            3,
            "expected `use` or `read`",
        ),
        (
            "[[request.connection]]\nid = \"a\"\nphases = [\"parse\"]\n",
            3,
            "only variables",
        ),
        ("[[request.connection]]\naccess = \"read\"\n", 1, "id"),
        (
            "[[request.variable]]\nkey = \"*\"\n",
            2,
            "something before it",
        ),
        ("[[request.variable]]\nkey = \"a.*.b\"\n", 2, "prefix"),
        (
            "[[request.variable]]\nkey = \"a\"\nphases = []\n",
            3,
            "empty list of phases",
        ),
        (
            "[[request.variable]]\nkey = \"a\"\nphases = [\"night\"]\n",
            3,
            "night",
        ),
        (
            "[[request.directory]]\npath = \"../x\"\n",
            2,
            "without `..`",
        ),
        (
            "[[request.directory]]\npath = \"x\"\nmode = \"write\"\n",
            3,
            "read-write",
        ),
        (
            "[[request.http]]\nurl = \"h.example\"\n",
            2,
            "begins with `https://`",
        ),
        (
            "[[request.http]]\nurl = \"https://h.example\"\nmethods = [\"get\"]\n",
            3,
            "capital letters",
        ),
        ("[requests]\n", 1, "requests"),
    ] {
        let error = mistake(text);
        assert!(error.starts_with("AL-0401"), "{error}");
        assert!(error.contains(&format!("line {line}")), "{text} {error}");
        assert!(error.contains(word), "{error}");
    }
    let twice = "[[request.directory]]\npath = \"x\"\n[[request.directory]]\npath = \"/x/\"\n";
    assert!(mistake(twice).contains("directory `x` is asked for twice"));
}

#[test]
fn a_whole_bundle_toml_is_read() {
    let request = Request::from_bundle_toml(
        "[bundle]\nname = \"weather\"\nversion = \"0.1.0\"\n
         [[request.directory]]\npath = \"archive\"\nmode = \"read\"\nreason = \"the observations\"\n
         [[request.directory]]\npath = \"reports\"\nmode = \"read-write\"\n",
    )
    .unwrap();
    assert_eq!(request.directory.len(), 2);
    assert_eq!(
        request.directory[0].reason.as_deref(),
        Some("the observations")
    );
    assert_eq!(request.directory[1].mode, Mode::ReadWrite);
    assert!(Request::from_bundle_toml("").unwrap().is_empty());
}

#[test]
fn mistakes_in_grants_are_errors_too() {
    let grant = |text: &str| toml::from_str::<Grant>(text).map_err(|error| error.to_string());
    for (text, word) in [
        ("[[connection]]\nid = \"a\"\nreason = \"x\"\n", "reason"),
        ("[[connections]]\nid = \"a\"\n", "connections"),
        ("[[directory]]\npath = \"a\"\n", "host"),
        (
            "[[http]]\nurl = \"https://h.example.com/*\"\nphases = [\"parse\"]\n",
            "only variables",
        ),
        ("[[connection]]\nid = \"a\"\ndags = [\"a/b\"]\n", "dag_id"),
        (
            "[[directory]]\npath = \"a\"\nhost = \"/a\"\n[[directory]]\npath = \"a\"\nhost = \"/b\"\ndags = [\"d\"]\n",
            "granted twice",
        ),
    ] {
        let error = grant(text).unwrap_err();
        assert!(error.contains(word) && error.contains("line"), "{error}");
    }
    // The same path may mean different directories to different tasks.
    let apart = "[[directory]]\npath = \"a\"\nhost = \"a\"\ndags = [\"c\"]\n
                 [[directory]]\npath = \"a\"\nhost = \"/b\"\ndags = [\"d\"]\n";
    let grant = grant(apart)
        .unwrap()
        .relative_to(std::path::Path::new("/etc/airlock"));
    assert_eq!(
        grant.directory[0].host,
        std::path::Path::new("/etc/airlock/a")
    );
    assert_eq!(grant.directory[1].host, std::path::Path::new("/b"));
}
