//! Files: granted directories, and nothing around them.

use airlock_grant::{BundleLabel, Effective};
use airlock_model::{
    id::{BundleHash, BundleName},
    outcome::FailureKind,
};
use airlock_sandbox::Sourced;

use crate::{
    guests::guest,
    stage::{Bundle, Stage, assert_failure, request, small},
};

#[tokio::test]
async fn a_granted_directory_is_read_and_written_as_its_mode_says() {
    let stage = Stage::new();
    let bundle = stage.hostile(&stage.add_team("a", small()));
    for path in ["\"in/a.txt\"", "\"/in/a.txt\""] {
        assert_eq!(
            stage.value(&bundle, "read", &[path]).await,
            "\"a granted file\"",
            "{path}"
        );
    }
    assert_eq!(
        stage.value(&bundle, "write", &["\"out/b.txt\""]).await,
        "\"ok\""
    );
    let written = std::fs::read_to_string(stage.folder().join("out/b.txt")).unwrap();
    assert_eq!(written, "written by a guest");
    let refused = stage.value(&bundle, "write", &["\"in/b.txt\""]).await;
    assert!(
        ["\"ReadOnlyFilesystem\"", "\"PermissionDenied\""].contains(&&*refused),
        "{refused}"
    );
}

#[tokio::test]
async fn nothing_outside_a_granted_directory_can_be_read_or_written() {
    let stage = Stage::new();
    let bundle = stage.hostile(&stage.add_team("a", small()));
    let absolute = stage.folder().join("secret.txt");
    let absolute = format!("{:?}", absolute.to_str().unwrap());
    std::os::unix::fs::symlink("../secret.txt", stage.folder().join("in/up")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", stage.folder().join("in/away")).unwrap();
    for path in [
        "\"/etc/passwd\"",
        "\"in/../../secret.txt\"",
        "\"../secret.txt\"",
        "\"in/../secret.txt\"",
        "\"secret.txt\"",
        "\"in/up\"",
        "\"in/away\"",
        &absolute,
    ] {
        for entry in ["read", "write"] {
            let value = stage.value(&bundle, entry, &[path]).await;
            let errors = [
                "NotFound",
                "PermissionDenied",
                "Other",
                "ReadOnlyFilesystem",
                "Uncategorized",
            ];
            assert!(
                errors.iter().any(|e| value == format!("\"{e}\"")),
                "{entry} {path}: {value}"
            );
        }
    }
    let linked = stage.value(&bundle, "link", &[]).await;
    assert!(!linked.contains("the host's own"), "{linked}");
    let secret = std::fs::read_to_string(stage.folder().join("secret.txt")).unwrap();
    assert_eq!(secret, "the host's own");
}

#[tokio::test]
async fn a_granted_directory_that_is_not_there_fails_the_try_with_its_place() {
    let stage = Stage::new();
    let bundle = stage.hostile(&stage.add_team("a", small()));
    std::fs::remove_dir_all(stage.folder().join("out")).unwrap();
    let failure = stage.failure(&bundle, "nothing").await;
    assert_failure(
        &failure,
        FailureKind::Error,
        &["AL-0431", "`out`", "create it"],
    );
}

#[tokio::test]
async fn a_link_does_not_lead_an_automatic_grant_out_of_the_bundles_folder() {
    let stage = Stage::new();
    let team = stage.add_team("default", small());
    let own = stage.folder().join("bundle");
    std::fs::create_dir_all(own.join("in")).unwrap();
    std::fs::write(own.join("in/a.txt"), "own").unwrap();
    let wasm = guest("hostile_tasks");
    let wanted = request(
        "[[request.directory]]\npath = \"in\"\n[[request.variable]]\nkey = \"k\"\n[[request.connection]]\nid = \"c\"\naccess = \"read\"\n",
    );
    let label = BundleLabel {
        name: BundleName::new("bundle").unwrap(),
        version: "1.0.0".into(),
        hash: BundleHash::from_bytes(*blake3::hash(&wasm).as_bytes()),
    };
    let bundle = Bundle {
        team,
        name: label.name.clone(),
        hash: label.hash,
    };
    let effective = Effective::grant_all(label, &wanted, &own).into();
    stage
        .sandbox
        .load(Sourced {
            wasm: wasm.into(),
            effective,
        })
        .unwrap();
    assert_eq!(
        stage.value(&bundle, "read", &["\"in/a.txt\""]).await,
        "\"own\""
    );
    std::fs::remove_dir_all(own.join("in")).unwrap();
    std::os::unix::fs::symlink("/etc", own.join("in")).unwrap();
    let failure = stage.failure(&bundle, "nothing").await;
    assert_failure(&failure, FailureKind::Error, &["AL-0433", "`in`"]);
}

#[tokio::test]
async fn a_directory_that_a_link_replaces_after_its_check_is_the_one_that_was_checked() {
    let stage = Stage::new();
    let bundle = stage.hostile(&stage.add_team("a", small()));
    let (granted, other) = (stage.folder().join("in"), stage.folder().join("other"));
    std::fs::create_dir(&other).unwrap();
    std::fs::write(other.join("a.txt"), "the host's own").unwrap();
    let aside = stage.folder().join("aside");
    *stage.world.opened.lock().unwrap() = Some(Box::new(move || {
        std::fs::rename(&granted, aside).unwrap();
        std::os::unix::fs::symlink(&other, &granted).unwrap();
    }));
    assert_eq!(
        stage.value(&bundle, "read", &["\"in/a.txt\""]).await,
        "\"a granted file\""
    );
}
