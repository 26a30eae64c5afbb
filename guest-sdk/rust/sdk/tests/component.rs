//! Components as they are built: that the template of `airlock bundle new` becomes one, and that a component
//! imports what its code uses and nothing else.

use std::{
    error::Error,
    fs, io,
    path::{Path, PathBuf},
    process::Command,
};

use wasmparser::{Parser, Payload};

type Result<T, E = Box<dyn Error>> = std::result::Result<T, E>;

const NAME: &str = "first-steps";
const DAG: &str = "first_steps";

/// What the standard library drags in: streams for the try's log, and nothing that reaches anywhere.
const INERT: [&str; 12] = [
    "airlock:bundle/definitions",
    "airlock:bundle/units",
    "airlock:bundle/waits",
    "airlock:capability/log",
    "wasi:cli/stderr",
    "wasi:cli/stdin",
    "wasi:cli/stdout",
    "wasi:cli/terminal-",
    "wasi:clocks/",
    "wasi:io/",
    "wasi:cli/exit",
    "airlock:capability/errors",
];

fn bundles() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../bundles")
}

/// Runs cargo with the build folder of the example bundles, in which most is built already.
fn cargo(folder: &Path, arguments: &[&str]) -> Result<()> {
    let target = bundles().join("target");
    let output = Command::new(env!("CARGO"))
        .args(arguments)
        .current_dir(folder)
        .env("CARGO_TARGET_DIR", target)
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    match output.status.success() && !said.contains("warning") {
        true => Ok(()),
        false => Err(format!("cargo {arguments:?}: {said}").into()),
    }
}

/// Builds the components of a folder.
fn build(folder: &Path) -> Result<()> {
    cargo(folder, &["build", "--release", "--target", "wasm32-wasip2"])
}

/// The interfaces that a built component imports beside the inert ones, without their versions.
fn imports(name: &str) -> Result<Vec<String>> {
    let file = bundles()
        .join("target/wasm32-wasip2/release")
        .join(format!("{name}.wasm"));
    let bytes = fs::read(file)?;
    let mut all = Vec::new();
    let mut depth = 0;
    for payload in Parser::new(0).parse_all(&bytes) {
        match payload? {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth -= 1,
            Payload::ComponentImportSection(section) if depth == 0 => {
                for import in section {
                    let name = import?.name.name.to_owned();
                    let name = name.split('@').next().unwrap_or_default().to_owned();
                    if !INERT.iter().any(|inert| name.starts_with(inert)) {
                        all.push(name);
                    }
                }
            }
            _ => {}
        }
    }
    all.sort();
    Ok(all)
}

fn instantiate(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            instantiate(&entry.path(), &target)?;
        } else {
            let text = fs::read_to_string(entry.path())?;
            fs::write(
                target,
                text.replace("{{name}}", NAME).replace("{{dag}}", DAG),
            )?;
        }
    }
    Ok(())
}

#[test]
fn a_new_bundle_builds_and_its_tests_pass_and_it_reaches_nothing() -> Result<()> {
    let sdk = Path::new(env!("CARGO_MANIFEST_DIR"));
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join(NAME);
    let _ = fs::remove_dir_all(&home);
    instantiate(&sdk.join("../template"), &home)?;
    fs::create_dir_all(home.join(".cargo"))?;
    let patch = format!("[patch.crates-io]\nairlock-sdk = {{ path = {sdk:?} }}\n");
    fs::write(home.join(".cargo/config.toml"), patch)?;
    // The versions that the example bundles use, so that nothing has to be asked of a registry.
    fs::copy(bundles().join("Cargo.lock"), home.join("Cargo.lock"))?;
    cargo(&home, &["test"])?;
    build(&home)?;
    assert_eq!(imports(DAG)?, [""; 0]);
    Ok(())
}

#[test]
fn the_example_bundles_import_what_they_use_and_nothing_else() -> Result<()> {
    build(&bundles())?;
    let files = ["wasi:filesystem/preopens", "wasi:filesystem/types"];
    let weather = imports("weather")?;
    assert_eq!(
        weather,
        [&["airlock:capability/directories"], &files[..]].concat()
    );
    let rates = imports("rates")?;
    let asked =
        ["connections", "variables", "xcom"].map(|name| format!("airlock:capability/{name}"));
    let http = ["wasi:http/outgoing-handler", "wasi:http/types"];
    assert_eq!(
        rates,
        [
            asked.each_ref().map(String::as_str).as_slice(),
            &files,
            &http
        ]
        .concat()
    );
    Ok(())
}
