//! `airlock bundle build`: cargo makes the component, and `bundle.toml` is embedded into it.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Stdio,
};

use airlock_bundle::{DEFAULT_MAX_BYTES, Inspection};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::Command,
};

use crate::{
    error::CliError,
    output::{Format, line, print_json, print_line, size},
    sdk,
};

/// The compiler's target of bundles.
const TARGET: &str = "wasm32-wasip2";

/// A built bundle.
#[derive(Debug)]
pub(crate) struct Built {
    /// The component file.
    pub(crate) path: PathBuf,
    inspection: Inspection,
}

impl Built {
    pub(super) fn tell(&self, format: Format) -> Result<(), CliError> {
        let Inspection {
            hash,
            size: bytes,
            manifest,
            ..
        } = &self.inspection;
        match format {
            Format::Json => print_json(&serde_json::json!({
                "name": manifest.name,
                "version": manifest.version.to_string(),
                "path": self.path,
                "size": bytes,
                "hash": hash.to_string(),
            })),
            Format::Table => print_line(&format!(
                "{} {}   {}   {}   b3:{hash}",
                manifest.name,
                manifest.version,
                line(&self.path.to_string_lossy()),
                size(*bytes),
            )),
        }
    }
}

/// Builds the bundle of a folder.
///
/// # Errors
/// A [`CliError`] that says what is missing; what the compiler has to say goes to standard error as it is.
pub(crate) async fn build(home: &Path, folder: &Path, debug: bool) -> Result<Built, CliError> {
    let manifest = read(folder, "bundle.toml")?;
    // What is wrong with it is told before the compiler is kept busy.
    let name = airlock_bundle::Manifest::parse(&manifest)
        .map_err(CliError::room)?
        .name;
    airlock_grant::Request::from_bundle_toml(&manifest).map_err(CliError::room)?;
    let cargo_toml = read(folder, "Cargo.toml")?;
    check_target(folder).await?;
    let Compiled { component, sdk } = compile(home, folder, &cargo_toml, debug).await?;
    let bytes = fs::read(&component)
        .map_err(|error| CliError::file("what cargo built", &component, &error))?;
    let bytes = match sdk {
        Some(version) => made_with_sdk(&bytes, &version)?,
        None => bytes,
    };
    let bytes = airlock_bundle::embed(&bytes, &manifest).map_err(CliError::room)?;
    let inspection = airlock_bundle::inspect(&bytes, DEFAULT_MAX_BYTES).map_err(CliError::room)?;
    // Cargo writes TARGET_DIR/wasm32-wasip2/PROFILE/NAME.wasm.
    let target_dir = component.ancestors().nth(3).unwrap_or(folder);
    let path = target_dir.join(format!("{name}.wasm"));
    write(&path, &bytes).map_err(|error| CliError::file("the component", &path, &error))?;
    Ok(Built { path, inspection })
}

fn read(folder: &Path, name: &str) -> Result<String, CliError> {
    let path = folder.join(name);
    fs::read_to_string(&path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => CliError::NotFound(format!(
            "`{}` is no bundle's folder: it has no {name}; name the folder, or write a new bundle with `airlock bundle new NAME`",
            folder.display()
        )),
        _ => CliError::file("the file", &path, &error),
    })
}

/// Whole or not at all, since a running server may be watching the folder.
fn write(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let draft = path.with_extension(format!("draft-{}", std::process::id()));
    fs::write(&draft, bytes)?;
    fs::rename(&draft, path)
}

/// A tool of the Rust toolchain, in the bundle's folder, which may ask for a toolchain of its own.
fn tool(variable: &str, name: &str, folder: &Path) -> Command {
    let program = std::env::var_os(variable).unwrap_or_else(|| OsString::from(name));
    let mut command = Command::new(program);
    command.current_dir(folder).stdin(Stdio::null());
    command
}

fn not_found(tool: &str, error: &std::io::Error) -> CliError {
    CliError::Failed(format!(
        "AL-0840: `{tool}` could not be started: {error}\n  help  install Rust 1.95 or newer; https://rustup.rs says how"
    ))
}

/// Cargo's own complaint about a missing target is hard to read.
async fn check_target(folder: &Path) -> Result<(), CliError> {
    let mut rustc = tool("RUSTC", "rustc", folder);
    let asked = rustc
        .args(["--print", "target-libdir", "--target", TARGET])
        .output();
    let answer = asked.await.map_err(|error| not_found("rustc", &error))?;
    let libraries = PathBuf::from(String::from_utf8_lossy(&answer.stdout).trim());
    let is_std = |entry: &fs::DirEntry| entry.file_name().to_string_lossy().starts_with("libstd-");
    let there = fs::read_dir(&libraries)
        .is_ok_and(|mut entries| entries.any(|entry| entry.as_ref().is_ok_and(is_std)));
    if answer.status.success() && there {
        return Ok(());
    }
    Err(CliError::Failed(format!(
        "AL-0841: this Rust cannot compile bundles yet: its target {TARGET} is not installed\n  help  install it: rustup target add {TARGET}\n  help  with a Rust from the system's packages, install the package that brings this target's standard library"
    )))
}

/// Notes the SDK in the component, for the reviewer, as the compiler has noted itself.
fn made_with_sdk(component: &[u8], version: &str) -> Result<Vec<u8>, CliError> {
    let mut producers = wasm_metadata::Producers::empty();
    producers.add("sdk", "airlock-sdk", version);
    producers.add_to_wasm(component).map_err(|error| {
        CliError::Failed(format!(
            "AL-0844: what cargo built is no component: {error}"
        ))
    })
}

/// What cargo made.
struct Compiled {
    /// The component file.
    component: PathBuf,
    /// The version of the SDK in it.
    sdk: Option<String>,
}

/// Runs cargo and tells where the component is.
async fn compile(
    home: &Path,
    folder: &Path,
    cargo_toml: &str,
    debug: bool,
) -> Result<Compiled, CliError> {
    let mut cargo = tool("CARGO", "cargo", folder);
    cargo.args([
        "build",
        "--lib",
        "--target",
        TARGET,
        "--message-format=json-render-diagnostics",
    ]);
    if !debug {
        cargo.arg("--release");
    }
    if wants_sdk(cargo_toml) {
        // Also where the bundle was written on another machine.
        let path = sdk::unpack(home)?.to_string_lossy().into_owned();
        let path = toml::Value::String(path);
        cargo
            .arg("--config")
            .arg(format!("patch.crates-io.airlock-sdk.path={path}"));
    }
    let mut child = cargo
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| not_found("cargo", &error))?;
    let (mut component, mut sdk) = (None, None);
    if let Some(messages) = child.stdout.take() {
        let mut lines = BufReader::new(messages).lines();
        while let Ok(Some(text)) = lines.next_line().await {
            let Some(message) = artifact(&text) else {
                continue;
            };
            component = component_of(&message, folder).or(component);
            sdk = sdk_version(&message).or(sdk);
        }
    }
    let status = child
        .wait()
        .await
        .map_err(|error| not_found("cargo", &error))?;
    if !status.success() {
        return Err(CliError::Failed(format!(
            "AL-0842: `{}` did not compile; what cargo said stands above",
            folder.display()
        )));
    }
    let component = component.ok_or_else(|| {
        CliError::Failed(format!(
            "AL-0843: cargo built no component in `{}`; its Cargo.toml needs:\n  [lib]\n  crate-type = [\"cdylib\"]",
            folder.display()
        ))
    })?;
    Ok(Compiled { component, sdk })
}

/// Whether the bundle takes the SDK from the registry, where the one of this binary stands in.
fn wants_sdk(cargo_toml: &str) -> bool {
    let Ok(manifest) = cargo_toml.parse::<toml::Table>() else {
        return false;
    };
    let dependency = manifest
        .get("dependencies")
        .and_then(|dependencies| dependencies.get("airlock-sdk"));
    match dependency {
        Some(toml::Value::String(_)) => true,
        Some(toml::Value::Table(table)) => ["path", "git", "workspace"]
            .iter()
            .all(|key| !table.contains_key(*key)),
        _ => false,
    }
}

/// A message of cargo's that tells of something that was compiled.
fn artifact(message: &str) -> Option<Value> {
    let message: Value = serde_json::from_str(message).ok()?;
    (message.get("reason")? == "compiler-artifact").then_some(message)
}

/// The component, if the message tells of this folder's package.
fn component_of(message: &Value, folder: &Path) -> Option<PathBuf> {
    let own = fs::canonicalize(folder.join("Cargo.toml")).ok()?;
    let built = fs::canonicalize(message.get("manifest_path")?.as_str()?).ok()?;
    if own != built {
        return None;
    }
    message
        .get("filenames")?
        .as_array()?
        .iter()
        .filter_map(Value::as_str)
        .find(|name| name.ends_with(".wasm"))
        .map(PathBuf::from)
}

/// The version of the SDK, if the message tells of it: its package id ends with `airlock-sdk@VERSION`, or
/// with `#VERSION` where the folder is called as the package.
fn sdk_version(message: &Value) -> Option<String> {
    if message.get("target")?.get("name")? != "airlock_sdk" {
        return None;
    }
    let id = message.get("package_id")?.as_str()?;
    let version = id.rsplit(['@', '#']).next()?;
    let plain = version
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
    plain.then(|| version.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sdk_of_this_binary_stands_in_for_the_registrys_only() {
        for (dependency, wanted) in [
            ("airlock-sdk = \"0.1\"", true),
            ("airlock-sdk = { version = \"0.1\", features = [] }", true),
            ("airlock-sdk = { path = \"../sdk\" }", false),
            ("airlock-sdk = { workspace = true }", false),
            ("serde = \"1\"", false),
            ("not toml", false),
        ] {
            let manifest = format!("[dependencies]\n{dependency}\n");
            assert_eq!(wants_sdk(&manifest), wanted, "{dependency}");
        }
    }

    #[tokio::test]
    async fn a_folder_that_is_no_bundle_is_told_so() {
        let folder = tempfile::tempdir().unwrap();
        let error = build(folder.path(), folder.path(), false)
            .await
            .unwrap_err();
        assert_eq!(error.exit_code(), crate::error::NOT_FOUND);
        fs::write(
            folder.path().join("bundle.toml"),
            "[bundle]\nname = \"a/b\"\n",
        )
        .unwrap();
        let error = build(folder.path(), folder.path(), false)
            .await
            .unwrap_err();
        assert!(
            error.report(false).starts_with("error[AL-0208]"),
            "{}",
            error.report(false)
        );
    }
}
