//! The state machine against a slow evaluator of the same rules, and what people do to runs at any moment.

mod dags;
mod graph;
mod slow;
mod table;

use std::collections::BTreeMap;

use dags::{Luck, Plan, plans};
use slow::Slow;

use super::*;
use crate::{id::MapIndex, run::instance::Past};

/// What happens next.
#[derive(Debug, Clone)]
enum Step {
    Claim(usize),
    Start(usize),
    End(usize),
    Wake(usize),
    Allow(usize),
    Crash,
    Clear { which: Vec<usize>, downstream: bool },
    Mark { which: usize, mark: Mark },
    MarkRun(bool),
    TimeOut,
}

fn steps(repairs: bool) -> impl Strategy<Value = Vec<Step>> {
    let marks = proptest::sample::select(vec![Mark::Success, Mark::Failed, Mark::Skipped]);
    let repair = prop_oneof![
        4 => (proptest::collection::vec(any::<usize>(), 1..4), any::<bool>())
            .prop_map(|(which, downstream)| Step::Clear { which, downstream }),
        4 => (any::<usize>(), marks).prop_map(|(which, mark)| Step::Mark { which, mark }),
        1 => any::<bool>().prop_map(Step::MarkRun),
        1 => Just(Step::TimeOut),
    ];
    let step = prop_oneof![
        12 => any::<usize>().prop_map(Step::Claim),
        4 => any::<usize>().prop_map(Step::Start),
        12 => any::<usize>().prop_map(Step::End),
        4 => any::<usize>().prop_map(Step::Wake),
        4 => any::<usize>().prop_map(Step::Allow),
        1 => Just(Step::Crash),
        if repairs { 3 } else { 0 } => repair,
    ];
    proptest::collection::vec(step, 0..160)
}

/// Where something happened and, if it was an end, how: with how many elements.
type Told = (InstanceIndex, Option<(Outcome, Option<u32>)>);

/// A run, and all that is needed to bring it on.
struct Life {
    run: Run,
    luck: Luck,
    moves: Moves,
    now: Timestamp,
}

impl Life {
    fn new(plan: &Plan, seed: u64) -> Self {
        let dag = Dag::new(plan.spec()).unwrap_or_else(|e| panic!("{e:?}"));
        let mut life = Self {
            run: Run::new(Arc::new(dag), RunKey(uuid::Uuid::nil()), None),
            luck: Luck {
                seed,
                pokes: BTreeMap::new(),
            },
            moves: Moves::default(),
            now: T0,
        };
        life.run.start(T0, &mut life.moves);
        life
    }

    fn state(&self, at: InstanceIndex) -> Option<TaskState> {
        self.run.fields(at).unwrap().state
    }

    fn pick(&self, pick: usize, fits: impl Fn(&Instance) -> bool) -> Option<InstanceIndex> {
        let all = self.run.instances();
        let fits =
            |at: &InstanceIndex| fits(self.run.tasks[at.task.get()].get(at.map_index).unwrap());
        let all: Vec<_> = all.into_iter().filter(fits).collect();
        all.get(pick.checked_rem(all.len())?).copied()
    }

    fn pick_in(&self, pick: usize, states: &[TaskState]) -> Option<InstanceIndex> {
        self.pick(pick, |i| {
            i.fields.state.is_some_and(|s| states.contains(&s))
        })
    }

    /// Does a step, and tells where and, if it was an end, how.
    fn step(&mut self, step: &Step) -> Option<Told> {
        use TaskState::{Queued, Running, Scheduled, UpForReschedule, UpForRetry};
        let (now, moves) = (self.now, &mut self.moves);
        match *step {
            Step::Claim(i) => {
                let at = self.pick_in(i, &[Scheduled])?;
                self.run.claim(at, now, &mut self.moves).unwrap();
                Some((at, None))
            }
            Step::Start(i) => {
                let at = self.pick_in(i, &[Queued])?;
                let token = self.run.fields(at).unwrap().token;
                self.run.started(at, token, now, &mut self.moves).unwrap();
                Some((at, None))
            }
            Step::End(i) => {
                let at = self.pick_in(i, &[Queued, Running])?;
                let token = self.run.fields(at).unwrap().token;
                let (outcome, length) = self.luck.outcome(&self.run.dag, at, token);
                if let Some(length) = length {
                    self.run.returned(at, length);
                }
                self.run
                    .end(at, token, now, &outcome, &mut self.moves)
                    .unwrap();
                Some((at, Some((outcome, length))))
            }
            Step::Wake(i) => {
                let at = self.pick_in(i, &[UpForRetry, UpForReschedule])?;
                self.now = now.after(Duration::from_secs(400));
                self.run.wake(at, self.now, &mut self.moves);
                Some((at, None))
            }
            Step::Allow(i) => {
                let at = self.pick(i, |i| i.past == Past::Asked)?;
                self.run.past_allows(at, now, &mut self.moves);
                Some((at, None))
            }
            Step::Crash => {
                self.run = restored(&self.run);
                self.run.adopt(now, &mut self.moves);
                None
            }
            Step::Clear {
                ref which,
                downstream,
            } => {
                let all = self.run.instances();
                let mut which: Vec<_> = which.iter().map(|i| all[i % all.len()]).collect();
                if downstream {
                    let below = |at: &InstanceIndex| {
                        which
                            .iter()
                            .any(|of| comes_after(&self.run.dag, at.task, of.task))
                    };
                    which = all.iter().copied().filter(below).collect();
                }
                self.run.clear(&which, now, moves);
                self.run.start(now, moves);
                None
            }
            Step::Mark { which, mark } => {
                let all = self.run.instances();
                self.run.mark(&[all[which % all.len()]], mark, now, moves);
                None
            }
            Step::MarkRun(success) => {
                self.run.mark_run(success, now, moves);
                None
            }
            Step::TimeOut => {
                self.run.time_out(Duration::from_secs(1), now, moves);
                None
            }
        }
    }

    /// Works on all that moves, until nothing does.
    fn finish(&mut self, mut after: impl FnMut(&Self, &Step, Option<Told>)) {
        for round in 0..20_000 {
            let steps = [
                Step::Allow(round),
                Step::Wake(round),
                Step::Claim(round),
                Step::End(round),
            ];
            for step in steps {
                let told = self.step(&step);
                after(self, &step, told);
            }
            if self.run.state().is_terminal() {
                return;
            }
        }
    }
}

fn comes_after(dag: &Dag, task: TaskIndex, of: TaskIndex) -> bool {
    task == of
        || dag.tasks()[task.get()]
            .upstream
            .iter()
            .any(|&up| comes_after(dag, up, of))
}

fn restored(run: &Run) -> Run {
    let rows = run
        .instances()
        .into_iter()
        .map(|at| (at, run.fields(at).unwrap().clone()));
    let returned = run.returned_lengths().collect();
    Run::restore(
        Arc::clone(&run.dag),
        run.key,
        None,
        run.state,
        rows.collect(),
        returned,
    )
}

/// Claims that two runs are the same, but for what they have asked of the run before, which is asked anew after a
/// restart.
fn same(one: &Run, other: &Run, why: &str) {
    let quiet = |run: &Run| {
        let mut run = run.clone();
        let all = run.tasks.iter_mut().flat_map(Instances::all_mut);
        all.for_each(|instance| instance.past = Past::Unasked);
        run.recount();
        run
    };
    let (one, other) = (quiet(one), quiet(other));
    for (i, (a, b)) in one.tasks.iter().zip(&other.tasks).enumerate() {
        assert_eq!(a, b, "{why}: task {i}");
        let task = index(i);
        assert_eq!(
            one.length(task),
            other.length(task),
            "{why}: what task {i} returned"
        );
    }
    let counts = |run: &Run| (run.unfinished, run.moving, run.state);
    assert_eq!(counts(&one), counts(&other), "{why}");
}

fn sorted(
    mut moves: Moves,
) -> (
    Vec<InstanceIndex>,
    Vec<InstanceIndex>,
    Vec<(InstanceIndex, Timestamp)>,
) {
    moves.changed.sort_unstable();
    moves.ready.sort_unstable();
    moves.waiting.sort_unstable();
    (moves.changed, moves.ready, moves.waiting)
}

/// Nothing that is counted as it changes differs from what a count from scratch gives, and a run that is read
/// back from its rows is the same run, and goes on in the same way.
fn check(run: &Run) {
    let mut counted = run.clone();
    counted.recount();
    assert_eq!(
        (run.unfinished, run.moving),
        (counted.unfinished, counted.moving)
    );
    assert_eq!(run.tasks, counted.tasks, "what is counted has drifted");
    let mut again = restored(run);
    same(run, &again, "a restart changes the run");
    let mut living = run.clone();
    let asked = living.tasks.iter_mut().flat_map(Instances::all_mut);
    asked
        .filter(|i| i.past == Past::Asked)
        .for_each(|i| i.past = Past::Unasked);
    living.recount();
    if run
        .tasks
        .iter()
        .flat_map(Instances::all)
        .any(|i| i.past == Past::Passed && i.fields.state.is_none())
    {
        return;
    }
    let (mut one, mut other) = (Moves::default(), Moves::default());
    living.adopt(T0, &mut one);
    again.adopt(T0, &mut other);
    same(&living, &again, "a restored run goes on in another way");
    assert_eq!(sorted(one), sorted(other));
}

fn place(at: InstanceIndex) -> (usize, i32) {
    (at.task.get(), at.map_index.0)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    /// Any DAG, any rules, groups, mappings, setups, decisions and retries, any outcomes in any order, and
    /// crashes at any moment: after each event each task instance and the run stand where the slow evaluator
    /// puts them, and the run ends.
    ///
    /// Left out is what the order of events decides by right: in a DAG that fails fast, who happens to run at
    /// the first failure; and the run before, which is another run's affair.
    #[test]
    fn every_state_is_what_the_rules_say(plan in plans(false), steps in steps(false), seed in any::<u64>()) {
        let mut life = Life::new(&plan, seed);
        let mut slow = Slow::new(plan.spec());
        slow.settle();
        let compare = |life: &Life, slow: &Slow| {
            let living: BTreeMap<_, _> = life.run.instances().into_iter().map(|at| (place(at), life.state(at))).collect();
            let other: Vec<_> = slow.states.iter().filter(|(at, state)| living.get(at) != Some(state)).collect();
            assert!(other.is_empty() && slow.states.len() == living.len(), "the rules say {other:?}: {}", states(&life.run));
            assert_eq!(slow.run_state(), life.run.state(), "{}", states(&life.run));
        };
        compare(&life, &slow);
        let mut follow = |life: &Life, step: &Step, told: Option<Told>| {
            match (step, told) {
                (Step::Claim(_), Some((at, _))) => slow.put(place(at), TaskState::Queued),
                (Step::Start(_), Some((at, _))) => slow.put(place(at), TaskState::Running),
                (Step::Wake(_), Some((at, _))) => slow.wake(place(at)),
                (Step::End(_), Some((at, Some((outcome, length))))) => slow.end(place(at), &outcome, length),
                (Step::Crash, _) => {
                    let flying = |s: &Option<TaskState>| s.is_some_and(TaskState::holds_slot);
                    let flying: Vec<_> = slow.states.iter().filter(|(_, s)| flying(s)).map(|(&at, _)| at).collect();
                    flying.into_iter().for_each(|at| slow.put(at, TaskState::Scheduled));
                }
                _ => {}
            }
            compare(life, &slow);
        };
        for step in &steps {
            let told = life.step(step);
            follow(&life, step, told);
        }
        life.finish(follow);
        prop_assert!(life.run.state().is_terminal(), "{}", states(&life.run));
    }

    /// People clear and mark at any moment, runs are timed out and ended by hand, hosts crash, and DAGs fail
    /// fast and depend on the past: what is counted never drifts, a run that is read back is the same run,
    /// and in the end it ends.
    #[test]
    fn repairs_and_crashes_at_any_moment_leave_a_run_that_ends(plan in plans(true), steps in steps(true), seed in any::<u64>()) {
        let mut life = Life::new(&plan, seed);
        check(&life.run);
        for step in &steps {
            life.step(step);
            check(&life.run);
        }
        life.finish(|_, _, _| {});
        check(&life.run);
        prop_assert!(life.run.state().is_terminal(), "{}", states(&life.run));
    }
}
