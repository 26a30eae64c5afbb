//! Values of parameters and columns.

use jiff::{Timestamp, civil};

/// A value of a column or a parameter.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// None, of any type.
    Null,
    /// True or false.
    Boolean(bool),
    /// A whole number.
    Integer(i64),
    /// A number with a binary fraction.
    Real(f64),
    /// A number with a decimal fraction, such as `-12.50`.
    Decimal(String),
    /// Text.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// Days since 1970-01-01.
    Date(i32),
    /// Microseconds of the day.
    Time(i64),
    /// Microseconds since 1970-01-01T00:00 of a local time without zone.
    Datetime(i64),
    /// Microseconds since the epoch.
    Timestamp(i64),
    /// A UUID, as text.
    Uuid(String),
    /// A JSON text.
    Json(String),
}

/// What can be bound to a statement.
pub trait IntoValue {
    /// As the database gets it.
    fn into_value(self) -> Value;
}

impl IntoValue for Value {
    fn into_value(self) -> Value {
        self
    }
}

impl<T: IntoValue> IntoValue for Option<T> {
    fn into_value(self) -> Value {
        self.map_or(Value::Null, IntoValue::into_value)
    }
}

macro_rules! into {
    ($($type:ty, $this:ident => $value:expr;)*) => {
        $(impl IntoValue for $type {
            fn into_value(self) -> Value {
                let $this = self;
                $value
            }
        })*
    };
}

into! {
    bool, it => Value::Boolean(it);
    i8, it => Value::Integer(it.into());
    i16, it => Value::Integer(it.into());
    i32, it => Value::Integer(it.into());
    i64, it => Value::Integer(it);
    u8, it => Value::Integer(it.into());
    u16, it => Value::Integer(it.into());
    u32, it => Value::Integer(it.into());
    // What is too large for the database's own numbers is no less exact so.
    u64, it => i64::try_from(it).map_or_else(|_| Value::Decimal(it.to_string()), Value::Integer);
    usize, it => (it as u64).into_value();
    f32, it => Value::Real(it.into());
    f64, it => Value::Real(it);
    &str, it => Value::Text(it.to_owned());
    String, it => Value::Text(it);
    &String, it => Value::Text(it.clone());
    Vec<u8>, it => Value::Bytes(it);
    &[u8], it => Value::Bytes(it.to_vec());
    serde_json::Value, it => Value::Json(it.to_string());
    civil::Date, it => Value::Date(days(it));
    civil::Time, it => Value::Time(micros_of_day(it));
    civil::DateTime, it => Value::Datetime(
        i64::from(days(it.date())) * 86_400_000_000 + micros_of_day(it.time())
    );
    Timestamp, it => Value::Timestamp(it.as_microsecond());
}

const EPOCH: civil::Date = civil::Date::constant(1970, 1, 1);

/// All days that there are in a calendar are few enough.
fn days(date: civil::Date) -> i32 {
    let hours = date.duration_since(EPOCH).as_hours();
    i32::try_from(hours / 24).unwrap_or_default()
}

fn micros_of_day(time: civil::Time) -> i64 {
    let passed = time.duration_since(civil::Time::midnight());
    i64::try_from(passed.as_micros()).unwrap_or_default()
}

/// A time as text that `jiff`'s types, and most others, are read from.
pub(super) fn text(value: &Value) -> Option<String> {
    use jiff::SignedDuration;
    let midnight = civil::Time::midnight();
    match value {
        Value::Date(days) => {
            let passed = SignedDuration::from_hours(i64::from(*days).checked_mul(24)?);
            Some(EPOCH.checked_add(passed).ok()?.to_string())
        }
        Value::Time(micros) => {
            let time = midnight.checked_add(SignedDuration::from_micros(*micros));
            Some(time.ok()?.to_string())
        }
        Value::Datetime(micros) => {
            let begin = EPOCH.to_datetime(midnight);
            let time = begin.checked_add(SignedDuration::from_micros(*micros));
            Some(time.ok()?.to_string())
        }
        Value::Timestamp(micros) => Some(Timestamp::from_microsecond(*micros).ok()?.to_string()),
        _ => None,
    }
}
