//! A world behind the API: every port over plain maps, and a count of every call that reached one.

mod assets;
mod control;
mod granting;
mod waiting;

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

use airlock_grant::{BundleLabel, Effective, Request};
use airlock_model::{
    audit::{AuditEntry, AuditHead, AuditRow},
    connection::{Connection, Pool, Variable},
    dag::{Argument, DagSpec, ParamSpec, Schedule, TaskSpec},
    grant::GrantRow,
    id::{
        BundleHash, BundleName, ConnectionId, DagId, DefinitionHash, MapIndex, PoolName, RunId,
        RunKey, Scope, TaskId, TaskIndex, TeamName, Token as Fence, VariableKey,
    },
    log::{Level, Line, Source, TryKey},
    port::*,
    state::{RunState, RunType, TaskState},
    time::Timestamp,
};
use async_trait::async_trait;

use crate::{
    ApiState, DagDefaults, InstancePools, Kept, PoolFigures, RequestFigures, Reviews,
    SettingsKeeper, Team,
    auth::{Keys, Reviewer, Token},
    review::Review,
};
use granting::share;

pub(in crate::tests) use waiting::id;

pub(super) const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// Whatever a store would hold.
#[derive(Default)]
pub(super) struct World {
    /// Calls that reached a port.
    pub(super) calls: AtomicU64,
    pub(super) dags: Mutex<Vec<StoredDag>>,
    pub(super) grants: Mutex<Vec<GrantRow>>,
    /// Besides the operator; to be set before the API starts.
    pub(super) reviewers: Mutex<Vec<Reviewer>>,
    pub(super) errors: Mutex<Vec<ImportError>>,
    pub(super) runs: Mutex<Vec<RunRow>>,
    pub(super) tasks: Mutex<Vec<TaskRow>>,
    pub(super) xcoms: Mutex<Vec<XcomRow>>,
    pub(super) log: Mutex<Vec<Line>>,
    pub(super) pools: Mutex<Vec<Pool>>,
    pub(super) pool_loads: Mutex<Vec<PoolLoad>>,
    pub(super) variables: Mutex<BTreeMap<(Scope, VariableKey), Kept<Variable>>>,
    pub(super) connections: Mutex<BTreeMap<(Scope, ConnectionId), Kept<Connection>>>,
    /// What was cleared and marked, and whether it was only asked about.
    pub(super) repairs: Mutex<Vec<(DagId, Selection, Repair, bool)>>,
    pub(super) backfills: Mutex<Vec<Backfill>>,
    pub(super) assets: Mutex<Vec<StoredAsset>>,
    pub(super) events: Mutex<Vec<AssetEvent>>,
    pub(super) queue: Mutex<Vec<QueueRow>>,
    pub(super) triggers: Mutex<Vec<TriggerRow>>,
    pub(super) callbacks: Mutex<Vec<CallbackRow>>,
    pub(super) deadlines: Mutex<Vec<DeadlineRow>>,
    pub(super) audited: Mutex<Vec<AuditRow>>,
    pub(super) sick: Mutex<bool>,
    /// The audit cannot be written.
    pub(super) unaudited: AtomicBool,
    /// Told when the log grew or a task moved.
    pub(super) moved: tokio::sync::Notify,
}

pub(super) fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

pub(super) fn team(name: &str) -> TeamName {
    TeamName::new(name).unwrap()
}

pub(super) fn asset_key(owner: &str, name: &str) -> AssetKey {
    AssetKey {
        team: team(owner),
        name: name.into(),
    }
}

pub(super) fn hash() -> BundleHash {
    BundleHash::from_bytes([7; 32])
}

fn task(id: &str, arguments: Vec<Argument>) -> TaskSpec {
    TaskSpec {
        task_id: id.into(),
        entry: id.into(),
        arguments,
        retries: 1,
        retry_delay: Duration::from_secs(30),
        ..TaskSpec::default()
    }
}

pub(super) fn dag(id: &str, owner: &str) -> StoredDag {
    StoredDag {
        dag_id: DagId::new(id).unwrap(),
        team: team(owner),
        bundle: BundleName::new(id).unwrap(),
        hash: hash(),
        spec: DagSpec {
            dag_id: id.into(),
            description: Some("A <b>DAG</b>".into()),
            schedule: Schedule::cron("@daily", None),
            start_date: Some(at("2012-01-01")),
            catchup: true,
            max_active_tasks: Some(3),
            tags: vec!["example".into()],
            owners: vec!["ann".into()],
            params: vec![ParamSpec {
                name: "n".into(),
                default: Some("3".into()),
                ..ParamSpec::default()
            }],
            tasks: vec![
                task("observe", Vec::new()),
                task("check", vec![Argument::Output("observe".into())]),
            ],
            ..DagSpec::default()
        },
        is_paused: false,
        is_stale: false,
        last_parsed: at("2024-01-01"),
    }
}

pub(super) fn line(text: &str) -> Line {
    Line {
        at: at("2024-01-01"),
        level: Level::Info,
        source: Source::Task,
        target: "weather".into(),
        message: text.into(),
        location: None,
    }
}

pub(super) const RUN: &str = "manual__2024-01-01T00:00:00+00:00";

impl World {
    /// Two teams, each with a DAG; a run of the first with a task instance that runs its first try.
    pub(super) fn new() -> Arc<Self> {
        let world = Self::default();
        *world.dags.lock().unwrap() = vec![dag("ledger", "payments"), dag("weather", "default")];
        let key = RunKey(uuid(1));
        *world.runs.lock().unwrap() = vec![run_row("weather", "default", RUN, key)];
        let fields = TaskFields {
            state: Some(TaskState::Running),
            try_number: 1,
            max_tries: 1,
            token: Fence::stored(1),
            queued_at: Some(at("2024-01-01")),
            started_at: Some(at("2024-01-01")),
            ended_at: None,
            next_try_at: None,
            note: None,
            failure: None,
            first_started_at: None,
            downstream: None,
            deferred: None,
        };
        let row = |task, task_id: &str, map_index| TaskRow {
            run: key,
            task: TaskIndex(task),
            task_id: TaskId::new(task_id).unwrap(),
            map_index,
            pool: PoolName::default_pool(),
            pool_slots: 1,
            priority: 2,
            fields: fields.clone(),
        };
        *world.tasks.lock().unwrap() = vec![
            row(0, "observe", MapIndex::UNMAPPED),
            row(1, "check", MapIndex(0)),
            row(1, "check", MapIndex(1)),
        ];
        assets::fill(&world);
        waiting::fill(&world);
        *world.xcoms.lock().unwrap() = vec![XcomRow {
            task_id: TaskId::new("observe").unwrap(),
            map_index: MapIndex::UNMAPPED,
            key: "return_value".into(),
            value: r#"{"rain":5.3}"#.into(),
            at: at("2024-01-01"),
        }];
        Arc::new(world)
    }

    pub(super) fn state(self: &Arc<Self>) -> ApiState {
        ApiState {
            dags: self.clone(),
            runs: self.clone(),
            backfills: self.clone(),
            assets: self.clone(),
            triggers: self.clone(),
            callbacks: self.clone(),
            deadlines: self.clone(),
            timetables: self.clone(),
            xcoms: self.clone(),
            bundles: self.clone(),
            logs: self.clone(),
            pools: self.clone(),
            pool_loads: self.clone(),
            configured_pools: Arc::new([(Scope::Global, PoolName::new("fixed").unwrap())].into()),
            settings: self.clone(),
            reviews: self.clone(),
            grants: self.clone(),
            granting: self.clone(),
            shares: [share()].into(),
            ownership: self.clone(),
            control: self.clone(),
            audit: self.clone(),
            instances: self.clone(),
            clock: self.clone(),
            teams: ["default", "payments"]
                .map(|name| Team {
                    name: team(name),
                    weight: 1,
                })
                .into(),
            defaults: DagDefaults {
                max_active_runs: 16,
                max_active_tasks: 16,
            },
            heartbeat_limit: Duration::from_secs(30),
            keys: Keys::new(&Token::new(TOKEN), &self.reviewers.lock().unwrap()),
            shutdown: tokio_util::sync::CancellationToken::new(),
            requests: RequestFigures::default(),
        }
    }

    fn called(&self) {
        self.calls.fetch_add(1, SeqCst);
    }
}

/// A UUID that differs by its last byte.
fn uuid(last: u8) -> uuid::Uuid {
    uuid::Uuid::from_u128(last.into())
}

pub(super) fn run_row(dag_id: &str, owner: &str, run_id: &str, key: RunKey) -> RunRow {
    RunRow {
        key,
        dag_id: DagId::new(dag_id).unwrap(),
        run_id: RunId::new(run_id).unwrap(),
        team: team(owner),
        run_type: RunType::Manual,
        state: RunState::Running,
        hash: hash(),
        definition: DefinitionHash::from_bytes([2; 32]),
        logical_date: None,
        data_interval: None,
        run_after: at("2024-01-01"),
        queued_at: at("2024-01-01"),
        started_at: Some(at("2024-01-01")),
        ended_at: None,
        conf: "{}".into(),
        ends_as: None,
        clear_number: 0,
        backfill: None,
        note: None,
    }
}

fn part<T>(items: Vec<T>, page: Page) -> Paged<T> {
    let total = items.len() as u64;
    let items = items
        .into_iter()
        .skip(page.offset as usize)
        .take(page.limit as usize)
        .collect();
    Paged { items, total }
}

#[async_trait]
impl DagStore for World {
    async fn replace(
        &self,
        _: &TeamName,
        _: &BundleName,
        _: &[StoredDag],
        _: &[ImportError],
    ) -> Result<(), StoreError> {
        unreachable!("the API does not import")
    }
    async fn owner(&self, _: &DagId) -> Result<Option<BundleName>, StoreError> {
        unreachable!("the API does not import")
    }
    async fn dag(&self, dag_id: &DagId) -> Result<Option<StoredDag>, StoreError> {
        self.called();
        let dags = self.dags.lock().unwrap();
        Ok(dags.iter().find(|dag| dag.dag_id == *dag_id).cloned())
    }
    async fn dags(&self, filter: &DagFilter, page: Page) -> Result<Paged<StoredDag>, StoreError> {
        self.called();
        let mut dags = self.dags.lock().unwrap().clone();
        dags.retain(|dag| {
            filter.team.as_ref().is_none_or(|team| dag.team == *team)
                && filter
                    .bundle
                    .as_ref()
                    .is_none_or(|name| dag.bundle == *name)
                && filter
                    .tag
                    .as_ref()
                    .is_none_or(|tag| dag.spec.tags.contains(tag))
                && (filter.include_stale || !dag.is_stale)
        });
        Ok(part(dags, page))
    }
    async fn definition(&self, _: &DefinitionHash) -> Result<Option<DagSpec>, StoreError> {
        unreachable!("the API shows the newest definition")
    }
    async fn set_paused(&self, dag_id: &DagId, paused: bool) -> Result<(), StoreError> {
        self.called();
        let mut dags = self.dags.lock().unwrap();
        for dag in dags.iter_mut().filter(|dag| dag.dag_id == *dag_id) {
            dag.is_paused = paused;
        }
        Ok(())
    }
    async fn delete(&self, _: &DagId) -> Result<(), StoreError> {
        unreachable!("the API asks the scheduler")
    }
    async fn transfer(&self, _: &DagId, _: &BundleName, _: &TeamName) -> Result<(), StoreError> {
        unreachable!("the API does not transfer")
    }
    async fn import_errors(&self, of: Option<&TeamName>) -> Result<Vec<ImportError>, StoreError> {
        self.called();
        let mut errors = self.errors.lock().unwrap().clone();
        errors.retain(|error| of.is_none_or(|team| error.team == *team));
        Ok(errors)
    }
}

#[async_trait]
impl RunStore for World {
    async fn commit(&self, _: &Batch) -> Result<(), CommitError> {
        unreachable!("the API writes no batch")
    }
    async fn unfinished(&self) -> Result<Vec<StoredRun>, StoreError> {
        unreachable!("the API adopts nothing")
    }
    async fn stored_run(&self, _: RunKey) -> Result<Option<StoredRun>, StoreError> {
        unreachable!("the API knows runs by name")
    }
    async fn progress(&self) -> Result<Vec<DagProgress>, StoreError> {
        self.called();
        Ok(Vec::new())
    }
    async fn run(&self, dag_id: &DagId, run_id: &RunId) -> Result<Option<RunRow>, StoreError> {
        self.called();
        let runs = self.runs.lock().unwrap();
        let found = runs
            .iter()
            .find(|run| run.dag_id == *dag_id && run.run_id == *run_id);
        Ok(found.cloned())
    }
    async fn run_at(&self, _: &DagId, _: Timestamp) -> Result<Option<RunRow>, StoreError> {
        unreachable!("the API knows runs by name")
    }
    async fn runs(&self, filter: &RunFilter, page: Page) -> Result<Paged<RunRow>, StoreError> {
        self.called();
        let mut runs = self.runs.lock().unwrap().clone();
        runs.retain(|run| {
            filter.dag_id.as_ref().is_none_or(|id| run.dag_id == *id)
                && filter.team.as_ref().is_none_or(|team| run.team == *team)
                && filter.backfill.is_none_or(|id| run.backfill == Some(id))
                && (filter.states.is_empty() || filter.states.contains(&run.state))
                && (filter.run_types.is_empty() || filter.run_types.contains(&run.run_type))
        });
        if filter.newest_first {
            runs.reverse();
        }
        Ok(part(runs, page))
    }
    async fn previous(
        &self,
        _: &DagId,
        _: Timestamp,
        _: bool,
    ) -> Result<Option<RunRow>, StoreError> {
        unreachable!("the API asks the scheduler")
    }
    async fn next_after(&self, _: &DagId, _: Timestamp) -> Result<Option<RunRow>, StoreError> {
        unreachable!("the API asks the scheduler")
    }
    async fn last_states(&self, _: &DagId, _: u32) -> Result<Vec<RunState>, StoreError> {
        unreachable!("the API asks the scheduler")
    }
    async fn had_task(&self, _: &DagId, _: &TaskId, _: Timestamp) -> Result<bool, StoreError> {
        unreachable!("the API asks the scheduler")
    }
    async fn set_note(&self, key: RunKey, note: Option<&str>) -> Result<(), StoreError> {
        self.called();
        let mut runs = self.runs.lock().unwrap();
        for run in runs.iter_mut().filter(|run| run.key == key) {
            run.note = note.map(Into::into);
        }
        Ok(())
    }
    async fn delete_run(&self, _: RunKey) -> Result<(), StoreError> {
        unreachable!("the API asks the scheduler")
    }
    async fn task_instances(&self, run: RunKey) -> Result<Vec<TaskRow>, StoreError> {
        self.called();
        let tasks = self.tasks.lock().unwrap();
        Ok(tasks
            .iter()
            .filter(|task| task.run == run)
            .cloned()
            .collect())
    }
    async fn durations(&self, _: &DagId, _: u32) -> Result<Vec<Duration>, StoreError> {
        unreachable!("the API counts no deadlines")
    }
    async fn run_counts(&self) -> Result<Vec<(DagId, RunState, u64)>, StoreError> {
        self.called();
        Ok(vec![
            (DagId::new("weather").unwrap(), RunState::Success, 1461),
            (DagId::new("ledger").unwrap(), RunState::Failed, 2),
        ])
    }
}

#[async_trait]
impl XcomStore for World {
    async fn xcom(&self, _: &TeamName, _: &XcomAddress) -> Result<Option<Arc<str>>, StoreError> {
        unreachable!("the API lists")
    }
    async fn xcom_of(
        &self,
        _: RunKey,
        _: TaskIndex,
        _: MapIndex,
        _: &str,
    ) -> Result<Option<Arc<str>>, StoreError> {
        unreachable!("the API lists")
    }
    async fn xcoms(
        &self,
        _: &DagId,
        _: &RunId,
        task_id: &TaskId,
        _: MapIndex,
    ) -> Result<Vec<XcomRow>, StoreError> {
        self.called();
        let rows = self.xcoms.lock().unwrap();
        Ok(rows
            .iter()
            .filter(|row| row.task_id == *task_id)
            .cloned()
            .collect())
    }
}

#[async_trait]
impl BundleStore for World {
    async fn activate(&self, _: &BundleVersion) -> Result<(), StoreError> {
        unreachable!("the API does not import")
    }
    async fn active(&self) -> Result<Vec<BundleVersion>, StoreError> {
        self.called();
        let dags = self.dags.lock().unwrap();
        let version = |dag: &StoredDag| BundleVersion {
            bundle: dag.bundle.clone(),
            team: dag.team.clone(),
            hash: dag.hash,
            version: "0.1.0".into(),
            created_at: at("2024-01-01"),
            active: true,
        };
        Ok(dags.iter().map(version).collect())
    }
    async fn versions(&self, bundle: &BundleName) -> Result<Vec<BundleVersion>, StoreError> {
        let mut active = self.active().await?;
        active.retain(|version| version.bundle == *bundle);
        Ok(active)
    }
    async fn version(&self, _: &BundleHash) -> Result<Option<BundleVersion>, StoreError> {
        unreachable!("the API knows bundles by name")
    }
    async fn is_parsed(&self, _: &ParseKey) -> Result<bool, StoreError> {
        unreachable!("the API does not parse")
    }
    async fn parse_result(&self, _: &ParseKey) -> Result<Option<ParseResult>, StoreError> {
        unreachable!("the API does not import")
    }
    async fn keep_parse_result(&self, _: &ParseKey, _: &ParseResult) -> Result<(), StoreError> {
        unreachable!("the API does not import")
    }
}

#[async_trait]
impl TaskLogs for World {
    fn append(&self, _: &TryKey, lines: &[Line]) {
        self.log.lock().unwrap().extend_from_slice(lines);
        self.moved.notify_waiters();
    }
    /// A byte position is the number of a line here.
    async fn read(&self, _: &TryKey, from: u64) -> Result<LogPage, StoreError> {
        self.called();
        let log = self.log.lock().unwrap();
        let lines: Vec<Line> = log.iter().skip(from as usize).take(2).cloned().collect();
        Ok(LogPage {
            next: from + lines.len() as u64,
            lines,
        })
    }
    async fn grown(&self, _: &TryKey, from: u64) {
        let moved = self.moved.notified();
        if self.log.lock().unwrap().len() as u64 <= from {
            moved.await;
        }
    }
}

#[async_trait]
impl PoolStore for World {
    async fn pools(&self) -> Result<Vec<Pool>, StoreError> {
        self.called();
        Ok(self.pools.lock().unwrap().clone())
    }
    async fn set_pool(&self, pool: &Pool) -> Result<(), StoreError> {
        self.called();
        let mut pools = self.pools.lock().unwrap();
        pools.retain(|old| (&old.scope, &old.name) != (&pool.scope, &pool.name));
        pools.push(pool.clone());
        Ok(())
    }
    async fn delete_pool(&self, scope: &Scope, name: &PoolName) -> Result<(), StoreError> {
        self.called();
        if *name == PoolName::default_pool() {
            return Err(StoreError::Refused("a default pool stays".into()));
        }
        let mut pools = self.pools.lock().unwrap();
        pools.retain(|pool| (&pool.scope, &pool.name) != (scope, name));
        Ok(())
    }
}

#[async_trait]
impl PoolLoads for World {
    async fn pool_loads(&self) -> Result<Vec<PoolLoad>, StoreError> {
        self.called();
        Ok(self.pool_loads.lock().unwrap().clone())
    }
}

#[async_trait]
impl SettingsKeeper for World {
    async fn variables(&self, scope: &Scope) -> Result<Vec<Kept<Variable>>, StoreError> {
        self.called();
        let kept = self.variables.lock().unwrap();
        let own = kept.iter().filter(|((of, _), _)| of == scope);
        Ok(own.map(|(_, kept)| kept.clone()).collect())
    }
    async fn variable(
        &self,
        scope: &Scope,
        key: &VariableKey,
    ) -> Result<Option<Kept<Variable>>, StoreError> {
        self.called();
        let kept = self.variables.lock().unwrap();
        Ok(kept.get(&(scope.clone(), key.clone())).cloned())
    }
    async fn set_variable(&self, scope: &Scope, variable: &Variable) -> Result<(), StoreError> {
        self.called();
        let kept = Kept {
            value: variable.clone(),
            configured: false,
        };
        let key = (scope.clone(), variable.key.clone());
        self.variables.lock().unwrap().insert(key, kept);
        Ok(())
    }
    async fn delete_variable(&self, scope: &Scope, key: &VariableKey) -> Result<(), StoreError> {
        self.called();
        let mut kept = self.variables.lock().unwrap();
        kept.remove(&(scope.clone(), key.clone()));
        Ok(())
    }
    async fn connections(&self, scope: &Scope) -> Result<Vec<Kept<Connection>>, StoreError> {
        self.called();
        let kept = self.connections.lock().unwrap();
        let own = kept.iter().filter(|((of, _), _)| of == scope);
        Ok(own.map(|(_, kept)| kept.clone()).collect())
    }
    async fn connection(
        &self,
        scope: &Scope,
        id: &ConnectionId,
    ) -> Result<Option<Kept<Connection>>, StoreError> {
        self.called();
        let kept = self.connections.lock().unwrap();
        Ok(kept.get(&(scope.clone(), id.clone())).cloned())
    }
    async fn set_connection(
        &self,
        scope: &Scope,
        connection: &Connection,
    ) -> Result<(), StoreError> {
        self.called();
        let kept = Kept {
            value: connection.clone(),
            configured: false,
        };
        let key = (scope.clone(), connection.id.clone());
        self.connections.lock().unwrap().insert(key, kept);
        Ok(())
    }
    async fn delete_connection(&self, scope: &Scope, id: &ConnectionId) -> Result<(), StoreError> {
        self.called();
        let mut kept = self.connections.lock().unwrap();
        kept.remove(&(scope.clone(), id.clone()));
        Ok(())
    }
}

#[async_trait]
impl Reviews for World {
    async fn review(&self, bundle: &BundleName) -> Result<Option<Review>, StoreError> {
        self.called();
        Ok((bundle.as_str() == "weather").then(|| Review {
            name: "weather".into(),
            version: "0.1.0".into(),
            hash: hash().to_string(),
            size: 7,
            made_with: Vec::new(),
            phases: Vec::new(),
            team_name: Some("default".into()),
            automatic: true,
            undecided: false,
            rows: Vec::new(),
            unasked: Vec::new(),
            imports: Vec::new(),
            refused: Vec::new(),
        }))
    }

    async fn effective(&self, bundle: &BundleName) -> Result<Option<Arc<Effective>>, StoreError> {
        self.called();
        let label = BundleLabel {
            name: bundle.clone(),
            version: "0.1.0".into(),
            hash: hash(),
        };
        let request = Request::from_bundle_toml("[[request.variable]]\nkey = \"granted\"").unwrap();
        let effective = Effective::grant_all(label, &request, std::path::Path::new("/srv"));
        Ok((bundle.as_str() == "weather").then(|| Arc::new(effective)))
    }
}

#[async_trait]
impl AuditStore for World {
    async fn append_audit(&self, entries: &[AuditEntry]) -> Result<Vec<AuditRow>, StoreError> {
        if self.unaudited.load(SeqCst) {
            return Err(StoreError::Corrupt("the audit is torn".into()));
        }
        let mut audited = self.audited.lock().unwrap();
        for entry in entries {
            let head = audited.last().map_or(AuditHead::EMPTY, AuditRow::head);
            audited.push(head.chain(entry.clone()));
        }
        Ok(audited[audited.len() - entries.len()..].to_vec())
    }

    async fn audit(&self, filter: &AuditFilter, page: Page) -> Result<Paged<AuditRow>, StoreError> {
        self.called();
        let audited = self.audited.lock().unwrap();
        let wanted = |row: &&AuditRow| {
            let AuditFilter {
                team,
                bundle,
                action,
                since,
            } = filter;
            let entry = &row.entry;
            (team.is_none() || *team == entry.team)
                && (bundle.is_none() || *bundle == entry.bundle)
                && action.is_none_or(|action| action == entry.action)
                && since.is_none_or(|since| since <= entry.at)
        };
        Ok(part(
            audited.iter().rev().filter(wanted).cloned().collect(),
            page,
        ))
    }

    async fn audit_from(&self, _: u64, _: u32) -> Result<Vec<AuditRow>, StoreError> {
        unreachable!("the API gives rows newest first")
    }

    async fn audit_head(&self) -> Result<AuditHead, StoreError> {
        unreachable!("only whoever verifies asks")
    }
}

impl InstancePools for World {
    fn figures(&self) -> Vec<PoolFigures> {
        vec![PoolFigures {
            team: team("payments"),
            instances: 1,
            instances_limit: 32,
            waiting: 0,
            memory: 4096,
            memory_limit: 1 << 30,
            cpu_micros: 77,
            denials: vec![("variable", 0), ("http", 1)],
            ends: vec![("success", 5), ("cpu_time", 2)],
        }]
    }
}

impl Clock for World {
    fn now(&self) -> Timestamp {
        at("2024-01-01T00:00:05Z")
    }
}
