//! A row, read as the author's type.

use std::{fmt, rc::Rc};

use serde::{
    de::{
        self, DeserializeOwned, Deserializer, IntoDeserializer, Visitor,
        value::{MapDeserializer, SeqDeserializer},
    },
    forward_to_deserialize_any,
};

use super::{SqlError, Value, value};

/// A column of what a query gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its type, as the database calls it.
    pub type_name: String,
}

/// One row.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    columns: Rc<[Column]>,
    values: Vec<Value>,
}

impl Row {
    pub(super) const fn new(columns: Rc<[Column]>, values: Vec<Value>) -> Self {
        Self { columns, values }
    }

    /// As the author's type.
    pub(super) fn read<T: DeserializeOwned>(self) -> Result<T, SqlError> {
        let names = self
            .columns
            .iter()
            .map(|column| &*column.name)
            .collect::<Vec<_>>();
        let told = names.join(", ");
        T::deserialize(Whole(self)).map_err(|error| {
            let wanted = std::any::type_name::<T>();
            SqlError::Row(format!(
                "a row of the columns {told} is no `{wanted}`: {error}"
            ))
        })
    }
}

/// Why a value is not what is wanted.
#[derive(Debug)]
struct Mismatch(String);

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Mismatch {}

impl de::Error for Mismatch {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self(message.to_string())
    }
}

/// The row as a map, a sequence, or its only value.
struct Whole(Row);

impl Whole {
    fn only(self) -> Result<One, Mismatch> {
        let mut values = self.0.values;
        match (values.pop(), values.is_empty()) {
            (Some(value), true) => Ok(One(value)),
            _ => Err(Mismatch("a single value is wanted".to_owned())),
        }
    }

    fn map<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        let names = self.0.columns.iter().map(|column| column.name.clone());
        let pairs: Vec<_> = names.zip(self.0.values.into_iter().map(One)).collect();
        visitor.visit_map(MapDeserializer::new(pairs.into_iter()))
    }

    fn seq<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        visitor.visit_seq(SeqDeserializer::new(self.0.values.into_iter().map(One)))
    }
}

macro_rules! only {
    ($($method:ident)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
            self.only()?.$method(visitor)
        })*
    };
}

impl<'de> Deserializer<'de> for Whole {
    type Error = Mismatch;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        self.map(visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Mismatch> {
        self.map(visitor)
    }

    fn deserialize_tuple<V: Visitor<'de>>(
        self,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, Mismatch> {
        self.seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, Mismatch> {
        self.seq(visitor)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        self.seq(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Mismatch> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Mismatch> {
        self.only()?.deserialize_enum(name, variants, visitor)
    }

    only! {
        deserialize_bool deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_u8
        deserialize_u16 deserialize_u32 deserialize_u64 deserialize_f32 deserialize_f64 deserialize_char
        deserialize_str deserialize_string deserialize_bytes deserialize_byte_buf deserialize_option
    }

    forward_to_deserialize_any! { i128 u128 unit unit_struct map identifier ignored_any }
}

/// One value.
struct One(Value);

impl<'de> IntoDeserializer<'de, Mismatch> for One {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

/// A number that came as a decimal text, where one is wanted.
fn float(value: Value) -> Value {
    match &value {
        Value::Decimal(text) | Value::Text(text) => {
            text.parse().map_or_else(|_| value.clone(), Value::Real)
        }
        Value::Integer(number) => Value::Real(*number as f64),
        _ => value,
    }
}

impl<'de> Deserializer<'de> for One {
    type Error = Mismatch;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        match self.0 {
            Value::Null => visitor.visit_unit(),
            Value::Boolean(value) => visitor.visit_bool(value),
            Value::Integer(value) => visitor.visit_i64(value),
            Value::Real(value) => visitor.visit_f64(value),
            Value::Decimal(text) | Value::Text(text) | Value::Uuid(text) => {
                visitor.visit_string(text)
            }
            Value::Bytes(bytes) => visitor.visit_byte_buf(bytes),
            Value::Json(text) => {
                let json: serde_json::Value =
                    serde_json::from_str(&text).map_err(de::Error::custom)?;
                json.deserialize_any(visitor).map_err(de::Error::custom)
            }
            time => match value::text(&time) {
                Some(text) => visitor.visit_string(text),
                None => Err(Mismatch("the time is out of range".to_owned())),
            },
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        match self.0 {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        One(float(self.0)).deserialize_any(visitor)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        One(float(self.0)).deserialize_any(visitor)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        match self.0 {
            // As SQLite keeps it.
            Value::Integer(number @ (0 | 1)) => visitor.visit_bool(number == 1),
            value => One(value).deserialize_any(visitor),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        match self.0 {
            Value::Json(text) => visitor.visit_string(text),
            value => One(value).deserialize_any(visitor),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        match self.0 {
            Value::Bytes(bytes) => visitor.visit_seq(SeqDeserializer::new(bytes.into_iter())),
            value => One(value).deserialize_any(visitor),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Mismatch> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Mismatch> {
        match self.0 {
            Value::Json(text) => {
                let json: serde_json::Value =
                    serde_json::from_str(&text).map_err(de::Error::custom)?;
                let read = json.deserialize_enum(name, variants, visitor);
                read.map_err(de::Error::custom)
            }
            Value::Text(text) => visitor.visit_enum(text.into_deserializer()),
            _ => Err(Mismatch(format!("`{name}` is wanted as text"))),
        }
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 char str bytes byte_buf unit unit_struct tuple tuple_struct map
        struct identifier ignored_any
    }
}
