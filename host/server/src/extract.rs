//! What a request brings, read strictly: a part that is not understood is refused, never ignored.

use std::collections::BTreeMap;

use airlock_model::port::Page;
use axum::{
    extract::{
        FromRequest, FromRequestParts, OptionalFromRequest, Request,
        rejection::{BytesRejection, JsonRejection, PathRejection},
    },
    http::{StatusCode, header, request::Parts},
};
use serde::{
    Deserializer,
    de::{self, DeserializeOwned, IntoDeserializer, Visitor, value::MapDeserializer},
};
use serde_json::{error::Category, value::RawValue};

use crate::problem::ApiError;

/// Parts of the path, each checked as what it is.
pub(crate) struct Path<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Path<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        match axum::extract::Path::from_request_parts(parts, state).await {
            Ok(axum::extract::Path(value)) => Ok(Self(value)),
            Err(PathRejection::FailedToDeserializePathParams(error)) => {
                use axum::extract::path::ErrorKind;
                let reason = match error.into_kind() {
                    ErrorKind::Message(reason)
                    | ErrorKind::DeserializeError {
                        message: reason, ..
                    } => reason,
                    other => other.to_string(),
                };
                Err(ApiError::Invalid(reason))
            }
            Err(error) => Err(ApiError::invalid(error)),
        }
    }
}

/// A JSON body.
pub(crate) struct Json<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let body = match <axum::Json<Box<RawValue>> as FromRequest<S>>::from_request(request, state)
            .await
        {
            Ok(axum::Json(body)) => body,
            Err(JsonRejection::MissingJsonContentType(_)) => {
                return Err(ApiError::WrongContentType);
            }
            Err(JsonRejection::BytesRejection(error)) => return Err(body_error(&error)),
            Err(error) => return Err(ApiError::NotJson(reason(&error))),
        };
        // A list would be taken for the fields in their order.
        if !body.get().starts_with('{') {
            return Err(ApiError::Invalid(
                "the body must be a JSON object".to_owned(),
            ));
        }
        serde_json::from_str(body.get())
            .map(Self)
            .map_err(|error| match error.classify() {
                Category::Data => ApiError::within("body", error.to_string()),
                _ => ApiError::NotJson(error.to_string()),
            })
    }
}

/// A body that may be left out: one that is there is read as strictly.
impl<S: Send + Sync, T: DeserializeOwned> OptionalFromRequest<S> for Json<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Option<Self>, ApiError> {
        let headers = request.headers();
        let empty = headers
            .get(header::CONTENT_LENGTH)
            .is_none_or(|length| length == "0");
        if empty && !headers.contains_key(header::TRANSFER_ENCODING) {
            return Ok(None);
        }
        <Self as FromRequest<S>>::from_request(request, state)
            .await
            .map(Some)
    }
}

/// What the parser itself said.
fn reason(error: &dyn std::error::Error) -> String {
    let inner = error.source();
    inner.map_or_else(|| error.to_string(), ToString::to_string)
}

/// Why a body was not read to its end.
pub(crate) fn body_error(error: &BytesRejection) -> ApiError {
    if error.status() == StatusCode::PAYLOAD_TOO_LARGE {
        ApiError::TooLarge
    } else {
        ApiError::NotJson("it broke off".to_owned())
    }
}

/// The query. A name may stand several times where `T` takes a list; a name that `T` does not know is
/// refused, because a filter that is ignored answers another question.
pub(crate) struct Query<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let query = parts.uri.query().unwrap_or_default();
        let mut values: BTreeMap<String, Values> = BTreeMap::new();
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            let values = values.entry(name.into_owned()).or_default();
            values.0.push(value.into_owned());
        }
        T::deserialize(MapDeserializer::new(values.into_iter()))
            .map(Self)
            .map_err(|QueryError(reason)| ApiError::within("query", reason))
    }
}

/// What stands behind one name of a query.
#[derive(Default)]
struct Values(Vec<String>);

#[derive(Debug)]
struct QueryError(String);

impl std::fmt::Display for QueryError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}
impl std::error::Error for QueryError {}
impl de::Error for QueryError {
    fn custom<T: std::fmt::Display>(message: T) -> Self {
        Self(message.to_string())
    }
}

impl Values {
    fn one(self) -> Result<String, QueryError> {
        let mut values = self.0.into_iter();
        match (values.next(), values.next()) {
            (Some(value), None) => Ok(value),
            _ => Err(de::Error::custom("a name stands twice that may stand once")),
        }
    }
}

impl IntoDeserializer<'_, QueryError> for Values {
    type Deserializer = Self;
    fn into_deserializer(self) -> Self {
        self
    }
}

macro_rules! parsed {
    ($($method:ident => $type:ty, $visit:ident, $wanted:literal;)*) => { $(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, QueryError> {
            let text = self.one()?;
            match text.parse::<$type>() {
                Ok(value) => visitor.$visit(value),
                Err(_) => Err(de::Error::custom(format_args!("`{}` is not {}", text.escape_debug(), $wanted))),
            }
        }
    )* };
}

impl<'de> Deserializer<'de> for Values {
    type Error = QueryError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, QueryError> {
        visitor.visit_string(self.one()?)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, QueryError> {
        visitor.visit_some(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, QueryError> {
        let values = self.0.into_iter().map(|value| Self(vec![value]));
        visitor.visit_seq(de::value::SeqDeserializer::new(values))
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, QueryError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, QueryError> {
        let text: de::value::StringDeserializer<QueryError> = self.one()?.into_deserializer();
        text.deserialize_enum(name, variants, visitor)
    }

    parsed! {
        deserialize_bool => bool, visit_bool, "true or false";
        deserialize_u32 => u32, visit_u32, "a number from 0 on";
        deserialize_u64 => u64, visit_u64, "a number from 0 on";
        deserialize_i32 => i32, visit_i32, "an integer";
    }

    serde::forward_to_deserialize_any! {
        i8 i16 i64 i128 u8 u16 u128 f32 f64 char str string bytes byte_buf unit unit_struct
        tuple tuple_struct map struct identifier ignored_any
    }
}

/// Entries of an answer, where the request does not say (Airflow 3.3.2, `[api] fallback_page_limit`).
const DEFAULT_LIMIT: u32 = 50;
/// Entries of an answer, whatever the request says.
const MOST_ENTRIES: u32 = 1000;

/// Which part of a list is asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Part(Page);

impl Part {
    /// As a query says it.
    pub(crate) fn new(limit: Option<u32>, offset: Option<u32>) -> Self {
        Self(Page {
            offset: offset.unwrap_or(0),
            limit: limit.unwrap_or(DEFAULT_LIMIT).min(MOST_ENTRIES),
        })
    }

    /// As the stores take it.
    pub(crate) const fn page(self) -> Page {
        self.0
    }

    /// The part of a list that is already here, and how long the whole is.
    pub(crate) fn cut<T>(self, items: Vec<T>) -> (Vec<T>, u64) {
        let total = items.len() as u64;
        let part = items
            .into_iter()
            .skip(usize::try_from(self.0.offset).unwrap_or(usize::MAX))
            .take(usize::try_from(self.0.limit).unwrap_or(usize::MAX))
            .collect();
        (part, total)
    }
}
