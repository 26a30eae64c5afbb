//! The order in which tasks may run, or the circle that forbids one.

use super::Task;

/// The positions in topological order, or the positions of one cycle, its first repeated at its end.
pub(super) fn order(tasks: &[Task]) -> Result<Vec<usize>, Vec<usize>> {
    let mut waiting: Vec<usize> = tasks.iter().map(|t| t.upstream.len()).collect();
    let mut sorted: Vec<usize> = (0..tasks.len())
        .filter(|&i| waiting.get(i) == Some(&0))
        .collect();
    let mut next = 0;
    while let Some(&i) = sorted.get(next) {
        next += 1;
        for down in tasks
            .get(i)
            .map(|t| t.downstream.as_slice())
            .unwrap_or_default()
        {
            if let Some(left) = waiting.get_mut(down.get()) {
                *left -= 1;
                if *left == 0 {
                    sorted.push(down.get());
                }
            }
        }
    }
    if sorted.len() == tasks.len() {
        return Ok(sorted);
    }
    // Every task left over has an upstream that is left over too: walking up must come back to itself.
    let stuck = |i: &usize| waiting.get(*i).is_some_and(|&left| left > 0);
    let mut path: Vec<usize> = (0..tasks.len()).find(|i| stuck(i)).into_iter().collect();
    while let Some(&at) = path.last() {
        let up = tasks
            .get(at)
            .and_then(|t| t.upstream.iter().map(|u| u.get()).find(|u| stuck(u)));
        let Some(up) = up else { break };
        if let Some(first) = path.iter().position(|&seen| seen == up) {
            path.push(up);
            path.drain(..first);
            path.reverse();
            return Err(path);
        }
        path.push(up);
    }
    Err(path)
}
