//! What a parse makes of DAG functions: the definition, and the mistakes.

use std::time::Duration;

use airlock_sdk::{
    definition::{self, Argument, DagSource, Delta, Param, RunImmediately, Schedule, TriggerRule},
    prelude::*,
    testing,
};

/// Extracts a number.
#[task]
fn extract() -> u32 {
    3
}

/// Says it.
#[task(
    task_id = "say.it",
    retries = 4,
    retry_delay = "1m30s",
    retry_exponential_backoff = 1.5,
    max_retry_delay = "1h",
    execution_timeout = "5m",
    trigger_rule = "none_failed_min_one_success",
    pool = "speakers",
    pool_slots = 2,
    priority_weight = -3,
    doc = "Says how many."
)]
fn say(number: u32, words: Vec<String>, note: Option<u32>) -> Result<()> {
    info!("{number} {words:?} {note:?}");
    Ok(())
}

#[task]
fn idle() {}

/// Everything that a DAG can say.
///
/// In more than one paragraph.
#[dag(
    dag_id = "all.of-it",
    schedule = "0 6 * * 1-5",
    timezone = "Europe/Zurich",
    start_date = "2024-01-01",
    end_date = "2024-12-31T18:00",
    catchup,
    max_active_runs = 3,
    max_active_tasks = 7,
    dagrun_timeout = "2h",
    tags = ["a", "b"],
    owners = ["data", "ops"],
    params(city = "Zürich", limit = 10, ratio = -0.5, sizes = [1, 2], must_be_given)
)]
fn everything() {
    let number = extract();
    say(&number, vec!["one".to_owned()], &number);
    say::with_id("say.it_2", 5, Vec::new(), None);
}

#[test]
fn the_definition_holds_what_the_attributes_say() {
    let dag = testing::parse::<everything>().unwrap();
    let spec = dag.spec;
    assert_eq!(spec.dag_id, "all.of-it");
    assert_eq!(
        spec.description,
        Some("Everything that a DAG can say.\n\nIn more than one paragraph.")
    );
    assert!(
        matches!(
            spec.schedule,
            Schedule::CronTrigger {
                lines: ["0 6 * * 1-5"],
                timezone: Some("Europe/Zurich"),
                interval: Delta {
                    months: 0,
                    time: Duration::ZERO
                },
                run_immediately: RunImmediately::No,
            }
        ),
        "{:?}",
        spec.schedule
    );
    // Midnight and 18:00 in Zurich are 23:00 and 17:00 UTC in winter.
    assert_eq!(spec.start_date, Some(1_704_063_600_000_000));
    assert_eq!(spec.end_date, Some(1_735_664_400_000_000));
    assert!(spec.catchup);
    assert_eq!(
        (spec.max_active_runs, spec.max_active_tasks),
        (Some(3), Some(7))
    );
    assert_eq!(spec.dagrun_timeout, Some(Duration::from_secs(7200)));
    assert_eq!(
        (spec.tags, spec.owners),
        (&["a", "b"][..], &["data", "ops"][..])
    );
    let param = |name, default| Param {
        name,
        default,
        schema: None,
        description: None,
    };
    assert_eq!(
        spec.params,
        [
            param("city", Some("\"Zürich\"")),
            param("limit", Some("10")),
            param("ratio", Some("-0.5")),
            param("sizes", Some("[1,2]")),
            param("must_be_given", None),
        ]
    );
    assert!(spec.location.file.ends_with("tests/authoring.rs"));

    let say = dag.task("say.it").unwrap();
    let output = || Argument::Output("extract".to_owned());
    assert_eq!(
        say.arguments,
        [
            output(),
            Argument::Literal("[\"one\"]".to_owned()),
            output()
        ]
    );
    assert_eq!(say.spec.entry, "authoring::say");
    assert_eq!(say.spec.retries, 4);
    assert_eq!(say.spec.retry_delay, Duration::from_secs(90));
    assert_eq!(say.spec.retry_exponential_backoff, 1.5);
    assert_eq!(say.spec.max_retry_delay, Some(Duration::from_secs(3600)));
    assert_eq!(say.spec.execution_timeout, Some(Duration::from_secs(300)));
    assert_eq!(say.spec.trigger_rule, TriggerRule::NoneFailedMinOneSuccess);
    assert_eq!((say.spec.pool, say.spec.pool_slots), (Some("speakers"), 2));
    assert_eq!(say.spec.priority_weight, -3);
    assert_eq!(say.spec.doc, Some("Says how many."));
    let second = dag.task("say.it_2").unwrap();
    let literal = |json: &str| Argument::Literal(json.to_owned());
    assert_eq!(
        second.arguments,
        [literal("5"), literal("[]"), literal("null")]
    );
    assert_eq!(second.location.line, say.location.line + 1);
}

#[dag]
fn bare() {
    extract();
}

#[test]
fn what_is_left_out_is_as_in_airflow_3() {
    let dag = testing::parse::<bare>().unwrap();
    let spec = dag.spec;
    assert!(matches!(spec.schedule, Schedule::None));
    assert_eq!((spec.dag_id, spec.catchup), ("bare", false));
    assert_eq!(
        (spec.start_date, spec.max_active_runs, spec.dagrun_timeout),
        (None, None, None)
    );
    let task = &dag.task("extract").unwrap().spec;
    assert_eq!(
        (task.retries, task.retry_delay),
        (0, Duration::from_secs(300))
    );
    assert_eq!(task.trigger_rule, TriggerRule::AllSuccess);
    assert_eq!(
        (task.pool, task.pool_slots, task.priority_weight),
        (None, 1, 1)
    );
    assert_eq!(task.doc, Some("Extracts a number."));
}

#[dag(schedule = "@once")]
fn once() {}

#[dag]
fn ordered() {
    let [a, b, c, d] = ["a", "b", "c", "d"].map(|id| idle::with_id(id));
    let number = extract();
    a.before(&b);
    c.after((a, number));
    c.before(vec![&d]);
    [b, c].before(d);
}

#[test]
fn order_without_data_is_said_between_tasks_and_lists_of_tasks() {
    let dag = testing::parse::<ordered>().unwrap();
    let upstream = |id: &str| dag.task(id).unwrap().upstream.clone();
    assert_eq!(upstream("a"), [""; 0]);
    assert_eq!(upstream("b"), ["a"]);
    assert_eq!(upstream("c"), ["a", "extract"]);
    assert_eq!(upstream("d"), ["c", "b", "c"]);
}

#[dag]
fn clumsy() {
    idle();
    idle();
    idle::with_id("two words");
}

#[test]
fn every_mistake_in_a_dag_is_named_with_dag_task_place_and_fix() {
    let errors = testing::parse::<clumsy>().unwrap_err();
    let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
    let at = |line: u32| format!("{}:{line}", clumsy::SPEC.location.file);
    let line = clumsy::SPEC.location.line;
    assert_eq!(
        texts,
        [
            format!(
                "there already is a task `idle`, added at {}; give this call an id of its own: `idle::with_id(\"idle_2\", …)` (DAG `clumsy`, {})",
                at(line + 1),
                at(line + 2)
            ),
            format!(
                "\"two words\" is no task_id; use 1 to 250 letters (a to z, A to Z), digits, `_`, `-` and `.` (DAG `clumsy`, {})",
                at(line + 3)
            ),
        ]
    );
}

#[dag]
fn refuses() -> Result<()> {
    extract();
    let many: u32 = "many".parse().context("reading the number of copies")?;
    assert_eq!(many, 0);
    Ok(())
}

#[test]
fn a_dag_function_may_fail_and_says_where() {
    let errors = testing::parse::<refuses>().unwrap_err();
    assert_eq!(errors.len(), 1);
    assert_eq!(
        errors[0].message,
        "reading the number of copies: invalid digit found in string"
    );
    assert_eq!(errors[0].location.line, refuses::SPEC.location.line + 2);
}

mod elsewhere {
    use airlock_sdk::prelude::*;

    #[dag(dag_id = "bare")]
    pub(crate) fn impostor() {}
}

#[test]
fn a_mistake_in_one_dag_leaves_the_others_alive() {
    let bundle = [
        bare::SPEC,
        clumsy::SPEC,
        elsewhere::impostor::SPEC,
        once::SPEC,
    ];
    let parsed = definition::parse(&bundle);
    let live: Vec<&str> = parsed.dags.iter().map(|dag| dag.spec.dag_id).collect();
    assert_eq!(live, ["bare", "once"]);
    let last = parsed.errors.last().unwrap();
    assert_eq!(last.location, elsewhere::impostor::SPEC.location);
    assert!(
        last.message
            .contains("the dag_id `bare` is taken by the DAG at"),
        "{last}"
    );
}

#[dag]
fn thousand() {
    let mut last = idle::with_id("task_1");
    for i in 2..=1000 {
        let next = idle::with_id(format!("task_{i}"));
        next.after(last);
        last = next;
    }
}

#[test]
fn a_loop_may_add_a_thousand_tasks() {
    let dag = testing::parse::<thousand>().unwrap();
    assert_eq!(dag.tasks.len(), 1000);
    assert_eq!(dag.tasks[999].upstream, ["task_999"]);
}

thread_local! {
    static SMUGGLED: std::cell::RefCell<Option<Output<u32>>> = const { std::cell::RefCell::new(None) };
}

#[dag]
fn lends() {
    SMUGGLED.replace(Some(extract()));
}

#[dag]
fn borrows() {
    if let Some(output) = SMUGGLED.take() {
        extract().after(output);
    }
}

#[test]
fn a_handle_of_one_dag_is_no_task_of_another() {
    testing::parse::<lends>().unwrap();
    let errors = testing::parse::<borrows>().unwrap_err();
    assert!(
        errors[0]
            .message
            .starts_with("this uses the output of a task of another DAG")
    );
}

#[test]
#[should_panic(expected = "to run the task's code, call `extract::run(…)`")]
fn adding_a_task_outside_of_a_dag_says_how_to_run_its_code() {
    extract();
}

mod twins {
    pub(crate) fn first() -> airlock_sdk::Output<()> {
        #[airlock_sdk::task]
        fn twin() {}
        twin()
    }

    pub(crate) fn second() -> airlock_sdk::Output<()> {
        #[airlock_sdk::task(task_id = "other_twin")]
        fn twin() {}
        twin()
    }
}

#[dag]
fn ambiguous() {
    twins::first();
    twins::second();
}

#[test]
fn task_code_that_could_be_mistaken_for_another_is_refused() {
    let errors = testing::parse::<ambiguous>().unwrap_err();
    assert_eq!(errors.len(), 1);
    assert!(
        errors[0]
            .message
            .contains("`authoring::twins::twin` is the name of two task functions")
    );
}

#[dag]
fn nested() {
    extract();
    let _ = testing::parse::<bare>();
}

#[test]
fn a_dag_that_parses_another_one_is_told_so() {
    let errors = testing::parse::<nested>().unwrap_err();
    assert!(
        errors[0]
            .message
            .starts_with("the DAG function parsed another DAG")
    );
}
