//! Good and bad schemas, and good and bad values.

use serde_json::{Map, Value, json};

use super::*;
use crate::dag::{Dag, DagSpec, ParamSpec, Schedule};

fn spec(name: &str, default: Option<Value>, schema: Option<Value>) -> ParamSpec {
    ParamSpec {
        name: name.into(),
        default: default.map(|value| value.to_string()),
        schema: schema.map(|value| value.to_string()),
        description: None,
    }
}

fn dag(params: Vec<ParamSpec>) -> Result<Dag, Vec<String>> {
    let spec = DagSpec {
        dag_id: "d".into(),
        params,
        ..DagSpec::default()
    };
    Dag::new(spec).map_err(|all| all.iter().map(ToString::to_string).collect())
}

fn mistakes(params: Vec<ParamSpec>) -> String {
    dag(params).unwrap_err().join("\n")
}

fn conf(params: Vec<ParamSpec>, given: Value) -> Result<Value, String> {
    let Value::Object(given) = given else {
        panic!("an object")
    };
    let conf = dag(params).unwrap().params().conf(given);
    conf.map(|text| serde_json::from_str(&text).unwrap())
        .map_err(|refused| refused.to_string())
}

/// Schema, a value that satisfies it, one that does not, where in that, and what is told.
#[test]
fn a_value_is_held_against_its_schema() {
    for (schema, good, bad, at, told) in [
        (
            json!({"type": "integer"}),
            json!(3),
            json!("3"),
            "",
            "not of type \"integer\"",
        ),
        (
            json!({"type": "integer"}),
            json!(3.0),
            json!(3.5),
            "",
            "not of type \"integer\"",
        ),
        (
            json!({"type": ["null", "string"]}),
            json!(null),
            json!(1),
            "",
            "\"null\", \"string\"",
        ),
        (
            json!({"minimum": 1, "maximum": 9}),
            json!(9),
            json!(10),
            "",
            "greater than the maximum of 9",
        ),
        (
            json!({"exclusiveMinimum": 0}),
            json!(1),
            json!(0),
            "",
            "minimum of 0",
        ),
        (
            json!({"multipleOf": 0.1}),
            json!(0.3),
            json!(0.35),
            "",
            "multiple of 0.1",
        ),
        (
            json!({"minLength": 2, "maxLength": 3}),
            json!("ab"),
            json!("a"),
            "",
            "shorter than 2 characters",
        ),
        (
            json!({"pattern": "^[a-z]+$"}),
            json!("abc"),
            json!("ab1"),
            "",
            "does not match \"^[a-z]+$\"",
        ),
        (
            json!({"enum": ["a", "b"]}),
            json!("b"),
            json!("c"),
            "",
            "\"a\"",
        ),
        (
            json!({"const": 7}),
            json!(7),
            json!(8),
            "",
            "7 was expected",
        ),
        (
            json!({"format": "date"}),
            json!("2026-02-28"),
            json!("2026-02-30"),
            "",
            "not a \"date\"",
        ),
        (
            json!({"format": "date-time"}),
            json!("2026-02-28T00:00:00Z"),
            json!("today"),
            "",
            "not a \"date-time\"",
        ),
        (
            json!({"format": "multiline"}),
            json!("any\nkind"),
            json!(null),
            "-",
            "",
        ),
        (
            json!({"items": {"type": "string"}}),
            json!(["a"]),
            json!(["a", 1]),
            "/1",
            "not of type \"string\"",
        ),
        (
            json!({"uniqueItems": true}),
            json!([1, 2]),
            json!([1, 1]),
            "",
            "non-unique",
        ),
        (
            json!({"properties": {"a": {"type": "number"}}}),
            json!({"a": 1}),
            json!({"a": {}}),
            "/a",
            "not of type \"number\"",
        ),
        (
            json!({"required": ["a"]}),
            json!({"a": 1}),
            json!({}),
            "",
            "\"a\" is a required property",
        ),
        (
            json!({"properties": {"a": true}, "additionalProperties": false}),
            json!({}),
            json!({"x": 1}),
            "",
            "'x' was unexpected",
        ),
        (
            json!({"properties": {"x": false}}),
            json!({}),
            json!({"x": 1}),
            "/x",
            "nothing is allowed here",
        ),
        (
            json!({"not": {"type": "null"}}),
            json!(1),
            json!(null),
            "",
            "is not allowed",
        ),
        (
            json!({"anyOf": [{"type": "null"}, {"minimum": 3}]}),
            json!(3),
            json!(2),
            "",
            "'anyOf'",
        ),
        (
            json!({"$ref": "#/$defs/n", "$defs": {"n": {"type": "number"}}}),
            json!(1),
            json!("1"),
            "",
            "not of type \"number\"",
        ),
        (json!(true), json!(1), json!(1), "-", ""),
        (
            json!({"$schema": "http://json-schema.org/draft-07/schema#", "items": [{"type": "null"}]}),
            json!([null]),
            json!([0]),
            "/0",
            "not of type \"null\"",
        ),
    ] {
        let params = || vec![spec("p", None, Some(schema.clone()))];
        let given = conf(params(), json!({"p": good}));
        assert_eq!(given, Ok(json!({"p": good})), "{schema}");
        if at == "-" {
            continue;
        }
        let error = conf(params(), json!({"p": bad})).unwrap_err();
        assert!(
            error.starts_with("the param `p` is wrong: "),
            "{schema}: {error}"
        );
        assert!(error.contains(told), "{schema}: {error}");
        assert_eq!(error.contains("at `"), !at.is_empty(), "{schema}: {error}");
        assert!(error.contains(at), "{schema}: {error}");
    }
}

#[test]
fn a_schema_that_is_none_is_an_import_error_with_its_place() {
    for (schema, code, told) in [
        (json!({"type": "whole"}), "AL-0360", "at `/type`: \"whole\""),
        (
            json!({"properties": {"a": {"minimum": "x"}}}),
            "AL-0360",
            "at `/properties/a/minimum`",
        ),
        (json!([1]), "AL-0360", "is not of types"),
        (json!({"pattern": "("}), "AL-0360", "at `/pattern`"),
        (json!({"pattern": "(?=a)b"}), "AL-0360", "look-around"),
        (json!({"pattern": "(a)\\1"}), "AL-0360", "back-references"),
        (
            json!({"pattern": "((a{100}){100}){100}"}),
            "AL-0360",
            "large repetitions",
        ),
        (
            json!({"$schema": "https://example.org/mine"}),
            "AL-0360",
            "example.org",
        ),
        (
            json!({"$ref": "https://example.org/a.json"}),
            "AL-0362",
            "lies outside",
        ),
        (
            json!({"$ref": "file:///etc/passwd"}),
            "AL-0362",
            "lies outside",
        ),
        (
            json!({"items": {"$ref": "other.json"}}),
            "AL-0362",
            "at `/items/$ref`",
        ),
        (json!({"$ref": "#/$defs/a"}), "AL-0362", "is not there"),
        (json!({"$ref": "#name"}), "AL-0362", "is not there"),
        (json!({"items": {"$ref": "#"}}), "AL-0362", "leads back"),
        (
            json!({"$dynamicRef": "#a"}),
            "AL-0362",
            "depends on who asks",
        ),
        (
            json!({"$id": "https://example.org/a"}),
            "AL-0362",
            "no address",
        ),
        (
            json!({"items": {"$schema": "http://json-schema.org/draft-04/schema#"}}),
            "AL-0362",
            "dialect",
        ),
        (
            json!({"enum": vec![0; MAX_SCHEMA_SIZE]}),
            "AL-0363",
            "values",
        ),
        (
            json!({"enum": ["x".repeat(MAX_SCHEMA_BYTES)]}),
            "AL-0363",
            " bytes, and may have 65536",
        ),
        (
            json!({"allOf": vec![json!({"pattern": "a"}); MAX_PATTERNS + 1]}),
            "AL-0363",
            "regular expressions",
        ),
        (
            json!({"allOf": vec![json!({"unevaluatedItems": false}); MAX_UNEVALUATED + 1]}),
            "AL-0363",
            "unevaluated",
        ),
    ] {
        let told_of = mistakes(vec![spec("p", None, Some(schema.clone()))]);
        assert!(told_of.starts_with(code), "{schema}: {told_of}");
        assert!(told_of.contains(told), "{schema}: {told_of}");
        assert!(
            told_of.ends_with("(param `p`) (DAG `d`)"),
            "{schema}: {told_of}"
        );
    }
}

#[test]
fn a_schema_nested_too_deep_is_an_import_error() {
    let deep = (0..MAX_SCHEMA_DEPTH).fold(json!({}), |inner, _| json!({"items": inner}));
    assert!(dag(vec![spec("p", None, Some(deep.clone()))]).is_ok());
    let error = mistakes(vec![spec("p", None, Some(json!({"items": deep})))]);
    assert!(
        error.starts_with("AL-0363") && error.contains("levels"),
        "{error}"
    );
}

#[test]
fn references_that_double_again_and_again_are_an_import_error() {
    let mut defs = Map::new();
    for i in 0..24 {
        let next = json!({"$ref": format!("#/$defs/d{}", i + 1)});
        defs.insert(format!("d{i}"), json!({"anyOf": [next, next]}));
    }
    defs.insert("d24".into(), json!({"type": "null"}));
    let error = mistakes(vec![spec("p", None, Some(json!({"$defs": defs})))]);
    assert!(error.starts_with("AL-0363"), "{error}");
}

#[test]
fn the_work_of_one_check_is_bounded() {
    let list = || {
        vec![spec(
            "p",
            None,
            Some(json!({"type": "array", "uniqueItems": true})),
        )]
    };
    assert!(conf(list(), json!({"p": vec![json!("x"); 2]})).is_err());
    let long = "x".repeat(1 << 20);
    let error = conf(list(), json!({"p": [long]})).unwrap_err();
    assert!(error.contains("it may have 349525"), "{error}");
    // An expression costs more than a comparison, so a text that it is matched with may be less long.
    let pattern = || vec![spec("p", None, Some(json!({"pattern": "(x+x+)+y"})))];
    let error = conf(pattern(), json!({"p": "x".repeat(10_000)})).unwrap_err();
    assert!(error.contains("does not match"), "{error}");
    let error = conf(pattern(), json!({"p": "x".repeat(20_000)})).unwrap_err();
    assert!(error.contains("it may have 15887"), "{error}");
}

#[test]
fn a_default_that_its_schema_refuses_is_an_import_error() {
    let error = mistakes(vec![
        spec("n", Some(json!("one")), Some(json!({"type": "integer"}))),
        spec(
            "l",
            Some(json!([1, "2"])),
            Some(json!({"items": {"type": "integer"}})),
        ),
    ]);
    let (first, second) = error.split_once('\n').unwrap();
    assert!(first.starts_with("AL-0361"), "{first}");
    assert!(
        first.contains("the param `n` is wrong: it is not of type \"integer\""),
        "{first}"
    );
    assert!(
        second.contains("the param `l` is wrong: at `/1`: "),
        "{second}"
    );
    assert!(second.ends_with("(DAG `d`)"), "{second}");
}

#[test]
fn what_is_no_json_is_an_import_error() {
    let broken = ParamSpec {
        name: "p".into(),
        default: Some("{".into()),
        schema: Some("nope".into()),
        description: None,
    };
    let error = mistakes(vec![broken]);
    assert!(error.contains("AL-0315: `params.p` is not JSON"), "{error}");
    assert!(
        error.contains("AL-0315: `params.p.schema` is not JSON"),
        "{error}"
    );
}

#[test]
fn a_dag_has_a_bounded_number_of_params() {
    let many = |n| (0..n).map(|i| spec(&format!("p{i}"), None, None)).collect();
    assert!(dag(many(MAX_PARAMS)).is_ok());
    assert!(mistakes(many(MAX_PARAMS + 1)).starts_with("AL-0364"));
}

#[test]
fn a_run_gets_the_defaults_and_over_them_what_is_given() {
    let params = || {
        vec![
            spec("a", Some(json!(1)), None),
            spec("b", Some(json!({"x": 1})), Some(json!({"type": "object"}))),
        ]
    };
    assert_eq!(
        conf(params(), json!({})),
        Ok(json!({"a": 1, "b": {"x": 1}}))
    );
    assert_eq!(
        conf(params(), json!({"b": {"y": 2}, "unknown": true})),
        Ok(json!({"a": 1, "b": {"y": 2}, "unknown": true})),
        "a value is replaced as a whole, and conf may carry more than params"
    );
}

#[test]
fn all_that_is_wrong_is_told_at_once_by_name() {
    let params = vec![
        spec("must", None, None),
        spec("day", None, Some(json!({"format": "date"}))),
        spec(
            "size",
            Some(json!(1)),
            Some(json!({"type": "integer", "maximum": 9})),
        ),
    ];
    let error = conf(params, json!({"day": "x", "size": 9.5})).unwrap_err();
    assert_eq!(
        error,
        "the param `must` has no default: give it with --conf '{\"must\": …}'; \
         the param `day` is wrong: it is not a \"date\"; \
         the param `size` is wrong: it is not of type \"integer\"; \
         the param `size` is wrong: it is greater than the maximum of 9"
    );
}

#[test]
fn what_is_told_has_a_bound_and_is_fit_for_a_terminal() {
    let params = vec![spec("l", None, Some(json!({"items": {"type": "null"}})))];
    let error = conf(params, json!({"l": vec![1; 30]})).unwrap_err();
    assert_eq!(error.matches("is wrong").count(), 20);
    assert!(error.ends_with("; and 10 more"), "{error}");
    let evil = "\u{1b}[31m\u{202e}".repeat(200);
    let params = vec![spec(
        "o",
        None,
        Some(json!({"additionalProperties": false})),
    )];
    let error = conf(params, json!({"o": {evil: 1}})).unwrap_err();
    assert!(
        !error.contains(['\u{1b}', '\u{202e}']) && error.len() < 4000,
        "{error}"
    );
}

#[test]
fn a_scheduled_run_needs_a_default_for_every_param() {
    let spec = DagSpec {
        dag_id: "d".into(),
        schedule: Schedule::Once,
        params: vec![spec("p", None, Some(json!({"type": ["null", "string"]})))],
        ..DagSpec::default()
    };
    let error = Dag::new(spec).unwrap_err();
    assert!(error[0].to_string().starts_with("AL-0318"));
}
