//! Deadlines: a run that has not succeeded by then is told of (Airflow 3.3.2,
//! `airflow/serialization/definitions/deadline.py`).
//!
//! A deadline is a row and a timer. It is written when that is known from which it is counted: at the queueing
//! of the run, at its start, or when the database has said how long the last runs took. A run that fails
//! keeps its deadlines, because it has not succeeded; one that is queued or started again gets those anew
//! that are counted from there.

use std::{cmp::Reverse, collections::BTreeMap, sync::Arc, time::Duration};

use airlock_model::{
    callback::{CallbackId, CallbackKind, DeadlineReference, DeadlineSpec},
    dag::Dag,
    id::{DagId, RunKey},
    port::{CallbackRow, CallbackSubject, DeadlineRow},
    state::RunState,
    time::Timestamp,
};

use super::{Engine, Timer, callbacks::subject};

/// Deadlines that are ahead.
pub(super) type Deadlines = BTreeMap<(RunKey, Arc<str>), DeadlineRow>;

/// Something that the database has to be asked: how long the last successful runs of a DAG took.
#[derive(Debug, Clone, PartialEq)]
pub struct AverageQuestion {
    /// The run that has the deadline.
    pub run: RunKey,
    /// Its DAG.
    pub dag_id: DagId,
    /// The deadline.
    pub name: String,
    /// How many runs count at most.
    pub runs: u32,
    /// It is counted anew, also if it was missed before.
    pub anew: bool,
}

/// What a deadline is counted from has come to pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moment {
    /// The run exists.
    Created,
    /// It was queued once more.
    QueuedAgain,
    /// It has started.
    Started,
}

impl Engine {
    /// Deadlines as they were written, of all runs or of one that is read again. To be called before the runs are
    /// restored.
    pub fn restore_deadlines(&mut self, rows: Vec<DeadlineRow>) {
        for row in rows {
            self.set_deadline(row);
        }
    }

    fn set_deadline(&mut self, row: DeadlineRow) {
        let key = (row.run, Arc::from(row.name.as_str()));
        let timer = Timer::Deadline(key.0, Arc::clone(&key.1));
        self.timers.push(Reverse((row.at, timer)));
        self.deadlines.insert(key, row);
    }

    /// Sets the deadlines of a run that are counted from this moment.
    pub(super) fn count_deadlines(&mut self, run: RunKey, moment: Moment, now: Timestamp) {
        let Some(active) = self.runs.get(&run) else {
            return;
        };
        let dag = Arc::clone(active.run.dag());
        if dag.spec().deadlines.is_empty() {
            return;
        }
        let row = &active.row;
        let (logical_date, queued_at, dag_id) =
            (row.logical_date, row.queued_at, row.dag_id.clone());
        if moment == Moment::QueuedAgain {
            self.start_counts_no_more(run, &dag);
        }
        for spec in &dag.spec().deadlines {
            let fresh = moment == Moment::Created;
            let queued = fresh || moment == Moment::QueuedAgain;
            let from = match spec.reference {
                DeadlineReference::LogicalDate => logical_date.filter(|_| fresh),
                DeadlineReference::Fixed(at) => Some(at).filter(|_| fresh),
                DeadlineReference::QueuedAt => Some(queued_at).filter(|_| queued),
                DeadlineReference::StartedAt => Some(now).filter(|_| !queued),
                DeadlineReference::Average { runs, .. } => {
                    if queued {
                        self.pending.average_question(AverageQuestion {
                            run,
                            dag_id: dag_id.clone(),
                            name: spec.name.clone(),
                            runs,
                            anew: !fresh,
                        });
                    }
                    None
                }
            };
            if let Some(from) = from {
                self.new_deadline(run, spec, from.after(spec.interval), now);
            }
        }
    }

    /// A run waits for its turn again: what was counted from its start is gone, also from the database, where a
    /// restart would find it.
    fn start_counts_no_more(&mut self, run: RunKey, dag: &Dag) {
        let counted = |spec: &&DeadlineSpec| spec.reference == DeadlineReference::StartedAt;
        let names = dag.spec().deadlines.iter().filter(counted);
        let keys = names.map(|spec| (run, Arc::from(spec.name.as_str())));
        let gone = keys.filter_map(|key| self.deadlines.remove(&key)).count();
        if gone == 0 {
            return;
        }
        self.pending.gone_deadlines(run);
        let ahead = self.deadlines.range((run, Arc::from(""))..);
        for (_, row) in ahead.take_while(|((of, _), _)| *of == run) {
            self.pending.deadline(row.clone());
        }
    }

    fn new_deadline(&mut self, run: RunKey, spec: &DeadlineSpec, at: Timestamp, now: Timestamp) {
        let id = CallbackId(self.keys.next(now).0);
        let Some(active) = self.runs.get(&run) else {
            return;
        };
        let row = &active.row;
        let message = format!(
            "run `{}` of DAG `{}` has not succeeded by {at}, its deadline `{}`",
            row.run_id, row.dag_id, spec.name
        );
        let subject = CallbackSubject {
            deadline: Some((spec.name.clone(), at)),
            ..subject(active)
        };
        let about = (CallbackKind::Deadline, message.as_str(), active.weight());
        let code = (spec.entry.as_str(), spec.arguments.as_str());
        let deadline = DeadlineRow {
            run,
            name: spec.name.clone(),
            at,
            missed_at: None,
            request: Arc::new(active.request(id, about, code, subject, now)),
        };
        self.pending.deadline(deadline.clone());
        self.set_deadline(deadline);
    }

    /// The database has said how long the last successful runs took.
    pub(super) fn average_known(
        &mut self,
        question: &AverageQuestion,
        took: &[Duration],
        now: Timestamp,
    ) {
        let Some(active) = self.runs.get(&question.run) else {
            return;
        };
        let dag = Arc::clone(active.run.dag());
        let mut specs = dag.spec().deadlines.iter();
        let Some(spec) = specs.find(|spec| spec.name == question.name) else {
            return;
        };
        let DeadlineReference::Average { at_least, .. } = spec.reference else {
            return;
        };
        let count = u32::try_from(took.len()).unwrap_or(u32::MAX);
        if count == 0 || count < at_least || active.run.state() == RunState::Success {
            return;
        }
        let average = took.iter().sum::<Duration>() / count;
        let at = active.row.queued_at.after(average).after(spec.interval);
        self.new_deadline(question.run, spec, at, now);
    }

    /// After a restart: deadlines for which the database was asked and that were not written any more.
    pub(super) fn ask_averages_again(&mut self, run: RunKey) {
        let Some(active) = self.runs.get(&run) else {
            return;
        };
        for spec in &active.run.dag().spec().deadlines {
            let known = self
                .deadlines
                .contains_key(&(run, spec.name.as_str().into()));
            if let (DeadlineReference::Average { runs, .. }, false) = (spec.reference, known) {
                self.pending.average_question(AverageQuestion {
                    run,
                    dag_id: active.row.dag_id.clone(),
                    name: spec.name.clone(),
                    runs,
                    anew: false,
                });
            }
        }
    }

    /// A run has succeeded: its deadlines are met.
    pub(super) fn meet_deadlines(&mut self, run: RunKey) {
        if self.forget_deadlines(run) {
            self.pending.gone_deadlines(run);
        }
    }

    /// Whether there were any.
    pub(super) fn forget_deadlines(&mut self, run: RunKey) -> bool {
        let of_run = self.deadlines.range((run, Arc::from(""))..);
        let names: Vec<_> = of_run
            .map(|(key, _)| key.clone())
            .take_while(|(key, _)| *key == run)
            .collect();
        for key in &names {
            self.deadlines.remove(key);
        }
        !names.is_empty()
    }

    /// A DAG is deleted, and its runs with it.
    pub(super) fn forget_deadlines_of(&mut self, dag: &DagId) {
        self.deadlines
            .retain(|_, row| row.request.subject.dag_id != *dag);
    }

    /// A deadline's time may have come.
    pub(super) fn look_at_deadline(&mut self, run: RunKey, name: Arc<str>, now: Timestamp) {
        let key = (run, name);
        // One that was set anew has a timer of its own.
        if self.deadlines.get(&key).is_none_or(|row| row.at > now) {
            return;
        }
        let Some(mut missed) = self.deadlines.remove(&key) else {
            return;
        };
        missed.missed_at = Some(now);
        let request = CallbackRow {
            id: CallbackId(self.keys.next(now).0),
            created_at: now,
            next_try_at: now,
            ..(*missed.request).clone()
        };
        if let Some(team) = self.teams.get_mut(&request.team) {
            team.tally.missed_deadlines += 1;
        }
        missed.request = Arc::new(request.clone());
        self.pending.callback(request);
        self.pending.deadline(missed);
    }
}
