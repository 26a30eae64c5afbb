//! Hostile tasks: each names the limit that stopped it, and its neighbours, of another team and of its own,
//! go on.

use std::{sync::atomic::Ordering::Relaxed, time::Duration};

use airlock_model::{
    log::Source,
    outcome::{FailureKind, Limit, Outcome},
    port::Executor,
};
use airlock_sandbox::TeamLimits;

use crate::stage::{Bundle, Stage, assert_failure, failed, small};

/// A hostile bundle, a harmless one of the same team, and one of another team.
fn neighbours(limits: TeamLimits) -> (Stage, Bundle, Bundle) {
    let stage = Stage::new();
    let bundle = stage.hostile(&stage.add_team("hostile", limits));
    let other = stage.hostile(&stage.add_team("other", small()));
    (stage, bundle, other)
}

/// Runs an attack, and beside it ordinary tasks of both teams, which must all succeed.
async fn attacked(limits: TeamLimits, entry: &str) -> (Stage, Bundle, Outcome) {
    let (stage, bundle, other) = neighbours(limits);
    let attack = stage.dispatch(stage.work(&bundle, entry, &[]));
    for neighbour in [&bundle, &other] {
        for _ in 0..5 {
            assert_eq!(stage.value(neighbour, "echo", &["1"]).await, "1");
        }
    }
    let outcome = attack.await.unwrap().outcome;
    assert_eq!(
        stage.value(&bundle, "echo", &["2"]).await,
        "2",
        "the pool is whole again"
    );
    (stage, bundle, outcome)
}

async fn stopped(entry: &str, limit: Limit, parts: &[&str]) {
    let (_, _, outcome) = attacked(small(), entry).await;
    assert_failure(&failed(outcome), FailureKind::Limit(limit), parts);
}

#[tokio::test]
async fn an_endless_loop_ends_with_its_cpu_time() {
    stopped(
        "busy",
        Limit::CpuTime,
        &["AL-0501", "0.2 s", "`task_cpu_time`"],
    )
    .await;
}

#[tokio::test]
async fn growing_memory_ends_at_the_instances_limit() {
    stopped(
        "grow",
        Limit::Memory,
        &["AL-0503", "32 MiB", "`memory_per_instance`"],
    )
    .await;
}

#[tokio::test]
async fn deep_recursion_ends_at_the_stacks_limit() {
    stopped("recurse", Limit::Stack, &["AL-0506", "3 MiB"]).await;
    let (_, _, outcome) = attacked(small(), "recurse_in_memory").await;
    let parts = ["AL-0514", "recursion without end"];
    assert_failure(&failed(outcome), FailureKind::Trap, &parts);
}

#[tokio::test]
async fn a_huge_string_does_not_cross_the_border() {
    for entry in ["huge_string", "return_too_much"] {
        let limits = TeamLimits {
            memory_per_instance: 128 << 20,
            memory: 128 << 20,
            ..small()
        };
        let (_, _, outcome) = attacked(limits, entry).await;
        let parts = ["AL-0507", "8 MiB", "`host_call_bytes`"];
        let kind = FailureKind::Limit(Limit::HostCall);
        assert_failure(&failed(outcome), kind, &parts);
    }
}

#[tokio::test]
async fn a_huge_return_value_ends_at_the_xcoms_limit() {
    stopped(
        "return_huge",
        Limit::Xcom,
        &["AL-0508", "1 MiB", "`xcom_bytes`"],
    )
    .await;
}

#[tokio::test]
async fn too_many_open_files_end_the_instance() {
    stopped("open_many", Limit::HostCall, &["AL-0516", "256"]).await;
}

#[tokio::test]
async fn sleeping_past_the_wall_limit_ends_the_try() {
    let limits = TeamLimits {
        task_wall_time: Duration::from_millis(300),
        ..small()
    };
    let (_, _, outcome) = attacked(limits, "sleep").await;
    let parts = ["AL-0502", "0.3 s", "`task_wall_time`"];
    assert_failure(
        &failed(outcome),
        FailureKind::Limit(Limit::WallTime),
        &parts,
    );
}

#[tokio::test]
async fn a_sleeping_try_uses_no_cpu_time() {
    let (stage, bundle, _) = neighbours(small());
    let mut work = stage.work(&bundle, "sleep", &[]);
    work.execution_timeout = Some(Duration::from_millis(400));
    let failure = failed(stage.report(work).await.outcome);
    assert_failure(&failure, FailureKind::Timeout, &["AL-0512"]);
}

#[tokio::test]
async fn the_memory_of_all_instances_together_is_bounded() {
    let limits = TeamLimits {
        memory: 40 << 20,
        ..small()
    };
    let (stage, bundle, other) = neighbours(limits);
    let attacks: Vec<_> = (0..4)
        .map(|_| stage.dispatch(stage.work(&bundle, "grow", &[])))
        .collect();
    let mut kinds = Vec::new();
    for attack in attacks {
        kinds.push(failed(attack.await.unwrap().outcome).kind);
    }
    let team_memory = FailureKind::Limit(Limit::TeamMemory);
    assert!(
        kinds
            .iter()
            .all(|kind| [team_memory, FailureKind::Limit(Limit::Memory)].contains(kind)),
        "{kinds:?}"
    );
    assert_eq!(stage.value(&other, "echo", &["1"]).await, "1");
    assert_eq!(stage.value(&bundle, "echo", &["1"]).await, "1");
    stage.sandbox.drain().await;
    assert_eq!(stage.metrics(&bundle.team).memory.load(Relaxed), 0);
}

#[tokio::test]
async fn loops_on_all_slots_and_threads_leave_the_other_team_alone() {
    let limits = TeamLimits {
        threads: 2,
        task_cpu_time: Duration::from_secs(3600),
        ..small()
    };
    let (stage, bundle, other) = neighbours(limits);
    let loops: Vec<_> = (0..4).map(|_| stage.work(&bundle, "busy", &[])).collect();
    let reports: Vec<_> = loops
        .iter()
        .map(|work| stage.dispatch(work.clone()))
        .collect();
    let metrics = stage.metrics(&bundle.team);
    while metrics.active.load(Relaxed) < 4 {
        tokio::task::yield_now().await;
    }
    for _ in 0..100 {
        assert_eq!(stage.value(&other, "echo", &["1"]).await, "1");
    }
    for (work, report) in loops.iter().zip(reports) {
        stage.sandbox.kill(work.key, work.token);
        assert_failure(
            &failed(report.await.unwrap().outcome),
            FailureKind::Killed,
            &[],
        );
    }
}

#[tokio::test]
async fn a_flood_of_log_lines_fills_the_log_and_no_more() {
    for entry in ["flood_log", "flood_print"] {
        let limits = TeamLimits {
            task_cpu_time: Duration::from_secs(60),
            ..small()
        };
        let (stage, bundle, outcome) = attacked(limits, entry).await;
        assert!(matches!(outcome, Outcome::Success { .. }), "{outcome:?}");
        let lines = stage.world.lines.lock().unwrap();
        let own = lines.iter().filter(|(key, _)| key.team == bundle.team);
        let bytes: usize = own.clone().map(|(_, line)| line.message.len()).sum();
        assert!(bytes <= (64 << 10) + 1024, "{bytes}");
        let told: Vec<_> = own
            .filter(|(_, line)| line.source == Source::Airlock)
            .collect();
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].1.message.contains("AL-0511") && told[0].1.message.contains("`log_bytes`"));
    }
}

#[tokio::test]
async fn pushed_xcoms_are_bounded_by_a_typed_error() {
    let (_, _, outcome) = attacked(small(), "push_huge").await;
    assert_eq!(
        outcome,
        Outcome::success(vec![("return_value".into(), "\"limit\"".into())])
    );
    let (_, _, outcome) = attacked(small(), "push_many").await;
    let Outcome::Success { xcoms, .. } = outcome else {
        panic!("{outcome:?}")
    };
    let bytes: usize = xcoms
        .iter()
        .map(|(key, value)| key.len() + value.len())
        .sum();
    assert!(
        xcoms.len() > 1000 && bytes <= 1 << 20,
        "{} {bytes}",
        xcoms.len()
    );
}

#[tokio::test]
async fn a_panic_is_told_with_its_words_and_its_trace() {
    let (stage, bundle, outcome) = attacked(small(), "panic").await;
    let failure = failed(outcome);
    assert_failure(&failure, FailureKind::Trap, &["AL-0514", "unreachable"]);
    let messages = stage.world.messages();
    for part in ["the row of 2012-01-15 is missing", "rust_panic"] {
        assert!(
            messages.iter().any(|m| m.contains(part)),
            "{part}: {messages:?}"
        );
    }
    assert_eq!(stage.metrics(&bundle.team).ends[2].load(Relaxed), 1);
}

#[tokio::test]
async fn a_panic_that_the_sdk_reported_is_the_failure_with_its_place() {
    let (_, _, outcome) = attacked(small(), "panic_told").await;
    let failure = failed(outcome);
    assert_failure(&failure, FailureKind::Trap, &["AL-0514: panicked: no row"]);
    let place = failure.location.unwrap();
    assert_eq!(place.to_string(), "src/archive.rs:7");
}

#[tokio::test]
async fn ending_the_instance_by_hand_is_a_trap() {
    let (_, _, outcome) = attacked(small(), "exit").await;
    assert_failure(
        &failed(outcome),
        FailureKind::Trap,
        &["AL-0514", "exit status 1"],
    );
}

#[tokio::test]
async fn a_return_value_that_is_not_json_fails_the_try() {
    let (_, _, outcome) = attacked(small(), "not_json").await;
    assert_failure(&failed(outcome), FailureKind::Error, &["AL-0517"]);
}

#[tokio::test]
async fn growing_a_table_ends_at_its_limit() {
    let (stage, bundle, other) = neighbours(small());
    let tables = stage
        .load(
            &bundle.team,
            crate::synthetic::growing_table(),
            &airlock_grant::Request::default(),
            &airlock_grant::Grant::default(),
        )
        .unwrap();
    let failure = stage.failure(&tables, "").await;
    let parts = ["AL-0505", "20000", "`table_elements`"];
    assert_failure(&failure, FailureKind::Limit(Limit::TableElements), &parts);
    for neighbour in [&bundle, &other] {
        assert_eq!(stage.value(neighbour, "echo", &["1"]).await, "1");
    }
}
