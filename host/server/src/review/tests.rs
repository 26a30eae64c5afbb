use airlock_bundle::{Import, Manifest, Producer};
use airlock_model::id::BundleHash;

use super::*;

/// A bundle with one request of each kind, as its bytes would tell it.
fn ledger() -> Inspection {
    let text = r#"
        [bundle]
        name = "ledger"
        version = "2.3.0"
        [[request.http]]
        url = "https://api.bank.example/v1/*"
        methods = ["POST"]
        reason = "to pay"
        [[request.connection]]
        id = "bank"
        access = "read"
        [[request.variable]]
        key = "ledger.*"
        phases = ["parse", "task"]
        [[request.directory]]
        path = "archive"
        [[request.asset]]
        name = "reports/*"
        access = "produce"
    "#;
    let import = |name: &str| Import {
        name: name.to_owned(),
        functions: vec!["get".to_owned()],
    };
    let producer = |field: &str, name: &str, version: &str| Producer {
        field: field.to_owned(),
        name: name.to_owned(),
        version: version.to_owned(),
    };
    Inspection {
        hash: BundleHash::from_bytes([0x51; 32]),
        size: 7,
        imports: vec![
            import("wasi:clocks/wall-clock@0.2.6"),
            import("airlock:capability/connections@0.1.0"),
            import("wasi:sockets/tcp@0.2.6"),
            import("evil:x/y@1.0.0"),
        ],
        exports: vec![
            "airlock:bundle/dags@0.1.0".to_owned(),
            "airlock:bundle/callbacks@0.1.0".to_owned(),
        ],
        dags: Some("airlock:bundle/dags@0.1.0".to_owned()),
        tasks: None,
        producers: vec![
            producer("language", "C11", ""),
            producer("processed-by", "rustc", "1.95.0 (59807616e 2026-04-14)"),
            producer("processed-by", "wit-component", "0.254.0"),
            producer("sdk", "airlock-sdk", "0.1.0"),
        ],
        manifest: Manifest::parse(text).unwrap(),
    }
}

fn granted(review: &Review) -> Vec<(&str, Granted, Vec<&str>)> {
    review
        .rows
        .iter()
        .map(|row| {
            (
                row.kind.as_str(),
                row.granted,
                row.phases.iter().map(String::as_str).collect(),
            )
        })
        .collect()
}

#[test]
fn a_page_shows_each_request_and_whether_it_is_granted_wholly_in_part_or_not() {
    let team = TeamName::new("payments").unwrap();
    let grant = |text: &str| serde_json::from_str::<Grant>(text).unwrap();
    let some = grant(
        r#"{
            "connection": [{"id": "bank", "access": "read", "dags": ["payments_daily"]}],
            "variable": [{"key": "ledger.*", "phases": ["task"]}],
            "http": [{"url": "https://api.bank.example/v1/*", "methods": ["POST"]}],
            "asset": [{"name": "reports/daily", "access": "produce", "tasks": ["book"]}]
        }"#,
    );
    let review = Review::new(&ledger(), Holding::Granted(&team, &some)).unwrap();
    assert_eq!(
        granted(&review),
        [
            ("http", Granted::Yes, vec!["task"]),
            ("connection", Granted::Partly, vec!["task"]),
            ("variable", Granted::Partly, vec!["task"]),
            ("directory", Granted::No, vec![]),
            ("asset", Granted::Partly, vec![]),
        ]
    );
    assert_eq!(review.team_name.as_deref(), Some("payments"));
    assert_eq!(review.made_with, ["Rust 1.95.0", "airlock-sdk 0.1.0"]);
    assert_eq!(review.phases, ["parse", "callback"]);
    let standings: Vec<&str> = review.imports.iter().map(|i| i.standing.as_str()).collect();
    assert_eq!(standings, ["inert", "capability", "never", "unknown"]);
    assert_eq!(
        review.refused.len(),
        2,
        "sockets and the unknown: {:?}",
        review.refused
    );
}

#[test]
fn without_a_configuration_nothing_is_said_of_grants_and_the_default_team_has_all() {
    let review = Review::new(&ledger(), Holding::Unknown).unwrap();
    assert!(
        review
            .rows
            .iter()
            .all(|row| row.granted == Granted::Unknown)
    );
    assert!(review.refused.is_empty() && review.team_name.is_none());
    let review = Review::new(&ledger(), Holding::Automatic(Path::new("/bundles/ledger"))).unwrap();
    assert!(review.automatic);
    assert!(
        review.rows.iter().all(|row| row.granted == Granted::Yes),
        "{:?}",
        review.rows
    );
    let team = TeamName::new("payments").unwrap();
    let review = Review::new(&ledger(), Holding::Granted(&team, &Grant::default())).unwrap();
    assert!(review.rows.iter().all(|row| row.granted == Granted::No));
}
