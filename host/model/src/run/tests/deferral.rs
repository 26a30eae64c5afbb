//! Task instances that give their slot back until something happens.

use std::time::Duration;

use super::*;
use crate::trigger::{Deferral, HostEvent, Resume, Trigger, TriggerEvent};

fn deferral(trigger: Trigger, timeout: Option<Duration>) -> Outcome {
    Outcome::Deferred(Box::new(Deferral {
        trigger,
        resume: Resume {
            method: "go_on".into(),
            arguments: "[1]".into(),
        },
        timeout,
    }))
}

fn asset() -> Trigger {
    Trigger::Host(HostEvent::Asset(crate::dag::AssetRef::Name("a".into())))
}

/// A run of one task, which has deferred, and the token under which it did.
fn deferred(trigger: Trigger, timeout: Option<Duration>) -> (Run, Token, Moves) {
    let mut run = run(vec![TaskSpec {
        retries: 1,
        ..make::task("a", &[])
    }]);
    let mut moves = Moves::default();
    run.start(T0, &mut moves);
    let token = run.claim(at(0), T0, &mut moves).unwrap();
    run.started(at(0), token, T0, &mut moves).unwrap();
    let mut moves = Moves::default();
    run.end(at(0), token, T0, &deferral(trigger, timeout), &mut moves)
        .unwrap();
    (run, token, moves)
}

fn event(run: &Run) -> Option<TriggerEvent> {
    run.fields(at(0)).unwrap().deferred.as_ref()?.event.clone()
}

#[test]
fn a_deferred_task_goes_on_as_the_same_try_with_what_the_trigger_gave() {
    let (mut run, token, moves) = deferred(asset(), None);
    assert_eq!(states(&run), "a=deferred");
    assert_eq!(moves.deferred, [at(0)]);
    assert!(moves.waiting.is_empty(), "nothing is due by the clock");
    let mut moves = Moves::default();
    let fired = TriggerEvent::Fired("7".into());
    run.resume(at(0), token, fired.clone(), &mut moves).unwrap();
    assert_eq!(states(&run), "a=scheduled");
    assert_eq!(event(&run), Some(fired.clone()));
    let again = run.claim(at(0), T0, &mut moves).unwrap();
    assert!(again > token);
    let fields = run.fields(at(0)).unwrap();
    assert_eq!(fields.try_number, 1);
    assert_eq!(fields.deferred.as_ref().unwrap().resume.method, "go_on");
    run.end(at(0), again, T0, &success(), &mut moves).unwrap();
    assert_eq!(run.fields(at(0)).unwrap().deferred, None);
    assert_eq!(run.state(), RunState::Success);
}

#[test]
fn of_two_events_one_counts_and_none_of_a_wait_that_is_over() {
    let (mut run, token, mut moves) = deferred(asset(), None);
    let fired = || TriggerEvent::Fired("7".into());
    assert!(
        run.resume(at(0), token.next(), fired(), &mut moves)
            .is_err()
    );
    run.resume(at(0), token, fired(), &mut moves).unwrap();
    assert!(run.resume(at(0), token, fired(), &mut moves).is_err());
    let again = run.claim(at(0), T0, &mut moves).unwrap();
    assert!(run.resume(at(0), again, fired(), &mut moves).is_err());
}

#[test]
fn a_time_is_waited_for_without_anybody_asking() {
    let hour = Duration::from_secs(3600);
    let (mut run, _, moves) = deferred(Trigger::Duration(hour), None);
    assert_eq!(moves.waiting, [(at(0), T0.after(hour))]);
    let mut moves = Moves::default();
    run.wake(at(0), T0.after(hour / 2), &mut moves);
    assert_eq!(states(&run), "a=deferred");
    run.wake(at(0), T0.after(hour), &mut moves);
    assert_eq!(moves.ready, [at(0)]);
    let due = T0.after(hour);
    assert_eq!(event(&run), Some(TriggerEvent::fired_at(due)));
}

#[test]
fn patience_has_an_end_and_the_task_hears_of_it() {
    let minute = Duration::from_secs(60);
    let (mut run, _, moves) = deferred(asset(), Some(minute));
    assert_eq!(moves.waiting, [(at(0), T0.after(minute))]);
    let mut moves = Moves::default();
    run.wake(at(0), T0.after(minute), &mut moves);
    assert_eq!(event(&run), Some(TriggerEvent::TimedOut));
    let token = run.claim(at(0), T0, &mut moves).unwrap();
    // The code fails because of it, and its retries apply.
    run.end(at(0), token, T0, &failure(FailureKind::Error), &mut moves)
        .unwrap();
    assert_eq!(states(&run), "a=up_for_retry");
    run.wake(at(0), T0.after(minute * 60), &mut moves);
    let fields = run.fields(at(0)).unwrap();
    assert_eq!((fields.try_number, fields.deferred.as_ref()), (2, None));
}

#[test]
fn a_time_that_comes_at_the_end_of_the_patience_has_come() {
    let minute = Duration::from_secs(60);
    let (mut run, _, _) = deferred(Trigger::Duration(minute), Some(minute));
    run.wake(at(0), T0.after(minute), &mut Moves::default());
    assert!(matches!(event(&run), Some(TriggerEvent::Fired(_))));
}

#[test]
fn a_restored_run_waits_for_the_same() {
    let hour = Duration::from_secs(3600);
    let (run, token, _) = deferred(Trigger::Duration(hour), None);
    let stored = vec![(at(0), run.fields(at(0)).unwrap().clone())];
    let mut again = Run::restore(
        Arc::clone(run.dag()),
        run.key(),
        None,
        RunState::Running,
        stored,
        std::collections::HashMap::new(),
    );
    let mut moves = Moves::default();
    again.adopt(T0, &mut moves);
    assert_eq!(moves.waiting, [(at(0), T0.after(hour))]);
    assert_eq!(moves.deferred, [at(0)]);
    assert_eq!(again.state(), RunState::Running);
    let fired = TriggerEvent::Fired("1".into());
    again.resume(at(0), token, fired, &mut moves).unwrap();
}

#[test]
fn what_is_cleared_or_given_up_waits_no_more() {
    let (mut run, token, _) = deferred(asset(), None);
    let mut moves = Moves::default();
    run.clear(&[at(0)], T0, &mut moves);
    let fields = run.fields(at(0)).unwrap();
    assert_eq!(fields.deferred, None);
    let late = run.resume(at(0), token, TriggerEvent::TimedOut, &mut moves);
    assert!(late.is_err());
    let (mut run, token, _) = deferred(asset(), None);
    run.time_out(Duration::ZERO, T0, &mut moves);
    assert_eq!(run.state(), RunState::Failed);
    let late = run.resume(at(0), token, TriggerEvent::TimedOut, &mut moves);
    assert!(late.is_err());
}
