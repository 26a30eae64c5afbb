//! Values in PostgreSQL's binary form.

use airlock_grant::port::sql::{SqlError, Value};
use sqlx::{
    Column as _, Encode, Postgres, Row as _, Type, TypeInfo as _, ValueRef as _,
    encode::IsNull,
    error::BoxDynError,
    postgres::{
        PgArgumentBuffer, PgArguments, PgColumn, PgRow, PgTypeInfo, PgTypeKind, PgValueFormat,
        types::Oid,
    },
};

use crate::sql::time::{DAYS_TO_2000, MICROS_TO_2000};

/// What is said of a parameter whose type the server is to find.
const UNKNOWN: u32 = 0;
const BOOL: u32 = 16;
const BYTEA: u32 = 17;
const CHAR: u32 = 18;
const NAME: u32 = 19;
const INT8: u32 = 20;
const INT2: u32 = 21;
const INT4: u32 = 23;
const TEXT: u32 = 25;
const OID: u32 = 26;
const JSON: u32 = 114;
const XML: u32 = 142;
const FLOAT4: u32 = 700;
const FLOAT8: u32 = 701;
const UNKNOWN_TEXT: u32 = 705;
const BPCHAR: u32 = 1042;
const VARCHAR: u32 = 1043;
const DATE: u32 = 1082;
const TIME: u32 = 1083;
const TIMESTAMP: u32 = 1114;
const TIMESTAMPTZ: u32 = 1184;
const NUMERIC: u32 = 1700;
const VOID: u32 = 2278;
const UUID: u32 = 2950;
const JSONB: u32 = 3802;

/// A parameter in its binary form; none is null.
struct Parameter {
    oid: u32,
    bytes: Option<Vec<u8>>,
}

impl Parameter {
    fn new(value: &Value) -> Result<Self, &'static str> {
        let bytes = match value {
            Value::Null => None,
            Value::Boolean(value) => Some(vec![u8::from(*value)]),
            Value::Integer(value) => Some(value.to_be_bytes().to_vec()),
            Value::Real(value) => Some(value.to_be_bytes().to_vec()),
            Value::Decimal(text) => Some(numeric(text).ok_or("it is no decimal number")?),
            Value::Text(text) if text.contains('\0') => {
                return Err("PostgreSQL keeps no text with a zero byte");
            }
            Value::Text(text) => Some(text.as_bytes().to_vec()),
            Value::Bytes(bytes) => Some(bytes.clone()),
            Value::Date(days) => {
                let days = days.checked_sub(DAYS_TO_2000).ok_or("it is too early")?;
                Some(days.to_be_bytes().to_vec())
            }
            Value::Time(micros) => Some(micros.to_be_bytes().to_vec()),
            Value::Datetime(micros) | Value::Timestamp(micros) => {
                let micros = micros.checked_sub(MICROS_TO_2000);
                Some(micros.ok_or("it is too early")?.to_be_bytes().to_vec())
            }
            Value::Uuid(text) => {
                let digits: String = text.chars().filter(|c| *c != '-').collect();
                let wide = digits.len() == 32 && digits.chars().all(|c| c.is_ascii_hexdigit());
                let number = u128::from_str_radix(&digits, 16).ok().filter(|_| wide);
                Some(number.ok_or("it is no UUID")?.to_be_bytes().to_vec())
            }
            Value::Json(text) => {
                // The first byte is the version of the form.
                let mut bytes = Vec::with_capacity(text.len() + 1);
                bytes.push(1);
                bytes.extend_from_slice(text.as_bytes());
                Some(bytes)
            }
        };
        let oid = oid(value);
        Ok(Self { oid, bytes })
    }
}

const fn oid(value: &Value) -> u32 {
    match value {
        Value::Null => UNKNOWN,
        Value::Boolean(_) => BOOL,
        Value::Integer(_) => INT8,
        Value::Real(_) => FLOAT8,
        Value::Decimal(_) => NUMERIC,
        Value::Text(_) => TEXT,
        Value::Bytes(_) => BYTEA,
        Value::Date(_) => DATE,
        Value::Time(_) => TIME,
        Value::Datetime(_) => TIMESTAMP,
        Value::Timestamp(_) => TIMESTAMPTZ,
        Value::Uuid(_) => UUID,
        Value::Json(_) => JSONB,
    }
}

impl Type<Postgres> for Parameter {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(Oid(UNKNOWN))
    }
}

impl Encode<'_, Postgres> for Parameter {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        Ok(match &self.bytes {
            None => IsNull::Yes,
            Some(bytes) => {
                buffer.extend_from_slice(bytes);
                IsNull::No
            }
        })
    }

    fn produces(&self) -> Option<PgTypeInfo> {
        Some(PgTypeInfo::with_oid(Oid(self.oid)))
    }
}

/// The parameters of a statement: each of a type that is said, but null, whose type the server finds.
pub(super) fn arguments(values: &[Value]) -> Result<PgArguments, SqlError> {
    use sqlx::Arguments as _;
    let mut arguments = PgArguments::default();
    for (at, value) in (1..).zip(values) {
        let wrong = |problem: &str| SqlError::Parameter {
            at,
            problem: problem.to_owned(),
        };
        let parameter = Parameter::new(value).map_err(wrong)?;
        let added = arguments.add(parameter);
        added.map_err(|_| wrong("it is too large"))?;
    }
    if values.len() > usize::from(u16::MAX) {
        return Err(SqlError::Parameter {
            at: usize::from(u16::MAX) + 1,
            problem: "PostgreSQL takes no more than 65535".to_owned(),
        });
    }
    Ok(arguments)
}

/// Their types.
pub(super) fn types(values: &[Value]) -> Vec<PgTypeInfo> {
    let types = values
        .iter()
        .map(|value| PgTypeInfo::with_oid(Oid(oid(value))));
    types.collect()
}

/// A decimal number in the form that the server wants: groups of four digits.
fn numeric(text: &str) -> Option<Vec<u8>> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let number = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    // As many as PostgreSQL keeps.
    let wide = whole.len() > 131_072 || fraction.len() > 16_383;
    if (whole.is_empty() && fraction.is_empty()) || !number(whole) || !number(fraction) || wide {
        return None;
    }
    let whole = whole.trim_start_matches('0');
    let before = whole.len().div_ceil(4);
    let mut padded = "0".repeat(before * 4 - whole.len());
    padded.push_str(whole);
    padded.push_str(fraction);
    padded.push_str(&"0".repeat(fraction.len().div_ceil(4) * 4 - fraction.len()));
    let mut groups: Vec<u16> = Vec::with_capacity(padded.len() / 4);
    for group in padded.as_bytes().chunks(4) {
        let digit = |sum: u16, byte: &u8| sum * 10 + u16::from(byte - b'0');
        groups.push(group.iter().fold(0, digit));
    }
    let mut weight = i16::try_from(before).ok()? - 1;
    while groups.last() == Some(&0) {
        groups.pop();
    }
    let leading = groups.iter().take_while(|group| **group == 0).count();
    groups.drain(..leading);
    weight -= i16::try_from(leading).ok()?;
    if groups.is_empty() {
        weight = 0;
    }
    let sign: u16 = if negative && !groups.is_empty() {
        0x4000
    } else {
        0
    };
    let mut bytes = Vec::with_capacity(8 + groups.len() * 2);
    bytes.extend(u16::try_from(groups.len()).ok()?.to_be_bytes());
    bytes.extend(weight.to_be_bytes());
    bytes.extend(sign.to_be_bytes());
    bytes.extend(u16::try_from(fraction.len()).ok()?.to_be_bytes());
    for group in groups {
        bytes.extend(group.to_be_bytes());
    }
    Some(bytes)
}

/// A decimal number as text.
fn decimal(bytes: &[u8]) -> Option<String> {
    let word = |at: usize| -> Option<u16> {
        let bytes = bytes.get(at * 2..at * 2 + 2)?;
        Some(u16::from_be_bytes(bytes.try_into().ok()?))
    };
    let (count, sign, scale) = (usize::from(word(0)?), word(2)?, usize::from(word(3)?));
    let weight = i32::from(i16::from_be_bytes(word(1)?.to_be_bytes()));
    let mut text = String::with_capacity(count * 4 + scale + 2);
    match sign {
        0 => {}
        0x4000 => text.push('-'),
        0xC000 => return Some("NaN".to_owned()),
        0xD000 => return Some("Infinity".to_owned()),
        0xF000 => return Some("-Infinity".to_owned()),
        _ => return None,
    }
    let group = |at: i32| -> u16 {
        let at = usize::try_from(at).ok().filter(|at| *at < count);
        at.and_then(|at| word(4 + at)).unwrap_or(0)
    };
    if weight < 0 {
        text.push('0');
    }
    for at in 0..=weight {
        match at {
            0 => text.push_str(&group(at).to_string()),
            _ => text.push_str(&format!("{:04}", group(at))),
        }
    }
    if scale > 0 {
        let mut fraction = String::with_capacity(scale + 4);
        let mut at = weight + 1;
        while fraction.len() < scale {
            fraction.push_str(&format!("{:04}", group(at)));
            at += 1;
        }
        fraction.truncate(scale);
        text.push('.');
        text.push_str(&fraction);
    }
    Some(text)
}

/// How the values of a column are read.
pub(super) struct Reader {
    column: String,
    type_name: String,
    oid: u32,
}

impl Reader {
    pub(super) fn new(column: &PgColumn) -> Self {
        let of = column.type_info();
        let oid = match of.kind() {
            // The label.
            PgTypeKind::Enum(_) => TEXT,
            _ => of.oid().map_or(UNKNOWN, |oid| oid.0),
        };
        Self {
            column: column.name().to_owned(),
            type_name: of.name().to_ascii_lowercase(),
            oid,
        }
    }

    pub(super) fn read(&self, row: &PgRow, at: usize) -> Result<Value, SqlError> {
        let raw = row.try_get_raw(at).map_err(|_| SqlError::Lost)?;
        if raw.is_null() || self.oid == VOID {
            return Ok(Value::Null);
        }
        let bytes = raw.as_bytes().ok();
        let binary = bytes.filter(|_| raw.format() == PgValueFormat::Binary);
        let value = binary.and_then(|bytes| read(self.oid, bytes));
        value.ok_or_else(|| SqlError::Type {
            column: self.column.clone(),
            type_name: self.type_name.clone(),
        })
    }
}

fn read(oid: u32, bytes: &[u8]) -> Option<Value> {
    let text = |bytes: &[u8]| Some(std::str::from_utf8(bytes).ok()?.to_owned());
    let long = || Some(i64::from_be_bytes(bytes.try_into().ok()?));
    // The ends of time have no number.
    let moment = || {
        let micros = long().filter(|micros| !matches!(*micros, i64::MIN | i64::MAX))?;
        micros.checked_add(MICROS_TO_2000)
    };
    Some(match oid {
        BOOL => Value::Boolean(bytes.first()? != &0),
        BYTEA => Value::Bytes(bytes.to_vec()),
        INT2 => Value::Integer(i16::from_be_bytes(bytes.try_into().ok()?).into()),
        INT4 => Value::Integer(i32::from_be_bytes(bytes.try_into().ok()?).into()),
        OID => Value::Integer(u32::from_be_bytes(bytes.try_into().ok()?).into()),
        INT8 => Value::Integer(long()?),
        FLOAT4 => Value::Real(f32::from_be_bytes(bytes.try_into().ok()?).into()),
        FLOAT8 => Value::Real(f64::from_be_bytes(bytes.try_into().ok()?)),
        NUMERIC => Value::Decimal(decimal(bytes)?),
        CHAR | NAME | TEXT | XML | UNKNOWN_TEXT | BPCHAR | VARCHAR => Value::Text(text(bytes)?),
        DATE => {
            let days = i32::from_be_bytes(bytes.try_into().ok()?);
            let days = Some(days).filter(|days| !matches!(*days, i32::MIN | i32::MAX))?;
            Value::Date(days.checked_add(DAYS_TO_2000)?)
        }
        TIME => Value::Time(long()?),
        TIMESTAMP => Value::Datetime(moment()?),
        TIMESTAMPTZ => Value::Timestamp(moment()?),
        UUID => {
            let number = u128::from_be_bytes(bytes.try_into().ok()?);
            let digits = format!("{number:032x}");
            let part = |from: usize, to: usize| digits.get(from..to).unwrap_or_default();
            let parts = [
                part(0, 8),
                part(8, 12),
                part(12, 16),
                part(16, 20),
                part(20, 32),
            ];
            Value::Uuid(parts.join("-"))
        }
        JSON => Value::Json(text(bytes)?),
        JSONB => Value::Json(text(
            bytes.split_first().filter(|(form, _)| **form == 1)?.1,
        )?),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decimal_number_comes_back_as_it_was_written() {
        for text in [
            "0",
            "1",
            "-1",
            "12.50",
            "0.0001",
            "-0.5",
            "10000",
            "100000000.00000001",
            "9999",
            "12345678901234567890.123456789",
            "0.00",
            "0.00000000",
            "-1000000",
        ] {
            let bytes = numeric(text).unwrap();
            assert_eq!(decimal(&bytes).unwrap(), text);
        }
        assert_eq!(decimal(&numeric("007").unwrap()).unwrap(), "7");
        assert_eq!(decimal(&numeric(".5").unwrap()).unwrap(), "0.5");
        for text in ["", ".", "-", "1e5", "NaN", "1.2.3", " 1", "--1", "١"] {
            assert!(numeric(text).is_none(), "{text}");
        }
    }
}
