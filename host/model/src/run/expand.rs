//! Mapped tasks and groups become many, as soon as the lengths of what they are mapped over are known
//! (Airflow's semantics, 3.8).

use std::sync::Arc;

use super::{
    Moves, Run,
    instance::{Expansion, Instance, after},
    judge::Ends,
};
use crate::{
    dag::{GroupIndex, MAX_INSTANCES, Mapped},
    id::{InstanceIndex, MapIndex, TaskIndex},
    port::TaskFields,
    state::TaskState,
    time::Timestamp,
};

/// A task that has become many, or more than it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expanded {
    /// Which.
    pub task: TaskIndex,
    /// The first map index that is new. Zero: the unexpanded instance is gone.
    pub from: u32,
}

impl Run {
    /// Notes how many elements something has that others are mapped over: the length of what a task
    /// returned, or one for an instance of a mapped task that returned something. To be told before the
    /// try's end.
    pub fn returned(&mut self, at: InstanceIndex, length: u32) {
        self.returned.insert(at, length);
        self.lengths.remove(&at.task);
    }

    /// How many elements there are to be mapped over in what a task returned; none before it has ended, or
    /// when it returned nothing.
    #[must_use]
    pub fn length(&self, source: TaskIndex) -> Option<u32> {
        if let Some(&length) = self.lengths.get(&source) {
            return Some(length);
        }
        let instances = self.tasks.get(source.get())?;
        let of = |at| self.returned.get(&at).copied();
        match &instances.of {
            Expansion::One(_) => of(InstanceIndex::unmapped(source)),
            Expansion::Many(_) if !self.all_told(&[source]) => None,
            Expansion::Many(_) => Some(instances.indexes(source).filter_map(of).sum()),
        }
    }

    /// All that [`Run::returned`] was told.
    pub fn returned_lengths(&self) -> impl Iterator<Item = (InstanceIndex, u32)> {
        self.returned.iter().map(|(&at, &length)| (at, length))
    }

    /// Of a mapped source, which of its instances returned the element at this place.
    #[must_use]
    pub fn element_of(&self, source: TaskIndex, place: u32) -> Option<InstanceIndex> {
        let instances = self.tasks.get(source.get())?;
        if instances.one().is_some() {
            return Some(InstanceIndex::unmapped(source));
        }
        let count = instances.all().len();
        if self.length(source).map(|length| length as usize) == Some(count) {
            let map_index = MapIndex(i32::try_from(place).ok()?);
            return Some(InstanceIndex {
                task: source,
                map_index,
            });
        }
        let mut returned = instances
            .indexes(source)
            .filter(|at| self.returned.contains_key(at));
        returned.nth(place as usize)
    }

    fn count(&mut self, mapping: &Mapped) -> Option<u64> {
        for source in mapping.sources() {
            if let Some(length) = self.length(source) {
                self.lengths.insert(source, length);
            }
        }
        mapping.length(|source| self.lengths.get(&source).copied())
    }

    /// A mapped task whose upstream tasks let it start becomes many.
    pub(super) fn expand(
        &mut self,
        task: TaskIndex,
        now: Timestamp,
        moves: &mut Moves,
        ends: &mut Ends,
    ) {
        let dag = Arc::clone(&self.dag);
        let Some(mapping) = dag.mapping(task) else {
            return;
        };
        let length = self.count(mapping);
        if let Some(length) = self.bounded(task, length, now, moves, ends) {
            self.become_many(task, length, moves);
            self.recount_around(&[task]);
            self.judge_each(task, now, moves, ends);
        }
    }

    /// The number of instances; or what becomes of a task that cannot have that many.
    fn bounded(
        &mut self,
        task: TaskIndex,
        length: Option<u64>,
        now: Timestamp,
        moves: &mut Moves,
        ends: &mut Ends,
    ) -> Option<u32> {
        let (state, note): (TaskState, Arc<str>) = match length {
            Some(0) => (TaskState::Skipped, "mapped over an empty list".into()),
            None => {
                let note = "AL-0715: nothing to map over: an upstream task returned no value";
                (TaskState::UpstreamFailed, note.into())
            }
            Some(length) if length > MAX_INSTANCES.into() => {
                let note = format!(
                    "AL-0716: the mapping makes {length} instances, more than the {MAX_INSTANCES} that a task may have; let each instance work on a batch"
                );
                (TaskState::Failed, note.into())
            }
            Some(length) => return u32::try_from(length).ok(),
        };
        let at = InstanceIndex::unmapped(task);
        if self.fields(at).is_some_and(|fields| fields.state.is_none()) {
            self.put(at, state, Some(note), now, moves, ends);
        }
        None
    }

    fn become_many(&mut self, task: TaskIndex, length: u32, moves: &mut Moves) {
        let retries = self.dag.task(task).map_or(0, |(_, spec)| spec.retries);
        self.lengths.remove(&task);
        let Some(instances) = self.tasks.get_mut(task.get()) else {
            return;
        };
        let from = match &mut instances.of {
            of @ Expansion::One(_) => {
                *of = Expansion::Many(Vec::new());
                instances.open = 0;
                self.unfinished -= 1;
                0
            }
            Expansion::Many(many) => u32::try_from(many.len()).unwrap_or(u32::MAX),
        };
        if let Expansion::Many(many) = &mut instances.of {
            let fresh = || {
                Instance::new(TaskFields {
                    max_tries: retries,
                    ..TaskFields::untouched()
                })
            };
            many.resize_with(length as usize, fresh);
        }
        instances.open += length - from;
        self.unfinished += length - from;
        moves.expanded.push(Expanded { task, from });
    }

    fn judge_each(&mut self, task: TaskIndex, now: Timestamp, moves: &mut Moves, ends: &mut Ends) {
        let indexes = self
            .tasks
            .get(task.get())
            .map(|instances| instances.indexes(task));
        for at in indexes.into_iter().flatten() {
            self.judge(at, now, moves, ends);
        }
    }

    /// Counts anew for tasks whose number of instances has changed, and for all that come after them.
    fn recount_around(&mut self, tasks: &[TaskIndex]) {
        let dag = Arc::clone(&self.dag);
        let downs = tasks
            .iter()
            .flat_map(|&task| after(&dag, task))
            .map(|(down, _)| down);
        let mut around: Vec<TaskIndex> = tasks.iter().copied().chain(downs).collect();
        around.sort_unstable();
        around.dedup();
        for task in around {
            self.recount_task(task);
        }
    }

    /// Groups that are mapped over what was known when the DAG was parsed.
    pub(super) fn expand_groups(&mut self, now: Timestamp, moves: &mut Moves, ends: &mut Ends) {
        let dag = Arc::clone(&self.dag);
        for (at, group) in dag.groups() {
            let sources = group.mapping.sources();
            if self.all_told(&sources) {
                self.expand_group(at, now, moves, ends);
            }
        }
    }

    /// A task that others are mapped over has ended, for the first time or again.
    pub(super) fn source_ended(
        &mut self,
        source: TaskIndex,
        now: Timestamp,
        moves: &mut Moves,
        ends: &mut Ends,
    ) {
        let dag = Arc::clone(&self.dag);
        self.lengths.remove(&source);
        for (at, group) in dag.groups() {
            let sources = group.mapping.sources();
            if sources.contains(&source) && self.all_told(&sources) {
                self.expand_group(at, now, moves, ends);
            }
        }
        let downs = dag
            .tasks()
            .get(source.get())
            .into_iter()
            .flat_map(|t| &t.downstream);
        for &down in downs {
            let over = dag.task(down).and_then(|(task, _)| task.mapping.as_ref());
            let many = self
                .tasks
                .get(down.get())
                .is_some_and(|t| t.one().is_none());
            if let Some(mapping) = over.filter(|m| many && m.sources().contains(&source)) {
                let length = self.count(mapping);
                self.revise(&[down], length, now, moves, ends);
            }
        }
    }

    fn expand_group(
        &mut self,
        group: GroupIndex,
        now: Timestamp,
        moves: &mut Moves,
        ends: &mut Ends,
    ) {
        let dag = Arc::clone(&self.dag);
        let Some(group) = dag.group(group) else {
            return;
        };
        let failed = |task: &TaskIndex| {
            let one = self.tasks.get(task.get()).and_then(|t| t.one());
            one.is_some_and(|one| one.told() != Some(TaskState::Success))
        };
        if group.mapping.sources().iter().any(failed) {
            // What stands in the group hears of it as of any upstream task's end.
            return;
        }
        let length = self.count(&group.mapping);
        let (many, one): (Vec<TaskIndex>, Vec<TaskIndex>) = group.tasks.iter().partition(|task| {
            self.tasks
                .get(task.get())
                .is_some_and(|t| t.one().is_none())
        });
        self.revise(&many, length, now, moves, ends);
        let open = |task: &TaskIndex| {
            let one = self.tasks.get(task.get()).and_then(|t| t.one());
            one.is_some_and(|one| one.fields.state.is_none())
        };
        let one: Vec<TaskIndex> = one.into_iter().filter(open).collect();
        let mut expanded = Vec::new();
        for task in one {
            if let Some(length) = self.bounded(task, length, now, moves, ends) {
                self.become_many(task, length, moves);
                expanded.push(task);
            }
        }
        self.recount_around(&expanded);
        for task in expanded {
            self.judge_each(task, now, moves, ends);
        }
    }

    /// The sources of tasks that are many already have ended again with another length: what is beyond it
    /// is removed, what is missing is added.
    fn revise(
        &mut self,
        tasks: &[TaskIndex],
        length: Option<u64>,
        now: Timestamp,
        moves: &mut Moves,
        ends: &mut Ends,
    ) {
        let length = length.unwrap_or(0).min(MAX_INSTANCES.into());
        let Ok(length) = u32::try_from(length) else {
            return;
        };
        let mut grown = Vec::new();
        for &task in tasks {
            let count = self.tasks.get(task.get()).map_or(0, |t| t.all().len());
            if (count as u64) < u64::from(length) {
                self.become_many(task, length, moves);
                grown.push(task);
            }
            let places = self.tasks.get(task.get()).map(|t| t.indexes(task));
            for at in places.into_iter().flatten() {
                let beyond = at
                    .map_index
                    .get()
                    .is_some_and(|i| i as u64 >= u64::from(length));
                if beyond && self.fields(at).is_some_and(|f| f.state.is_none()) {
                    let note = "the list that it is mapped over has become shorter".into();
                    self.put(at, TaskState::Removed, Some(note), now, moves, ends);
                }
            }
        }
        self.recount_around(&grown);
        for task in grown {
            self.judge_each(task, now, moves, ends);
        }
    }
}
