//! What people do to a run, and what its time-out does: clear, mark, end.

use std::{sync::Arc, time::Duration};

use super::{Moves, Run, instance::Past, judge::Ends};
use crate::{
    dag::Role,
    id::InstanceIndex,
    port::TaskFields,
    state::{RunState, TaskState},
    time::Timestamp,
};

/// A state into which people put task instances.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// As if it had ended well.
    Success,
    /// As if it had failed for good.
    Failed,
    /// As if it had not been to run.
    Skipped,
}

impl Mark {
    /// The state that it stands for.
    #[must_use]
    pub const fn state(self) -> TaskState {
        match self {
            Self::Success => TaskState::Success,
            Self::Failed => TaskState::Failed,
            Self::Skipped => TaskState::Skipped,
        }
    }
}

impl Run {
    /// Makes task instances as if nobody had looked at them, with `retries` further tries after the next
    /// (Airflow's semantics, 3.13). Tries in flight are superseded. A run that has ended becomes queued again
    /// and is to be [started](Run::start); in one that runs, what can go on goes on at once.
    pub fn clear(&mut self, which: &[InstanceIndex], now: Timestamp, moves: &mut Moves) {
        for &at in which {
            let Some((_, spec)) = self.dag.task(at.task) else {
                continue;
            };
            let retries = spec.retries;
            self.supersede(at, moves);
            self.returned.remove(&at);
            self.lengths.remove(&at.task);
            let Some(instance) = self.instance_mut(at) else {
                continue;
            };
            let (number, token) = (instance.fields.try_number, instance.fields.token);
            instance.past = Past::Unasked;
            instance.fields = TaskFields {
                try_number: number,
                max_tries: number + retries,
                token,
                ..TaskFields::untouched()
            };
            moves.changed.push(at);
        }
        self.recount();
        if !which.is_empty() {
            self.ends_as = None;
        }
        match self.state {
            _ if which.is_empty() => {}
            RunState::Running => self.judge_all(now, moves),
            _ => self.state = RunState::Queued,
        }
    }

    /// Puts task instances into a state by hand. Tries in flight are superseded. In a run that has ended,
    /// nothing follows but the run's own state.
    pub fn mark(&mut self, which: &[InstanceIndex], mark: Mark, now: Timestamp, moves: &mut Moves) {
        let note: Arc<str> = format!("marked {} by hand", mark.state()).into();
        let mut ends = Ends::new();
        for &at in which {
            let Some(fields) = self.fields(at) else {
                continue;
            };
            if fields.state == Some(mark.state()) {
                continue;
            }
            self.supersede(at, moves);
            self.put(
                at,
                mark.state(),
                Some(Arc::clone(&note)),
                now,
                moves,
                &mut ends,
            );
        }
        // An end that was counted before may be another now.
        self.recount();
        match self.state {
            RunState::Running => self.judge_all(now, moves),
            RunState::Queued => {}
            _ if which.is_empty() => {}
            _ => {
                self.state = self.end_state();
                moves.ended = Some(self.state);
            }
        }
    }

    /// Ends a run by hand: what works on something ends so too, what has not begun is skipped, and what has ended
    /// stays as it is. Teardowns of a run that has started still do their work, and the run ends after them
    /// (Airflow 3.3.2, `airflow/api/common/mark_tasks.py`).
    pub fn mark_run(&mut self, success: bool, now: Timestamp, moves: &mut Moves) {
        let note: Arc<str> = "the run was ended by hand".into();
        let (end, worked) = match success {
            true => (RunState::Success, TaskState::Success),
            false => (RunState::Failed, TaskState::Failed),
        };
        let mut ends = Ends::new();
        for at in self.instances() {
            let state = self.fields(at).and_then(|fields| fields.state);
            let to = match state {
                Some(state) if state.is_terminal() => continue,
                _ if self.state == RunState::Running && self.is_teardown(at) => continue,
                Some(state) if state.is_working() => worked,
                _ => TaskState::Skipped,
            };
            self.supersede(at, moves);
            self.put(at, to, Some(Arc::clone(&note)), now, moves, &mut ends);
        }
        self.recount();
        if self.unfinished > 0 && self.state == RunState::Running {
            self.ends_as = Some(end);
            return self.judge_all(now, moves);
        }
        self.state = end;
        moves.ended = Some(end);
    }

    fn is_teardown(&self, at: InstanceIndex) -> bool {
        self.dag
            .task(at.task)
            .is_some_and(|(_, spec)| matches!(spec.role, Role::Teardown { .. }))
    }

    /// The run took longer than its DAG allows: it fails, and what has not ended is skipped (Airflow's
    /// semantics, 3.6). Tries in flight are superseded.
    pub fn time_out(&mut self, after: Duration, now: Timestamp, moves: &mut Moves) {
        if self.state != RunState::Running {
            return;
        }
        let note: Arc<str> = format!("the run was ended by its dagrun_timeout of {after:?}").into();
        let mut ends = Ends::new();
        for at in self.instances() {
            let state = self.fields(at).and_then(|fields| fields.state);
            if state.is_some_and(TaskState::is_terminal) {
                continue;
            }
            self.supersede(at, moves);
            self.put(
                at,
                TaskState::Skipped,
                Some(Arc::clone(&note)),
                now,
                moves,
                &mut ends,
            );
        }
        self.recount();
        (self.state, self.ends_as) = (RunState::Failed, None);
        moves.ended = Some(self.state);
    }
}
