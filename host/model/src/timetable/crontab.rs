//! Reads a crontab line as Airflow's users write it, and writes it down as the cron library reads it.
//!
//! Airflow (3.3.2) reads its lines with croniter; the library here is croner, which knows the calendar but
//! another dialect. What differs, and is therefore read here and handed over as plain lists of numbers:
//!
//! - the seconds are the sixth field, not the first;
//! - `L5` is the month's last Friday (croner: `5L`); `mon-wed#2` is three days' second; plain days and `#` or
//!   `L5` do not mix; with them in force the day of the month no longer counts;
//! - `50-10` and `fri-mon` run through the end of the field, with a step counted as croniter does; `jan-jan`
//!   is the whole year; `7` is Sunday at both ends of a range; `1-L` is all days of a month;
//! - a start with a step, `10/20`, runs to the end of the field;
//! - day of month and day of week are alternatives unless one of them is a star, and a field that lists all
//!   its days (`1-31`, `*/1`) is a star only if the other field has one;
//! - hours that list all hours (`*/1`, `0-23`) are a star, which decides over the change of the clocks;
//! - croner's `+`, `W` and years, and croniter's `H` and `R`, are mistakes: Airflow knows the former not, or
//!   not in all its versions, and the latter only where it gives no answer that lasts.

use std::collections::BTreeSet;

/// The presets that stand for a line (Airflow 3.3.2, `airflow/utils/dates.py`, and croniter's own).
const PRESETS: [(&str, &str); 8] = [
    ("@hourly", "0 * * * *"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@weekly", "0 0 * * 0"),
    ("@monthly", "0 0 1 * *"),
    ("@quarterly", "0 0 1 */3 *"),
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
];

const MONTHS: [&str; 12] = [
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
];
const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// A field's name and bounds.
#[derive(Clone, Copy)]
struct Kind {
    name: &'static str,
    least: u32,
    most: u32,
    names: &'static [&'static str],
}

const fn kind(name: &'static str, least: u32, most: u32, names: &'static [&'static str]) -> Kind {
    Kind {
        name,
        least,
        most,
        names,
    }
}

const MINUTE: Kind = kind("minute", 0, 59, &[]);
const HOUR: Kind = kind("hour", 0, 23, &[]);
const DAY: Kind = kind("day of month", 1, 31, &[]);
const MONTH: Kind = kind("month", 1, 12, &MONTHS);
const WEEKDAY: Kind = kind("day of week", 0, 6, &DAYS);
const SECOND: Kind = kind("second", 0, 59, &[]);

/// What a field says.
#[derive(Debug, Default)]
struct Field {
    /// It has a star.
    star: bool,
    values: BTreeSet<u32>,
    /// Of days of the month: the last.
    last: bool,
    /// Of days of the week: only which of a month, as croner writes it.
    nth: BTreeSet<(u32, Nth)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Nth {
    Of(u32),
    Last,
}

/// A line that is understood.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Crontab {
    /// Six fields, seconds first, as croner reads them.
    pub(super) pattern: String,
    /// Day of month and day of week have to meet; otherwise either does.
    pub(super) both: bool,
    /// The hour is a star and nothing else.
    pub(super) every_hour: bool,
    /// The day of the month, which no longer counts beside `#` and `L5`. Airflow gives no tick at all unless
    /// the two meet at some time; the pattern that asks for both.
    pub(super) must_meet: Option<String>,
}

impl Crontab {
    /// Reads a line of five fields, of six with seconds last, or a preset.
    pub(super) fn read(line: &str) -> Result<Self, String> {
        let line = line.trim().to_lowercase();
        let preset = PRESETS.iter().find(|(name, _)| *name == line);
        let line = preset.map_or(line.as_str(), |(_, expanded)| expanded);
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let (unix, second) = match fields.as_slice() {
            [minute, hour, day, month, weekday] => ([*minute, *hour, *day, *month, *weekday], "0"),
            [minute, hour, day, month, weekday, second] => {
                ([*minute, *hour, *day, *month, *weekday], *second)
            }
            fields => {
                return Err(format!("it has {} fields, not five or six", fields.len()));
            }
        };
        let [minute_text, hour_text, day_text, month_text, weekday_text] = unix;
        let mut days = DAY.read(day_text)?;
        let mut weekdays = WEEKDAY.read(weekday_text)?;
        days.star |= days.is_full(DAY) && weekday_text.contains('*');
        weekdays.star |= weekdays.is_full(WEEKDAY) && day_text.contains('*');
        let hours = HOUR.read(hour_text)?;
        let every_hour = hours.is_full(HOUR) || (hours.star && hours.values.is_empty());
        let [day, weekday] = [days.text(DAY), weekdays.text(WEEKDAY)];
        let [second, minute, hour, month] = [
            SECOND.read(second)?.text(SECOND),
            MINUTE.read(minute_text)?.text(MINUTE),
            hours.text(HOUR),
            MONTH.read(month_text)?.text(MONTH),
        ];
        let pattern = |day: &str| format!("{second} {minute} {hour} {day} {month} {weekday}");
        let both = !weekdays.nth.is_empty() && !days.star && weekdays.star;
        let unheard = !weekdays.nth.is_empty() && !days.star && !weekdays.star;
        Ok(Self {
            pattern: pattern(if unheard { "*" } else { &day }),
            both,
            every_hour,
            must_meet: unheard.then(|| pattern(&day)),
        })
    }
}

impl Field {
    /// Whether it names as many as there are, as croniter counts them.
    fn is_full(&self, kind: Kind) -> bool {
        let named = self.nth.iter().map(|(day, _)| *day);
        let days: BTreeSet<u32> = named.chain(self.values.iter().copied()).collect();
        days.len() + usize::from(self.last) == (kind.most - kind.least) as usize + 1
    }

    /// As croner reads it.
    fn text(&self, kind: Kind) -> String {
        let days_of = kind.name == DAY.name || kind.name == WEEKDAY.name;
        let star = self.star && self.nth.is_empty();
        if star || (!days_of && self.is_full(kind)) {
            return "*".into();
        }
        let mut items: Vec<String> = if self.nth.is_empty() {
            self.values.iter().map(ToString::to_string).collect()
        } else {
            let nth = |(day, nth): &(u32, Nth)| match nth {
                Nth::Of(nth) => format!("{day}#{nth}"),
                Nth::Last => format!("{day}L"),
            };
            self.nth.iter().map(nth).collect()
        };
        items.extend(self.last.then(|| "L".to_owned()));
        items.join(",")
    }
}

impl Kind {
    fn read(self, text: &str) -> Result<Field, String> {
        let wrong = |part: &str| format!("`{}` is no {}", part.escape_debug(), self.name);
        let mut field = Field::default();
        let is_day = self.name == DAY.name;
        let is_weekday = self.name == WEEKDAY.name;
        if text == "?" && (is_day || is_weekday) {
            field.star = true;
            return Ok(field);
        }
        for part in text.split(',') {
            if part == "*" {
                field.star = true;
            } else if is_day && part == "l" {
                field.last = true;
            } else if is_weekday && let Some((days, nth)) = nth(part) {
                let nth = nth.ok_or_else(|| wrong(part))?;
                // A range of the nth is one of names; croniter reads none of numbers.
                if days.contains('-') && days.bytes().any(|b| b.is_ascii_digit()) {
                    return Err(wrong(part));
                }
                let days = self.values(days).ok_or_else(|| wrong(part))?;
                field.nth.extend(days.into_iter().map(|day| (day, nth)));
            } else {
                let values = self.values(part).ok_or_else(|| wrong(part))?;
                field.values.extend(values);
            }
        }
        let named: BTreeSet<u32> = field.nth.iter().map(|(day, _)| *day).collect();
        let all = named.union(&field.values).count() == DAYS.len();
        let mixed = field.star || !(all || field.values.is_subset(&named));
        if !named.is_empty() && mixed {
            return Err("plain days of the week do not mix with `#` and `L`".into());
        }
        Ok(field)
    }

    /// What a part without a comma stands for: a value, a range, either with a step.
    fn values(self, part: &str) -> Option<Vec<u32>> {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, Some(number(step)?)),
            None => (part, None),
        };
        if step == Some(0) {
            return None;
        }
        let stride = step.unwrap_or(1) as usize;
        let whole = self.least..=self.most;
        match range.split_once('-') {
            None if range == "*" => Some(whole.step_by(stride).collect()),
            None => {
                let from = self.value(range)?;
                match step {
                    Some(_) => Some((from..=self.most).step_by(stride).collect()),
                    None => Some(vec![from]),
                }
            }
            Some((from, to)) => {
                let to = if self.name == DAY.name && to == "l" {
                    self.most
                } else {
                    self.value(to)?
                };
                let from = self.value(from)?;
                Some(match from.cmp(&to) {
                    std::cmp::Ordering::Equal => whole.step_by(stride).collect(),
                    std::cmp::Ordering::Less => (from..=to).step_by(stride).collect(),
                    std::cmp::Ordering::Greater => self.around(from, to, step.unwrap_or(1)),
                })
            }
        }
    }

    /// A range that runs through the end of the field. Where the step reaches over the end, croniter goes
    /// on one later than the step would.
    fn around(self, from: u32, to: u32, step: u32) -> Vec<u32> {
        let stride = step as usize;
        let mut values: Vec<u32> = (from..=self.most).step_by(stride).collect();
        let unused = self.most - values.last().copied().unwrap_or(from);
        let again = if unused + 1 < step { step - unused } else { 0 };
        values.extend((self.least.saturating_add(again)..=to).step_by(stride));
        values
    }

    /// A number or a name.
    fn value(self, text: &str) -> Option<u32> {
        let named = self.names.iter().position(|name| *name == text);
        let value = match named {
            Some(at) => u32::try_from(at).ok()? + self.least,
            None => number(text)?,
        };
        let value = if self.name == WEEKDAY.name && value == 7 {
            0
        } else {
            value
        };
        (self.least..=self.most).contains(&value).then_some(value)
    }
}

/// `fri#2` and `l5`: the days, and which of the month; none if that is no such number.
fn nth(part: &str) -> Option<(&str, Option<Nth>)> {
    if let Some((days, nth)) = part.split_once('#') {
        let nth = number(nth).filter(|nth| (1..=5).contains(nth));
        return Some((days, nth.map(Nth::Of)));
    }
    let day = part.strip_prefix('l')?;
    Some((day, number(day).map(|_| Nth::Last)))
}

fn number(text: &str) -> Option<u32> {
    // `parse` alone would let a plus pass.
    (text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok())?
}
