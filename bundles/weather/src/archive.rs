//! The archive: one row of a CSV file per day.

use std::{fmt, fs, path::Path, str::FromStr};

use airlock_sdk::{jiff::civil::Date, prelude::*};
use serde::{Deserialize, Serialize};

/// A day's observation as the archive has it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reading {
    /// The day.
    pub date: Date,
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
        let Self { date, precipitation, temp_max, temp_min, weather, .. } = self;
        write!(f, "{date}: {precipitation:.1} mm, {temp_max:.1} … {temp_min:.1} °C, {weather}")
    }
}

/// The row of a day.
///
/// # Errors
/// The file cannot be read (worth another try); it has no such row, or a malformed one (not worth it).
pub fn read(file: &Path, date: Date) -> Result<Reading> {
    let text = fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
    let day = date.to_string();
    let row = text
        .lines()
        .find(|line| line.split(',').next() == Some(&day))
        .ok_or_else(|| fail(format_args!("the archive has no row for {day}")))?;
    parse(row, date).ok_or_else(|| fail(format_args!("the archive's row for {day} is malformed: {row}")))
}

fn parse(row: &str, date: Date) -> Option<Reading> {
    fn number(field: Option<&str>) -> Option<f64> {
        f64::from_str(field?).ok().filter(|number| number.is_finite())
    }
    let mut fields = row.split(',').skip(1);
    let reading = Reading {
        date,
        precipitation: number(fields.next())?,
        temp_max: number(fields.next())?,
        temp_min: number(fields.next())?,
        wind: number(fields.next())?,
        weather: fields.next().filter(|word| !word.is_empty())?.to_owned(),
    };
    fields.next().is_none().then_some(reading)
}
