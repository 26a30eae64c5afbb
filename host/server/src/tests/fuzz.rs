//! Bodies at random for every address that changes something: none breaks the server, and one that is refused has changed
//! nothing.

use proptest::{prelude::*, sample::Index, strategy::ValueTree, test_runner::TestRunner};
use serde_json::json;

use super::{
    audited::{changes, filled},
    *,
};

/// How many bodies each address gets; as many as PROPTEST_CASES says, where it is set.
fn cases() -> u32 {
    let set = std::env::var("PROPTEST_CASES").ok();
    set.and_then(|cases| cases.parse().ok()).unwrap_or(16)
}

/// A value that could stand anywhere in a body.
fn hostile() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        prop::sample::select(vec![
            Value::Null,
            json!(true),
            json!(""),
            json!("../.."),
            json!("a\u{0}b"),
            json!("\u{1b}[2J\u{202e}<script>"),
            json!(-1),
            json!(u64::MAX),
            json!(1e308),
            json!("9999-12-31T23:59:59Z"),
            json!("-9999-01-01T00:00:00Z"),
            json!("2012-01-01"),
            json!("success"),
            json!("*"),
            json!([]),
            json!({}),
        ]),
        ".{0,40}".prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (1_usize..3000).prop_map(|length| Value::from("x".repeat(length))),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-z_]{0,12}", inner, 0..4)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

/// What is done to a body that would be right.
#[derive(Debug, Clone)]
enum Body {
    /// Other bytes.
    Bytes(Vec<u8>),
    /// Another value.
    Any(Value),
    /// One of its fields is another.
    Field(Index, Value),
    /// It has a field more.
    More(String, Value),
    /// It breaks off.
    Part(Index),
}

fn bodies() -> impl Strategy<Value = Body> {
    let names = [
        "dag_id",
        "dag_run_id",
        "logical_date",
        "conf",
        "note",
        "state",
        "new_state",
        "task_ids",
        "dry_run",
        "from_date",
        "to_date",
        "max_active_runs",
        "asset_id",
        "extra",
        "team_name",
        "key",
        "value",
        "slots",
        "is_paused",
        "include_downstream",
        "reprocess_behavior",
        "description",
    ];
    prop_oneof![
        1 => prop::collection::vec(any::<u8>(), 0..64).prop_map(Body::Bytes),
        2 => hostile().prop_map(Body::Any),
        4 => (any::<Index>(), hostile()).prop_map(|(at, value)| Body::Field(at, value)),
        4 => (prop::sample::select(names.to_vec()), hostile())
            .prop_map(|(name, value)| Body::More(name.to_owned(), value)),
        1 => any::<Index>().prop_map(Body::Part),
    ]
}

impl Body {
    fn of(&self, right: &Value) -> Vec<u8> {
        let mut body = right.clone();
        match self {
            Self::Bytes(bytes) => return bytes.clone(),
            Self::Any(value) => body = value.clone(),
            Self::Field(at, value) => {
                if let Value::Object(fields) = &mut body
                    && !fields.is_empty()
                {
                    let at = at.index(fields.len());
                    *fields.values_mut().nth(at).unwrap() = value.clone();
                }
            }
            Self::More(name, value) => {
                if let Value::Object(fields) = &mut body {
                    fields.insert(name.clone(), value.clone());
                }
            }
            Self::Part(at) => {
                let mut bytes = body.to_string().into_bytes();
                bytes.truncate(at.index(bytes.len() + 1));
                return bytes;
            }
        }
        body.to_string().into_bytes()
    }
}

/// All that a change could have changed, as text.
fn standing(world: &World) -> String {
    format!(
        "{:?}\n{:?}\n{:?}\n{:?}\n{:?}\n{:?}\n{:?}\n{:?}\n{:?}\n{:?}\n{:?}\n{:?}",
        world.dags.lock().unwrap(),
        world.runs.lock().unwrap(),
        world.tasks.lock().unwrap(),
        world.pools.lock().unwrap(),
        world.variables.lock().unwrap(),
        world.connections.lock().unwrap(),
        world.repairs.lock().unwrap().len(),
        world.backfills.lock().unwrap(),
        world.events.lock().unwrap(),
        world.queue.lock().unwrap(),
        world.callbacks.lock().unwrap(),
        world.audited.lock().unwrap(),
    )
}

#[tokio::test]
async fn fuzz_no_body_breaks_the_server_and_one_that_is_refused_changes_nothing() {
    let mut runner = TestRunner::default();
    let strategy = bodies();
    let (mut refused, mut done) = (0_u32, 0_u32);
    for _ in 0..cases() {
        let api = Api::start().await;
        for (method, path, right, ..) in changes() {
            let body = strategy.new_tree(&mut runner).unwrap().current();
            let bytes = body.of(&right);
            let before = standing(&api.world);
            let request = api
                .request(method.clone(), &filled(&path))
                .header("Content-Type", "application/json")
                .body(bytes.clone());
            let (status, answer) = answer(request).await;
            let told = || {
                format!(
                    "{method} {path} {}: {answer}",
                    String::from_utf8_lossy(&bytes)
                )
            };
            assert!(!status.is_server_error(), "{status} {}", told());
            if status.is_success() {
                done += 1;
            } else {
                refused += 1;
                assert!(answer["code"].is_string(), "{}", told());
                assert_eq!(standing(&api.world), before, "{}", told());
            }
        }
        assert_eq!(api.get("/livez").await.0, 200);
    }
    assert!(refused > 0 && done > 0, "{refused} {done}");
}
