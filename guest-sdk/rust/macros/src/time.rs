//! Durations and dates of attributes, resolved while the bundle compiles.

use std::time::Duration;

use jiff::{civil, tz::TimeZone};

const UNITS: [(&str, u64); 6] = [
    ("ms", 1_000),
    ("s", 1_000_000),
    ("m", 60_000_000),
    ("h", 3_600_000_000),
    ("d", 86_400_000_000),
    ("w", 604_800_000_000),
];

const MONTHS: [(&str, u32); 2] = [("mo", 1), ("y", 12)];

/// A length of time that may count months.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Delta {
    pub(crate) months: u32,
    pub(crate) time: Duration,
}

/// `30s`, `1h30m`, `500ms`: whole numbers, each with its unit (`ms`, `s`, `m`, `h`, `d`, `w`).
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || {
        format!(
            "\"{text}\" is no duration; write numbers with a unit (ms, s, m, h, d, w), such as \"30s\" or \"1h30m\""
        )
    };
    let delta = read(text).ok_or_else(wrong)?;
    match delta.months {
        0 => Ok(delta.time),
        _ => Err(wrong()),
    }
}

/// As [`duration`], and with months and years (`mo`, `y`).
pub(crate) fn delta(text: &str) -> Result<Delta, String> {
    read(text).ok_or_else(|| {
        format!(
            "\"{text}\" is no length of time; write numbers with a unit (ms, s, m, h, d, w, mo, y), such as \"30m\" or \"1mo\""
        )
    })
}

fn read(text: &str) -> Option<Delta> {
    let mut rest = text.trim();
    if rest.is_empty() {
        return None;
    }
    let mut micros: u64 = 0;
    let mut all_months: u32 = 0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let (number, after) = rest.split_at(digits);
        let letters = after
            .find(|c: char| !c.is_ascii_alphabetic())
            .unwrap_or(after.len());
        let (unit, after) = after.split_at(letters);
        rest = after.trim_start();
        if let Some((_, factor)) = MONTHS.iter().find(|(name, _)| *name == unit) {
            let part = number.parse::<u32>().ok()?.checked_mul(*factor)?;
            all_months = all_months.checked_add(part)?;
            continue;
        }
        let (_, factor) = UNITS.iter().find(|(name, _)| *name == unit)?;
        let part = number.parse::<u64>().ok()?.checked_mul(*factor)?;
        micros = micros.checked_add(part)?;
    }
    Some(Delta {
        months: all_months,
        time: Duration::from_micros(micros),
    })
}

/// A time zone of the IANA database.
pub(crate) fn timezone(name: &str) -> Result<TimeZone, String> {
    TimeZone::get(name).map_err(|_| {
        format!("\"{name}\" is no time zone; write an IANA name such as \"Europe/Zurich\"")
    })
}

/// A date, a date and time in `zone`, or a date and time with its own offset; in microseconds since 1970.
/// A time that the zone skips moves forward by the gap; of a time that it repeats, the first counts.
pub(crate) fn date(text: &str, zone: &TimeZone) -> Result<i64, String> {
    if let Ok(instant) = text.parse::<jiff::Timestamp>() {
        return Ok(instant.as_microsecond());
    }
    text.parse::<civil::DateTime>()
        .and_then(|local| zone.to_timestamp(local))
        .map(|instant| instant.as_microsecond())
        .map_err(|e| format!("\"{text}\" is no date ({e}); write \"2012-01-31\", \"2012-01-31T06:00\" or \"2012-01-31T06:00:00Z\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_numbers_with_units() {
        assert_eq!(duration("30s"), Ok(Duration::from_secs(30)));
        assert_eq!(duration("1h30m"), Ok(Duration::from_secs(5_400)));
        assert_eq!(duration("1d 12h"), Ok(Duration::from_secs(36 * 3_600)));
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
    }

    #[test]
    fn lengths_of_time_may_count_months() {
        let months = |months, time| Ok(Delta { months, time });
        assert_eq!(delta("1mo"), months(1, Duration::ZERO));
        assert_eq!(delta("1y 2mo 1d"), months(14, Duration::from_secs(86_400)));
        assert_eq!(delta("5m"), months(0, Duration::from_secs(300)));
        assert!(duration("1mo").is_err() && delta("1 month").is_err());
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for text in [
            "",
            "30",
            "s",
            "-5s",
            "5 minutes",
            "1.5h",
            "5x",
            "99999999999999999999s",
            "9999999999999w",
        ] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_date_is_midnight_in_its_zone() {
        assert_eq!(date("1970-01-02", &TimeZone::UTC), Ok(86_400_000_000));
        let zurich = timezone("Europe/Zurich").unwrap();
        assert_eq!(date("1970-01-02", &zurich), Ok(82_800_000_000));
        assert_eq!(date("1970-01-02T01:00", &zurich), Ok(86_400_000_000));
    }

    #[test]
    fn an_offset_wins_over_the_zone() {
        let zurich = timezone("Europe/Zurich").unwrap();
        assert_eq!(date("1970-01-02T00:00:00Z", &zurich), Ok(86_400_000_000));
        assert_eq!(
            date("1970-01-02T01:00:00+01:00", &zurich),
            Ok(86_400_000_000)
        );
    }

    #[test]
    fn what_is_no_date_or_zone_is_refused() {
        for text in [
            "",
            "tomorrow",
            "2012-02-30",
            "01.02.2012",
            "2012-01-01T25:00",
        ] {
            assert!(date(text, &TimeZone::UTC).is_err(), "{text}");
        }
        assert!(timezone("Europe/Zuerich").is_err());
    }
}
