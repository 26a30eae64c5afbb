//! What is wider, by table.

use super::*;

fn request(text: &str) -> Request {
    Request::from_bundle_toml(text).unwrap()
}

/// What the second asks for beyond the first, a line each.
fn beyond(old: &str, new: &str) -> Vec<String> {
    let differences = request(new).beyond(&request(old));
    differences.iter().map(ToString::to_string).collect()
}

const OLD: &str = r#"
    [[request.http]]
    url = "https://*.example.com/v1/*"
    methods = ["GET", "POST"]
    [[request.connection]]
    id = "bank"
    access = "read"
    [[request.variable]]
    key = "ledger.*"
    phases = ["parse", "task"]
    [[request.directory]]
    path = "archive"
    mode = "read-write"
    [[request.asset]]
    name = "reports/*"
    access = "produce"
"#;

#[test]
fn the_same_said_otherwise_or_less_of_it_is_nothing_new() {
    assert!(beyond(OLD, OLD).is_empty());
    assert!(beyond(OLD, "").is_empty());
    let narrower = r#"
        [[request.http]]
        url = "https://api.example.com/v1/rates"
        [[request.http]]
        url = "https://*.eu.example.com/v1/a/*"
        methods = ["POST"]
        [[request.variable]]
        key = "ledger.currency"
        [[request.variable]]
        key = "ledger.eu.*"
        phases = ["parse"]
        [[request.directory]]
        path = "./archive/"
        [[request.asset]]
        name = "reports/daily"
        access = "produce"
    "#;
    assert!(beyond(OLD, narrower).is_empty());
}

#[test]
fn whatever_allows_one_call_more_is_told_with_its_phases() {
    for (new, expected) in [
        (
            "[[request.asset]]\nname = \"reports/daily\"\naccess = \"consume\"",
            "asset `reports/daily`, consume",
        ),
        (
            "[[request.asset]]\nname = \"repo*\"\naccess = \"produce\"",
            "asset `repo*`, produce",
        ),
        (
            "[[request.http]]\nurl = \"https://*.example.com/*\"",
            "GET https://*.example.com/* in task",
        ),
        (
            "[[request.http]]\nurl = \"http://api.example.com/v1/*\"",
            "GET http://api.example.com/v1/* in task",
        ),
        (
            "[[request.http]]\nurl = \"https://api.example.com:8443/v1/*\"",
            "GET https://api.example.com:8443/v1/* in task",
        ),
        (
            "[[request.http]]\nurl = \"https://example.com/v1/x\"",
            "GET https://example.com/v1/x in task",
        ),
        (
            "[[request.http]]\nurl = \"https://api.example.com/v1/x\"\nmethods = [\"GET\", \"DELETE\"]",
            "DELETE https://api.example.com/v1/x in task",
        ),
        (
            "[[request.http]]\nurl = \"https://api.example.com/v1/x\"\nphases = [\"task\", \"trigger\"]",
            "GET https://api.example.com/v1/x in trigger",
        ),
        (
            "[[request.connection]]\nid = \"bank\"\naccess = \"read\"\nphases = [\"task\", \"callback\"]",
            "connection `bank`, read in callback",
        ),
        (
            "[[request.connection]]\nid = \"warehouse\"",
            "connection `warehouse`, use in task",
        ),
        (
            "[[request.variable]]\nkey = \"ledge*\"",
            "variable `ledge*` in task",
        ),
        (
            "[[request.directory]]\npath = \"archive/in\"",
            "directory `archive/in`, read in task",
        ),
    ] {
        assert_eq!(beyond(OLD, new), [expected], "{new}");
    }
    let read = "[[request.directory]]\npath = \"a\"";
    let write = "[[request.directory]]\npath = \"a\"\nmode = \"read-write\"";
    assert!(beyond(write, read).is_empty());
    assert_eq!(beyond(read, write), ["directory `a`, read-write in task"]);
}

#[test]
fn phases_that_several_entries_cover_together_are_covered() {
    let old = "[[request.variable]]\nkey = \"a.*\"\n[[request.variable]]\nkey = \"a.b\"\nphases = [\"parse\"]";
    let new = "[[request.variable]]\nkey = \"a.b\"\nphases = [\"parse\", \"task\"]";
    assert!(beyond(old, new).is_empty());
    assert_eq!(beyond(new, old), ["variable `a.*` in task"]);
}
