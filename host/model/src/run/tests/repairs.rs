//! What people do to runs: clear and mark.

use super::*;
use crate::{
    dag::{Argument, MappedParameter, Mapping, Role, Source},
    run::Mark,
};

fn chain() -> Run {
    run(vec![
        make::task("a", &[]),
        make::task("b", &["a"]),
        make::task("c", &["b"]),
    ])
}

fn finished(mut run: Run, broken: &str) -> Run {
    let mut moves = Moves::default();
    run.start(T0, &mut moves);
    drive(&mut run, &mut moves, &[("a", 3)], |id, _| {
        match id == broken {
            true => failure(FailureKind::Final),
            false => success(),
        }
    });
    assert!(run.state().is_terminal());
    run
}

#[test]
fn cleared_tasks_run_again_with_their_retries_and_the_rest_stays() {
    let mut run = finished(chain(), "b");
    assert_eq!(states(&run), "a=success b=failed c=upstream_failed");
    let before = run.fields(at(1)).unwrap().clone();
    let mut moves = Moves::default();
    run.clear(&[at(1), at(2)], T0, &mut moves);
    assert_eq!(
        (run.state(), states(&run).as_str()),
        (RunState::Queued, "a=success b=- c=-")
    );
    run.start(T0, &mut moves);
    let token = run.claim(at(1), T0, &mut moves).unwrap();
    let fields = run.fields(at(1)).unwrap();
    assert!(
        token > before.token,
        "what the old try still reports is refused"
    );
    assert_eq!((fields.try_number, fields.max_tries), (2, 1));
    run.end(at(1), token, T0, &success(), &mut moves).unwrap();
    drive(&mut run, &mut moves, &[], |_, _| success());
    assert_eq!(
        (run.state(), states(&run).as_str()),
        (RunState::Success, "a=success b=success c=success")
    );
}

#[test]
fn clearing_a_task_that_runs_supersedes_its_try() {
    let mut run = chain();
    let mut moves = Moves::default();
    run.start(T0, &mut moves);
    let old = run.claim(at(0), T0, &mut moves).unwrap();
    run.clear(&[at(0)], T0, &mut moves);
    assert_eq!(moves.superseded, [(at(0), old)]);
    assert_eq!(states(&run), "a=scheduled b=- c=-");
    assert!(run.end(at(0), old, T0, &success(), &mut moves).is_err());
}

#[test]
fn a_mark_in_a_run_that_goes_on_lets_it_go_on() {
    let mut run = chain();
    let mut moves = Moves::default();
    run.start(T0, &mut moves);
    let token = run.claim(at(0), T0, &mut moves).unwrap();
    run.mark(&[at(0)], Mark::Success, T0, &mut moves);
    assert_eq!(states(&run), "a=success b=scheduled c=-");
    assert!(
        run.end(at(0), token, T0, &failure(FailureKind::Error), &mut moves)
            .is_err()
    );
    run.mark(&[at(1)], Mark::Failed, T0, &mut moves);
    assert_eq!(
        (run.state(), states(&run).as_str()),
        (RunState::Failed, "a=success b=failed c=upstream_failed")
    );
}

#[test]
fn a_mark_in_a_run_that_has_ended_changes_its_end() {
    let mut run = finished(chain(), "c");
    let mut moves = Moves::default();
    run.mark(&[at(2)], Mark::Success, T0, &mut moves);
    assert_eq!(moves.ended, Some(RunState::Success));
}

#[test]
fn a_run_that_is_ended_by_hand_ends_at_once_and_what_has_ended_stays() {
    for (well, state, worked) in [
        (true, RunState::Success, "success"),
        (false, RunState::Failed, "failed"),
    ] {
        let mut run = run(vec![
            make::task("a", &[]),
            make::task("b", &[]),
            make::task("c", &[]),
            make::task("d", &["a"]),
        ]);
        let mut moves = Moves::default();
        run.start(T0, &mut moves);
        let tokens = [0, 1, 2].map(|task| run.claim(at(task), T0, &mut moves).unwrap());
        run.started(at(0), tokens[0], T0, &mut moves).unwrap();
        run.started(at(1), tokens[1], T0, &mut moves).unwrap();
        let broken = failure(FailureKind::Final);
        run.end(at(1), tokens[1], T0, &broken, &mut moves).unwrap();
        run.mark_run(well, T0, &mut moves);
        assert_eq!((run.state(), moves.ended), (state, Some(state)));
        let expected = format!("a={worked} b=failed c=skipped d=skipped");
        assert_eq!(states(&run), expected);
        let given_up = [(at(0), tokens[0]), (at(2), tokens[2])];
        assert_eq!(moves.superseded, given_up);
    }
}

#[test]
fn a_run_that_is_ended_by_hand_still_puts_away_what_it_made() {
    for (well, state) in [(true, RunState::Success), (false, RunState::Failed)] {
        let mut run = run(vec![
            TaskSpec {
                role: Role::Setup,
                ..make::task("make", &[])
            },
            make::task("work", &["make"]),
            TaskSpec {
                role: Role::Teardown {
                    on_failure_fail_dagrun: false,
                },
                ..make::task("put_away", &["work", "make"])
            },
        ]);
        let mut moves = Moves::default();
        run.start(T0, &mut moves);
        let token = run.claim(at(0), T0, &mut moves).unwrap();
        run.end(at(0), token, T0, &success(), &mut moves).unwrap();
        let mut moves = Moves::default();
        run.mark_run(well, T0, &mut moves);
        assert_eq!((run.state(), moves.ended), (RunState::Running, None));
        assert_eq!(run.ends_as(), Some(state));
        assert_eq!(states(&run), "make=success work=skipped put_away=scheduled");
        // A restart in between forgets nothing.
        let stored = run
            .instances()
            .into_iter()
            .map(|at| (at, run.fields(at).unwrap().clone()));
        let mut again = Run::restore(
            Arc::clone(run.dag()),
            run.key(),
            None,
            run.state(),
            stored.collect(),
            HashMap::new(),
        );
        again.end_as(run.ends_as());
        drive(&mut again, &mut moves, &[], |_, _| success());
        assert_eq!((again.state(), moves.ended), (state, Some(state)));
    }
}

#[test]
fn a_source_that_returns_another_length_removes_or_adds_instances() {
    let each = TaskSpec {
        mapping: Some(Mapping::Product(vec![MappedParameter {
            name: "x".into(),
            source: Source::Output("a".into()),
        }])),
        arguments: vec![Argument::Mapped("x".into())],
        ..make::task("each", &[])
    };
    let dag = || {
        run(vec![
            make::task("a", &[]),
            each.clone(),
            make::task("sum", &["each"]),
        ])
    };
    for (length, expected) in [
        (
            2,
            "a=success each[0]=success each[1]=success each[2]=removed sum=success",
        ),
        (
            4,
            "a=success each[0]=success each[1]=success each[2]=success each[3]=success sum=success",
        ),
    ] {
        let mut run = finished(dag(), "");
        let mut moves = Moves::default();
        let all = run.instances();
        run.clear(&all, T0, &mut moves);
        run.start(T0, &mut moves);
        drive(&mut run, &mut moves, &[("a", length)], |_, _| success());
        assert_eq!(
            (states(&run).as_str(), run.state()),
            (expected, RunState::Success)
        );
    }
}
