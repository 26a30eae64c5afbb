//! Callbacks and deadlines: who is told of what, and that it stands in the commit that caused it.

use std::time::Duration;

use airlock_model::{
    callback::{CallbackKind, CallbackSpec, CallbackState, DeadlineReference, DeadlineSpec},
    outcome::Outcome,
    port::DeadlineRow,
    run::Mark,
};

use super::{
    waiting::{end, failed, minute, round, trigger},
    *,
};

fn on(kinds: &[CallbackKind]) -> Vec<CallbackSpec> {
    let callback = |&on: &CallbackKind| CallbackSpec {
        on,
        entry: "hear".into(),
        arguments: "{}".into(),
    };
    kinds.iter().map(callback).collect()
}

/// A DAG `d` of one task with one retry, of which all is told that there is to tell.
fn heard() -> DagSpec {
    let mut spec = spec("d", &["t"]);
    spec.tasks[0].retries = 1;
    spec.tasks[0].retry_delay = Duration::from_secs(60);
    spec.tasks[0].priority_weight = 7;
    spec.tasks[0].callbacks = on(&[
        CallbackKind::TaskExecute,
        CallbackKind::TaskSuccess,
        CallbackKind::TaskFailure,
        CallbackKind::TaskRetry,
        CallbackKind::TaskSkipped,
    ]);
    spec.callbacks = on(&[CallbackKind::DagSuccess, CallbackKind::DagFailure]);
    spec
}

fn kinds(batch: &Batch) -> Vec<CallbackKind> {
    batch.callbacks.iter().map(|row| row.kind).collect()
}

#[test]
fn each_kind_is_told_of_in_the_commit_that_caused_it() {
    let mut engine = engine();
    import(&mut engine, 1, vec![heard()], minute(0));
    trigger(&mut engine, "d", "r", minute(0));
    let (batch, claims) = round(&mut engine, minute(0));
    assert_eq!(kinds(&batch), [CallbackKind::TaskExecute]);
    end(&mut engine, claims[0], failed(), minute(1));
    let (batch, _) = round(&mut engine, minute(1));
    assert_eq!(kinds(&batch), [CallbackKind::TaskRetry]);
    let row = &batch.callbacks[0];
    assert_eq!(
        &*row.message,
        "try 1 of 2 of task `t` in run `r` of DAG `d` failed and is tried again: no"
    );
    assert_eq!(
        (row.priority_weight, row.state, row.tries),
        (7, CallbackState::Pending, 0)
    );
    let (_, claims) = round(&mut engine, minute(2));
    end(&mut engine, claims[0], failed(), minute(3));
    let (batch, _) = round(&mut engine, minute(3));
    assert_eq!(
        kinds(&batch),
        [CallbackKind::TaskFailure, CallbackKind::DagFailure]
    );
    assert_eq!(
        batch.runs[0].state,
        RunState::Failed,
        "in one commit with the end of the run"
    );
    trigger(&mut engine, "d", "s", minute(4));
    let (_, claims) = round(&mut engine, minute(4));
    end(&mut engine, claims[0], Outcome::success(vec![]), minute(5));
    let (batch, _) = round(&mut engine, minute(5));
    assert_eq!(
        kinds(&batch),
        [CallbackKind::TaskSuccess, CallbackKind::DagSuccess]
    );
    trigger(&mut engine, "d", "u", minute(6));
    let (_, claims) = round(&mut engine, minute(6));
    let skipped = Outcome::Skipped {
        reason: "not today".into(),
    };
    end(&mut engine, claims[0], skipped, minute(7));
    let (batch, _) = round(&mut engine, minute(7));
    assert_eq!(
        kinds(&batch),
        [CallbackKind::TaskSkipped, CallbackKind::DagSuccess]
    );
}

/// Airflow loses the callback of a task that a signal killed, and runs twice that of one whose supervisor died.
#[test]
fn a_try_that_ends_without_its_codes_doing_is_told_of_all_the_same() {
    // Its host has died, and nobody renews its lease.
    let mut engine = engine();
    import(&mut engine, 1, vec![heard()], minute(0));
    trigger(&mut engine, "d", "r", minute(0));
    let (_, claims) = round(&mut engine, minute(0));
    engine.reap(minute(1));
    let (batch, _) = round(&mut engine, minute(1));
    assert_eq!(kinds(&batch), [CallbackKind::TaskRetry]);
    assert!(
        batch.callbacks[0].message.contains("AL-0711"),
        "{:?}",
        batch.callbacks
    );
    // Its late report is nobody's business.
    end(&mut engine, claims[0], failed(), minute(1));
    assert!(kinds(&round(&mut engine, minute(1)).0).is_empty());
    // Somebody marks it as failed while it runs, or as succeeded.
    for (mark, told) in [
        (Mark::Failed, CallbackKind::TaskFailure),
        (Mark::Success, CallbackKind::TaskSuccess),
    ] {
        let run = trigger(&mut engine, "d", &format!("{told}"), minute(2));
        let (_, claims) = round(&mut engine, minute(2));
        let claim = claims.into_iter().find(|claim| claim.run == run).unwrap();
        engine.mark(run, &[claim.at], mark, minute(3));
        let (batch, _) = round(&mut engine, minute(3));
        assert_eq!(kinds(&batch)[0], told);
    }
}

#[test]
fn what_never_ran_has_nothing_to_tell_and_a_cleared_try_neither() {
    let mut engine = engine();
    let mut spec = heard();
    let mut after = spec.tasks[0].clone();
    (after.task_id, after.upstream) = ("u".into(), vec!["t".into()]);
    spec.tasks[0].retries = 0;
    spec.tasks.push(after);
    import(&mut engine, 1, vec![spec], minute(0));
    let run = trigger(&mut engine, "d", "r", minute(0));
    let (_, claims) = round(&mut engine, minute(0));
    engine.clear(run, &[claims[0].at], minute(1));
    let (batch, claims) = round(&mut engine, minute(1));
    assert_eq!(
        kinds(&batch),
        [CallbackKind::TaskExecute],
        "of the try that begins"
    );
    end(&mut engine, claims[0], failed(), minute(2));
    let (batch, _) = round(&mut engine, minute(2));
    // The task after it is `upstream_failed` and never had a try.
    assert_eq!(
        kinds(&batch),
        [CallbackKind::TaskFailure, CallbackKind::DagFailure]
    );
}

fn due(reference: DeadlineReference, minutes: u64) -> DagSpec {
    DagSpec {
        deadlines: vec![DeadlineSpec {
            name: "soon".into(),
            reference,
            interval: Duration::from_secs(60 * minutes),
            entry: "late".into(),
            arguments: "{}".into(),
        }],
        ..spec("d", &["t"])
    }
}

/// What stands in a batch of deadlines: when, and when missed.
fn deadlines(batch: &Batch) -> Vec<(Timestamp, Option<Timestamp>)> {
    let told = |row: &DeadlineRow| (row.at, row.missed_at);
    batch.deadlines.iter().map(told).collect()
}

#[test]
fn a_run_that_has_not_succeeded_by_its_deadline_is_told_of_once_also_if_it_has_failed() {
    for (reference, at) in [
        (DeadlineReference::QueuedAt, minute(10)),
        (DeadlineReference::StartedAt, minute(10)),
        (DeadlineReference::Fixed(minute(20)), minute(30)),
    ] {
        let mut engine = engine();
        import(&mut engine, 1, vec![due(reference, 10)], minute(0));
        trigger(&mut engine, "d", "r", minute(0));
        let (_, claims) = round(&mut engine, minute(0));
        assert_eq!(engine.next_timer(), Some(at), "{reference:?}");
        end(&mut engine, claims[0], failed(), minute(1));
        let (batch, _) = round(&mut engine, minute(1));
        assert!(batch.gone_deadlines.is_empty(), "it has not succeeded");
        let (batch, _) = round(&mut engine, at);
        assert_eq!(kinds(&batch), [CallbackKind::Deadline]);
        assert_eq!(deadlines(&batch), [(at, Some(at))]);
        let row = &batch.callbacks[0];
        assert_eq!(
            (&*row.entry, row.subject.deadline.clone()),
            ("late", Some(("soon".into(), at)))
        );
        let (batch, _) = round(&mut engine, at.after(Duration::from_secs(3600)));
        assert!(kinds(&batch).is_empty(), "once");
    }
}

#[test]
fn a_run_that_succeeds_in_time_meets_its_deadline() {
    let mut engine = engine();
    import(
        &mut engine,
        1,
        vec![due(DeadlineReference::QueuedAt, 10)],
        minute(0),
    );
    let run = trigger(&mut engine, "d", "r", minute(0));
    let (_, claims) = round(&mut engine, minute(0));
    end(&mut engine, claims[0], Outcome::success(vec![]), minute(1));
    let (batch, _) = round(&mut engine, minute(1));
    assert_eq!(batch.gone_deadlines, [run]);
    assert!(kinds(&round(&mut engine, minute(60)).0).is_empty());
}

#[test]
fn a_cleared_run_has_its_time_once_more() {
    let mut engine = engine();
    import(
        &mut engine,
        1,
        vec![due(DeadlineReference::QueuedAt, 10)],
        minute(0),
    );
    let run = trigger(&mut engine, "d", "r", minute(0));
    let (_, claims) = round(&mut engine, minute(0));
    end(&mut engine, claims[0], failed(), minute(1));
    // It has ended, and nobody has forgotten it yet.
    let (_, after) = engine.take_batch();
    engine.clear(run, &[claims[0].at], minute(8));
    let (batch, _) = engine.take_batch();
    tell(&mut engine, after);
    assert_eq!(deadlines(&batch), [(minute(18), None)]);
    assert!(kinds(&round(&mut engine, minute(10)).0).is_empty());
    assert_eq!(
        kinds(&round(&mut engine, minute(18)).0),
        [CallbackKind::Deadline]
    );
}

#[test]
fn a_run_that_waits_for_its_turn_again_has_no_deadline_from_its_start_also_for_whoever_restarts() {
    let mut engine = engine();
    let started = due(DeadlineReference::StartedAt, 10).deadlines;
    let mut spec = due(DeadlineReference::Fixed(minute(50)), 10);
    spec.deadlines[0].name = "fixed".into();
    spec.deadlines.extend(started);
    import(&mut engine, 1, vec![spec], minute(0));
    let run = trigger(&mut engine, "d", "r", minute(0));
    let (_, claims) = round(&mut engine, minute(0));
    end(&mut engine, claims[0], failed(), minute(1));
    let (_, after) = engine.take_batch();
    engine.handle(Event::Paused(id("d"), true), minute(8));
    engine.clear(run, &[claims[0].at], minute(8));
    let (batch, again) = engine.take_batch();
    tell(&mut engine, after);
    // What is gone goes first; the other one is still ahead.
    assert_eq!(batch.gone_deadlines, [run]);
    assert_eq!(deadlines(&batch), [(minute(60), None)]);
    tell(&mut engine, again);
    assert!(kinds(&round(&mut engine, minute(10)).0).is_empty());
}

#[test]
fn a_deadline_by_the_average_waits_for_the_database_and_for_enough_runs() {
    let reference = DeadlineReference::Average {
        runs: 5,
        at_least: 2,
    };
    let minutes = |n: u64| Duration::from_secs(60 * n);
    for (took, at) in [
        (vec![], None),
        (vec![minutes(4)], None),
        (vec![minutes(4), minutes(6)], Some(minute(15))),
    ] {
        let mut engine = engine();
        import(&mut engine, 1, vec![due(reference, 10)], minute(0));
        let (reply, _heard): (_, Heard<RunRow>) = oneshot::channel();
        let request = airlock_model::port::TriggerRun::now(id("d"));
        engine.handle(Event::Trigger(Box::new(request), reply), minute(0));
        let (batch, after) = engine.take_batch();
        assert!(batch.deadlines.is_empty());
        let question = after.averages[0].clone();
        assert_eq!((question.runs, question.anew), (5, false));
        tell(&mut engine, after);
        engine.handle(
            Event::AverageKnown(Box::new(question), took.clone()),
            minute(0),
        );
        let (batch, _) = round(&mut engine, minute(0));
        assert_eq!(deadlines(&batch).first().map(|row| row.0), at, "{took:?}");
    }
}

#[test]
fn a_restart_knows_its_deadlines_and_tells_at_once_of_those_that_passed_meanwhile() {
    let mut engine = engine();
    import(
        &mut engine,
        1,
        vec![due(DeadlineReference::QueuedAt, 10)],
        minute(0),
    );
    let (reply, _heard): (_, Heard<RunRow>) = oneshot::channel();
    let request = airlock_model::port::TriggerRun::now(id("d"));
    engine.handle(Event::Trigger(Box::new(request), reply), minute(0));
    let (batch, _) = engine.take_batch();
    let mut engine = super::engine();
    engine.restore_deadlines(batch.deadlines.clone());
    assert!(kinds(&round(&mut engine, minute(9)).0).is_empty());
    let (batch, _) = round(&mut engine, minute(30));
    assert_eq!(kinds(&batch), [CallbackKind::Deadline]);
    assert_eq!(deadlines(&batch), [(minute(10), Some(minute(30)))]);
}

/// Somebody else has moved a task instance of the run, so that it is read again.
#[test]
fn a_run_that_is_evicted_has_the_deadlines_with_which_it_comes_back_and_no_others() {
    for comes_back in [false, true] {
        let mut engine = engine();
        let spec = due(DeadlineReference::QueuedAt, 10);
        import(&mut engine, 1, vec![spec], minute(0));
        let (reply, _heard): (_, Heard<RunRow>) = oneshot::channel();
        let request = airlock_model::port::TriggerRun::now(id("d"));
        engine.handle(Event::Trigger(Box::new(request), reply), minute(0));
        let (mut batch, mut after) = engine.take_batch();
        let written = batch.deadlines.clone();
        let runs = batch.new_runs.iter().map(|new| new.run.key).collect();
        engine.evict(&runs, &mut batch, &mut after, minute(1));
        assert!(batch.deadlines.is_empty());
        if comes_back {
            engine.restore_deadlines(written);
        }
        let told = kinds(&round(&mut engine, minute(10)).0);
        assert_eq!(told == [CallbackKind::Deadline], comes_back, "{told:?}");
    }
}

#[test]
fn a_run_that_succeeds_and_is_cleared_in_one_moment_has_its_new_deadline() {
    let mut engine = engine();
    let spec = due(DeadlineReference::QueuedAt, 10);
    import(&mut engine, 1, vec![spec], minute(0));
    let run = trigger(&mut engine, "d", "r", minute(0));
    let (_, claims) = round(&mut engine, minute(0));
    end(&mut engine, claims[0], Outcome::success(vec![]), minute(1));
    engine.clear(run, &[claims[0].at], minute(2));
    let (batch, _) = engine.take_batch();
    // What is gone goes first.
    assert_eq!(batch.gone_deadlines, [run]);
    assert_eq!(deadlines(&batch), [(minute(12), None)]);
}
