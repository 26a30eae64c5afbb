//! Every case of the table that Airflow itself filled in.

use serde::Deserialize;

use super::*;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    kind: Kind,
    expr: String,
    tz: String,
    earliest: String,
    catchup_true_first6: [[String; 3]; 6],
    now_for_no_catchup: String,
    no_catchup_with_earliest: [String; 3],
    no_catchup_no_start_date: [String; 3],
    manual_interval: [String; 2],
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "snake_case")]
enum Kind {
    CronTrigger,
    CronDataInterval,
}

fn run([start, end, after]: &[String; 3]) -> Option<NextRun> {
    Some(NextRun {
        interval: (time(start), time(end)),
        run_after: time(after),
    })
}

/// What is told and what Airflow says, when they differ.
fn difference(case: &Case) -> Option<String> {
    let timetable = schedule(match case.kind {
        Kind::CronTrigger => Schedule::cron(&case.expr, Some(&case.tz)),
        Kind::CronDataInterval => Schedule::CronInterval(line(&case.expr, &case.tz)),
    });
    let earliest = Some(time(&case.earliest));
    let now = time(&case.now_for_no_catchup);
    let mut told: Vec<_> = known(timetable.next_runs(None, bounds(earliest, true), now))
        .take(6)
        .map(Some)
        .collect();
    let mut expected: Vec<_> = case.catchup_true_first6.iter().map(run).collect();
    for (earliest, answer) in [
        (earliest, &case.no_catchup_with_earliest),
        (None, &case.no_catchup_no_start_date),
    ] {
        told.push(known(timetable.next_run(
            None,
            bounds(earliest, false),
            now,
        )));
        expected.push(run(answer));
    }
    let manual = known(timetable.manual_interval(time(&case.earliest)));
    let [start, end] = &case.manual_interval;
    (told != expected || manual != (time(start), time(end))).then(|| {
        format!(
            "{} {} from {}:\n  {told:?} {manual:?}\n  {expected:?} {:?}",
            case.expr, case.tz, case.earliest, case.manual_interval
        )
    })
}

#[test]
fn all_of_airflows_answers_are_given_by_both_cron_timetables() {
    let text = include_str!("../../../tests/vectors/cron_timetables.json");
    let cases: Vec<Case> = serde_json::from_str(text).unwrap();
    let wrong: Vec<_> = cases.iter().filter_map(difference).collect();
    assert!(cases.len() > 1_700);
    assert!(
        wrong.is_empty(),
        "{} of {} differ\n{}",
        wrong.len(),
        cases.len(),
        wrong[..wrong.len().min(8)].join("\n")
    );
}
