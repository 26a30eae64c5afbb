//! Who goes first: priority weights (Airflow 3.3.2, `airflow/task/priority_strategy.py`).

use crate::dag::{DagSpec, Task};

/// Sets each task's priority by Airflow's default rule, *downstream*: its own weight plus the own weights of
/// all its transitive downstream tasks, each counted once. `sorted` is a topological order.
///
/// The descendants are kept as bit sets, a block of 64 tasks at a time, so that a wide DAG of many thousand
/// tasks costs edges × tasks / 64 operations and no more memory than one word a task.
pub(crate) fn downstream_weights(tasks: &mut [Task], spec: &DagSpec, sorted: &[usize]) {
    let weight = |i: usize| {
        spec.tasks
            .get(i)
            .map_or(0, |t| i64::from(t.priority_weight))
    };
    let mut reached = vec![0_u64; tasks.len()];
    for first in (0..tasks.len()).step_by(64) {
        reached.fill(0);
        for &i in sorted.iter().rev() {
            let mut bits = if (first..first + 64).contains(&i) {
                1 << (i - first)
            } else {
                0
            };
            for down in tasks
                .get(i)
                .map(|t| t.downstream.as_slice())
                .unwrap_or_default()
            {
                bits |= reached.get(down.get()).copied().unwrap_or(0);
            }
            if let Some(slot) = reached.get_mut(i) {
                *slot = bits;
            }
        }
        for (task, &bits) in tasks.iter_mut().zip(&reached) {
            let mut left = bits;
            while left != 0 {
                task.priority += weight(first + left.trailing_zeros() as usize);
                left &= left - 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::dag::{Dag, tests as make};

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
