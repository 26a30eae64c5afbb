use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use airlock_sdk::{
    capability::Mode,
    definition::{Argument, Schedule},
    jiff::{civil::Date, tz::TimeZone},
    testing,
};
use tempfile::TempDir;

use super::*;
use crate::observation::Weather;

fn reading() -> Reading {
    Reading {
        date: "2012-01-15".to_owned(),
        precipitation: 5.3,
        temp_max: 1.1,
        temp_min: -3.3,
        wind: 3.2,
        weather: "snow".to_owned(),
    }
}

fn context(day: Date, token: u64) -> Context {
    let date = TimeZone::UTC.to_timestamp(day.at(0, 0, 0, 0)).unwrap();
    Context::builder()
        .run(&format!("scheduled__{day}T00:00:00+00:00"), "scheduled")
        .logical_date(date)
        .token(token)
        .build()
}

fn grant(reports: &Path) {
    testing::directory(
        "archive",
        concat!(env!("CARGO_MANIFEST_DIR"), "/archive"),
        Mode::Read,
    );
    testing::directory("reports", reports, Mode::ReadWrite);
}

fn run_day(day: Date) {
    let ctx = context(day, 1);
    let checked = check::run(observe::run(&ctx).unwrap()).unwrap();
    write_daily::run(&ctx, &checked).unwrap();
    update_month::run(&ctx, &checked).unwrap();
}

fn days(from: &str, to: &str) -> Vec<Date> {
    let to: Date = to.parse().unwrap();
    let from: Date = from.parse().unwrap();
    from.series(jiff::Span::new().days(1))
        .take_while(|day| *day <= to)
        .collect()
}

fn expected() -> BTreeMap<String, serde_json::Value> {
    serde_json::from_str(include_str!("../expected/monthly.json")).unwrap()
}

fn month(reports: &Path, month: &str) -> serde_json::Value {
    let bytes = fs::read(reports.join(format!("monthly/{month}.json"))).unwrap();
    serde_json::from_slice(&bytes).unwrap()
}

#[test]
fn the_definition_is_one_run_per_day_and_four_tasks_in_order() {
    let dag = testing::parse::<weather>().unwrap();
    assert_eq!(dag.spec.dag_id, "weather");
    assert!(matches!(
        dag.spec.schedule,
        Schedule::CronTrigger {
            lines: ["@daily"],
            timezone: None,
            ..
        }
    ));
    assert!(dag.spec.catchup);
    let ids: Vec<_> = dag.tasks.iter().map(|task| task.task_id.as_ref()).collect();
    assert_eq!(ids, ["observe", "check", "write_daily", "update_month"]);
    let update = dag.task("update_month").unwrap();
    assert_eq!(update.arguments, [Argument::Output("check".to_owned())]);
    assert_eq!(update.upstream, ["write_daily"]);
}

#[test]
fn a_days_row_is_read_from_the_archive() {
    grant(Path::new("unused"));
    let read = observe::run(&context("2012-01-15".parse().unwrap(), 1)).unwrap();
    assert_eq!(read, reading());
    assert_eq!(read.to_string(), "2012-01-15: 5.3 mm, 1.1 … -3.3 °C, snow");
}

#[test]
fn a_day_without_a_row_fails_at_once_and_says_which() {
    grant(Path::new("unused"));
    let error = observe::run(&context("2016-01-01".parse().unwrap(), 1)).unwrap_err();
    assert_eq!(error.to_string(), "the archive has no row for 2016-01-01");
    assert!(!error.is_retryable());
}

#[test]
fn an_observation_is_converted() {
    let checked = check::run(reading()).unwrap();
    assert_eq!(checked.weather, Weather::Snow);
    assert_eq!(
        (checked.precipitation_mm, checked.precipitation_in),
        (5.3, 0.21)
    );
    assert_eq!((checked.temp_max_f, checked.temp_min_f), (33.98, 26.06));
    assert_eq!((checked.wind_ms, checked.wind_kmh), (3.2, 11.52));
}

#[test]
fn an_observation_that_cannot_be_is_refused_for_good() {
    let wrong: [fn(&mut Reading); 5] = [
        |r| r.precipitation = -0.1,
        |r| r.temp_max = 99.9,
        |r| r.temp_min = 1.2,
        |r| r.wind = f64::NAN,
        |r| r.weather = "frogs".to_owned(),
    ];
    for spoil in wrong {
        let mut reading = reading();
        spoil(&mut reading);
        let error = check::run(reading.clone()).unwrap_err();
        assert!(!error.is_retryable(), "{reading:?}");
    }
}

#[test]
fn after_all_days_every_months_report_is_what_another_program_computed() {
    let reports = TempDir::new().unwrap();
    grant(reports.path());
    for day in days("2012-01-01", "2015-12-31") {
        run_day(day);
    }
    let expected = expected();
    assert_eq!(expected.len(), 48);
    for (name, report) in &expected {
        assert_eq!(&month(reports.path(), name), report, "{name}");
    }
}

#[test]
fn runs_of_one_month_side_by_side_in_any_order_leave_a_complete_report() {
    let expected = expected();
    let mut all = days("2012-02-01", "2012-02-29");
    for round in 0..20 {
        let reports = TempDir::new().unwrap();
        let rotate = round % all.len();
        all.rotate_left(rotate);
        if round % 2 == 1 {
            all.reverse();
        }
        let next = AtomicUsize::new(0);
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    grant(reports.path());
                    while let Some(day) = all.get(next.fetch_add(1, Ordering::Relaxed)) {
                        run_day(*day);
                    }
                });
            }
        });
        assert_eq!(
            month(reports.path(), "2012-02"),
            expected["2012-02"],
            "round {round}"
        );
    }
}

#[test]
fn a_try_that_comes_after_one_that_was_cut_off_leaves_no_temporary_file() {
    let reports = TempDir::new().unwrap();
    grant(reports.path());
    let day: Date = "2012-01-15".parse().unwrap();
    let checked = check::run(reading()).unwrap();
    write_daily::run(&context(day, 1), &checked).unwrap();
    let left = reports
        .path()
        .join("daily/.2012-01-15.json.scheduled--2012-01-15T00-00-00-00-00.1.tmp");
    fs::write(&left, "half a rep").unwrap();
    write_daily::run(&context(day, 2), &checked).unwrap();
    let names: Vec<_> = fs::read_dir(reports.path().join("daily"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(names, ["2012-01-15.json"]);
}

#[test]
fn a_correction_of_a_day_reaches_its_month() {
    let reports = TempDir::new().unwrap();
    grant(reports.path());
    let ctx = context("2012-01-15".parse().unwrap(), 1);
    for (rain, inches) in [(5.3, 0.21), (25.4, 1.0)] {
        let mut reading = reading();
        reading.precipitation = rain;
        let checked = check::run(reading).unwrap();
        write_daily::run(&ctx, &checked).unwrap();
        update_month::run(&ctx, &checked).unwrap();
        assert_eq!(month(reports.path(), "2012-01")["precipitation_in"], inches);
    }
}
