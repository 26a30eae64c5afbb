//! What each timetable does, where a table of ticks does not tell.

use std::time::Duration;

use super::*;

const HOUR: Duration = Duration::from_secs(3600);

fn next(
    timetable: &Timetable,
    last: Option<Interval>,
    bounds: Restriction,
    now: &str,
) -> Option<NextRun> {
    known(timetable.next_run(last, bounds, time(now)))
}

#[test]
fn the_end_date_is_the_last_run() {
    for (form, end) in [
        (Schedule::cron("@daily", None), "2015-12-31"),
        (Schedule::CronInterval(line("@daily", "UTC")), "2015-12-31"),
        (Schedule::every(HOUR * 24), "2015-12-31"),
        (
            Schedule::DeltaInterval {
                every: (HOUR * 24).into(),
            },
            "2015-12-31T12:00:00Z",
        ),
    ] {
        let daily = schedule(form);
        let allowed = Restriction {
            latest: Some(time(end)),
            ..bounds(Some(time("2012-01-01")), true)
        };
        let runs: Vec<_> = known(daily.next_runs(None, allowed, time("2026-01-01"))).collect();
        assert_eq!(runs.len(), 1461, "{daily:?}");
        assert_eq!(runs.last().unwrap().logical_date(), time("2015-12-31"));
        let last = runs.last().map(|run| run.interval);
        assert_eq!(next(&daily, last, allowed, "2026-01-01"), None);
    }
}

#[test]
fn a_delta_without_catchup_runs_now_and_then_after_each_interval() {
    let hourly = schedule(Schedule::every(HOUR));
    let start = Some(time("2020-01-01"));
    let now = "2026-01-01T10:20:00Z";
    let first = next(&hourly, None, bounds(start, false), now).unwrap();
    assert_eq!(first.run_after, time(now));
    let second = next(&hourly, Some(first.interval), bounds(start, false), now).unwrap();
    assert_eq!(second.run_after, time("2026-01-01T11:20:00Z"));
    let caught = next(&hourly, None, bounds(start, true), now).unwrap();
    assert_eq!(caught.run_after, time("2020-01-01"));
}

#[test]
fn a_month_is_as_long_as_the_calendar_says() {
    let every = Delta {
        months: 1,
        time: Duration::ZERO,
    };
    let monthly = schedule(Schedule::DeltaInterval { every });
    let from = bounds(Some(time("2024-01-31")), true);
    let runs: Vec<_> = known(monthly.next_runs(None, from, time("2024-01-31")))
        .take(3)
        .map(|run| run.run_after)
        .collect();
    assert_eq!(runs, ["2024-02-29", "2024-03-29", "2024-04-29"].map(time));
    assert_eq!(monthly.summary(), "every 1mo");
}

#[test]
fn a_trigger_with_an_interval_stands_for_the_time_before_its_tick() {
    let weekly = schedule(Schedule::Cron {
        lines: vec![line("0 18 * * 5", "UTC")],
        interval: (HOUR * 24 * 4).into(),
        run_immediately: RunImmediately::No,
    });
    let run = next(
        &weekly,
        None,
        bounds(Some(time("2024-01-01")), true),
        "2024-01-01",
    )
    .unwrap();
    assert_eq!(
        run.interval,
        (time("2024-01-01T18:00:00Z"), time("2024-01-05T18:00:00Z"))
    );
    assert_eq!(run.run_after, run.interval.1);
    let manual = known(weekly.manual_interval(time("2024-01-09T00:00:00Z")));
    assert_eq!(manual, (time("2024-01-05"), time("2024-01-09")));
}

#[test]
fn the_first_run_without_a_start_date_is_as_immediate_as_was_asked() {
    let now = "2024-01-01T07:00:00Z";
    for (run_immediately, first) in [
        (RunImmediately::Yes, "2024-01-01"),
        (RunImmediately::No, "2024-01-02"),
        (RunImmediately::Within(HOUR * 7), "2024-01-01"),
        (RunImmediately::Within(HOUR * 6), "2024-01-02"),
    ] {
        let daily = schedule(Schedule::Cron {
            lines: vec![line("@daily", "UTC")],
            interval: Delta::default(),
            run_immediately,
        });
        for catchup in [false, true] {
            let run = next(&daily, None, bounds(None, catchup), now).unwrap();
            assert_eq!(run.run_after, time(first), "{run_immediately:?}");
        }
    }
}

#[test]
fn several_lines_make_one_run_where_their_ticks_coincide() {
    let timetable = schedule(Schedule::Cron {
        lines: vec![line("0 */6 * * *", "UTC"), line("0 8-12/4 * * *", "UTC")],
        interval: Delta::default(),
        run_immediately: RunImmediately::No,
    });
    let hours = known(timetable.between(time("2024-01-01"), time("2024-01-01T18:00:00Z")));
    let hours: Vec<_> = hours
        .map(|run| run.run_after.to_string()[11..13].to_owned())
        .collect();
    assert_eq!(hours, ["00", "06", "08", "12", "18"]);
    assert_eq!(timetable.summary(), "0 */6 * * *, 0 8-12/4 * * *");
}

#[test]
fn once_runs_once_at_its_start_or_without_one_now() {
    let once = schedule(Schedule::Once);
    let first = next(
        &once,
        None,
        bounds(Some(time("2020-01-01")), false),
        "2026-01-01",
    )
    .unwrap();
    assert_eq!(first.run_after, time("2020-01-01"));
    let again = next(
        &once,
        Some(first.interval),
        bounds(None, false),
        "2026-01-02",
    );
    assert_eq!(again, None);
    let now = next(&once, None, bounds(None, false), "2026-01-01").unwrap();
    assert_eq!(now.run_after, time("2026-01-01"));
}

#[test]
fn continuous_runs_follow_each_other_without_a_gap_and_never_share_a_logical_date() {
    let continuous = schedule(Schedule::Continuous);
    let mut last = None;
    for minute in 0..30 {
        let now = time("2026-01-01").after(Duration::from_secs(minute / 2 * 60));
        let run = known(continuous.next_run(last, bounds(None, false), now)).unwrap();
        assert!(last.is_none_or(|(start, end)| run.interval.0 > start && run.interval.0 >= end));
        assert!(run.run_after.since(now) <= Duration::from_micros(1));
        last = Some(run.interval);
    }
    let from = bounds(Some(time("2026-01-01")), false);
    let runs = known(continuous.next_runs(None, from, time("2026-02-01")));
    assert_eq!(runs.count(), 1);
    assert!(!continuous.is_periodic());
    assert_eq!(
        known(continuous.between(time("2026-01-01"), time("2026-02-01"))).count(),
        0
    );
}

#[test]
fn only_the_run_before_the_next_tick_is_the_latest() {
    for form in [
        Schedule::CronInterval(line("@daily", "UTC")),
        Schedule::DeltaInterval {
            every: (HOUR * 24).into(),
        },
    ] {
        let daily = schedule(form);
        let interval = (time("2024-01-01"), time("2024-01-02"));
        for (now, latest) in [
            ("2024-01-02T00:00:01Z", true),
            ("2024-01-02T23:59:59Z", true),
            ("2024-01-03T00:00:01Z", false),
        ] {
            assert_eq!(known(daily.is_latest(interval, time(now))), latest, "{now}");
        }
    }
    let tick = (time("2024-01-01"), time("2024-01-01"));
    let daily = schedule(Schedule::cron("@daily", None));
    assert!(known(daily.is_latest(tick, time("2024-01-01T12:00:00Z"))));
    assert!(!known(daily.is_latest(tick, time("2024-01-02T00:00:01Z"))));
    assert!(known(
        schedule(Schedule::Once).is_latest(tick, time("2030-01-01"))
    ));
}

#[test]
fn a_bundles_own_timetable_cannot_be_answered_for() {
    let custom = CustomSchedule {
        entry: "after_work".into(),
        arguments: "[18]".into(),
        description: "After work".into(),
    };
    let timetable = schedule(Schedule::Custom(custom.clone()));
    let at = time("2024-01-01");
    assert_eq!(
        timetable.next_run(None, bounds(None, false), at),
        Answer::Ask(&custom)
    );
    assert_eq!(timetable.manual_interval(at), Answer::Ask(&custom));
    assert_eq!(timetable.is_latest((at, at), at), Answer::Ask(&custom));
    assert!(matches!(timetable.between(at, at), Answer::Ask(_)));
    assert!(matches!(
        timetable.next_runs(None, bounds(None, false), at),
        Answer::Ask(_)
    ));
    assert!(timetable.is_periodic());
    assert_eq!(timetable.describe(), "After work");
}

#[test]
fn a_schedule_that_cannot_be_says_what_to_change() {
    let none = DagSpec::default();
    for (spec, code) in [
        (
            DagSpec {
                schedule: Schedule::every(Duration::from_nanos(1)),
                ..none.clone()
            },
            "AL-0322",
        ),
        (
            DagSpec {
                schedule: Schedule::Continuous,
                ..none.clone()
            },
            "AL-0323",
        ),
        (
            DagSpec {
                schedule: Schedule::Once,
                catchup: true,
                ..none.clone()
            },
            "AL-0324",
        ),
        (
            DagSpec {
                schedule: Schedule::Cron {
                    lines: vec![],
                    interval: Delta::default(),
                    run_immediately: RunImmediately::No,
                },
                ..none
            },
            "AL-0325",
        ),
    ] {
        let error = Timetable::new(&spec).unwrap_err().to_string();
        assert!(error.starts_with(code), "{error}");
    }
}

#[test]
fn the_calendar_ends_without_a_run_and_without_a_loop() {
    let century = schedule(Schedule::every(Delta {
        months: 1200,
        time: Duration::ZERO,
    }));
    let runs = known(century.next_runs(
        None,
        bounds(Some(time("2024-01-01")), true),
        time("2024-01-01"),
    ));
    assert_eq!(runs.count(), 80);
    let endless = schedule(Schedule::every(Duration::MAX));
    let runs = known(endless.next_runs(
        None,
        bounds(Some(time("2024-01-01")), true),
        time("2024-01-01"),
    ));
    assert_eq!(runs.count(), 1);
    let last = time("9999-12-01");
    let hourly = schedule(Schedule::cron("@hourly", None));
    assert_eq!(
        known(hourly.next_run(Some((last, last)), bounds(None, true), last)),
        None
    );
}
