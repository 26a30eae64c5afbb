//! Schedules as authors write them: a preset, a crontab line, `every 30m`, or `@once`.
//!
//! A crontab line is checked for its shape and the ranges of its numbers, which catches what people get
//! wrong; what it means is the host's business alone.

use crate::time::{self, Delta};

/// What `schedule = "…"` says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Schedule {
    Once,
    Continuous,
    Cron(String),
    Interval(Delta),
}

/// Airflow 3.3.2, `airflow/utils/dates.py`: the presets that stand for a crontab line.
const PRESETS: [&str; 6] = [
    "@hourly",
    "@daily",
    "@weekly",
    "@monthly",
    "@quarterly",
    "@yearly",
];

const MONTHS: [&str; 12] = [
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
];
const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

struct Field {
    name: &'static str,
    least: u32,
    most: u32,
    names: &'static [&'static str],
}

const fn field(name: &'static str, least: u32, most: u32, names: &'static [&'static str]) -> Field {
    Field {
        name,
        least,
        most,
        names,
    }
}

/// In the order of a crontab line; seconds, where given, come last (Airflow's dialect).
const FIELDS: [Field; 6] = [
    field("minute", 0, 59, &[]),
    field("hour", 0, 23, &[]),
    field("day of the month", 1, 31, &[]),
    field("month", 1, 12, &MONTHS),
    field("day of the week", 0, 7, &DAYS),
    field("second", 0, 59, &[]),
];

/// Reads a schedule.
pub(crate) fn schedule(text: &str) -> Result<Schedule, String> {
    let trimmed = text.trim();
    if trimmed == "@once" {
        return Ok(Schedule::Once);
    }
    if trimmed == "@continuous" {
        return Ok(Schedule::Continuous);
    }
    if let Some(every) = trimmed.strip_prefix("every ") {
        let every = time::delta(every)?;
        return match every == Delta::default() {
            true => Err("an interval has to be longer than nothing".to_owned()),
            false => Ok(Schedule::Interval(every)),
        };
    }
    if trimmed.starts_with('@') {
        return match PRESETS.contains(&trimmed) {
            true => Ok(Schedule::Cron(trimmed.to_owned())),
            false => Err(format!(
                "\"{trimmed}\" is no preset; there are {}, @once and @continuous",
                PRESETS.join(", ")
            )),
        };
    }
    let fields: Vec<&str> = trimmed.split_whitespace().collect();
    if !(5..=6).contains(&fields.len()) {
        return Err(format!(
            "\"{text}\" is no schedule; write a preset (\"@daily\"), a crontab line of five fields (\"0 6 * * 1-5\"), \"every 30m\", or leave `schedule` out for a DAG that only runs by hand"
        ));
    }
    for (field, text) in FIELDS.iter().zip(&fields) {
        for part in text.split(',') {
            if !field.allows(part) {
                let Field {
                    name, least, most, ..
                } = field;
                return Err(format!(
                    "`{part}` cannot be a crontab line's {name}: that is `*`, a number from {least} to {most}, a range, or a step such as `*/2`"
                ));
            }
        }
    }
    Ok(Schedule::Cron(fields.join(" ")))
}

impl Field {
    fn allows(&self, part: &str) -> bool {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, Some(step)),
            None => (part, None),
        };
        if step.is_some_and(|step| !step.parse::<u32>().is_ok_and(|step| step > 0)) {
            return false;
        }
        if range == "*" {
            return true;
        }
        if step.is_none() && self.allows_day(range) {
            return true;
        }
        match range.split_once('-') {
            Some((from, to)) => self.value(from) && self.value(to),
            None => self.value(range),
        }
    }

    /// The forms that only days have: `?`, `L` (the last), `L5` (the last Friday), `5#2` (the second Friday).
    fn allows_day(&self, text: &str) -> bool {
        match self.name {
            "day of the month" => text == "?" || text.eq_ignore_ascii_case("l"),
            "day of the week" => {
                text == "?"
                    || text
                        .strip_prefix(['L', 'l'])
                        .is_some_and(|day| self.value(day))
                    || text.split_once('#').is_some_and(|(day, nth)| {
                        self.value(day)
                            && nth.parse::<u32>().is_ok_and(|nth| (1..=5).contains(&nth))
                    })
            }
            _ => false,
        }
    }

    fn value(&self, text: &str) -> bool {
        self.names.contains(&text.to_ascii_lowercase().as_str())
            || text.bytes().all(|b| b.is_ascii_digit())
                && text
                    .parse::<u32>()
                    .is_ok_and(|number| (self.least..=self.most).contains(&number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_write_a_schedule_is_understood() {
        let cron = |text: &str| Ok(Schedule::Cron(text.to_owned()));
        assert_eq!(schedule("@once"), Ok(Schedule::Once));
        assert_eq!(schedule("@continuous"), Ok(Schedule::Continuous));
        assert_eq!(schedule("@daily"), cron("@daily"));
        assert_eq!(
            schedule("every 1h30m"),
            Ok(Schedule::Interval(Delta {
                months: 0,
                time: std::time::Duration::from_secs(5_400)
            }))
        );
        for line in [
            "* * * * *",
            "*/15 0-6,22 1 JAN-mar mon-fri",
            "0 0 L * ?",
            "0 0 * * 5#2",
            "0 0 * * L5",
            "0 0 * * 7",
            "0 0 * * * 30",
        ] {
            assert_eq!(schedule(line), cron(line), "{line}");
        }
    }

    #[test]
    fn a_line_that_can_never_be_right_is_refused() {
        for line in [
            "",
            "daily",
            "0 0 * *",
            "60 * * * *",
            "* 24 * * *",
            "* * 0 * *",
            "* * * 13 *",
            "* * * * 8",
            "*/0 * * * *",
            "a * * * *",
            "* * * * * * *",
            "@fortnightly",
            "every 0s",
            "every day",
            "every",
            "1--2 * * * *",
            "+1 * * * *",
            "L * * * *",
            "* * * * 5#6",
        ] {
            assert!(schedule(line).is_err(), "{line}");
        }
    }

    #[test]
    fn an_error_names_the_field_that_is_wrong() {
        let error = schedule("0 24 * * *").unwrap_err();
        assert!(
            error.contains("`24` cannot be a crontab line's hour"),
            "{error}"
        );
    }
}
