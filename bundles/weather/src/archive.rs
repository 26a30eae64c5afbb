//! The archive: one row of a CSV file per day.

use std::{fmt, fs, path::Path, str::FromStr};

use airlock_sdk::prelude::*;
use serde::{Deserialize, Serialize};

/// A day's observation as the archive has it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reading {
    /// The day, such as `2012-01-15`.
    pub date: String,
    /// Millimetres.
    pub precipitation: f64,
    /// The highest temperature, in degrees Celsius.
    pub temp_max: f64,
    /// The lowest temperature, in degrees Celsius.
    pub temp_min: f64,
    /// The wind's mean speed, in metres per second.
    pub wind: f64,
    /// The kind of weather, in one word.
    pub weather: String,
}

impl fmt::Display for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            date,
            precipitation,
            temp_max,
            temp_min,
            weather,
            ..
        } = self;
        write!(
            f,
            "{date}: {precipitation:.1} mm, {temp_max:.1} … {temp_min:.1} °C, {weather}"
        )
    }
}

/// The row of a day.
///
/// # Errors
/// The file cannot be read (worth another try); it has no such row, or a malformed one (not worth it).
pub fn read(file: &Path, date: &str) -> Result<Reading> {
    let text = fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
    let row = text
        .lines()
        .find(|line| line.split(',').next() == Some(date))
        .ok_or_else(|| fail(format_args!("the archive has no row for {date}")))?;
    parse(row, date).ok_or_else(|| {
        fail(format_args!(
            "the archive's row for {date} is malformed: {row}"
        ))
    })
}

fn parse(row: &str, date: &str) -> Option<Reading> {
    fn number(field: Option<&str>) -> Option<f64> {
        f64::from_str(field?)
            .ok()
            .filter(|number| number.is_finite())
    }
    let mut fields = row.split(',').skip(1);
    let reading = Reading {
        date: date.to_owned(),
        precipitation: number(fields.next())?,
        temp_max: number(fields.next())?,
        temp_min: number(fields.next())?,
        wind: number(fields.next())?,
        weather: fields.next().filter(|word| !word.is_empty())?.to_owned(),
    };
    fields.next().is_none().then_some(reading)
}
