//! Times as numbers and as texts, for databases that keep them as texts.

use jiff::{SignedDuration, Timestamp, civil};

/// Days between 1970-01-01 and 2000-01-01, from where PostgreSQL counts.
pub(super) const DAYS_TO_2000: i32 = 10_957;
/// The same in microseconds.
pub(super) const MICROS_TO_2000: i64 = 946_684_800_000_000;

const EPOCH: civil::Date = civil::Date::constant(1970, 1, 1);

/// `2012-01-31`.
pub(super) fn date(days: i32) -> Option<String> {
    let hours = i64::from(days).checked_mul(24)?;
    let date = EPOCH.checked_add(SignedDuration::from_hours(hours)).ok()?;
    Some(date.to_string())
}

/// `06:30:00`, with a fraction where there is one.
pub(super) fn time(micros: i64) -> Option<String> {
    (0..86_400_000_000).contains(&micros).then_some(())?;
    let time = civil::Time::midnight().checked_add(SignedDuration::from_micros(micros));
    Some(time.ok()?.to_string())
}

/// `2012-01-31 06:30:00`.
pub(super) fn datetime(micros: i64) -> Option<String> {
    let begin = EPOCH.to_datetime(civil::Time::midnight());
    let time = begin.checked_add(SignedDuration::from_micros(micros));
    Some(time.ok()?.to_string().replace('T', " "))
}

/// `2012-01-31 06:30:00Z`.
pub(super) fn timestamp(micros: i64) -> Option<String> {
    let time = Timestamp::from_microsecond(micros).ok()?;
    Some(time.to_string().replace('T', " "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_become_texts_that_sort_as_times_do() {
        assert_eq!(date(0).unwrap(), "1970-01-01");
        assert_eq!(date(DAYS_TO_2000).unwrap(), "2000-01-01");
        assert_eq!(date(-1).unwrap(), "1969-12-31");
        assert_eq!(date(i32::MAX), None);
        assert_eq!(time(23_400_000_000).unwrap(), "06:30:00");
        assert_eq!(time(86_400_000_000), None);
        assert_eq!(
            datetime(MICROS_TO_2000 + 1).unwrap(),
            "2000-01-01 00:00:00.000001"
        );
        assert_eq!(timestamp(MICROS_TO_2000).unwrap(), "2000-01-01 00:00:00Z");
        assert_eq!(timestamp(i64::MAX), None);
        assert_eq!(datetime(i64::MIN), None);
    }
}
