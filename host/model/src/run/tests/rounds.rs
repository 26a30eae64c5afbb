//! What is judged when: all by the states of the round before.

use super::*;
use crate::{
    dag::{Argument, GroupSpec, MappedParameter, Mapping, Role, Source},
    outcome::Downstream,
};

fn with_rule(id: &str, ups: &[&str], trigger_rule: TriggerRule) -> TaskSpec {
    TaskSpec {
        trigger_rule,
        ..make::task(id, ups)
    }
}

fn decided(downstream: Downstream) -> Outcome {
    Outcome::Success {
        xcoms: vec![],
        downstream,
        events: vec![],
    }
}

fn driven(mut run: Run, lengths: &[(&str, u32)], outcome: impl Fn(&str, i32) -> Outcome) -> Run {
    let mut moves = Moves::default();
    run.start(T0, &mut moves);
    drive(&mut run, &mut moves, lengths, outcome);
    run
}

#[test]
fn the_order_in_which_tasks_are_written_down_decides_nothing() {
    for skipped_first in [true, false] {
        let mut between = vec![
            with_rule("skipped", &["a"], TriggerRule::AllSkipped),
            make::task("broken", &["a"]),
        ];
        if !skipped_first {
            between.reverse();
        }
        let mut tasks = vec![make::task("a", &[])];
        tasks.extend(between);
        tasks.push(make::task("end", &["skipped", "broken"]));
        let run = driven(run(tasks), &[], |_, _| failure(FailureKind::Final));
        assert!(
            states(&run).ends_with("end=upstream_failed"),
            "{}",
            states(&run)
        );
    }
}

#[test]
fn what_is_mapped_over_a_list_waits_for_it_whatever_its_rule() {
    let mapped = TaskSpec {
        mapping: Some(Mapping::Product(vec![MappedParameter {
            name: "x".into(),
            source: Source::Output("list".into()),
        }])),
        arguments: vec![Argument::Mapped("x".into())],
        ..with_rule("each", &[], TriggerRule::Always)
    };
    let run = driven(
        run(vec![make::task("list", &[]), mapped]),
        &[("list", 2)],
        |_, _| success(),
    );
    assert_eq!(states(&run), "list=success each[0]=success each[1]=success");
}

#[test]
fn a_short_circuit_in_a_mapped_group_is_that_map_indexs_own() {
    let inside = |id: &str, ups: &[&str]| TaskSpec {
        group: Some("g".into()),
        ..make::task(id, ups)
    };
    let group = GroupSpec {
        group_id: "g".into(),
        mapping: vec![MappedParameter {
            name: "x".into(),
            source: Source::Literal("[1,2]".into()),
        }],
        ..GroupSpec::default()
    };
    let spec = crate::dag::DagSpec {
        groups: vec![group],
        ..make::dag(vec![
            inside("g.ask", &[]),
            inside("g.act", &["g.ask"]),
            inside("g.tell", &["g.act"]),
        ])
    };
    let run = Run::new(
        Arc::new(Dag::new(spec).unwrap()),
        RunKey(uuid::Uuid::nil()),
        None,
    );
    let run = driven(run, &[], |id, index| match (id, index) {
        ("g.ask", 0) => decided(Downstream::Skip { all: true }),
        _ => success(),
    });
    assert_eq!(
        states(&run),
        "g.ask[0]=success g.ask[1]=success g.act[0]=skipped g.act[1]=success g.tell[0]=skipped g.tell[1]=success"
    );
}

#[test]
fn a_branch_skips_what_it_excludes_unless_that_runs_already() {
    let tasks = || {
        vec![
            make::task("choose", &[]),
            make::task("left", &["choose"]),
            with_rule("right", &["choose"], TriggerRule::Always),
        ]
    };
    for (runs, expected) in [(false, "skipped"), (true, "running")] {
        let mut run = run(tasks());
        let mut moves = Moves::default();
        run.start(T0, &mut moves);
        let right = run.claim(at(2), T0, &mut moves).unwrap();
        if runs {
            run.started(at(2), right, T0, &mut moves).unwrap();
        }
        let token = run.claim(at(0), T0, &mut moves).unwrap();
        let follow = decided(Downstream::Follow(vec!["left".into()]));
        run.end(at(0), token, T0, &follow, &mut moves).unwrap();
        assert_eq!(
            states(&run),
            format!("choose=success left=scheduled right={expected}")
        );
        assert_eq!(moves.superseded.is_empty(), runs);
    }
}

#[test]
fn a_task_that_asks_nobody_does_not_wait_for_a_setup_and_a_failure_does_not_either() {
    let setup = TaskSpec {
        role: Role::Setup,
        ..make::task("create", &[])
    };
    let tasks = vec![
        setup,
        with_rule("first", &["create"], TriggerRule::Always),
        with_rule("free", &["first"], TriggerRule::Always),
        make::task("last", &["first"]),
    ];
    let mut run = run(tasks);
    let mut moves = Moves::default();
    run.start(T0, &mut moves);
    assert_eq!(
        states(&run),
        "create=scheduled first=scheduled free=scheduled last=-"
    );
    let token = run.claim(at(1), T0, &mut moves).unwrap();
    run.end(at(1), token, T0, &failure(FailureKind::Final), &mut moves)
        .unwrap();
    assert_eq!(
        states(&run),
        "create=scheduled first=failed free=scheduled last=upstream_failed"
    );
}
