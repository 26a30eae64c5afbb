//! Signatures: a team that requires them runs what its keys vouch for, and nothing else, whatever served before.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on is to fail"
)]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use airlock_tests::{Host, airlock, guest_with};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A command that needs no host.
fn run(home: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(airlock());
    command.arg("--home").arg(home).args(arguments);
    command.output().unwrap()
}

fn succeed(home: &Path, arguments: &[&str]) -> String {
    let output = run(home, arguments);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{arguments:?}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

/// Keys of two people, and a bundle of one team.
struct Team {
    home: TempDir,
    folder: TempDir,
    file: PathBuf,
}

impl Team {
    fn new() -> Self {
        let (home, folder) = (TempDir::new().unwrap(), TempDir::new().unwrap());
        for name in ["first", "second"] {
            let path = folder.path().join(name);
            succeed(
                home.path(),
                &["bundle", "keygen", path.to_str().unwrap(), "--no-password"],
            );
        }
        let file = guest_with(folder.path(), "noop", &manifest("0.1.0"));
        Self { home, folder, file }
    }

    fn path(&self, name: &str) -> String {
        let path = self.folder.path().join(name);
        path.to_str().unwrap().to_owned()
    }

    fn key(&self, name: &str) -> String {
        let file = fs::read_to_string(self.path(&format!("{name}.pub"))).unwrap();
        file.lines().nth(1).unwrap().to_owned()
    }

    /// The configuration, with these keys and whether each is revoked.
    fn config(&self, keys: &[(&str, bool)]) -> String {
        let mut config = "[[team]]\nname = \"payments\"\nrequire_signatures = true\n".to_owned();
        for (name, revoked) in keys {
            let key = self.key(name);
            config += &format!(
                "[[team.signing_key]]\nname = \"{name}\"\nkey = \"{key}\"\nrevoked = {revoked}\n"
            );
        }
        let source = self.file.display();
        config + &format!("[[team.bundle]]\nname = \"noop\"\nsource = \"{source}\"\n")
    }

    fn file(&self) -> &str {
        self.file.to_str().unwrap()
    }

    fn sign(&self, with: &str) {
        let key = self.path(&format!("{with}.key"));
        succeed(
            self.home.path(),
            &["bundle", "sign", self.file(), "--key", &key],
        );
    }

    /// Another version takes the file's place, all at once, and its signature is gone.
    fn replace(&self, version: &str) {
        let aside = TempDir::new_in(self.folder.path()).unwrap();
        let new = guest_with(aside.path(), "noop", &manifest(version));
        let _ = fs::remove_file(self.path("noop.wasm.minisig"));
        fs::rename(new, &self.file).unwrap();
    }

    /// Another version takes the file's place, and is signed.
    fn replace_signed(&self, version: &str, with: &str) {
        let file = guest_with(self.folder.path(), "noop", &manifest(version));
        assert_eq!(file, self.file);
        self.sign(with);
    }

    fn inspected(&self, config: &str) -> Value {
        let file = self.folder.path().join("airlock.toml");
        fs::write(&file, config).unwrap();
        let (config, output) = (file.to_str().unwrap(), "json");
        let page = succeed(
            self.home.path(),
            &[
                "bundle",
                "inspect",
                self.file(),
                "--config",
                config,
                "--output",
                output,
            ],
        );
        serde_json::from_str::<Value>(&page).unwrap()["signature"].clone()
    }
}

fn manifest(version: &str) -> String {
    format!("[bundle]\nname = \"noop\"\nversion = \"{version}\"\n")
}

/// The import error with this code, once there is one.
async fn error(host: &Host, code: &str) -> String {
    host.until("the import error", async || {
        let errors = host.get("/importErrors").await;
        let errors = errors["import_errors"].as_array()?.clone();
        let error = errors.into_iter().find(|error| error["code"] == code)?;
        Some(error["stack_trace"].as_str()?.to_owned())
    })
    .await
}

async fn no_errors(host: &Host) {
    host.until("no import error", async || {
        let errors = host.get("/importErrors").await;
        (errors["total_entries"] == 0).then_some(())
    })
    .await;
}

/// Waits for the DAG in the version of this content.
async fn serves(host: &Host, file: &Path) {
    let hash = airlock_bundle::hash(&fs::read(file).unwrap()).to_string();
    host.until("the version", async || {
        let dag = host.get("/dags/single").await;
        (dag["bundle_version"] == hash.as_str()).then_some(())
    })
    .await;
}

async fn runs(host: &Host) -> String {
    let run = host.trigger("single", json!({"logical_date": null})).await;
    host.ended("single", &run).await
}

#[tokio::test]
async fn a_bundle_that_must_be_signed_is_live_when_its_signature_comes_and_waits_unsigned_beside_the_old()
 {
    let team = Team::new();
    let config = team.config(&[("first", false)]);
    assert_eq!(team.inspected(&config)["standing"], "unsigned");
    let host = Host::start_in(team.home.path(), &config);
    let told = error(&host, "AL-0250").await;
    assert!(told.contains("airlock bundle manifest"), "{told}");
    assert_eq!(host.get("/dags").await["total_entries"], 0);

    // By somebody whom the team does not know, and then by its own key: the component's file is not touched.
    team.sign("second");
    error(&host, "AL-0253").await;
    assert_eq!(team.inspected(&config)["standing"], "invalid");
    team.sign("first");
    host.dag("single").await;
    no_errors(&host).await;
    assert_eq!(runs(&host).await, "success");
    let signature = team.inspected(&config);
    assert_eq!(signature["standing"], "signed");
    assert_eq!(signature["by"], "first");

    // A new version without a signature, and one with that of the version before: the old one goes on serving.
    let old = fs::read(team.path("noop.wasm.minisig")).unwrap();
    team.replace("0.2.0");
    error(&host, "AL-0250").await;
    fs::write(team.path("noop.wasm.minisig"), old).unwrap();
    error(&host, "AL-0255").await;
    assert_eq!(runs(&host).await, "success");
    let audit = host.cli_json(&["audit", "list"]).to_string();
    assert!(
        audit.contains("bundle.refuse") && audit.contains("AL-0255"),
        "{audit}"
    );
    team.sign("first");
    serves(&host, &team.file).await;
    no_errors(&host).await;
    assert_eq!(runs(&host).await, "success");
}

#[tokio::test]
async fn keys_rotate_and_a_revoked_key_vouches_for_no_version_that_was_taken_in() {
    let team = Team::new();
    let host_home = team.home.path().to_owned();
    team.sign("first");
    let host = Host::start_in(&host_home, &team.config(&[("first", false)]));
    host.dag("single").await;
    let pinned = host.trigger("single", json!({"logical_date": null})).await;
    assert_eq!(host.ended("single", &pinned).await, "success");
    drop(host);

    // Rotation: the old key counts beside the new one, and the file's signature may be gone by then.
    fs::remove_file(team.path("noop.wasm.minisig")).unwrap();
    let both = team.config(&[("first", false), ("second", false)]);
    let host = Host::start_in(&host_home, &both);
    host.dag("single").await;
    assert_eq!(runs(&host).await, "success");
    no_errors(&host).await;
    drop(host);

    // A version by the new key; an unsigned one takes its place in the file before the host starts again.
    team.replace_signed("0.2.0", "second");
    let host = Host::start_in(&host_home, &both);
    serves(&host, &team.file).await;
    drop(host);
    team.replace("0.3.0");
    let host = Host::start_in(
        &host_home,
        &team.config(&[("first", true), ("second", false)]),
    );
    error(&host, "AL-0250").await;
    assert_eq!(runs(&host).await, "success", "0.2.0 goes on serving");
    // A run that is pinned to the version by the revoked key cannot be run again.
    let again = json!({"dag_run_id": pinned, "only_failed": false, "dry_run": false});
    host.post("/dags/single/clearTaskInstances", again).await;
    assert_eq!(host.ended("single", &pinned).await, "failed");
    let log = host.cli(&["tasks", "logs", "single", &pinned, "noop"]);
    let path = format!(
        "/dags/single/dagRuns/{}/taskInstances",
        airlock_tests::escape(&pinned)
    );
    let log = format!("{log:?} {}", host.get(&path).await);
    assert!(log.contains("AL-0254"), "{log}");
    drop(host);

    // The new key is revoked: neither the version in the file nor the one that served counts any more.
    let revoked = team.config(&[("first", true), ("second", true)]);
    let host = Host::start_in(&host_home, &revoked);
    error(&host, "AL-0250").await;
    let dag = host.get("/dags/single").await;
    assert_eq!(dag["is_stale"], true, "{dag}");
    team.sign("second");
    let told = error(&host, "AL-0254").await;
    assert!(told.contains("`second`, which is revoked"), "{told}");
    let signature = team.inspected(&revoked);
    assert_eq!(signature["standing"], "invalid");
    assert_eq!(signature["required"], true);

    // Each refusal is told to the audit once, however often the host began anew with the same bytes: those of the file,
    // of the version that served, and of the one that a run was pinned to.
    drop(host);
    let host = Host::start_in(&host_home, &revoked);
    error(&host, "AL-0254").await;
    let refused = host.cli_json(&["audit", "list", "--action", "bundle.refuse"]);
    let mut refused: Vec<_> = refused
        .as_array()
        .unwrap()
        .iter()
        .map(|row| {
            let detail = &row["detail"];
            let text = |name: &str| detail[name].as_str().unwrap().to_owned();
            (text("version"), text("code"))
        })
        .collect();
    refused.sort();
    let wanted = [
        ("0.1.0", "AL-0254"),
        ("0.2.0", "AL-0254"),
        ("0.3.0", "AL-0250"),
        ("0.3.0", "AL-0254"),
    ];
    let wanted = wanted.map(|(version, code)| (version.to_owned(), code.to_owned()));
    assert_eq!(refused, wanted);
}

#[test]
fn a_component_is_signed_and_verified_by_commands_and_its_manifest_is_printed() {
    let team = Team::new();
    let home = team.home.path();
    let manifest = succeed(home, &["bundle", "manifest", team.file()]);
    assert!(
        manifest
            .starts_with("airlock bundle manifest 1\nname: noop\nversion: 0.1.0\ncomponent: b3:"),
        "{manifest}"
    );
    team.sign("first");
    let verify = |key: &str| run(home, &["bundle", "verify", team.file(), "--key", key]);
    assert!(verify(&team.path("first.pub")).status.success());
    assert!(verify(&team.key("first")).status.success());
    let other = verify(&team.path("second.pub"));
    let said = String::from_utf8_lossy(&other.stderr).into_owned();
    assert!(
        !other.status.success() && said.contains("AL-0253"),
        "{said}"
    );
    let again = run(
        home,
        &["bundle", "keygen", &team.path("first"), "--no-password"],
    );
    assert!(!again.status.success(), "a key is never overwritten");
}
