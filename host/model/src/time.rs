//! Points in time, as UTC microseconds: what the database stores, the border carries and Airflow shows.

use std::{fmt, str::FromStr, time::Duration};

use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

/// Microseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(i64);

/// A number of microseconds, or a text, that is no point in time between the years -9999 and 9999.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("AL-0304: `{}` is not a point in time: write it as 2012-01-15 or 2012-01-15T06:00:00Z", .0.escape_debug())]
pub struct TimeError(String);

impl Timestamp {
    /// 1970-01-01T00:00:00Z.
    pub const EPOCH: Self = Self(0);

    /// From microseconds since the epoch.
    ///
    /// # Errors
    /// When it lies beyond the years that a calendar can show.
    pub fn from_micros(micros: i64) -> Result<Self, TimeError> {
        jiff::Timestamp::from_microsecond(micros)
            .map(|_| Self(micros))
            .map_err(|_| TimeError(micros.to_string()))
    }

    /// The point in time that is nearest to this number of microseconds since the epoch.
    #[must_use]
    pub fn nearest(micros: i64) -> Self {
        let (first, last) = (jiff::Timestamp::MIN, jiff::Timestamp::MAX);
        Self(micros.clamp(first.as_microsecond(), last.as_microsecond()))
    }

    /// From the calendar library's type, cut to microseconds.
    #[must_use]
    pub fn from_jiff(at: jiff::Timestamp) -> Self {
        Self(at.as_microsecond())
    }

    /// Microseconds since the epoch.
    #[must_use]
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// As the calendar library's type.
    #[must_use]
    pub fn to_jiff(self) -> jiff::Timestamp {
        jiff::Timestamp::from_microsecond(self.0).unwrap_or(jiff::Timestamp::MAX)
    }

    /// This much later, at most the end of time.
    #[must_use]
    pub fn after(self, by: Duration) -> Self {
        let by = i64::try_from(by.as_micros()).unwrap_or(i64::MAX);
        Self(
            self.0
                .saturating_add(by)
                .min(jiff::Timestamp::MAX.as_microsecond()),
        )
    }

    /// How long ago `earlier` was; zero when it is not earlier.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

/// ISO 8601 in UTC with the offset written out, as Airflow's run ids and API have it:
/// `2012-01-15T00:00:00+00:00`, with six decimals where the time is not a whole second.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = self.to_jiff().to_zoned(TimeZone::UTC).datetime();
        write!(f, "{}", time.strftime("%Y-%m-%dT%H:%M:%S"))?;
        if self.0.rem_euclid(1_000_000) != 0 {
            write!(f, ".{:06}", self.0.rem_euclid(1_000_000))?;
        }
        f.write_str("+00:00")
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A time with zone or offset, or a date or time without one, which is UTC.
impl FromStr for Timestamp {
    type Err = TimeError;
    fn from_str(text: &str) -> Result<Self, TimeError> {
        if let Ok(at) = text.parse::<jiff::Timestamp>() {
            return Ok(Self::from_jiff(at));
        }
        let local: jiff::civil::DateTime = text
            .parse()
            .map_err(|_| TimeError(text.chars().take(80).collect()))?;
        let zoned = local
            .to_zoned(TimeZone::UTC)
            .map_err(|_| TimeError(text.to_owned()))?;
        Ok(Self::from_jiff(zoned.timestamp()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_and_print_as_airflow_writes_them() {
        for (text, printed) in [
            ("2012-01-15", "2012-01-15T00:00:00+00:00"),
            ("2012-01-15T06:30:00+01:00", "2012-01-15T05:30:00+00:00"),
            (
                "2012-01-15T06:30:00.25Z",
                "2012-01-15T06:30:00.250000+00:00",
            ),
        ] {
            assert_eq!(text.parse::<Timestamp>().unwrap().to_string(), printed);
        }
        assert!("tomorrow".parse::<Timestamp>().is_err());
        assert!(Timestamp::from_micros(i64::MAX).is_err());
    }
}
