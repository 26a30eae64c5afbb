//! Callbacks and deadlines: what the definition says of them, and how they run.

use airlock_sdk::{CallbackKind, Deadline, definition::DeadlineTime, prelude::*, testing};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Person {
    name: String,
}

#[callback]
fn note(what: &CallbackContext) {
    assert_eq!(what.execution(), 1);
}

#[callback]
fn tell(what: &CallbackContext, channel: &str, person: Person) -> Result<()> {
    match channel {
        "#closed" => Err(fail("the channel is closed")),
        "#busy" => bail!("try again"),
        "#quiet" => Err(skip("nobody wants to know")),
        _ => {
            xcom::push(&format!("{channel} {}", person.name), &what.message())?;
            Ok(())
        }
    }
}

fn ada() -> Person {
    Person {
        name: "Ada".to_owned(),
    }
}

#[task(
    on_execute = note,
    on_success = [],
    on_failure = [note, tell("#data", ada())],
    on_retry = note(),
    on_skip = tell("#skips", ada())
)]
fn load() {}

#[dag(
    on_success = note,
    on_failure = tell("#operations", ada()),
    deadlines = [
        deadline("soon", DeadlineReference::QueuedAt + minutes(10), note),
        deadline("started", DeadlineReference::StartedAt + hours(1), tell("#late", ada())),
        deadline("by its date", DeadlineReference::LogicalDate + days(1), note),
        deadline("by then", DeadlineReference::Fixed("2030-01-01T00:00:00Z".parse()?), note),
        deadline("as ever", DeadlineReference::Average { runs: 10, at_least: 3 } + seconds(30), note),
    ]
)]
fn nightly() {
    load();
}

#[dag(deadlines = [
    deadline("a", DeadlineReference::QueuedAt, note),
    deadline("a", DeadlineReference::StartedAt, note),
])]
fn twice() {
    load();
}

#[dag(deadlines = [deadline("a", DeadlineReference::Fixed("tomorrow".parse()?), note)])]
fn never() {
    load();
}

#[test]
fn a_tasks_and_a_dags_callbacks_are_part_of_the_definition() {
    let dag = testing::parse::<nightly>().unwrap();
    let names = |specs: &[airlock_sdk::definition::CallbackSpec]| {
        let name = |spec: &airlock_sdk::definition::CallbackSpec| {
            let callback = (spec.callback)();
            let arguments = callback.arguments().unwrap();
            format!("{} {} {arguments}", spec.on.name(), callback.entry())
        };
        specs.iter().map(name).collect::<Vec<_>>()
    };
    let task = dag.task("load").unwrap();
    assert_eq!(
        names(task.spec.callbacks),
        [
            "task_execute callbacks::note null",
            "task_failure callbacks::note null",
            r##"task_failure callbacks::tell ["#data",{"name":"Ada"}]"##,
            "task_retry callbacks::note null",
            r##"task_skipped callbacks::tell ["#skips",{"name":"Ada"}]"##,
        ]
    );
    assert_eq!(
        names(dag.spec.callbacks),
        [
            "dag_success callbacks::note null",
            r##"dag_failure callbacks::tell ["#operations",{"name":"Ada"}]"##,
        ]
    );
}

#[test]
fn a_dags_deadlines_are_counted_from_their_references() {
    let dag = testing::parse::<nightly>().unwrap();
    let times: Vec<(&str, DeadlineTime)> = dag
        .deadlines
        .iter()
        .map(|Deadline { name, time, .. }| (name.as_str(), *time))
        .collect();
    let then = "2030-01-01T00:00:00Z".parse().unwrap();
    let average = DeadlineReference::Average {
        runs: 10,
        at_least: 3,
    };
    assert_eq!(
        times,
        [
            ("soon", DeadlineReference::QueuedAt + minutes(10)),
            ("started", DeadlineReference::StartedAt + hours(1)),
            ("by its date", DeadlineReference::LogicalDate + days(1)),
            ("by then", DeadlineReference::Fixed(then).into()),
            ("as ever", average + seconds(30)),
        ]
    );
    assert_eq!(dag.deadlines[1].callback.entry(), "callbacks::tell");
}

#[test]
fn a_wrong_deadline_is_an_import_error() {
    let errors = testing::parse::<twice>().unwrap_err();
    let expected = "there are two deadlines `a`; give one of the two another name";
    assert_eq!(errors[0].message, expected);
    let errors = testing::parse::<never>().unwrap_err();
    assert!(errors[0].message.starts_with("deadlines: "), "{errors:?}");
    assert!(errors[0].location.file.ends_with("callbacks.rs"));
}

#[test]
fn a_callback_runs_with_its_context_and_arguments() {
    let what = CallbackContext::test(CallbackKind::TaskFailure)
        .with_run("nightly", "scheduled__1")
        .with_task("load")
        .with_message("load has failed");
    testing::call(note, &what).unwrap();
    testing::call(tell("#data", ada()), &what).unwrap();
    assert_eq!(
        testing::pushed(),
        [("#data Ada".to_owned(), "\"load has failed\"".to_owned())]
    );
    tell::run(&what, "#data", ada()).unwrap();
    let attempt = what.attempt().unwrap();
    assert_eq!((attempt.task_id.as_str(), attempt.map_index), ("load", -1));
    assert_eq!((what.dag_id(), what.run_id()), ("nightly", "scheduled__1"));
}

#[test]
fn a_callback_that_fails_says_whether_another_execution_may_help() {
    let at = Timestamp::UNIX_EPOCH;
    let what = CallbackContext::test(CallbackKind::Deadline).with_deadline("soon", at);
    assert_eq!(what.deadline().unwrap().name, "soon");
    let call = |channel: &str| testing::call(tell(channel, ada()), &what);
    assert!(!call("#closed").unwrap_err().retry);
    let failure = call("#busy").unwrap_err();
    assert!(failure.retry);
    assert!(failure.location.unwrap().file.ends_with("callbacks.rs"));
    call("#quiet").unwrap();
}
