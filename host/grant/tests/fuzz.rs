//! Texts of requests and grants that mean no good: each is read as what it says or refused, and whatever is read decides
//! without a panic and never beyond both sides.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on is to fail")]

use std::path::Path;

use airlock_grant::{AssetAccess, BundleLabel, Caller, Effective, Grant, Phase, Request};
use airlock_model::id::{BundleHash, BundleName, TeamName};
use proptest::prelude::*;

/// One table of a kind, of which some keys are right, some almost are.
fn table() -> impl Strategy<Value = String> {
    let kind = prop::sample::select(vec![
        "variable",
        "connection",
        "directory",
        "http",
        "asset",
        "variables",
        "grant",
        "",
    ]);
    let keys = [
        "key = \"granted.name\"",
        "key = \"granted.*\"",
        "key = \"*\"",
        "key = \"a*b\"",
        "key = 1",
        "id = \"bank\"",
        "id = \"../bank\"",
        "access = \"read\"",
        "access = \"write\"",
        "access = \"produce\"",
        "name = \"reports/*\"",
        "name = \" a\"",
        "name = \"*\"",
        "path = \"in\"",
        "path = \"../in\"",
        "path = \"/\"",
        "path = \"a/./b\"",
        "host = \"/srv/in\"",
        "host = \"\"",
        "mode = \"read-write\"",
        "mode = \"append\"",
        "url = \"https://api.example.com/*\"",
        "url = \"https://*\"",
        "url = \"file:///etc/passwd\"",
        "methods = [\"GET\", \"POST\"]",
        "methods = [\"GE T\"]",
        "methods = []",
        "phases = [\"parse\", \"task\"]",
        "phases = []",
        "phases = [\"all\"]",
        "dags = [\"daily\"]",
        "dags = [\"../daily\"]",
        "tasks = [\"book\"]",
        "reason = \"\u{1b}[2J\u{202e}\"",
        "quota = \"1 GiB\"",
    ];
    let keys = prop::sample::subsequence(keys.to_vec(), 0..5);
    (kind, keys).prop_map(|(kind, keys)| format!("[[{kind}]]\n{}\n", keys.join("\n")))
}

fn tables() -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec(table(), 0..4)
}

fn request(tables: &[String]) -> Option<Request> {
    let text: String = tables
        .iter()
        .map(|table| table.replace("[[", "[[request."))
        .collect();
    Request::from_bundle_toml(&text).ok()
}

fn effective(request: &Request, grant: &Grant) -> Effective {
    let label = BundleLabel {
        name: BundleName::new("bundle").unwrap(),
        version: "1.0.0".into(),
        hash: BundleHash::from_bytes([0; 32]),
    };
    Effective::new(TeamName::new("team").unwrap(), label, request, grant)
}

/// What is allowed to a task, of all that these tests could ask for.
fn allowed(effective: &Effective) -> Vec<String> {
    let caller = Caller {
        phase: Phase::Task,
        dag_id: None,
        task_id: None,
    };
    let mut allowed = Vec::new();
    for key in ["granted.name", "granted.", "other", "", "\u{0}"] {
        if effective.variable(&caller, key).is_ok() {
            allowed.push(format!("variable {key}"));
        }
    }
    for path in ["in", "../in", "/", "in/", ""] {
        if effective.directory(&caller, path).is_ok() {
            allowed.push(format!("directory {path}"));
        }
    }
    for name in ["reports/daily", "other", ""] {
        if effective.asset(&caller, name, AssetAccess::Produce).is_ok() {
            allowed.push(format!("asset {name}"));
        }
    }
    allowed
}

proptest! {
    #[test]
    fn fuzz_requests_and_grants_are_read_or_refused_and_decide_for_what_both_say(
        asked in tables(), given in tables(), noise in ".{0,60}",
    ) {
        // A text that is no TOML, or has what nobody knows, is refused with the reason.
        let _ = Request::from_bundle_toml(&noise);
        let _ = toml::from_str::<Grant>(&noise);
        let (asked, given) = (request(&asked), toml::from_str::<Grant>(&given.concat()).ok());
        let nothing = (Request::default(), Grant::default());
        let asked = asked.as_ref().unwrap_or(&nothing.0);
        let given = given.unwrap_or_default().relative_to(Path::new("/base"));
        let both = allowed(&effective(asked, &given));
        prop_assert!(allowed(&effective(asked, &nothing.1)).is_empty());
        prop_assert!(allowed(&effective(&nothing.0, &given)).is_empty());
        for one in &both {
            prop_assert!(!one.contains("..") && !one.contains('\u{0}') && !one.ends_with("other"), "{}", one);
        }
    }

    #[test]
    fn fuzz_a_grant_that_is_written_again_as_json_means_the_same(given in tables()) {
        // The same model stands behind both spellings, so what the one refuses the other refuses too.
        let text = given.concat();
        let read = toml::from_str::<Grant>(&text);
        let tree: Option<toml::Value> = toml::from_str(&text).ok();
        let json = tree.and_then(|tree| serde_json::to_value(tree).ok());
        let by_json = json.map(serde_json::from_value::<Grant>);
        match (read, by_json) {
            (Ok(read), Some(Ok(by_json))) => prop_assert_eq!(read, by_json),
            (Err(_), Some(Err(_)) | None) => {}
            (read, by_json) => prop_assert!(false, "{:?} and {:?}", read, by_json),
        }
    }
}
