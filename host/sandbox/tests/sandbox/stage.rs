//! A sandbox with two teams, and everything around it played by the test.

use std::{
    collections::{BTreeSet, HashMap},
    os::fd::OwnedFd,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use airlock_grant::{
    BundleLabel, Directory, Effective, Grant, HttpTarget, Permit, Request, UsedConnection,
    VariablePattern,
    port::{
        Body, Connections, Directories, DirectoryError, Egress, EgressError, EgressLimits,
        Variables,
        sql::{Databases, Rows, SqlError, SqlLimits, Statement, Transaction},
    },
};
use airlock_model::{
    audit::Denied,
    connection::{Connection, Variable},
    id::{
        BundleHash, BundleName, ConnectionId, DagId, MapIndex, RunId, RunKey, Scope, TaskId,
        TaskIndex, TaskInstanceKey, TeamName, Token, VariableKey,
    },
    log::{Line, TryKey},
    mask::Sensitive,
    outcome::{Failure, FailureKind, Outcome, Report},
    port::{
        DenialLog, Executor, LogPage, ParseError, ParsedBundle, Parser, Revealed, Settings,
        StoreError, SystemClock, TaskLogs, TryEvents, Work, XcomAddress, Xcoms,
    },
    state::RunType,
    time::Timestamp,
};
use airlock_sandbox::{
    CompileLimits, Compiler, ComponentSource, LoadError, Options, Ports, Sandbox, Sourced,
    TeamLimits,
};
use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::oneshot;

use crate::guests::guest;

/// What the test plays: all the ports, and the source of components.
#[derive(Default)]
pub(crate) struct World {
    pub(crate) lines: Mutex<Vec<(TryKey, Line)>>,
    pub(crate) variables: Mutex<HashMap<(String, String), String>>,
    pub(crate) connections: Mutex<HashMap<(String, String), Connection>>,
    pub(crate) xcoms: Mutex<HashMap<(String, String), String>>,
    pub(crate) sent: Mutex<Vec<String>>,
    pub(crate) source: Mutex<HashMap<BundleHash, Sourced>>,
    pub(crate) fetched: AtomicU64,
    pub(crate) denied: Mutex<Vec<Denied>>,
    /// What was looked up, by team and name.
    pub(crate) asked: Mutex<BTreeSet<(String, String)>>,
    /// What happens between the check of a directory and its use.
    pub(crate) opened: Mutex<Option<Box<dyn FnOnce() + Send>>>,
    /// The first variable that is asked for is given only when the test says so.
    pub(crate) paused: Mutex<Option<Pause>>,
    /// A component that was fetched is given only when the test says so.
    pub(crate) slow_source: Mutex<Option<Pause>>,
    /// What answers statements, where there is something.
    pub(crate) databases: Mutex<Option<airlock_capability::Databases>>,
    waiting: Mutex<HashMap<Token, oneshot::Sender<Report>>>,
    pub(crate) started: Mutex<Vec<Token>>,
}

/// Tells that somebody waits, and ends the waiting.
pub(crate) type Pause = (oneshot::Sender<()>, oneshot::Receiver<()>);

async fn pause(at: &Mutex<Option<Pause>>) {
    let pause = at.lock().unwrap().take();
    if let Some((reached, go_on)) = pause {
        reached.send(()).unwrap();
        // A test that is not interested any more lets go.
        let _ = go_on.await;
    }
}

impl DenialLog for World {
    fn denied(&self, denied: Denied) {
        self.denied.lock().unwrap().push(denied);
    }
}

#[async_trait]
impl Variables for World {
    async fn get(&self, permit: Permit<VariableKey>) -> Result<Option<Variable>, StoreError> {
        let name = (permit.team().to_string(), permit.item().to_string());
        self.asked.lock().unwrap().insert(name.clone());
        if name.1 == "broken" {
            return Err(StoreError::Corrupt("secret detail".into()));
        }
        let value = self.variables.lock().unwrap().get(&name).cloned();
        pause(&self.paused).await;
        Ok(value.map(|value| Variable {
            key: permit.into_item(),
            value: Sensitive::new(value),
            description: None,
        }))
    }

    async fn matching(&self, _: Permit<VariablePattern>) -> Result<Vec<Variable>, StoreError> {
        unreachable!("the sandbox asks for one at a time")
    }
}

#[async_trait]
impl Connections for World {
    async fn get(&self, permit: Permit<ConnectionId>) -> Result<Option<Connection>, StoreError> {
        let name = (permit.team().to_string(), permit.item().to_string());
        self.asked.lock().unwrap().insert(name.clone());
        Ok(self.connections.lock().unwrap().get(&name).cloned())
    }
}

/// As the databases look connections up.
#[async_trait]
impl Settings for World {
    async fn connection(
        &self,
        team: &TeamName,
        id: &ConnectionId,
    ) -> Result<Option<Revealed<Connection>>, StoreError> {
        let name = (team.to_string(), id.to_string());
        let found = self.connections.lock().unwrap().get(&name).cloned();
        Ok(found.map(|value| Revealed {
            value,
            scope: Scope::Team(team.clone()),
        }))
    }
    async fn lent_connection(
        &self,
        _: &TeamName,
        _: &ConnectionId,
    ) -> Result<Option<Revealed<Connection>>, StoreError> {
        unreachable!("nothing is lent here")
    }
    async fn variable(
        &self,
        _: &TeamName,
        _: &VariableKey,
    ) -> Result<Option<Revealed<Variable>>, StoreError> {
        unreachable!("variables have a port of their own")
    }
    async fn variables(
        &self,
        _: &TeamName,
        _: &str,
    ) -> Result<Vec<Revealed<Variable>>, StoreError> {
        unreachable!("variables have a port of their own")
    }
    async fn lent_variable(
        &self,
        _: &TeamName,
        _: &VariableKey,
    ) -> Result<Option<Revealed<Variable>>, StoreError> {
        unreachable!("variables have a port of their own")
    }
}

#[async_trait]
impl Databases for World {
    async fn find(&self, permit: Permit<UsedConnection>) -> Result<(), SqlError> {
        let id = permit.item().id().clone();
        let name = (permit.team().to_string(), id.to_string());
        self.asked.lock().unwrap().insert(name.clone());
        let known = self.connections.lock().unwrap().contains_key(&name);
        known.then_some(()).ok_or(SqlError::Unknown { id })
    }

    async fn execute(
        &self,
        permit: Permit<UsedConnection>,
        statement: Statement,
        limits: SqlLimits,
    ) -> Result<u64, SqlError> {
        let databases = self.databases.lock().unwrap().clone().unwrap();
        databases.execute(permit, statement, limits).await
    }

    async fn query(
        &self,
        permit: Permit<UsedConnection>,
        statement: Statement,
        limits: SqlLimits,
    ) -> Result<Box<dyn Rows>, SqlError> {
        let databases = self.databases.lock().unwrap().clone().unwrap();
        databases.query(permit, statement, limits).await
    }

    async fn begin(
        &self,
        permit: Permit<UsedConnection>,
        limits: SqlLimits,
    ) -> Result<Box<dyn Transaction>, SqlError> {
        let databases = self.databases.lock().unwrap().clone().unwrap();
        databases.begin(permit, limits).await
    }
}

impl Directories for World {
    fn open(&self, permit: Permit<Directory>) -> Result<OwnedFd, DirectoryError> {
        let opened = airlock_capability::Directories.open(permit);
        if let Some(then) = self.opened.lock().unwrap().take() {
            then();
        }
        opened
    }
}

#[async_trait]
impl Egress for World {
    async fn send(
        &self,
        permit: Permit<HttpTarget>,
        used: Option<Permit<UsedConnection>>,
        request: http::Request<Body>,
        _: EgressLimits,
    ) -> Result<http::Response<Body>, EgressError> {
        use http_body_util::BodyExt;
        let wanted = permit.item().to_string();
        if wanted.contains("//private.example") {
            let host = "private.example".to_owned();
            return Err(EgressError::Private { host });
        }
        // What is sent, by which connection, and that nobody else hears by which.
        assert!(!request.headers().contains_key("airlock-connection"));
        self.sent.lock().unwrap().push(match used {
            Some(used) => format!("{wanted} as {}", used.item().id()),
            None => wanted,
        });
        let body = http_body_util::Full::new(Bytes::from_static(b"{\"rate\":1.5}"));
        Ok(http::Response::new(
            body.map_err(|never| match never {}).boxed_unsync(),
        ))
    }
}

#[async_trait]
impl Xcoms for World {
    async fn pull(
        &self,
        team: &TeamName,
        address: &XcomAddress,
    ) -> Result<Option<Arc<str>>, StoreError> {
        let XcomAddress {
            dag_id,
            run_id,
            task_id,
            map_index,
            key,
        } = address;
        let path = format!("{dag_id}/{run_id}/{task_id}/{}/{key}", map_index.0);
        let value = self
            .xcoms
            .lock()
            .unwrap()
            .get(&(team.to_string(), path))
            .cloned();
        Ok(value.map(Into::into))
    }
}

#[async_trait]
impl TaskLogs for World {
    fn append(&self, of: &TryKey, lines: &[Line]) {
        let mut all = self.lines.lock().unwrap();
        all.extend(lines.iter().map(|line| (of.clone(), line.clone())));
    }
    async fn read(&self, _: &TryKey, _: u64) -> Result<LogPage, StoreError> {
        unreachable!("the sandbox does not read logs")
    }
    async fn grown(&self, _: &TryKey, _: u64) {
        unreachable!("the sandbox does not read logs")
    }
}

#[async_trait]
impl ComponentSource for World {
    async fn component(
        &self,
        _: &TeamName,
        _: &BundleName,
        hash: &BundleHash,
    ) -> Result<Option<Sourced>, Box<dyn std::error::Error + Send + Sync>> {
        self.fetched.fetch_add(1, Relaxed);
        let known = self.source.lock().unwrap().get(hash).cloned();
        pause(&self.slow_source).await;
        Ok(known)
    }
}

impl TryEvents for World {
    fn started(&self, _: TaskInstanceKey, token: Token, _: Timestamp) {
        self.started.lock().unwrap().push(token);
    }
    fn ended(&self, _: TaskInstanceKey, token: Token, _: Timestamp, report: Report) {
        let heard = self.waiting.lock().unwrap().remove(&token);
        // A test that no longer waits does not want to know.
        let _ = heard.expect("each end is told once").send(report);
    }
}

impl World {
    /// The messages of all logs.
    pub(crate) fn messages(&self) -> Vec<String> {
        let lines = self.lines.lock().unwrap();
        lines.iter().map(|(_, line)| line.message.clone()).collect()
    }

    pub(crate) fn set_variable(&self, team: &str, key: &str, value: &str) {
        let mut variables = self.variables.lock().unwrap();
        variables.insert((team.into(), key.into()), value.into());
    }
}

/// A sandbox on which teams play.
pub(crate) struct Stage {
    pub(crate) sandbox: Sandbox,
    pub(crate) world: Arc<World>,
    next: AtomicU64,
    folder: tempfile::TempDir,
}

/// One bundle version of one team.
#[derive(Clone)]
pub(crate) struct Bundle {
    pub(crate) team: TeamName,
    pub(crate) name: BundleName,
    pub(crate) hash: BundleHash,
}

pub(crate) fn compiler(limits: CompileLimits) -> Compiler {
    let none: [&str; 0] = [];
    Compiler::new(
        env!("CARGO_BIN_EXE_airlock-compile-component"),
        none,
        limits,
    )
}

pub(crate) fn team(name: &str) -> TeamName {
    TeamName::new(name).unwrap()
}

/// Limits small enough that hostile guests are stopped soon.
pub(crate) fn small() -> TeamLimits {
    TeamLimits {
        instances: 4,
        memory_per_instance: 32 << 20,
        memory: 64 << 20,
        threads: 1,
        parse_cpu_time: Duration::from_millis(200),
        task_cpu_time: Duration::from_millis(200),
        task_wall_time: Duration::from_secs(20),
        trigger_cpu_time: Duration::from_millis(200),
        callback_cpu_time: Duration::from_millis(200),
        log_bytes: 64 << 10,
        ..TeamLimits::default()
    }
}

pub(crate) fn request(toml: &str) -> Request {
    Request::from_bundle_toml(toml).unwrap()
}

/// What a component may reach.
pub(crate) fn effective(
    team: &TeamName,
    wasm: &[u8],
    request: &Request,
    grant: &Grant,
) -> Arc<Effective> {
    let label = BundleLabel {
        name: BundleName::new("bundle").unwrap(),
        version: "1.0.0".into(),
        hash: BundleHash::from_bytes(*blake3::hash(wasm).as_bytes()),
    };
    Arc::new(Effective::new(team.clone(), label, request, grant))
}

/// A part of `[[team.bundle]]`.
pub(crate) fn grant(toml: &str) -> Grant {
    toml::from_str(toml).unwrap()
}

/// Request and grant of everything that the hostile tasks import: what is named `granted`, and the folders
/// `in` (read) and `out` (read and write) below `folder`.
pub(crate) fn usual(folder: &std::path::Path) -> (Request, Grant) {
    let request = request(
        r#"
        [[request.variable]]
        key = "granted.*"
        [[request.variable]]
        key = "broken"
        [[request.connection]]
        id = "granted"
        access = "read"
        [[request.directory]]
        path = "in"
        [[request.directory]]
        path = "out"
        mode = "read-write"
        [[request.http]]
        url = "https://rates.example/*"
        "#,
    );
    let (read, write) = (folder.join("in"), folder.join("out"));
    let grant = grant(&format!(
        r#"
        [[variable]]
        key = "granted.*"
        [[variable]]
        key = "broken"
        [[connection]]
        id = "granted"
        access = "read"
        [[directory]]
        path = "in"
        host = {read:?}
        [[directory]]
        path = "out"
        host = {write:?}
        mode = "read-write"
        [[http]]
        url = "https://rates.example/*"
        "#
    ));
    (request, grant)
}

impl Stage {
    pub(crate) fn new() -> Self {
        Self::with(CompileLimits::default())
    }

    pub(crate) fn with(limits: CompileLimits) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self::at(folder, limits)
    }

    fn at(folder: tempfile::TempDir, limits: CompileLimits) -> Self {
        let world = Arc::new(World::default());
        let sandbox = Sandbox::new(Options {
            cache: folder.path().join("code"),
            compiler: compiler(limits),
            source: world.clone(),
            ports: Ports {
                clock: Arc::new(SystemClock),
                logs: world.clone(),
                xcoms: world.clone(),
                variables: world.clone(),
                connections: world.clone(),
                directories: world.clone(),
                egress: world.clone(),
                databases: world.clone(),
                denials: world.clone(),
            },
        })
        .unwrap();
        sandbox.set_events(world.clone());
        Self {
            sandbox,
            world,
            next: AtomicU64::new(1),
            folder,
        }
    }

    /// The same host after a restart: only the folder is left.
    pub(crate) fn restarted(self) -> Self {
        let Self {
            sandbox, folder, ..
        } = self;
        drop(sandbox);
        Self::at(folder, CompileLimits::default())
    }

    pub(crate) fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    pub(crate) fn add_team(&self, name: &str, limits: TeamLimits) -> TeamName {
        self.sandbox.add_team(team(name), limits).unwrap();
        team(name)
    }

    pub(crate) fn load(
        &self,
        team: &TeamName,
        wasm: Vec<u8>,
        request: &Request,
        grant: &Grant,
    ) -> Result<Bundle, LoadError> {
        let effective = effective(team, &wasm, request, grant);
        let bundle = Bundle {
            team: team.clone(),
            name: effective.bundle().name.clone(),
            hash: effective.bundle().hash,
        };
        let wasm = wasm.into();
        self.sandbox.load(Sourced { wasm, effective })?;
        Ok(bundle)
    }

    /// A guest with no grant at all.
    pub(crate) fn plain(&self, team: &TeamName, name: &str) -> Bundle {
        self.load(team, guest(name), &Request::default(), &Grant::default())
            .unwrap()
    }

    /// The hostile tasks with their usual grant, and its folders.
    pub(crate) fn hostile(&self, team: &TeamName) -> Bundle {
        let (request, grant) = usual(self.folder());
        for path in ["in", "out"] {
            std::fs::create_dir_all(self.folder().join(path)).unwrap();
        }
        std::fs::write(self.folder().join("in/a.txt"), "a granted file").unwrap();
        std::fs::write(self.folder().join("secret.txt"), "the host's own").unwrap();
        self.load(team, guest("hostile_tasks"), &request, &grant)
            .unwrap()
    }

    pub(crate) fn work(&self, bundle: &Bundle, entry: &str, arguments: &[&str]) -> Work {
        let token = self.next.fetch_add(1, Relaxed);
        Work {
            key: TaskInstanceKey {
                run: RunKey(uuid::Uuid::nil()),
                task: TaskIndex(0),
                map_index: MapIndex::UNMAPPED,
            },
            token: Token::stored(token),
            names: TryKey {
                team: bundle.team.clone(),
                dag_id: DagId::new("dag").unwrap(),
                run_id: RunId::new("run").unwrap(),
                task_id: TaskId::new("task").unwrap(),
                map_index: MapIndex::UNMAPPED,
                try_number: 1,
            },
            bundle: bundle.name.clone(),
            hash: bundle.hash,
            entry: entry.into(),
            arguments: arguments.iter().map(|&json| json.into()).collect(),
            run_type: RunType::Manual,
            max_tries: 1,
            logical_date: Some("2012-01-15".parse().unwrap()),
            data_interval: None,
            run_after: "2012-01-16".parse().unwrap(),
            params: "{}".into(),
            execution_timeout: None,
            first_started_at: None,
            is_latest: true,
            triggering_events: Vec::new(),
            inlet_events: Vec::new(),
            inlets: Vec::new(),
            outlets: Vec::new(),
            resume: None,
        }
    }

    /// Dispatches a try; the answer comes when it ends.
    pub(crate) fn dispatch(&self, work: Work) -> oneshot::Receiver<Report> {
        let (heard, hear) = oneshot::channel();
        self.world.waiting.lock().unwrap().insert(work.token, heard);
        self.sandbox.dispatch(work);
        hear
    }

    pub(crate) async fn report(&self, work: Work) -> Report {
        self.dispatch(work).await.unwrap()
    }

    /// Runs an entry to its end.
    pub(crate) async fn run(&self, bundle: &Bundle, entry: &str, arguments: &[&str]) -> Outcome {
        self.report(self.work(bundle, entry, arguments))
            .await
            .outcome
    }

    /// Runs an entry that must succeed, and gives what it returned.
    pub(crate) async fn value(&self, bundle: &Bundle, entry: &str, arguments: &[&str]) -> String {
        match self.run(bundle, entry, arguments).await {
            Outcome::Success { xcoms, .. } => {
                let returned = xcoms.iter().find(|(key, _)| key == "return_value");
                returned.map_or_else(String::new, |(_, json)| json.to_string())
            }
            other => panic!("{entry} did not succeed: {other:?}"),
        }
    }

    /// Runs an entry that must fail.
    pub(crate) async fn failure(&self, bundle: &Bundle, entry: &str) -> Failure {
        failed(self.run(bundle, entry, &[]).await)
    }

    pub(crate) async fn parse(&self, bundle: &Bundle) -> Result<ParsedBundle, ParseError> {
        self.sandbox
            .parse(&bundle.team, &bundle.name, &bundle.hash)
            .await
    }

    /// A figure of a team.
    pub(crate) fn metrics(&self, team: &TeamName) -> Arc<airlock_sandbox::TeamMetrics> {
        let all = self.sandbox.metrics();
        all.into_iter().find(|(name, _)| name == team).unwrap().1
    }
}

pub(crate) fn failed(outcome: Outcome) -> Failure {
    match outcome {
        Outcome::Failed(failure) => failure,
        other => panic!("it did not fail: {other:?}"),
    }
}

/// Checks what ended a try, and that its message has these parts.
pub(crate) fn assert_failure(failure: &Failure, kind: FailureKind, parts: &[&str]) {
    assert_eq!(failure.kind, kind, "{failure:?}");
    for part in parts {
        assert!(
            failure.message.contains(part),
            "`{part}` is not in {failure:?}"
        );
    }
}
