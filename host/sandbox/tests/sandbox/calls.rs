//! Ordinary calls: what goes in, what comes out, and how tries wait, end and are stopped.

use std::{sync::atomic::Ordering::Relaxed, time::Duration};

use airlock_model::{
    dag::AssetRef,
    id::{AssetEventId, MapIndex},
    log::{Level, Source},
    outcome::{Downstream, FailureKind, Limit, Outcome, OutletEvent},
    port::{AssetEvent, AssetKey, EventSource, Executor, SeenEvent},
};

use crate::{
    guests::guest,
    stage::{Stage, assert_failure, effective, failed, small},
};

#[tokio::test]
async fn a_tasks_arguments_go_in_and_its_value_comes_out() {
    let stage = Stage::new();
    let bundle = stage.hostile(&stage.add_team("a", small()));
    assert_eq!(
        stage.value(&bundle, "echo", &[r#"{"x":[1,2.5]}"#]).await,
        r#"{"x":[1,2.5]}"#
    );
    assert_eq!(stage.value(&bundle, "nothing", &[]).await, "");
    let context = stage.value(&bundle, "context", &[]).await;
    for part in [
        "dag-id: \\\"dag\\\"",
        "run-type: \\\"manual\\\"",
        "token: 3",
        "logical-date: Some(1326585600000000)",
    ] {
        assert!(context.contains(part), "{part} is not in {context}");
    }
}

#[tokio::test]
async fn a_task_skips_fails_and_fails_for_good_in_its_own_words() {
    let stage = Stage::new();
    let bundle = stage.hostile(&stage.add_team("a", small()));
    let skipped = stage.run(&bundle, "skip", &[]).await;
    assert_eq!(
        skipped,
        Outcome::Skipped {
            reason: "nothing to do".into()
        }
    );
    for (entry, kind) in [
        ("fail", FailureKind::Error),
        ("fail_for_good", FailureKind::Final),
    ] {
        let failure = failed(stage.run(&bundle, entry, &["1", "2"]).await);
        assert_failure(&failure, kind, &["failed with 1 2"]);
        assert_eq!(failure.causes, ["1", "2"]);
    }
}

#[tokio::test]
async fn what_a_task_decides_about_those_after_it_is_handed_on() {
    let stage = Stage::new();
    let bundle = stage.hostile(&stage.add_team("a", small()));
    let Outcome::Success { downstream, .. } = stage.run(&bundle, "decide", &["a", "b"]).await
    else {
        panic!("it decides")
    };
    assert_eq!(downstream, Downstream::Follow(vec!["a".into(), "b".into()]));
    let long = "x".repeat(100_000);
    let Outcome::Success { downstream, .. } = stage.run(&bundle, "decide", &[&long]).await else {
        panic!("it decides")
    };
    let Downstream::Follow(ids) = downstream else {
        panic!("{downstream:?}")
    };
    assert!(
        ids[0].len() < 5_000,
        "an id is cut where no id could be so long"
    );
    let events = stage.run(&bundle, "tell", &["1", r#"{"rows":7}"#]).await;
    let Outcome::Success {
        downstream, events, ..
    } = events
    else {
        panic!("{events:?}")
    };
    assert_eq!(downstream, Downstream::Skip { all: true });
    let event = OutletEvent {
        asset: AssetRef::Name("figures".into()),
        alias: Some("numbers".into()),
        extra: r#"{"rows":7}"#.into(),
    };
    assert_eq!(events, [event]);
}

#[tokio::test]
async fn a_try_that_gives_its_slot_back_says_until_when() {
    let stage = Stage::new();
    let bundle = stage.hostile(&stage.add_team("a", small()));
    let outcome = stage
        .run(&bundle, "reschedule", &["1704067200000000"])
        .await;
    let at = "2024-01-01".parse().unwrap();
    assert_eq!(outcome, Outcome::Rescheduled { at });
    let failure = failed(stage.run(&bundle, "reschedule", &[]).await);
    assert_failure(&failure, FailureKind::Error, &["AL-0519"]);
}

#[tokio::test]
async fn what_a_try_tells_of_its_outlets_is_json_and_no_flood() {
    let stage = Stage::new();
    let bundle = stage.hostile(&stage.add_team("a", small()));
    let failure = failed(stage.run(&bundle, "tell", &["1", "no json"]).await);
    assert_failure(&failure, FailureKind::Error, &["AL-0517", "outlet event"]);
    let failure = failed(stage.run(&bundle, "tell", &["1001", "{}"]).await);
    assert_failure(&failure, FailureKind::Limit(Limit::Xcom), &["AL-0508"]);
    let large = format!("\"{}\"", "x".repeat(600 << 10));
    let failure = failed(stage.run(&bundle, "tell", &["2", &large]).await);
    assert_failure(
        &failure,
        FailureKind::Limit(Limit::Xcom),
        &["AL-0508", "1 MiB"],
    );
}

#[tokio::test]
async fn a_try_is_told_of_asset_events_and_of_its_run() {
    let stage = Stage::new();
    let bundle = stage.hostile(&stage.add_team("a", small()));
    let event = AssetEvent {
        id: AssetEventId(uuid::Uuid::nil()),
        asset: AssetKey {
            team: bundle.team.clone(),
            name: "prices".into(),
        },
        at: "2024-01-01".parse().unwrap(),
        extra: r#"{"rows":7}"#.into(),
        source: EventSource::Api { by: "ada".into() },
        aliases: Vec::new(),
    };
    let mut work = stage.work(&bundle, "context", &[]);
    work.is_latest = false;
    work.first_started_at = Some("2023-12-31".parse().unwrap());
    work.triggering_events = vec![SeenEvent {
        event: event.clone(),
        uri: Some("s3://prices".into()),
    }];
    work.inlet_events = vec![SeenEvent {
        event: AssetEvent {
            source: EventSource::Task {
                dag_id: "collect".parse().unwrap(),
                run_id: "r1".parse().unwrap(),
                task_id: "fetch".parse().unwrap(),
                map_index: MapIndex(3),
            },
            ..event
        },
        uri: None,
    }];
    let Outcome::Success { xcoms, .. } = stage.report(work).await.outcome else {
        panic!("it answers")
    };
    let seen = &xcoms[0].1;
    for part in [
        "is-latest: false",
        "first-started-at: 1703980800000000",
        "s3://prices",
        "source: None",
        "fetch",
        "map-index: 3",
    ] {
        assert!(seen.contains(part), "{part} is not in {seen}");
    }
}

#[tokio::test]
async fn what_a_task_says_is_in_its_log_with_its_source() {
    let stage = Stage::new();
    let bundle = stage.hostile(&stage.add_team("a", small()));
    stage.value(&bundle, "say", &["\"hello\""]).await;
    let lines = stage.world.lines.lock().unwrap();
    let said: Vec<_> = lines
        .iter()
        .map(|(_, line)| (line.source, line.level, &*line.message))
        .collect();
    assert_eq!(
        said,
        [
            (Source::Task, Level::Info, "hello"),
            (Source::Stdout, Level::Info, "hello"),
            (Source::Stderr, Level::Warn, "hello"),
        ]
    );
    assert!(
        lines
            .iter()
            .all(|(key, _)| key.try_number == 1 && key.team == bundle.team)
    );
}

#[tokio::test]
async fn nothing_is_left_in_memory_from_one_call_to_the_next() {
    let stage = Stage::new();
    let bundle = stage.hostile(&stage.add_team("a", small()));
    for _ in 0..20 {
        assert_eq!(stage.value(&bundle, "remember", &[]).await, "\"0\"");
    }
    assert_eq!(stage.metrics(&bundle.team).memory.load(Relaxed), 0);
}

#[tokio::test]
async fn a_guest_has_no_environment_no_arguments_and_no_input() {
    let stage = Stage::new();
    let bundle = stage.hostile(&stage.add_team("a", small()));
    assert_eq!(stage.value(&bundle, "surroundings", &[]).await, "\"0 0 0\"");
}

#[tokio::test]
async fn a_try_ends_at_its_own_timeout_and_says_so() {
    let stage = Stage::new();
    let bundle = stage.hostile(&stage.add_team("a", small()));
    for entry in ["sleep", "busy"] {
        let mut work = stage.work(&bundle, entry, &[]);
        work.execution_timeout = Some(Duration::from_millis(50));
        let failure = failed(stage.report(work).await.outcome);
        assert_failure(&failure, FailureKind::Timeout, &["AL-0512", "0.05 s"]);
    }
}

#[tokio::test]
async fn a_try_that_runs_or_waits_can_be_killed_and_is_held_until_its_end_is_told() {
    let stage = Stage::new();
    let limits = airlock_sandbox::TeamLimits {
        instances: 1,
        ..small()
    };
    let bundle = stage.hostile(&stage.add_team("a", limits));
    stage.value(&bundle, "nothing", &[]).await;
    let (running, waiting) = (
        stage.work(&bundle, "sleep", &[]),
        stage.work(&bundle, "sleep", &[]),
    );
    let (first, second) = (
        stage.dispatch(running.clone()),
        stage.dispatch(waiting.clone()),
    );
    let metrics = stage.metrics(&bundle.team);
    while metrics.active.load(Relaxed) != 1 || metrics.waiting.load(Relaxed) != 1 {
        tokio::task::yield_now().await;
    }
    for (work, report) in [(&waiting, second), (&running, first)] {
        assert!(stage.sandbox.holds(work.key, work.token));
        stage.sandbox.kill(work.key, work.token);
        let failure = failed(report.await.unwrap().outcome);
        assert_failure(&failure, FailureKind::Killed, &["AL-0515"]);
    }
    stage.sandbox.drain().await;
    assert!(!stage.sandbox.holds(running.key, running.token));
    stage.sandbox.kill(running.key, running.token);
    assert_eq!(stage.value(&bundle, "echo", &["1"]).await, "1");
}

#[tokio::test]
async fn instances_are_bounded_and_the_rest_waits_in_order() {
    let stage = Stage::new();
    let limits = airlock_sandbox::TeamLimits {
        instances: 2,
        ..small()
    };
    let bundle = stage.plain(&stage.add_team("a", limits), "noop");
    let works: Vec<_> = (0..50)
        .map(|_| stage.work(&bundle, "missing", &[]))
        .collect();
    let tokens: Vec<_> = works.iter().map(|work| work.token).collect();
    let reports: Vec<_> = works.into_iter().map(|work| stage.dispatch(work)).collect();
    for report in reports {
        report.await.unwrap();
    }
    stage.sandbox.drain().await;
    let started = stage.world.started.lock().unwrap().clone();
    assert_eq!(started.len(), tokens.len());
    let metrics = stage.metrics(&bundle.team);
    assert_eq!(
        (metrics.active.load(Relaxed), metrics.waiting.load(Relaxed)),
        (0, 0)
    );
    assert_eq!(metrics.tries.load(Relaxed), 50);
}

#[tokio::test]
async fn a_full_queue_refuses_and_names_the_limit() {
    let stage = Stage::new();
    let limits = airlock_sandbox::TeamLimits {
        instances: 1,
        queue: 2,
        ..small()
    };
    let bundle = stage.hostile(&stage.add_team("a", limits));
    let held: Vec<_> = (0..3).map(|_| stage.work(&bundle, "sleep", &[])).collect();
    let reports: Vec<_> = held
        .iter()
        .map(|work| stage.dispatch(work.clone()))
        .collect();
    let failure = stage.failure(&bundle, "nothing").await;
    assert_failure(
        &failure,
        FailureKind::Limit(Limit::Instances),
        &["AL-0509", "2 tries", "`queue`"],
    );
    for work in &held {
        stage.sandbox.kill(work.key, work.token);
    }
    for report in reports {
        report.await.unwrap();
    }
}

#[tokio::test]
async fn after_shutdown_nothing_more_is_told_and_nothing_runs() {
    let stage = Stage::new();
    let bundle = stage.hostile(&stage.add_team("a", small()));
    let work = stage.work(&bundle, "sleep", &[]);
    let mut report = stage.dispatch(work);
    let metrics = stage.metrics(&bundle.team);
    while metrics.active.load(Relaxed) == 0 {
        tokio::task::yield_now().await;
    }
    stage.sandbox.shutdown();
    stage.sandbox.drain().await;
    assert_eq!(metrics.active.load(Relaxed), 0);
    assert!(report.try_recv().is_err());
}

#[tokio::test]
async fn a_try_of_an_unknown_team_or_version_is_told_to_have_failed() {
    let stage = Stage::new();
    let mut bundle = stage.hostile(&stage.add_team("a", small()));
    let known = bundle.hash;
    bundle.hash = airlock_model::id::BundleHash::from_bytes([1; 32]);
    let failure = stage.failure(&bundle, "echo").await;
    assert_failure(
        &failure,
        FailureKind::Load,
        &["AL-0539", "put the bundle's file back"],
    );
    bundle.hash = known;
    bundle.team = crate::stage::team("nobody");
    let failure = stage.failure(&bundle, "echo").await;
    assert_failure(&failure, FailureKind::Load, &["AL-0549", "nobody"]);
}

#[tokio::test]
async fn a_pinned_version_that_nobody_loaded_comes_from_the_source() {
    let stage = Stage::new();
    let bundle = stage.hostile(&stage.add_team("a", small()));
    assert_eq!(stage.value(&bundle, "echo", &["1"]).await, "1");
    let stage = stage.restarted();
    let team = stage.add_team("a", small());
    let wasm = guest("hostile_tasks");
    let (request, grant) = crate::stage::usual(stage.folder());
    let sourced = airlock_sandbox::Sourced {
        effective: effective(&team, &wasm, &request, &grant),
        wasm: wasm.into(),
    };
    stage
        .world
        .source
        .lock()
        .unwrap()
        .insert(bundle.hash, sourced);
    for _ in 0..3 {
        assert_eq!(stage.value(&bundle, "echo", &["2"]).await, "2");
    }
    assert_eq!(stage.world.fetched.load(Relaxed), 1);
    let metrics = stage.metrics(&team);
    assert_eq!(
        metrics.compiled.load(Relaxed),
        0,
        "its code was kept over the restart"
    );
    assert_eq!(metrics.cached.load(Relaxed), 1);
}
