//! Definitions that mean no good: one that is well made, with a few of its values replaced by hostile ones. Each is a DAG
//! that keeps the rules, or is refused with every reason; and neither takes long or panics.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on is to fail"
)]

use airlock_model::dag::{Dag, DagSpec};
use proptest::{prelude::*, sample::Index};
use serde_json::{Value, json};

/// A definition with something of everything, as it is kept.
fn well_made() -> Value {
    let mut spec = serde_json::to_value(DagSpec::default()).unwrap();
    let task = serde_json::to_value(airlock_model::dag::TaskSpec::default()).unwrap();
    let task = |id: &str, more: Value| {
        let mut task = task.clone();
        task["task_id"] = json!(id);
        task["entry"] = json!("entry");
        for (key, value) in more.as_object().unwrap() {
            task[key] = value.clone();
        }
        task
    };
    spec["dag_id"] = json!("daily");
    spec["tags"] = json!(["a"]);
    spec["params"] = json!([{
        "name": "region", "default": "\"eu\"", "schema": "{\"type\":\"string\"}", "description": null,
    }]);
    spec["assets"] = json!([{"name": "lake", "uri": "s3://lake/a", "group": null, "extra": "{}"}]);
    spec["asset_condition"] =
        json!({"all": [{"of": {"name": "lake"}}, {"any": [{"of": {"uri": "s3://lake/a"}}]}]});
    spec["groups"] = json!([
        {"group_id": "g", "parent": null, "mapping": [], "doc": null, "location": null},
        {"group_id": "g.h", "parent": "g", "mapping": [{"name": "x", "source": {"literal": "[1,2]"}}], "doc": null, "location": null},
    ]);
    spec["tasks"] = json!([
        task("first", json!({"role": "setup"})),
        task(
            "g.second",
            json!({"arguments": [{"output": "first"}, {"literal": "1"}], "group": "g", "retries": 2})
        ),
        task(
            "g.h.third",
            json!({"arguments": [{"mapped": "x"}], "upstream": ["g.second"], "group": "g.h"})
        ),
        task(
            "fourth",
            json!({"arguments": [{"mapped": "y"}], "mapping": {"product": [{"name": "y", "source": {"output": "first"}}]}, "outlets": [{"name": "lake"}]})
        ),
        task(
            "last",
            json!({"upstream": ["fourth", "g.h.third"], "trigger_rule": "one_failed", "role": {"teardown": {"on_failure_fail_dagrun": true}}})
        ),
    ]);
    spec
}

/// A value that could stand anywhere.
fn hostile() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        prop::sample::select(vec![
            json!(""),
            json!("../../etc"),
            json!("a\u{0}b"),
            json!("\u{1b}[2J\u{202e}"),
            json!("first"),
            json!("g.second"),
            json!("g.h"),
            json!("last"),
            json!("{"),
            json!("[[[[[[[["),
            json!("{\"$ref\":\"#\"}"),
            json!("{\"$ref\":\"http://127.0.0.1/\"}"),
            json!("{\"pattern\":\"(a+)+$\"}"),
            json!(u64::MAX),
            json!(u32::MAX),
            json!(-1),
            json!(1e308),
            json!([]),
            json!({}),
            json!([{}]),
            json!({"secs": u64::MAX, "nanos": 999_999_999}),
            json!({"output": "last"}),
            json!({"output": "nobody"}),
            json!({"mapped": "nobody"}),
            json!({"literal": "{"}),
            json!({"keywords": {"output": "first"}}),
            json!({"all": []}),
        ]),
        ".{0,300}".prop_map(Value::from),
        (1_usize..2000).prop_map(|length| Value::from("x".repeat(length))),
    ]
}

/// Every value of a tree, outermost first.
fn places(value: &Value, here: &str, found: &mut Vec<String>) {
    found.push(here.to_owned());
    match value {
        Value::Object(fields) => {
            for (key, inner) in fields {
                places(inner, &format!("{here}/{key}"), found);
            }
        }
        Value::Array(items) => {
            for (at, inner) in items.iter().enumerate() {
                places(inner, &format!("{here}/{at}"), found);
            }
        }
        _ => {}
    }
}

/// What was done to the definition.
#[derive(Debug, Clone)]
enum Twist {
    Replace(Index, Value),
    /// Another value of the definition takes its place: names go where other names were.
    Move(Index, Index),
    /// A list holds one of its items twice.
    Double(Index),
}

fn twists() -> impl Strategy<Value = Vec<Twist>> {
    let twist = prop_oneof![
        3 => (any::<Index>(), hostile()).prop_map(|(at, value)| Twist::Replace(at, value)),
        2 => (any::<Index>(), any::<Index>()).prop_map(|(from, to)| Twist::Move(from, to)),
        1 => any::<Index>().prop_map(Twist::Double),
    ];
    prop::collection::vec(twist, 1..5)
}

fn twisted(twists: &[Twist]) -> Value {
    let mut spec = well_made();
    for twist in twists {
        let mut all = Vec::new();
        places(&spec, "", &mut all);
        match twist {
            Twist::Replace(at, value) => {
                *spec.pointer_mut(&all[at.index(all.len())]).unwrap() = value.clone()
            }
            Twist::Move(from, to) => {
                let value = spec.pointer(&all[from.index(all.len())]).cloned().unwrap();
                *spec.pointer_mut(&all[to.index(all.len())]).unwrap() = value;
            }
            Twist::Double(at) => {
                if let Some(Value::Array(items)) = spec.pointer_mut(&all[at.index(all.len())])
                    && let Some(first) = items.first().cloned()
                {
                    items.push(first);
                }
            }
        }
    }
    spec
}

#[test]
fn the_definition_that_is_twisted_is_well_made() {
    let spec: DagSpec = serde_json::from_value(well_made()).unwrap();
    Dag::new(spec).unwrap();
}

proptest! {
    #[test]
    fn fuzz_a_twisted_definition_is_a_dag_that_keeps_the_rules_or_refused_with_codes(twists in twists()) {
        let Ok(spec) = serde_json::from_value::<DagSpec>(twisted(&twists)) else {
            return Ok(());
        };
        match Dag::new(spec.clone()) {
            Ok(dag) => {
                // What is live has ids that can stand in paths and logs, and all of its tasks.
                prop_assert_eq!(dag.tasks().len(), spec.tasks.len());
                for id in spec.tasks.iter().map(|task| &task.task_id).chain([&spec.dag_id]) {
                    let plain = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
                    prop_assert!(!id.is_empty() && id.len() <= 250 && id.chars().all(plain), "{}", id);
                }
            }
            Err(errors) => {
                prop_assert!(!errors.is_empty());
                for error in errors {
                    prop_assert!(error.to_string().starts_with("AL-03"), "{}", error);
                }
            }
        }
    }
}
