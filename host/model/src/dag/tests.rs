use std::time::Duration;

use super::*;

pub(crate) fn task(id: &str, upstream: &[&str]) -> TaskSpec {
    TaskSpec {
        task_id: id.into(),
        entry: id.into(),
        upstream: upstream.iter().map(|&u| u.into()).collect(),
        retry_delay: Duration::from_secs(300),
        location: Some(Location {
            file: "src/lib.rs".into(),
            line: 7,
        }),
        ..TaskSpec::default()
    }
}

pub(crate) fn dag(tasks: Vec<TaskSpec>) -> DagSpec {
    DagSpec {
        dag_id: "d".into(),
        tasks,
        ..DagSpec::default()
    }
}

fn mistakes(spec: DagSpec) -> Vec<String> {
    Dag::new(spec)
        .map(|_| vec![])
        .unwrap_or_else(|errors| errors.iter().map(ToString::to_string).collect())
}

#[test]
fn a_cycle_is_shown_in_the_order_in_which_its_tasks_wait() {
    let found = mistakes(dag(vec![
        task("free", &[]),
        task("a", &["c"]),
        task("b", &["a"]),
        task("c", &["b"]),
    ]));
    assert_eq!(found.len(), 1);
    assert!(
        found[0].contains("AL-0312") && found[0].contains("a → b → c → a"),
        "{found:?}"
    );
    let found = mistakes(dag(vec![task("a", &["a"])]));
    assert!(found[0].contains("a → a"), "{found:?}");
}

#[test]
fn every_mistake_is_reported_at_once_with_its_task_and_place() {
    let mut bad = task("b", &["nobody"]);
    bad.pool_slots = 0;
    bad.retry_exponential_backoff = f64::NAN;
    bad.arguments = vec![
        Argument::Literal("{".into()),
        Argument::Output("ghost".into()),
    ];
    let mut spec = dag(vec![task("a", &[]), task("a", &[]), bad]);
    spec.max_active_runs = Some(0);
    let found = mistakes(spec).join("\n");
    for code in [
        "AL-0310",
        "AL-0311",
        "AL-0314",
        "AL-0315",
        "`nobody`",
        "`ghost`",
        "task `b`, src/lib.rs:7",
    ] {
        assert!(found.contains(code), "{code} is missing in {found}");
    }
}

#[test]
fn a_million_tasks_are_refused_before_they_are_looked_at() {
    let found = mistakes(dag((0..=MAX_TASKS).map(|_| task("same", &[])).collect()));
    assert_eq!(found.len(), 1);
    assert!(found[0].contains("AL-0313"));
}

#[test]
fn outputs_become_upstream_tasks_once() {
    let mut b = task("b", &["a"]);
    b.arguments = vec![
        Argument::Output("a".into()),
        Argument::Literal("1".into()),
        Argument::Output("a".into()),
    ];
    let dag = Dag::new(dag(vec![task("a", &[]), b])).unwrap();
    assert_eq!(dag.tasks()[1].upstream, [TaskIndex(0)]);
    assert_eq!(dag.tasks()[0].downstream, [TaskIndex(1)]);
    assert_eq!(dag.tasks()[0].priority, 2);
}
