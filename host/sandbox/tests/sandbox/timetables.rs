//! Timetables of a bundle's own: their answers, and what stops a hostile one.

use std::{sync::atomic::Ordering::Relaxed, time::Duration};

use airlock_grant::{Grant, Request};
use airlock_model::{
    dag::{CustomSchedule, Schedule},
    id::TeamName,
    outcome::Limit,
    port::{TimetableCode, TimetableFailure, Timetables},
    time::Timestamp,
    timetable::{NextRun, Restriction},
};
use airlock_sandbox::TeamLimits;

use crate::{
    guests::guest,
    stage::{Bundle, Stage, small},
};

fn limits() -> TeamLimits {
    TeamLimits {
        timetable_cpu_time: Duration::from_millis(200),
        // More than the others may have: it must be the timetable's own limit that ends it.
        parse_cpu_time: Duration::from_secs(20),
        task_cpu_time: Duration::from_secs(20),
        // Enough to make an answer that is larger than the border lets through.
        memory_per_instance: 128 << 20,
        ..small()
    }
}

/// The timetables, in a bundle that may read a variable while it is parsed and in its tasks.
fn granted(stage: &Stage, team: &TeamName) -> Bundle {
    let variable = "[[request.variable]]\nkey = \"granted.*\"\nphases = [\"parse\", \"task\"]";
    let request = Request::from_bundle_toml(variable).unwrap();
    let grant = toml::from_str::<Grant>("[[variable]]\nkey = \"granted.*\"").unwrap();
    stage
        .load(team, guest("hostile_timetables"), &request, &grant)
        .unwrap()
}

async fn timetabled(stage: &Stage) -> (Bundle, CustomSchedule) {
    let team = stage.add_team("a", limits());
    let bundle = granted(stage, &team);
    let parsed = stage.parse(&bundle).await.unwrap();
    match parsed.dags.into_iter().next().unwrap().schedule {
        Schedule::Custom(custom) => (bundle, custom),
        other => panic!("{other:?}"),
    }
}

fn code(bundle: &Bundle, schedule: &CustomSchedule, kind: &str) -> TimetableCode {
    TimetableCode {
        team: bundle.team.clone(),
        bundle: bundle.name.clone(),
        hash: bundle.hash,
        schedule: CustomSchedule {
            arguments: format!("{{\"kind\":\"{kind}\"}}"),
            ..schedule.clone()
        },
    }
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

const CATCHUP: Restriction = Restriction {
    earliest: None,
    latest: None,
    catchup: true,
};

async fn next(stage: &Stage, code: &TimetableCode) -> Result<Option<NextRun>, TimetableFailure> {
    let last = NextRun {
        interval: (at("2024-01-01T00:00:00Z"), at("2024-01-01T01:00:00Z")),
        run_after: at("2024-01-01T01:00:00Z"),
    };
    let now = at("2024-01-05");
    stage.sandbox.next_run(code, Some(last), CATCHUP, now).await
}

#[tokio::test]
async fn a_bundles_own_timetable_says_when_the_next_run_is_due() {
    let stage = Stage::new();
    let (bundle, schedule) = timetabled(&stage).await;
    assert_eq!(schedule.arguments, "{\"kind\":\"hourly\"}");
    assert_eq!(schedule.description, "Timetabled");
    let code = code(&bundle, &schedule, "hourly");
    let run = NextRun {
        interval: (at("2024-01-01T01:00:00Z"), at("2024-01-01T02:00:00Z")),
        run_after: at("2024-01-01T02:00:00Z"),
    };
    assert_eq!(next(&stage, &code).await, Ok(Some(run)));
    let over = Restriction {
        latest: Some(at("2024-01-01")),
        ..CATCHUP
    };
    let ended = stage
        .sandbox
        .next_run(&code, Some(run), over, at("2024-01-05"));
    assert_eq!(ended.await, Ok(None));
    let by_hand = stage.sandbox.manual_interval(&code, at("2024-02-01")).await;
    assert_eq!(by_hand, Ok((at("2024-02-01"), at("2024-02-01"))));
    assert_eq!(stage.metrics(&bundle.team).timetables.load(Relaxed), 3);
}

#[tokio::test]
async fn a_timetable_that_never_answers_ends_with_its_own_cpu_time() {
    let stage = Stage::new();
    let (bundle, schedule) = timetabled(&stage).await;
    let failure = next(&stage, &code(&bundle, &schedule, "loop"))
        .await
        .unwrap_err();
    let TimetableFailure::Limit { limit, message } = &failure else {
        panic!("{failure}")
    };
    assert_eq!(*limit, Limit::CpuTime);
    for part in ["AL-0501", "0.2 s", "`timetable_cpu_time`"] {
        assert!(message.contains(part), "{message}");
    }
    assert!(failure.is_transient());
    let code = code(&bundle, &schedule, "hourly");
    assert!(
        next(&stage, &code).await.is_ok(),
        "the next question is another"
    );
}

#[tokio::test]
async fn a_timetables_words_are_cut_and_a_flood_of_them_is_stopped() {
    let stage = Stage::new();
    let (bundle, schedule) = timetabled(&stage).await;
    let failure = next(&stage, &code(&bundle, &schedule, "talk")).await;
    let text = failure.unwrap_err().to_string();
    assert!(text.contains("AL-0523") && text.len() < 8 << 10, "{text}");
    let failure = next(&stage, &code(&bundle, &schedule, "flood")).await;
    let text = failure.unwrap_err().to_string();
    assert!(text.contains("AL-0507"), "{text}");
}

#[tokio::test]
async fn answers_that_would_lead_nowhere_are_not_believed() {
    let stage = Stage::new();
    let (bundle, schedule) = timetabled(&stage).await;
    for (kind, part) in [
        ("repeat", "does not come after the last one"),
        ("backwards", "ends before it begins"),
    ] {
        let failure = next(&stage, &code(&bundle, &schedule, kind)).await;
        let text = failure.unwrap_err().to_string();
        assert!(text.contains("AL-0524") && text.contains(part), "{text}");
    }
}

#[tokio::test]
async fn a_timetable_traps_alone() {
    let stage = Stage::new();
    let (bundle, schedule) = timetabled(&stage).await;
    let failure = next(&stage, &code(&bundle, &schedule, "trap")).await;
    let failure = failure.unwrap_err();
    assert!(matches!(failure, TimetableFailure::Trap(_)), "{failure}");
    assert!(!failure.is_transient());
    assert_eq!(stage.metrics(&bundle.team).memory.load(Relaxed), 0);
}

#[tokio::test]
async fn a_timetable_sees_no_clock_and_reaches_nothing_not_even_what_a_parse_may() {
    let stage = Stage::new();
    stage.world.set_variable("a", "granted.name", "x");
    let (bundle, schedule) = timetabled(&stage).await;
    let failure = next(&stage, &code(&bundle, &schedule, "variable")).await;
    let text = failure.unwrap_err().to_string();
    assert!(text.contains("AL-0526"), "{text}");
    let failure = next(&stage, &code(&bundle, &schedule, "clock")).await;
    assert!(failure.unwrap_err().to_string().contains("0ns"));
}

#[tokio::test]
async fn a_bundle_without_timetables_is_told_apart() {
    let stage = Stage::new();
    let team = stage.add_team("a", limits());
    let bundle = stage.plain(&team, "hostile_cycle");
    let failure = next(&stage, &code(&bundle, &CustomSchedule::default(), "hourly")).await;
    let text = failure.unwrap_err().to_string();
    assert!(text.contains("AL-0554"), "{text}");
    let noop = stage.plain(&team, "noop");
    let failure = next(&stage, &code(&noop, &CustomSchedule::default(), "hourly")).await;
    let text = failure.unwrap_err().to_string();
    assert!(
        text.contains("AL-0523") && text.contains("no timetable"),
        "{text}"
    );
}
