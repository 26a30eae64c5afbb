//! What is a crontab line, what is none, and which lines say the same.

use super::*;

/// The first ticks after the beginning of 2024, a leap year that begins on a Monday.
fn ticks(expression: &str) -> Vec<String> {
    let timetable = schedule(Schedule::cron(expression, None));
    let from = Some(time("2024-01-01"));
    let runs = known(timetable.next_runs(None, bounds(from, true), time("2024-01-01")));
    runs.take(40).map(|run| run.run_after.to_string()).collect()
}

#[test]
fn lines_that_say_the_same_tick_at_the_same_times() {
    for (line, plain) in [
        ("@midnight", "0 0 * * *"),
        (" @Quarterly ", "0 0 1 1,4,7,10 *"),
        ("@annually", "0 0 1 1 *"),
        ("0 0 * * 7", "0 0 * * 0"),
        ("0 0 * JAN-mar Mon", "0 0 * 1,2,3 1"),
        ("0 0 * * 5-7", "0 0 * * 0,5,6"),
        ("0 0 * * sat-tue", "0 0 * * 0,1,2,6"),
        ("0 0 ? * ?", "0 0 * * *"),
        ("0 22-1 * * *", "0 0,1,22,23 * * *"),
        ("0 20-4/3 * * *", "0 3,20,23 * * *"),
        ("50/5 * * * *", "50,55 * * * *"),
        ("59/15 * * * *", "59 * * * *"),
        ("7-7/20 * * * *", "*/20 * * * *"),
        ("0 0 28-L * *", "0 0 28-31 * *"),
        ("0 0 * * mon-tue#2", "0 0 * * 1#2,2#2"),
        ("0 0 1-7 * 1#1", "0 0 * * 1#1"),
        ("0 0 1 * */1", "0 0 1 * 0-6"),
        ("0 0 */1 * 1", "0 0 1-31 * 1"),
        ("5 4 3 2 * 0", "5 4 3 2 *"),
    ] {
        assert_eq!(ticks(line), ticks(plain), "{line}");
    }
}

#[test]
fn days_of_the_month_and_of_the_week_are_alternatives_and_the_last_is_found() {
    for (line, first) in [
        ("0 0 13 * 5", ["2024-01-05", "2024-01-12", "2024-01-13"]),
        ("0 0 L * *", ["2024-01-31", "2024-02-29", "2024-03-31"]),
        ("0 0 15,L * *", ["2024-01-15", "2024-01-31", "2024-02-15"]),
        ("0 0 * * L5", ["2024-01-26", "2024-02-23", "2024-03-29"]),
        ("0 0 * * fri#5", ["2024-03-29", "2024-05-31", "2024-08-30"]),
        ("0 0 29 2 *", ["2024-02-29", "2028-02-29", "2032-02-29"]),
        ("0 0 */1 * 1", ["2024-01-01", "2024-01-02", "2024-01-03"]),
    ] {
        let told = &ticks(line)[..3];
        assert_eq!(told, first.map(|date| time(date).to_string()), "{line}");
    }
    let seconds = ticks("59 23 31 12 * 58,59");
    assert_eq!(
        seconds[..2],
        ["2024-12-31T23:59:58+00:00", "2024-12-31T23:59:59+00:00"]
    );
}

#[test]
fn a_line_that_is_no_line_says_what_is_wrong_with_it() {
    for (expression, zone, text) in [
        ("* * *", "UTC", "AL-0320"),
        ("* * * * * * 2024", "UTC", "7 fields"),
        ("61 * * * *", "UTC", "`61` is no minute"),
        ("0 0 0 * *", "UTC", "`0` is no day of month"),
        ("0 0 * 0 *", "UTC", "`0` is no month"),
        ("0 0 * * 8", "UTC", "`8` is no day of week"),
        ("0 0 * * mo", "UTC", "`mo` is no day of week"),
        ("0 0 * * 1#6", "UTC", "AL-0320"),
        ("0 0 * * 1#0", "UTC", "AL-0320"),
        ("0 0 * * 1-3#2", "UTC", "AL-0320"),
        ("0 0 * * 5L", "UTC", "AL-0320"),
        ("0 0 * * 1,5#2", "UTC", "do not mix"),
        ("0 0 15W * *", "UTC", "AL-0320"),
        ("0 0 +1 * *", "UTC", "AL-0320"),
        ("*/0 * * * *", "UTC", "AL-0320"),
        ("1,,2 * * * *", "UTC", "AL-0320"),
        ("-1 * * * *", "UTC", "AL-0320"),
        ("? * * * *", "UTC", "AL-0320"),
        ("99999999999 * * * *", "UTC", "AL-0320"),
        ("H * * * *", "UTC", "AL-0320"),
        ("R * * * *", "UTC", "AL-0320"),
        ("@fortnightly", "UTC", "AL-0320"),
        ("@once", "UTC", "AL-0320"),
        ("\u{1b}[2J * * * *", "UTC", "\\u{1b}[2j"),
        ("0 0 31 2 *", "UTC", "never comes"),
        ("0 0 31 4,6,9,11 *", "UTC", "never comes"),
        ("0 0 1 * 1#2", "UTC", "never comes"),
        ("0 0 * * *", "Mars/Olympus", "AL-0321"),
    ] {
        let error = Cron::new(&line(expression, zone)).unwrap_err().to_string();
        assert!(error.contains(text), "{expression}: {error}");
        assert!(!error.contains('\u{1b}'), "{error:?}");
    }
}
