//! What happens between the host's texts and the author's types, through the same door that the component
//! has: an entry, a context, and arguments as JSON.

use serde::{Deserialize, Serialize};

use crate::{
    outcome::{Downstream, Failure, Outcome},
    prelude::*,
    registry,
};

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Reading {
    celsius: f64,
}

#[task]
fn nothing() {}

#[task]
fn measured(ctx: &Context, celsius: f64) -> Reading {
    assert_eq!(ctx.task_id(), "test");
    Reading { celsius }
}

#[task]
fn named(name: &str, readings: &[Reading], last: &Reading, note: Option<String>) -> Result<String> {
    Ok(format!(
        "{name} {} {} {note:?}",
        readings.len(),
        last.celsius
    ))
}

// Names that the code around an author's function might have taken for its own.
#[task]
fn shadows(context: u8, arguments: u8, result: u8, task_id: u8) -> u8 {
    context + arguments + result + task_id
}

#[task]
fn patterns((a, b): (u8, u8), mut c: u8) -> u8 {
    c += a;
    c + b
}

#[task]
fn picky(what: String) -> Result<Option<u8>> {
    match what.as_str() {
        "skip" => Err(skip("not today")),
        "fail" => Err(fail("never").context("asking for the impossible")),
        "io" => Ok(Some(
            std::fs::read("no/such/file").map(|bytes| bytes.len() as u8)?,
        )),
        "none" => Ok(None),
        _ => bail!("try again"),
    }
}

#[task]
fn foreign_error() -> Result<u8, std::num::ParseIntError> {
    "x".parse()
}

// Calls tasks where their code was meant.
#[task]
fn astray(fails: bool) -> Result<()> {
    patterns((1, 2), 3).after(nothing());
    ensure!(!fails, "and then this");
    Ok(())
}

fn run(name: &str, arguments: &[&str]) -> Result<Outcome, Failure> {
    let arguments = arguments.iter().map(|&json| json.to_owned()).collect();
    registry::run(
        &format!("airlock_sdk::tests::{name}"),
        &Context::builder().build(),
        arguments,
    )
}

fn success(name: &str, arguments: &[&str]) -> Option<String> {
    match run(name, arguments) {
        Ok(Outcome::Success {
            value,
            downstream: Downstream::Free,
        }) => value,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_task_that_returns_nothing_leaves_no_xcom() {
    assert_eq!(success("nothing", &[]), None);
    assert_eq!(success("picky", &["\"none\""]), None);
}

#[test]
fn arguments_and_what_a_task_returns_are_json() {
    assert_eq!(
        success("measured", &["21.5"]).as_deref(),
        Some(r#"{"celsius":21.5}"#)
    );
    assert_eq!(
        success("shadows", &["1", "2", "3", "4"]).as_deref(),
        Some("10")
    );
    assert_eq!(success("patterns", &["[1, 2]", "3"]).as_deref(), Some("6"));
}

#[test]
fn borrowed_parameters_and_absent_values_are_understood() {
    let arguments = [
        "\"Seattle\"",
        r#"[{"celsius": 1}]"#,
        r#"{"celsius": 2}"#,
        "null",
    ];
    assert_eq!(
        success("named", &arguments).as_deref(),
        Some("\"Seattle 1 2 None\"")
    );
}

#[test]
fn a_skip_is_no_failure() {
    assert_eq!(
        run("picky", &["\"skip\""]).unwrap(),
        Outcome::Skipped("not today".to_owned())
    );
}

#[test]
fn a_failure_knows_its_causes_its_place_and_whether_another_try_may_help() {
    let failure = run("picky", &["\"fail\""]).unwrap_err();
    assert_eq!(failure.message, "asking for the impossible");
    assert_eq!(failure.causes, ["never"]);
    assert!(!failure.retry);

    let failure = run("picky", &["\"io\""]).unwrap_err();
    assert!(failure.message.starts_with("No such file"), "{failure:?}");
    assert!(failure.retry);
    assert!(here(&failure), "{failure:?}");

    assert_eq!(
        run("picky", &["\"else\""]).unwrap_err().message,
        "try again"
    );
    let failure = run("foreign_error", &[]).unwrap_err();
    assert_eq!(failure.message, "invalid digit found in string");
    assert!(here(&failure), "{failure:?}");
}

fn here(failure: &Failure) -> bool {
    failure
        .location
        .is_some_and(|location| location.file.ends_with("src/tests.rs"))
}

#[test]
fn an_argument_of_the_wrong_shape_names_the_parameter_and_is_not_tried_again() {
    let failure = run("measured", &["null"]).unwrap_err();
    assert_eq!(
        failure.message,
        "argument `celsius` is no `f64`: invalid type: null, expected f64 at line 1 column 4; its upstream task returned nothing: take an `Option` if that may be"
    );
    assert!(!failure.retry && here(&failure), "{failure:?}");
    let failure = run("measured", &[]).unwrap_err();
    assert!(
        failure
            .message
            .contains("takes 1 arguments and was given 0"),
        "{failure:?}"
    );
    assert!(here(&failure), "{failure:?}");
}

#[test]
fn code_that_is_gone_is_named() {
    let failure = run("renamed", &[]).unwrap_err();
    assert!(
        failure
            .message
            .contains("no task code `airlock_sdk::tests::renamed`"),
        "{failure:?}"
    );
    assert_eq!((failure.retry, failure.location), (false, None));
}

#[test]
fn calling_a_task_in_a_tasks_code_fails_the_try_for_good_and_says_what_was_meant() {
    let failure = run("astray", &["false"]).unwrap_err();
    assert_eq!(
        failure.message,
        "`patterns(…)` adds a task to a DAG, and was called outside of a #[dag] function; to run the task's code, call `patterns::run(…)`"
    );
    assert!(!failure.retry && here(&failure), "{failure:?}");
    let failure = run("astray", &["true"]).unwrap_err();
    assert!(failure.message.contains("`patterns::run(…)`"));
    assert_eq!(failure.causes, ["and then this"]);
    assert_eq!(success("nothing", &[]), None, "the next try is another's");
}

#[test]
fn the_error_behind_an_error_can_be_asked_for() {
    let error = Error::from("x".parse::<u8>().unwrap_err()).context("reading");
    assert!(error.downcast_ref::<std::num::ParseIntError>().is_some());
    assert!(error.downcast_ref::<std::io::Error>().is_none());
}

#[test]
fn an_error_prints_as_much_as_it_is_asked_for() {
    let error = Error::from("x".parse::<u8>().unwrap_err())
        .context("reading the count")
        .context("starting");
    assert_eq!(error.to_string(), "starting");
    assert_eq!(
        format!("{error:#}"),
        "starting: reading the count: invalid digit found in string"
    );
    let all = format!("{error:?}");
    assert!(
        all.starts_with("starting (") && all.contains("tests.rs"),
        "{all}"
    );
    assert!(
        all.ends_with(
            "\n  caused by: reading the count\n  caused by: invalid digit found in string"
        ),
        "{all}"
    );
}

#[test]
fn context_turns_an_absent_value_into_an_error() {
    assert_eq!(
        None::<u8>.context("no value").unwrap_err().to_string(),
        "no value"
    );
    let error = "x"
        .parse::<u8>()
        .with_context(|| format!("line {}", 3))
        .unwrap_err();
    assert_eq!(
        (error.to_string(), error.causes().len()),
        ("line 3".to_owned(), 1)
    );
}

#[test]
fn a_context_without_a_logical_date_says_what_to_do() {
    let ctx = Context::builder().run("manual__1", "manual").build();
    let error = ctx.logical_date().unwrap_err();
    assert_eq!(
        error.to_string(),
        "run `manual__1` has no logical date; trigger the DAG with a logical date"
    );
    assert!(!error.is_retryable());
    assert!(ctx.date().is_err() && ctx.data_interval().is_err());
}

#[test]
fn params_are_read_as_the_authors_types() {
    let ctx = Context::builder()
        .param("city", "Zürich")
        .param("limit", 3)
        .build();
    assert_eq!(ctx.param::<String>("city").unwrap(), "Zürich");
    assert_eq!(ctx.param::<u8>("limit").unwrap(), 3);
    assert!(
        ctx.param::<u8>("city")
            .unwrap_err()
            .to_string()
            .starts_with("param `city`: ")
    );
    let missing = ctx.param::<u8>("size").unwrap_err().to_string();
    assert_eq!(
        missing,
        "the run has no param `size`; declare it: #[dag(params(size = …))]"
    );
}
