//! What a call costs: the whole life of an instance (made, called with 1 KiB, dropped) in the sandbox,
//! beside bare wasmtime with the same component and engine configuration; what a spinning neighbour
//! changes; what loading costs; and what a granted capability's call costs beside the same call into a bare function.
//!
//! The guest is `hostile_tasks`, whose `echo` gives its argument back, and for single calls `calls`, which makes as many
//! as it is told; `tests/guests` must be compiled.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "figures that cannot be had end the program"
)]

use std::{
    path::Path,
    sync::{Arc, Mutex, atomic::Ordering::Relaxed, mpsc},
    time::{Duration, Instant},
};

use airlock_grant::{
    BundleLabel, Effective, Grant, HttpTarget, Permit, Request, UsedConnection, VariablePattern,
    port::{
        Body, Connections, Egress, EgressError, EgressLimits, Variables,
        sql::{Databases, Rows, SqlError, SqlLimits, Statement, Transaction},
    },
};
use airlock_model::{
    audit::Denied,
    connection::{Connection, Variable},
    id::{
        BundleHash, BundleName, ConnectionId, DagId, MapIndex, RunId, RunKey, TaskId, TaskIndex,
        TaskInstanceKey, TeamName, Token, VariableKey,
    },
    log::{Line, TryKey},
    outcome::Report,
    port::{
        DenialLog, Executor, LogPage, StoreError, SystemClock, TaskLogs, TryEvents, Work,
        XcomAddress, Xcoms,
    },
    state::RunType,
    time::Timestamp,
};
use airlock_sandbox::{
    CompileLimits, Compiler, ComponentSource, Options, Ports, Sandbox, Sourced, TeamLimits,
    engine_config,
};
use async_trait::async_trait;
use bindings::airlock::capability::{errors::Error, variables};
use wasmtime::{
    Engine, Store,
    component::{Component, HasSelf, Linker, ResourceTable},
};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

mod bindings {
    wasmtime::component::bindgen!({
        path: ["../../wit/capability", "../../wit/bundle"],
        world: "airlock:bundle/task-bundle",
        exports: { default: async },
    });
}

const WARM: usize = 200;
const CALLS: usize = 2000;
const ROUNDS: usize = 5;
/// Calls into the host by one instance.
const TIMES: u32 = 10_000;
/// The first token of a spinning team.
const SPINNING: u64 = 1 << 32;

fn main() {
    let wasm = guest("hostile_tasks");
    let argument = format!("\"{}\"", "x".repeat(1022));
    let limits = TeamLimits::default();

    // In turns, so that whatever else the machine does meets both.
    let (bare, stage) = (Bare::new(&wasm, &limits), Stage::new(wasm, limits));
    let (mut alone, mut sandbox, mut quiet) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        alone.extend(bare.measure(&argument));
        let (ran, took) = stage.measure(&argument);
        sandbox.extend(ran);
        quiet.extend(took);
    }
    for figures in [&mut alone, &mut sandbox, &mut quiet] {
        figures.sort();
    }
    println!("bare wasmtime   {}", figures(&alone));
    println!("sandbox         {}", figures(&sandbox));
    println!("ratio           {:.2}", ratio(&sandbox, &alone));
    println!(
        "dispatched at once, calls per second: {:.0}",
        stage.burst(&argument)
    );
    println!("from dispatch to end, one after the other");
    println!("quiet           {}", figures(&quiet));
    let spinning = stage.spin();
    let (_, mut loud) = stage.measure(&argument);
    loud.sort();
    println!("beside a team that spins on all its slots");
    println!("                {}", figures(&loud));
    println!("ratio           {:.2}", ratio(&loud, &quiet));
    drop(spinning);
    let ready = stage.load_many(100);
    println!(
        "loading 100 bundles that are compiled: {:.1} ms",
        ready.as_secs_f64() * 1e3
    );
    single_calls();
}

fn guest(name: &str) -> Vec<u8> {
    let guest = format!("../../tests/guests/target/wasm32-wasip2/release/{name}.wasm");
    let guest = Path::new(env!("CARGO_MANIFEST_DIR")).join(guest);
    std::fs::read(&guest).expect("compile tests/guests first")
}

/// What one call costs: the difference between an instance that makes many and one that makes none.
fn single_calls() {
    let (wasm, limits) = (guest("calls"), TeamLimits::default());
    let (bare, stage) = (Bare::new(&wasm, &limits), Stage::new(wasm, limits));
    let each = |took: &mut dyn FnMut(&str) -> Duration| -> f64 {
        let mut rounds: Vec<f64> = (0..31)
            .map(|_| {
                let none = took("0").as_secs_f64();
                let many = took(&TIMES.to_string()).as_secs_f64();
                (many - none) / f64::from(TIMES) * 1e9
            })
            .collect();
        rounds.sort_by(f64::total_cmp);
        rounds[rounds.len() / 2]
    };
    println!("one call into the host, median of 31 times {TIMES}");
    let alone = each(&mut |times| bare.one("variable", times));
    let granted = each(&mut |times| stage.one("variable", times));
    let inert = each(&mut |times| stage.one("clock", times));
    println!("variables.get of a bare function                    {alone:6.0} ns");
    println!("the same in the sandbox, granted, of an empty port  {granted:6.0} ns");
    println!("monotonic-clock.now in the sandbox                  {inert:6.0} ns");
}

fn at(sorted: &[Duration], hundredths: usize) -> Duration {
    sorted[(sorted.len() - 1) * hundredths / 100]
}

fn figures(sorted: &[Duration]) -> String {
    let us = |hundredths| at(sorted, hundredths).as_secs_f64() * 1e6;
    format!("median {:7.1} us   99th {:7.1} us", us(50), us(99))
}

fn ratio(one: &[Duration], other: &[Duration]) -> f64 {
    at(one, 50).as_secs_f64() / at(other, 50).as_secs_f64()
}

/// What bare wasmtime needs to run the component: WASI, and nothing of Airlock's.
#[derive(Clone)]
struct Bare {
    runtime: Arc<tokio::runtime::Runtime>,
    engine: Engine,
    pre: bindings::TaskBundlePre<Host>,
}

struct Host {
    table: ResourceTable,
    wasi: WasiCtx,
}

impl WasiView for Host {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

/// The bare function: takes the key, and gives nothing.
impl variables::Host for Host {
    fn get(&mut self, _: String) -> Result<Option<String>, Error> {
        Ok(None)
    }
}

impl Bare {
    fn new(wasm: &[u8], limits: &TeamLimits) -> Self {
        let engine = Engine::new(&engine_config(limits)).unwrap();
        let component = Component::new(&engine, wasm).unwrap();
        let mut linker = Linker::new(&engine);
        wasmtime_wasi::p2::add_to_linker_async(&mut linker).unwrap();
        variables::add_to_linker::<_, HasSelf<_>>(&mut linker, |host| host).unwrap();
        linker.define_unknown_imports_as_traps(&component).unwrap();
        let pre = linker.instantiate_pre(&component).unwrap();
        let pre = bindings::TaskBundlePre::new(pre).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        Self {
            runtime: Arc::new(runtime),
            engine,
            pre,
        }
    }

    async fn call(&self, entry: &str, argument: &str) {
        let host = Host {
            table: ResourceTable::new(),
            wasi: WasiCtx::builder().build(),
        };
        let mut store = Store::new(&self.engine, host);
        store.set_epoch_deadline(1_000_000);
        let instance = self.pre.instantiate_async(&mut store).await.unwrap();
        let answer = instance
            .airlock_bundle_tasks()
            .call_run(&mut store, entry, &context(), &[argument.to_owned()])
            .await;
        assert!(answer.unwrap().is_ok());
    }

    fn measure(&self, argument: &str) -> Vec<Duration> {
        let (bare, argument) = (self.clone(), argument.to_owned());
        let calls = self.runtime.spawn(async move {
            let mut took = Vec::with_capacity(CALLS);
            for number in 0..WARM + CALLS {
                let begin = Instant::now();
                bare.call("echo", &argument).await;
                if number >= WARM {
                    took.push(begin.elapsed());
                }
            }
            took
        });
        self.runtime.block_on(calls).unwrap()
    }
}

impl Bare {
    /// One call of this entry.
    fn one(&self, entry: &str, argument: &str) -> Duration {
        let (bare, entry, argument) = (self.clone(), entry.to_owned(), argument.to_owned());
        let call = self.runtime.spawn(async move {
            let begin = Instant::now();
            bare.call(&entry, &argument).await;
            begin.elapsed()
        });
        self.runtime.block_on(call).unwrap()
    }
}

fn context() -> bindings::exports::airlock::bundle::tasks::Context {
    bindings::exports::airlock::bundle::tasks::Context {
        dag_id: "dag".into(),
        run_id: "manual__2012-01-15T00:00:00+00:00".into(),
        run_type: "manual".into(),
        task_id: "task".into(),
        map_index: -1,
        try_number: 1,
        max_tries: 1,
        token: 1,
        logical_date: None,
        data_interval_start: None,
        data_interval_end: None,
        run_after: 0,
        params: "{}".into(),
        first_started_at: 0,
        is_latest: true,
        triggering_asset_events: Vec::new(),
        inlet_events: Vec::new(),
        resumed: None,
    }
}

/// The sandbox, with ports that hold nothing.
struct Stage {
    sandbox: Sandbox,
    work: Work,
    wasm: Vec<u8>,
    reports: Mutex<mpsc::Receiver<Report>>,
    _folder: tempfile::TempDir,
}

impl Stage {
    fn new(wasm: Vec<u8>, limits: TeamLimits) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (nothing, none) = (Arc::new(Nothing), [""; 0]);
        let program = env!("CARGO_BIN_EXE_airlock-compile-component");
        let sandbox = Sandbox::new(Options {
            cache: folder.path().join("code"),
            compiler: Compiler::new(program, none, CompileLimits::default()),
            source: nothing.clone(),
            ports: Ports {
                clock: Arc::new(SystemClock),
                logs: nothing.clone(),
                xcoms: nothing.clone(),
                variables: nothing.clone(),
                connections: nothing.clone(),
                directories: Arc::new(airlock_capability::Directories),
                egress: nothing.clone(),
                databases: nothing.clone(),
                denials: nothing,
            },
        })
        .unwrap();
        let (tell, reports) = mpsc::channel();
        sandbox.set_events(Arc::new(Told(tell)));
        let team = TeamName::default_team();
        sandbox.add_team(team.clone(), limits).unwrap();
        let effective = effective(&team, &wasm);
        let work = work(&effective);
        let bytes = wasm.clone().into();
        let sourced = Sourced {
            wasm: bytes,
            effective,
        };
        sandbox.load(sourced).unwrap();
        Self {
            wasm,
            sandbox,
            work,
            reports: Mutex::new(reports),
            _folder: folder,
        }
    }

    fn dispatch(&self, argument: &Arc<str>, number: usize) {
        self.sandbox.dispatch(Work {
            token: Token::stored(number as u64),
            arguments: vec![Arc::clone(argument)],
            ..self.work.clone()
        });
    }

    /// The time on the pool's thread, and that from dispatch to end, of each call.
    fn measure(&self, argument: &str) -> (Vec<Duration>, Vec<Duration>) {
        let (argument, reports) = (argument.into(), self.reports.lock().unwrap());
        let (mut ran, mut took) = (Vec::with_capacity(CALLS), Vec::with_capacity(CALLS));
        for number in 0..WARM + CALLS {
            let begin = Instant::now();
            self.dispatch(&argument, number);
            let report = reports.recv().unwrap();
            if number >= WARM {
                ran.push(report.ran);
                took.push(begin.elapsed());
            }
        }
        (ran, took)
    }

    /// The time on the pool's thread of one try of this entry.
    fn one(&self, entry: &str, argument: &str) -> Duration {
        self.sandbox.dispatch(Work {
            entry: entry.into(),
            arguments: vec![argument.into()],
            ..self.work.clone()
        });
        self.reports.lock().unwrap().recv().unwrap().ran
    }

    /// How long it takes to check so many bundles and to take them in.
    fn load_many(&self, bundles: usize) -> Duration {
        let effective = effective(&TeamName::default_team(), &self.wasm);
        let begin = Instant::now();
        for _ in 0..bundles {
            let (wasm, effective) = (self.wasm.clone().into(), Arc::clone(&effective));
            self.sandbox.load(Sourced { wasm, effective }).unwrap();
        }
        begin.elapsed()
    }

    /// Another team, all of whose instances run an endless loop until the answer is dropped.
    fn spin(&self) -> Spinning<'_> {
        let team = TeamName::new("spinning").unwrap();
        let limits = TeamLimits {
            task_cpu_time: Duration::from_secs(3600),
            ..TeamLimits::default()
        };
        let instances = u64::from(limits.instances);
        self.sandbox.add_team(team.clone(), limits).unwrap();
        let effective = effective(&team, &self.wasm);
        let wasm = self.wasm.clone().into();
        self.sandbox.load(Sourced { wasm, effective }).unwrap();
        let mut work = self.work.clone();
        (work.names.team, work.entry) = (team, "busy".into());
        for number in 0..instances {
            work.token = Token::stored(SPINNING + number);
            self.sandbox.dispatch(work.clone());
        }
        let active = || {
            self.sandbox
                .metrics()
                .iter()
                .map(|(_, m)| m.active.load(Relaxed))
                .sum::<u64>()
        };
        while active() != instances {
            std::thread::sleep(Duration::from_millis(1));
        }
        Spinning(self, instances)
    }

    fn burst(&self, argument: &str) -> f64 {
        let (argument, reports) = (argument.into(), self.reports.lock().unwrap());
        let begin = Instant::now();
        for number in 0..CALLS {
            self.dispatch(&argument, number);
        }
        for _ in 0..CALLS {
            reports.recv().unwrap();
        }
        CALLS as f64 / begin.elapsed().as_secs_f64()
    }
}

struct Spinning<'a>(&'a Stage, u64);

impl Drop for Spinning<'_> {
    fn drop(&mut self) {
        for number in 0..self.1 {
            let token = Token::stored(SPINNING + number);
            self.0.sandbox.kill(self.0.work.key, token);
        }
    }
}

fn effective(team: &TeamName, wasm: &[u8]) -> Arc<Effective> {
    let label = BundleLabel {
        name: BundleName::new("bundle").unwrap(),
        version: "1.0.0".into(),
        hash: BundleHash::from_bytes(*blake3::hash(wasm).as_bytes()),
    };
    let request = Request::from_bundle_toml(
        "[[request.variable]]\nkey = \"v\"\n[[request.connection]]\nid = \"c\"\naccess = \"read\"\n[[request.directory]]\npath = \"d\"\nmode = \"read\"\n",
    )
    .unwrap();
    let grant: Grant = toml::from_str(
        "[[variable]]\nkey = \"v\"\n[[connection]]\nid = \"c\"\naccess = \"read\"\n[[directory]]\npath = \"d\"\nhost = \"/\"\ntasks = [\"another\"]\n",
    )
    .unwrap();
    Arc::new(Effective::new(team.clone(), label, &request, &grant))
}

fn work(effective: &Effective) -> Work {
    let names = context();
    Work {
        key: TaskInstanceKey {
            run: RunKey(uuid::Uuid::nil()),
            task: TaskIndex(0),
            map_index: MapIndex::UNMAPPED,
        },
        token: Token::stored(1),
        names: TryKey {
            team: effective.team().clone(),
            dag_id: DagId::new(names.dag_id).unwrap(),
            run_id: RunId::new(names.run_id).unwrap(),
            task_id: TaskId::new(names.task_id).unwrap(),
            map_index: MapIndex::UNMAPPED,
            try_number: 1,
        },
        bundle: effective.bundle().name.clone(),
        hash: effective.bundle().hash,
        entry: "echo".into(),
        arguments: Vec::new(),
        run_type: RunType::Manual,
        max_tries: 1,
        logical_date: None,
        data_interval: None,
        run_after: "2012-01-15".parse().unwrap(),
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

struct Told(mpsc::Sender<Report>);

impl TryEvents for Told {
    fn started(&self, _: TaskInstanceKey, _: Token, _: Timestamp) {}
    fn ended(&self, _: TaskInstanceKey, _: Token, _: Timestamp, report: Report) {
        // Of what is killed at the end nobody wants to hear.
        let _ = self.0.send(report);
    }
}

struct Nothing;

impl DenialLog for Nothing {
    fn denied(&self, _: Denied) {}
}

#[async_trait]
impl Variables for Nothing {
    async fn get(&self, _: Permit<VariableKey>) -> Result<Option<Variable>, StoreError> {
        Ok(None)
    }
    async fn matching(&self, _: Permit<VariablePattern>) -> Result<Vec<Variable>, StoreError> {
        Ok(Vec::new())
    }
}

#[async_trait]
impl Connections for Nothing {
    async fn get(&self, _: Permit<ConnectionId>) -> Result<Option<Connection>, StoreError> {
        Ok(None)
    }
}

#[async_trait]
impl Databases for Nothing {
    async fn find(&self, _: Permit<UsedConnection>) -> Result<(), SqlError> {
        Err(SqlError::Lost)
    }
    async fn execute(
        &self,
        _: Permit<UsedConnection>,
        _: Statement,
        _: SqlLimits,
    ) -> Result<u64, SqlError> {
        Err(SqlError::Lost)
    }
    async fn query(
        &self,
        _: Permit<UsedConnection>,
        _: Statement,
        _: SqlLimits,
    ) -> Result<Box<dyn Rows>, SqlError> {
        Err(SqlError::Lost)
    }
    async fn begin(
        &self,
        _: Permit<UsedConnection>,
        _: SqlLimits,
    ) -> Result<Box<dyn Transaction>, SqlError> {
        Err(SqlError::Lost)
    }
}

#[async_trait]
impl Egress for Nothing {
    async fn send(
        &self,
        _: Permit<HttpTarget>,
        _: Option<Permit<UsedConnection>>,
        _: http::Request<Body>,
        _: EgressLimits,
    ) -> Result<http::Response<Body>, EgressError> {
        Err(EgressError::Protocol("there is no network here".into()))
    }
}

#[async_trait]
impl Xcoms for Nothing {
    async fn pull(&self, _: &TeamName, _: &XcomAddress) -> Result<Option<Arc<str>>, StoreError> {
        Ok(None)
    }
}

#[async_trait]
impl TaskLogs for Nothing {
    fn append(&self, _: &TryKey, _: &[Line]) {}
    async fn read(&self, _: &TryKey, from: u64) -> Result<LogPage, StoreError> {
        Ok(LogPage {
            lines: Vec::new(),
            next: from,
        })
    }
    async fn grown(&self, _: &TryKey, _: u64) {}
}

#[async_trait]
impl ComponentSource for Nothing {
    async fn component(
        &self,
        _: &TeamName,
        _: &BundleName,
        _: &BundleHash,
    ) -> Result<Option<Sourced>, Box<dyn std::error::Error + Send + Sync>> {
        Ok(None)
    }
}
