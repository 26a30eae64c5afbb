//! The daily and the monthly reports.
//!
//! # Why a month's report is right when all its days have run
//! Many runs of one month recompute its report at the same time, and any of them may be cut off and tried
//! again. Each one *looks* which daily reports are there, *computes* from those, *renames* its result into
//! place, and *looks again*; where the two looks differ, it starts over. Daily reports are never deleted.
//!
//! Take the last rename of all, by a try T, and suppose the report then lacks a daily report D, or counts it
//! as it was before its last change.
//! - T did not see that state of D before the rename, or it would have counted it.
//! - T looked again afterwards. Had D been there then, the looks would have differed, T would have renamed
//!   once more, and this was not the last rename. (Had T been cut off before looking, its run would not
//!   have ended well before another try had renamed again.) So D came after T's second look.
//! - D's own run updates the month after it has written D, so after T's rename, and with a rename of its
//!   own. So T's was not the last. A contradiction: the report lacks nothing.
//!
//! It ends, because a try starts over only when a daily report appeared or changed in between, and each run
//! writes one. No order of runs, and no lock, is needed. The one thing it rests on is that a try which was
//! given up does nothing more once its successor has ended; a host that stops a try before it starts the
//! next one sees to that.

use std::{
    collections::BTreeMap,
    fs::{self, File, Metadata},
    io::{self, Read as _},
    path::{Path, PathBuf},
    time::SystemTime,
};

use airlock_sdk::{capability::Directory, prelude::*};
use serde::Serialize;

use crate::{
    observation::{Checked, Weather, hundredths},
    storage::{self, Tag},
};

/// A month's report.
#[derive(Debug, PartialEq, Serialize)]
pub struct Month {
    /// Such as `2012-01`.
    pub month: String,
    /// How many days it counts.
    pub days: usize,
    /// In sum.
    pub precipitation_mm: f64,
    /// The same in inches, to two decimals.
    pub precipitation_in: f64,
    /// The highest of all days, in degrees Celsius.
    pub temp_max_c: f64,
    /// The lowest of all days, in degrees Celsius.
    pub temp_min_c: f64,
    /// The mean over the days of the middle between highest and lowest, to two decimals.
    pub temp_mean_c: f64,
    /// The mean over the days, in kilometres per hour, to two decimals.
    pub wind_mean_kmh: f64,
    /// The windiest day's, in kilometres per hour.
    pub wind_max_kmh: f64,
    /// How many days of which weather.
    pub weather: BTreeMap<Weather, usize>,
}

/// Writes a day's report: `daily/2012-01-15.json`.
///
/// # Errors
/// The file system's.
pub fn write_daily(reports: &Directory, tag: &Tag, day: &Checked) -> Result<()> {
    storage::replace(&reports.join("daily"), &name(&day.date), tag, &json(day)?)
}

/// Recomputes a month's report, `monthly/2012-01.json`, and gives the number of days in it.
///
/// # Errors
/// The file system's, or a daily report cannot be read.
pub fn update_month(reports: &Directory, tag: &Tag, month: &str) -> Result<usize> {
    let daily = reports.join("daily");
    loop {
        let (mut seen, mut days) = (Vec::new(), Vec::new());
        for path in paths(&daily, month) {
            let (stamp, day) = read_daily(&path)?.unzip();
            seen.push(stamp);
            days.extend(day);
        }
        let report = Month::of(month, &days).context("no day of the month has a report")?;
        storage::replace(&reports.join("monthly"), &name(month), tag, &json(&report)?)?;
        if look(&daily, month)? == seen {
            return Ok(days.len());
        }
    }
}

/// What tells one state of a daily report from another: its size and its age.
type Stamp = (u64, SystemTime);

/// Where the reports of the month's days are, if they are. Asking for each day is cheaper than listing a
/// folder that holds every day of every year; a 30th of February is simply never there.
fn paths(daily: &Path, month: &str) -> impl Iterator<Item = PathBuf> {
    (1..=31).map(move |day| daily.join(name(&format!("{month}-{day:02}"))))
}

/// The state of each of the month's daily reports; none of one that is not there.
fn look(daily: &Path, month: &str) -> Result<Vec<Option<Stamp>>> {
    let look = |path: PathBuf| match fs::metadata(&path) {
        Ok(found) => Ok(Some(stamp(&found)?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => {
            Err(Error::from(error).context(format_args!("looking at {}", path.display())))
        }
    };
    paths(daily, month).map(look).collect()
}

/// A daily report and its state, both of one open file: what was renamed over it meanwhile changes neither.
fn read_daily(path: &Path) -> Result<Option<(Stamp, Checked)>> {
    let read = |mut file: File| -> Result<(Stamp, Checked)> {
        let found = file.metadata()?;
        let mut bytes = vec![0; usize::try_from(found.len())?];
        file.read_exact(&mut bytes)?;
        Ok((stamp(&found)?, serde_json::from_slice(&bytes)?))
    };
    match File::open(path) {
        Ok(file) => read(file).map(Some),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
    .with_context(|| format!("reading {}", path.display()))
}

fn stamp(found: &Metadata) -> io::Result<Stamp> {
    Ok((found.len(), found.modified()?))
}

/// The month of a date: `2012-01` of `2012-01-15`.
pub fn month_of(date: &str) -> &str {
    date.rsplit_once('-').map_or(date, |(month, _)| month)
}

fn name(day_or_month: &str) -> String {
    format!("{day_or_month}.json")
}

fn json(report: &impl Serialize) -> Result<Vec<u8>> {
    let mut json = serde_json::to_vec_pretty(report)?;
    json.push(b'\n');
    Ok(json)
}

impl Month {
    /// The report over these days of one month, or none if there are none.
    ///
    /// Sums are of whole tenths, in which the archive measures: so they are exact, and do not depend on
    /// the order of the days.
    pub fn of(month: &str, days: &[Checked]) -> Option<Self> {
        let count = i64::try_from(days.len()).ok().filter(|count| *count > 0)?;
        let sum =
            |value: fn(&Checked) -> f64| days.iter().map(|day| tenths(value(day))).sum::<i64>();
        let highest = |value: fn(&Checked) -> f64| days.iter().map(value).fold(f64::MIN, f64::max);
        let lowest = |value: fn(&Checked) -> f64| days.iter().map(value).fold(f64::MAX, f64::min);
        let precipitation = sum(|day| day.precipitation_mm) as f64 / 10.0;
        let both = sum(|day| day.temp_max_c) + sum(|day| day.temp_min_c);
        let mut weather = BTreeMap::new();
        for day in days {
            *weather.entry(day.weather).or_default() += 1;
        }
        Some(Self {
            month: month.to_owned(),
            days: days.len(),
            precipitation_mm: precipitation,
            precipitation_in: hundredths(precipitation / 25.4),
            temp_max_c: highest(|day| day.temp_max_c),
            temp_min_c: lowest(|day| day.temp_min_c),
            // Half of a sum of tenths, in hundredths: times five.
            temp_mean_c: rounded(both * 5, count) as f64 / 100.0,
            // A sum of tenths of m/s, in hundredths of km/h: times 36.
            wind_mean_kmh: rounded(sum(|day| day.wind_ms) * 36, count) as f64 / 100.0,
            wind_max_kmh: highest(|day| day.wind_kmh),
            weather,
        })
    }
}

fn tenths(value: f64) -> i64 {
    (value * 10.0).round() as i64
}

/// `a / b`, rounded to the nearest whole number, halves away from zero.
fn rounded(a: i64, b: i64) -> i64 {
    (2 * a + a.signum() * b) / (2 * b)
}
