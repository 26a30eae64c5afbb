//! How a try ended, between the author's return value and the host.

use serde::Serialize;

use crate::{Error, Result, fail};

/// How a try ended that did not fail.
#[derive(Debug, Clone, PartialEq, Eq)]
#[doc(hidden)]
pub enum Outcome {
    /// With the JSON text of what the task returned, unless that is `null`: as in Airflow, a task that
    /// returned nothing leaves no XCom.
    Success(Option<String>),
    /// With the reason.
    Skipped(String),
}

/// How a try failed, as the host hears of it.
#[cfg(any(test, target_arch = "wasm32"))]
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) message: String,
    /// Outermost first.
    pub(crate) causes: Vec<String>,
    /// Whether another try may help.
    pub(crate) retry: bool,
    /// None where no line of the author's is to blame.
    pub(crate) location: Option<crate::definition::Location>,
}

#[cfg(any(test, target_arch = "wasm32"))]
impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self {
            message: error.to_string(),
            causes: error.causes(),
            retry: error.is_retryable(),
            location: Some(error.location()),
        }
    }
}

/// What a task gave that cannot fail.
#[doc(hidden)]
#[track_caller]
pub fn finish_value<T: Serialize>(value: &T) -> Result<Outcome> {
    match serde_json::to_string(value) {
        Ok(json) => Ok(Outcome::Success(Some(json).filter(|json| json != "null"))),
        Err(error) => Err(fail(format_args!(
            "what the task returned has no JSON form: {error}"
        ))),
    }
}

/// What a task gave that may fail.
#[doc(hidden)]
#[track_caller]
pub fn finish_result<T: Serialize, E: Into<Error>>(result: Result<T, E>) -> Result<Outcome> {
    match result {
        Ok(value) => finish_value(&value),
        Err(error) => match error.into() {
            error if error.is_skip() => Ok(Outcome::Skipped(error.to_string())),
            error => Err(error),
        },
    }
}
