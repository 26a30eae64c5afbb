//! One try of one task in the real sandbox: what `airlock tasks test` does.
//!
//! It happens in the same kind of house as a DAG's test ([`crate::dag_test`]). The DAG is paused there, so that
//! its run exists with params and interval and none of its tasks starts; the try goes to the sandbox without
//! the scheduler, which would wait for what comes before it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use airlock_model::{
    dag::{Dag, Input, Mapped, Part, Task, TaskSpec, mapping},
    id::{MapIndex, TaskId, TaskIndex, TaskInstanceKey, Token},
    log::TryKey,
    outcome::{Outcome, Report},
    port::{Control, DagStore, Executor, RunRow, StoredDag, TryEvents, Work},
    state::TaskState,
    time::Timestamp,
};
use tokio::sync::oneshot;

use crate::{
    config::Config,
    dag_test::{DagTest, TestHouse, TestedTask, triggered, whole_log},
    error::CliError,
    house::House,
};

/// What a task gets for a value that nobody gave.
const NULL: &str = "null";

/// What to run.
#[derive(Debug)]
pub(crate) struct TaskTest {
    /// The run, and what is around it.
    pub(crate) run: DagTest,
    /// Which task.
    pub(crate) task_id: TaskId,
    /// Which instance of it.
    pub(crate) map_index: MapIndex,
    /// What tasks before it would have returned: JSON texts.
    pub(crate) returned: HashMap<TaskId, String>,
}

/// Runs the try.
///
/// # Errors
/// A [`CliError`] when there is no try: the bundle does not load, or has no such DAG or task. A try that
/// failed is no error.
pub(crate) async fn run_task_test(config: &Config, test: TaskTest) -> Result<TestedTask, CliError> {
    let house = TestHouse::open(config, &test.run).await?;
    let result = in_house(&house.house, test).await;
    house.close().await;
    result
}

async fn in_house(house: &House, test: TaskTest) -> Result<TestedTask, CliError> {
    let dag_id = test.run.dag_id.clone();
    let stored = house.store.dag(&dag_id).await.map_err(CliError::room)?;
    let stored =
        stored.ok_or_else(|| CliError::NotFound(format!("the bundle has no DAG `{dag_id}`")))?;
    let dag = Dag::new(stored.spec.clone()).map_err(|mistakes| {
        let mistakes: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
        CliError::Failed(mistakes.join("\n"))
    })?;
    let values = Values::new(&dag, &test)?;
    let task = values.at;
    let arguments = values.arguments();
    let (_, spec) = known(&dag, task, &test.task_id)?;
    house
        .handle
        .set_paused(&dag_id, true)
        .await
        .map_err(CliError::room)?;
    let run = triggered(house, test.run).await?;
    let work = work(&run, &stored, (task, test.map_index), spec, arguments);
    tried(house, work, &test.task_id).await
}

fn known<'a>(
    dag: &'a Dag,
    at: TaskIndex,
    task_id: &TaskId,
) -> Result<(&'a Task, &'a TaskSpec), CliError> {
    dag.task(at)
        .ok_or_else(|| CliError::NotFound(format!("there is no task `{task_id}`")))
}

/// Where the arguments' values come from.
struct Values<'a> {
    dag: &'a Dag,
    at: TaskIndex,
    task: &'a Task,
    /// Of a mapped task: over what, and which instance.
    mapping: Option<(&'a Mapped, u32)>,
    returned: HashMap<TaskIndex, &'a str>,
}

impl<'a> Values<'a> {
    fn new(dag: &'a Dag, test: &'a TaskTest) -> Result<Self, CliError> {
        let stranger = |task: &TaskId| {
            let ids: Vec<String> = (dag.tasks().iter())
                .map(|task| format!("`{}`", task.id))
                .collect();
            CliError::NotFound(format!(
                "DAG `{}` has no task `{task}`; it has {}",
                dag.id(),
                ids.join(", ")
            ))
        };
        let find = |task: &TaskId| dag.index_of(task).ok_or_else(|| stranger(task));
        let at = find(&test.task_id)?;
        let (task, _) = known(dag, at, &test.task_id)?;
        let returned: Result<_, CliError> = (test.returned.iter())
            .map(|(task, json)| Ok((find(task)?, json.as_str())))
            .collect();
        let place = test.map_index.get().and_then(|at| u32::try_from(at).ok());
        let mapping = match (dag.mapping(at), place) {
            (None, None) => None,
            (Some(mapped), Some(place)) => Some((mapped, place)),
            (Some(_), None) => {
                return Err(CliError::Usage(format!(
                    "task `{}` is mapped: say which instance with --map-index",
                    test.task_id
                )));
            }
            (None, Some(_)) => {
                return Err(CliError::Usage(format!(
                    "task `{}` is not mapped: leave out --map-index",
                    test.task_id
                )));
            }
        };
        let values = Self {
            dag,
            at,
            task,
            mapping,
            returned: returned?,
        };
        values.in_bounds()?;
        Ok(values)
    }

    /// There is such an instance, as far as that can be told without what other tasks return.
    fn in_bounds(&self) -> Result<(), CliError> {
        let Some((mapped, place)) = self.mapping else {
            return Ok(());
        };
        match mapped.length(|source| self.length(source)) {
            Some(length) if u64::from(place) >= length => Err(CliError::Usage(format!(
                "task `{}` has {length} instances, counted from 0; there is none with the map index {place}",
                self.task.id
            ))),
            Some(_) => Ok(()),
            None => {
                let sources: Vec<String> = (mapped.sources().iter())
                    .filter(|source| self.length(**source).is_none())
                    .filter_map(|source| Some(self.dag.task(*source)?.0.id.to_string()))
                    .map(|source| format!("--returned '{source}=[…]'"))
                    .collect();
                Err(CliError::Usage(format!(
                    "task `{}` is mapped over what other tasks return: say what, with {}",
                    self.task.id,
                    sources.join(" ")
                )))
            }
        }
    }

    fn length(&self, source: TaskIndex) -> Option<u32> {
        mapping::length(self.returned.get(&source)?)
    }

    fn arguments(&self) -> Vec<Arc<str>> {
        let inputs = self.task.arguments.iter();
        inputs.map(|input| self.value(input)).collect()
    }

    fn value(&self, input: &Input) -> Arc<str> {
        match input {
            Input::Literal(json) => Arc::clone(json),
            Input::Output(up) => self.whole(*up),
            Input::Mapped(name) => {
                let part = self
                    .mapping
                    .and_then(|(mapped, place)| mapped.part(name, place, |s| self.length(s)));
                part.map_or_else(|| NULL.into(), |part| self.part(&part))
            }
        }
    }

    fn whole(&self, source: TaskIndex) -> Arc<str> {
        self.returned.get(&source).copied().unwrap_or(NULL).into()
    }

    fn element(&self, source: TaskIndex, place: u32) -> Option<Arc<str>> {
        let elements = mapping::elements(self.returned.get(&source)?)?;
        elements.get(place as usize).cloned()
    }

    fn part(&self, part: &Part) -> Arc<str> {
        match part {
            Part::Value(json) => Arc::clone(json),
            Part::Element(source, place) => {
                self.element(*source, *place).unwrap_or_else(|| NULL.into())
            }
            Part::ElementOr(source, place, fill) => self
                .element(*source, *place)
                .unwrap_or_else(|| Arc::clone(fill)),
            Part::Row(parts) => {
                let parts: Vec<Arc<str>> = parts.iter().map(|part| self.part(part)).collect();
                format!("[{}]", parts.join(",")).into()
            }
            Part::Under(part, key) => {
                let object = self.part(part);
                let value = serde_json::from_str::<serde_json::Value>(&object).ok();
                let value = value.as_ref().and_then(|object| object.get(key.as_ref()));
                value.map_or_else(|| NULL.into(), |value| value.to_string().into())
            }
        }
    }
}

fn work(
    run: &RunRow,
    stored: &StoredDag,
    (task, map_index): (TaskIndex, MapIndex),
    spec: &TaskSpec,
    arguments: Vec<Arc<str>>,
) -> Result<Work, CliError> {
    Ok(Work {
        key: TaskInstanceKey {
            run: run.key,
            task,
            map_index,
        },
        token: Token::default().next(),
        names: TryKey {
            team: run.team.clone(),
            dag_id: run.dag_id.clone(),
            run_id: run.run_id.clone(),
            task_id: TaskId::new(&spec.task_id).map_err(CliError::room)?,
            map_index,
            try_number: 1,
        },
        bundle: stored.bundle.clone(),
        hash: run.hash,
        entry: spec.entry.as_str().into(),
        arguments,
        run_type: run.run_type,
        max_tries: 1,
        logical_date: run.logical_date,
        data_interval: run.data_interval,
        run_after: run.run_after,
        params: Arc::clone(&run.conf),
        execution_timeout: spec.execution_timeout,
        first_started_at: None,
        is_latest: true,
        triggering_events: Vec::new(),
        inlet_events: Vec::new(),
        inlets: Vec::new(),
        outlets: Vec::new(),
        resume: None,
    })
}

/// Hears of the one try.
struct Listener(Mutex<Option<oneshot::Sender<Report>>>);

impl TryEvents for Listener {
    fn started(&self, _: TaskInstanceKey, _: Token, _: Timestamp) {}

    fn ended(&self, _: TaskInstanceKey, _: Token, _: Timestamp, report: Report) {
        let waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(waiting) = waiting {
            // Nobody waits any more when the command was interrupted.
            let _ = waiting.send(report);
        }
    }
}

async fn tried(
    house: &House,
    work: Result<Work, CliError>,
    task_id: &TaskId,
) -> Result<TestedTask, CliError> {
    let work = work?;
    let (names, map_index) = (work.names.clone(), work.key.map_index);
    let (tell, told) = oneshot::channel();
    house
        .sandbox
        .set_events(Arc::new(Listener(Mutex::new(Some(tell)))));
    house.sandbox.dispatch(work);
    let report = told.await.map_err(|error| {
        CliError::Failed(format!("AL-0828: the try ended without a word: {error}"))
    })?;
    let log = whole_log(house, &names).await.map_err(CliError::room)?;
    let (state, note, xcoms) = came_of(report.outcome);
    Ok(TestedTask {
        task_id: task_id.clone(),
        map_index,
        state,
        tries: 1,
        duration: report.ran,
        note,
        log,
        xcoms,
    })
}

fn came_of(outcome: Outcome) -> (TaskState, Option<String>, Vec<(String, String)>) {
    match outcome {
        Outcome::Success { xcoms, .. } => {
            let xcoms = xcoms.into_iter();
            let xcoms = xcoms.map(|(key, json)| (key, json.to_string())).collect();
            (TaskState::Success, None, xcoms)
        }
        Outcome::Skipped { reason } => (TaskState::Skipped, Some(reason), Vec::new()),
        Outcome::Rescheduled { at } => {
            let note = format!("what it waits for is not there yet; it would look again at {at}");
            (TaskState::UpForReschedule, Some(note), Vec::new())
        }
        Outcome::Deferred(deferral) => {
            let most = deferral.timeout.map_or_else(String::new, |timeout| {
                format!(", {} at most", humantime::format_duration(timeout))
            });
            let note = format!(
                "it would wait for {}{most}, and then go on",
                deferral.trigger
            );
            (TaskState::Deferred, Some(note), Vec::new())
        }
        Outcome::Failed(failure) => {
            let mut note = failure.message;
            for cause in failure.causes {
                note.push_str(&format!("\nbecause {cause}"));
            }
            (TaskState::Failed, Some(note), Vec::new())
        }
    }
}
