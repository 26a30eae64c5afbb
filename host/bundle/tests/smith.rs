//! Components and modules that were made at random: whatever they are, an inspection ends with what they are.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on is to fail")]

use std::{fs, path::Path, process::Command};

use airlock_bundle::{DEFAULT_MAX_BYTES, InspectError, embed, inspect};
use wasm_encoder::{
    Component, ComponentExportKind, ComponentExportSection, ComponentInstanceSection, RawSection,
};

/// The made files, each with its name. What runs for long makes as many as PROPTEST_CASES says.
fn made() -> Vec<(String, Vec<u8>)> {
    let cases = std::env::var("PROPTEST_CASES").unwrap_or_else(|_| "200".to_owned());
    let smith = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/smith/Cargo.toml");
    let folder = tempfile::tempdir().unwrap();
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // What concerns the host's own build must not reach another workspace's.
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        let outer = ["CARGO", "RUST", "__CARGO"];
        let kept = ["CARGO_HOME", "RUSTUP_HOME", "RUSTUP_TOOLCHAIN"];
        if outer.iter().any(|start| text.starts_with(start)) && !kept.contains(&&*text) {
            cargo.env_remove(&name);
        }
    }
    cargo.args(["run", "--quiet", "--release", "--locked", "--manifest-path"]);
    cargo.arg(smith).arg("--").arg(folder.path());
    let status = cargo.args(["0", &cases]).status().unwrap();
    assert!(status.success(), "tests/smith must compile and run");
    let files = fs::read_dir(folder.path()).unwrap().map(Result::unwrap);
    files
        .map(|file| {
            let name = file.file_name().to_string_lossy().into_owned();
            (name, fs::read(file.path()).unwrap())
        })
        .collect()
}

/// A bundle with a bundle.toml and a phase, inside of which stands what was made.
fn around(made: &[u8]) -> Vec<u8> {
    let mut component = Component::new();
    // The sections' ids: a core module, a component.
    let is_module = made.get(4..8) == Some(&[1, 0, 0, 0]);
    component.section(&RawSection {
        id: if is_module { 1 } else { 4 },
        data: made,
    });
    let mut instances = ComponentInstanceSection::new();
    instances.export_items(std::iter::empty::<(&str, ComponentExportKind, u32)>());
    component.section(&instances);
    let mut exports = ComponentExportSection::new();
    let name = "airlock:bundle/dags@0.1.0";
    exports.export(name, ComponentExportKind::Instance, 0, None);
    component.section(&exports);
    let manifest = "[bundle]\nname = \"made\"\nversion = \"1.0.0\"\n";
    embed(&component.finish(), manifest).unwrap()
}

#[test]
fn fuzz_components_made_at_random_are_inspected_to_the_end() {
    let (mut whole, mut taken) = (0, 0);
    for (name, bytes) in made() {
        // Alone it is no bundle, and says so; nothing in it is believed before it is known to be valid.
        match inspect(&bytes, DEFAULT_MAX_BYTES).unwrap_err() {
            InspectError::OtherWorld { .. } => whole += 1,
            InspectError::CoreModule | InspectError::Invalid(_) | InspectError::TooMany { .. } => {}
            other => panic!("{name}: {other}"),
        }
        match inspect(&around(&bytes), DEFAULT_MAX_BYTES) {
            Ok(inspection) => {
                assert_eq!(inspection.manifest.name.as_str(), "made", "{name}");
                taken += 1;
            }
            Err(InspectError::Invalid(_)) => {}
            Err(other) => panic!("{name}: {other}"),
        }
    }
    assert!(
        whole > 0 && taken > 0,
        "{whole} {taken}: nothing valid was made"
    );
}
