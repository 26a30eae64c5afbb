//! The run state machine: how the task instances of one DAG run move, and when the run ends.
//!
//! Pure: every method takes the time and, where a try is concerned, the fencing token under which it was
//! claimed; a token that is not the newest changes nothing. What moved is noted in [`Moves`], from which
//! the scheduler writes one transaction. Each move costs time in proportion to the tasks that it touches,
//! never to the size of the DAG: upstream states are counted as they change.
//!
//! `judge` says what the rules say and draws the consequences of ends, `expand` makes mapped tasks many,
//! `tries` takes tries from their claim to their end, and `repair` is what people do to a run.

mod expand;
mod instance;
mod judge;
mod repair;
mod tries;
mod why;

use std::{collections::HashMap, sync::Arc};

pub use expand::Expanded;
use instance::{Counts, Expansion, Instance, Instances};
pub use repair::Mark;
pub use tries::Superseded;

use crate::{
    dag::{Dag, index},
    id::{InstanceIndex, RunKey, TaskIndex, TaskInstanceKey, Token},
    port::TaskFields,
    state::{RunState, TaskState},
    time::Timestamp,
};

/// One DAG run.
#[derive(Debug, Clone)]
pub struct Run {
    dag: Arc<Dag>,
    key: RunKey,
    logical_date: Option<Timestamp>,
    state: RunState,
    /// What it becomes when it ends, whatever its leaves say.
    ends_as: Option<RunState>,
    tasks: Vec<Instances>,
    /// How many elements instances returned over which others are mapped.
    returned: HashMap<InstanceIndex, u32>,
    /// The same by task, of those that have been counted.
    lengths: HashMap<TaskIndex, u32>,
    /// Instances that have not ended.
    unfinished: u32,
    /// Of those, the ones that will move by themselves or because somebody works on them.
    moving: u32,
    /// Instances that decided about the tasks after them.
    decisions: u32,
}

/// How a try came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TryOver {
    /// It ended in this state.
    Ended(TaskState),
    /// It was taken away while it ran or waited, and what became of its task instance stands there.
    Taken,
}

/// What a method has moved.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Moves {
    /// Task instances that changed; one may stand here several times.
    pub changed: Vec<InstanceIndex>,
    /// Became ready: wait for a slot.
    pub ready: Vec<InstanceIndex>,
    /// Wait for this time and are then to be [woken](Run::wake).
    pub waiting: Vec<(InstanceIndex, Timestamp)>,
    /// Wait for a trigger from now on.
    pub deferred: Vec<InstanceIndex>,
    /// May start as soon as the run before allows it: to be [answered](Run::past_allows).
    pub asks: Vec<InstanceIndex>,
    /// Became many.
    pub expanded: Vec<Expanded>,
    /// Tries that are over, whose callbacks hear of it: with how they ended.
    pub over: Vec<(InstanceIndex, TryOver)>,
    /// Tries that are no longer wanted, with the token that they run under.
    pub superseded: Vec<(InstanceIndex, Token)>,
    /// The run ended.
    pub ended: Option<RunState>,
}

impl Run {
    /// A run of which nothing has happened.
    #[must_use]
    pub fn new(dag: Arc<Dag>, key: RunKey, logical_date: Option<Timestamp>) -> Self {
        Self::restore(
            dag,
            key,
            logical_date,
            RunState::Queued,
            Vec::new(),
            HashMap::new(),
        )
    }

    /// A run as it was stored: the fields of its instances, and how many elements those returned that others
    /// are mapped over. Missing instances count as untouched, those of tasks that there are not are left
    /// out.
    #[must_use]
    pub fn restore(
        dag: Arc<Dag>,
        key: RunKey,
        logical_date: Option<Timestamp>,
        state: RunState,
        stored: Vec<(InstanceIndex, TaskFields)>,
        returned: HashMap<InstanceIndex, u32>,
    ) -> Self {
        let fresh = |retries| Instances {
            shared: Counts::default(),
            open: 1,
            of: Expansion::One(Instance::new(TaskFields {
                max_tries: retries,
                ..TaskFields::untouched()
            })),
        };
        let tasks = dag
            .spec()
            .tasks
            .iter()
            .map(|task| fresh(task.retries))
            .collect();
        let mut run = Self {
            dag,
            key,
            logical_date,
            state,
            ends_as: None,
            tasks,
            returned,
            lengths: HashMap::new(),
            unfinished: 0,
            moving: 0,
            decisions: 0,
        };
        for (at, fields) in stored {
            run.put_back(at, fields);
        }
        run.recount();
        run
    }

    fn put_back(&mut self, at: InstanceIndex, fields: TaskFields) {
        let Some(instances) = self.tasks.get_mut(at.task.get()) else {
            return;
        };
        let instance = Instance::new(fields);
        match (&mut instances.of, at.map_index.get()) {
            (of @ Expansion::One(_), None) => *of = Expansion::One(instance),
            (Expansion::Many(_), None) => {}
            (of, Some(place)) => {
                if let Expansion::One(_) = of {
                    *of = Expansion::Many(Vec::new());
                }
                if let Expansion::Many(many) = of {
                    let untouched = || Instance::new(TaskFields::untouched());
                    many.resize_with(many.len().max(place + 1), untouched);
                    if let Some(slot) = many.get_mut(place) {
                        *slot = instance;
                    }
                }
            }
        }
    }

    /// Its key.
    #[must_use]
    pub const fn key(&self) -> RunKey {
        self.key
    }

    /// Its DAG, in the version that it is pinned to.
    #[must_use]
    pub const fn dag(&self) -> &Arc<Dag> {
        &self.dag
    }

    /// Where it stands.
    #[must_use]
    pub const fn state(&self) -> RunState {
        self.state
    }

    /// As what it ends when its teardowns have, because somebody [said so](Run::mark_run).
    #[must_use]
    pub const fn ends_as(&self) -> Option<RunState> {
        self.ends_as
    }

    /// Somebody has said as what it ends: of a restored run.
    pub const fn end_as(&mut self, state: Option<RunState>) {
        self.ends_as = state;
    }

    /// Where a task instance stands.
    #[must_use]
    pub fn fields(&self, at: InstanceIndex) -> Option<&TaskFields> {
        let instance = self.tasks.get(at.task.get())?.get(at.map_index)?;
        Some(&instance.fields)
    }

    fn instance_mut(&mut self, at: InstanceIndex) -> Option<&mut Instance> {
        self.tasks.get_mut(at.task.get())?.get_mut(at.map_index)
    }

    /// The full key of a task instance.
    #[must_use]
    pub const fn instance_key(&self, at: InstanceIndex) -> TaskInstanceKey {
        TaskInstanceKey {
            run: self.key,
            task: at.task,
            map_index: at.map_index,
        }
    }

    /// All its task instances, by task and map index.
    #[must_use]
    pub fn instances(&self) -> Vec<InstanceIndex> {
        let of = |(i, task): (usize, &Instances)| task.indexes(index(i));
        self.tasks.iter().enumerate().flat_map(of).collect()
    }

    /// The task instances of one task, by map index.
    #[must_use]
    pub fn instances_of(&self, task: TaskIndex) -> Vec<InstanceIndex> {
        let of = self.tasks.get(task.get());
        of.map(|task_instances| task_instances.indexes(task).collect())
            .unwrap_or_default()
    }

    /// How many task instances it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tasks.iter().map(|task| task.all().len()).sum()
    }

    /// Whether it has no tasks at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    /// Starts the run: what waits for nothing becomes ready. A run without tasks succeeds at once.
    pub fn start(&mut self, now: Timestamp, moves: &mut Moves) {
        if self.state != RunState::Queued {
            return;
        }
        self.state = RunState::Running;
        self.judge_all(now, moves);
    }

    /// The run before lets an instance go on that has [asked](Moves::asks).
    pub fn past_allows(&mut self, at: InstanceIndex, now: Timestamp, moves: &mut Moves) {
        let asked = |instance: &&mut Instance| instance.past == instance::Past::Asked;
        let Some(instance) = self.instance_mut(at).filter(asked) else {
            return;
        };
        instance.past = instance::Past::Passed;
        self.moving -= 1;
        let mut ends = judge::Ends::new();
        self.judge(at, now, moves, &mut ends);
        self.follow(&mut ends, now, moves);
        self.settle(moves);
    }
}

/// Before everything; stands in where a stored row lacks a time that it should have.
const EPOCH: Timestamp = Timestamp::EPOCH;

#[cfg(test)]
mod tests;
