//! What a batch takes for granted about task instances, asked again when it was refused.
//!
//! Asked of the database as it was before the batch, so what the batch itself would have made or moved is
//! looked for where it was.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use airlock_model::{
    id::{RunKey, TaskIndex, TaskInstanceKey, Token},
    port::{Batch, StoreError},
};

use super::{Instance, dropped, rows};

/// Task instances that are to be there with a token, or not to be there at all.
pub(in crate::runs) struct Fences {
    keys: Vec<TaskInstanceKey>,
    /// Run, position, map index, and the token or null.
    pub(in crate::runs) json: Arc<str>,
}

impl Fences {
    /// Of a batch.
    pub(in crate::runs) fn of(batch: &Batch) -> Result<Self, StoreError> {
        let made: HashSet<RunKey> = batch.new_runs.iter().map(|new| new.run.key).collect();
        let added: Vec<TaskInstanceKey> = batch
            .repinned
            .iter()
            .map(|to| &to.added)
            .chain(batch.expanded.iter().map(|many| &many.rows))
            .flatten()
            .map(|row| TaskInstanceKey {
                run: row.run,
                task: row.task,
                map_index: row.map_index,
            })
            .collect();
        let before: HashMap<(RunKey, TaskIndex), TaskIndex> = batch
            .repinned
            .iter()
            .flat_map(|to| {
                let moved = to.moved.iter();
                moved.map(|(from, onto)| ((to.run, *onto), *from))
            })
            .collect();
        let ours: HashSet<TaskInstanceKey> = added.iter().copied().collect();
        let moves = batch
            .tasks
            .iter()
            .map(|change| (change.key, Some(change.expected)))
            .filter(|(key, _)| !ours.contains(key));
        let drops = dropped(batch)
            .into_iter()
            .map(|(key, token)| (key, Some(token)));
        let expected: Vec<(TaskInstanceKey, Option<Token>)> = moves
            .chain(drops)
            .filter(|(key, _)| !made.contains(&key.run))
            .chain(added.into_iter().map(|key| (key, None)))
            .collect();
        let json = rows(&expected, |(key, token)| {
            let Instance(run, task, map_index) = key.into();
            let was = before.get(&(key.run, task)).filter(|_| token.is_some());
            (run, was.copied().unwrap_or(task), map_index, token)
        })?;
        let keys = expected.into_iter().map(|(key, _)| key).collect();
        Ok(Self { keys, json })
    }

    /// The keys at these places of the array.
    pub(in crate::runs) fn broken(&self, places: &[i64]) -> Vec<TaskInstanceKey> {
        let key = |place: &i64| self.keys.get(usize::try_from(*place).ok()?).copied();
        places.iter().filter_map(key).collect()
    }
}
