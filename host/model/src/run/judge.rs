//! What is to become of a task instance that nobody has decided about, and what follows from its end.

use std::sync::Arc;

use super::{
    Moves, Run,
    instance::{Before, Counts, Expansion, Instance, Instances, Past, after, before, together},
};
use crate::{
    dag::Role,
    id::{InstanceIndex, MapIndex, TaskIndex},
    outcome::Downstream,
    state::{RunState, TaskState},
    time::Timestamp,
    trigger_rule::{TriggerRule, Upstream, Verdict},
};

/// What the rules say about a task instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ruling {
    /// Not yet.
    Wait,
    /// The run before decides.
    AskPast,
    /// It may start.
    Run,
    /// It is mapped, and becomes many.
    Expand,
    /// It ends in this state without running.
    Set(TaskState),
}

/// Ends whose consequences have not been drawn.
pub(super) type Ends = Vec<(InstanceIndex, TaskState)>;

impl Run {
    /// What the rules say now about an instance without a state.
    pub(super) fn ruling(&self, at: InstanceIndex) -> Ruling {
        let dag = &self.dag;
        let (Some((task, spec)), Some(instances)) =
            (dag.task(at.task), self.tasks.get(at.task.get()))
        else {
            return Ruling::Wait;
        };
        let Some(instance) = instances.get(at.map_index) else {
            return Ruling::Wait;
        };
        if self.decisions > 0 && task.upstream.iter().any(|&up| self.skips(up, at)) {
            return Ruling::Set(TaskState::Skipped);
        }
        let unexpanded = at.map_index == MapIndex::UNMAPPED;
        let mapping = unexpanded.then(|| dag.mapping(at.task)).flatten();
        if let Some(state) = mapping.and_then(|m| self.without_source(&m.sources())) {
            return Ruling::Set(state);
        }
        let counts = instances.shared.plus(instance.own.as_deref());
        let setups = match task.rule {
            // It asks nobody, so not even a setup that it does not directly come after (Airflow 3.3.2,
            // `trigger_rule_dep.py`).
            TriggerRule::Always => Upstream::default(),
            _ => counts.setups,
        };
        if setups.failed + setups.upstream_failed > 0 {
            return Ruling::Set(TaskState::UpstreamFailed);
        }
        if setups.skipped > 0 {
            return Ruling::Set(TaskState::Skipped);
        }
        if counts.scope_done < counts.scope {
            return Ruling::Wait;
        }
        if !unexpanded && task.group.is_some() && counts.upstream.removed > 0 {
            return Ruling::Set(TaskState::Removed);
        }
        match task.rule.verdict(&counts.upstream) {
            Verdict::Set(state) => Ruling::Set(state),
            Verdict::Wait => Ruling::Wait,
            Verdict::Run if setups.success + setups.removed < setups.total => Ruling::Wait,
            Verdict::Run if mapping.is_some_and(|m| !self.all_told(&m.sources())) => Ruling::Wait,
            Verdict::Run if unexpanded && task.group.is_some() => Ruling::Wait,
            Verdict::Run if mapping.is_some() => Ruling::Expand,
            Verdict::Run if instance.past == Past::Asked => Ruling::Wait,
            Verdict::Run
                if instance.past == Past::Unasked
                    && (spec.depends_on_past || spec.wait_for_downstream) =>
            {
                Ruling::AskPast
            }
            Verdict::Run => Ruling::Run,
        }
    }

    /// Whether the decision of an upstream task excludes this instance. It holds as long as that task's
    /// success does, so a skipped task that is cleared alone is skipped again (Airflow's semantics, 3.7).
    fn skips(&self, up: TaskIndex, at: InstanceIndex) -> bool {
        let index = match together(&self.dag, up, at.task) {
            true => at.map_index,
            false => MapIndex::UNMAPPED,
        };
        let decided = self.tasks.get(up.get()).and_then(|ups| ups.get(index));
        let decided = decided.filter(|up| up.told() == Some(TaskState::Success));
        let Some(decision) = decided.and_then(|up| up.fields.downstream.as_deref()) else {
            return false;
        };
        self.excludes(decision, up, at.task)
    }

    /// Whether a decision of one task excludes another that comes after it.
    pub(super) fn excludes(&self, decision: &Downstream, up: TaskIndex, down: TaskIndex) -> bool {
        match decision {
            Downstream::Free => false,
            Downstream::Skip { .. } => self.dag.task(down).is_some_and(|(_, spec)| {
                // A short circuit leaves teardowns alone (Airflow 3.3.2, `ShortCircuitOperator`).
                !matches!(spec.role, Role::Teardown { .. })
            }),
            Downstream::Follow(names) => !self.follows(names, up, down),
        }
    }

    /// Whether a branch follows a task: by its id, by a group that it stands in, or because it comes after
    /// another that is followed.
    fn follows(&self, names: &[String], branch: TaskIndex, task: TaskIndex) -> bool {
        let named = |task| {
            self.dag
                .names_of(task)
                .any(|name| names.iter().any(|n| n == name))
        };
        let mut seen = vec![false; self.tasks.len()];
        if let Some(slot) = seen.get_mut(branch.get()) {
            *slot = true;
        }
        let mut behind = vec![task];
        while let Some(task) = behind.pop() {
            if task == branch {
                continue;
            }
            if named(task) {
                return true;
            }
            if let Some(slot) = seen.get_mut(task.get())
                && !std::mem::replace(slot, true)
            {
                behind.extend(
                    self.dag
                        .tasks()
                        .get(task.get())
                        .into_iter()
                        .flat_map(|t| &t.upstream),
                );
            }
        }
        false
    }

    /// What becomes of something that is mapped over a task which will give nothing to map over.
    fn without_source(&self, sources: &[TaskIndex]) -> Option<TaskState> {
        let states = sources
            .iter()
            .filter_map(|s| self.tasks.get(s.get())?.one()?.told());
        let mut told = None;
        for state in states {
            match state {
                TaskState::Failed | TaskState::UpstreamFailed | TaskState::Removed => {
                    return Some(TaskState::UpstreamFailed);
                }
                TaskState::Skipped => told = Some(TaskState::Skipped),
                _ => {}
            }
        }
        told
    }

    /// Whether all instances of these tasks have ended, and those after them have heard of it.
    pub(super) fn all_told(&self, tasks: &[TaskIndex]) -> bool {
        let told = |task: &TaskIndex| self.tasks.get(task.get()).is_some_and(|t| t.open == 0);
        tasks.iter().all(told)
    }

    /// Asks the rules about an instance that nobody has decided about, and does what they say.
    pub(super) fn judge(
        &mut self,
        at: InstanceIndex,
        now: Timestamp,
        moves: &mut Moves,
        ends: &mut Ends,
    ) {
        if self.fields(at).is_none_or(|fields| fields.state.is_some()) {
            return;
        }
        match self.ruling(at) {
            Ruling::Wait => {}
            Ruling::AskPast => {
                self.moving += 1;
                if let Some(instance) = self.instance_mut(at) {
                    instance.past = Past::Asked;
                }
                moves.asks.push(at);
            }
            Ruling::Run => {
                self.moving += 1;
                if let Some(instance) = self.instance_mut(at) {
                    instance.fields.try_number += 1;
                    instance.fields.state = Some(TaskState::Scheduled);
                }
                moves.changed.push(at);
                moves.ready.push(at);
            }
            Ruling::Expand => self.expand(at.task, now, moves, ends),
            Ruling::Set(state) => self.put(at, state, None, now, moves, ends),
        }
    }

    /// Puts an instance into a state that it ends in, to be followed up by [`Run::follow`].
    pub(super) fn put(
        &mut self,
        at: InstanceIndex,
        state: TaskState,
        note: Option<Arc<str>>,
        now: Timestamp,
        moves: &mut Moves,
        ends: &mut Ends,
    ) {
        let Some(instances) = self.tasks.get_mut(at.task.get()) else {
            return;
        };
        let Some(instance) = instances.get_mut(at.map_index) else {
            return;
        };
        let heard_of = instance.told().is_some_and(TaskState::is_terminal);
        let was_moving = instance.is_moving();
        let had_ended = instance.fields.state.is_some_and(TaskState::is_terminal);
        instance.past = Past::Unasked;
        instance.untold = true;
        instance.fields.state = Some(state);
        instance.fields.ended_at = Some(now);
        instance.fields.next_try_at = None;
        if note.is_some() {
            instance.fields.note = note;
        }
        instances.open += u32::from(heard_of);
        moves.changed.push(at);
        self.moving -= u32::from(was_moving);
        self.unfinished -= u32::from(!had_ended);
        ends.push((at, state));
    }

    /// Those after an instance hear of its end.
    fn tell(&mut self, at: InstanceIndex) {
        let Some(instances) = self.tasks.get_mut(at.task.get()) else {
            return;
        };
        let untold = instances.get_mut(at.map_index).map(|i| &mut i.untold);
        if untold.is_some_and(std::mem::take) {
            instances.open -= 1;
        }
    }

    /// Draws the consequences of ends until there are no more, in rounds: what ends in one is heard of by all
    /// in the next. So it does not matter in which order the tasks of a DAG were written down, as it does not
    /// for Airflow, whose scheduler judges all task instances by the states that it has read before.
    pub(super) fn follow(&mut self, ends: &mut Ends, now: Timestamp, moves: &mut Moves) {
        let dag = Arc::clone(&self.dag);
        while !ends.is_empty() {
            let (mut touched, mut sources) = (Vec::new(), Vec::new());
            for (at, state) in std::mem::take(ends) {
                self.tell(at);
                for (down, how) in after(&dag, at.task) {
                    touched.extend(self.count_end(at, down, how, state));
                }
                if dag.task(at.task).is_some_and(|(task, _)| task.is_source) {
                    sources.push(at.task);
                }
            }
            sources.sort_unstable();
            sources.dedup();
            // First, so that what lies beyond a list that has become shorter does not start.
            for source in sources {
                if self.all_told(&[source]) {
                    self.source_ended(source, now, moves, ends);
                }
            }
            for down in touched {
                self.judge(down, now, moves, ends);
            }
        }
    }

    /// Counts one end with a task that comes after it, and tells which of its instances that concerns.
    fn count_end(
        &mut self,
        at: InstanceIndex,
        down: TaskIndex,
        how: Before,
        state: TaskState,
    ) -> Vec<InstanceIndex> {
        let together = together(&self.dag, at.task, down);
        let Some(instances) = self.tasks.get_mut(down.get()) else {
            return Vec::new();
        };
        if !together {
            instances.shared.ended(how, Some(state));
            return instances.indexes(down).collect();
        }
        let mut touched = Vec::new();
        for (index, instance) in instances.indexes(down).zip(instances.all_mut()) {
            let own = index.map_index == at.map_index
                || index.map_index == MapIndex::UNMAPPED
                || at.map_index == MapIndex::UNMAPPED;
            if own {
                instance.own.get_or_insert_default().ended(how, Some(state));
                touched.push(index);
            }
        }
        touched
    }

    /// Counts anew what comes before a task.
    pub(super) fn recount_task(&mut self, task: TaskIndex) {
        let dag = Arc::clone(&self.dag);
        let (mut shared, grouped) = (Counts::default(), dag.tasks().get(task.get()));
        let grouped = grouped.is_some_and(|t| t.group.is_some());
        let befores = before(&dag, task);
        let mut owns: Vec<Counts> = Vec::new();
        if let (true, Some(instances)) = (grouped, self.tasks.get(task.get())) {
            owns = vec![Counts::default(); instances.all().len()];
        }
        for (up, how) in befores {
            let Some(ups) = self.tasks.get(up.get()) else {
                continue;
            };
            if !together(&dag, up, task) {
                ups.all().iter().for_each(|up| shared.add(how, up.told()));
                continue;
            }
            let many = self
                .tasks
                .get(task.get())
                .is_some_and(|t| t.one().is_none());
            for (i, own) in owns.iter_mut().enumerate() {
                match (&ups.of, many) {
                    (Expansion::One(up), _) => own.add(how, up.told()),
                    (Expansion::Many(ups), true) => {
                        let state = ups.get(i).map(Instance::told);
                        own.add(how, state.unwrap_or(Some(TaskState::Removed)));
                    }
                    (Expansion::Many(ups), false) => {
                        ups.iter().for_each(|up| own.add(how, up.told()));
                    }
                }
            }
        }
        if let Some(instances) = self.tasks.get_mut(task.get()) {
            instances.shared = shared;
            for (instance, own) in instances.all_mut().iter_mut().zip(owns) {
                instance.own = (own != Counts::default()).then(|| Box::new(own));
            }
        }
    }

    /// Counts anew all that can be counted.
    pub(super) fn recount(&mut self) {
        self.tasks.iter_mut().for_each(Instances::recount_open);
        for i in 0..self.tasks.len() {
            self.recount_task(crate::dag::index(i));
        }
        let all = || self.tasks.iter().flat_map(|task| task.all());
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let ended = |s: Option<TaskState>| s.is_some_and(TaskState::is_terminal);
        self.unfinished = count(all().filter(|i| !ended(i.fields.state)).count());
        self.moving = count(all().filter(|i| i.is_moving()).count());
        self.decisions = count(all().filter(|i| i.fields.downstream.is_some()).count());
    }

    /// Judges everything that nobody has decided about, draws the consequences, and ends the run if that
    /// leaves nothing to move.
    pub(super) fn judge_all(&mut self, now: Timestamp, moves: &mut Moves) {
        let mut ends = Ends::new();
        self.expand_groups(now, moves, &mut ends);
        for at in self.instances() {
            self.judge(at, now, moves, &mut ends);
        }
        self.follow(&mut ends, now, moves);
        self.settle(moves);
    }

    /// Ends the run when nothing in it can move any more: by its leaves when all has ended, as a deadlock
    /// when something waits for what will never come (Airflow's semantics, 3.6).
    pub(super) fn settle(&mut self, moves: &mut Moves) {
        if self.state != RunState::Running || self.moving > 0 {
            return;
        }
        self.state = self.ends_as.take().unwrap_or_else(|| self.end_state());
        moves.ended = Some(self.state);
    }

    /// What the leaves say.
    pub(super) fn end_state(&self) -> RunState {
        let broken = |state| matches!(state, Some(TaskState::Failed | TaskState::UpstreamFailed));
        let mut leaves = self
            .dag
            .tasks()
            .iter()
            .zip(&self.tasks)
            .filter(|(task, _)| task.is_leaf)
            .flat_map(|(_, instances)| instances.all());
        if self.unfinished > 0 || leaves.any(|leaf| broken(leaf.fields.state)) {
            RunState::Failed
        } else {
            RunState::Success
        }
    }
}
