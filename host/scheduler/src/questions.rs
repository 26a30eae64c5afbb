//! What the engine wants to know of others: the database, and bundles' own timetables. Each question is asked
//! beside the loop, and its answer comes back as an event.

use airlock_model::{
    id::DagId,
    port::{DeadlineFilter, Page, RunRow, WatchedEvent},
    state::RunState,
    trigger::{HostEvent, RunRef},
};
use tokio::sync::mpsc;
use tracing::warn;

use crate::{
    Ports,
    engine::{
        AverageQuestion, CoverQuestion, Event, Past, PastQuestion, Sighting, StateFound,
        StateQuestion, TimetableQuestion,
    },
    lists::until_written,
};

/// Whom to ask, and where answers go.
#[derive(Clone)]
pub(crate) struct Questions {
    pub(crate) ports: Ports,
    pub(crate) events: mpsc::UnboundedSender<Event>,
}

impl Questions {
    fn answer(&self, event: Event) {
        // A scheduler that is gone asks again when it is back.
        let _ = self.events.send(event);
    }

    /// What the run before is.
    pub(crate) async fn past(self, question: PastQuestion) {
        let runs = &self.ports.runs;
        let (dag_id, before) = (&question.dag_id, question.before);
        let found = until_written(|| runs.previous(dag_id, before, question.scheduled_only)).await;
        let previous = match found {
            Some(row) => {
                let tasks = until_written(|| runs.task_instances(row.key)).await;
                Some((row, tasks))
            }
            None => None,
        };
        let had_task = until_written(|| runs.had_task(dag_id, &question.task_id, before)).await;
        let past = Past { previous, had_task };
        self.answer(Event::PastKnown(Box::new((question, past))));
    }

    /// When a DAG is due next whose timetable is its bundle's own.
    pub(crate) async fn timetable(self, question: TimetableQuestion) {
        let TimetableQuestion {
            code,
            last,
            bounds,
            now,
            ..
        } = &question;
        let answer = self
            .ports
            .timetables
            .next_run(code, *last, *bounds, *now)
            .await;
        if let Err(failure) = &answer {
            warn!(dag_id = %question.dag_id, %failure, again = failure.is_transient(), "the DAG's own timetable gave no next run");
        }
        self.answer(Event::TimetableAnswered(Box::new(question), answer));
    }

    /// What a run covers that somebody wants, of a DAG whose timetable is its bundle's own.
    pub(crate) async fn cover(self, question: CoverQuestion) {
        let answer = self
            .ports
            .timetables
            .manual_interval(&question.code, question.at)
            .await;
        self.answer(Event::Covered(Box::new(question), answer));
    }

    /// A run of this DAG has failed: after too many in a row the DAG is paused (Airflow's semantics, 3.6).
    pub(crate) async fn failures(self, dag_id: DagId, most: u32) {
        let last = until_written(|| self.ports.runs.last_states(&dag_id, most)).await;
        let failed = last
            .iter()
            .filter(|&&state| state == RunState::Failed)
            .count();
        if failed < most as usize {
            return;
        }
        warn!(%dag_id, "AL-0713: {failed} runs failed in a row, as many as max_consecutive_failed_dag_runs allows: the DAG is paused; `airlock dags unpause {dag_id}` lets it go on");
        until_written(|| self.ports.dags.set_paused(&dag_id, true)).await;
        self.answer(Event::Paused(dag_id, true));
    }

    /// Where a run or task instance stands for which somebody waits.
    pub(crate) async fn state(self, question: StateQuestion) {
        let found = match &question.event {
            HostEvent::DagRun { dag_id, run, .. } => {
                let run = self.run(dag_id, run).await;
                run.map(|run| StateFound { run, task: None })
            }
            HostEvent::TaskInstance {
                dag_id,
                run,
                task_id,
                map_index,
                ..
            } => match self.run(dag_id, run).await {
                Some(run) => {
                    let runs = &self.ports.runs;
                    let tasks = until_written(|| runs.task_instances(run.key)).await;
                    let mut tasks = tasks.into_iter();
                    let task =
                        tasks.find(|row| row.task_id == *task_id && row.map_index == *map_index);
                    Some(StateFound { run, task })
                }
                None => None,
            },
            HostEvent::Asset(_) | HostEvent::File(_) => None,
        };
        self.answer(Event::StateKnown(Box::new((question, found))));
    }

    async fn run(&self, dag_id: &DagId, run: &RunRef) -> Option<RunRow> {
        let runs = &self.ports.runs;
        match run {
            RunRef::RunId(run_id) => until_written(|| runs.run(dag_id, run_id)).await,
            RunRef::LogicalDate(at) => until_written(|| runs.run_at(dag_id, *at)).await,
        }
    }

    /// How long the last successful runs of a DAG took, unless the deadline that wants to know is written already.
    pub(crate) async fn average(self, question: AverageQuestion) {
        let filter = DeadlineFilter {
            dag_id: Some(question.dag_id.clone()),
            ..DeadlineFilter::default()
        };
        if !question.anew {
            let deadlines = &self.ports.deadlines;
            let known = until_written(|| deadlines.deadlines(&filter, Page::ALL)).await;
            let same = |row: &airlock_model::port::DeadlineRow| {
                row.run == question.run && row.name == question.name
            };
            if known.items.iter().any(same) {
                return;
            }
        }
        let runs = &self.ports.runs;
        let took = until_written(|| runs.durations(&question.dag_id, question.runs)).await;
        self.answer(Event::AverageKnown(Box::new(question), took));
    }

    /// Which of the changes that a watcher has seen nobody was told of.
    ///
    /// Files that were there when a wait for changes began are noted once, with a mark that they are: a later
    /// start finds the mark, and what is new by then was changed meanwhile.
    pub(crate) async fn unseen(self, mut sighting: Sighting) {
        let asset = &sighting.watcher.asset;
        if sighting.known {
            let mark = format!("watcher {} began", sighting.watcher.name);
            let marks = [mark.clone()];
            let seen = until_written(|| self.ports.assets.seen_keys(asset, &marks)).await;
            match seen.is_empty() {
                true => sighting.events.push(WatchedEvent {
                    key: mark,
                    extra: "{}".into(),
                }),
                false => sighting.known = false,
            }
        }
        let keys = sighting.events.iter().map(|event| event.key.clone());
        let keys: Vec<String> = keys.collect();
        let seen = until_written(|| self.ports.assets.seen_keys(asset, &keys)).await;
        sighting.events.retain(|event| !seen.contains(&event.key));
        self.answer(Event::Sighted(Box::new(sighting)));
    }
}

impl std::fmt::Debug for Questions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Questions").finish_non_exhaustive()
    }
}
