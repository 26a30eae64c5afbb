//! Which imports load, and what is said of those that do not.

use airlock_model::id::{BundleHash, BundleName};

use super::*;
use crate::{effective::Effective, grant::Grant, request::Request};

fn with(asks: &str, grants: &str) -> Effective {
    Effective::new(
        TeamName::new("payments").unwrap(),
        BundleLabel {
            name: BundleName::new("ledger").unwrap(),
            version: "2.3.0".into(),
            hash: BundleHash::from_bytes([1; 32]),
        },
        &Request::from_bundle_toml(asks).unwrap(),
        &toml::from_str::<Grant>(&grants.replace("team.bundle.grant.", "")).unwrap(),
    )
}

fn refusal(asks: &str, grants: &str, import: &str) -> UngrantedImport {
    let mut refused = with(asks, grants).check_imports(&[import]).unwrap_err();
    assert_eq!(refused.len(), 1);
    refused.remove(0)
}

#[test]
fn what_a_standard_library_drags_in_needs_no_grant() {
    let imports = [
        "wasi:cli/environment@0.2.6",
        "wasi:cli/exit@0.2.0",
        "wasi:cli/stderr@0.2.6",
        "wasi:cli/terminal-stdout@0.2.6",
        "wasi:io/poll@0.2.6",
        "wasi:io/streams@0.2.12",
        "wasi:clocks/wall-clock@0.2.6",
        "wasi:clocks/monotonic-clock@0.2.6",
        "wasi:random/insecure-seed@0.2.6",
        "wasi:filesystem/types@0.2.6",
        "wasi:filesystem/preopens@0.2.6",
        "airlock:capability/log@0.1.0",
        "airlock:capability/xcom@0.1.3",
        "airlock:capability/errors@0.1.0",
        "airlock:bundle/units@0.1.0",
        "airlock:bundle/waits@0.1.0",
        "airlock:bundle/definitions@0.1.0",
        "airlock:bundle/tasks@0.1.0",
    ];
    let linked = with("", "").check_imports(&imports).unwrap();
    assert_eq!(linked.len(), imports.len());
    assert!(
        linked
            .iter()
            .all(|one| one.interface.standing == Standing::Inert)
    );
    assert_eq!(linked[0].import, imports[0]);
}

#[test]
fn an_ungranted_interface_is_named_with_the_text_to_paste() {
    let import = "airlock:capability/connections@0.1.0";
    let text = refusal("", "", import).to_string();
    assert_eq!(
        text,
        "\
AL-0410: this bundle imports an interface that its grant holds in no phase
  bundle   ledger 2.3.0 (b3:01010101…), team payments
  import   airlock:capability/connections@0.1.0
  which    reads granted connections, passwords included
  help     ask for it in bundle.toml:
             [[request.connection]]
             id = \"CONNECTION_ID\"
             access = \"read\"
           and grant it in airlock.toml, below the [[team.bundle]] named \"ledger\" of team \"payments\":
             [[team.bundle.grant.connection]]
             id = \"CONNECTION_ID\"
             access = \"read\""
    );
    // Asked for already: then just that is to be granted.
    let asks = "[[request.connection]]\nid = \"bank\"\naccess = \"read\"\n[[request.connection]]\nid = \"mint\"\naccess = \"read\"\n";
    let refused = refusal(asks, "", import);
    assert_eq!(refused.request_snippet(), None);
    let grants = refused.grant_snippet().unwrap();
    assert!(
        grants.contains("\"bank\"") && grants.contains("\"mint\""),
        "{grants}"
    );
    assert!(with(asks, grants).check_imports(&[import]).is_ok());
    // Granted already: then just that is to be asked for.
    let grants = "[[connection]]\nid = \"bank\"\naccess = \"read\"\n";
    let refused = refusal("", grants, import);
    assert_eq!(refused.grant_snippet(), None);
    let asks = refused.request_snippet().unwrap();
    assert!(with(asks, grants).check_imports(&[import]).is_ok());
}

#[test]
fn pasting_what_a_refused_import_prints_makes_it_load() {
    for interface in interfaces() {
        let Some(kind) = interface.standing.kind() else {
            continue;
        };
        let (major, minor) = interface.version;
        let import = format!("{}/{}@{major}.{minor}.0", interface.package, interface.name);
        let refused = refusal("", "", &import);
        let pasted = with(
            refused.request_snippet().unwrap(),
            refused.grant_snippet().unwrap(),
        );
        assert!(pasted.check_imports(&[&import]).is_ok(), "{import}");
        assert!(!pasted.phases(kind).is_empty());
        assert!(pasted.interfaces().any(|one| one == interface));
    }
}

#[test]
fn sockets_are_never_linked_and_what_is_unknown_is_said_to_be() {
    let asks = "[[request.http]]\nurl = \"https://h.example.com/*\"\n";
    let grants = "[[http]]\nurl = \"https://h.example.com/*\"\n";
    for (import, words) in [
        ("wasi:sockets/tcp@0.2.6", "never linked"),
        ("wasi:sockets/ip-name-lookup@0.2.0", "never linked"),
        ("wasi:sockets/anything@0.3.0", "never linked"),
        ("wasi:http/incoming-handler@0.2.6", "does not have"),
        (
            "wasi:http/types@0.3.0",
            "this host has wasi:http/types 0.2.x",
        ),
        ("wasi:http/types@0.2.0-rc-2023-11-10", "this host has"),
        ("wasi:http/types", "this host has"),
        ("airlock:capability/variables@0.2.0", "this host has"),
        ("wasi:keyvalue/store@0.2.0", "does not have"),
        ("evil:pkg/\x1b[31m@0.1.0", "does not have"),
        ("loose-function", "does not have"),
        ("", "does not have"),
    ] {
        let text = refusal(asks, grants, import).to_string();
        assert!(
            text.starts_with("AL-0410") && text.contains(words),
            "{text}"
        );
        assert!(text.contains("help") && !text.contains('\x1b'), "{text}");
    }
    assert!(
        with(asks, grants)
            .check_imports(&["wasi:http/types@0.2.6"])
            .is_ok()
    );
}

#[test]
fn all_refused_imports_are_told_at_once() {
    let refused = with("", "")
        .check_imports(&["wasi:sockets/tcp@0.2.6", "wasi:io/poll@0.2.6", "nothing"])
        .unwrap_err();
    let names: Vec<&str> = refused.iter().map(UngrantedImport::import).collect();
    assert_eq!(names, ["wasi:sockets/tcp@0.2.6", "nothing"]);
}

#[test]
fn one_interface_stands_in_one_row_and_every_row_tells_a_reviewer_something() {
    for (index, row) in TABLE.iter().enumerate() {
        assert!(!row.meaning.is_empty() && !row.risk.is_empty());
        assert!(
            TABLE[index + 1..]
                .iter()
                .all(|other| (other.package, other.name) != (row.package, row.name))
        );
    }
}
