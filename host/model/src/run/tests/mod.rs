mod deferral;
mod features;
mod reference;
mod repairs;
mod rounds;

use std::{collections::BTreeMap, time::Duration};

use proptest::prelude::*;
use serde::Deserialize;

use super::*;
use crate::{
    dag::{TaskSpec, tests as make},
    outcome::{Failure, FailureKind, Outcome},
    state::TaskState,
    trigger_rule::TriggerRule,
};

const T0: Timestamp = Timestamp::EPOCH;

fn run(tasks: Vec<TaskSpec>) -> Run {
    let dag = Arc::new(Dag::new(make::dag(tasks)).unwrap());
    Run::new(dag, RunKey(uuid::Uuid::nil()), None)
}

/// Works on whatever becomes ready, until nothing does: what each try gives is said by its task's id and map
/// index, and a list that others are mapped over has as many elements as `lengths` says.
fn drive(
    run: &mut Run,
    moves: &mut Moves,
    lengths: &[(&str, u32)],
    outcome: impl Fn(&str, i32) -> Outcome,
) {
    while let Some(at) = moves.ready.pop() {
        let Some(token) = run.claim(at, T0, moves) else {
            continue;
        };
        let id = run.dag().task(at.task).unwrap().0.id.to_string();
        let outcome = outcome(&id, at.map_index.0);
        if let (Outcome::Success { .. }, Some((_, length))) =
            (&outcome, lengths.iter().find(|(task, _)| *task == id))
        {
            run.returned(at, *length);
        }
        run.end(at, token, T0, &outcome, moves).unwrap();
    }
}

/// All states as text: `a=success b[0]=failed …`.
fn states(run: &Run) -> String {
    let one = |at: InstanceIndex| {
        let id = &run.dag().task(at.task).unwrap().0.id;
        let index = at
            .map_index
            .get()
            .map(|i| format!("[{i}]"))
            .unwrap_or_default();
        let state = run.fields(at).unwrap().state;
        format!(
            "{id}{index}={}",
            state.map_or_else(|| "-".into(), |s| s.to_string())
        )
    };
    run.instances()
        .into_iter()
        .map(one)
        .collect::<Vec<_>>()
        .join(" ")
}

const fn at(task: u32) -> InstanceIndex {
    InstanceIndex::unmapped(TaskIndex(task))
}

fn success() -> Outcome {
    Outcome::success(vec![])
}

fn failure(kind: FailureKind) -> Outcome {
    Outcome::Failed(Failure {
        kind,
        message: "no".into(),
        causes: vec![],
        location: None,
    })
}

fn state(run: &Run, task: u32) -> Option<TaskState> {
    run.fields(at(task)).unwrap().state
}

#[derive(Deserialize)]
struct PlannedTask {
    task_id: String,
    trigger_rule: TriggerRule,
    outcome: TaskState,
}

#[derive(Deserialize)]
struct Expected {
    run_state: RunState,
    task_states: BTreeMap<String, Option<TaskState>>,
}

#[derive(Deserialize)]
struct Case {
    dag_id: String,
    tasks: Vec<PlannedTask>,
    edges: Vec<(String, String)>,
    expected: Expected,
}

#[test]
fn whole_runs_end_as_airflows_do() {
    let cases: Vec<Case> =
        serde_json::from_str(include_str!("../../../tests/vectors/dag_runs.json")).unwrap();
    for case in cases {
        let tasks = case.tasks.iter().map(|planned| {
            let ups: Vec<&str> = case
                .edges
                .iter()
                .filter(|(_, to)| *to == planned.task_id)
                .map(|(from, _)| from.as_str())
                .collect();
            let mut task = make::task(&planned.task_id, &ups);
            task.trigger_rule = planned.trigger_rule;
            task
        });
        let mut run = run(tasks.collect());
        let mut moves = Moves::default();
        run.start(T0, &mut moves);
        while let Some(task) = moves.ready.pop() {
            let token = run.claim(task, T0, &mut moves).unwrap();
            let outcome = match case.tasks[task.task.get()].outcome {
                TaskState::Success => success(),
                TaskState::Skipped => Outcome::Skipped {
                    reason: String::new(),
                },
                _ => failure(FailureKind::Error),
            };
            run.end(task, token, T0, &outcome, &mut moves).unwrap();
        }
        let told: BTreeMap<String, Option<TaskState>> = run
            .dag()
            .tasks()
            .iter()
            .zip(run.instances())
            .map(|(t, i)| (t.id.to_string(), state(&run, i.task.0)))
            .collect();
        assert_eq!(told, case.expected.task_states, "{}", case.dag_id);
        assert_eq!(run.state(), case.expected.run_state, "{}", case.dag_id);
        assert_eq!(moves.ended, Some(run.state()));
    }
}

#[test]
fn a_superseded_try_changes_nothing() {
    let mut run = run(vec![make::task("a", &[])]);
    let mut moves = Moves::default();
    run.start(T0, &mut moves);
    let old = run.claim(at(0), T0, &mut moves).unwrap();
    run.adopt(T0, &mut moves);
    let new = run.claim(at(0), T0, &mut moves).unwrap();
    assert!(new > old);
    let before = format!("{run:?}");
    assert!(run.started(at(0), old, T0, &mut moves).is_err());
    assert!(run.end(at(0), old, T0, &success(), &mut moves).is_err());
    assert_eq!(format!("{run:?}"), before);
    run.end(at(0), new, T0, &success(), &mut moves).unwrap();
    assert!(
        run.end(at(0), new, T0, &failure(FailureKind::Error), &mut moves)
            .is_err()
    );
    assert_eq!(run.state(), RunState::Success);
}

#[test]
fn a_failed_try_is_retried_as_often_as_its_task_says_and_no_more() {
    let mut task = make::task("a", &[]);
    task.retries = 2;
    task.retry_delay = Duration::from_secs(30);
    let mut run = run(vec![task, make::task("b", &["a"])]);
    let mut moves = Moves::default();
    run.start(T0, &mut moves);
    let mut now = T0;
    for tried in 1..=3 {
        let token = run.claim(at(0), now, &mut moves).unwrap();
        assert_eq!(run.fields(at(0)).unwrap().try_number, tried);
        moves = Moves::default();
        run.end(at(0), token, now, &failure(FailureKind::Trap), &mut moves)
            .unwrap();
        if tried < 3 {
            let due = now.after(Duration::from_secs(30));
            assert_eq!(moves.waiting, [(at(0), due)]);
            run.wake(at(0), now, &mut moves);
            assert_eq!(
                state(&run, 0),
                Some(TaskState::UpForRetry),
                "not before its time"
            );
            now = due;
            run.wake(at(0), now, &mut moves);
        }
    }
    assert_eq!(
        (state(&run, 0), state(&run, 1)),
        (Some(TaskState::Failed), Some(TaskState::UpstreamFailed))
    );
    assert_eq!(run.state(), RunState::Failed);
}

#[test]
fn a_task_that_wants_no_further_try_gets_none() {
    let mut task = make::task("a", &[]);
    task.retries = 5;
    let mut run = run(vec![task]);
    let mut moves = Moves::default();
    run.start(T0, &mut moves);
    let token = run.claim(at(0), T0, &mut moves).unwrap();
    run.end(at(0), token, T0, &failure(FailureKind::Final), &mut moves)
        .unwrap();
    assert_eq!(moves.ended, Some(RunState::Failed));
}

#[test]
fn a_run_over_its_time_fails_and_skips_what_has_not_ended() {
    let mut run = run(vec![make::task("a", &[]), make::task("b", &["a"])]);
    let mut moves = Moves::default();
    run.start(T0, &mut moves);
    let token = run.claim(at(0), T0, &mut moves).unwrap();
    run.time_out(Duration::from_secs(5), T0, &mut moves);
    assert_eq!(moves.superseded, [(at(0), token)]);
    assert_eq!(
        (state(&run, 0), state(&run, 1)),
        (Some(TaskState::Skipped), Some(TaskState::Skipped))
    );
    assert_eq!(moves.ended, Some(RunState::Failed));
    assert!(run.end(at(0), token, T0, &success(), &mut moves).is_err());
}

#[test]
fn a_run_without_tasks_succeeds() {
    let mut run = run(vec![]);
    let mut moves = Moves::default();
    run.start(T0, &mut moves);
    assert_eq!(moves.ended, Some(RunState::Success));
}

/// What happens next in a random history.
#[derive(Debug, Clone)]
enum Step {
    Claim(usize),
    Start(usize),
    End(usize, u8),
    Wake(usize),
    /// The host dies: what was not written is as it was, what was in flight is adopted.
    Crash,
    /// A report of a try that is not the newest.
    Late(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => any::<usize>().prop_map(Step::Claim),
        2 => any::<usize>().prop_map(Step::Start),
        4 => (any::<usize>(), any::<u8>()).prop_map(|(i, o)| Step::End(i, o)),
        2 => any::<usize>().prop_map(Step::Wake),
        1 => Just(Step::Crash),
        1 => any::<usize>().prop_map(Step::Late),
    ];
    proptest::collection::vec(step, 0..200)
}

fn dags() -> impl Strategy<Value = Vec<TaskSpec>> {
    let task = (
        0..TriggerRule::ALL.len(),
        0_u32..3,
        proptest::collection::vec(any::<usize>(), 0..4),
    );
    proptest::collection::vec(task, 1..30).prop_map(|tasks| {
        let name = |i: usize| format!("t{i}");
        let make = |(i, (rule, retries, ups)): (usize, (usize, u32, Vec<usize>))| {
            let ups: Vec<String> = ups
                .iter()
                .filter(|_| i > 0)
                .map(|u| name(u % i.max(1)))
                .collect();
            let mut task = make::task(
                &name(i),
                &ups.iter().map(String::as_str).collect::<Vec<_>>(),
            );
            task.trigger_rule = TriggerRule::ALL[rule];
            task.retries = retries;
            task
        };
        tasks.into_iter().enumerate().map(make).collect()
    })
}

fn outcome(choice: u8) -> Outcome {
    match choice % 5 {
        0 | 1 => success(),
        2 => Outcome::Skipped {
            reason: "no".into(),
        },
        3 => failure(FailureKind::Error),
        _ => failure(FailureKind::Final),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// Any DAG, any rules, any outcomes, any interleaving, any crash: tokens only grow, ended states never
    /// change, counts equal a recount from scratch, and once nothing disturbs it any more the run ends.
    #[test]
    fn every_run_ends_whatever_happens_to_it(tasks in dags(), steps in steps(), choices in any::<[u8; 16]>()) {
        let mut run = run(tasks);
        let mut moves = Moves::default();
        run.start(T0, &mut moves);
        let mut now = T0;
        let in_state = |run: &Run, wanted: &[TaskState], pick: usize| {
            let all: Vec<_> = run.instances().into_iter().filter(|&t| state(run, t.task.0).is_some_and(|s| wanted.contains(&s))).collect();
            all.get(pick.checked_rem(all.len()).unwrap_or(0)).copied()
        };
        for step in steps {
            let before = run.clone();
            match step {
                Step::Claim(i) => {
                    if let Some(task) = in_state(&run, &[TaskState::Scheduled], i) {
                        prop_assert!(run.claim(task, now, &mut moves).is_some());
                    }
                }
                Step::Start(i) => {
                    if let Some(task) = in_state(&run, &[TaskState::Queued], i) {
                        let token = run.fields(task).unwrap().token;
                        prop_assert!(run.started(task, token, now, &mut moves).is_ok());
                    }
                }
                Step::End(i, choice) => {
                    if let Some(task) = in_state(&run, &[TaskState::Queued, TaskState::Running], i) {
                        let token = run.fields(task).unwrap().token;
                        prop_assert!(run.end(task, token, now, &outcome(choice), &mut moves).is_ok());
                    }
                }
                Step::Wake(i) => {
                    now = now.after(Duration::from_secs(400));
                    if let Some(task) = in_state(&run, &[TaskState::UpForRetry], i) {
                        run.wake(task, now, &mut moves);
                        prop_assert_eq!(state(&run, task.task.0), Some(TaskState::Scheduled));
                    }
                }
                Step::Crash => {
                    let fields = run.instances().into_iter().map(|i| (i, run.fields(i).unwrap().clone())).collect();
                    run = Run::restore(Arc::clone(&run.dag), run.key, None, run.state, fields, run.returned.clone());
                    run.adopt(T0, &mut moves);
                }
                Step::Late(i) => {
                    let task = at(u32::try_from(i % run.tasks.len()).unwrap());
                    let newest = run.fields(task).unwrap().token;
                    if let Some(old) = newest.get().checked_sub(1) {
                        let told = run.end(task, Token::stored(old), now, &success(), &mut moves);
                        prop_assert!(told.is_err());
                        prop_assert_eq!(&run.tasks, &before.tasks);
                    }
                }
            }
            for task in run.instances() {
                let (was, is) = (before.fields(task).unwrap(), run.fields(task).unwrap());
                prop_assert!(is.token >= was.token);
                if was.state.is_some_and(TaskState::is_terminal) {
                    prop_assert_eq!(was.state, is.state);
                }
                prop_assert!(is.try_number <= is.max_tries + 1);
            }
            let mut recounted = run.clone();
            recounted.recount();
            prop_assert_eq!((run.unfinished, run.moving), (recounted.unfinished, recounted.moving));
            prop_assert_eq!(&run.tasks, &recounted.tasks);
        }
        // From here on every task is worked on in turn, and that must bring the run to its end.
        for round in 0..run.len() * 4 + 4 {
            now = now.after(Duration::from_secs(400));
            for task in run.instances() {
                run.wake(task, now, &mut moves);
                run.claim(task, now, &mut moves);
                let token = run.fields(task).unwrap().token;
                let choice = choices[(round + task.task.get()) % choices.len()];
                let _ = run.end(task, token, now, &outcome(choice), &mut moves);
            }
        }
        prop_assert!(run.state().is_terminal(), "{:?}", run);
        prop_assert_eq!(moves.ended, Some(run.state()));
    }
}
