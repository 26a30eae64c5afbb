//! Random schedules of every form, as Airflow 3.3.2 itself answers for them.

use std::time::Duration;

use serde::Deserialize;

use super::*;

/// Start, end and earliest begin of a run, in microseconds since 1970.
type Run = Option<[i64; 3]>;

/// Months and microseconds.
type Length = (u32, u64);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    kind: Kind,
    tz: String,
    lines: Vec<String>,
    every: Length,
    interval: Length,
    run_immediately: First,
    earliest: i64,
    now: i64,
    latest: i64,
    /// The last run's interval for the questions that need one.
    last: [i64; 2],
    /// The first runs from `earliest`, with catch-up.
    first: Vec<Run>,
    /// The first run from `earliest`, without catch-up.
    no_catchup: Run,
    /// The first run without a start date, without catch-up.
    no_start: Run,
    /// From `earliest`, with catch-up.
    after_last: Run,
    /// Without a start date and without catch-up.
    after_last_no_catchup: Run,
    /// From `earliest` until `latest`, after `last`, without catch-up.
    bounded: Run,
    /// Of a run that is triggered at `earliest`.
    manual: [i64; 2],
}

#[derive(Deserialize, Debug, Clone, Copy)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Cron,
    Multi,
    Interval,
    Delta,
    DeltaInterval,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum First {
    Within(u64),
    Plain(Plain),
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Plain {
    Yes,
    No,
}

fn at(micros: i64) -> Timestamp {
    Timestamp::from_micros(micros).unwrap()
}

fn length((months, micros): Length) -> Delta {
    Delta {
        months,
        time: Duration::from_micros(micros),
    }
}

fn timetable(case: &Case) -> Timetable {
    let lines: Vec<_> = case.lines.iter().map(|text| line(text, &case.tz)).collect();
    schedule(match case.kind {
        Kind::Cron | Kind::Multi => Schedule::Cron {
            lines,
            interval: length(case.interval),
            run_immediately: match case.run_immediately {
                First::Within(micros) => RunImmediately::Within(Duration::from_micros(micros)),
                First::Plain(Plain::Yes) => RunImmediately::Yes,
                First::Plain(Plain::No) => RunImmediately::No,
            },
        },
        Kind::Interval => Schedule::CronInterval(lines[0].clone()),
        Kind::Delta => Schedule::Delta {
            every: length(case.every),
            interval: length(case.interval),
        },
        Kind::DeltaInterval => Schedule::DeltaInterval {
            every: length(case.every),
        },
    })
}

#[test]
fn random_schedules_of_every_form_run_when_airflow_runs_them() {
    let text = include_str!("../../../tests/vectors/timetables.json");
    let cases: Vec<Case> = serde_json::from_str(text).unwrap();
    for case in &cases {
        let timetable = timetable(case);
        let (now, earliest) = (at(case.now), Some(at(case.earliest)));
        let ask = |last, bounds| {
            let run = known(timetable.next_run(last, bounds, now))?;
            let (start, end) = run.interval;
            Some([start, end, run.run_after].map(Timestamp::micros))
        };
        let from = |[start, end]: [i64; 2]| Some((at(start), at(end)));
        let last = from(case.last);
        let mut before = None;
        let first: Vec<Run> = (case.first.iter())
            .map(|_| {
                let run = ask(before, bounds(earliest, true));
                before = run.and_then(|[start, end, _]| from([start, end]));
                run
            })
            .collect();
        let bounded = Restriction {
            latest: Some(at(case.latest)),
            ..bounds(earliest, false)
        };
        let told = [
            ask(None, bounds(earliest, false)),
            ask(None, bounds(None, false)),
            ask(last, bounds(earliest, true)),
            ask(last, bounds(None, false)),
            ask(last, bounded),
        ];
        let expected = [
            case.no_catchup,
            case.no_start,
            case.after_last,
            case.after_last_no_catchup,
            case.bounded,
        ];
        let about = format!("{:?} {:?} {}", case.kind, case.lines, case.tz);
        assert_eq!(first, case.first, "{about}");
        assert_eq!(told, expected, "{about}");
        let (start, end) = known(timetable.manual_interval(at(case.earliest)));
        assert_eq!([start.micros(), end.micros()], case.manual, "{about}");
    }
    assert!(cases.len() >= 240);
}
