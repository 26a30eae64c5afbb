//! What an observation must satisfy, and its conversion.

use airlock_sdk::prelude::*;
use serde::{Deserialize, Serialize};

use crate::archive::Reading;

/// The kinds of weather that the archive knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Weather {
    /// Light rain.
    Drizzle,
    /// Fog.
    Fog,
    /// Rain.
    Rain,
    /// Snow.
    Snow,
    /// None of the others.
    Sun,
}

/// A plausible observation in the units that people use. Also the form of a day's report.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Checked {
    /// The day, such as `2012-01-15`.
    pub date: String,
    /// Its kind of weather.
    pub weather: Weather,
    /// Millimetres.
    pub precipitation_mm: f64,
    /// Inches, to two decimals.
    pub precipitation_in: f64,
    /// The highest temperature in degrees Celsius.
    pub temp_max_c: f64,
    /// The same in degrees Fahrenheit.
    pub temp_max_f: f64,
    /// The lowest temperature in degrees Celsius.
    pub temp_min_c: f64,
    /// The same in degrees Fahrenheit.
    pub temp_min_f: f64,
    /// The wind's mean speed in metres per second.
    pub wind_ms: f64,
    /// The same in kilometres per hour.
    pub wind_kmh: f64,
}

/// Refuses what cannot be, and converts the rest.
///
/// # Errors
/// The observation is not plausible. It will not be at the next try either.
pub fn convert(reading: &Reading) -> Result<Checked> {
    let Reading {
        date,
        precipitation,
        temp_max,
        temp_min,
        wind,
        weather,
    } = reading;
    let weather = match weather.as_str() {
        "drizzle" => Weather::Drizzle,
        "fog" => Weather::Fog,
        "rain" => Weather::Rain,
        "snow" => Weather::Snow,
        "sun" => Weather::Sun,
        other => return Err(fail(format_args!("{date}: `{other}` is no weather"))),
    };
    // The limits are the records of the whole Earth, rounded outwards.
    for (what, value, least, most, unit) in [
        ("precipitation", *precipitation, 0.0, 1_900.0, "mm"),
        ("highest temperature", *temp_max, -90.0, 60.0, "°C"),
        ("lowest temperature", *temp_min, -90.0, 60.0, "°C"),
        ("wind", *wind, 0.0, 115.0, "m/s"),
    ] {
        if !(least..=most).contains(&value) {
            return Err(fail(format_args!(
                "{date}: {what} of {value} {unit} cannot be"
            )));
        }
    }
    if temp_min > temp_max {
        return Err(fail(format_args!(
            "{date}: the lowest temperature is above the highest"
        )));
    }
    Ok(Checked {
        date: date.clone(),
        weather,
        precipitation_mm: *precipitation,
        precipitation_in: hundredths(precipitation / 25.4),
        temp_max_c: *temp_max,
        temp_max_f: hundredths(temp_max * 1.8 + 32.0),
        temp_min_c: *temp_min,
        temp_min_f: hundredths(temp_min * 1.8 + 32.0),
        wind_ms: *wind,
        wind_kmh: hundredths(wind * 3.6),
    })
}

/// Rounded to two decimals. The archive has one, so that °F and km/h come out exact.
pub fn hundredths(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}
