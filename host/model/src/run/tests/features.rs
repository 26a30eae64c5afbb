//! Mapping, groups, setups and teardowns, branches, sensors, fail-fast.

use super::*;
use crate::{
    dag::{Argument, DagSpec, GroupSpec, MappedParameter, Mapping, Role, Source},
    outcome::Downstream,
};

fn started(spec: DagSpec) -> (Run, Moves) {
    let mut run = Run::new(
        Arc::new(Dag::new(spec).unwrap()),
        RunKey(uuid::Uuid::nil()),
        None,
    );
    let mut moves = Moves::default();
    run.start(T0, &mut moves);
    (run, moves)
}

fn all_well(_: &str, _: i32) -> Outcome {
    success()
}

fn parameter(name: &str, source: Source) -> MappedParameter {
    MappedParameter {
        name: name.into(),
        source,
    }
}

fn over(id: &str, source: Source) -> TaskSpec {
    TaskSpec {
        mapping: Some(Mapping::Product(vec![parameter("x", source)])),
        arguments: vec![Argument::Mapped("x".into())],
        ..make::task(id, &[])
    }
}

fn decided(downstream: Downstream) -> Outcome {
    Outcome::Success {
        xcoms: vec![],
        downstream,
        events: vec![],
    }
}

#[test]
fn a_mapped_task_becomes_as_many_as_its_source_returned_elements() {
    let tasks = vec![
        make::task("list", &[]),
        over("each", Source::Output("list".into())),
        make::task("sum", &["each"]),
    ];
    let (mut run, mut moves) = started(make::dag(tasks));
    assert_eq!(states(&run), "list=scheduled each=- sum=-");
    drive(&mut run, &mut moves, &[("list", 3)], all_well);
    assert_eq!(
        states(&run),
        "list=success each[0]=success each[1]=success each[2]=success sum=success"
    );
    assert_eq!((run.state(), moves.expanded.len()), (RunState::Success, 1));
}

#[test]
fn an_instance_that_fails_stops_what_needs_all_of_them() {
    let tasks = vec![
        over("each", Source::Literal("[1, 2]".into())),
        make::task("sum", &["each"]),
    ];
    let (mut run, mut moves) = started(make::dag(tasks));
    drive(&mut run, &mut moves, &[], |id, i| match (id, i) {
        ("each", 1) => failure(FailureKind::Final),
        _ => success(),
    });
    assert_eq!(
        states(&run),
        "each[0]=success each[1]=failed sum=upstream_failed"
    );
    assert_eq!(run.state(), RunState::Failed);
}

#[test]
fn nothing_to_map_over_is_a_skip_and_no_list_at_all_a_failure_upstream() {
    let tasks = || {
        vec![
            make::task("list", &[]),
            over("each", Source::Output("list".into())),
        ]
    };
    let (mut run, mut moves) = started(make::dag(tasks()));
    drive(&mut run, &mut moves, &[("list", 0)], all_well);
    assert_eq!(states(&run), "list=success each=skipped");
    let (mut run, mut moves) = started(make::dag(tasks()));
    drive(&mut run, &mut moves, &[], all_well);
    assert_eq!(states(&run), "list=success each=upstream_failed");
    let (mut run, mut moves) = started(make::dag(tasks()));
    drive(&mut run, &mut moves, &[], |_, _| Outcome::Skipped {
        reason: "no".into(),
    });
    assert_eq!(states(&run), "list=skipped each=skipped");
}

#[test]
fn a_product_has_an_instance_for_each_combination_and_a_mapped_source_one_for_each_result() {
    let mut pair = over("pair", Source::Literal("[1, 2]".into()));
    pair.mapping = Some(Mapping::Product(vec![
        parameter("x", Source::Literal("[1, 2]".into())),
        parameter(
            "y",
            Source::Literal("{\"a\": 1, \"b\": 2, \"c\": 3}".into()),
        ),
    ]));
    let tasks = vec![pair, over("each", Source::Output("pair".into()))];
    let (mut run, mut moves) = started(make::dag(tasks));
    // The fourth combination returns nothing, so there are five results.
    while let Some(at) = moves.ready.pop() {
        let token = run.claim(at, T0, &mut moves).unwrap();
        if at.task == TaskIndex(0) && at.map_index.0 != 3 {
            run.returned(at, 1);
        }
        run.end(at, token, T0, &success(), &mut moves).unwrap();
    }
    let count = |task| run.instances_of(TaskIndex(task)).len();
    assert_eq!((count(0), count(1)), (6, 5));
    assert_eq!(run.element_of(TaskIndex(0), 3).unwrap().map_index.0, 4);
    assert_eq!(run.state(), RunState::Success);
}

fn grouped() -> DagSpec {
    let inside = |id: &str, ups: &[&str]| TaskSpec {
        group: Some("g".into()),
        ..make::task(id, ups)
    };
    let tasks = vec![
        make::task("list", &[]),
        inside("g.first", &[]),
        inside("g.second", &["g.first"]),
        make::task("after", &["g.second"]),
    ];
    let group = GroupSpec {
        group_id: "g".into(),
        mapping: vec![parameter("x", Source::Output("list".into()))],
        ..GroupSpec::default()
    };
    DagSpec {
        groups: vec![group],
        ..make::dag(tasks)
    }
}

#[test]
fn in_a_mapped_group_each_instance_follows_its_own_map_index() {
    let (mut run, mut moves) = started(grouped());
    drive(&mut run, &mut moves, &[("list", 3)], |id, i| {
        match (id, i) {
            ("g.first", 1) => failure(FailureKind::Final),
            _ => success(),
        }
    });
    assert_eq!(
        states(&run),
        "list=success g.first[0]=success g.first[1]=failed g.first[2]=success \
         g.second[0]=success g.second[1]=upstream_failed g.second[2]=success after=upstream_failed"
    );
}

#[test]
fn a_mapped_group_ends_with_its_source_when_that_gives_nothing() {
    for (outcome, expected) in [
        (failure(FailureKind::Final), "upstream_failed"),
        (
            Outcome::Skipped {
                reason: "no".into(),
            },
            "skipped",
        ),
    ] {
        let (mut run, mut moves) = started(grouped());
        drive(&mut run, &mut moves, &[], |_, _| outcome.clone());
        assert!(states(&run).contains(&format!("g.first={expected} g.second={expected}")));
    }
    let (mut run, mut moves) = started(grouped());
    drive(&mut run, &mut moves, &[("list", 0)], all_well);
    assert_eq!(
        states(&run),
        "list=success g.first=skipped g.second=skipped after=skipped"
    );
}

fn with_role(id: &str, ups: &[&str], role: Role) -> TaskSpec {
    TaskSpec {
        role,
        ..make::task(id, ups)
    }
}

fn cluster() -> DagSpec {
    let teardown = Role::Teardown {
        on_failure_fail_dagrun: false,
    };
    make::dag(vec![
        with_role("create", &[], Role::Setup),
        make::task("work", &["create"]),
        make::task("more", &["work"]),
        with_role("delete", &["create", "more"], teardown),
    ])
}

#[test]
fn a_teardown_runs_whatever_became_of_the_work_and_its_failure_is_not_the_runs() {
    let (mut run, mut moves) = started(cluster());
    drive(&mut run, &mut moves, &[], |id, _| match id {
        "work" => failure(FailureKind::Final),
        _ => success(),
    });
    assert_eq!(
        states(&run),
        "create=success work=failed more=upstream_failed delete=success"
    );
    assert_eq!(run.state(), RunState::Failed);
    let (mut run, mut moves) = started(cluster());
    drive(&mut run, &mut moves, &[], |id, _| match id {
        "delete" => failure(FailureKind::Final),
        _ => success(),
    });
    assert_eq!(
        (run.state(), moves.ended),
        (RunState::Success, Some(RunState::Success))
    );
}

#[test]
fn nothing_is_put_away_that_was_never_made() {
    let (mut run, mut moves) = started(cluster());
    drive(&mut run, &mut moves, &[], |id, _| match id {
        "create" => failure(FailureKind::Final),
        _ => success(),
    });
    assert_eq!(
        states(&run),
        "create=failed work=upstream_failed more=upstream_failed delete=upstream_failed"
    );
}

#[test]
fn a_teardown_waits_for_all_that_lies_between_its_setup_and_itself() {
    let teardown = Role::Teardown {
        on_failure_fail_dagrun: false,
    };
    // `slow` is upstream of the teardown only by way of `tail`, which is done early.
    let mut tail = make::task("tail", &["slow"]);
    tail.trigger_rule = TriggerRule::Always;
    let (mut run, mut moves) = started(make::dag(vec![
        with_role("create", &[], Role::Setup),
        make::task("slow", &["create"]),
        tail,
        with_role("delete", &["create", "tail"], teardown),
    ]));
    let mut end = |run: &mut Run, task| {
        let token = run.claim(at(task), T0, &mut moves).unwrap();
        run.end(at(task), token, T0, &success(), &mut moves)
            .unwrap();
    };
    end(&mut run, 0);
    end(&mut run, 2);
    assert_eq!(
        states(&run),
        "create=success slow=scheduled tail=success delete=-"
    );
    end(&mut run, 1);
    assert!(states(&run).ends_with("delete=scheduled"));
}

#[test]
fn work_needs_its_setup_even_where_a_rule_would_let_it_run() {
    let mut late = make::task("late", &["work"]);
    late.trigger_rule = TriggerRule::AllDone;
    let (mut run, mut moves) = started(make::dag(vec![
        with_role("create", &[], Role::Setup),
        make::task("work", &["create"]),
        late,
    ]));
    drive(&mut run, &mut moves, &[], |_, _| {
        failure(FailureKind::Final)
    });
    assert_eq!(
        states(&run),
        "create=failed work=upstream_failed late=upstream_failed"
    );
}

fn branching() -> DagSpec {
    let mut join = make::task("join", &["left", "right", "choose"]);
    join.trigger_rule = TriggerRule::NoneFailedMinOneSuccess;
    make::dag(vec![
        make::task("choose", &[]),
        make::task("left", &["choose"]),
        make::task("right", &["choose"]),
        join,
    ])
}

#[test]
fn a_branch_skips_what_it_does_not_follow_and_keeps_what_comes_after_what_it_does() {
    let (mut run, mut moves) = started(branching());
    drive(&mut run, &mut moves, &[], |id, _| match id {
        "choose" => decided(Downstream::Follow(vec!["left".into()])),
        _ => success(),
    });
    assert_eq!(
        states(&run),
        "choose=success left=success right=skipped join=success"
    );
}

#[test]
fn a_skipped_task_that_is_cleared_alone_is_skipped_again() {
    let (mut run, mut moves) = started(branching());
    drive(&mut run, &mut moves, &[], |id, _| match id {
        "choose" => decided(Downstream::Follow(vec!["left".into()])),
        _ => success(),
    });
    // Also after a restart: the decision is kept with the task instance.
    let fields = run
        .instances()
        .into_iter()
        .map(|i| (i, run.fields(i).unwrap().clone()))
        .collect();
    let mut run = Run::restore(
        Arc::clone(run.dag()),
        run.key(),
        None,
        run.state(),
        fields,
        HashMap::new(),
    );
    let mut moves = Moves::default();
    run.clear(&[at(2)], T0, &mut moves);
    assert_eq!(run.state(), RunState::Queued);
    run.start(T0, &mut moves);
    assert_eq!(
        states(&run),
        "choose=success left=success right=skipped join=success"
    );
    assert_eq!(moves.ended, Some(RunState::Success));
}

#[test]
fn a_branch_to_a_stranger_fails_and_names_whom_it_may_follow() {
    let (mut run, mut moves) = started(branching());
    drive(&mut run, &mut moves, &[], |id, _| match id {
        "choose" => decided(Downstream::Follow(vec!["elsewhere".into()])),
        _ => success(),
    });
    let note = run.fields(at(0)).unwrap().note.clone().unwrap();
    assert!(
        note.contains("`elsewhere`") && note.contains("`left`, `right`, `join`"),
        "{note}"
    );
    assert_eq!(state(&run, 0), Some(TaskState::Failed));
}

#[test]
fn a_short_circuit_skips_what_is_next_or_all_that_comes_after() {
    let chain = || {
        let mut end = make::task("end", &["middle"]);
        end.trigger_rule = TriggerRule::AllDone;
        make::dag(vec![
            make::task("ask", &[]),
            make::task("middle", &["ask"]),
            end,
        ])
    };
    for (all, expected) in [(true, "skipped"), (false, "success")] {
        let (mut run, mut moves) = started(chain());
        drive(&mut run, &mut moves, &[], |id, _| match id {
            "ask" => decided(Downstream::Skip { all }),
            _ => success(),
        });
        assert_eq!(
            states(&run),
            format!("ask=success middle=skipped end={expected}")
        );
    }
}

#[test]
fn a_sensor_gives_its_slot_back_between_pokes_and_stays_the_same_try() {
    let (mut run, mut moves) = started(make::dag(vec![make::task("wait", &[])]));
    let due = T0.after(Duration::from_secs(60));
    let token = run.claim(at(0), T0, &mut moves).unwrap();
    run.started(at(0), token, T0, &mut moves).unwrap();
    run.end(
        at(0),
        token,
        T0,
        &Outcome::Rescheduled { at: due },
        &mut moves,
    )
    .unwrap();
    assert_eq!(states(&run), "wait=up_for_reschedule");
    assert_eq!(moves.waiting, [(at(0), due)]);
    run.wake(at(0), due, &mut moves);
    let again = run.claim(at(0), due, &mut moves).unwrap();
    assert!(again > token);
    let fields = run.fields(at(0)).unwrap();
    assert_eq!((fields.try_number, fields.first_started_at), (1, Some(T0)));
    run.end(at(0), again, due, &success(), &mut moves).unwrap();
    assert_eq!(run.state(), RunState::Success);
}

#[test]
fn fail_fast_ends_what_runs_skips_what_does_not_and_still_tears_down() {
    let teardown = Role::Teardown {
        on_failure_fail_dagrun: false,
    };
    let spec = DagSpec {
        fail_fast: true,
        ..make::dag(vec![
            with_role("create", &[], Role::Setup),
            make::task("bad", &["create"]),
            make::task("long", &["create"]),
            make::task("next", &["long"]),
            with_role("delete", &["create", "bad", "next"], teardown),
        ])
    };
    let (mut run, mut moves) = started(spec);
    let token = run.claim(at(0), T0, &mut moves).unwrap();
    run.end(at(0), token, T0, &success(), &mut moves).unwrap();
    let long = run.claim(at(2), T0, &mut moves).unwrap();
    run.started(at(2), long, T0, &mut moves).unwrap();
    let bad = run.claim(at(1), T0, &mut moves).unwrap();
    run.end(at(1), bad, T0, &failure(FailureKind::Error), &mut moves)
        .unwrap();
    assert_eq!(
        states(&run),
        "create=success bad=failed long=failed next=skipped delete=scheduled"
    );
    assert_eq!(moves.superseded, [(at(2), long)]);
    moves.ready = vec![at(4)];
    drive(&mut run, &mut moves, &[], all_well);
    assert_eq!(run.state(), RunState::Failed);
}

#[test]
fn a_task_that_depends_on_the_past_starts_when_it_is_allowed() {
    let mut task = make::task("step", &[]);
    task.depends_on_past = true;
    let (mut run, mut moves) = started(make::dag(vec![task]));
    assert_eq!(
        (states(&run).as_str(), moves.asks.as_slice()),
        ("step=-", &[at(0)][..])
    );
    assert!(
        !run.state().is_terminal(),
        "to wait for the past is no deadlock"
    );
    run.past_allows(at(0), T0, &mut moves);
    assert_eq!(states(&run), "step=scheduled");
}
