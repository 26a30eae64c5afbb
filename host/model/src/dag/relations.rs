//! What follows from a graph's edges for setups, teardowns and the end of a run.
//!
//! A setup is *relevant* to the tasks that come after it, unless they come after its teardown too; they do
//! not run without it, also where it is not directly upstream. A teardown waits for all that lies between its
//! setups and itself. The leaves decide the end of a run (Airflow's semantics, 3.2 and 3.6).

use super::{DagSpec, Role, Task, index};
use crate::id::TaskIndex;

/// Fills in the relations of `tasks`, which are those of `spec` in the topological order `sorted`.
pub(super) fn relate(tasks: &mut [Task], spec: &DagSpec, sorted: &[usize]) {
    let role = |task: TaskIndex| spec.tasks.get(task.get()).map_or(Role::Work, |t| t.role);
    let teardown = |task: TaskIndex| matches!(role(task), Role::Teardown { .. });
    leaves(tasks, spec);
    for setup in (0..tasks.len())
        .map(index)
        .filter(|&t| role(t) == Role::Setup)
    {
        let after = after(tasks, sorted, setup);
        let ends = down(tasks, setup).into_iter().filter(|&t| teardown(t));
        let ends: Vec<(TaskIndex, Vec<bool>)> =
            ends.map(|t| (t, before(tasks, sorted, t))).collect();
        for task in (0..tasks.len()).map(index) {
            if task == setup || !is(&after, task) {
                continue;
            }
            let direct = |of: &Task, other| of.upstream.contains(&other);
            let relevant = ends.is_empty() || ends.iter().any(|(_, before)| is(before, task));
            let needs = tasks.get(task.get()).is_some_and(|t| !direct(t, setup));
            if relevant && needs && !teardown(task) {
                push(tasks, task, |t| &mut t.setups, setup);
                push(tasks, setup, |t| &mut t.guards, task);
            }
            for (end, before) in &ends {
                let open = tasks
                    .get(end.get())
                    .is_some_and(|t| !direct(t, task) && !t.scope.contains(&task));
                if is(before, task) && open {
                    push(tasks, *end, |t| &mut t.scope, task);
                    push(tasks, task, |t| &mut t.closes, *end);
                }
            }
        }
    }
}

fn leaves(tasks: &mut [Task], spec: &DagSpec) {
    let counts = |task: TaskIndex| {
        let role = spec.tasks.get(task.get()).map(|t| t.role);
        !matches!(
            role,
            Some(Role::Teardown {
                on_failure_fail_dagrun: false
            })
        )
    };
    for i in 0..tasks.len() {
        let ends = down(tasks, index(i)).into_iter().all(|t| !counts(t));
        if let Some(task) = tasks.get_mut(i) {
            task.is_leaf = ends && counts(index(i));
        }
    }
    if !tasks.iter().any(|task| task.is_leaf) {
        for task in tasks {
            task.is_leaf = task.downstream.is_empty();
        }
    }
}

fn down(tasks: &[Task], task: TaskIndex) -> Vec<TaskIndex> {
    tasks
        .get(task.get())
        .map(|t| t.downstream.clone())
        .unwrap_or_default()
}

fn is(set: &[bool], task: TaskIndex) -> bool {
    set.get(task.get()).copied().unwrap_or(false)
}

/// Which tasks come after this one.
fn after(tasks: &[Task], sorted: &[usize], from: TaskIndex) -> Vec<bool> {
    spread(tasks, sorted.iter(), from, |task| &task.downstream)
}

/// Which tasks come before this one.
fn before(tasks: &[Task], sorted: &[usize], to: TaskIndex) -> Vec<bool> {
    spread(tasks, sorted.iter().rev(), to, |task| &task.upstream)
}

fn spread<'a>(
    tasks: &[Task],
    order: impl Iterator<Item = &'a usize>,
    from: TaskIndex,
    next: fn(&Task) -> &Vec<TaskIndex>,
) -> Vec<bool> {
    let mut reached = vec![false; tasks.len()];
    for &i in order {
        if i == from.get() || reached.get(i) == Some(&true) {
            for next in tasks.get(i).map(|t| next(t).as_slice()).unwrap_or_default() {
                if let Some(slot) = reached.get_mut(next.get()) {
                    *slot = true;
                }
            }
        }
    }
    reached
}

fn push(
    tasks: &mut [Task],
    of: TaskIndex,
    list: fn(&mut Task) -> &mut Vec<TaskIndex>,
    item: TaskIndex,
) {
    if let Some(task) = tasks.get_mut(of.get()) {
        list(task).push(item);
    }
}
