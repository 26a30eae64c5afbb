//! One run of one DAG in the real sandbox, without a server: what `airlock bundle test` does.
//!
//! It is a house in a temporary folder, with a real store and the real scheduler, which is thrown away when
//! the run has ended and all callbacks that it caused were called, once each. The bundle is the default team's and is granted what it asks for; the settings of the
//! team that the configuration gives it to, and the global ones, are there for it.

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
    time::Duration,
};

use airlock_model::{
    callback::{CallbackKind, CallbackState},
    connection::{Connection, Variable},
    id::{DagId, InstanceIndex, MapIndex, RunId, Scope, TaskId, TeamName},
    log::{Line, TryKey},
    port::{
        CallbackFilter, CallbackRow, CallbackStore, Control, ControlError, DagFilter, DagStore,
        Page, RunRow, RunStore, StoreError, TaskLogs, TaskRow, TriggerRun, XcomStore,
    },
    state::{RunState, TaskState},
    time::Timestamp,
};
use airlock_scheduler::driver::Shutdown;

use crate::{
    config::{self, Config, Place, Settings},
    error::CliError,
    house::{House, Purpose},
};

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
    pub(crate) map_index: MapIndex,
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

/// A callback that was called.
#[derive(Debug, Clone)]
pub(crate) struct TestedCallback {
    pub(crate) kind: CallbackKind,
    /// Of which task instance it was told, if of one.
    pub(crate) task: Option<(TaskId, MapIndex)>,
    /// Of which deadline it was told, if of one.
    pub(crate) deadline: Option<String>,
    pub(crate) state: CallbackState,
    /// Why it failed.
    pub(crate) note: Option<String>,
}

/// A run that has ended.
#[derive(Debug, Clone)]
pub(crate) struct TestedRun {
    pub(crate) run_id: RunId,
    pub(crate) state: RunState,
    pub(crate) duration: Duration,
    /// In the order in which they were asked for.
    pub(crate) callbacks: Vec<TestedCallback>,
}

/// The pause between two looks whether all callbacks have ended.
const LOOK: Duration = Duration::from_millis(20);

/// Runs the DAG once, and tells of each task instance as it ends.
///
/// # Errors
/// A [`CliError`] when there is no run: the bundle does not load, or has no such DAG. A run that failed is
/// no error.
pub(crate) async fn run_dag_test(
    config: &Config,
    test: DagTest,
    on_task: &mut (dyn FnMut(TestedTask) -> Result<(), CliError> + Send),
) -> Result<TestedRun, CliError> {
    let house = TestHouse::open(config, &test).await?;
    let result = in_house(&house.house, test, on_task).await;
    house.close().await;
    result
}

/// A house in a temporary folder, with the bundle in it.
pub(crate) struct TestHouse {
    pub(crate) house: House,
    /// Goes when it goes.
    _folder: tempfile::TempDir,
}

impl TestHouse {
    /// Opens it.
    pub(crate) async fn open(config: &Config, test: &DagTest) -> Result<Self, CliError> {
        let bytes = std::fs::read(&test.bundle)
            .map_err(|error| CliError::file("cannot read the bundle", &test.bundle, &error))?;
        let folder = tempfile::tempdir().map_err(CliError::room)?;
        let config = test_config(config, folder.path(), &bytes)?;
        let house = House::open(config, Purpose::Test)
            .await
            .map_err(CliError::room)?;
        let house = Self {
            house,
            _folder: folder,
        };
        match furnish(&house.house, test, bytes).await {
            Ok(()) => Ok(house),
            Err(error) => {
                house.close().await;
                Err(error)
            }
        }
    }

    /// Stops its scheduler, and throws it away.
    pub(crate) async fn close(self) {
        self.house.ask(Shutdown::Now);
        self.house.stopped().await;
    }
}

/// The configuration of the house that is thrown away: only the default team, in this home.
fn test_config(config: &Config, home: &Path, bundle: &[u8]) -> Result<Config, CliError> {
    let file = home.join(config::FILE_NAME);
    std::fs::write(&file, "").map_err(|error| CliError::file("cannot write", &file, &error))?;
    let place = Place {
        file: Some(file),
        home: Some(home.to_owned()),
        bundles: None,
    };
    let mut ours = config::load(&place, [])?.checked()?;
    let name = airlock_bundle::embedded(bundle)
        .ok()
        .and_then(|text| airlock_bundle::Manifest::parse(text).ok());
    let name = name.map(|manifest| manifest.name);
    let owner = config.teams.iter().find(|team| {
        team.bundles
            .iter()
            .any(|bundle| Some(&bundle.name) == name.as_ref())
            || team.name == TeamName::default_team()
    });
    let visible = |settings: &Settings| Settings {
        pools: Vec::new(),
        ..settings.clone()
    };
    ours.global = visible(&config.global);
    if let (Some(owner), Some(team)) = (owner, ours.teams.first_mut()) {
        team.settings = visible(&owner.settings);
    }
    ours.security = config.security.clone();
    ours.scheduler = config.scheduler.clone();
    ours.triggers = config.triggers.clone();
    // Whoever tries a DAG out wants to see that a callback fails, and not to wait until it goes well.
    ours.callbacks = config::Callbacks {
        tries: 1,
        ..config.callbacks.clone()
    };
    Ok(ours)
}

/// Puts settings and bundle in place.
async fn furnish(house: &House, test: &DagTest, bytes: Vec<u8>) -> Result<(), CliError> {
    let scope = Scope::Team(TeamName::default_team());
    for variable in &test.variables {
        house
            .vault
            .set_variable(&scope, variable)
            .await
            .map_err(CliError::room)?;
    }
    for connection in &test.connections {
        house
            .vault
            .set_connection(&scope, connection)
            .await
            .map_err(CliError::room)?;
    }
    house
        .shelf
        .put(&test.folder, bytes)
        .await
        .map_err(CliError::room)?;
    known(house, &test.dag_id).await
}

async fn in_house(
    house: &House,
    test: DagTest,
    on_task: &mut (dyn FnMut(TestedTask) -> Result<(), CliError> + Send),
) -> Result<TestedRun, CliError> {
    let run = triggered(house, test).await?;
    follow(house, &run, on_task).await
}

/// The run that a test is about.
pub(crate) async fn triggered(house: &House, test: DagTest) -> Result<RunRow, CliError> {
    let run = TriggerRun {
        // As Airflow's `dags test`: a run that stands for no time is not what most DAGs are written for.
        logical_date: Some(test.logical_date.unwrap_or_else(|| house.clock.now())),
        conf: test.conf,
        ..TriggerRun::now(test.dag_id)
    };
    house.handle.trigger(run).await.map_err(CliError::room)
}

/// Tells of task instances as they end, until the run has.
async fn follow(
    house: &House,
    run: &RunRow,
    on_task: &mut (dyn FnMut(TestedTask) -> Result<(), CliError> + Send),
) -> Result<TestedRun, CliError> {
    let mut changes = house.handle.watch();
    let mut told: HashSet<InstanceIndex> = HashSet::new();
    loop {
        changes.mark_unchanged();
        let now = house
            .store
            .run(&run.dag_id, &run.run_id)
            .await
            .map_err(CliError::room)?;
        for row in house
            .store
            .task_instances(run.key)
            .await
            .map_err(CliError::room)?
        {
            let Some(state) = row.fields.state.filter(|state| state.is_terminal()) else {
                continue;
            };
            if told.insert(row.index()) {
                on_task(
                    tested(house, run, &row, state)
                        .await
                        .map_err(CliError::room)?,
                )?;
            }
        }
        if let Some(ended) = now.filter(|run| run.state.is_terminal()) {
            let took = ended
                .ended_at
                .zip(ended.started_at)
                .map(|(end, start)| end.since(start));
            return Ok(TestedRun {
                run_id: ended.run_id,
                state: ended.state,
                duration: took.unwrap_or_default(),
                callbacks: called(house, &run.dag_id).await.map_err(CliError::room)?,
            });
        }
        if changes.changed().await.is_err() {
            return Err(CliError::room(ControlError::ShuttingDown));
        }
    }
}

/// All callbacks, when the last one has ended. Each ends, as its limits do not let it run for ever.
async fn called(house: &House, dag_id: &DagId) -> Result<Vec<TestedCallback>, StoreError> {
    let of_dag = CallbackFilter {
        dag_id: Some(dag_id.clone()),
        ..CallbackFilter::default()
    };
    loop {
        let all = house.store.callbacks(&of_dag, Page::ALL).await?.items;
        let open = |row: &CallbackRow| {
            matches!(row.state, CallbackState::Pending | CallbackState::Running)
        };
        if all.iter().any(open) {
            tokio::time::sleep(LOOK).await;
            continue;
        }
        let tested = |row: CallbackRow| TestedCallback {
            kind: row.kind,
            task: (row.subject.attempt).map(|attempt| (attempt.task_id, attempt.map_index)),
            deadline: row.subject.deadline.map(|(name, _)| name),
            state: row.state,
            note: row.note.map(|note| note.to_string()),
        };
        return Ok(all.into_iter().rev().map(tested).collect());
    }
}

/// The bundle's mistakes, if they leave no such DAG.
async fn known(house: &House, wanted: &DagId) -> Result<(), CliError> {
    if house
        .store
        .dag(wanted)
        .await
        .map_err(CliError::room)?
        .is_some_and(|dag| !dag.is_stale)
    {
        return Ok(());
    }
    let errors = house
        .store
        .import_errors(None)
        .await
        .map_err(CliError::room)?;
    let concerns = |dag: &Option<String>| dag.as_deref().is_none_or(|dag| dag == wanted.as_str());
    let texts: Vec<&str> = errors
        .iter()
        .filter(|e| concerns(&e.dag_id))
        .map(|e| e.message.as_str())
        .collect();
    if !texts.is_empty() {
        return Err(CliError::Failed(texts.join("\n")));
    }
    let dags = house
        .store
        .dags(&DagFilter::default(), Page::ALL)
        .await
        .map_err(CliError::room)?;
    let names: Vec<String> = dags
        .items
        .iter()
        .map(|dag| format!("`{}`", dag.dag_id))
        .collect();
    let there = if names.is_empty() {
        "none".to_owned()
    } else {
        names.join(", ")
    };
    Err(CliError::NotFound(format!(
        "the bundle has no DAG `{wanted}`; it has {there}"
    )))
}

/// All that a try has said.
pub(crate) async fn whole_log(house: &House, key: &TryKey) -> Result<Vec<Line>, StoreError> {
    let mut log = Vec::new();
    let mut from = 0;
    loop {
        let page = house.logs.read(key, from).await?;
        if page.lines.is_empty() {
            return Ok(log);
        }
        log.extend(page.lines);
        from = page.next;
    }
}

async fn tested(
    house: &House,
    run: &RunRow,
    row: &TaskRow,
    state: TaskState,
) -> Result<TestedTask, StoreError> {
    let fields = &row.fields;
    let key = TryKey {
        team: run.team.clone(),
        dag_id: run.dag_id.clone(),
        run_id: run.run_id.clone(),
        task_id: row.task_id.clone(),
        map_index: row.map_index,
        try_number: fields.try_number,
    };
    let log = whole_log(house, &key).await?;
    let xcoms = house
        .store
        .xcoms(&run.dag_id, &run.run_id, &row.task_id, row.map_index)
        .await?;
    let took = fields
        .ended_at
        .zip(fields.started_at)
        .map(|(end, start)| end.since(start));
    Ok(TestedTask {
        task_id: row.task_id.clone(),
        map_index: row.map_index,
        state,
        tries: fields.try_number,
        duration: took.unwrap_or_default(),
        note: fields.note.as_deref().map(str::to_owned),
        log,
        xcoms: xcoms
            .into_iter()
            .map(|xcom| (xcom.key, xcom.value.to_string()))
            .collect(),
    })
}
