use std::time::Duration;

use super::*;
use crate::{
    callback::{CallbackKind, CallbackSpec, DeadlineReference, DeadlineSpec},
    id::{DagId, RunId},
    state::RunState,
    trigger::{FileChange, FileEvent, HostEvent, OwnTrigger, RunRef, Trigger},
};

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

fn own(kind: &str, arguments: &str) -> Trigger {
    Trigger::Own(OwnTrigger {
        kind: kind.to_owned(),
        arguments: arguments.to_owned(),
    })
}

fn watched(watchers: &[(&str, Trigger)]) -> DagSpec {
    let watchers = watchers.iter().map(|(name, trigger)| WatcherSpec {
        name: (*name).to_owned(),
        trigger: trigger.clone(),
    });
    DagSpec {
        assets: vec![AssetSpec {
            name: "inbox".into(),
            uri: Some("file://inbox".into()),
            watchers: watchers.collect(),
            ..AssetSpec::default()
        }],
        ..dag(vec![task("a", &[])])
    }
}

/// That there is exactly one mistake, with these parts; or none, where there are no parts.
fn assert_mistake(spec: DagSpec, parts: &[&str]) {
    let found = mistakes(spec);
    assert_eq!(found.len(), usize::from(!parts.is_empty()), "{found:?}");
    for part in parts {
        assert!(found[0].contains(part), "`{part}` is not in {found:?}");
    }
}

#[test]
fn a_watcher_waits_for_what_happens_again_and_again_and_not_by_its_own_doing() {
    let host = |event| Trigger::Host(event);
    let asset = |of| host(HostEvent::Asset(of));
    let file = |pattern: &str| {
        host(HostEvent::File(FileEvent {
            directory: "in".into(),
            pattern: pattern.into(),
            change: FileChange::Changes,
        }))
    };
    let run = host(HostEvent::DagRun {
        dag_id: DagId::new("d").unwrap(),
        run: RunRef::RunId(RunId::new("r").unwrap()),
        states: vec![RunState::Success],
    });
    let every = |millis| Trigger::Duration(Duration::from_millis(millis));
    for (trigger, parts) in [
        (own("kind", "{}"), &[][..]),
        (
            own("kind", "{"),
            &["AL-0315", "assets.inbox.watchers.w.arguments"],
        ),
        (
            own(&"k".repeat(1001), "{}"),
            &["AL-0359", "watchers.w.entry"],
        ),
        (own("k", &format!("{:?}", "a".repeat(70_000))), &["AL-0359"]),
        (
            Trigger::Time("2030-01-01".parse().unwrap()),
            &["AL-0357", "`w`", "`inbox`"],
        ),
        (every(1000), &[]),
        (every(999), &["AL-0357", "a second"]),
        (run, &["AL-0357", "one run"]),
        (asset(AssetRef::Name("other".into())), &[]),
        (
            asset(AssetRef::Name("inbox".into())),
            &["AL-0357", "its own asset"],
        ),
        (asset(AssetRef::Uri("file://inbox".into())), &["AL-0357"]),
        (file("*.csv"), &[]),
        (file("../*.csv"), &["AL-0435", "assets.inbox.watchers.w"]),
    ] {
        assert_mistake(watched(&[("w", trigger)]), parts);
    }
}

#[test]
fn an_assets_watchers_are_told_apart_by_their_names_and_are_few() {
    let watch = own("kind", "{}");
    let long = "w".repeat(251);
    for (names, parts) in [
        (&["a", "b"][..], &[][..]),
        (
            &["a", "a"],
            &["AL-0355", "watcher of the asset `inbox` `a`"],
        ),
        (&[""], &["AL-0354"]),
        (&[" a"], &["AL-0354"]),
        (&["a\n"], &["AL-0354", r"`a\n`"]),
        (&[long.as_str()], &["AL-0354"]),
    ] {
        let watchers: Vec<_> = names.iter().map(|&name| (name, watch.clone())).collect();
        assert_mistake(watched(&watchers), parts);
    }
    let names: Vec<String> = (0..17).map(|n| n.to_string()).collect();
    let watchers: Vec<_> = names
        .iter()
        .map(|name| (name.as_str(), watch.clone()))
        .collect();
    assert_mistake(watched(&watchers[..16]), &[]);
    assert_mistake(
        watched(&watchers),
        &["AL-0356", "17 watchers, more than 16"],
    );
}

#[test]
fn a_callback_hears_of_what_its_owner_meets() {
    use CallbackKind::{
        DagFailure, DagSuccess, Deadline, TaskExecute, TaskFailure, TaskRetry, TaskSkipped,
        TaskSuccess,
    };
    let callback = |on, arguments: &str| CallbackSpec {
        on,
        entry: "tell".into(),
        arguments: arguments.into(),
    };
    let of = |of_dag: Vec<CallbackSpec>, of_task: Vec<CallbackSpec>| {
        let mut spec = dag(vec![task("a", &[])]);
        spec.callbacks = of_dag;
        spec.tasks[0].callbacks = of_task;
        spec
    };
    let tasks = [
        TaskExecute,
        TaskSuccess,
        TaskFailure,
        TaskRetry,
        TaskSkipped,
    ];
    for on in tasks {
        assert_mistake(of(vec![], vec![callback(on, "{}")]), &[]);
        assert_mistake(
            of(vec![callback(on, "{}")], vec![]),
            &["AL-0358", "of a DAG", on.as_str()],
        );
    }
    for on in [DagSuccess, DagFailure] {
        assert_mistake(of(vec![callback(on, "{}")], vec![]), &[]);
        assert_mistake(
            of(vec![], vec![callback(on, "{}")]),
            &["AL-0358", "of a task", "task `a`"],
        );
    }
    assert_mistake(of(vec![callback(Deadline, "{}")], vec![]), &["AL-0358"]);
    assert_mistake(of(vec![], vec![callback(Deadline, "{}")]), &["AL-0358"]);
    assert_mistake(
        of(vec![callback(DagFailure, "no")], vec![]),
        &["AL-0315", "callbacks[0].arguments"],
    );
    assert_mistake(
        of(vec![], vec![callback(TaskFailure, "no")]),
        &["AL-0315", "task `a`"],
    );
    let many = vec![callback(TaskFailure, "{}"); 65];
    assert_mistake(of(vec![], many[..64].to_vec()), &[]);
    assert_mistake(
        of(vec![], many),
        &["AL-0356", "it has 65 callbacks, more than 64"],
    );
    let many = vec![callback(DagFailure, "{}"); 65];
    assert_mistake(of(many, vec![]), &["AL-0356", "the DAG has 65 callbacks"]);
}

#[test]
fn a_deadline_has_a_name_of_its_own_and_a_time_that_can_be_told() {
    let deadline = |name: &str, reference| DeadlineSpec {
        name: name.into(),
        reference,
        interval: Duration::from_secs(60),
        entry: "tell".into(),
        arguments: "{}".into(),
    };
    let queued = |name: &str| deadline(name, DeadlineReference::QueuedAt);
    let average = |runs, at_least| {
        let reference = DeadlineReference::Average { runs, at_least };
        vec![deadline("late", reference)]
    };
    let nonsense = DeadlineSpec {
        arguments: "no".into(),
        ..queued("late")
    };
    for (deadlines, parts) in [
        (vec![queued("ten minutes"), queued("an hour")], &[][..]),
        (
            vec![queued("late"), queued("late")],
            &["AL-0355", "deadline `late`"],
        ),
        (vec![queued("")], &["AL-0354", "deadline"]),
        (vec![nonsense], &["AL-0315", "deadlines.late.arguments"]),
        (average(10, 3), &[]),
        (average(10, 0), &["AL-0314", "at_least"]),
        (average(2, 3), &["AL-0314", "runs` is 2"]),
        (
            (0..65).map(|n| queued(&n.to_string())).collect(),
            &["AL-0356", "the DAG has 65 deadlines, more than 64"],
        ),
    ] {
        let spec = DagSpec {
            deadlines,
            ..dag(vec![task("a", &[])])
        };
        assert_mistake(spec, parts);
    }
}
