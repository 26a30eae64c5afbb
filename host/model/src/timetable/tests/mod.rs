use serde::Deserialize;

use super::*;

#[derive(Deserialize)]
struct Case {
    kind: String,
    expr: String,
    tz: String,
    earliest: String,
    catchup_true_first6: Vec<[String; 3]>,
    now_for_no_catchup: String,
    no_catchup_with_earliest: Option<[String; 3]>,
    no_catchup_no_start_date: Option<[String; 3]>,
}

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn run([start, end, after]: &[String; 3]) -> NextRun {
    NextRun {
        interval: (time(start), time(end)),
        run_after: time(after),
    }
}

#[test]
fn cron_ticks_fall_where_airflows_do_through_every_change_of_the_clocks() {
    let cases: Vec<Case> =
        serde_json::from_str(include_str!("../../tests/vectors/cron_timetables.json")).unwrap();
    let mut wrong = vec![];
    let cases: Vec<_> = cases
        .into_iter()
        .filter(|case| case.kind == "cron_trigger")
        .collect();
    for case in &cases {
        let timetable = Timetable::Cron(Box::new(Cron::new(&case.expr, Some(&case.tz)).unwrap()));
        let earliest = Some(time(&case.earliest));
        let now = time(&case.now_for_no_catchup);
        let bounds = |earliest, catchup| Restriction {
            earliest,
            latest: None,
            catchup,
        };
        let mut last = None;
        let mut told = vec![];
        for _ in &case.catchup_true_first6 {
            let next = timetable
                .next_run(last, bounds(earliest, true), now)
                .unwrap();
            last = Some(next.interval);
            told.push(Some(next));
        }
        let mut expected: Vec<_> = case
            .catchup_true_first6
            .iter()
            .map(|r| Some(run(r)))
            .collect();
        told.push(timetable.next_run(None, bounds(earliest, false), now));
        expected.push(case.no_catchup_with_earliest.as_ref().map(run));
        told.push(timetable.next_run(None, bounds(None, false), now));
        expected.push(case.no_catchup_no_start_date.as_ref().map(run));
        if told != expected {
            wrong.push(format!(
                "{} {} from {}:\n  {told:?}\n  {expected:?}",
                case.expr, case.tz, case.earliest
            ));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {} differ\n{}",
        wrong.len(),
        cases.len(),
        wrong[..wrong.len().min(8)].join("\n")
    );
}

#[test]
fn a_line_that_is_no_line_says_what_is_wrong_with_it() {
    for (line, zone, code) in [
        ("* * *", None, "AL-0320"),
        ("61 * * * *", None, "AL-0320"),
        ("H * * * *", None, "AL-0320"),
        ("@fortnightly", None, "AL-0320"),
        ("0 0 31 2 *", None, "never comes"),
        ("0 0 * * *", Some("Mars/Olympus"), "AL-0321"),
    ] {
        let error = Cron::new(line, zone).unwrap_err().to_string();
        assert!(error.contains(code), "{line}: {error}");
    }
}

#[test]
fn the_end_date_is_the_last_run() {
    let daily = Timetable::Cron(Box::new(Cron::new("@daily", None).unwrap()));
    let bounds = Restriction {
        earliest: Some(time("2012-01-01")),
        latest: Some(time("2015-12-31")),
        catchup: true,
    };
    let mut runs = 0;
    let mut last = None;
    while let Some(next) = daily.next_run(last, bounds, time("2026-01-01")) {
        last = Some(next.interval);
        runs += 1;
    }
    assert_eq!(runs, 1461);
    assert_eq!(last.unwrap().0, time("2015-12-31"));
}

#[test]
fn an_interval_without_catchup_runs_now_and_then_after_each_interval() {
    let hourly = Timetable::Interval(Duration::from_secs(3600));
    let bounds = Restriction {
        earliest: Some(time("2020-01-01")),
        latest: None,
        catchup: false,
    };
    let now = time("2026-01-01T10:20:00");
    assert_eq!(hourly.next_run(None, bounds, now).unwrap().run_after, now);
    let next = hourly.next_run(Some((now, now)), bounds, now).unwrap();
    assert_eq!(next.run_after, time("2026-01-01T11:20:00"));
    let caught = Restriction {
        catchup: true,
        ..bounds
    };
    assert_eq!(
        hourly.next_run(None, caught, now).unwrap().run_after,
        time("2020-01-01")
    );
}

#[test]
fn once_runs_once() {
    let bounds = Restriction {
        earliest: Some(time("2020-01-01")),
        latest: None,
        catchup: false,
    };
    let now = time("2026-01-01");
    let first = Timetable::Once.next_run(None, bounds, now).unwrap();
    assert_eq!(first.interval.0, time("2020-01-01"));
    assert_eq!(
        Timetable::Once.next_run(Some(first.interval), bounds, now),
        None
    );
}
