//! Components and modules that were made at random, in a bundle: each is compiled by the child process and run,
//! or refused, and the house stands.

use std::{fs, path::Path};

use airlock_grant::{Grant, Request};
use airlock_model::outcome::FailureKind;

use crate::{
    guests::cargo,
    stage::{Stage, small},
    synthetic,
};

/// The made files, each with its name: as many as PROPTEST_CASES says, where it is set.
fn made() -> Vec<(String, Vec<u8>)> {
    let cases = std::env::var("PROPTEST_CASES").unwrap_or_else(|_| "12".to_owned());
    let smith = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/smith/Cargo.toml");
    let folder = tempfile::tempdir().unwrap();
    let mut cargo = cargo();
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

#[tokio::test]
async fn fuzz_components_made_at_random_are_compiled_and_run_or_refused_and_the_house_stands() {
    let stage = Stage::new();
    let team = stage.add_team("a", small());
    let (request, grant) = (Request::default(), Grant::default());
    let mut ran = 0;
    for (name, bytes) in made() {
        // Alone it is no bundle.
        assert!(stage.load(&team, bytes.clone(), &request, &grant).is_err());
        let wasm = synthetic::beside(&bytes);
        let Ok(bundle) = stage.load(&team, wasm, &request, &grant) else {
            continue;
        };
        let failure = stage.failure(&bundle, "any").await;
        match failure.kind {
            // Its own code ends so, or whatever was instantiated before it; or the compiler refuses it all.
            FailureKind::Trap | FailureKind::Limit(_) => ran += 1,
            FailureKind::Load => {}
            other => panic!("{name}: {other:?}: {failure:?}"),
        }
    }
    assert!(ran > 0, "nothing was made that runs");
    let good = stage.plain(&team, "noop");
    assert_eq!(stage.parse(&good).await.unwrap().errors, []);
}
