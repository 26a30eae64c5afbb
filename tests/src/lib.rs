//! What whole-system tests share: a host that is really started, an API that is really called, a command
//! line that is really run.
//!
//! Nothing here waits by sleeping for a fixed time: a host is ready when it says so on its standard output,
//! and a run has ended when the API says so.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "support of tests: what cannot go on is to fail, loudly"
)]

use std::{
    fmt::Write as _,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;

/// How long a test waits for anything before it fails.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// The root of the checkout.
#[must_use]
pub fn checkout() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The binary under test: what AIRLOCK_BINARY names, else the one that the workspace's build puts beside the
/// tests.
///
/// # Panics
/// When it has not been built.
#[must_use]
pub fn airlock() -> PathBuf {
    if let Some(binary) = std::env::var_os("AIRLOCK_BINARY") {
        return binary.into();
    }
    let here = std::env::current_exe().unwrap_or_default();
    let beside = here
        .ancestors()
        .skip(1)
        .map(|folder| folder.join("airlock"));
    let binary = beside.take(2).find(|binary| binary.is_file());
    binary.expect("the binary is missing: run `cargo build --workspace`")
}

/// A built example bundle.
#[must_use]
pub fn example(name: &str) -> PathBuf {
    built(&checkout().join("bundles"), name)
}

/// A team with the examples' bundle, which is granted what it asks for: an inbox and an outbox in this folder, and a
/// server that is there only if the test serves it.
///
/// # Panics
/// When the two directories cannot be made.
#[must_use]
pub fn examples(team: &str, folder: &Path) -> String {
    let mut config = format!(
        "[[team]]\nname = \"{team}\"\n[[team.bundle]]\nname = \"examples\"\nsource = \"{}\"\n\
         [[team.bundle.grant.http]]\nurl = \"http://127.0.0.1:18181/*\"\nmethods = [\"GET\"]\n\
         [[team.bundle.grant.http]]\nurl = \"http://127.0.0.1:18182/*\"\n\
         [[team.bundle.grant.connection]]\nid = \"service\"\n",
        example("examples").display()
    );
    for (path, mode) in [("inbox", "read"), ("outbox", "read-write")] {
        let host = folder.join(path);
        std::fs::create_dir_all(&host).expect("a directory");
        let host = host.display();
        write!(
            config,
            "[[team.bundle.grant.directory]]\npath = \"{path}\"\nhost = \"{host}\"\nmode = \"{mode}\"\n"
        )
        .expect("a string takes it");
    }
    config + &examples_assets()
}

/// The grant of all assets of the examples' bundle.
#[must_use]
pub fn examples_assets() -> String {
    let texts = [
        "prices",
        "s3://market/*",
        "rates",
        "report*",
        "inbox",
        "releases",
        "http://127.0.0.1:18181/*",
    ];
    let grant = |name: &str, access: &str| {
        format!("[[team.bundle.grant.asset]]\nname = \"{name}\"\naccess = \"{access}\"\n")
    };
    let both = |name: &&str| grant(name, "consume") + &grant(name, "produce");
    texts.iter().map(both).collect()
}

/// A built test guest, with its `bundle.toml` embedded.
#[must_use]
pub fn guest(name: &str) -> PathBuf {
    built(&checkout().join("tests/guests"), name)
}

/// A compiled test guest that brings no `bundle.toml`, with this text embedded as one, in a file in `folder`.
///
/// # Panics
/// When the guest has not been compiled (`make guests`).
#[must_use]
pub fn guest_with(folder: &Path, guest: &str, manifest: &str) -> PathBuf {
    let file = checkout().join(format!(
        "tests/guests/target/wasm32-wasip2/release/{guest}.wasm"
    ));
    let wasm = std::fs::read(&file)
        .unwrap_or_else(|_| panic!("{} is missing: run `make guests`", file.display()));
    let bundle = airlock_bundle::embed(&wasm, manifest).expect("a component and a bundle.toml");
    let path = folder.join(format!("{guest}.wasm"));
    std::fs::write(&path, bundle).expect("the bundle is written");
    path
}

/// Builds a bundle as its author would.
///
/// # Panics
/// When it cannot be built.
fn built(workspace: &Path, name: &str) -> PathBuf {
    let folder = [workspace.join(name), workspace.join("hostile").join(name)];
    let folder = folder.into_iter().find(|folder| folder.exists());
    let folder =
        folder.unwrap_or_else(|| panic!("there is no bundle {name} in {}", workspace.display()));
    let home = TempDir::new().expect("a temporary folder");
    let out = Command::new(airlock())
        .args(["bundle", "build", "--output", "json"])
        .arg(&folder)
        .env("AIRLOCK_HOME", home.path())
        .output()
        .expect("the binary starts");
    assert!(
        out.status.success(),
        "{name}: {}",
        String::from_utf8_lossy(&out.stderr)
    );
    let told: Value = serde_json::from_slice(&out.stdout).expect("bundle build prints JSON");
    PathBuf::from(told["path"].as_str().expect("with the component's path"))
}

/// A running host in a home of its own.
pub struct Host {
    child: Child,
    /// Where its state lies.
    pub home: PathBuf,
    address: String,
    token: String,
    client: reqwest::Client,
    _own_home: Option<TempDir>,
}

impl std::fmt::Debug for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Host({}, {})", self.child.id(), self.address)
    }
}

impl Host {
    /// Starts a host with this configuration in a new home.
    #[must_use]
    pub fn start(config: &str) -> Self {
        let home = TempDir::new().expect("a temporary folder");
        let mut host = Self::start_in(home.path(), config);
        host._own_home = Some(home);
        host
    }

    /// Starts a host in this home, as after a crash.
    ///
    /// # Panics
    /// When it does not come up; what it said is shown.
    #[must_use]
    pub fn start_in(home: &Path, config: &str) -> Self {
        let file = home.join("airlock.toml");
        // Where the test wants an address of its own, that one counts.
        let listen = match config.contains("[server]") {
            true => "",
            false => "[server]\nlisten = \"127.0.0.1:0\"\n",
        };
        let text = format!("{listen}{config}");
        std::fs::write(&file, text).expect("the configuration is written");
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(home.join("host.log"))
            .expect("the log opens");
        let mut child = Command::new(airlock())
            .arg("standalone")
            .arg("--config")
            .arg(&file)
            .env("AIRLOCK_HOME", home)
            .env("RUST_BACKTRACE", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("the binary starts");
        let said = BufReader::new(child.stdout.take().expect("standard output is a pipe"));
        let mut address = None;
        let mut lines = said.lines();
        for line in lines.by_ref().map_while(Result::ok) {
            if let Some((_, rest)) = line.split_once("API http://") {
                address = rest.split_whitespace().next().map(str::to_owned);
                break;
            }
        }
        // Whatever else it says must not fill the pipe.
        std::thread::spawn(move || lines.for_each(drop));
        let Some(address) = address else {
            let _ = child.kill();
            let log = std::fs::read_to_string(home.join("host.log")).unwrap_or_default();
            panic!("the host did not come up:\n{log}");
        };
        let token = std::fs::read_to_string(home.join("token")).expect("the token file is there");
        Self {
            child,
            home: home.to_owned(),
            address,
            token: token.trim().to_owned(),
            client: reqwest::Client::new(),
            _own_home: None,
        }
    }

    /// The host's process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The API's address, as `host:port`.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The bearer token.
    #[must_use]
    pub fn token(&self) -> &str {
        &self.token
    }

    /// What the host has logged so far.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.home.join("host.log")).unwrap_or_default()
    }

    /// Ends the host as a power cut would.
    pub fn kill_nine(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Sends a signal.
    ///
    /// # Panics
    /// When the process is gone.
    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = i32::try_from(self.child.id())
            .ok()
            .and_then(rustix::process::Pid::from_raw);
        rustix::process::kill_process(pid.expect("a process id"), signal).expect("the host lives");
    }

    /// Waits until the host has ended, and tells its exit code.
    pub fn wait(&mut self) -> Option<i32> {
        self.child.wait().ok().and_then(|status| status.code())
    }

    /// Asks the API; the answer must be a success.
    ///
    /// # Panics
    /// When it is not.
    pub async fn get(&self, path: &str) -> Value {
        let (status, body) = self.call(reqwest::Method::GET, path, None).await;
        assert!((200..300).contains(&status), "GET {path}: {status} {body}");
        body
    }

    /// How many runs of a DAG are in a state, or in any; none while the DAG is not there yet.
    pub async fn runs(&self, dag_id: &str, state: Option<&str>) -> u64 {
        let state = state
            .map(|state| format!("&state={state}"))
            .unwrap_or_default();
        let path = format!("/dags/{dag_id}/dagRuns?limit=1{state}");
        let (_, body) = self.call(reqwest::Method::GET, &path, None).await;
        body["total_entries"].as_u64().unwrap_or(0)
    }

    /// Waits until a DAG is live.
    pub async fn dag(&self, dag_id: &str) {
        self.until(&format!("the DAG {dag_id}"), async || {
            let (status, _) = self
                .call(reqwest::Method::GET, &format!("/dags/{dag_id}"), None)
                .await;
            (status == 200).then_some(())
        })
        .await;
    }

    /// Posts to the API; the answer must be a success.
    ///
    /// # Panics
    /// When it is not.
    pub async fn post(&self, path: &str, body: Value) -> Value {
        let (status, body) = self.call(reqwest::Method::POST, path, Some(body)).await;
        assert!((200..300).contains(&status), "POST {path}: {status} {body}");
        body
    }

    /// Calls the API.
    ///
    /// # Panics
    /// When the host does not answer.
    pub async fn call(
        &self,
        method: reqwest::Method,
        path: &str,
        body: Option<Value>,
    ) -> (u16, Value) {
        let url = format!("http://{}/api/v2{path}", self.address);
        let mut request = self.client.request(method, url).bearer_auth(&self.token);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await.expect("the host answers");
        let status = answer.status().as_u16();
        let text = answer.text().await.unwrap_or_default();
        (
            status,
            serde_json::from_str(&text).unwrap_or(Value::String(text)),
        )
    }

    /// The metrics page.
    ///
    /// # Panics
    /// When the host does not answer.
    pub async fn metrics(&self) -> String {
        let request = self
            .client
            .get(format!("http://{}/metrics", self.address))
            .bearer_auth(&self.token);
        request
            .send()
            .await
            .expect("the host answers")
            .text()
            .await
            .unwrap_or_default()
    }

    /// Triggers a run as soon as its DAG is live, and tells its id.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn trigger(&self, dag_id: &str, body: Value) -> String {
        self.dag(dag_id).await;
        let run = self.post(&format!("/dags/{dag_id}/dagRuns"), body).await;
        run["dag_run_id"].as_str().expect("its id").to_owned()
    }

    /// Waits until a run has ended, and tells its state.
    pub async fn ended(&self, dag_id: &str, run_id: &str) -> String {
        let path = format!("/dags/{dag_id}/dagRuns/{}", escape(run_id));
        self.until(&format!("the end of {dag_id} {run_id}"), async || {
            let run = self.get(&path).await;
            let state = run["state"].as_str().unwrap_or_default().to_owned();
            matches!(state.as_str(), "success" | "failed").then_some(state)
        })
        .await
    }

    /// Asks again and again until there is an answer.
    ///
    /// # Panics
    /// When there is none within [`PATIENCE`].
    pub async fn until<T>(&self, what: &str, ask: impl AsyncFn() -> Option<T>) -> T {
        let began = Instant::now();
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            assert!(
                began.elapsed() < PATIENCE,
                "{what} did not come to pass; the host said:\n{}",
                self.log()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Runs a command of the binary against this host.
    ///
    /// # Panics
    /// When the binary does not start.
    #[must_use]
    pub fn cli(&self, arguments: &[&str]) -> Output {
        Command::new(airlock())
            .args(arguments)
            .env("AIRLOCK_HOME", &self.home)
            .current_dir(&self.home)
            .output()
            .expect("the binary starts")
    }

    /// Runs a command that must succeed, with `--output json`, and reads what it prints.
    ///
    /// # Panics
    /// When it fails or prints something else.
    #[must_use]
    pub fn cli_json(&self, arguments: &[&str]) -> Value {
        let mut all = arguments.to_vec();
        all.extend(["--output", "json"]);
        let out = self.cli(&all);
        assert!(
            out.status.success(),
            "{arguments:?}: {}",
            String::from_utf8_lossy(&out.stderr)
        );
        serde_json::from_slice(&out.stdout).unwrap_or_else(|error| panic!("{arguments:?}: {error}"))
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.kill_nine();
    }
}

/// A run id as part of a path.
#[must_use]
pub fn escape(text: &str) -> String {
    text.replace('+', "%2B").replace(':', "%3A")
}
