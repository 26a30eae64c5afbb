//! A line's ticks in a zone, against a search that looks at every minute.

use std::collections::BTreeSet;

use jiff::{
    ToSpan,
    civil::{Date, DateTime},
    tz::{Disambiguation, TimeZone},
};
use proptest::{
    prelude::*,
    sample::{Index, select},
};

use super::{super::grid::Grid, *};

/// Zones, each with a day on which its clocks change.
const ZONES: [(&str, &str); 8] = [
    ("UTC", "2024-02-29"),
    ("Europe/Zurich", "2023-03-26"),
    ("Europe/Zurich", "2023-10-29"),
    ("America/New_York", "2024-03-10"),
    ("America/New_York", "2024-11-03"),
    ("Australia/Lord_Howe", "2024-04-07"),
    ("Asia/Kathmandu", "1986-01-01"),
    ("America/Sao_Paulo", "2018-11-04"),
];

/// A field's text and what it means; all of it where it is a star.
type Field = (String, Option<BTreeSet<u32>>);

fn numbers(least: u32, most: u32) -> impl Strategy<Value = Field> {
    let part =
        (least..=most, least..=most, 1u32..=most, 0u8..4).prop_map(move |(a, b, step, form)| {
            let (low, high) = (a.min(b), a.max(b));
            match form {
                0 => (a.to_string(), BTreeSet::from([a])),
                1 if low < high => (format!("{low}-{high}"), (low..=high).collect()),
                2 => (
                    format!("{a}/{step}"),
                    (a..=most).step_by(step as usize).collect(),
                ),
                3 if low < high => {
                    let values = (low..=high).step_by(step as usize).collect();
                    (format!("{low}-{high}/{step}"), values)
                }
                _ => {
                    let values: BTreeSet<u32> = (least..=most).step_by(step as usize).collect();
                    (format!("*/{step}"), values)
                }
            }
        });
    let list = prop::collection::vec(part, 1..3).prop_map(|parts| {
        let text = parts
            .iter()
            .map(|part| part.0.as_str())
            .collect::<Vec<_>>()
            .join(",");
        (
            text,
            Some(parts.into_iter().flat_map(|part| part.1).collect()),
        )
    });
    prop_oneof![1 => Just(("*".to_owned(), None)), 2 => list]
}

/// Which days a line means.
#[derive(Debug, Clone)]
enum Days {
    Either {
        month: Option<BTreeSet<u32>>,
        week: Option<BTreeSet<u32>>,
    },
    Last,
    Nth(u32, u32),
    LastOf(u32),
}

impl Days {
    fn allow(&self, date: Date) -> bool {
        let (day, last) = (date.day() as u32, date.days_in_month() as u32);
        let weekday = date.weekday().to_sunday_zero_offset() as u32;
        match self {
            Self::Either { month, week } => match (month, week) {
                (None, None) => true,
                (Some(month), None) => month.contains(&day),
                (None, Some(week)) => week.contains(&weekday),
                (Some(month), Some(week)) => month.contains(&day) || week.contains(&weekday),
            },
            Self::Last => day == last,
            Self::Nth(of, nth) => weekday == *of && day.div_ceil(7) == *nth,
            Self::LastOf(of) => weekday == *of && day + 7 > last,
        }
    }
}

/// The texts of both fields of days. A field of all days is left out: it is a star only beside one.
fn days() -> impl Strategy<Value = ((String, String), Days)> {
    let some = |(_, set): &Field, all| set.as_ref().is_none_or(|set| set.len() < all);
    let either = (numbers(1, 31), numbers(0, 6))
        .prop_filter("a field of all days", move |(month, week)| {
            some(month, 31) && some(week, 7)
        })
        .prop_map(|(month, week)| {
            let days = Days::Either {
                month: month.1,
                week: week.1,
            };
            ((month.0, week.0), days)
        });
    let text = |week: String| ("*".to_owned(), week);
    prop_oneof![
        4 => either,
        1 => Just((("L".to_owned(), "*".to_owned()), Days::Last)),
        1 => (0u32..7, 1u32..=5).prop_map(move |(d, n)| (text(format!("{d}#{n}")), Days::Nth(d, n))),
        1 => (0u32..7).prop_map(move |d| (text(format!("L{d}")), Days::LastOf(d))),
    ]
}

#[derive(Debug, Clone)]
struct Line {
    text: String,
    minute: Option<BTreeSet<u32>>,
    hour: Option<BTreeSet<u32>>,
    month: Option<BTreeSet<u32>>,
    days: Days,
}

fn lines() -> impl Strategy<Value = Line> {
    let fields = (numbers(0, 59), numbers(0, 23), days(), numbers(1, 12));
    fields.prop_map(
        |(minute, hour, ((month_day, week_day), days), month)| Line {
            text: format!("{} {} {month_day} {} {week_day}", minute.0, hour.0, month.0),
            minute: minute.1,
            hour: hour.1,
            month: month.1,
            days,
        },
    )
}

impl Line {
    fn date(&self, date: Date) -> bool {
        allows(&self.month, date.month() as u32) && self.days.allow(date)
    }

    fn matches(&self, at: DateTime) -> bool {
        let time = allows(&self.minute, at.minute() as u32) && allows(&self.hour, at.hour() as u32);
        time && self.date(at.date())
    }

    fn every_hour(&self) -> bool {
        self.hour.as_ref().is_none_or(|hours| hours.len() == 24)
    }

    /// The first local minute after (or the last before) one, within twelve years, by looking at each.
    fn search(&self, local: DateTime, step: i64) -> Option<DateTime> {
        let (mut at, mut days) = (local, 0);
        while days < 12 * 366 {
            let to = at + step.minutes();
            days += u32::from(to.date() != at.date());
            at = to;
            if !self.date(at.date()) {
                // To the edge of this day.
                let edge = if step > 0 {
                    at.date().at(23, 59, 0, 0)
                } else {
                    at.date().at(0, 0, 0, 0)
                };
                at = edge;
            } else if self.matches(at) {
                return Some(at);
            }
        }
        None
    }
}

fn allows(set: &Option<BTreeSet<u32>>, value: u32) -> bool {
    set.as_ref().is_none_or(|set| set.contains(&value))
}

/// What Airflow makes of a local time to which a search came.
fn instant(
    line: &Line,
    zone: &TimeZone,
    at: Timestamp,
    local: DateTime,
    tick: DateTime,
) -> Timestamp {
    let instant = if line.every_hour() {
        at.to_jiff() + tick.duration_since(local)
    } else {
        let tick = zone.to_ambiguous_timestamp(tick);
        tick.disambiguate(Disambiguation::Later).unwrap()
    };
    Timestamp::from_jiff(instant)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn the_next_tick_and_the_one_before_are_what_a_look_at_every_minute_finds(
        line in lines(),
        (zone, day) in select(&ZONES[..]),
        minutes in -3_000i64..3_000,
    ) {
        let at = Timestamp::from_jiff(time(day).to_jiff() + minutes.minutes());
        let timezone = TimeZone::get(zone).unwrap();
        let local = timezone.to_datetime(at.to_jiff());
        let Ok(cron) = Cron::new(&super::line(&line.text, zone)) else {
            prop_assert_eq!(line.search(local, 1), None, "{} was refused", line.text);
            return Ok(());
        };
        if let Some(tick) = line.search(local, 1) {
            let told = cron.next(at);
            let expected = instant(&line, &timezone, at, local, tick);
            prop_assert_eq!(told, Some(expected), "next of {} {} after {}", line.text, zone, at);
            prop_assert!(expected > at);
            // Nothing that the wall clock shows once was passed over, unless a tick was moved out of a gap.
            let kept = timezone.to_datetime(expected.to_jiff()) == tick;
            let steady = timezone.to_offset(at.to_jiff()) == timezone.to_offset(expected.to_jiff());
            let most = at.to_jiff() + 40.hours();
            let mut between = at.to_jiff() + 1.minute();
            while between < expected.to_jiff().min(most) {
                let shown = timezone.to_datetime(between);
                let once = !timezone.to_ambiguous_timestamp(shown).is_ambiguous();
                let counts = if line.every_hour() { steady } else { kept && once };
                prop_assert!(!(counts && line.matches(shown)), "{} {} skips {}", line.text, zone, between);
                between += 1.minute();
            }
        }
        if let Some(tick) = line.search(local, -1) {
            let expected = instant(&line, &timezone, at, local, tick);
            prop_assert_eq!(cron.prev(at), Some(expected), "before {} {} at {}", line.text, zone, at);
        }
    }

    #[test]
    fn run_follows_run_in_every_form_whatever_the_clocks_do(
        line in lines(),
        (zone, day) in select(&ZONES[..]),
        minutes in -3_000i64..3_000,
        catchup: bool,
        form: Index,
    ) {
        let at = Timestamp::from_jiff(time(day).to_jiff() + minutes.minutes());
        let lines = vec![super::line(&line.text, zone), super::line("30 */5 * * *", zone)];
        let forms = [
            Schedule::CronInterval(lines[0].clone()),
            Schedule::cron(&line.text, Some(zone)),
            Schedule::Cron { lines, interval: Delta::default(), run_immediately: RunImmediately::No },
        ];
        let spec = DagSpec { schedule: form.get(&forms).clone(), ..DagSpec::default() };
        let Ok(timetable) = Timetable::new(&spec) else { return Ok(()) };
        let timezone = TimeZone::get(zone).unwrap();
        let offset = |at: Timestamp| timezone.to_offset(at.to_jiff());
        let mut last: Option<NextRun> = None;
        for run in known(timetable.next_runs(None, bounds(Some(at), catchup), at)).take(30) {
            if let Some(last) = last {
                prop_assert!(run.logical_date() > last.logical_date() && run.run_after > last.run_after);
                // Where the clocks change, Airflow aligns the end of an interval anew.
                let steady = offset(last.interval.0) == offset(run.interval.1);
                prop_assert!(!steady || run.interval.0 >= last.interval.1);
            }
            prop_assert!(run.logical_date() <= run.run_after);
            last = Some(run);
        }
        prop_assert!(last.is_some());
    }
}
