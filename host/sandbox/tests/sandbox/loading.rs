//! Loading: what is refused and why, and that compiled code is kept.

use std::{sync::atomic::Ordering::Relaxed, time::Duration};

use airlock_grant::{
    Grant, Request,
    port::{Grants, GrantsError},
};
use airlock_model::{
    id::{BundleHash, TeamName},
    outcome::FailureKind,
};
use airlock_sandbox::{CompileLimits, LoadError, ShapeError, Sourced, TeamLimits};

use crate::{
    guests::guest,
    stage::{Stage, assert_failure, effective, small},
    synthetic,
};

fn refused(wasm: Vec<u8>) -> LoadError {
    let stage = Stage::new();
    let team = stage.add_team("a", small());
    match stage.load(&team, wasm, &Request::default(), &Grant::default()) {
        Ok(_) => panic!("it was loaded"),
        Err(error) => error,
    }
}

#[test]
fn files_that_are_no_bundle_are_refused_for_what_they_are() {
    let error = refused(b"#!/bin/sh\necho hello\n".to_vec());
    assert!(
        matches!(error, LoadError::Shape(ShapeError::NotWasm)),
        "{error}"
    );
    let error = refused(synthetic::core_module());
    assert!(
        matches!(error, LoadError::Shape(ShapeError::CoreModule)),
        "{error}"
    );
    let error = refused(synthetic::other_world());
    assert!(matches!(error, LoadError::NoPhase), "{error}");
    let error = refused(synthetic::large(64 << 20));
    assert!(matches!(error, LoadError::TooLarge { .. }), "{error}");
    for part in ["AL-0550", "32 MiB", "`component_bytes`"] {
        assert!(error.to_string().contains(part), "{error}");
    }
}

#[test]
fn an_import_that_is_granted_in_no_phase_keeps_the_bundle_out() {
    let error = refused(guest("hostile_tasks"));
    let LoadError::Imports(imports) = &error else {
        panic!("{error}")
    };
    assert_eq!(imports.len(), 3, "{error}");
    for part in [
        "AL-0410",
        "airlock:capability/variables",
        "[[request.variable]]",
        "[[team.bundle.grant.connection]]",
    ] {
        assert!(error.to_string().contains(part), "{part} is not in {error}");
    }
}

#[test]
fn imports_that_are_refused_are_told_to_the_audit() {
    let stage = Stage::new();
    let team = stage.add_team("a", small());
    let refused = stage.load(
        &team,
        guest("hostile_tasks"),
        &Request::default(),
        &Grant::default(),
    );
    assert!(refused.is_err());
    let denied = stage.world.denied.lock().unwrap();
    assert_eq!(denied.len(), 3, "{denied:?}");
    assert!(
        (denied.iter()).all(|denied| denied.code == "AL-0410" && denied.phase == "load"),
        "{denied:?}"
    );
    let items: Vec<&str> = denied.iter().map(|denied| denied.item.as_str()).collect();
    assert!(
        items
            .iter()
            .any(|item| item.contains("airlock:capability/variables")),
        "{items:?}"
    );
    assert_eq!(denied[0].team, team);
}

#[test]
fn sockets_are_never_linked() {
    let error = refused(guest("hostile_sockets")).to_string();
    assert!(
        error.contains("AL-0410") && error.contains("wasi:sockets/tcp"),
        "{error}"
    );
}

#[test]
fn other_bytes_than_those_that_were_reviewed_are_refused() {
    let stage = Stage::new();
    let team = stage.add_team("a", small());
    let reviewed = effective(&team, b"reviewed", &Request::default(), &Grant::default());
    let wasm = guest("noop").into();
    let error = stage
        .sandbox
        .load(Sourced {
            wasm,
            effective: reviewed,
        })
        .unwrap_err();
    assert!(matches!(error, LoadError::Hash { .. }), "{error}");
}

#[tokio::test]
async fn code_is_compiled_once_for_all_teams_and_restarts() {
    let stage = Stage::new();
    let (a, b) = (
        stage.add_team("a", small()),
        stage.add_team("b", TeamLimits::default()),
    );
    let (one, other) = (stage.plain(&a, "noop"), stage.plain(&b, "noop"));
    stage
        .sandbox
        .prepare(&one.team, &one.name, &one.hash)
        .await
        .unwrap();
    stage
        .sandbox
        .prepare(&other.team, &other.name, &other.hash)
        .await
        .unwrap();
    assert_eq!(stage.metrics(&a).compiled.load(Relaxed), 1);
    assert_eq!(stage.metrics(&b).compiled.load(Relaxed), 0);
    let stage = stage.restarted();
    let team = stage.add_team("a", small());
    let bundle = stage.plain(&team, "noop");
    assert!(stage.parse(&bundle).await.is_ok());
    assert_eq!(stage.metrics(&team).compiled.load(Relaxed), 0);
}

#[tokio::test]
async fn a_damaged_code_file_is_compiled_again_from_the_source() {
    let stage = Stage::new();
    let team = stage.add_team("a", small());
    let bundle = stage.plain(&team, "noop");
    stage
        .sandbox
        .prepare(&team, &bundle.name, &bundle.hash)
        .await
        .unwrap();
    let stage = stage.restarted();
    let team = stage.add_team("a", small());
    let wasm = guest("noop");
    let effective = effective(&team, &wasm, &Request::default(), &Grant::default());
    let sourced = Sourced {
        wasm: wasm.into(),
        effective,
    };
    stage.sandbox.load(sourced.clone()).unwrap();
    stage
        .world
        .source
        .lock()
        .unwrap()
        .insert(bundle.hash, sourced);
    let code = std::fs::read_dir(stage.folder().join("code"))
        .unwrap()
        .map(Result::unwrap);
    let code = code
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|e| e == "cwasm"))
        .unwrap();
    let mut bytes = std::fs::read(&code).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&code, bytes).unwrap();
    assert!(stage.parse(&bundle).await.is_ok());
    assert_eq!(stage.metrics(&team).compiled.load(Relaxed), 1);
    assert_eq!(stage.world.fetched.load(Relaxed), 1);
}

#[tokio::test]
async fn compiling_is_bounded_in_memory_time_and_size() {
    let usual = CompileLimits::default();
    let (memory, code_bytes) = (32 << 20, 10 << 10);
    let (cpu_time, wall_time) = (Duration::from_secs(1), Duration::from_millis(50));
    let (easy, hard) = (guest("noop"), synthetic::slow_to_compile());
    let large = synthetic::padded(30 << 20);
    for (limits, wasm, part) in [
        (
            CompileLimits { memory, ..usual },
            &large,
            "32 MiB of memory",
        ),
        (
            CompileLimits { cpu_time, ..usual },
            &hard,
            "1 s of CPU time",
        ),
        (CompileLimits { wall_time, ..usual }, &hard, "0.05 s"),
        (
            CompileLimits {
                code_bytes,
                ..usual
            },
            &easy,
            "10 KiB of machine code",
        ),
    ] {
        let stage = Stage::with(limits);
        let team = stage.add_team("a", small());
        let bundle = stage
            .load(&team, wasm.clone(), &Request::default(), &Grant::default())
            .unwrap();
        let failure = stage.failure(&bundle, "").await;
        assert_failure(&failure, FailureKind::Load, &["AL-0531", part]);
    }
}

#[tokio::test]
async fn what_is_invalid_inside_is_refused_by_the_compiler_for_good() {
    let stage = Stage::new();
    let team = stage.add_team("a", small());
    let bundle = stage
        .load(
            &team,
            synthetic::invalid_inside(),
            &Request::default(),
            &Grant::default(),
        )
        .unwrap();
    for _ in 0..2 {
        let failure = stage.failure(&bundle, "").await;
        assert_failure(&failure, FailureKind::Load, &["AL-0530"]);
    }
}

#[tokio::test]
async fn a_component_that_needs_more_than_an_instance_has_is_refused() {
    let stage = Stage::new();
    let limits = TeamLimits {
        memory_per_instance: 64 << 10,
        ..small()
    };
    let bundle = stage.plain(&stage.add_team("a", limits), "noop");
    let failure = stage.failure(&bundle, "").await;
    assert_failure(
        &failure,
        FailureKind::Load,
        &["AL-0538", "`memory_per_instance`"],
    );
}

#[tokio::test]
async fn what_is_unloaded_is_gone_and_other_versions_stay() {
    let stage = Stage::new();
    let team = stage.add_team("a", small());
    let old = stage.plain(&team, "noop");
    let new = stage.hostile(&team);
    assert_eq!(old.name, new.name);
    assert_ne!(old.hash, new.hash);
    stage.sandbox.unload(&team, &old.name, &old.hash);
    let failure = stage.failure(&old, "").await;
    assert_failure(&failure, FailureKind::Load, &["AL-0539"]);
    assert_eq!(stage.value(&new, "echo", &["1"]).await, "1");
    assert!(
        stage
            .sandbox
            .prepare(&team, &new.name, &BundleHash::from_bytes([0; 32]))
            .await
            .is_err()
    );
}

#[test]
fn a_team_has_one_pool_and_no_limit_of_zero() {
    let stage = Stage::new();
    let team = stage.add_team("a", small());
    let twice = stage
        .sandbox
        .add_team(team, small())
        .unwrap_err()
        .to_string();
    assert!(twice.contains("AL-0545"), "{twice}");
    let none = TeamLimits {
        threads: 0,
        ..small()
    };
    let none = stage
        .sandbox
        .add_team(crate::stage::team("b"), none)
        .unwrap_err()
        .to_string();
    assert!(
        none.contains("AL-0546") && none.contains("`threads`"),
        "{none}"
    );
}

#[tokio::test]
async fn what_a_version_may_reach_is_known_without_running_it() {
    let stage = Stage::new();
    let team = stage.add_team("a", small());
    let bundle = stage.hostile(&team);
    let of = |team: TeamName, hash| {
        let (sandbox, name) = (&stage.sandbox, &bundle.name);
        async move { sandbox.effective(&team, name, &hash).await }
    };
    let known = of(team.clone(), bundle.hash).await.unwrap();
    assert_eq!((known.team(), known.bundle().hash), (&team, bundle.hash));
    assert_eq!(stage.metrics(&team).compiled.load(Relaxed), 0);
    // One that nobody loaded comes from the source, once.
    let wasm = guest("noop");
    let effective = effective(&team, &wasm, &Request::default(), &Grant::default());
    let hash = effective.bundle().hash;
    assert!(matches!(
        of(team.clone(), hash).await,
        Err(GrantsError::Never(why)) if why.to_string().starts_with("AL-0539")
    ));
    let wasm = wasm.into();
    let sourced = Sourced {
        wasm,
        effective: effective.clone(),
    };
    stage.world.source.lock().unwrap().insert(hash, sourced);
    for _ in 0..3 {
        assert_eq!(of(team.clone(), hash).await.unwrap(), effective);
    }
    assert_eq!(stage.world.fetched.load(Relaxed), 2);
    assert!(matches!(
        of(crate::stage::team("nobody"), hash).await,
        Err(GrantsError::Never(why)) if why.to_string().starts_with("AL-0549")
    ));
}
