//! `airlock tasks list`: the tasks of a DAG, as a list or as a tree of what comes after what.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

use serde_json::Value;

use crate::output::{field, line, text};

/// Each task below what it waits for. One that waits for several stands below each; what comes after it is
/// drawn once.
pub(super) fn drawn(tasks: &[Value]) -> String {
    let ids = |task: &Value, name: &str| -> Vec<String> {
        let ids = field(task, name).as_array().cloned().unwrap_or_default();
        ids.iter()
            .filter_map(|id| id.as_str().map(str::to_owned))
            .collect()
    };
    let after: BTreeMap<String, Vec<String>> = tasks
        .iter()
        .map(|task| (text(task, "task_id"), ids(task, "downstream_task_ids")))
        .collect();
    let roots = tasks
        .iter()
        .filter(|task| ids(task, "upstream_task_ids").is_empty());
    let mut out = String::new();
    let mut drawn = BTreeSet::new();
    // Last in, first out: so that a task's branch is whole before its neighbour's begins.
    let mut rest: Vec<(usize, String)> = roots.map(|task| (0, text(task, "task_id"))).collect();
    rest.reverse();
    while let Some((depth, task)) = rest.pop() {
        let below = after.get(&task).map_or(&[][..], Vec::as_slice);
        let again = !drawn.insert(task.clone()) && !below.is_empty();
        let more = if again { "  …" } else { "" };
        let _ = writeln!(out, "{:1$}{2}{more}", "", 2 * depth, line(&task));
        if !again {
            rest.extend(below.iter().rev().map(|task| (depth + 1, task.clone())));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_task_stands_below_all_that_it_waits_for_and_its_own_branch_is_drawn_once() {
        let tasks = [
            json!({"task_id": "a", "upstream_task_ids": [], "downstream_task_ids": ["b", "c"]}),
            json!({"task_id": "b", "upstream_task_ids": ["a"], "downstream_task_ids": ["d"]}),
            json!({"task_id": "c", "upstream_task_ids": ["a"], "downstream_task_ids": ["d"]}),
            json!({"task_id": "d", "upstream_task_ids": ["b", "c"], "downstream_task_ids": ["e"]}),
            json!({"task_id": "e", "upstream_task_ids": ["d"], "downstream_task_ids": []}),
            json!({"task_id": "x\u{1b}", "upstream_task_ids": [], "downstream_task_ids": []}),
        ];
        assert_eq!(
            drawn(&tasks),
            "a\n  b\n    d\n      e\n  c\n    d  …\nx\\u{1b}\n"
        );
    }
}
