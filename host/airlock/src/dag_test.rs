//! One run of one DAG in the real sandbox, without a server: what `airlock bundle test` does.

use std::{path::PathBuf, time::Duration};

use airlock_model::{
    connection::{Connection, Variable},
    id::{DagId, RunId, TaskId},
    log::Line,
    state::{RunState, TaskState},
    time::Timestamp,
};

use crate::{config::Config, error::CliError};

/// What to run.
#[derive(Debug, Clone)]
pub(crate) struct DagTest {
    /// The component file.
    pub(crate) bundle: PathBuf,
    /// Where the directories lie that the bundle asks for: the bundle's own folder.
    pub(crate) folder: PathBuf,
    /// Which of its DAGs.
    pub(crate) dag_id: DagId,
    /// The time that the run stands for.
    pub(crate) logical_date: Option<Timestamp>,
    /// Overrides the DAG's params.
    pub(crate) conf: serde_json::Map<String, serde_json::Value>,
    /// Variables that there are, besides those of the configuration.
    pub(crate) variables: Vec<Variable>,
    /// Connections that there are, besides those of the configuration.
    pub(crate) connections: Vec<Connection>,
}

/// A task instance that has ended.
#[derive(Debug, Clone)]
pub(crate) struct TestedTask {
    pub(crate) task_id: TaskId,
    pub(crate) state: TaskState,
    /// How many tries it took.
    pub(crate) tries: u32,
    /// Of the last try.
    pub(crate) duration: Duration,
    /// Why it did not succeed.
    pub(crate) note: Option<String>,
    /// Of the last try.
    pub(crate) log: Vec<Line>,
    /// Keys and JSON texts.
    pub(crate) xcoms: Vec<(String, String)>,
}

/// A run that has ended.
#[derive(Debug, Clone)]
pub(crate) struct TestedRun {
    pub(crate) run_id: RunId,
    pub(crate) state: RunState,
    pub(crate) duration: Duration,
}

/// Runs the DAG once, and tells of each task instance as it ends.
///
/// # Errors
/// A [`CliError`] when there is no run: the bundle does not load, or has no such DAG. A run that failed is
/// no error.
pub(crate) async fn run_dag_test(
    _config: &Config,
    _test: DagTest,
    _on_task: &mut (dyn FnMut(TestedTask) -> Result<(), CliError> + Send),
) -> Result<TestedRun, CliError> {
    Err(CliError::Failed("AL-0828: running a DAG is not wired into this build yet".to_owned()))
}
