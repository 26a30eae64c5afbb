//! A grant that is taken back while calls run, wait, and while a version is on its way in.

use std::sync::Arc;

use airlock_grant::{Effective, Grant};
use airlock_model::outcome::{FailureKind, Outcome};
use airlock_sandbox::Sourced;
use tokio::sync::oneshot;

use crate::stage::{Bundle, Stage, assert_failure, failed, grant, small, usual};

/// From now on the bundle is granted this.
pub(crate) fn regrant(stage: &Stage, bundle: &Bundle, grant: &Grant) {
    let now = |before: &Effective| {
        let (team, label) = (before.team().clone(), before.bundle().clone());
        Arc::new(Effective::approved(team, label, before.request(), grant))
    };
    stage.sandbox.regrant(&bundle.team, &bundle.name, now);
}

#[tokio::test]
async fn a_try_that_runs_cannot_use_what_was_taken_back_after_it_began() {
    let stage = Stage::new();
    let bundle = stage.hostile(&stage.add_team("a", small()));
    stage.world.set_variable("a", "granted.one", "1");
    let ((reached, is_reached), (go_on, goes_on)) = (oneshot::channel(), oneshot::channel());
    *stage.world.paused.lock().unwrap() = Some((reached, goes_on));
    let keys = ["\"granted.one\"", "\"granted.one\""];
    let ended = stage.dispatch(stage.work(&bundle, "variables", &keys));
    is_reached.await.unwrap();
    let (_, mut held) = usual(stage.folder());
    held.variable.remove(0);
    regrant(&stage, &bundle, &held);
    go_on.send(()).unwrap();
    let Outcome::Success { xcoms, .. } = ended.await.unwrap().outcome else {
        panic!("a denial ended the try");
    };
    assert_eq!(&*xcoms[0].1, "\"Some(\\\"1\\\") denied\"");
    let denied = stage.world.denied.lock().unwrap();
    assert_eq!(denied.first().unwrap().code, "AL-0411");
    let messages = stage.world.messages().join("\n");
    assert!(
        messages.contains("airlock grants propose bundle"),
        "{messages}"
    );
}

#[tokio::test]
async fn a_try_ends_when_a_directory_that_it_has_open_is_taken_back_and_goes_on_when_others_are() {
    let stage = Stage::new();
    let bundle = stage.hostile(&stage.add_team("a", small()));
    let ((reached, is_reached), (go_on, goes_on)) = (oneshot::channel(), oneshot::channel());
    *stage.world.paused.lock().unwrap() = Some((reached, goes_on));
    let waits = stage.dispatch(stage.work(&bundle, "variables", &["\"granted.one\""]));
    is_reached.await.unwrap();
    let (_, held) = usual(stage.folder());
    let mut without_http = held.clone();
    without_http.http.clear();
    regrant(&stage, &bundle, &without_http);
    let mut read_only = held.clone();
    for directory in &mut read_only.directory {
        directory.mode = airlock_grant::Mode::Read;
    }
    regrant(&stage, &bundle, &held);
    regrant(&stage, &bundle, &read_only);
    let failure = failed(waits.await.unwrap().outcome);
    assert_failure(&failure, FailureKind::Error, &["AL-0566", "`out`"]);
    drop(go_on);
    // What begins afterwards has the directory as it is now.
    let write = stage.value(&bundle, "write", &["\"out/b.txt\""]).await;
    assert!(
        ["\"ReadOnlyFilesystem\"", "\"PermissionDenied\""].contains(&&*write),
        "{write}"
    );
}

#[tokio::test]
async fn a_version_that_imports_what_was_taken_back_is_not_called_until_it_is_granted_again() {
    let stage = Stage::new();
    let bundle = stage.hostile(&stage.add_team("a", small()));
    let (_, held) = usual(stage.folder());
    stage.value(&bundle, "nothing", &[]).await;
    regrant(&stage, &bundle, &Grant::default());
    let failure = stage.failure(&bundle, "nothing").await;
    assert!(failure.message.contains("AL-0410"), "{failure:?}");
    regrant(&stage, &bundle, &held);
    stage.value(&bundle, "nothing", &[]).await;
}

#[tokio::test]
async fn what_was_fetched_under_a_grant_that_was_taken_back_meanwhile_is_fetched_again() {
    let stage = Stage::new();
    let team = stage.add_team("a", small());
    let bundle = stage.hostile(&team);
    let (request, held) = usual(stage.folder());
    let wasm = crate::guests::guest("hostile_tasks");
    let sourced = |grant: &Grant| Sourced {
        wasm: wasm.clone().into(),
        effective: crate::stage::effective(&team, &wasm, &request, grant),
    };
    stage.sandbox.unload(&team, &bundle.name, &bundle.hash);
    let ((reached, is_reached), (go_on, goes_on)) = (oneshot::channel(), oneshot::channel());
    *stage.world.slow_source.lock().unwrap() = Some((reached, goes_on));
    let sources = &stage.world.source;
    sources.lock().unwrap().insert(bundle.hash, sourced(&held));
    let ended = stage.dispatch(stage.work(&bundle, "variables", &["\"granted.one\""]));
    is_reached.await.unwrap();
    let mut less = held.clone();
    less.variable = grant("[[variable]]\nkey = \"broken\"\n").variable;
    sources.lock().unwrap().insert(bundle.hash, sourced(&less));
    regrant(&stage, &bundle, &less);
    go_on.send(()).unwrap();
    let Outcome::Success { xcoms, .. } = ended.await.unwrap().outcome else {
        panic!("a denial ended the try");
    };
    assert_eq!(&*xcoms[0].1, "\"denied\"");
}
