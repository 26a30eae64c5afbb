//! A real host with two teams: one that keeps secrets, and one whose bundle is after them.

use std::{fs, path::Path};

use airlock_tests::{Host, escape, guest_with};
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

/// What nobody of the other team may come to see.
const PASSWORD: &str = "canary-password";
const VARIABLE: &str = "canary-variable";
const XCOM: &str = "canary-xcom";
/// The server's address, which the hostile team may call: it lacks the token.
pub(crate) const LISTEN: &str = "127.0.0.1:18191";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Parse,
    Task,
    Trigger,
    Callback,
    Timetable,
}

pub(crate) const EVERY: [Phase; 5] = [
    Phase::Parse,
    Phase::Task,
    Phase::Trigger,
    Phase::Callback,
    Phase::Timetable,
];

/// A reason that would command a terminal and close a tag, as TOML.
const WORDS: &str = "\"\\u001b[2J\\u202e'><script>alert(1)</script><img src=x onerror=alert(1)>\"";

/// Two teams: `alpha`, which keeps secrets, and `beta`, which is after them.
pub(crate) struct Teams {
    pub(crate) host: Host,
    home: TempDir,
    /// The bundle of `alpha`, and its bytes as they were.
    bundle: (std::path::PathBuf, Vec<u8>),
    log: String,
    runs: std::cell::Cell<u32>,
}

const CONSUMED: &str = "asset]]\nname = \"ledger\"\naccess = \"consume\"";
const PRODUCED: &str = "asset]]\nname = \"ledger\"\naccess = \"produce\"";

fn manifest(name: &str) -> String {
    let all = "phases = [\"parse\", \"task\", \"trigger\", \"callback\"]";
    let some = "phases = [\"task\", \"trigger\", \"callback\"]";
    format!(
        "[bundle]\nname = \"{name}\"\nversion = \"1.0.0\"\n\
         [[request.variable]]\nkey = \"attack.name\"\nphases = [\"parse\"]\n\
         [[request.variable]]\nkey = \"note\"\nphases = [\"parse\"]\n\
         [[request.variable]]\nkey = \"paths\"\n{all}\n\
         [[request.variable]]\nkey = \"secret\"\n{all}\n\
         [[request.connection]]\nid = \"bank\"\naccess = \"read\"\n{some}\n\
         [[request.connection]]\nid = \"own\"\naccess = \"read\"\n{some}\n\
         [[request.directory]]\npath = \"own\"\nmode = \"read-write\"\n{some}\n\
         [[request.http]]\nurl = \"http://{LISTEN}/*\"\nmethods = [\"GET\"]\n{some}\n\
         [[request.http]]\nurl = \"http://localhost/*\"\nmethods = [\"GET\"]\n{some}\nreason = {WORDS}\n\
         [[request.asset]]\nname = \"ledger\"\naccess = \"consume\"\n\
         [[request.asset]]\nname = \"ledger\"\naccess = \"produce\"\n\
         [[request.asset]]\nname = \"<*\"\naccess = \"consume\"\n"
    )
}

fn team(name: &str, bundle: &str, source: &Path, grants: &[&str]) -> String {
    let grants: String = grants
        .iter()
        .map(|grant| format!("[[team.bundle.grant.{grant}\n"))
        .collect();
    format!(
        "[[team]]\nname = \"{name}\"\n[team.pool]\nparse_cpu_time = \"300ms\"\ntask_cpu_time = \"300ms\"\n\
         trigger_cpu_time = \"300ms\"\ncallback_cpu_time = \"300ms\"\ntimetable_cpu_time = \"300ms\"\n\
         memory_per_instance = \"32 MiB\"\n\
         [[team.bundle]]\nname = \"{bundle}\"\nsource = \"{}\"\n{grants}",
        source.display()
    )
}

impl Teams {
    pub(crate) async fn start(listen: &str) -> Self {
        let home = TempDir::new().unwrap();
        let source = |name: &str| {
            let folder = home.path().join(format!("of-{name}"));
            fs::create_dir_all(folder.join("own")).unwrap();
            let path = guest_with(&folder, "hostile_everywhere", &manifest(name));
            (path, folder.join("own"))
        };
        let ((victim, kept), (hostile, own)) = (source("victim"), source("hostile"));
        let http = format!("http]]\nurl = \"http://{LISTEN}/*\"\nmethods = [\"GET\"]");
        let directory = |host: &Path| {
            let host = host.display();
            format!("directory]]\npath = \"own\"\nhost = \"{host}\"\nmode = \"read-write\"")
        };
        let alpha = team(
            "alpha",
            "victim",
            &victim,
            &[
                "variable]]\nkey = \"attack.name\"",
                "variable]]\nkey = \"note\"",
                "connection]]\nid = \"bank\"\naccess = \"read\"",
                &directory(&kept),
                &http,
                CONSUMED,
                PRODUCED,
            ],
        ) + &format!(
            "[[team.connection]]\nid = \"bank\"\nconn_type = \"http\"\npassword = \"{PASSWORD}\"\n\
             [[team.variable]]\nkey = \"secret\"\nvalue = \"{VARIABLE}\"\n\
             [[team.variable]]\nkey = \"attack.name\"\nvalue = \"victim\"\n"
        );
        let beta = team(
            "beta",
            "hostile",
            &hostile,
            &[
                "variable]]\nkey = \"attack.name\"",
                "variable]]\nkey = \"paths\"",
                "connection]]\nid = \"own\"\naccess = \"read\"",
                &directory(&own),
                &http,
                "http]]\nurl = \"http://localhost/*\"\nmethods = [\"GET\"]",
                // By the other's name: what it gets is an asset of its own team's.
                CONSUMED,
                PRODUCED,
                "asset]]\nname = \"<*\"\naccess = \"consume\"",
            ],
        );
        let host = Host::start_in(
            home.path(),
            &format!(
                "[server]\nlisten = \"{listen}\"\n[callbacks]\ntries = 1\n[triggers]\nretry_delay = \"10ms\"\n{alpha}{beta}"
            ),
        );
        let body = json!({"logical_date": null, "dag_run_id": "known", "conf": {"secret": XCOM}});
        host.trigger("victim", body).await;
        assert_eq!(host.ended("victim", "known").await, "success");
        host.dag("attack_task").await;
        let bytes = fs::read(&victim).unwrap();
        let mut teams = Self {
            host,
            home,
            bundle: (victim, bytes),
            log: String::new(),
            runs: std::cell::Cell::new(0),
        };
        teams.log = teams.kept_log();
        assert!(
            teams.log.contains(XCOM) && teams.log.contains("logged in"),
            "{}",
            teams.log
        );
        let paths = teams.worth_reading().join("\n");
        teams.set("beta", "paths", &paths).await;
        teams
    }

    /// The files of the other team and of the host, and what the host's process shows of itself.
    fn worth_reading(&self) -> Vec<String> {
        fn below(folder: &Path, found: &mut Vec<String>) {
            for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
                let is_own = entry.file_name() == "of-hostile" || entry.file_name() == "code";
                match entry.path() {
                    _ if is_own => {}
                    path if path.is_dir() => below(&path, found),
                    path => found.push(path.display().to_string()),
                }
            }
        }
        let mut found = Vec::new();
        below(self.home.path(), &mut found);
        for wanted in [
            "token",
            "airlock.toml",
            "hostile_everywhere.wasm",
            "host.log",
            ".log",
        ] {
            assert!(
                found.iter().any(|path| path.ends_with(wanted)),
                "{wanted}: {found:?}"
            );
        }
        let process = ["environ", "mem", "maps", "cmdline"];
        found.extend(process.map(|name| format!("/proc/{}/{name}", self.host.pid())));
        found
    }

    /// Sets a variable of a team.
    pub(crate) async fn set(&self, team: &str, key: &str, value: &str) {
        let path = format!("/variables/{key}?team={team}");
        let change = json!({"value": value});
        let (status, told) = self.host.call(Method::PATCH, &path, Some(change)).await;
        match status {
            200 => {}
            404 => {
                let body = json!({"key": key, "value": value});
                self.host
                    .post(&format!("/variables?team={team}"), body)
                    .await;
            }
            _ => panic!("{status} {told}"),
        }
    }

    fn kept_log(&self) -> String {
        let out = self
            .host
            .cli(&["tasks", "logs", "victim", "known", "keeps"]);
        String::from_utf8_lossy(&out.stdout).into_owned()
    }

    /// What `beta` is told when its bundle tries this in a phase; none where it ended otherwise than by an answer, and
    /// then what the host says of it.
    pub(crate) async fn tries(&self, phase: Phase, attack: &str) -> String {
        let host = &self.host;
        match phase {
            Phase::Parse => {
                self.set("beta", "attack.name", attack).await;
                let dag = format!("/dags/told_{}", attack.replace('.', "_"));
                let told = host
                    .until(&format!("a parse that tries {attack}"), async || {
                        let (status, told) = host.call(Method::GET, &dag, None).await;
                        let said = told["description"].as_str().unwrap_or_default();
                        match status {
                            200 if told["is_stale"] == json!(false) => Some(said.to_owned()),
                            _ => self.import_error().await,
                        }
                    })
                    .await;
                self.import_attacks().await;
                told
            }
            Phase::Task | Phase::Trigger => {
                let (dag, task) = match phase {
                    Phase::Task => ("attack_task", "task"),
                    _ => ("attack_trigger", "trigger"),
                };
                let run = self.run(dag, attack).await;
                let ended = host.ended(dag, &run).await;
                let path = format!("/dags/{dag}/dagRuns/{}/taskInstances", escape(&run));
                match ended.as_str() {
                    "success" => {
                        let path = format!("{path}/{task}/xcomEntries/return_value");
                        let (_, told) = host.call(Method::GET, &path, None).await;
                        told["value"].to_string()
                    }
                    _ => host.get(&path).await["task_instances"][0].to_string(),
                }
            }
            Phase::Callback => {
                let run = self.run("attack_callback", attack).await;
                host.until(&format!("a callback that tries {attack}"), async || {
                    let told = host
                        .get("/callbacks?limit=100&dag_id=attack_callback")
                        .await;
                    let mut rows = told["callbacks"].as_array().unwrap().iter();
                    let row = rows.find(|row| row["dag_run_id"] == run.as_str())?;
                    let over = row["state"] == "failed" || row["state"] == "success";
                    over.then(|| row["note"].as_str().unwrap_or_default().to_owned())
                })
                .await
            }
            Phase::Timetable => {
                let dag = format!("asked_{}", attack.replace('.', "_"));
                host.dag(&dag).await;
                let body = json!({"logical_date": "2026-01-01T00:00:00Z"});
                let path = format!("/dags/{dag}/dagRuns");
                let (status, told) = host.call(Method::POST, &path, Some(body)).await;
                assert!(status >= 400, "{status} {told}");
                told.to_string()
            }
        }
    }

    /// Imports the DAGs again through which the other phases are asked.
    async fn import_attacks(&self) {
        let path = "/variables/attack.name?team=beta";
        let (status, told) = self.host.call(Method::DELETE, path, None).await;
        assert!(status < 300, "{told}");
        self.host
            .until("the attacks", async || {
                let (status, told) = self.host.call(Method::GET, "/dags/attack_task", None).await;
                let is_live = status == 200 && told["is_stale"] == json!(false);
                (is_live && self.import_error().await.is_none()).then_some(())
            })
            .await;
    }

    pub(crate) async fn run(&self, dag: &str, attack: &str) -> String {
        let body = json!({"logical_date": null, "dag_run_id": attack});
        self.host.trigger(dag, body).await
    }

    /// What is said of the import of `beta`'s bundle.
    pub(crate) async fn import_error(&self) -> Option<String> {
        let told = self.host.get("/importErrors?limit=100").await;
        let all = told["import_errors"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let mut of_beta = all.iter().map(Value::to_string);
        of_beta.find(|error| error.contains("\"hostile\""))
    }

    /// Runs `alpha`'s DAG, which must go well.
    pub(crate) async fn neighbour_runs(&self) {
        self.runs.set(self.runs.get() + 1);
        let run = format!("r{}", self.runs.get());
        let body = json!({"logical_date": null, "dag_run_id": run, "conf": {"secret": XCOM}});
        self.host.trigger("victim", body).await;
        assert_eq!(self.host.ended("victim", &run).await, "success");
    }

    /// Whether everything of `alpha` is as it was.
    pub(crate) async fn neighbour_is_untouched(&self) {
        assert_eq!(fs::read(&self.bundle.0).unwrap(), self.bundle.1);
        assert_eq!(self.kept_log(), self.log);
        let xcom = "/dags/victim/dagRuns/known/taskInstances/keeps/xcomEntries/return_value";
        let xcom = self.host.get(xcom).await;
        assert!(xcom["value"].to_string().contains(XCOM), "{xcom}");
        let secret = self.host.get("/variables/secret?team=alpha").await;
        assert_eq!(secret["value"], VARIABLE);
        let bank = self.host.get("/connections/bank?team=alpha").await;
        assert_eq!(bank["conn_type"], "http");
        let victim = self.host.get("/dags/victim").await;
        assert_ne!(victim["description"], "hijacked");
        assert_eq!(self.host.runs("victim_listens", None).await, 0);
    }

    /// Has `alpha`'s bundle parsed again.
    pub(crate) async fn neighbour_parses(&self) {
        self.runs.set(self.runs.get() + 1);
        let note = format!("note {}", self.runs.get());
        self.set("alpha", "note", &note).await;
        self.host
            .until("the other team's parse", async || {
                let victim = self.host.get("/dags/victim").await;
                (victim["description"] == note.as_str()).then_some(())
            })
            .await;
    }

    /// Tries this in all phases, each beside a run and a parse of `alpha`, and tells what came of it.
    async fn tried(&self, attack: &str) -> Vec<(Phase, String)> {
        let mut all = Vec::new();
        for phase in EVERY {
            let neighbour = async {
                self.neighbour_runs().await;
                self.neighbour_parses().await;
            };
            let (told, ()) = tokio::join!(self.tries(phase, attack), neighbour);
            for secret in [PASSWORD, VARIABLE, XCOM, self.host.token()] {
                assert!(!told.contains(secret), "{attack} {phase:?}: {told}");
            }
            all.push((phase, told));
        }
        self.neighbour_is_untouched().await;
        all
    }

    /// Tries this in all phases: something ends it each time, and says so with this code and these words.
    pub(crate) async fn ends(&self, attack: &str, parts: impl Fn(Phase) -> [String; 2]) {
        for (phase, told) in self.tried(attack).await {
            for part in parts(phase) {
                assert!(told.contains(&part), "{attack} {phase:?}: {part} in {told}");
            }
        }
    }

    /// Tries this in all phases: it answers each time, and with these words only.
    pub(crate) async fn only_says(&self, attack: &str, words: &[&str]) {
        for (phase, told) in self.tried(attack).await {
            let said = match phase {
                // In the words of the API, around the answer.
                Phase::Timetable => {
                    let (_, said) = told.split_once("gave an error: ").unwrap_or_default();
                    said.split_once("; correct it").unwrap_or_default().0
                }
                _ => told.trim_matches('"'),
            };
            for word in said.split('|') {
                assert!(
                    words.contains(&word),
                    "{attack} {phase:?}: {word} in {told}"
                );
            }
        }
    }

    /// Tells the host to end, and gives all that the audit then has, oldest first.
    pub(crate) fn ended_with(&mut self) -> Vec<Value> {
        self.host.signal(rustix::process::Signal::TERM);
        assert_eq!(self.host.wait(), Some(0));
        let out = self.host.cli(&["audit", "export"]);
        let text = String::from_utf8(out.stdout).unwrap();
        let rows = text.lines().map(|line| serde_json::from_str(line).unwrap());
        rows.collect()
    }

    /// Waits until the audit has a row of `beta`'s denial of this.
    pub(crate) async fn audit_says(&self, code: &str, item: &str) {
        self.host
            .until(&format!("{code} {item} in the audit"), async || {
                let told = self.host.get("/audit?limit=1000").await.to_string();
                let mut rows = told.split("},{").filter(|row| row.contains(code));
                let has = |row: &str| row.contains(item) && row.contains("hostile");
                rows.any(has).then_some(())
            })
            .await;
    }
}
