//! Who goes first: priority weights (Airflow 3.3.2, `airflow/task/priority_strategy.py`).

use crate::{
    dag::{DagSpec, Task, WeightRule},
    id::TaskIndex,
};

/// Sets each task's priority by its weight rule: its own weight plus, by the default, the own weights of all
/// its transitive downstream tasks, or of all its upstream ones, each counted once. `sorted` is a
/// topological order.
pub(crate) fn weigh(tasks: &mut [Task], spec: &DagSpec, sorted: &[usize]) {
    let has = |rule| spec.tasks.iter().any(|task| task.weight_rule == rule);
    let (mut down, mut up) = (Vec::new(), Vec::new());
    if has(WeightRule::Downstream) {
        down = sum(tasks, spec, sorted.iter().rev(), |task| &task.downstream);
    }
    if has(WeightRule::Upstream) {
        up = sum(tasks, spec, sorted.iter(), |task| &task.upstream);
    }
    for (i, (task, spec)) in tasks.iter_mut().zip(&spec.tasks).enumerate() {
        task.priority = match spec.weight_rule {
            WeightRule::Downstream => down.get(i).copied().unwrap_or_default(),
            WeightRule::Upstream => up.get(i).copied().unwrap_or_default(),
            WeightRule::Absolute => i64::from(spec.priority_weight),
        };
    }
}

/// The weights of each task and of all that `next` leads to, where `order` comes to a task after those.
///
/// What is reached is kept as bit sets, a block of 64 tasks at a time, so that a wide DAG of many thousand
/// tasks costs edges × tasks / 64 operations and no more memory than one word a task.
fn sum<'a>(
    tasks: &[Task],
    spec: &DagSpec,
    order: impl Iterator<Item = &'a usize> + Clone,
    next: fn(&Task) -> &Vec<TaskIndex>,
) -> Vec<i64> {
    let mut sums = vec![0_i64; tasks.len()];
    let weight = |i: usize| {
        spec.tasks
            .get(i)
            .map_or(0, |t| i64::from(t.priority_weight))
    };
    let mut reached = vec![0_u64; tasks.len()];
    for first in (0..tasks.len()).step_by(64) {
        reached.fill(0);
        for &i in order.clone() {
            let mut bits = if (first..first + 64).contains(&i) {
                1 << (i - first)
            } else {
                0
            };
            let nexts = tasks.get(i).map(|t| next(t).as_slice());
            for near in nexts.unwrap_or_default() {
                bits |= reached.get(near.get()).copied().unwrap_or(0);
            }
            if let Some(slot) = reached.get_mut(i) {
                *slot = bits;
            }
        }
        for (sum, &bits) in sums.iter_mut().zip(&reached) {
            let mut left = bits;
            while left != 0 {
                *sum += weight(first + left.trailing_zeros() as usize);
                left &= left - 1;
            }
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use crate::dag::{Dag, WeightRule, tests as make};

    #[test]
    fn a_diamond_counts_its_bottom_once() {
        let mut tasks = vec![
            make::task("a", &[]),
            make::task("b", &["a"]),
            make::task("c", &["a"]),
        ];
        tasks.push(make::task("d", &["b", "c"]));
        for (i, t) in tasks.iter_mut().enumerate() {
            t.priority_weight = 10_i32.pow(u32::try_from(i).unwrap());
        }
        let dag = Dag::new(make::dag(tasks)).unwrap();
        assert_eq!(
            dag.tasks().iter().map(|t| t.priority).collect::<Vec<_>>(),
            [1111, 1010, 1100, 1000]
        );
    }

    #[test]
    fn each_rule_sums_its_own_direction() {
        let rules = [
            WeightRule::Upstream,
            WeightRule::Absolute,
            WeightRule::Downstream,
            WeightRule::Upstream,
        ];
        let mut tasks = vec![
            make::task("a", &[]),
            make::task("b", &["a"]),
            make::task("c", &["a"]),
            make::task("d", &["b", "c"]),
        ];
        for (i, t) in tasks.iter_mut().enumerate() {
            t.priority_weight = 10_i32.pow(u32::try_from(i).unwrap());
            t.weight_rule = rules[i];
        }
        let dag = Dag::new(make::dag(tasks)).unwrap();
        assert_eq!(
            dag.tasks().iter().map(|t| t.priority).collect::<Vec<_>>(),
            [1, 10, 1100, 1111]
        );
    }

    #[test]
    fn a_chain_longer_than_a_word_sums_to_its_end() {
        let names: Vec<String> = (0..200).map(|i| format!("t{i}")).collect();
        let tasks = (0..200).map(|i| match i {
            0 => make::task(&names[0], &[]),
            _ => make::task(&names[i], &[&names[i - 1]]),
        });
        let dag = Dag::new(make::dag(tasks.collect())).unwrap();
        assert!(
            dag.tasks()
                .iter()
                .enumerate()
                .all(|(i, t)| t.priority == 200 - i as i64)
        );
    }
}
