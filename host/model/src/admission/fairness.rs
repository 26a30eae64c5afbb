//! What one team's load costs another: the bounds that the room promises, for any weights and loads.

use proptest::prelude::*;

use super::{
    tests::{at, drain, rank, run},
    *,
};

/// Teams by weight, each with one run of this many ready tasks, which nothing but the teams' shares bounds.
fn loaded(parallelism: u32, teams: &[(u32, u32)]) -> (Admission, PoolIndex, Vec<TeamIndex>) {
    let mut a = Admission::new(parallelism);
    let pool = a.pool(-1);
    let of = |(i, &(weight, load)): (usize, &(u32, u32))| {
        let team = a.team(weight, u32::MAX);
        a.add_run(run(i as u128), rank(team, u32::MAX, 0), false);
        (0..load).for_each(|task| a.enqueue(run(i as u128), at(task), pool, 1, 1_000));
        team
    };
    let teams = teams.iter().enumerate().map(of).collect();
    (a, pool, teams)
}

fn team_of(admitted: &Admitted) -> usize {
    usize::try_from(admitted.run.0.as_u128()).unwrap()
}

#[test]
fn a_hundred_thousand_ready_tasks_delay_another_teams_single_one_by_one_end() {
    for (greedy, modest) in [(1, 1), (1_000_000, 1), (1, 1_000)] {
        let (mut a, pool, teams) = loaded(8, &[(greedy, 100_000), (modest, 0)]);
        let started = drain(&mut a);
        assert_eq!(started.len(), 8);
        a.enqueue(run(1), at(0), pool, 1, 0);
        a.release(teams[0], started[0]);
        assert_eq!(
            a.admit().unwrap().run,
            run(1),
            "weights {greedy} and {modest}"
        );
    }
}

#[test]
fn where_there_are_fewer_slots_than_teams_they_take_turns() {
    let (mut a, _, teams) = loaded(1, &[(5, 100_000), (1, 100_000), (1, 100_000)]);
    let mut order = vec![];
    for _ in 0..9 {
        let admitted = a.admit().unwrap();
        order.push(team_of(&admitted));
        a.release(teams[team_of(&admitted)], admitted);
    }
    assert_eq!(order, [0, 1, 2, 0, 1, 2, 0, 1, 2]);
}

#[test]
fn weights_divide_what_both_want() {
    let (mut a, _, teams) = loaded(30, &[(1, 100), (2, 100)]);
    drain(&mut a);
    assert_eq!((a.load(teams[0]).0, a.load(teams[1]).0), (10, 20));
}

proptest! {
    /// The first bound: after any history, however much the others have and whatever they weigh, a task of a
    /// team without a slot starts within as many ends of tries as there are teams.
    #[test]
    fn a_single_task_waits_for_at_most_as_many_ends_as_there_are_teams(
        parallelism in 1..12_u32,
        teams in proptest::collection::vec((1..5_000_000_u32, 0..300_u32), 1..8),
        (weight, own) in (1..100_u32, 0..3_u32),
        before in proptest::collection::vec(any::<usize>(), 0..60),
        ends in proptest::collection::vec(any::<usize>(), 9),
    ) {
        let mut all = teams.clone();
        all.push((weight, own));
        let (mut a, pool, indexes) = loaded(parallelism, &all);
        let mut taken = drain(&mut a);
        let end = |a: &mut Admission, taken: &mut Vec<Admitted>, pick: usize| {
            if !taken.is_empty() {
                let ended = taken.swap_remove(pick % taken.len());
                a.release(indexes[team_of(&ended)], ended);
            }
            taken.extend(drain(a));
        };
        for pick in before {
            end(&mut a, &mut taken, pick);
        }
        // The team's own earlier tasks are over.
        let single = run(teams.len() as u128);
        let team = indexes[teams.len()];
        while a.load(team) != (0, 0) {
            let pick = taken.iter().position(|t| t.run == single).unwrap_or(0);
            end(&mut a, &mut taken, pick);
        }
        a.enqueue(single, at(9), pool, 1, 0);
        taken.extend(drain(&mut a));
        let held = |team: usize| taken.iter().filter(|t| team_of(t) == team).count();
        let at_most = match (0..teams.len()).all(|team| held(team) > 1) {
            true => 1,
            false => all.len(),
        };
        for (waited, &pick) in ends.iter().enumerate() {
            if taken.iter().any(|t| t.run == single) {
                break;
            }
            prop_assert!(waited < at_most, "it waits although {waited} tries have ended");
            end(&mut a, &mut taken, pick);
        }
        prop_assert!(taken.iter().any(|t| t.run == single));
    }

    /// The second bound: nobody is served while somebody waits who holds less for their weight, and what all
    /// want is divided by weight.
    #[test]
    fn what_all_want_is_divided_by_weight(
        parallelism in 1..200_u32,
        weights in proptest::collection::vec(1..100_u32, 1..8),
        ends in proptest::collection::vec(any::<usize>(), 0..100),
    ) {
        let teams: Vec<_> = weights.iter().map(|&weight| (weight, 400)).collect();
        let (mut a, _, indexes) = loaded(parallelism, &teams);
        let mut taken = vec![];
        let held = |taken: &[Admitted], team| taken.iter().filter(|t| team_of(t) == team).count() as u64;
        let mut ends = ends.into_iter();
        let mut first = true;
        loop {
            while let Some(admitted) = a.admit() {
                let served = team_of(&admitted);
                for (other, &weight) in weights.iter().enumerate() {
                    let (own, others) = (held(&taken, served), held(&taken, other));
                    prop_assert!(own * u64::from(weight) <= others * u64::from(weights[served]));
                }
                taken.push(admitted);
            }
            prop_assert_eq!(taken.len(), parallelism as usize);
            let sum: u64 = weights.iter().map(|&w| u64::from(w)).sum();
            let spare = u64::from(parallelism + 1).saturating_sub(weights.len() as u64);
            for (team, &weight) in weights.iter().enumerate().filter(|_| first) {
                prop_assert!(held(&taken, team) * sum >= spare * u64::from(weight));
            }
            first = false;
            let Some(pick) = ends.next() else { break };
            let ended = taken.swap_remove(pick % taken.len());
            a.release(indexes[team_of(&ended)], ended);
        }
    }
}
