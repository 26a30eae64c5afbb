//! Directories on a real disk.

use std::{fs, os::unix::fs::symlink, path::Path};

use airlock_grant::{BundleLabel, Caller, Effective, Grant, Request};
use airlock_model::id::{BundleHash, BundleName, DagId, TaskId, TeamName};

use super::*;

const ASKS: &str = "[[request.directory]]\npath = \"data/in\"\n";

fn label() -> BundleLabel {
    BundleLabel {
        name: BundleName::new("weather").unwrap(),
        version: "0.1.0".into(),
        hash: BundleHash::from_bytes([0; 32]),
    }
}

fn permit(effective: &Effective) -> Permit<Directory> {
    let caller = Caller::task(DagId::new("d").unwrap(), TaskId::new("t").unwrap());
    effective.directory(&caller, "data/in").unwrap()
}

/// Opens what the automatic grant gives in this folder.
fn automatic(folder: &Path) -> Result<Dir, DirectoryError> {
    let request = Request::from_bundle_toml(ASKS).unwrap();
    open(&permit(&Effective::grant_all(label(), &request, folder)))
}

fn configured(host: &Path) -> Result<Dir, DirectoryError> {
    let request = Request::from_bundle_toml(ASKS).unwrap();
    let mut grant = Grant::default();
    grant.directory.push(airlock_grant::DirectoryGrant {
        path: request.directory[0].path.clone(),
        host: host.to_owned(),
        mode: request.directory[0].mode,
        phases: None,
        dags: None,
        tasks: None,
    });
    let team = TeamName::new("a").unwrap();
    open(&permit(&Effective::new(team, label(), &request, &grant)))
}

#[test]
fn a_directory_below_the_bundles_folder_is_opened() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("data/in")).unwrap();
    fs::write(folder.path().join("data/in/file"), "x").unwrap();
    assert_eq!(
        automatic(folder.path()).unwrap().read("file").unwrap(),
        b"x"
    );
    // A link that stays inside is as good.
    fs::rename(folder.path().join("data"), folder.path().join("real")).unwrap();
    symlink("real", folder.path().join("data")).unwrap();
    assert_eq!(
        automatic(folder.path()).unwrap().read("file").unwrap(),
        b"x"
    );
}

#[test]
fn a_missing_directory_is_told_with_the_command_that_makes_it() {
    let folder = tempfile::tempdir().unwrap();
    let text = automatic(folder.path()).unwrap_err().to_string();
    let host = folder.path().join("data/in");
    assert!(text.starts_with("AL-0431"), "{text}");
    assert!(
        text.contains(&format!("mkdir -p '{}'", host.display())),
        "{text}"
    );
    assert!(
        configured(&host)
            .unwrap_err()
            .to_string()
            .starts_with("AL-0431")
    );
}

#[test]
fn what_is_no_directory_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("data")).unwrap();
    let host = folder.path().join("data/in");
    fs::write(&host, "x").unwrap();
    for opened in [automatic(folder.path()), configured(&host)] {
        let text = opened.unwrap_err().to_string();
        assert!(text.starts_with("AL-0432"), "{text}");
    }
}

#[test]
fn a_link_out_of_the_bundles_folder_is_refused_unless_a_person_wrote_the_path() {
    let (folder, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fs::create_dir(outside.path().join("in")).unwrap();
    for target in [
        outside.path().to_owned(),
        Path::new("..").join(outside.path().file_name().unwrap()),
    ] {
        let link = folder.path().join("data");
        symlink(&target, &link).unwrap();
        let text = automatic(folder.path()).unwrap_err().to_string();
        assert!(text.starts_with("AL-0433"), "{text}");
        fs::remove_file(&link).unwrap();
    }
    symlink(outside.path(), folder.path().join("data")).unwrap();
    assert!(configured(&folder.path().join("data/in")).is_ok());
}

#[test]
fn what_is_missing_is_told_once_however_many_tasks_may_see_it() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("there")).unwrap();
    let asks = format!("{ASKS}[[request.directory]]\npath = \"there\"\n");
    let request = Request::from_bundle_toml(&asks).unwrap();
    let all = Effective::grant_all(label(), &request, folder.path());
    let task = |id| Caller::task(DagId::new("d").unwrap(), TaskId::new(id).unwrap());
    let mut permits = all.directories(&task("a"));
    permits.extend(all.directories(&task("b")));
    assert_eq!(permits.len(), 4);
    let wrong = check(&permits);
    assert!(matches!(&wrong[..], [DirectoryError::Missing { path, .. }] if path == "data/in"));
}
