use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::id::TaskIndex;

pub(super) const fn at(task: u32) -> InstanceIndex {
    InstanceIndex::unmapped(TaskIndex(task))
}

pub(super) fn run(n: u128) -> RunKey {
    RunKey(Uuid::from_u128(n))
}

pub(super) fn rank(team: TeamIndex, max_active_tasks: u32, at: i64) -> RunRank {
    RunRank {
        team,
        max_active_tasks,
        last: false,
        at,
    }
}

pub(super) fn drain(admission: &mut Admission) -> Vec<Admitted> {
    std::iter::from_fn(|| admission.admit()).collect()
}

#[test]
fn the_most_important_goes_first_then_the_older_run_then_the_earlier_task() {
    let mut a = Admission::new(100);
    let (pool, team) = (a.pool(-1), a.team(1, 100));
    a.add_run(run(1), rank(team, 100, 20), false);
    a.add_run(run(2), rank(team, 100, 10), false);
    for (r, task, priority) in [(1, 0, 5), (1, 1, 9), (2, 0, 5), (2, 2, 5), (2, 1, 5)] {
        a.enqueue(run(r), at(task), pool, 1, priority);
    }
    let order: Vec<_> = drain(&mut a)
        .iter()
        .map(|t| (t.run.0.as_u128(), t.at.task.0))
        .collect();
    assert_eq!(order, [(1, 1), (2, 0), (2, 1), (2, 2), (1, 0)]);
}

#[test]
fn a_task_that_wants_more_slots_than_are_left_lets_others_by() {
    let mut a = Admission::new(100);
    let (pool, team) = (a.pool(2), a.team(1, 100));
    for r in 1..=3 {
        a.add_run(run(r), rank(team, 100, 0), false);
    }
    a.enqueue(run(1), at(0), pool, 1, 9);
    a.enqueue(run(2), at(0), pool, 2, 5);
    a.enqueue(run(3), at(0), pool, 1, 1);
    let started = drain(&mut a);
    assert_eq!(
        started.iter().map(|t| t.run).collect::<Vec<_>>(),
        [run(1), run(3)]
    );
    for t in started {
        a.release(team, t);
    }
    assert_eq!(drain(&mut a).len(), 1);
}

#[test]
fn a_held_run_starts_nothing_and_keeps_its_place() {
    let mut a = Admission::new(100);
    let (pool, team) = (a.pool(-1), a.team(1, 100));
    a.add_run(run(1), rank(team, 100, 0), true);
    a.enqueue(run(1), at(0), pool, 1, 1);
    assert_eq!(a.admit(), None);
    assert_eq!(a.load(team), (0, 1));
    a.hold(run(1), false);
    assert!(a.admit().is_some());
}

#[derive(Debug, Clone)]
enum Step {
    Enqueue {
        run: u8,
        pool: u8,
        slots: u32,
        priority: i64,
    },
    Admit,
    Release(usize),
    Hold(u8, bool),
    Resize(u8, i32),
    Remove(u8),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => (0..6_u8, 0..3_u8, 1..4_u32, 0..5_i64)
            .prop_map(|(run, pool, slots, priority)| Step::Enqueue { run, pool, slots, priority }),
        5 => Just(Step::Admit),
        3 => any::<usize>().prop_map(Step::Release),
        1 => (0..6_u8, any::<bool>()).prop_map(|(r, h)| Step::Hold(r, h)),
        1 => (0..3_u8, -1..6_i32).prop_map(|(p, s)| Step::Resize(p, s)),
        1 => (0..6_u8).prop_map(Step::Remove),
    ]
}

proptest! {
    /// Against a list that is searched from end to end: the same task starts, and no bound is ever broken.
    #[test]
    fn admission_equals_a_search_through_everything(steps in proptest::collection::vec(step(), 1..200)) {
        let mut a = Admission::new(7);
        let pools = [a.pool(2), a.pool(5), a.pool(-1)];
        let mut totals = [Some(2), Some(5), None];
        let teams = [a.team(1, 4), a.team(3, 6)];
        let (weights, capacity) = ([1_u64, 3], [4_usize, 6]);
        let team_of = |r: u128| usize::from(r % 2 == 1);
        let mut served = [0, 0];
        let mut held = [false; 6];
        let mut gone = [false; 6];
        for r in 0..6_u128 {
            a.add_run(run(r), rank(teams[team_of(r)], 3, i64::try_from(r).unwrap() / 2), false);
        }
        let mut ready: Vec<(u128, u32, usize, u32, i64)> = vec![];
        let mut taken: Vec<(Admitted, usize, u128)> = vec![];
        for (task, step) in (0_u32..).zip(steps) {
            match step {
                Step::Enqueue { run: r, pool, slots, priority } => {
                    a.enqueue(run(r.into()), at(task), pools[usize::from(pool)], slots, priority);
                    if !gone[usize::from(r)] {
                        ready.push((r.into(), task, pool.into(), slots, priority));
                    }
                }
                Step::Release(i) if !taken.is_empty() => {
                    let (admitted, ..) = taken.swap_remove(i % taken.len());
                    a.release(teams[team_of(admitted.run.0.as_u128())], admitted);
                }
                Step::Release(_) => {}
                Step::Hold(r, h) => {
                    a.hold(run(r.into()), h);
                    held[usize::from(r)] = h;
                }
                Step::Resize(p, slots) => {
                    a.resize(pools[usize::from(p)], slots);
                    totals[usize::from(p)] = u32::try_from(slots).ok();
                }
                Step::Remove(r) => {
                    a.remove_run(run(r.into()));
                    gone[usize::from(r)] = true;
                    ready.retain(|t| t.0 != u128::from(r));
                }
                Step::Admit => {
                    let used = |p: usize| taken.iter().filter(|t| t.1 == p).map(|t| t.0.slots).sum::<u32>();
                    let running = |team: usize| taken.iter().filter(|t| team_of(t.2) == team).count();
                    let may = |&&(r, _, pool, slots, _): &&(u128, u32, usize, u32, i64)| {
                        let index = usize::try_from(r).unwrap();
                        let active = taken.iter().filter(|t| t.2 == r).count();
                        taken.len() < 7 && !held[index] && active < 3
                            && running(team_of(r)) < capacity[team_of(r)]
                            && totals[pool].is_none_or(|total| used(pool) + slots <= total)
                    };
                    let share = |team: usize| running(team) as u64 * 1_000_000 / weights[team];
                    let expected = ready.iter().filter(may).min_by_key(|&&(r, task, pool, slots, priority)| {
                        (share(team_of(r)), served[team_of(r)], team_of(r), Reverse(priority), r / 2, r, pool, slots, task)
                    }).copied();
                    let told = a.admit();
                    prop_assert_eq!(told.map(|t| (t.run.0.as_u128(), t.at.task.0)), expected.map(|e| (e.0, e.1)));
                    if let (Some(admitted), Some(e)) = (told, expected) {
                        ready.retain(|t| t.1 != e.1);
                        served[team_of(e.0)] = task + 1;
                        taken.push((admitted, e.2, e.0));
                    }
                }
            }
            for (team, index) in teams.into_iter().zip(0..) {
                let waiting = ready.iter().filter(|t| team_of(t.0) == index).count() as u64;
                prop_assert_eq!(a.load(team).1, waiting);
            }
        }
    }
}
