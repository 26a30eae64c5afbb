//! Tasks that wait for the run before theirs (Airflow 3.3.2, `airflow/ti_deps/deps/prev_dagrun_dep.py`).
//!
//! Which run that is, the database says, because it may have ended long ago. Where it is in memory, its
//! newest states decide; where it is not, those that were read with it. Whoever has to wait is asked again
//! whenever the run before moves.

use airlock_model::{
    id::{DagId, InstanceIndex, RunKey, TaskId},
    port::{RunRow, TaskRow},
    run::Moves,
    state::{RunType, TaskState},
    time::Timestamp,
};

use super::{Active, Engine};

/// Something that the database has to be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PastQuestion {
    /// Who asks.
    pub run: RunKey,
    /// Which of its task instances.
    pub at: InstanceIndex,
    /// Its DAG.
    pub dag_id: DagId,
    /// Its task.
    pub task_id: TaskId,
    /// Before when the run before is.
    pub before: Timestamp,
    /// Only runs that the timetable made count.
    pub scheduled_only: bool,
}

/// The run before, as the database knows it.
#[derive(Debug, Clone, PartialEq)]
pub struct Past {
    /// The run and its task instances; none: there is none.
    pub previous: Option<(RunRow, Vec<TaskRow>)>,
    /// Some earlier run had an instance of the task.
    pub had_task: bool,
}

impl Engine {
    /// After how many failed runs in a row a DAG is paused, if ever.
    #[must_use]
    pub fn most_failures(&self, dag: &DagId) -> Option<u32> {
        let spec = self.dags.get(dag)?.live.dag.spec();
        Some(spec.max_consecutive_failed_dag_runs).filter(|&most| most > 0)
    }

    /// What the database has to be asked.
    pub fn take_questions(&mut self) -> Vec<PastQuestion> {
        std::mem::take(&mut self.questions)
    }

    pub(super) fn ask_past(&mut self, run: RunKey, at: InstanceIndex) {
        let Some(active) = self.runs.get(&run) else {
            return;
        };
        let dag = active.run.dag();
        let (Some((task, _)), Some(before)) = (dag.task(at.task), active.row.logical_date) else {
            // A run that stands for no time has none before it.
            self.unasked.push((run, at));
            return;
        };
        self.questions.push(PastQuestion {
            run,
            at,
            dag_id: active.row.dag_id.clone(),
            task_id: task.id.clone(),
            before,
            scheduled_only: dag.spec().catchup,
        });
    }

    /// Runs without a logical date have nothing to wait for.
    pub(super) fn answer_unasked(&mut self, now: Timestamp) {
        while let Some((run, at)) = self.unasked.pop() {
            self.past_allows(run, at, now);
        }
    }

    /// The database has answered.
    pub(super) fn past_known(&mut self, question: PastQuestion, past: Past, now: Timestamp) {
        let PastQuestion { run, at, .. } = &question;
        let (run, at) = (*run, *at);
        if self.is_first_of_backfill(run) {
            self.past_allows(run, at, now);
            return;
        }
        let before = self.before_in_memory(&question);
        let known = past
            .previous
            .as_ref()
            .and_then(|(row, _)| Some((row.logical_date?, row.key)));
        let Some((_, previous)) = before.max(known) else {
            self.past_allows(run, at, now);
            return;
        };
        let Some(active) = self.runs.get(&run) else {
            return;
        };
        let Some((task, spec)) = active.run.dag().task(at.task) else {
            return;
        };
        let mut needed = vec![task.id.clone()];
        if spec.wait_for_downstream {
            let downs = task
                .downstream
                .iter()
                .filter_map(|&d| active.run.dag().task(d));
            needed.extend(downs.map(|(down, _)| down.id.clone()));
        }
        let ignores = spec.ignore_first_depends_on_past;
        let (mut known, mut open) = (false, false);
        let mut look = |id: &TaskId, state: Option<TaskState>| {
            known |= *id == task.id;
            open |= !matches!(state, Some(TaskState::Success | TaskState::Skipped));
        };
        match (self.runs.get(&previous), &past.previous) {
            (Some(before), _) => before.states(&needed, &mut look),
            (None, Some((row, tasks))) if row.key == previous => {
                let those = tasks.iter().filter(|row| needed.contains(&row.task_id));
                those.for_each(|row| look(&row.task_id, row.fields.state));
            }
            (None, _) => {}
        }
        let passes = if known {
            !open
        } else {
            ignores && !past.had_task
        };
        if passes {
            self.past_allows(run, at, now);
        } else {
            self.waiting_for_past
                .entry(previous)
                .or_default()
                .push(question);
        }
    }

    fn before_in_memory(&self, question: &PastQuestion) -> Option<(Timestamp, RunKey)> {
        let earlier = |active: &&Active| {
            let row = &active.row;
            let counts = !question.scheduled_only || row.run_type != RunType::Manual;
            row.dag_id == question.dag_id && counts && row.key != question.run
        };
        let dates = self
            .runs
            .values()
            .filter(earlier)
            .filter_map(|active| Some((active.row.logical_date?, active.row.key)));
        dates.filter(|(at, _)| *at < question.before).max()
    }

    fn past_allows(&mut self, run: RunKey, at: InstanceIndex, now: Timestamp) {
        let Some(active) = self.runs.get_mut(&run) else {
            return;
        };
        let mut moves = Moves::default();
        active.run.past_allows(at, now, &mut moves);
        self.after_moves(run, &moves, now);
    }

    /// A run has moved: who waits for it asks again.
    pub(super) fn past_moved(&mut self, run: RunKey) {
        if let Some(waiting) = self.waiting_for_past.remove(&run) {
            let live = waiting
                .into_iter()
                .filter(|question| self.runs.contains_key(&question.run));
            let live: Vec<PastQuestion> = live.collect();
            self.questions.extend(live);
        }
    }
}

impl Active {
    fn states(&self, needed: &[TaskId], look: &mut impl FnMut(&TaskId, Option<TaskState>)) {
        let dag = self.run.dag();
        for at in self.run.instances() {
            if let Some((task, _)) = dag
                .task(at.task)
                .filter(|(task, _)| needed.contains(&task.id))
            {
                look(
                    &task.id,
                    self.run.fields(at).and_then(|fields| fields.state),
                );
            }
        }
    }
}
