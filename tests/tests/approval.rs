//! What people decide on grants: versions wait for it, come in by it, and lose what they had by it.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test ends where it fails"
)]

use std::{
    fs,
    path::{Path, PathBuf},
};

use airlock_tests::{Host, guest_with};
use serde_json::{Value, json};
use tempfile::TempDir;

/// What the guest's imports need at least.
const LEAST: &str = "[[request.connection]]\nid = \"granted\"\naccess = \"read\"\n\
    [[request.variable]]\nkey = \"granted.*\"\n\
    [[request.directory]]\npath = \"in\"\n";

/// A host whose team `busy` has the bundle `tasks`, with the grant left to people; and a folder that may be granted.
struct Scene {
    host: Host,
    folder: TempDir,
    /// The host's home outlives it.
    _home: TempDir,
}

impl Scene {
    fn source(folder: &Path) -> PathBuf {
        let source = folder.join("bundles");
        fs::create_dir_all(&source).unwrap();
        source
    }

    fn config(folder: &Path) -> String {
        format!(
            "[security]\nroots = [{:?}]\n[[team]]\nname = \"busy\"\n[[team.bundle]]\nname = \"tasks\"\nsource = {:?}\n",
            folder.join("data"),
            folder.join("bundles/hostile_tasks.wasm"),
        )
    }

    fn start(version: &str, request: &str) -> Self {
        let (home, folder) = (TempDir::new().unwrap(), TempDir::new().unwrap());
        fs::create_dir_all(folder.path().join("data/in")).unwrap();
        put(folder.path(), version, request);
        let host = Host::start_in(home.path(), &Self::config(folder.path()));
        Self {
            host,
            folder,
            _home: home,
        }
    }

    fn place(&self) -> String {
        format!("in={}", self.folder.path().join("data/in").display())
    }

    /// A new version takes the place of the old.
    fn put(&self, version: &str, request: &str) {
        put(self.folder.path(), version, request);
    }

    /// Waits until this version waits, and gives the grant's page.
    async fn waits(&self, version: &str) -> Value {
        self.host
            .until(&format!("version {version} waits"), async || {
                let grant = self.grant();
                (grant["waiting"]["version"] == version).then_some(grant)
            })
            .await
    }

    /// Waits until this version serves and no other waits.
    async fn serves(&self, version: &str) {
        self.host
            .until(&format!("version {version} serves"), async || {
                let versions = "/bundles/tasks/versions";
                let (_, bundles) = self.host.call(reqwest::Method::GET, versions, None).await;
                let mut all = bundles["bundles"].as_array().into_iter().flatten();
                let active = all.any(|one| one["version"] == version && one["is_active"] == true);
                (active && self.grant()["waiting"].is_null()).then_some(())
            })
            .await;
    }

    fn grant(&self) -> Value {
        self.host.cli_json(&["grants", "show", "tasks"])
    }

    async fn import_error(&self, code: &str) -> String {
        self.host
            .until(&format!("the import error {code}"), async || {
                let errors = self.host.get("/importErrors").await;
                let errors = errors["import_errors"].as_array().unwrap().clone();
                let mut texts = errors.iter().filter_map(|one| one["stack_trace"].as_str());
                texts.find(|text| text.contains(code)).map(str::to_owned)
            })
            .await
    }

    /// Whether the bundle may reach this, by the decision itself.
    fn may(&self, what: [&str; 2]) -> bool {
        let [option, name] = what;
        self.host
            .cli(&["grants", "explain", "tasks", option, name])
            .status
            .success()
    }

    /// A command that must fail, and what it says.
    fn refused(&self, arguments: &[&str]) -> String {
        let out = self.host.cli(arguments);
        assert!(!out.status.success(), "{arguments:?}");
        String::from_utf8(out.stderr).unwrap()
    }

    fn approve(&self, more: &[&str]) -> Value {
        let approve = ["grants", "approve", "tasks", "--yes"];
        self.host.cli_json(&[&approve, more].concat())
    }
}

fn put(folder: &Path, version: &str, request: &str) {
    let manifest = format!("[bundle]\nname = \"tasks\"\nversion = \"{version}\"\n{request}");
    // Made beside and moved, as a deployment does.
    let made = guest_with(folder, "hostile_tasks", &manifest);
    fs::rename(made, Scene::source(folder).join("hostile_tasks.wasm")).unwrap();
}

#[tokio::test]
async fn a_version_that_asks_for_more_waits_while_the_approved_one_serves_and_comes_in_when_approved()
 {
    let scene = Scene::start("1.0.0", LEAST);
    let host = &scene.host;

    // The first version waits for a person, who alone knows where its directory lies.
    let error = scene.import_error("AL-0260").await;
    for part in [
        "no version serves yet",
        "connection `granted`, read in task",
        "airlock grants approve tasks",
    ] {
        assert!(error.contains(part), "{error}");
    }
    let grant = scene.waits("1.0.0").await;
    assert_eq!(grant["waiting"]["unplaced"], json!(["in"]));
    assert!(
        scene
            .refused(&["grants", "approve", "tasks", "--yes"])
            .contains("airlock grants propose tasks")
    );
    let home = format!("in={}", host.home.display());
    assert!(
        scene
            .refused(&["grants", "approve", "tasks", "--yes", "--directory", &home])
            .contains("AL-0448")
    );
    let missing = format!("in={}", scene.folder.path().join("data/none").display());
    assert!(
        scene
            .refused(&[
                "grants",
                "approve",
                "tasks",
                "--yes",
                "--directory",
                &missing
            ])
            .contains("AL-0431")
    );
    let approved = scene.approve(&["--directory", &scene.place(), "--reason", "read"]);
    assert_eq!(
        (&approved["revision"], &approved["state"]),
        (&json!(1), &json!("approved"))
    );
    scene.serves("1.0.0").await;
    host.dag("hostile_busy").await;

    // A wider one waits, and says what is more.
    let wider =
        format!("{LEAST}[[request.variable]]\nkey = \"more.*\"\nreason = \"to tell more\"\n");
    scene.put("1.1.0", &wider);
    let grant = scene.waits("1.1.0").await;
    assert_eq!(grant["bundle_version"], "1.0.0");
    assert_eq!(grant["waiting"]["wider"][0]["what"], "variable `more.*`");
    let error = scene.import_error("AL-0260").await;
    assert!(error.contains("version 1.0.0 serves meanwhile"), "{error}");
    assert!(scene.may(["--variable", "granted.one"]) && !scene.may(["--variable", "more.one"]));
    let page = host.cli(&["grants", "diff", "tasks"]).stdout;
    assert_eq!(
        String::from_utf8(page).unwrap(),
        "+ variable `more.*` (only for phase task)\n"
    );

    let file = scene.folder.path().join("bundles/hostile_tasks.wasm");
    let page = host
        .cli(&["bundle", "inspect", file.to_str().unwrap()])
        .stdout;
    let page = String::from_utf8(page).unwrap();
    assert!(
        page.contains("approved it asks for more:\n    + variable `more.*` in task\n"),
        "{page}"
    );

    // Refused, it stays out, and its author reads why.
    assert!(
        host.cli(&["grants", "deny", "tasks", "--reason", "why more?"])
            .status
            .success()
    );
    let error = scene.import_error("AL-0261").await;
    assert!(error.contains("person:operator: why more?"), "{error}");

    // Proposed once more and approved, it serves.
    let proposed = host.cli_json(&["grants", "propose", "tasks", "--note", "please"]);
    assert_eq!(proposed["state"], "proposed");
    scene.approve(&[]);
    scene.serves("1.1.0").await;
    assert!(scene.may(["--variable", "more.one"]));

    // What asks for no more than was approved needs nobody's word.
    scene.put("1.2.0", LEAST);
    scene.serves("1.2.0").await;
    assert!(
        !scene.may(["--variable", "more.one"]),
        "granted, and not asked for any more"
    );

    // The last row is written when the import is done.
    let told = host
        .until("three versions were told to have begun", async || {
            let rows = host.get("/audit?limit=1000").await;
            let rows = rows["audit"].as_array().unwrap().clone();
            let told: Vec<_> = (rows.iter().rev())
                .map(|row| row["action"].as_str().unwrap().to_owned())
                .filter(|action| action.starts_with("grant.") || action.starts_with("bundle."))
                .collect();
            let begun = told.iter().filter(|action| *action == "bundle.activate");
            (begun.count() == 3).then_some(told)
        })
        .await;
    assert_eq!(
        told,
        [
            "bundle.wait",
            "grant.propose",
            "grant.approve",
            "bundle.activate",
            "bundle.wait",
            "grant.propose",
            "grant.deny",
            "grant.propose",
            "grant.approve",
            "bundle.activate",
            "bundle.activate",
        ],
    );
}

#[tokio::test]
async fn what_waits_and_what_serves_are_the_same_after_a_crash() {
    let mut scene = Scene::start("1.0.0", LEAST);
    scene.waits("1.0.0").await;
    scene.approve(&["--directory", &scene.place()]);
    scene.serves("1.0.0").await;
    scene.put(
        "1.1.0",
        &format!("{LEAST}[[request.variable]]\nkey = \"more\"\n"),
    );
    scene.waits("1.1.0").await;
    let proposals = |host: &Host| {
        let all = host.cli_json(&["grants", "list", "--state", "proposed"]);
        all.as_array().unwrap().len()
    };
    assert_eq!(proposals(&scene.host), 1);
    scene.host.kill_nine();
    let home = scene.host.home.clone();
    scene.host = Host::start_in(&home, &Scene::config(scene.folder.path()));
    let grant = scene.waits("1.1.0").await;
    assert_eq!(
        (&grant["bundle_version"], &grant["revision"]),
        (&json!("1.0.0"), &json!(1))
    );
    assert_eq!(
        proposals(&scene.host),
        1,
        "what was proposed is not proposed again"
    );
    assert!(scene.may(["--variable", "granted.one"]) && !scene.may(["--variable", "more"]));
    let run = scene.host.trigger("hostile_huge_string", json!({})).await;
    assert_eq!(
        scene.host.ended("hostile_huge_string", &run).await,
        "failed"
    );
    scene.approve(&[]);
    scene.serves("1.1.0").await;
}

#[tokio::test]
async fn a_grant_that_is_taken_back_ends_the_try_that_has_it_open_and_denies_all_others() {
    let scene = Scene::start("1.0.0", LEAST);
    let host = &scene.host;
    scene.waits("1.0.0").await;
    scene.approve(&["--directory", &scene.place(), "--only-this-version"]);
    scene.serves("1.0.0").await;
    let run = host.trigger("hostile_sleep", json!({})).await;
    let task = format!(
        "/dags/hostile_sleep/dagRuns/{}/taskInstances/sleep",
        airlock_tests::escape(&run)
    );
    host.until("the try runs", async || {
        let (_, task) = host.call(reqwest::Method::GET, &task, None).await;
        (task["state"] == "running").then_some(())
    })
    .await;
    // Other bytes that ask for the same wait, since it was approved for those bytes alone.
    scene.put("1.0.1", LEAST);
    let grant = scene.waits("1.0.1").await;
    assert_eq!(grant["waiting"]["wider"], json!([]));

    let out = host.cli(&[
        "grants",
        "revoke",
        "tasks",
        "--reason",
        "a key leaked",
        "--yes",
    ]);
    assert!(
        out.status.success(),
        "{}",
        String::from_utf8_lossy(&out.stderr)
    );
    assert_eq!(host.ended("hostile_sleep", &run).await, "failed");
    let ended = host.get(&task).await;
    assert!(
        ended["note"].as_str().unwrap().contains("AL-0566"),
        "{ended}"
    );
    assert!(!scene.may(["--variable", "granted.one"]));
    let run = host
        .trigger("hostile_sleep", json!({"dag_run_id": "again"}))
        .await;
    assert_eq!(host.ended("hostile_sleep", &run).await, "failed");
    let list = host.cli_json(&["grants", "list", "--bundle", "tasks", "--state", "revoked"]);
    assert_eq!(list[0]["reason"], "a key leaked");
}

#[tokio::test]
async fn what_the_configuration_grants_or_nobody_has_to_is_decided_there() {
    let home = TempDir::new().unwrap();
    let source = guest_with(
        home.path(),
        "hostile_tasks",
        &format!("[bundle]\nname = \"tasks\"\nversion = \"1.0.0\"\n{LEAST}"),
    );
    let config = format!(
        "[[team]]\nname = \"busy\"\n[[team.bundle]]\nname = \"tasks\"\nsource = {source:?}\n\
         [[team.bundle.grant.variable]]\nkey = \"granted.*\"\n"
    );
    let host = Host::start_in(home.path(), &config);
    for (arguments, code) in [
        (["grants", "propose", "tasks"], "AL-0443"),
        (["grants", "propose", "nobodys"], "AL-0810"),
    ] {
        let out = host.cli(&arguments);
        let said = String::from_utf8(out.stderr).unwrap();
        assert!(!out.status.success() && said.contains(code), "{said}");
    }
    let grant = host.cli_json(&["grants", "show", "tasks"]);
    assert_eq!(grant["source"], "configured");
    assert_eq!(grant["entries"], json!(["variable `granted.*`"]));
    let toml = host.cli(&["grants", "show", "tasks", "--toml"]).stdout;
    assert_eq!(
        String::from_utf8(toml).unwrap(),
        "[[team.bundle.grant.variable]]\nkey = \"granted.*\"\n"
    );
}

#[tokio::test]
async fn one_teams_variable_is_another_teams_bundles_when_both_sides_say_so() {
    let home = TempDir::new().unwrap();
    let manifest = "[bundle]\nname = \"rates\"\nversion = \"1.0.0\"\n\
        [[request.variable]]\nkey = \"for_parse\"\nphases = [\"parse\", \"task\"]\n\
        [[request.variable]]\nkey = \"for_task\"\n";
    let source = guest_with(home.path(), "hostile_parse_variables", manifest);
    let config = |share: &str| {
        format!(
            "[[variable]]\nkey = \"for_parse\"\nvalue = \"of all\"\n\
             [[team]]\nname = \"payments\"\n[[team.variable]]\nkey = \"for_parse\"\nvalue = \"of payments\"\n{share}\
             [[team]]\nname = \"research\"\n[[team.bundle]]\nname = \"rates\"\nsource = {source:?}\n\
             [[team.bundle.grant.variable]]\nkey = \"for_parse\"\nfrom = \"payments\"\n\
             [[team.bundle.grant.variable]]\nkey = \"for_task\"\n"
        )
    };
    let seen = async |share: &str, wanted: &str| {
        let host = Host::start_in(home.path(), &config(share));
        host.until(&format!("`{wanted}` was seen"), async || {
            let details = "/dags/variables/details";
            let (_, dag) = host.call(reqwest::Method::GET, details, None).await;
            let description = dag["description"].as_str().unwrap_or_default();
            description.contains(wanted).then_some(())
        })
        .await;
        host.cli_json(&["teams", "shares", "--team", "payments"])
    };
    assert_eq!(seen("", "Denied").await, json!([]));
    let share = "[[team.share]]\nvariable = \"for_parse\"\nbundle = \"rates\"\n";
    let shares = seen(share, "Ok(Some(\"of payments\")) denied").await;
    assert_eq!(shares[0]["borrower_team_name"], "research");
    assert_eq!(shares[0]["is_borrowed"], true);
    // It is shared no more: what was parsed with it is parsed again.
    seen("", "Denied").await;
}

#[tokio::test]
async fn that_a_version_waits_is_still_said_when_the_one_that_serves_is_parsed_again() {
    let home = TempDir::new().unwrap();
    let manifest = |version: &str, more: &str| {
        format!(
            "[bundle]\nname = \"rates\"\nversion = \"{version}\"\n\
             [[request.variable]]\nkey = \"for_parse\"\nphases = [\"parse\", \"task\"]\n{more}"
        )
    };
    let source = guest_with(
        home.path(),
        "hostile_parse_variables",
        &manifest("1.0.0", ""),
    );
    let host = Host::start_in(
        home.path(),
        &format!(
            "[[team]]\nname = \"research\"\n[[team.bundle]]\nname = \"rates\"\nsource = {source:?}\n"
        ),
    );
    let waits = async |version: &str| {
        host.until(&format!("{version} waits"), async || {
            let grant = host.cli_json(&["grants", "show", "rates"]);
            (grant["waiting"]["version"] == version).then_some(())
        })
        .await;
    };
    waits("1.0.0").await;
    assert!(
        host.cli(&["grants", "approve", "rates", "--yes"])
            .status
            .success()
    );
    host.dag("variables").await;
    let more = "[[request.variable]]\nkey = \"more\"\n";
    let newer = guest_with(
        home.path(),
        "hostile_parse_variables",
        &manifest("1.1.0", more),
    );
    assert_eq!(newer, source);
    waits("1.1.0").await;
    let set = ["variables", "set", "for_parse", "new", "--team", "research"];
    assert!(host.cli(&set).status.success());
    host.until("the variable is seen", async || {
        let dag = host.get("/dags/variables/details").await;
        let description = dag["description"].as_str().unwrap_or_default();
        description.contains("\"new\"").then_some(())
    })
    .await;
    host.until("the import error is there", async || {
        let errors = host.get("/importErrors").await.to_string();
        errors.contains("AL-0260").then_some(())
    })
    .await;
}

/// What nobody has put into its place any more is not to come in by an approval: neither after a file that is no bundle,
/// nor after one that asks for nothing new.
#[tokio::test]
async fn a_version_that_waits_is_forgotten_when_a_broken_file_takes_its_place() {
    let scene = Scene::start("1.0.0", LEAST);
    let host = &scene.host;
    scene.waits("1.0.0").await;
    scene.approve(&["--directory", &scene.place()]);
    scene.serves("1.0.0").await;

    let words = "'><script>alert(1)</script>";
    let more = format!(
        "{LEAST}[[request.variable]]\nkey = \"more\"\nreason = \"\\u001b[2J\\u202e{words}\"\n"
    );
    scene.put("1.1.0", &more);
    scene.waits("1.1.0").await;
    // Whoever decides reads what the bundle wrote, and it commands no terminal.
    for arguments in [&["grants", "show", "tasks"][..], &["grants", "list"]] {
        let out = host.cli(arguments);
        let page = String::from_utf8([out.stdout, out.stderr].concat()).unwrap();
        let is_command = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
        assert!(!page.contains(is_command), "{page:?}");
    }

    // A file that is no component takes its place.
    let place = Scene::source(scene.folder.path()).join("hostile_tasks.wasm");
    let broken = scene.folder.path().join("broken");
    fs::write(&broken, "#!/bin/sh\nrm -rf /\n").unwrap();
    fs::rename(&broken, &place).unwrap();
    scene.import_error("AL-0202").await;
    assert!(scene.grant()["waiting"].is_null(), "{}", scene.grant());
    // What it needs can be approved all the same; that does not bring it back.
    scene.approve(&[]);
    assert!(!scene.may(["--variable", "more"]));
    // The approved one goes on serving, and the next good one comes in.
    let run = host
        .trigger("hostile_exit", json!({"logical_date": null}))
        .await;
    assert_eq!(host.ended("hostile_exit", &run).await, "failed");
    scene.put("1.0.1", LEAST);
    scene.serves("1.0.1").await;
    let versions = host.get("/bundles/tasks/versions").await;
    let versions = versions["bundles"].as_array().unwrap();
    let mut came: Vec<_> = versions.iter().map(|one| one["version"].as_str()).collect();
    came.sort_unstable();
    assert_eq!(came, [Some("1.0.0"), Some("1.0.1")]);
}
