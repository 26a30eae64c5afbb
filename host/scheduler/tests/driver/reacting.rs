//! Those who work beside the loop: triggers are polled and callbacks run, and what fails is tried again.

use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

use airlock_model::{
    callback::{CallbackKind, CallbackSpec, CallbackState},
    dag::{AssetSpec, WatcherSpec},
    outcome::{Failure, FailureKind},
    port::{FoundFile, Pause, Polled, WatchedEvent},
    trigger::{
        Deferral, FileChange, FileEvent, HostEvent, OwnTrigger, Resume, Trigger, TriggerEvent,
    },
};

use super::*;

fn failure(kind: FailureKind, message: &str) -> Failure {
    Failure {
        kind,
        message: message.into(),
        causes: vec![],
        location: None,
    }
}

/// Waits for a trigger of its bundle, and then returns what it gave.
fn defers(work: &Work) -> Option<Outcome> {
    let Some(deferred) = &work.resume else {
        return Some(Outcome::Deferred(Box::new(Deferral {
            trigger: Trigger::Own(OwnTrigger {
                kind: "Door".into(),
                arguments: "{}".into(),
            }),
            resume: Resume {
                method: "opened".into(),
                arguments: "[]".into(),
            },
            timeout: None,
        })));
    };
    Some(match deferred.event.as_ref().unwrap() {
        TriggerEvent::Fired(json) => value(json),
        TriggerEvent::Failed(reason) => Outcome::Failed(failure(FailureKind::Final, reason)),
        TriggerEvent::TimedOut => panic!("it has no time-out"),
    })
}

fn pause(state: &str) -> Pause {
    Pause {
        state: state.into(),
        until: Some(SystemClock.now()),
        on: vec![],
    }
}

fn polls(poll: impl Fn(u64) -> Result<Polled, Failure> + Send + Sync + 'static) -> Answers {
    Answers {
        poll: Box::new(move |it| poll(it.trigger.progress.polls)),
        ..Answers::none()
    }
}

#[tokio::test]
async fn a_trigger_is_polled_until_it_fires_and_its_task_goes_on_with_what_it_gave() {
    let answers = Answers {
        poll: Box::new(|poll| {
            let progress = &poll.trigger.progress;
            let state = progress.state.as_deref();
            match progress.polls {
                0 => assert_eq!(state, None, "nothing is kept before the first poll"),
                polls => assert_eq!(state, Some(polls.to_string().as_str())),
            }
            Ok(match progress.polls {
                2 => Polled::Fired("\"open\"".into()),
                polls => Polled::Waiting(pause(&(polls + 1).to_string())),
            })
        }),
        ..Answers::none()
    };
    let bench = start_dag(chain(1), defers, answers);
    let run = bench.trigger("r").await.unwrap();
    bench
        .until(|b| b.run_state(run.key) == Some(RunState::Success))
        .await;
    let seen = bench.executor.seen.lock().unwrap();
    let tries: Vec<u32> = seen.iter().map(|work| work.names.try_number).collect();
    assert_eq!(tries, [1, 1], "it goes on as the same try");
    assert!(seen[1].token > seen[0].token);
    let rows = bench.memory.waiting.lock().unwrap();
    assert!(rows.triggers.is_empty(), "nobody waits for it any more");
    let load = &bench.handle.health().teams[0];
    assert_eq!(
        (load.deferred, load.tally.resumed, load.tally.polls),
        (0, 1, 3)
    );
}

#[tokio::test]
async fn a_trigger_that_traps_now_and_then_is_slowed_and_one_that_always_does_fails_its_task() {
    let now_and_then = polls(|polls| match polls {
        0..3 => Err(failure(FailureKind::Trap, "a trap")),
        _ => Ok(Polled::Fired("1".into())),
    });
    let bench = start_dag(chain(1), defers, now_and_then);
    let run = bench.trigger("r").await.unwrap();
    bench
        .until(|b| b.run_state(run.key) == Some(RunState::Success))
        .await;
    let bench = start_dag(
        chain(1),
        defers,
        polls(|_| Err(failure(FailureKind::Trap, "a trap"))),
    );
    let run = bench.trigger("r").await.unwrap();
    bench
        .until(|b| b.run_state(run.key) == Some(RunState::Failed))
        .await;
    let load = bench.handle.health().teams[0].clone();
    assert_eq!((load.tally.polls, load.tally.failed_polls), (4, 4));
}

#[tokio::test]
async fn a_trigger_that_says_it_has_failed_is_not_asked_again() {
    let bench = start_dag(
        chain(1),
        defers,
        polls(|_| Err(failure(FailureKind::Final, "the door is gone"))),
    );
    let run = bench.trigger("r").await.unwrap();
    bench
        .until(|b| b.run_state(run.key) == Some(RunState::Failed))
        .await;
    assert_eq!(bench.handle.health().teams[0].tally.polls, 1);
    let rows = bench.memory.rows.lock().unwrap();
    let note = rows[&run.key].1[0].fields.note.clone();
    assert_eq!(
        note.as_deref(),
        Some("the door is gone"),
        "its code has heard why"
    );
}

/// A DAG whose failures and successes are heard of.
fn heard() -> DagSpec {
    let callback = |on| CallbackSpec {
        on,
        entry: "hear".into(),
        arguments: "{}".into(),
    };
    let mut spec = chain(1);
    spec.tasks[0].callbacks = vec![callback(CallbackKind::TaskFailure)];
    spec.callbacks = vec![callback(CallbackKind::DagFailure)];
    spec
}

fn calls(call: impl Fn(u32) -> Result<(), Failure> + Send + Sync + 'static) -> Answers {
    Answers {
        call: Box::new(move |work| call(work.row.tries)),
        ..Answers::none()
    }
}

fn fails(_: &Work) -> Option<Outcome> {
    Some(Outcome::Failed(failure(FailureKind::Error, "no")))
}

impl Bench {
    /// What callbacks hear of, where they stand, and how often they were tried.
    fn calls(&self) -> Vec<(CallbackKind, CallbackState, u32)> {
        let rows = self.memory.waiting.lock().unwrap();
        let call =
            |(row, _): &(airlock_model::port::CallbackRow, _)| (row.kind, row.state, row.tries);
        rows.callbacks.iter().map(call).collect()
    }

    async fn until_calls(&self, wanted: &[(CallbackKind, CallbackState, u32)]) {
        self.until(|bench| bench.calls() == wanted).await;
    }
}

#[tokio::test]
async fn a_callback_that_fails_is_tried_again_until_it_is_executed() {
    let bench = start_dag(
        heard(),
        fails,
        calls(|tries| match tries {
            1 | 2 => Err(failure(FailureKind::Trap, "a trap")),
            _ => Ok(()),
        }),
    );
    bench.trigger("r").await.unwrap();
    bench
        .until_calls(&[
            (CallbackKind::TaskFailure, CallbackState::Success, 3),
            (CallbackKind::DagFailure, CallbackState::Success, 3),
        ])
        .await;
    let tally = bench.handle.health().teams[0].tally;
    let told = (
        tally.callbacks,
        tally.failed_callback_tries,
        tally.failed_callbacks,
    );
    assert_eq!(told, (2, 4, 0));
}

#[tokio::test]
async fn a_callback_whose_last_try_failed_is_kept_and_somebody_may_ask_for_another() {
    let lucky = Arc::new(AtomicU32::new(0));
    let asked = Arc::clone(&lucky);
    let answers = calls(move |_| match asked.load(SeqCst) {
        0 => Err(failure(FailureKind::Error, "nobody home")),
        _ => Ok(()),
    });
    let bench = start_dag(heard(), fails, answers);
    bench.trigger("r").await.unwrap();
    bench
        .until_calls(&[
            (CallbackKind::TaskFailure, CallbackState::Failed, 3),
            (CallbackKind::DagFailure, CallbackState::Failed, 3),
        ])
        .await;
    lucky.store(1, SeqCst);
    let id = bench.memory.waiting.lock().unwrap().callbacks[0].0.id;
    bench.handle.retry_callback(id).await.unwrap();
    bench
        .until_calls(&[
            (CallbackKind::TaskFailure, CallbackState::Success, 4),
            (CallbackKind::DagFailure, CallbackState::Failed, 3),
        ])
        .await;
    let refused = bench.handle.retry_callback(id).await.unwrap_err();
    assert!(
        refused.to_string().contains("only one that has failed"),
        "{refused}"
    );
}

/// A DAG with a watcher of its bundle's own.
fn watches() -> DagSpec {
    let mut spec = chain(1);
    spec.assets = vec![AssetSpec {
        name: "inbox".into(),
        watchers: vec![WatcherSpec {
            name: "door".into(),
            trigger: Trigger::Own(OwnTrigger {
                kind: "Door".into(),
                arguments: "{}".into(),
            }),
        }],
        ..AssetSpec::default()
    }];
    spec
}

/// It has seen changes with these keys.
fn seen(keys: &[u64]) -> Result<Polled, Failure> {
    let event = |key: &u64| WatchedEvent {
        key: key.to_string(),
        extra: format!("{{\"n\":{key}}}"),
    };
    Ok(Polled::Seen(keys.iter().map(event).collect(), pause("0")))
}

#[tokio::test]
async fn what_a_watcher_saw_counts_once_although_somebody_else_polls_it_by_now() {
    let bench = start_dag(watches(), |_| None, polls(|_| seen(&[1])));
    bench.memory.taken_over.store(true, SeqCst);
    let polls = |b: &Bench| b.handle.health().teams.first().map(|team| team.tally.polls);
    bench.until(|b| polls(b) > Some(2)).await;
    assert!(!bench.memory.taken_over.load(SeqCst), "a batch was refused");
    let rows = bench.memory.waiting.lock().unwrap();
    assert_eq!(rows.events, ["{\"n\":1}"]);
}

#[tokio::test]
async fn of_changes_with_one_key_that_a_watcher_sees_one_counts() {
    let answers = polls(move |polls| match polls {
        0 => seen(&[1, 2, 1]),
        1 => seen(&[2, 1]),
        2 => seen(&[3, 2, 1]),
        _ => Ok(Polled::Waiting(Pause {
            until: Some(SystemClock.now().after(Duration::from_secs(3600))),
            ..pause("0")
        })),
    });
    let bench = start_dag(watches(), |_| None, answers);
    let all = ["{\"n\":1}", "{\"n\":2}", "{\"n\":3}"];
    bench
        .until(|b| b.memory.waiting.lock().unwrap().events == all)
        .await;
    bench
        .until(|b| b.handle.health().teams[0].tally.polls == 4)
        .await;
    assert_eq!(bench.memory.waiting.lock().unwrap().events, all);
    assert_eq!(bench.handle.health().teams[0].tally.watched, 3);
}

#[tokio::test]
async fn a_disk_that_hangs_keeps_nobody_waiting_who_waits_for_a_file_elsewhere() {
    let waits = |work: &Work| {
        if work.resume.is_some() {
            return Some(value("1"));
        }
        Some(Outcome::Deferred(Box::new(Deferral {
            trigger: Trigger::Host(HostEvent::File(FileEvent {
                directory: work.names.run_id.to_string(),
                pattern: "*".into(),
                change: FileChange::Exists,
            })),
            resume: Resume {
                method: "found".into(),
                arguments: "[]".into(),
            },
            timeout: None,
        })))
    };
    let answers = Answers {
        look: Box::new(|event| {
            let file = FoundFile {
                path: "a".into(),
                bytes: 1,
                modified: SystemClock.now(),
                changed: SystemClock.now(),
            };
            (event.directory != "hangs").then(|| vec![file])
        }),
        ..Answers::none()
    };
    let bench = start_dag(chain(1), waits, answers);
    let hangs = bench.trigger("hangs").await.unwrap();
    bench
        .until(|b| b.handle.health().teams[0].deferred == 1)
        .await;
    for n in 0..3 {
        let run = bench.trigger(&format!("well{n}")).await.unwrap();
        bench
            .until(|b| b.run_state(run.key) == Some(RunState::Success))
            .await;
    }
    assert_eq!(bench.run_state(hangs.key), Some(RunState::Running));
}
