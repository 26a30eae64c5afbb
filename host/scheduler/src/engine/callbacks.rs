//! Requests for callbacks: rows that are part of the commit which caused them (Airflow's semantics, 3.11).
//!
//! Who hears of a try that ended by itself hears as well of one that was taken away, was given up as dead or
//! took too long: the request is made here, not where the try ran.

use std::sync::Arc;

use airlock_model::{
    callback::{CallbackId, CallbackKind, CallbackSpec, CallbackState},
    id::{InstanceIndex, RunKey},
    port::{CallbackRow, CallbackSubject, CallbackTry},
    run::TryOver,
    state::{RunState, TaskState},
    time::Timestamp,
};

use super::{Active, Engine};

impl Engine {
    /// Tries are over: their task's callbacks hear of it.
    pub(super) fn call_of_tries(
        &mut self,
        run: RunKey,
        over: &[(InstanceIndex, TryOver)],
        now: Timestamp,
    ) {
        for &(at, over) in over {
            let Some(active) = self.runs.get(&run) else {
                return;
            };
            let kind = match (over, active.run.fields(at).and_then(|fields| fields.state)) {
                (TryOver::Ended(TaskState::Skipped), _) => CallbackKind::TaskSkipped,
                (TryOver::Ended(TaskState::UpForRetry), _) => CallbackKind::TaskRetry,
                (TryOver::Ended(TaskState::Success), _)
                | (TryOver::Taken, Some(TaskState::Success)) => CallbackKind::TaskSuccess,
                (TryOver::Ended(_), _) | (TryOver::Taken, Some(TaskState::Failed)) => {
                    CallbackKind::TaskFailure
                }
                // It is cleared, or was not to run after all.
                (TryOver::Taken, _) => continue,
            };
            self.call_of_try(run, at, kind, now);
        }
    }

    /// A try begins or is over.
    pub(super) fn call_of_try(
        &mut self,
        run: RunKey,
        at: InstanceIndex,
        kind: CallbackKind,
        now: Timestamp,
    ) {
        let Some(active) = self.runs.get(&run) else {
            return;
        };
        let dag = Arc::clone(active.run.dag());
        let Some((task, spec)) = dag.task(at.task) else {
            return;
        };
        let (Some(wanted), Some(fields)) = (wanted(&spec.callbacks, kind), active.run.fields(at))
        else {
            return;
        };
        let attempt = CallbackTry {
            task_id: task.id.clone(),
            map_index: at.map_index,
            try_number: fields.try_number,
            max_tries: fields.max_tries + 1,
        };
        let name = match at.map_index.get() {
            Some(index) => format!("{}[{index}]", task.id),
            None => task.id.to_string(),
        };
        let verb = match kind {
            CallbackKind::TaskExecute => "begins",
            CallbackKind::TaskSuccess => "succeeded",
            CallbackKind::TaskRetry => "failed and is tried again",
            CallbackKind::TaskSkipped => "was skipped",
            _ => "failed",
        };
        let row = &active.row;
        let mut message = format!(
            "try {} of {} of task `{name}` in run `{}` of DAG `{}` {verb}",
            attempt.try_number, attempt.max_tries, row.run_id, row.dag_id
        );
        if let Some(note) = fields.note.as_deref().filter(|note| !note.is_empty()) {
            message.push_str(": ");
            message.push_str(note);
        }
        let subject = CallbackSubject {
            attempt: Some(attempt),
            ..subject(active)
        };
        let about = (kind, message, task.priority);
        let rows: Vec<CallbackSpec> = wanted.cloned().collect();
        for spec in &rows {
            self.call(run, spec, about.clone(), subject.clone(), now);
        }
    }

    /// A run has ended.
    pub(super) fn call_of_run(&mut self, run: RunKey, state: RunState, now: Timestamp) {
        let (kind, verb) = match state {
            RunState::Success => (CallbackKind::DagSuccess, "succeeded"),
            RunState::Failed => (CallbackKind::DagFailure, "failed"),
            RunState::Queued | RunState::Running => return,
        };
        let Some(active) = self.runs.get(&run) else {
            return;
        };
        let dag = Arc::clone(active.run.dag());
        let Some(wanted) = wanted(&dag.spec().callbacks, kind) else {
            return;
        };
        let message = format!(
            "run `{}` of DAG `{}` {verb}",
            active.row.run_id, active.row.dag_id
        );
        let (about, subject) = ((kind, message, active.weight()), subject(active));
        for spec in wanted {
            self.call(run, spec, about.clone(), subject.clone(), now);
        }
    }

    fn call(
        &mut self,
        run: RunKey,
        spec: &CallbackSpec,
        (kind, message, weight): (CallbackKind, String, i64),
        subject: CallbackSubject,
        now: Timestamp,
    ) {
        let id = CallbackId(self.keys.next(now).0);
        let Some(active) = self.runs.get(&run) else {
            return;
        };
        let code = (spec.entry.as_str(), spec.arguments.as_str());
        let row = active.request(id, (kind, &message, weight), code, subject, now);
        self.pending.callback(row);
    }
}

fn wanted(
    specs: &[CallbackSpec],
    kind: CallbackKind,
) -> Option<impl Iterator<Item = &CallbackSpec>> {
    let mut wanted = specs.iter().filter(move |spec| spec.on == kind).peekable();
    wanted.peek().is_some().then_some(wanted)
}

pub(super) fn subject(active: &Active) -> CallbackSubject {
    let row = &active.row;
    CallbackSubject {
        run: row.key,
        dag_id: row.dag_id.clone(),
        run_id: row.run_id.clone(),
        run_type: row.run_type,
        logical_date: row.logical_date,
        attempt: None,
        deadline: None,
    }
}

impl Active {
    /// How much weight what is told of the run has: that of its most important task.
    pub(super) fn weight(&self) -> i64 {
        let tasks = self.run.dag().tasks().iter();
        tasks.map(|task| task.priority).max().unwrap_or(1)
    }

    /// A request that is to be executed at once, by the bundle of the run in the version to which it is pinned.
    pub(super) fn request(
        &self,
        id: CallbackId,
        (kind, message, weight): (CallbackKind, &str, i64),
        (entry, arguments): (&str, &str),
        subject: CallbackSubject,
        now: Timestamp,
    ) -> CallbackRow {
        CallbackRow {
            id,
            created_at: now,
            priority_weight: weight,
            kind,
            message: message.into(),
            team: self.row.team.clone(),
            bundle: self.bundle.clone(),
            hash: self.row.hash,
            entry: entry.into(),
            arguments: arguments.into(),
            subject,
            state: CallbackState::Pending,
            tries: 0,
            next_try_at: now,
            ended_at: None,
            note: None,
        }
    }
}
