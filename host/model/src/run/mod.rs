//! The run state machine: how the task instances of one DAG run move, and when the run ends.
//!
//! Pure: every method takes the time and, where a try is concerned, the fencing token under which it was
//! claimed; a token that is not the newest changes nothing. What moved is noted in [`Moves`], from which
//! the scheduler writes one transaction. Each move costs time in proportion to the tasks that it touches,
//! never to the size of the DAG: upstream states are counted as they change.

use std::{sync::Arc, time::Duration};

use crate::{
    dag::Dag,
    id::{MapIndex, RunKey, TaskIndex, TaskInstanceKey, Token},
    outcome::{Failure, FailureKind, Outcome},
    port::TaskFields,
    retry,
    state::{RunState, TaskState},
    time::Timestamp,
    trigger_rule::{Upstream, Verdict},
};

/// A task instance and what it knows of its upstream tasks.
#[derive(Debug, Clone, PartialEq)]
struct Instance {
    fields: TaskFields,
    upstream: Upstream,
}

/// One DAG run.
#[derive(Debug, Clone)]
pub struct Run {
    dag: Arc<Dag>,
    key: RunKey,
    logical_date: Option<Timestamp>,
    state: RunState,
    instances: Vec<Instance>,
    /// Instances that have not ended.
    unfinished: u32,
    /// Of those, the ones that will move by themselves or because somebody works on them.
    moving: u32,
}

/// What a method has moved.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Moves {
    /// Task instances that changed; one may stand here several times.
    pub changed: Vec<TaskIndex>,
    /// Became ready: wait for a slot.
    pub ready: Vec<TaskIndex>,
    /// Wait for this time and are then to be [woken](Run::wake).
    pub waiting: Vec<(TaskIndex, Timestamp)>,
    /// Tries that are no longer wanted, with the token that they run under.
    pub superseded: Vec<(TaskIndex, Token)>,
    /// The run ended.
    pub ended: Option<RunState>,
}

/// The token is not the newest one, or the task instance is not in flight: the report changes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("AL-0710: token {} of this task instance was superseded by {}", told.get(), newest.get())]
pub struct Superseded {
    /// The token that came.
    pub told: Token,
    /// The newest one.
    pub newest: Token,
}

impl Run {
    /// A run of which nothing has happened.
    #[must_use]
    pub fn new(dag: Arc<Dag>, key: RunKey, logical_date: Option<Timestamp>) -> Self {
        let untouched = TaskFields::untouched;
        let fields = dag.spec().tasks.iter().map(|task| TaskFields {
            max_tries: task.retries,
            ..untouched()
        });
        let fields = fields.collect();
        Self::restore(dag, key, logical_date, RunState::Queued, fields)
    }

    /// A run as it was stored: `fields` by task position. Missing ones count as untouched, surplus ones
    /// are left out.
    #[must_use]
    pub fn restore(
        dag: Arc<Dag>,
        key: RunKey,
        logical_date: Option<Timestamp>,
        state: RunState,
        fields: Vec<TaskFields>,
    ) -> Self {
        let instances: Vec<Instance> = fields
            .into_iter()
            .map(|fields| Instance {
                fields,
                upstream: Upstream::default(),
            })
            .collect();
        let mut run = Self {
            dag,
            key,
            logical_date,
            state,
            instances,
            unfinished: 0,
            moving: 0,
        };
        run.recount();
        run
    }

    fn recount(&mut self) {
        for i in 0..self.instances.len() {
            let states = self
                .dag
                .tasks()
                .get(i)
                .into_iter()
                .flat_map(|task| &task.upstream);
            let upstream = Upstream::count(states.map(|&up| self.fields(up).and_then(|f| f.state)));
            if let Some(instance) = self.instances.get_mut(i) {
                instance.upstream = upstream;
            }
        }
        let states = || self.instances.iter().map(|i| i.fields.state);
        let count = |of: fn(Option<TaskState>) -> bool| states().filter(|&s| of(s)).count();
        self.unfinished =
            u32::try_from(count(|s| !s.is_some_and(TaskState::is_terminal))).unwrap_or(u32::MAX);
        self.moving = u32::try_from(count(is_moving)).unwrap_or(u32::MAX);
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

    /// Where a task instance stands.
    #[must_use]
    pub fn fields(&self, task: TaskIndex) -> Option<&TaskFields> {
        self.instances
            .get(task.get())
            .map(|instance| &instance.fields)
    }

    /// The full key of a task instance.
    #[must_use]
    pub const fn instance_key(&self, task: TaskIndex) -> TaskInstanceKey {
        TaskInstanceKey {
            run: self.key,
            task,
            map_index: MapIndex::UNMAPPED,
        }
    }

    /// All positions.
    pub fn tasks(&self) -> impl Iterator<Item = TaskIndex> + use<> {
        (0..u32::try_from(self.instances.len()).unwrap_or(u32::MAX)).map(TaskIndex)
    }

    /// Starts the run: what waits for nothing becomes ready. A run without tasks succeeds at once.
    pub fn start(&mut self, now: Timestamp, moves: &mut Moves) {
        if self.state != RunState::Queued {
            return;
        }
        self.state = RunState::Running;
        for task in self.tasks() {
            self.judge(task, now, moves);
        }
        self.settle(moves);
    }

    /// Takes a ready task instance for a try. The claim raises the token, so that whatever an earlier try
    /// still reports is refused. None when it is not ready.
    pub fn claim(&mut self, task: TaskIndex, now: Timestamp, moves: &mut Moves) -> Option<Token> {
        let fields = &mut self.instances.get_mut(task.get())?.fields;
        if fields.state != Some(TaskState::Scheduled) {
            return None;
        }
        fields.state = Some(TaskState::Queued);
        fields.token = fields.token.next();
        fields.queued_at = Some(now);
        fields.started_at = None;
        fields.ended_at = None;
        moves.changed.push(task);
        Some(fields.token)
    }

    /// An instance has begun to run the try.
    ///
    /// # Errors
    /// [`Superseded`] when the token is not the newest, or the try is not in flight.
    pub fn started(
        &mut self,
        task: TaskIndex,
        token: Token,
        at: Timestamp,
        moves: &mut Moves,
    ) -> Result<(), Superseded> {
        let fields = self.in_flight(task, token)?;
        if fields.state == Some(TaskState::Queued) {
            fields.state = Some(TaskState::Running);
            fields.started_at = Some(at);
            moves.changed.push(task);
        }
        Ok(())
    }

    /// The try has ended; what follows from it follows at once.
    ///
    /// # Errors
    /// [`Superseded`] when the token is not the newest, or the try is not in flight.
    pub fn end(
        &mut self,
        task: TaskIndex,
        token: Token,
        at: Timestamp,
        outcome: &Outcome,
        moves: &mut Moves,
    ) -> Result<(), Superseded> {
        let logical_date = self.logical_date;
        let dag = Arc::clone(&self.dag);
        let fields = self.in_flight(task, token)?;
        fields.started_at.get_or_insert(at);
        fields.ended_at = Some(at);
        fields.next_try_at = None;
        (fields.note, fields.failure) = (None, None);
        let state = match outcome {
            Outcome::Success { .. } => TaskState::Success,
            Outcome::Skipped { reason } => {
                fields.note = Some(reason.as_str().into());
                TaskState::Skipped
            }
            Outcome::Rescheduled { at: next } => {
                fields.next_try_at = Some(*next);
                moves.waiting.push((task, *next));
                TaskState::UpForReschedule
            }
            Outcome::Failed(failure) => {
                fields.note = Some(note(failure));
                fields.failure = Some(failure.kind);
                let another = retry::has_another_try(fields.try_number, fields.max_tries);
                match dag.task(task) {
                    Some((_, spec)) if another && failure.kind.allows_retry() => {
                        let pause =
                            retry::delay(spec, dag.id().as_str(), logical_date, fields.try_number);
                        let next = at.after(pause);
                        fields.next_try_at = Some(next);
                        moves.waiting.push((task, next));
                        TaskState::UpForRetry
                    }
                    _ => TaskState::Failed,
                }
            }
        };
        self.set(task, state, at, moves);
        self.settle(moves);
        Ok(())
    }

    /// A task instance that waits for a time becomes ready when that has come.
    pub fn wake(&mut self, task: TaskIndex, now: Timestamp, moves: &mut Moves) {
        let Some(fields) = self.instances.get_mut(task.get()).map(|i| &mut i.fields) else {
            return;
        };
        let due = fields.next_try_at.is_none_or(|at| at <= now);
        if fields.state == Some(TaskState::UpForRetry) && due && self.state == RunState::Running {
            fields.next_try_at = None;
            fields.try_number += 1;
            fields.state = Some(TaskState::Scheduled);
            moves.changed.push(task);
            moves.ready.push(task);
        }
    }

    /// Puts tries that were in flight when their host died back into the queue, as the same try under a
    /// token to come, and tells what waits for what: the first thing to do with a restored run.
    pub fn adopt(&mut self, moves: &mut Moves) {
        if self.state != RunState::Running {
            return;
        }
        for task in self.tasks() {
            let Some(fields) = self.instances.get_mut(task.get()).map(|i| &mut i.fields) else {
                continue;
            };
            match fields.state {
                Some(TaskState::Queued | TaskState::Running | TaskState::Restarting) => {
                    fields.state = Some(TaskState::Scheduled);
                    (fields.queued_at, fields.started_at) = (None, None);
                    moves.changed.push(task);
                    moves.ready.push(task);
                }
                Some(TaskState::Scheduled) => moves.ready.push(task),
                Some(TaskState::UpForRetry) => {
                    moves.waiting.push((
                        task,
                        fields
                            .next_try_at
                            .unwrap_or(fields.ended_at.unwrap_or(EPOCH)),
                    ));
                }
                _ => {}
            }
        }
    }

    /// The run took longer than its DAG allows: it fails, and what has not ended is skipped (Airflow's
    /// semantics, 3.6). Tries in flight are superseded.
    pub fn time_out(&mut self, after: Duration, now: Timestamp, moves: &mut Moves) {
        if self.state != RunState::Running {
            return;
        }
        self.state = RunState::Failed;
        let note: Arc<str> = format!("the run was ended by its dagrun_timeout of {after:?}").into();
        for task in self.tasks() {
            let Some(fields) = self.instances.get_mut(task.get()).map(|i| &mut i.fields) else {
                continue;
            };
            if fields.state.is_some_and(TaskState::is_terminal) {
                continue;
            }
            if fields.state.is_some_and(TaskState::holds_slot) {
                moves.superseded.push((task, fields.token));
                fields.token = fields.token.next();
                fields.failure = Some(FailureKind::Killed);
            }
            fields.note = Some(Arc::clone(&note));
            fields.state = Some(TaskState::Skipped);
            fields.ended_at = Some(now);
            fields.next_try_at = None;
            moves.changed.push(task);
        }
        (self.unfinished, self.moving) = (0, 0);
        moves.ended = Some(self.state);
    }

    fn in_flight(&mut self, task: TaskIndex, token: Token) -> Result<&mut TaskFields, Superseded> {
        let none = Superseded {
            told: token,
            newest: Token::default(),
        };
        let fields = &mut self.instances.get_mut(task.get()).ok_or(none)?.fields;
        if fields.token == token && fields.state.is_some_and(TaskState::holds_slot) {
            Ok(fields)
        } else {
            Err(Superseded {
                told: token,
                newest: fields.token,
            })
        }
    }

    /// Asks a task's trigger rule what is to become of it, if nobody has decided yet.
    fn judge(&mut self, task: TaskIndex, now: Timestamp, moves: &mut Moves) {
        let Some((_, spec)) = self.dag.task(task) else {
            return;
        };
        let rule = spec.trigger_rule;
        let Some(instance) = self.instances.get_mut(task.get()) else {
            return;
        };
        if instance.fields.state.is_some() {
            return;
        }
        match rule.verdict(&instance.upstream) {
            Verdict::Wait => {}
            Verdict::Run => {
                instance.fields.try_number += 1;
                instance.fields.state = Some(TaskState::Scheduled);
                self.moving += 1;
                moves.changed.push(task);
                moves.ready.push(task);
            }
            Verdict::Set(state) => {
                instance.fields.ended_at = Some(now);
                self.set(task, state, now, moves);
            }
        }
    }

    /// Moves a task instance and, when that ends it, judges whatever waited for it.
    fn set(&mut self, task: TaskIndex, state: TaskState, now: Timestamp, moves: &mut Moves) {
        let mut ended = vec![(task, state)];
        while let Some((task, state)) = ended.pop() {
            let Some(instance) = self.instances.get_mut(task.get()) else {
                continue;
            };
            let before = instance.fields.state;
            instance.fields.state = Some(state);
            moves.changed.push(task);
            self.moving -= u32::from(is_moving(before));
            self.moving += u32::from(is_moving(Some(state)));
            if !state.is_terminal() {
                continue;
            }
            self.unfinished -= 1;
            let dag = Arc::clone(&self.dag);
            for &down in dag
                .tasks()
                .get(task.get())
                .map(|t| t.downstream.as_slice())
                .unwrap_or_default()
            {
                let Some(next) = self.instances.get_mut(down.get()) else {
                    continue;
                };
                next.upstream.ended(Some(state));
                let Some((_, spec)) = dag.task(down) else {
                    continue;
                };
                if next.fields.state.is_some() {
                    continue;
                }
                match spec.trigger_rule.verdict(&next.upstream) {
                    Verdict::Set(state) => {
                        next.fields.ended_at = Some(now);
                        ended.push((down, state));
                        // Marked at once, so that a second upstream task does not decide it again.
                        next.fields.state = Some(state);
                    }
                    _ => self.judge(down, now, moves),
                }
            }
        }
    }

    /// Ends the run when nothing in it can move any more: by its leaves when all has ended, as a deadlock
    /// when something waits for what will never come (Airflow's semantics, 3.6).
    fn settle(&mut self, moves: &mut Moves) {
        if self.state != RunState::Running || self.moving > 0 {
            return;
        }
        let leaves = self
            .dag
            .tasks()
            .iter()
            .zip(&self.instances)
            .filter(|(task, _)| task.downstream.is_empty());
        let broken = |state| matches!(state, Some(TaskState::Failed | TaskState::UpstreamFailed));
        let failed = self.unfinished > 0
            || leaves
                .into_iter()
                .any(|(_, leaf)| broken(leaf.fields.state));
        self.state = if failed {
            RunState::Failed
        } else {
            RunState::Success
        };
        moves.ended = Some(self.state);
    }
}

/// Before everything; stands in where a stored row lacks a time that it should have.
const EPOCH: Timestamp = Timestamp::EPOCH;

/// Whether a task instance will move by itself or because somebody works on it.
fn is_moving(state: Option<TaskState>) -> bool {
    state.is_some_and(|state| !state.is_terminal())
}

fn note(failure: &Failure) -> Arc<str> {
    let mut text = failure.message.clone();
    for cause in &failure.causes {
        text.push_str(": ");
        text.push_str(cause);
    }
    if let Some(at) = &failure.location {
        text.push_str(&format!(" ({at})"));
    }
    // A note is for one line of a table; the whole text is in the try's log.
    match text.char_indices().nth(2000) {
        Some((end, _)) => text.get(..end).unwrap_or_default().into(),
        None => text.into(),
    }
}

#[cfg(test)]
mod tests;
