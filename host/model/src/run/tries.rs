//! A try's way: claimed, started, ended, woken; adopted when its host died.

use std::sync::Arc;

use super::{EPOCH, Moves, Run, TryOver, instance::together, judge::Ends};
use crate::{
    dag::Role,
    id::{InstanceIndex, MapIndex, TaskIndex, Token},
    outcome::{Downstream, Failure, FailureKind, Outcome},
    port::TaskFields,
    retry,
    state::{RunState, TaskState},
    time::Timestamp,
    trigger::{Deferred, Trigger, TriggerEvent},
};

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
    /// Takes a ready task instance for a try. The claim raises the token, so that whatever an earlier try
    /// still reports is refused. None when it is not ready.
    pub fn claim(&mut self, at: InstanceIndex, now: Timestamp, moves: &mut Moves) -> Option<Token> {
        let fields = &mut self.instance_mut(at)?.fields;
        if fields.state != Some(TaskState::Scheduled) {
            return None;
        }
        fields.state = Some(TaskState::Queued);
        fields.token = fields.token.next();
        fields.queued_at = Some(now);
        fields.started_at = None;
        fields.ended_at = None;
        moves.changed.push(at);
        Some(fields.token)
    }

    /// An instance has begun to run the try.
    ///
    /// # Errors
    /// [`Superseded`] when the token is not the newest, or the try is not in flight.
    pub fn started(
        &mut self,
        at: InstanceIndex,
        token: Token,
        now: Timestamp,
        moves: &mut Moves,
    ) -> Result<(), Superseded> {
        let fields = self.in_flight(at, token)?;
        if fields.state == Some(TaskState::Queued) {
            fields.state = Some(TaskState::Running);
            fields.started_at = Some(now);
            fields.first_started_at.get_or_insert(now);
            moves.changed.push(at);
        }
        Ok(())
    }

    /// The try has ended; what follows from it follows at once.
    ///
    /// # Errors
    /// [`Superseded`] when the token is not the newest, or the try is not in flight.
    pub fn end(
        &mut self,
        at: InstanceIndex,
        token: Token,
        now: Timestamp,
        outcome: &Outcome,
        moves: &mut Moves,
    ) -> Result<(), Superseded> {
        let logical_date = self.logical_date;
        let dag = Arc::clone(&self.dag);
        let stranger = self.stranger(at, outcome);
        let outcome = stranger.as_ref().unwrap_or(outcome);
        let fields = self.in_flight(at, token)?;
        fields.started_at.get_or_insert(now);
        fields.first_started_at.get_or_insert(now);
        fields.ended_at = Some(now);
        fields.next_try_at = None;
        (fields.note, fields.failure, fields.downstream) = (None, None, None);
        fields.deferred = None;
        let mut decision = None;
        let state = match outcome {
            Outcome::Success { downstream, .. } => {
                decision = Some(downstream).filter(|&d| *d != Downstream::Free);
                TaskState::Success
            }
            Outcome::Skipped { reason } => {
                fields.note = Some(reason.as_str().into());
                TaskState::Skipped
            }
            Outcome::Rescheduled { at: next } => {
                fields.next_try_at = Some(*next);
                TaskState::UpForReschedule
            }
            Outcome::Deferred(deferral) => {
                let deferred = Deferred::new(deferral, now);
                fields.next_try_at = deferred.due();
                fields.deferred = Some(Arc::new(deferred));
                moves.deferred.push(at);
                TaskState::Deferred
            }
            Outcome::Failed(failure) => {
                fields.note = Some(note(failure));
                fields.failure = Some(failure.kind);
                let another = retry::has_another_try(fields.try_number, fields.max_tries);
                match dag.task(at.task) {
                    Some((_, spec)) if another && failure.kind.allows_retry() => {
                        let pause =
                            retry::delay(spec, dag.id().as_str(), logical_date, fields.try_number);
                        fields.next_try_at = Some(now.after(pause));
                        TaskState::UpForRetry
                    }
                    _ => TaskState::Failed,
                }
            }
        };
        if state.is_terminal() || state == TaskState::UpForRetry {
            moves.over.push((at, TryOver::Ended(state)));
        }
        if !state.is_terminal() {
            let due = fields.next_try_at.map(|due| (at, due));
            moves.waiting.extend(due);
            fields.state = Some(state);
            moves.changed.push(at);
            return Ok(());
        }
        let mut ends = Ends::new();
        self.put(at, state, None, now, moves, &mut ends);
        if let Some(decision) = decision {
            self.decide(at, decision.clone(), now, moves, &mut ends);
        }
        if state == TaskState::Failed && dag.spec().fail_fast {
            self.fail_fast(at, now, moves, &mut ends);
        }
        self.follow(&mut ends, now, moves);
        self.settle(moves);
        Ok(())
    }

    /// A branch that follows what does not come directly after it has failed.
    fn stranger(&self, at: InstanceIndex, outcome: &Outcome) -> Option<Outcome> {
        let Outcome::Success {
            downstream: Downstream::Follow(names),
            ..
        } = outcome
        else {
            return None;
        };
        let (task, _) = self.dag.task(at.task)?;
        let next: Vec<&str> = task
            .downstream
            .iter()
            .flat_map(|&down| self.dag.names_of(down))
            .collect();
        let stranger = names.iter().find(|name| !next.contains(&name.as_str()))?;
        let first: Vec<&str> = task
            .downstream
            .iter()
            .filter_map(|&d| self.dag.names_of(d).next())
            .collect();
        let message = format!(
            "AL-0717: the branch `{}` follows `{stranger}`, which does not come directly after it; it may follow {}",
            task.id,
            if first.is_empty() {
                "nothing, because no task does".into()
            } else {
                format!("`{}`", first.join("`, `"))
            },
        );
        Some(Outcome::Failed(Failure {
            kind: FailureKind::Error,
            message,
            causes: Vec::new(),
            location: None,
        }))
    }

    /// Keeps what a task decided about those after it, and skips at once what it excludes and has not begun to
    /// run (Airflow's semantics, 3.7). Where that is all that comes after, no trigger rule is asked.
    fn decide(
        &mut self,
        at: InstanceIndex,
        decision: Downstream,
        now: Timestamp,
        moves: &mut Moves,
        ends: &mut Ends,
    ) {
        let dag = Arc::clone(&self.dag);
        let all = decision == Downstream::Skip { all: true };
        let mut seen = vec![false; self.tasks.len()];
        let mut ahead = vec![at.task];
        while let Some(task) = ahead.pop() {
            let downs = dag
                .tasks()
                .get(task.get())
                .into_iter()
                .flat_map(|t| &t.downstream);
            for &down in downs {
                let fresh = seen
                    .get_mut(down.get())
                    .is_some_and(|s| !std::mem::replace(s, true));
                if !fresh {
                    continue;
                }
                if all {
                    ahead.push(down);
                }
                if self.excludes(&decision, at.task, down) {
                    self.skip_unbegun(at, down, now, moves, ends);
                }
            }
        }
        self.decisions += 1;
        if let Some(instance) = self.instance_mut(at) {
            instance.fields.downstream = Some(Arc::new(decision));
        }
    }

    /// Skips the instances of a task that follow the decision of `at` and have not begun to run. One of many
    /// decides about its own map index in its group only.
    fn skip_unbegun(
        &mut self,
        at: InstanceIndex,
        down: TaskIndex,
        now: Timestamp,
        moves: &mut Moves,
        ends: &mut Ends,
    ) {
        let one = at.map_index == MapIndex::UNMAPPED;
        let together = together(&self.dag, at.task, down);
        for down in self.instances_of(down) {
            let follows = one || together && down.map_index == at.map_index;
            let state = self.fields(down).and_then(|fields| fields.state);
            let begun = state.is_some_and(|s| s.is_terminal() || s == TaskState::Running);
            if follows && !begun {
                self.supersede(down, moves);
                self.put(down, TaskState::Skipped, None, now, moves, ends);
            }
        }
    }

    /// A task failed for good in a DAG that fails fast: what runs fails, what does not is skipped, and
    /// teardowns still run (Airflow's semantics, 3.2).
    fn fail_fast(
        &mut self,
        failed: InstanceIndex,
        now: Timestamp,
        moves: &mut Moves,
        ends: &mut Ends,
    ) {
        let name = self
            .dag
            .task(failed.task)
            .map(|(task, _)| task.id.to_string());
        let note: Arc<str> = format!(
            "the DAG fails fast, and task `{}` failed",
            name.unwrap_or_default()
        )
        .into();
        for at in self.instances() {
            let teardown = self
                .dag
                .task(at.task)
                .is_some_and(|(_, spec)| matches!(spec.role, Role::Teardown { .. }));
            let state = self.fields(at).and_then(|fields| fields.state);
            if teardown || state.is_some_and(TaskState::is_terminal) {
                continue;
            }
            let state = match state {
                Some(TaskState::Running) => TaskState::Failed,
                _ => TaskState::Skipped,
            };
            self.supersede(at, moves);
            self.put(at, state, Some(Arc::clone(&note)), now, moves, ends);
        }
    }

    /// Gives up the try of an instance that has one in flight.
    pub(super) fn supersede(&mut self, at: InstanceIndex, moves: &mut Moves) {
        let Some(instance) = self.instance_mut(at) else {
            return;
        };
        if instance.fields.state == Some(TaskState::Deferred) {
            // Whatever its trigger still says is refused.
            moves.over.push((at, TryOver::Taken));
            instance.fields.token = instance.fields.token.next();
            instance.fields.deferred = None;
        }
        if instance.fields.state.is_some_and(TaskState::holds_slot) {
            moves.over.push((at, TryOver::Taken));
            moves.superseded.push((at, instance.fields.token));
            instance.fields.token = instance.fields.token.next();
            instance.fields.failure = Some(FailureKind::Killed);
        }
    }

    /// What a deferred task instance waits for has come to an end: it is ready to go on, as the same try.
    ///
    /// # Errors
    /// [`Superseded`] when it was not deferred under this token, or does not wait any more.
    pub fn resume(
        &mut self,
        at: InstanceIndex,
        token: Token,
        event: TriggerEvent,
        moves: &mut Moves,
    ) -> Result<(), Superseded> {
        let none = Superseded {
            told: token,
            newest: Token::default(),
        };
        let fields = &mut self.instance_mut(at).ok_or(none)?.fields;
        let waits = fields.state == Some(TaskState::Deferred) && fields.token == token;
        let Some(deferred) = fields.deferred.as_mut().filter(|_| waits) else {
            return Err(Superseded {
                told: token,
                newest: fields.token,
            });
        };
        Arc::make_mut(deferred).event = Some(event);
        fields.next_try_at = None;
        fields.state = Some(TaskState::Scheduled);
        moves.changed.push(at);
        moves.ready.push(at);
        Ok(())
    }

    /// A deferred task instance whose time has come, if it has: the time that it waits for, or the end of its
    /// patience.
    fn wake_deferred(&mut self, at: InstanceIndex, now: Timestamp, moves: &mut Moves) {
        let Some(fields) = self.fields(at) else {
            return;
        };
        let Some(deferred) = fields.deferred.as_deref() else {
            return;
        };
        let event = match deferred.trigger {
            Trigger::Time(time) if time <= now => TriggerEvent::fired_at(time),
            _ if deferred.until.is_some_and(|until| until <= now) => TriggerEvent::TimedOut,
            _ => return,
        };
        // It waits under the token that it holds.
        let _ = self.resume(at, fields.token, event, moves);
    }

    /// A task instance that waits for a time becomes ready when that has come.
    pub fn wake(&mut self, at: InstanceIndex, now: Timestamp, moves: &mut Moves) {
        let running = self.state == RunState::Running;
        let state = self.fields(at).and_then(|fields| fields.state);
        if running && state == Some(TaskState::Deferred) {
            return self.wake_deferred(at, now, moves);
        }
        let Some(fields) = self.instance_mut(at).map(|i| &mut i.fields) else {
            return;
        };
        let due = fields.next_try_at.is_none_or(|at| at <= now);
        let new_try = match fields.state {
            Some(TaskState::UpForRetry) => true,
            Some(TaskState::UpForReschedule) => false,
            _ => return,
        };
        if due && running {
            fields.next_try_at = None;
            fields.state = Some(TaskState::Scheduled);
            if new_try {
                fields.try_number += 1;
                fields.first_started_at = None;
            }
            moves.changed.push(at);
            moves.ready.push(at);
        }
    }

    /// Puts tries that were in flight when their host died back into the queue, as the same try under a
    /// token to come, and tells what waits for what: the first thing to do with a restored run.
    pub fn adopt(&mut self, now: Timestamp, moves: &mut Moves) {
        if self.state != RunState::Running {
            return;
        }
        for at in self.instances() {
            let Some(fields) = self.instance_mut(at).map(|i| &mut i.fields) else {
                continue;
            };
            match fields.state {
                Some(TaskState::Queued | TaskState::Running | TaskState::Restarting) => {
                    fields.state = Some(TaskState::Scheduled);
                    (fields.queued_at, fields.started_at) = (None, None);
                    moves.changed.push(at);
                    moves.ready.push(at);
                }
                Some(TaskState::Scheduled) => moves.ready.push(at),
                Some(TaskState::UpForRetry | TaskState::UpForReschedule) => {
                    let due = fields.next_try_at.or(fields.ended_at);
                    moves.waiting.push((at, due.unwrap_or(EPOCH)));
                }
                Some(TaskState::Deferred) => {
                    moves
                        .waiting
                        .extend(fields.next_try_at.map(|due| (at, due)));
                    moves.deferred.push(at);
                }
                _ => {}
            }
        }
        self.judge_all(now, moves);
    }

    pub(super) fn in_flight(
        &mut self,
        at: InstanceIndex,
        token: Token,
    ) -> Result<&mut TaskFields, Superseded> {
        let none = Superseded {
            told: token,
            newest: Token::default(),
        };
        let fields = &mut self.instance_mut(at).ok_or(none)?.fields;
        if fields.token == token && fields.state.is_some_and(TaskState::holds_slot) {
            Ok(fields)
        } else {
            Err(Superseded {
                told: token,
                newest: fields.token,
            })
        }
    }
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
