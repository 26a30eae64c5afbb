//! Bundles whose definitions mean no good: what is well made beside them is live, whose DAG was there first keeps it, and
//! the rest is refused with codes.

use std::{collections::HashMap, sync::Arc, time::Duration};

use airlock_model::{
    dag::{Argument, CronLine, DagSpec, Schedule, TaskSpec},
    id::BundleHash,
    port::SystemClock,
};
use airlock_scheduler::{ImportPolicy, Importer, import::Imported};
use proptest::{prelude::*, strategy::ValueTree, test_runner::TestRunner};

use crate::{
    Bench,
    imports::{Parsed, Same, importer, owner, policy, version},
    start, value,
};

/// How many bundles are imported; as many as PROPTEST_CASES says, where it is set.
fn cases() -> u32 {
    let set = std::env::var("PROPTEST_CASES").ok();
    set.and_then(|cases| cases.parse().ok()).unwrap_or(100)
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => prop::sample::select(vec!["a", "b", "c", "d"]).prop_map(str::to_owned),
        1 => prop::sample::select(vec!["", "..", "a/b", "a\u{0}", "\u{202e}a", " ", "ä", "A.b-c_9"])
            .prop_map(str::to_owned),
        1 => (240_usize..260).prop_map(|length| "x".repeat(length)),
    ]
}

fn task() -> impl Strategy<Value = TaskSpec> {
    let argument = prop_oneof![
        name().prop_map(Argument::Output),
        name().prop_map(Argument::Mapped),
        prop::sample::select(vec!["1", "{", "", "[[[[", "\"\u{1b}\""])
            .prop_map(|json| Argument::Literal(json.to_owned())),
    ];
    (
        name(),
        prop::collection::vec(name(), 0..3),
        prop::collection::vec(argument, 0..2),
        prop::option::of(name()),
        prop::option::of(name()),
        prop::sample::select(vec![0.0, 2.0, -1.0, f64::NAN, f64::INFINITY]),
        prop::sample::select(vec![0, 1, 1000, u64::MAX]),
        prop::sample::select(vec![0, 1, u32::MAX]),
    )
        .prop_map(
            |(task_id, upstream, arguments, pool, group, backoff, seconds, slots)| TaskSpec {
                task_id,
                entry: "entry".to_owned(),
                upstream,
                arguments,
                pool: pool.filter(|pool| pool.len() > 2),
                group: group.filter(|group| group.len() > 2),
                retry_exponential_backoff: backoff,
                retry_delay: Duration::from_secs(seconds),
                max_retry_delay: Some(Duration::from_secs(seconds)),
                pool_slots: slots,
                retries: slots,
                ..TaskSpec::default()
            },
        )
}

fn schedule() -> impl Strategy<Value = Schedule> {
    let cron = |expression: &str| {
        Schedule::CronInterval(CronLine {
            expression: expression.to_owned(),
            timezone: Some("Nowhere/Land".to_owned()).filter(|_| expression.len() > 20),
        })
    };
    prop::sample::select(vec![
        Schedule::default(),
        Schedule::Once,
        Schedule::Continuous,
        cron("@daily"),
        cron("0 0 30 2 *"),
        cron("* * * * * * * *"),
        cron("*/0 * * * *"),
        cron("99999999999999999999 * * * *"),
        cron("\u{0}"),
    ])
}

fn dag() -> impl Strategy<Value = DagSpec> {
    let id = prop_oneof![3 => name(), 1 => Just("owned".to_owned()), 1 => Just("fine".to_owned())];
    (
        id,
        schedule(),
        prop::collection::vec(task(), 0..6),
        any::<bool>(),
        prop::option::of(any::<u32>()),
    )
        .prop_map(|(dag_id, schedule, tasks, catchup, most)| DagSpec {
            dag_id,
            schedule,
            tasks,
            catchup,
            max_active_runs: most,
            max_active_tasks: most,
            ..DagSpec::default()
        })
}

/// A DAG of this name with nothing wrong.
fn well_made(dag_id: &str) -> DagSpec {
    let task = TaskSpec {
        task_id: "only".to_owned(),
        entry: "entry".to_owned(),
        ..TaskSpec::default()
    };
    DagSpec {
        dag_id: dag_id.to_owned(),
        tasks: vec![task],
        ..DagSpec::default()
    }
}

/// An importer for one version, which holds these.
fn of(bench: &Bench, dags: Vec<DagSpec>) -> Importer {
    let parsed = HashMap::from([(BundleHash::from_bytes([3; 32]), dags)]);
    Importer {
        parser: Arc::new(Parsed(parsed)),
        clock: Arc::new(SystemClock),
        ..importer(bench, &[])
    }
}

#[tokio::test]
async fn fuzz_hostile_definitions_are_imported_or_refused_one_by_one_and_take_nobodys_dag() {
    let mut runner = TestRunner::default();
    let strategy = prop::collection::vec(dag(), 0..6);
    let bench = start(1, |_| Some(value("1")));
    let first = importer(&bench, &[(2, &["owned"])]);
    let owner_of = version("first", 2);
    let imported = first
        .import(&owner_of, &Same(owner_of.hash), &policy())
        .await;
    assert!(matches!(imported, Ok(Imported::Live { .. })));
    // No schedule makes runs here: what they would be is another test's.
    let policy = ImportPolicy {
        by_hand: true,
        ..policy()
    };
    for _ in 0..cases() {
        let mut dags = strategy.new_tree(&mut runner).unwrap().current();
        let count = dags.iter().filter(|dag| dag.dag_id == "fine").count();
        dags.push(well_made("good"));
        let told = format!("{dags:?}");
        let hostile = version("hostile", 3);
        let importer = of(&bench, dags);
        let imported = importer
            .import(&hostile, &Same(hostile.hash), &policy)
            .await;
        let Ok(Imported::Live { errors, dags, .. }) = imported else {
            panic!("{told}")
        };
        assert!(
            dags.iter().any(|dag| dag.dag.id().as_str() == "good"),
            "{told}"
        );
        assert!(
            dags.iter()
                .filter(|dag| dag.dag.id().as_str() == "fine")
                .count()
                <= count.min(1),
            "{told}"
        );
        assert!(
            !dags.iter().any(|dag| dag.dag.id().as_str() == "owned"),
            "{told}"
        );
        assert_eq!(owner(&bench, "owned"), ("first".into(), false), "{told}");
        for error in errors {
            assert!(error.code.starts_with("AL-03"), "{error:?} {told}");
        }
    }
}
